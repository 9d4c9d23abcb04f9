"""The range that holds most of the values."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from quantray import _core
from quantray._typing import QDType, QScheme
from quantray.quantization.observer import _types
from quantray.quantization.observer._counting import CountingObserver
from quantray.quantization.observer._qparams import EPS, Range


class PercentileObserver(CountingObserver):
    """The range that holds so many percent of the values, and leaves out the outermost ones.

    Affine: as many are left out below as above. Symmetric: those whose absolute value is largest.

    Parameters
    ----------
    percentile : float
        Percent of values that the range holds, above 0 and at most 100, which is the whole range.
    bins, dtype, qscheme, reduce_range, quant_min, quant_max, eps, is_dynamic, upsample_rate
        See `CountingObserver`.

    >>> import numpy as np
    >>> from quantray import quantization as tq
    >>> observer = tq.PercentileObserver(percentile=99, qscheme="per_tensor_symmetric", dtype="qint8")
    >>> _ = observer(np.append(np.linspace(-1, 1, 10_000), 30))
    >>> observer.calculate_qparams()[0].round(4)
    array([0.0078], dtype=float32)

    Source: the percentile calibration of "Integer Quantization for Deep Learning Inference" (Wu et al.,
    arXiv:2004.09602), section 5.
    """

    def __init__(
        self,
        percentile: float = 99.99,
        bins: int = 2048,
        dtype: QDType = _core.quint8,
        qscheme: QScheme = _core.per_tensor_affine,
        reduce_range: bool = False,
        quant_min: int | None = None,
        quant_max: int | None = None,
        eps: float = EPS,
        is_dynamic: bool = False,
        upsample_rate: int = 64,
    ) -> None:
        if not 0 < percentile <= 100:
            raise ValueError(f"percentile must be above 0 and at most 100, got {percentile!r}")
        super().__init__(
            bins, dtype, qscheme, reduce_range, quant_min, quant_max, eps, is_dynamic, upsample_rate
        )
        self.percentile = float(percentile)

    def _settings(self) -> dict[str, object]:
        return {**super()._settings(), "percentile": self.percentile}

    def _range(self) -> Range:
        low, high = float(self.min_val), float(self.max_val)
        if self.percentile == 100 or low == high:
            return self.min_val, self.max_val
        grid = self.grid
        edges = np.clip(grid.edges(), low, high)
        below: NDArray[np.float64] = np.append(0, np.cumsum(grid.counts)) / grid.counts.sum()
        if self.qscheme in _types.SYMMETRIC:
            # How many absolute values lie below each edge's.
            sizes = np.unique(np.abs(edges))
            held = np.interp(sizes, edges, below, 0, 1) - np.interp(-sizes, edges, below, 0, 1)
            most = np.interp(self.percentile / 100, held, sizes)
            return np.float32(max(low, -most)), np.float32(min(high, most))
        out = (1 - self.percentile / 100) / 2
        found = np.interp([out, 1 - out], below, edges)
        return np.float32(found[0]), np.float32(found[1])
