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
        numbers = np.arange(self.first, self.first + self.counts.size, dtype=np.int64) >> shift
        starts = np.flatnonzero(np.diff(numbers, prepend=numbers[0] - 1))
        return Grid(exponent, int(numbers[0]), np.add.reduceat(self.counts, starts))

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


def count(x: ArrayLike, low: float, high: float, most: int) -> Grid:
    """The histogram of an array with this range of finite values."""
    exponent, first, bins = finest(low, high, most)
    return Grid(exponent, first, _core._histogram(x, exponent, first, bins))


def merge(a: Grid, b: Grid, low: float, high: float, most: int) -> Grid:
    """The histogram of what both have, whose range is from low to high."""
    exponent, first, bins = finest(low, high, most)
    counts = np.zeros(bins, np.int64)
    for part in (a.coarser(exponent), b.coarser(exponent)):
        start = part.first - first
        counts[start : start + part.counts.size] += part.counts
    return Grid(exponent, first, counts)
