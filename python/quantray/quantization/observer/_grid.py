"""Histograms that add up exactly: bins as wide as a power of two, which nest.

The state is a function of the data alone. Its bins are as fine as the range of the data allows, at most so
many; a wider range joins neighbours in pairs. So one stream, many batches and many machines come to the same
counts.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from quantray import _core
from quantray._typing import Array, ArrayLike


class Grid(NamedTuple):
    """Counts of bins `2**exponent` wide, the first of which begins at `first * 2**exponent`."""

    exponent: int
    first: int
    counts: Array

    def coarser(self, exponent: int) -> Grid:
        """The same values in wider bins."""
        shift = exponent - self.exponent
        if shift == 0:
            return self
        if shift < 0:
            # All of it is 0, whose bin begins there, however wide it is.
            return Grid(exponent, self.first, self.counts)
        size, first = self.counts.size, self.first >> shift
        before = self.first - (first << shift)
        bins = -(-(before + size) >> shift)
        if bins <= 2:
            # As wide as all that there is, or wider: memory for whole bins may not be there.
            cut = min(size, (1 << shift) - before)
            parts = (self.counts[:cut], self.counts[cut:])[:bins]
            return Grid(exponent, first, np.array([part.sum() for part in parts], np.int64))
        padded = np.zeros(bins << shift, np.int64)
        padded[before : before + size] = self.counts
        return Grid(exponent, first, padded.reshape(bins, -1).sum(axis=1))

    def edges(self) -> Array:
        """Where bins begin, and where the last one ends; float64, exact."""
        return np.ldexp(
            np.arange(self.first, self.first + self.counts.size + 1, dtype=np.float64), self.exponent
        )

    def spread(self, edges: Array, low: float, high: float) -> Array:
        """Counts between other edges, the values of each bin spread evenly over its part from low to high."""
        bounds = np.clip(self.edges(), low, high)
        below = np.append(0, np.cumsum(self.counts))
        reached = np.interp(edges, bounds, below)
        # A bin of which one value alone is in the range has no width there.
        reached[0], reached[-1] = 0, below[-1]
        return np.diff(reached)


def _number(value: float, exponent: int) -> int:
    """The bin of a value; negative values have the bins that mirror positive ones."""
    steps = math.floor(math.ldexp(abs(value), -exponent))
    return -1 - steps if value < 0 else steps


def finest(low: float, high: float, most: int) -> tuple[int, int, int]:
    """Exponent, first bin and number of bins of the finest grid that has a range in at most so many bins.

    No finer than the largest value's last place, where bins would have gaps between floats.
    """
    exponent = max(math.frexp(max(-low, high))[1] - 24, -149)
    while _number(high, exponent) - _number(low, exponent) >= most:
        exponent += 1
    first = _number(low, exponent)
    return exponent, first, _number(high, exponent) - first + 1


def count(known: Grid, x: ArrayLike, low: float, high: float, most: int) -> Grid:
    """The histogram of an array and of what there is already; all finite values are from low to high."""
    exponent, first, bins = finest(low, high, most)
    return _sum(Grid(exponent, first, _core._histogram(x, exponent, first, bins)), known)


def merge(a: Grid, b: Grid, low: float, high: float, most: int) -> Grid:
    """The histogram of what both have, whose range is from low to high."""
    exponent, first, bins = finest(low, high, most)
    return _sum(_sum(Grid(exponent, first, np.zeros(bins, np.int64)), a), b)


def _sum(grid: Grid, part: Grid) -> Grid:
    """A histogram, which is changed, and one whose bins are no wider, of values in its range."""
    if part.counts.size:
        part = part.coarser(grid.exponent)
        start = part.first - grid.first
        grid.counts[start : start + part.counts.size] += part.counts
    return grid
