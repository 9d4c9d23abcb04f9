"""The range that changes the distribution of values least."""

from __future__ import annotations

from typing import Any

import numpy as np

from quantray.quantization.observer import _types
from quantray.quantization.observer._counting import CountingObserver


class EntropyObserver(CountingObserver):
    """The range whose quantized values are distributed most like the values: the smallest KL divergence.

    Of ranges [-t, t], or [0, t] and [-t, 0] where all values have one sign, each is compared to the
    distribution of its values with those outside at its ends. Then the part that the data covers is taken.

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

    Source: Migacz, "8-bit Inference with TensorRT", GTC 2017; its calibration in onnxruntime and MXNet.
    """

    def _range(self) -> tuple[Any, Any]:
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
        counts = self.grid.spread(np.clip(edges, low, high), low, high)
        if one_sided and high <= 0:
            counts = counts[::-1]
        half = 1 if one_sided else 2
        start = min(max(codes // half, 1), counts.size // half)
        sizes = range(start, counts.size // half + 1, max(self.bins // 1024, 1))
        best = min(sizes, key=lambda size: _divergence(counts, size, codes, one_sided))
        width = most / (counts.size // half)
        return np.float32(max(low, -best * width)), np.float32(min(high, best * width))


def _divergence(counts: Any, size: int, codes: int, one_sided: bool) -> float:
    """KL divergence of bins from 0 on, those outside added to the last, from the same in so many codes."""
    middle = 0 if one_sided else counts.size // 2
    first, last = (0 if one_sided else middle - size), middle + size
    inside = counts[first:last]
    clipped = inside.copy()
    clipped[0] += counts[:first].sum()
    clipped[-1] += counts[last:].sum()
    # Each code's values, spread evenly over its bins that have any.
    starts = np.unique(np.arange(codes) * inside.size // codes)
    lengths = np.diff(np.append(starts, inside.size))
    used = np.add.reduceat((inside > 0).astype(np.float64), starts)
    each = np.add.reduceat(inside, starts) / np.maximum(used, 1)
    quantized = np.repeat(each, lengths) * (inside > 0)
    total, quantized_total = clipped.sum(), quantized.sum()
    if quantized_total == 0:
        return np.inf
    # Bins that only clipped values reach are given a little, else the divergence would be infinite.
    p, q = clipped / total, np.maximum(quantized / quantized_total, 1e-9)
    held = p > 0
    return float((p[held] * np.log(p[held] / q[held])).sum())
