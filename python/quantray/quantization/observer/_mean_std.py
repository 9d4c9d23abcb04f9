"""Mean and standard deviation."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np

from quantray import _core
from quantray._typing import Array, ArrayLike, QDType, QScheme
from quantray.quantization.observer import _types
from quantray.quantization.observer._base import ObserverBase, UniformQuantizationObserverBase
from quantray.quantization.observer._min_max import finite_range
from quantray.quantization.observer._qparams import EPS, Range


class MeanStdObserver(UniformQuantizationObserverBase):
    """The range of some standard deviations on either side of the mean, as far as there are values.

    Mean and standard deviation are those of all values seen, from exact sums: they do not depend on the
    order. Infinities are left out.

    Parameters
    ----------
    k : float
        How many standard deviations.
    dtype, qscheme, reduce_range, quant_min, quant_max, eps, is_dynamic
        See `UniformQuantizationObserverBase`; the scheme is per tensor.

    Attributes
    ----------
    mean, std : float
        Of the values (divided by their number); float64.

    >>> from quantray import quantization as tq
    >>> observer = tq.MeanStdObserver(k=1)
    >>> _ = observer([1.0, 2.0]), observer([3.0, 6.0])
    >>> observer
    MeanStdObserver(k=1.0, mean=3.0, std=1.8708286933869707)
    >>> observer.calculate_qparams()
    (array([0.01910129], dtype=float32), array([0]))
    """

    def __init__(
        self,
        k: float = 3.0,
        dtype: QDType = _core.quint8,
        qscheme: QScheme = _core.per_tensor_affine,
        reduce_range: bool = False,
        quant_min: int | None = None,
        quant_max: int | None = None,
        eps: float = EPS,
        is_dynamic: bool = False,
    ) -> None:
        if not 0 < k < math.inf:
            raise ValueError(f"k must be positive and finite, got {k!r}")
        super().__init__(dtype, qscheme, reduce_range, quant_min, quant_max, eps=eps, is_dynamic=is_dynamic)
        self.k = float(k)
        self.reset_min_max_vals()

    @classmethod
    def _schemes(cls) -> tuple[_core.qscheme, ...]:
        return _types.PER_TENSOR

    def reset_min_max_vals(self) -> None:
        """Forgets what was observed."""
        self.register_buffer("min_val", np.asarray(np.inf, np.float32))
        self.register_buffer("max_val", np.asarray(-np.inf, np.float32))
        # By exponent: how many, sums, and sums of squares in two parts; see src/observe/power_sums.rs.
        self.register_buffer("sums", np.zeros((4, 256), np.int64))

    @property
    def has_data(self) -> bool:
        """Whether something was observed."""
        return bool(self.min_val <= self.max_val)

    def _settings(self) -> dict[str, object]:
        return {**super()._settings(), "k": self.k}

    def _observe(self, x: ArrayLike) -> None:
        low, high = finite_range(x)
        if low <= high:
            self._add(low, high, np.stack(_core._power_sums(x)))

    def _merge(self, other: ObserverBase) -> None:
        assert isinstance(other, MeanStdObserver)
        self._add(other.min_val, other.max_val, other.sums)

    def _add(self, low: Array, high: Array, sums: Array) -> None:
        self.min_val = np.asarray(np.minimum(self.min_val, low))
        self.max_val = np.asarray(np.maximum(self.max_val, high))
        self.sums = self.sums + sums

    def _moments(self) -> tuple[Fraction, Fraction]:
        """Mean and variance, exact."""
        if not self.has_data:
            raise self._no_data(type(self).__name__)
        counts, sums, low, high = (row.tolist() for row in self.sums)
        unit = [max(e, 1) - 1 for e in range(256)]
        total = sum(s << u for s, u in zip(sums, unit, strict=True))
        squares = sum(((h << 24) + s) << 2 * u for s, h, u in zip(low, high, unit, strict=True))
        mean = Fraction(total, sum(counts) << 149)
        return mean, Fraction(squares, sum(counts) << 298) - mean**2

    @property
    def mean(self) -> float:
        """The mean of all values seen."""
        return float(self._moments()[0])

    @property
    def std(self) -> float:
        """Their standard deviation."""
        return math.sqrt(self._moments()[1])

    def _range(self) -> Range:
        mean, variance = self._moments()
        reach = self.k * math.sqrt(variance)
        low, high = float(mean) - reach, float(mean) + reach
        return np.float32(max(low, float(self.min_val))), np.float32(min(high, float(self.max_val)))

    def extra_repr(self) -> str:
        """How many standard deviations, of what."""
        return f"k={self.k}" + (f", mean={self.mean}, std={self.std}" if self.has_data else "")
