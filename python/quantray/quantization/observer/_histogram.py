"""torch's search for the range that loses least, over a histogram that merges exactly."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from typing import Any

import numpy as np

from quantray import _core
from quantray.quantization.observer._counting import CountingObserver
from quantray.quantization.observer._qparams import EPS

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
        dtype: Any = _core.quint8,
        qscheme: Any = _core.per_tensor_affine,
        reduce_range: bool = False,
        quant_min: int | None = None,
        quant_max: int | None = None,
        eps: float = EPS,
        is_dynamic: bool = False,
        upsample_rate: int = 64,
    ) -> None:
        super().__init__(
            bins, dtype, qscheme, reduce_range, quant_min, quant_max, eps, is_dynamic, upsample_rate
        )
        # As many as the dtype has codes, as in torch, also where a bit is left out. Fewer bits are counted.
        codes = self.quant_max - self.quant_min + 1
        self.dst_nbins = 2**self.dtype.bits if codes >= 2 ** (self.dtype.bits - 1) - 1 else codes

    def _range(self) -> tuple[Any, Any]:
        start, end = self._search(self.histogram, (float(self.max_val) - float(self.min_val)) / self.bins)
        width = (self.max_val - self.min_val) / np.float32(self.bins)
        return self.min_val + width * np.float32(start), self.min_val + width * np.float32(end + 1)

    def _search(self, histogram: Any, width: float) -> tuple[int, int]:
        """The first and the last bin of the range with the smallest error."""
        cumulative: list[float] = np.cumsum(histogram).tolist()
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
            error = self._error(histogram, next_start, next_end, width)
            if error > least:
                break
            least, start, end = error, next_start, next_end
        return start, end

    def _error(self, histogram: Any, start: int, end: int, width: float) -> float:
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
        return float((histogram / width * error).sum())


def _cubes(begin: Any, end: Any) -> Any:
    """The integral of the squared distance, from begin to end."""
    return (end * end * end - begin * begin * begin) / 3
