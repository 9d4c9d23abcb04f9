"""The borders between floats and integers, where a model draws them itself."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from quantray import nn
from quantray._core import QTensor
from quantray.nn._tracing import whole
from quantray.nn.quantized._grid import Grid, OnGrids


class Quantize(OnGrids):
    """Quantizes its input: what `QuantStub` becomes.

    >>> from quantray import nn
    >>> nn.quantized.Quantize(nn.quantized.Grid(0.5, 10))([0.0, 1.2]).int_repr()
    array([10, 12], dtype=uint8)

    Source: `torch.ao.nn.quantized.Quantize`.
    """

    def __init__(self, grid: Sequence[Any]) -> None:
        super().__init__()
        self.grid = Grid.checked(grid)

    @whole
    def forward(self, input: Any) -> QTensor:
        """The input on the grid."""
        return self.grid.quantize(input)

    def _config(self) -> dict[str, Any]:
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

    @whole
    def forward(self, input: Any) -> Any:
        """Floats."""
        return np.asarray(input)

    def _config(self) -> dict[str, Any]:
        return {}
