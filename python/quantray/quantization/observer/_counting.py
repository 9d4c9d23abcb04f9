"""Observers that keep a histogram."""

from __future__ import annotations

import numpy as np

from quantray import _core
from quantray._typing import Array, ArrayLike, QDType, QScheme
from quantray.quantization.observer import _grid, _types
from quantray.quantization.observer._base import ObserverBase, UniformQuantizationObserverBase
from quantray.quantization.observer._min_max import finite_range
from quantray.quantization.observer._qparams import EPS


class CountingObserver(UniformQuantizationObserverBase):
    """Base of observers that keep a histogram: exact under `merge`, of a size that data does not grow.

    Infinities are left out: they saturate.

    Parameters
    ----------
    bins : int
        Bins that scale and zero point are made from.
    dtype, qscheme, reduce_range, quant_min, quant_max, eps, is_dynamic
        See `UniformQuantizationObserverBase`; the scheme is per tensor.
    upsample_rate : int
        How many finer bins are kept for each of `bins`, at most, and at least half as many.
    """

    def __init__(
        self,
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
        if is_dynamic:
            raise ValueError("is_dynamic must be False for histograms, got True")
        for name, value in (("bins", bins), ("upsample_rate", upsample_rate)):
            if value < 1:
                raise ValueError(f"{name} must be at least 1, got {value}")
        super().__init__(dtype, qscheme, reduce_range, quant_min, quant_max, eps=eps)
        self.bins, self.upsample_rate = bins, upsample_rate
        # At least two bins on each side of 0, which is an edge: the widest ones then hold all floats.
        self._most = max(bins * upsample_rate, 4)
        self.reset_min_max_vals()

    @classmethod
    def _schemes(cls) -> tuple[_core.qscheme, ...]:
        return _types.PER_TENSOR

    def reset_min_max_vals(self) -> None:
        """Forgets what was observed."""
        self.register_buffer("min_val", np.asarray(np.inf, np.float32))
        self.register_buffer("max_val", np.asarray(-np.inf, np.float32))
        self._keep(_grid.Grid(0, 0, np.zeros(0, np.int64)))

    def _keep(self, grid: _grid.Grid) -> None:
        self.register_buffer("exponent", np.asarray(grid.exponent, np.int64))
        self.register_buffer("first", np.asarray(grid.first, np.int64))
        self.register_buffer("counts", grid.counts)

    @property
    def grid(self) -> _grid.Grid:
        """The histogram as it is kept: exponent of the bins' width, number of the first, counts."""
        return _grid.Grid(int(self.exponent), int(self.first), self.counts)

    @property
    def has_data(self) -> bool:
        """Whether something was observed."""
        return bool(self.min_val <= self.max_val)

    @property
    def histogram(self) -> Array:
        """Counts in `bins` equal bins from the smallest to the largest value; float64, zeros without data."""
        if not self.has_data:
            return np.zeros(self.bins)
        low, high = float(self.min_val), float(self.max_val)
        if low == high:
            middle = np.arange(self.bins) == self.bins // 2
            return np.where(middle, float(self.counts.sum()), 0.0)
        return self.grid.spread(np.linspace(low, high, self.bins + 1), low, high)

    def _settings(self) -> dict[str, object]:
        return {**super()._settings(), "bins": self.bins, "upsample_rate": self.upsample_rate}

    def _observe(self, x: ArrayLike) -> None:
        low, high = finite_range(x)
        if low <= high:
            low, high = np.minimum(low, self.min_val), np.maximum(high, self.max_val)
            self._keep(_grid.count(self.grid, x, float(low), float(high), self._most))
            self.min_val, self.max_val = np.asarray(low), np.asarray(high)

    def _merge(self, other: ObserverBase) -> None:
        assert isinstance(other, CountingObserver)
        if other.has_data:
            low, high = np.minimum(other.min_val, self.min_val), np.maximum(other.max_val, self.max_val)
            self._keep(_grid.merge(self.grid, other.grid, float(low), float(high), self._most))
            self.min_val, self.max_val = np.asarray(low), np.asarray(high)

    def extra_repr(self) -> str:
        """Bins and range."""
        return f"bins={self.bins}, min_val={self.min_val}, max_val={self.max_val}"
