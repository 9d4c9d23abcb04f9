"""The range that changes the distribution of values least."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from quantray._typing import Array
from quantray.quantization.observer import _types
from quantray.quantization.observer._counting import CountingObserver
from quantray.quantization.observer._qparams import Range

#: How many standard deviations of its own noise a divergence may lie above the smallest one.
DEVIATIONS = 2


class EntropyObserver(CountingObserver):
    """The widest range whose quantized values are distributed as much like the values as in any range.

    Of ranges [-t, t], or [0, t] and [-t, 0] where all values have one sign, each is compared, by KL
    divergence, to the distribution of its values with those outside at its ends. Then the part that the data
    covers is taken. Three things differ from the calibrations of that name, each of which misjudges data that
    they were not made for:

    - One value that many have, as the zeros after a ReLU or a padded border, is no part of a distribution
      that quantization could blur, and would outweigh all that is: it counts as much as its neighbours.
    - Few values in many bins differ from their codes' averages by chance. What chance adds to a divergence is
      known, and subtracted. Values that came more than once count once.
    - Of ranges that chance alone tells apart, the widest is taken, not the one where chance was luckiest.

    Parameters
    ----------
    bins, dtype, qscheme, reduce_range, quant_min, quant_max, eps, is_dynamic, upsample_rate
        See `CountingObserver`.

    >>> import numpy as np
    >>> from quantray import quantization as tq
    >>> observer = tq.EntropyObserver()
    >>> _ = observer(np.append(np.random.default_rng(0).standard_normal(10_000), 100))
    >>> bool(observer.calculate_qparams()[0] * 255 < 50)
    True

    Source: Migacz, "8-bit Inference with TensorRT", GTC 2017; its calibration in onnxruntime and MXNet. The
    widest of what is as good is Breiman et al.'s rule for pruning trees ("Classification and Regression
    Trees", 1984, section 3.4.3).
    """

    def _range(self) -> Range:
        low, high = float(self.min_val), float(self.max_val)
        most = max(-low, high)
        if low == high or most == 0:
            return self.min_val, self.max_val
        one_sided = low >= 0 or high <= 0
        codes = self.quant_max - self.quant_min + 1
        if one_sided and self.qscheme in _types.SYMMETRIC:
            codes = (codes + 1) // 2
        # Of one-sided data, absolute values; else as many bins on each side of 0.
        edges = np.linspace(-most, most, self.bins // 2 * 2 + 1)
        if one_sided:
            edges = np.linspace(0, most, self.bins + 1) * (1 if low >= 0 else -1)
            edges.sort()
        grid = self.grid
        grid = grid._replace(counts=_without_atoms(grid.counts / _repeats(grid.counts)))
        counts = grid.spread(np.clip(edges, low, high), low, high)
        if one_sided and high <= 0:
            counts = counts[::-1]
        whole = counts.size // (1 if one_sided else 2)
        start = min(max(codes // (1 if one_sided else 2), 1), whole)
        # The widest first.
        sizes = range(whole, start - 1, -max(self.bins // 1024, 1))
        tried = [_divergence(counts, size, codes, one_sided) for size in sizes]
        least = min(found.value for found in tried)
        fits = (s for s, found in zip(sizes, tried, strict=True) if found.value <= least + found.noise)
        best = next(fits) * most / whole
        return np.float32(max(low, -best)), np.float32(min(high, best))


class _Divergence(NamedTuple):
    """A divergence without what chance adds to it on average, and how far chance may still move it."""

    value: float
    noise: float


def _repeats(counts: Array) -> float:
    """How often each value came: 1 for values that chance alone strews over the bins.

    Of n values in two neighbours that are as likely, the squared difference of the counts is n on average;
    of n values each of which is there u times, it is u times as much. The largest twentieth may be something
    else.
    """
    after, before = counts[1:], counts[:-1]
    used = after + before > 0
    if not used.any():
        return 1.0
    found = np.sort(((after - before) ** 2)[used] / (after + before)[used])
    return max(float(found[: max(found.size * 19 // 20, 1)].mean()), 1.0)


def _without_atoms(counts: Array) -> Array:
    """Counts of which none stands out from both neighbours by more than chance does: it becomes theirs."""
    padded = np.append(np.append(0, counts), 0)
    near = np.maximum(padded[:-2], padded[2:])
    # Five standard deviations of a count, and at least five values.
    return np.where(counts > near + 5 * np.sqrt(near + 1), np.maximum(near, 1), counts)


def _divergence(counts: Array, size: int, codes: int, one_sided: bool) -> _Divergence:
    """KL divergence of bins from 0 on, those outside added to the last, from the same in so many codes."""
    middle = 0 if one_sided else counts.size // 2
    first, last = (0 if one_sided else middle - size), middle + size
    inside = counts[first:last]
    clipped = inside.copy()
    clipped[0] += counts[:first].sum()
    clipped[-1] += counts[last:].sum()
    # Each code's values, spread evenly over its bins that have any.
    codes = min(codes, inside.size)
    starts = np.arange(codes) * inside.size // codes
    lengths = np.diff(np.append(starts, inside.size))
    used = np.add.reduceat((inside > 0).astype(np.float64), starts)
    each = np.add.reduceat(inside, starts) / np.maximum(used, 1)
    quantized = np.repeat(each, lengths) * (inside > 0)
    total, quantized_total = clipped.sum(), quantized.sum()
    if quantized_total == 0:
        return _Divergence(np.inf, 0)
    # Bins that only clipped values reach are given a little, else the divergence would be infinite.
    p, q = clipped / total, np.maximum(quantized / quantized_total, 1e-9)
    held = p > 0
    value = float((p[held] * np.log(p[held] / q[held])).sum())
    # A bin with c of m values on average adds E[c log(c / m)] for each degree of freedom: half, as in Wilks'
    # theorem, where they are many, and nothing for those that have one value since they are used. Between
    # them this is within 0.02 of the sum over Poisson's distribution without its zero.
    free = np.maximum(used - 1, 0) * -np.expm1(-0.77 * np.maximum(each - 1, 0))
    chance = float(free.sum())
    return _Divergence(value - chance / 2 / total, DEVIATIONS * np.sqrt(chance / 2) / total)
