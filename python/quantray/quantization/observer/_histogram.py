"""torch's search for the range that loses least, over a histogram that merges exactly."""

from __future__ import annotations

import functools
from bisect import bisect_left, bisect_right
from collections.abc import Mapping

import numpy as np

from quantray import _core
from quantray._typing import Array, QDType, QScheme
from quantray.nn._factory import check_factory
from quantray.quantization.observer._counting import CountingObserver
from quantray.quantization.observer._loss import squared_error
from quantray.quantization.observer._qparams import EPS, Range

#: How much of the values one step of the search leaves out.
STEP = 1e-5


class HistogramObserver(CountingObserver):
    """The part of the values' range that, quantized, has the smallest mean squared error.

    The search leaves out the outermost values, a few at a time, at the end where that moves the range
    further, until the squared error of the histogram grows.

    torch moves its counts to wider bins when the range grows, and loses a little each time, so that its
    answer depends on the order of batches. Here finer bins are kept, which nest and add up exactly, and the
    search's bins are made from them: torch's answer to the bit for nearly all data (in 10,000 values the bins
    of a few are told apart otherwise), and the same answer however the data came.

    torch searches for 256 codes, however few there are, and with one outlier a search for few codes ends
    where it should not. So below 8 bits three ranges are tried on the histogram: torch's, that of a search
    for these codes, and the whole; the one with the smallest squared error is taken.

    Parameters
    ----------
    bins, dtype, qscheme, reduce_range, quant_min, quant_max, eps, is_dynamic, upsample_rate
        See `CountingObserver`.

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
        dtype: QDType = _core.quint8,
        qscheme: QScheme = _core.per_tensor_affine,
        reduce_range: bool = False,
        quant_min: int | None = None,
        quant_max: int | None = None,
        factory_kwargs: Mapping[str, object] | None = None,
        eps: float = EPS,
        is_dynamic: bool = False,
        upsample_rate: int = 64,
    ) -> None:
        super().__init__(
            bins, dtype, qscheme, reduce_range, quant_min, quant_max, eps, is_dynamic, upsample_rate
        )
        if factory_kwargs:
            check_factory(factory_kwargs.get("device"), None)
        # torch's: as many as the dtype has codes.
        self.dst_nbins = 2**self._bits

    @property
    def _few_codes(self) -> bool:
        """Whether there are fewer codes than torch searches for, by more than the bit of `reduce_range`."""
        return not self.reduce_range and self.quant_max - self.quant_min < 2 ** (self._bits - 1)

    def _range(self) -> Range:
        # Whoever looks at a model before it is converted asks more than once.
        state = self._state()
        known, found = self.__dict__.get("_known_range", (None, None))
        if found is None or known != state:
            found = self._found_range()
            self.__dict__["_known_range"] = state, found
        return found

    def _state(self) -> tuple[object, ...]:
        """All that the range depends on: what was seen, and settings."""
        seen = self.min_val.item(), self.max_val.item(), int(self.exponent), int(self.first)
        codes = self.dtype, self.qscheme, self.reduce_range, self.quant_min, self.quant_max, self._bits
        counts = len(self.counts), _core._fingerprint(self.counts)
        return *seen, *codes, *counts, float(self.eps[0]), self.bins, self.dst_nbins

    def _found_range(self) -> Range:
        histogram, width = self.histogram, (float(self.max_val) - float(self.min_val)) / self.bins
        found = self._values(*self._search(histogram, width, self.dst_nbins))
        if not self._few_codes:
            return found
        codes = self.quant_max - self.quant_min + 1
        fewer = self._values(*self._search(histogram, width, codes))
        return min(found, fewer, (self.min_val, self.max_val), key=self._lost)

    def _lost(self, limits: Range) -> float:
        """The squared error with this range."""
        scale, zero_point = self._calculate_qparams(*limits)
        at = (float(scale[0]), int(zero_point[0]), self.quant_min, self.quant_max)
        return squared_error(self.grid, float(self.min_val), float(self.max_val), *at)

    def _values(self, start: int, end: int) -> Range:
        """Where the range of these bins begins and ends: in float32, as torch has it."""
        low = self.min_val
        with np.errstate(over="ignore"):
            width = (self.max_val - low) / np.float32(self.bins)
        if np.isinf(width):
            # Wider than any float32.
            low, width = float(low), (float(self.max_val) - float(low)) / self.bins
            return np.float32(low + width * start), np.float32(low + width * (end + 1))
        return low + width * np.float32(start), low + width * np.float32(end + 1)

    def _search(self, histogram: Array, width: float, codes: int) -> tuple[int, int]:
        """The first and the last bin of the range with the smallest error in so many codes."""
        cumulative: list[float] = np.cumsum(histogram).tolist()
        alphas, betas = _left_out()
        below, above = alphas * cumulative[-1], betas * cumulative[-1]
        rising = -above
        start, end = 0, self.bins - 1
        least = np.inf
        alpha = beta = 0
        while start < end and alphas[alpha] < betas[beta]:
            left = min(bisect_left(cumulative, below[alpha + 1], start), end)
            right = max(bisect_right(cumulative, above[beta + 1], start, end + 1) - 1, start)
            if left - start > end - right:
                next_start, next_end, alpha = left, end, alpha + 1
            elif right < end:
                next_start, next_end, beta = start, right, beta + 1
            else:
                # Nothing moves before the upper end does: most steps leave less out than lies in one bin.
                beta = int(np.searchsorted(rising, -cumulative[end], "right")) - 1
                if beta == len(betas) - 1:
                    break
                continue
            error = self._error(histogram, next_start, next_end, width, codes)
            if error > least:
                break
            least, start, end = error, next_start, next_end
        return start, end

    def _error(self, histogram: Array, start: int, end: int, width: float, codes: int) -> float:
        """The squared error if these bins are the range, each bin's values spread evenly."""
        step = width * (end - start + 1) / codes
        if step == 0:
            return 0.0
        begins = (np.arange(self.bins) - start) * width
        ends = begins + width
        first = np.clip(np.floor(begins / step), 0, codes - 1)
        last = np.clip(np.floor(ends / step), 0, codes - 1)
        # In the step where a bin begins, in whole steps, in the step where it ends.
        error = _cubes(begins - (first + 0.5) * step, step / 2)
        error += (last - first - 1) * _cubes(-step / 2, step / 2)
        error += _cubes(-step / 2, ends - (last + 0.5) * step)
        return float((histogram / width * error).sum())


@functools.cache
def _left_out() -> tuple[Array, Array]:
    """The shares of the values that are left out below, and those up to the upper end, step by step: each
    with the rounding of all before it.
    """
    steps = np.full(round(1 / STEP) + 2, STEP)
    steps[0] = 0
    below = np.add.accumulate(steps)
    steps[0] = 1
    return below, np.subtract.accumulate(steps)


def _cubes(begin: Array | float, end: Array | float) -> Array | float:
    """The integral of the squared distance, from begin to end."""
    return (end * end * end - begin * begin * begin) / 3
