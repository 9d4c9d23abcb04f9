"""For each channel the range with the smallest squared error, by trying."""

from __future__ import annotations

import numpy as np

from quantray._typing import ArrayLike
from quantray.quantization.observer import _types
from quantray.quantization.observer._min_max import PerChannelMinMaxObserver, finite_range

#: Parts of the range that are tried: from all of it to a fifth.
_TRIED = np.linspace(1.0, 0.2, 49)


class PerChannelMSEObserver(PerChannelMinMaxObserver):
    """For each channel the range whose scale and zero point give the smallest mean squared error: of weights.

    Each array is looked at as it comes, and both ends of each channel's range shrink together; of several
    arrays the widest range counts. For few bits it is much better than the whole range: in 4 bits weights
    lose some 2 dB less.

    Parameters
    ----------
    ch_axis, dtype, qscheme, reduce_range, quant_min, quant_max, eps, is_dynamic
        See `PerChannelMinMaxObserver`.

    >>> import numpy as np
    >>> from quantray import _core, quantization as tq
    >>> weight = np.random.default_rng(0).standard_normal((4, 256)).astype(np.float32)
    >>> settings = dict(dtype="qint8", qscheme=_core.per_channel_symmetric, quant_min=-8, quant_max=7)
    >>> mse, whole = tq.PerChannelMSEObserver(**settings), tq.PerChannelMinMaxObserver(**settings)
    >>> _ = mse(weight), whole(weight)
    >>> bool((mse.calculate_qparams()[0] < whole.calculate_qparams()[0]).all())
    True

    Source: "A White Paper on Neural Network Quantization" (Nagel et al., arXiv:2106.08295), section 3.1, for
    each channel.
    """

    def _observe(self, x: ArrayLike) -> None:
        low, high = finite_range(x, self.ch_axis)
        values = np.moveaxis(np.asarray(x, np.float64), self.ch_axis, 0)
        values = values.reshape(values.shape[0], -1)
        finite = np.isfinite(values)
        values = np.where(finite, values, 0)
        begin, end = np.minimum(low, np.float32(0)), np.maximum(high, np.float32(0))
        if self.qscheme in _types.SYMMETRIC:
            most = np.maximum(-begin, end)
            begin, end = -most, most
        best_low, best_high = begin.copy(), end.copy()
        least = np.full(begin.shape, np.inf)
        for part in _TRIED.astype(np.float32):
            scale, zero_point = self._calculate_qparams(part * begin, part * end)
            step, zero = scale.astype(np.float64)[:, None], np.asarray(zero_point, np.float64)[:, None]
            codes = np.clip(np.rint(values / step) + zero, self.quant_min, self.quant_max)
            error = ((codes - zero) * step - values) ** 2
            found = np.where(finite, error, 0).sum(axis=1)
            better = found < least
            best_low = np.where(better, part * begin, best_low)
            best_high = np.where(better, part * end, best_high)
            least = np.where(better, found, least)
        self._widen(np.asarray(best_low, np.float32), np.asarray(best_high, np.float32))
