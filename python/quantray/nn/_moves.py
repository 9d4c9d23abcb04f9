"""What models of torch are asked to do and arrays need not: to move to a device, to become float32."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self, cast

import numpy as np

if TYPE_CHECKING:
    from quantray._typing import DTypeLike


class Moves:
    """Methods that return the model as it is, and refuse what would change it."""

    def to(self, *args: object, device: object = None, dtype: object = None, **kwargs: object) -> Self:
        """The model itself: arrays are the CPU's, and float32.

        Raises
        ------
        ValueError
            For another device, or another type of numbers.

        >>> from quantray import nn
        >>> nn.Linear(2, 3).to("cpu")
        Linear(in_features=2, out_features=3, bias=True)

        Source: `torch.nn.Module.to`.
        """
        for given in (*args, device, dtype):
            if given is None or isinstance(given, bool):
                continue
            name = str(given).removeprefix("torch.")
            try:
                fits = name in ("cpu", "float", "float32") or np.dtype(cast("DTypeLike", given)) == np.float32
            except TypeError:
                fits = False
            if not fits:
                raise ValueError(
                    f'models stay on the CPU and in float32: to() takes "cpu" and float32, got {given!r}; '
                    "quantray.quantization makes them smaller"
                )
        return self

    def cpu(self) -> Self:
        """The model itself.

        >>> from quantray import nn
        >>> nn.ReLU().cpu()
        ReLU()

        Source: `torch.nn.Module.cpu`.
        """
        return self

    def float(self) -> Self:
        """The model itself: it is float32.

        >>> from quantray import nn
        >>> nn.ReLU().float()
        ReLU()

        Source: `torch.nn.Module.float`.
        """
        return self
