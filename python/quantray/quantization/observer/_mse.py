"""The range with the smallest squared error, by trying."""

from __future__ import annotations

import numpy as np

from quantray.quantization.observer import _types
from quantray.quantization.observer._counting import CountingObserver
from quantray.quantization.observer._qparams import Range

#: How many parts of the range are tried on each side, in one round.
TRIED = 64


class MSEObserver(CountingObserver):
    """The range whose scale and zero point give the smallest mean squared error.

    Quantizes the middles of the histogram's bins by the scale and the zero point that each range would give:
    symmetric ranges, and those with one end at 0, shrink in steps; others at either end in turns, until
    neither helps.

    Parameters
    ----------
    bins, dtype, qscheme, reduce_range, quant_min, quant_max, eps, is_dynamic, upsample_rate
        See `CountingObserver`.

    >>> import numpy as np
    >>> from quantray import quantization as tq
    >>> values = np.random.default_rng(0).standard_normal(10_000).astype(np.float32)
    >>> mse, min_max = (kind(quant_min=0, quant_max=15) for kind in (tq.MSEObserver, tq.MinMaxObserver))
    >>> _ = mse(values), min_max(values)
    >>> bool(mse.calculate_qparams()[0] < min_max.calculate_qparams()[0])
    True

    Source: "Integer Quantization for Deep Learning Inference" (Wu et al., arXiv:2004.09602); "A White Paper
    on Neural Network Quantization" (Nagel et al., arXiv:2106.08295), section 3.1.
    """

    def _range(self) -> Range:
        low, high = min(float(self.min_val), 0.0), max(float(self.max_val), 0.0)
        if low == high:
            return self.min_val, self.max_val
        histogram = self.histogram
        used = histogram > 0
        edges = np.linspace(float(self.min_val), float(self.max_val), self.bins + 1)
        middles, counts = ((edges[1:] + edges[:-1]) / 2)[used], histogram[used]

        def error(low: float, high: float) -> float:
            scale, zero_point = (float(v[0]) for v in self._calculate_qparams(low, high))
            codes = np.clip(np.rint(middles / scale) + zero_point, self.quant_min, self.quant_max)
            return float((counts * ((codes - zero_point) * scale - middles) ** 2).sum())

        parts = np.arange(TRIED, 0, -1) / TRIED
        if self.qscheme in _types.SYMMETRIC:
            most = max(-low, high)
            best = min((float(part) for part in parts), key=lambda part: error(-most * part, most * part))
            return np.float32(-most * best), np.float32(most * best)
        at = (1.0, 1.0)
        while True:
            before = at
            tried = [(float(part), at[1]) for part in parts] if low < 0 else [at]
            at = min([at, *tried], key=lambda at: error(low * at[0], high * at[1]))
            tried = [(at[0], float(part)) for part in parts] if high > 0 else [at]
            at = min([at, *tried], key=lambda at: error(low * at[0], high * at[1]))
            # The error fell, or the search is over: so it ends.
            if at == before:
                return np.float32(low * at[0]), np.float32(high * at[1])
