"""torch's histogram, and its search for the range that loses least."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from typing import Any

import numpy as np

from quantray import _core
from quantray.quantization.observer import _types
from quantray.quantization.observer._base import UniformQuantizationObserverBase
from quantray.quantization.observer._min_max import finite_range
from quantray.quantization.observer._qparams import EPS

#: How much of the values one step of the search leaves out.
STEP = 1e-5


def equal_bins(x: Any, bins: int, low: Any, high: Any) -> Any:
    """Counts of values in bins of equal width from low to high; values outside are not counted.

    Positions are computed in float32, as `torch.histc` does.
    """
    x = np.asarray(x, np.float32).ravel()
    if low == high:
        low, high = low - np.float32(1), high + np.float32(1)
    x = x[(x >= low) & (x <= high)]
    position = ((x - low) * np.float32(bins) / (high - low)).astype(np.int64)
    return np.bincount(np.minimum(position, bins - 1), minlength=bins).astype(np.float64)


class HistogramObserver(UniformQuantizationObserverBase):
    """The part of the values' range that, quantized, has the smallest mean squared error.

    A histogram of equal bins from the smallest to the largest value grows with the range. The search leaves
    out the outermost values, a few at a time, at the end where that moves the range further, until the
    squared error of the histogram grows.

    Parameters
    ----------
    bins : int
        Bins of the histogram.
    dtype, qscheme, reduce_range, quant_min, quant_max, eps, is_dynamic
        See `UniformQuantizationObserverBase`; the scheme is per tensor.
    upsample_rate : int
        Into how many parts a bin is split where the range grows and its values move to wider bins.

    >>> import numpy as np
    >>> from quantray import quantization as tq
    >>> observer = tq.HistogramObserver()
    >>> values = np.append(np.linspace(-1, 1, 1000), 30)
    >>> _ = observer(values)
    >>> scale, zero_point = observer.calculate_qparams()
    >>> bool(scale * 255 < 31)
    True

    Source: `torch.ao.quantization.HistogramObserver`, the search of its `_non_linear_param_search`.
    """

    def __init__(
        self,
        bins: int = 2048,
        dtype: Any = _core.quint8,
        qscheme: Any = _core.per_tensor_affine,
        reduce_range: bool = False,
        quant_min: int | None = None,
        quant_max: int | None = None,
        eps: float = EPS,
        is_dynamic: bool = False,
        upsample_rate: int = 16,
    ) -> None:
        if is_dynamic:
            raise ValueError("is_dynamic must be False for histograms, got True")
        for name, value in (("bins", bins), ("upsample_rate", upsample_rate)):
            if value < 1:
                raise ValueError(f"{name} must be at least 1, got {value}")
        super().__init__(dtype, qscheme, reduce_range, quant_min, quant_max, eps)
        self.bins, self.upsample_rate = bins, upsample_rate
        self.dst_nbins = 2**self.dtype.bits
        self.reset_min_max_vals()

    @classmethod
    def _schemes(cls) -> tuple[_core.qscheme, ...]:
        return _types.PER_TENSOR

    def reset_min_max_vals(self) -> None:
        """Forgets what was observed."""
        self.register_buffer("histogram", np.zeros(self.bins))
        self.register_buffer("min_val", np.asarray(np.inf, np.float32))
        self.register_buffer("max_val", np.asarray(-np.inf, np.float32))

    @property
    def has_data(self) -> bool:
        return bool(self.min_val <= self.max_val)

    def _settings(self) -> dict[str, Any]:
        return {**super()._settings(), "bins": self.bins, "upsample_rate": self.upsample_rate}

    def _observe(self, x: Any) -> None:
        low, high = finite_range(x)
        if not low <= high:
            return
        low, high = np.minimum(low, self.min_val), np.maximum(high, self.max_val)
        self._add(equal_bins(x, self.bins, low, high), np.asarray(low), np.asarray(high))

    def _add(self, counts: Any, low: Any, high: Any) -> None:
        """Adds counts of a range that holds the one so far."""
        if self.has_data:
            counts = counts + self._moved(low, high)
        self.histogram, self.min_val, self.max_val = counts, low, high

    def _moved(self, low: Any, high: Any) -> Any:
        """The histogram so far, in the bins of a wider range."""
        if low == self.min_val and high == self.max_val:
            return self.histogram
        if self.min_val == self.max_val:
            return equal_bins(self.min_val, self.bins, low, high) * self.histogram.sum()
        parts = self.bins * self.upsample_rate
        weights = np.repeat(self.histogram / self.upsample_rate, self.upsample_rate)
        edges = np.linspace(self.min_val, self.max_val, parts + 1, dtype=np.float64)[:-1]
        middles = edges + (float(self.max_val) - float(self.min_val)) / parts / 2
        bounds = np.linspace(low, high, self.bins + 1, dtype=np.float64)
        found = np.clip(np.searchsorted(bounds, middles, "right") - 1, 0, self.bins - 1)
        return np.bincount(found, weights, self.bins)

    def _merge(self, other: Any) -> None:
        if not other.has_data:
            return
        low, high = np.minimum(self.min_val, other.min_val), np.maximum(self.max_val, other.max_val)
        self._add(other._moved(low, high), np.asarray(low), np.asarray(high))

    def _range(self) -> tuple[Any, Any]:
        start, end = self._search((float(self.max_val) - float(self.min_val)) / self.bins)
        width = (self.max_val - self.min_val) / np.float32(self.bins)
        return self.min_val + width * np.float32(start), self.min_val + width * np.float32(end + 1)

    def _search(self, width: float) -> tuple[int, int]:
        """The first and the last bin of the range with the smallest error."""
        cumulative = np.cumsum(self.histogram)
        total = cumulative[-1]
        alpha, beta = 0.0, 1.0
        start, end = 0, self.bins - 1
        least = np.inf
        while alpha < beta:
            next_alpha, next_beta = alpha + STEP, beta - STEP
            left = min(max(bisect_left(cumulative, next_alpha * total, start), start), end)
            right = max(bisect_right(cumulative, next_beta * total, start, end + 1) - 1, start)
            if left - start > end - right:
                next_start, next_end, alpha = left, end, next_alpha
            else:
                next_start, next_end, beta = start, right, next_beta
            if (next_start, next_end) == (start, end):
                continue
            error = self._error(next_start, next_end, width)
            if error > least:
                break
            least, start, end = error, next_start, next_end
        return start, end

    def _error(self, start: int, end: int, width: float) -> float:
        """The squared error if these bins are the range, each bin's values spread evenly."""
        step = width * (end - start + 1) / self.dst_nbins
        if step == 0:
            return 0.0
        begins = (np.arange(self.bins) - start) * width
        ends = begins + width
        first = np.clip(np.floor(begins / step), 0, self.dst_nbins - 1)
        last = np.clip(np.floor(ends / step), 0, self.dst_nbins - 1)
        # In the step where a bin begins, in whole steps, in the step where it ends.
        error = _cubes(begins - (first + 0.5) * step, step / 2)
        error += (last - first - 1) * _cubes(-step / 2, step / 2)
        error += _cubes(-step / 2, ends - (last + 0.5) * step)
        return float((self.histogram / width * error).sum())

    def extra_repr(self) -> str:
        """Bins and range."""
        return f"bins={self.bins}, min_val={self.min_val}, max_val={self.max_val}"


def _cubes(begin: Any, end: Any) -> Any:
    """The integral of the squared distance, from begin to end."""
    return (end * end * end - begin * begin * begin) / 3
