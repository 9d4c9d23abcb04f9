"""What code for torch asks whether something is a tensor."""

from __future__ import annotations

from typing import Any, Self

import numpy as np

from quantray._core import QTensor


class OfTensors(type):
    """What makes `isinstance(x, quantray.Tensor)` true of arrays, too: floats are arrays here."""

    def __instancecheck__(cls, instance: object) -> bool:
        return isinstance(instance, QTensor | np.ndarray)

    def __subclasscheck__(cls, subclass: type) -> bool:
        return super().__subclasscheck__(subclass) or issubclass(subclass, QTensor | np.ndarray)

    def __getattr__(cls, name: str) -> Any:
        return getattr(QTensor, name)


class Tensor(metaclass=OfTensors):
    """What code for torch calls floats and codes alike: NumPy arrays and QTensors are its instances.

    Nothing is made by it: `quantray.tensor` makes arrays, `quantize_per_tensor` QTensors.

    Raises
    ------
    TypeError
        When it is called.

    >>> import quantray as qt
    >>> isinstance(qt.zeros(2), qt.Tensor), isinstance([0.0, 0.0], qt.Tensor)
    (True, False)

    Source: `torch.Tensor`.
    """

    def __new__(cls, *args: object, **kwargs: object) -> Self:
        raise TypeError(
            "a Tensor is not made by its class: a QTensor is made by quantize_per_tensor(x, scale, "
            "zero_point, dtype), an array by tensor(data), zeros(shape) or numpy"
        )
