"""Means of windows of codes, on a grid of their own: sums of integers, rounded once."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from quantray import ops
from quantray._core import QTensor, make_per_tensor_quantized_tensor
from quantray.nn.quantized._grid import Grid

#: By kinds of nodes and names of functions, what computes them.
MEANS: dict[str, Any] = {
    f"{name}{dims}d": getattr(ops, f"{name}{dims}d")
    for name in ("avg_pool", "adaptive_avg_pool")
    for dims in (1, 2, 3)
}


def in_type_of(grid: Grid, dtype: str) -> Grid:
    """A grid of the other type of codes with the same steps."""
    if grid.dtype == dtype:
        return grid
    by = -128 if dtype == "qint8" else 128
    ends = (grid.zero_point + by, dtype, grid.quant_min + by, grid.quant_max + by)
    return Grid(grid.scale, *ends)


def averaged(q: QTensor, kind: str, settings: Mapping[str, Any], grid: Grid) -> QTensor:
    """Means as a kind of nodes has them, on a grid.

    Source: `rint(f32(sum) * f32(scale / (grid.scale * size))) + grid.zero_point`, where `sum` is that of a
    window's codes less their zero point.
    """
    own = in_type_of(grid, q.dtype.name)
    to = {"scale": own.scale, "zero_point": own.zero_point}
    if kind == "mean":
        pooled = MEANS[f"adaptive_avg_pool{np.ndim(q) - 2}d"](q, 1, **to)
        made = pooled if settings["keepdims"] else pooled.reshape(pooled.shape[:2])
    else:
        made = MEANS[kind](q, **settings, **to)
    made = own.clamp(made)
    if own is grid:
        return made
    codes: Any = np.asarray(made.int_repr()).astype(np.int16) + (grid.zero_point - own.zero_point)
    codes = codes.astype(np.int8 if grid.dtype == "qint8" else np.uint8)
    return make_per_tensor_quantized_tensor(codes, grid.scale, grid.zero_point)
