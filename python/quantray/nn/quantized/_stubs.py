"""The borders between floats and integers, where a model draws them itself."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from quantray import nn
from quantray._core import QTensor
from quantray.nn.quantized._grid import Grid


class Quantize(nn.Module):
    """Quantizes its input: what `QuantStub` becomes. Source: `torch.ao.nn.quantized.Quantize`."""

    def __init__(self, grid: Sequence[Any]) -> None:
        super().__init__()
        self.grid = Grid(*grid)

    def forward(self, input: Any) -> QTensor:
        """The input on the grid."""
        return self.grid.quantize(input)

    def _config(self) -> dict[str, Any]:
        return {"grid": self.grid}

    def extra_repr(self) -> str:
        return str(self.grid)


class DeQuantize(nn.Module):
    """Dequantizes its input: what `DeQuantStub` becomes. Source: `torch.ao.nn.quantized.DeQuantize`."""

    def forward(self, input: Any) -> Any:
        """Floats."""
        return np.asarray(input)

    def _config(self) -> dict[str, Any]:
        return {}
