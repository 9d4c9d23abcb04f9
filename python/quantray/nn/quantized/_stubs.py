"""The borders between floats and integers, where a model draws them itself."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Self

import numpy as np

from quantray import _core, nn
from quantray._core import QTensor, quint8
from quantray.nn._factory import check_factory
from quantray.nn._tracing import whole
from quantray.nn.quantized._grid import Grid, OnGrids
from quantray.nn.quantized._observed import observed_grid
from quantray.nn.quantized._output import checked_scale, one_number

if TYPE_CHECKING:
    from quantray._typing import Array, Config, Input, QDType, Scalar


class Quantize(OnGrids):
    """Quantizes its input: what `QuantStub` becomes.

    Parameters
    ----------
    scale : float, array of one element, or Grid
        A `Grid` says all by itself.
    zero_point : int or array of one element
    dtype : dtype
        quint8 or qint8.
    factory_kwargs : dict, optional
        Accepted for torch's sake.

    >>> import quantray as qt
    >>> qt.nn.quantized.Quantize(0.5, 10, qt.quint8)([0.0, 1.2]).int_repr()
    array([10, 12], dtype=uint8)

    >>> from quantray import nn
    >>> nn.quantized.Quantize(nn.quantized.Grid(0.5, 10))([0.0, 1.2]).int_repr()
    array([10, 12], dtype=uint8)

    Source: `torch.ao.nn.quantized.Quantize`.
    """

    grid: Grid

    def __init__(
        self,
        scale: Scalar | Array | Sequence[object],
        zero_point: Scalar | Array = 0,
        dtype: QDType = quint8,
        factory_kwargs: Mapping[str, object] | None = None,
    ) -> None:
        super().__init__()
        if isinstance(scale, (Grid, tuple, list)):
            self.grid = Grid.checked(scale)
            return
        check_factory(None if factory_kwargs is None else factory_kwargs.get("device"), None)
        name = getattr(dtype, "name", dtype)
        made = {
            "scale": checked_scale("scale", scale),
            "zero_point": int(one_number("zero_point", zero_point)),
        }
        if name not in ("quint8", "qint8"):
            raise ValueError(f"dtype must be quint8 or qint8, got {dtype!r}")
        codes = (0, 255) if name == "quint8" else (-128, 127)
        self.grid = Grid.checked((made["scale"], made["zero_point"], name, *codes))

    @classmethod
    def _rebuild(cls, grid: Sequence[object]) -> Self:
        """A module as files describe it."""
        return cls(tuple(grid))

    @classmethod
    def from_float(cls, mod: nn.Module, use_precomputed_fake_quant: bool = False) -> Self:
        """Of a `QuantStub` whose `activation_post_process` has seen the values."""
        return cls(observed_grid(cls, mod))

    @property
    def dtype(self) -> _core.dtype:
        """Of the output."""
        return self.grid.output[2]

    @whole
    def forward(self, input: Input) -> QTensor:
        """The input on the grid."""
        return self.grid.quantize(input)

    def _config(self) -> Config:
        return {"grid": self.grid}

    def extra_repr(self) -> str:
        return str(self.grid)


class DeQuantize(nn.Module):
    """Dequantizes its input: what `DeQuantStub` becomes.

    >>> import quantray as qt
    >>> from quantray import nn
    >>> nn.quantized.DeQuantize()(qt.quantize_per_tensor([0.0, 1.2], 0.5, 10, qt.quint8))
    array([0., 1.], dtype=float32)

    Source: `torch.ao.nn.quantized.DeQuantize`.
    """

    @classmethod
    def from_float(cls, mod: nn.Module, use_precomputed_fake_quant: bool = False) -> Self:
        """Of a `DeQuantStub`."""
        return cls()

    @whole
    def forward(self, input: Input) -> Array:
        """Floats."""
        return np.asarray(input)

    def _config(self) -> Config:
        return {}
