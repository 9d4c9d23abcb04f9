"""The limits of data types, by torch's names."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from quantray._core import dtype as quantized_dtype
from quantray._creation import numpy_dtype

if TYPE_CHECKING:
    from typing import Any

    from quantray._typing import DTypeLike


class iinfo:
    """The range of an integer type, NumPy's or a quantized one's.

    Parameters
    ----------
    type : dtype

    >>> import quantray as qt
    >>> qt.iinfo(qt.qint8).max, qt.iinfo(qt.uint8).max
    (127, 255)

    Source: `torch.iinfo`.
    """

    def __init__(self, type: DTypeLike | quantized_dtype) -> None:
        if isinstance(type, quantized_dtype):
            self.min, self.max, self.bits, self.dtype = type.qmin, type.qmax, type.bits, type.name
            return
        found = np.iinfo(numpy_dtype(type))
        self.min, self.max, self.bits, self.dtype = (
            int(found.min),
            int(found.max),
            found.bits,
            str(found.dtype),
        )

    def __repr__(self) -> str:
        return f"iinfo(min={self.min}, max={self.max}, dtype={self.dtype})"


def finfo(type: DTypeLike = np.float32) -> np.finfo[Any]:
    """The range of a type of floats.

    >>> import quantray as qt
    >>> float(qt.finfo(qt.float32).eps)
    1.1920928955078125e-07

    Source: `torch.finfo`.
    """
    return np.finfo(numpy_dtype(type))
