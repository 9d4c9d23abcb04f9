"""What quantization would lose of a histogram's values."""

from __future__ import annotations

import numpy as np

from quantray._typing import Array
from quantray.quantization.observer._grid import Grid


def squared_error(
    grid: Grid, low: float, high: float, scale: float, zero_point: int, quant_min: int, quant_max: int
) -> float:
    """The sum of squared errors of values from low to high, the counts of each bin spread evenly over it.

    Exact: the integral of the squared distance from `t` to its code's value `k * scale` is, from 0 on,
    `k * scale**3 / 12 + (t - k * scale)**3 / 3`, within the codes and beyond them alike.
    """
    used = np.flatnonzero(grid.counts)
    edges = np.clip(grid.edges(), low, high)
    begin, end, counts = edges[used], edges[used + 1], grid.counts[used]

    def integral(t: Array) -> Array:
        code = np.clip(np.rint(t / scale), quant_min - zero_point, quant_max - zero_point)
        return code * scale**3 / 12 + (t - code * scale) ** 3 / 3

    def at(t: Array) -> Array:
        code = np.clip(np.rint(t / scale), quant_min - zero_point, quant_max - zero_point)
        return (t - code * scale) ** 2

    width = end - begin
    # Bins much narrower than a step lose nothing if taken by their middle, where the difference of two
    # integrals would lose its digits.
    narrow = width < scale * 1e-3
    means = np.where(
        narrow,
        at((begin + end) / 2),
        (integral(end) - integral(begin)) / np.where(narrow, 1, width),
    )
    return float((counts * means).sum())
