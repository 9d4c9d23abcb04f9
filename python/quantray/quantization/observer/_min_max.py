"""The smallest and the largest value, of all or of each channel."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from quantray import _core
from quantray._typing import ArrayLike, Floats, QDType, QScheme
from quantray.quantization.observer import _types
from quantray.quantization.observer._base import ObserverBase, UniformQuantizationObserverBase
from quantray.quantization.observer._qparams import EPS, Range


def finite_range(x: ArrayLike, axis: int | None = None) -> tuple[Floats, Floats]:
    """The smallest and the largest finite value, float32; infinity and -infinity where there is none.

    Infinities are left out: they saturate where they are quantized, and no scale could hold them.
    """
    low, high = _core.min_max(x) if axis is None else _core.min_max(x, axis=axis)
    low, high = np.asarray(low), np.asarray(high)
    if np.isfinite(low).all() and np.isfinite(high).all():
        return low, high
    values = np.asarray(x, np.float32)
    finite = np.isfinite(values)
    others = None if axis is None else tuple(d for d in range(values.ndim) if d != axis % values.ndim)
    low = np.min(values, axis=others, where=finite, initial=np.inf)
    high = np.max(values, axis=others, where=finite, initial=-np.inf)
    return np.asarray(low), np.asarray(high)


class _Range(UniformQuantizationObserverBase):
    """A range in the buffers `min_val` and `max_val`: infinity and -infinity where nothing was seen."""

    min_val: Floats
    max_val: Floats

    def __init__(
        self,
        empty: tuple[int, ...],
        dtype: QDType,
        qscheme: QScheme,
        reduce_range: bool,
        quant_min: int | None,
        quant_max: int | None,
        factory_kwargs: Mapping[str, object] | None,
        eps: float,
        is_dynamic: bool = False,
    ) -> None:
        super().__init__(dtype, qscheme, reduce_range, quant_min, quant_max, factory_kwargs, eps, is_dynamic)
        self._empty = empty
        self.register_buffer("min_val", np.full(empty, np.inf, np.float32))
        self.register_buffer("max_val", np.full(empty, -np.inf, np.float32))

    @property
    def has_data(self) -> bool:
        return self.min_val.size > 0 and bool((self.min_val <= self.max_val).all())

    def reset_min_max_vals(self) -> None:
        """Forgets what was observed."""
        self.min_val = np.full(self._empty, np.inf, np.float32)
        self.max_val = np.full(self._empty, -np.inf, np.float32)

    def _range(self) -> Range:
        return self.min_val, self.max_val

    def _widen(self, low: Floats, high: Floats) -> None:
        if self.min_val.size == 0:
            self.min_val, self.max_val = low, high
            return
        if low.shape != self.min_val.shape:
            raise ValueError(f"input must have {self.min_val.size} channels, as before, got {low.size}")
        self.min_val = np.asarray(np.minimum(self.min_val, low))
        self.max_val = np.asarray(np.maximum(self.max_val, high))

    def _merge(self, other: ObserverBase) -> None:
        assert isinstance(other, _Range)
        if other.min_val.size:
            self._widen(other.min_val, other.max_val)

    def extra_repr(self) -> str:
        """The range."""
        return f"min_val={self.min_val}, max_val={self.max_val}"


class MinMaxObserver(_Range):
    """The range from the smallest to the largest value.

    Infinities are left out: they saturate.

    Parameters
    ----------
    dtype, qscheme, reduce_range, quant_min, quant_max, eps, is_dynamic
        See `UniformQuantizationObserverBase`; the scheme is per tensor.

    >>> from quantray import quantization as tq
    >>> observer = tq.MinMaxObserver()
    >>> _ = observer([-1.0, 0.5]), observer([4.1])
    >>> observer
    MinMaxObserver(min_val=-1.0, max_val=4.099999904632568)
    >>> observer.calculate_qparams()
    (array([0.02], dtype=float32), array([50]))

    Source: `torch.ao.quantization.MinMaxObserver`.
    """

    def __init__(
        self,
        dtype: QDType = _core.quint8,
        qscheme: QScheme = _core.per_tensor_affine,
        reduce_range: bool = False,
        quant_min: int | None = None,
        quant_max: int | None = None,
        factory_kwargs: Mapping[str, object] | None = None,
        eps: float = EPS,
        is_dynamic: bool = False,
    ) -> None:
        super().__init__(
            (), dtype, qscheme, reduce_range, quant_min, quant_max, factory_kwargs, eps, is_dynamic
        )

    @classmethod
    def _schemes(cls) -> tuple[_core.qscheme, ...]:
        return _types.PER_TENSOR

    def _observe(self, x: ArrayLike) -> None:
        self._widen(*finite_range(x))


class PerChannelMinMaxObserver(_Range):
    """The range of each channel, from its smallest to its largest value.

    Parameters
    ----------
    ch_axis : int
        The axis of the channels; counted from the end where negative.
    dtype, qscheme, reduce_range, quant_min, quant_max, eps, is_dynamic
        See `UniformQuantizationObserverBase`; the scheme is per channel.

    >>> from quantray import quantization as tq
    >>> observer = tq.default_per_channel_weight_observer()
    >>> _ = observer([[1.0, -2.0], [0.25, 0.5]])
    >>> observer.min_val, observer.max_val
    (array([-2.  ,  0.25], dtype=float32), array([1. , 0.5], dtype=float32))

    Source: `torch.ao.quantization.PerChannelMinMaxObserver`.
    """

    def __init__(
        self,
        ch_axis: int = 0,
        dtype: QDType = _core.quint8,
        qscheme: QScheme = _core.per_channel_affine,
        reduce_range: bool = False,
        quant_min: int | None = None,
        quant_max: int | None = None,
        factory_kwargs: Mapping[str, object] | None = None,
        eps: float = EPS,
        is_dynamic: bool = False,
    ) -> None:
        if is_dynamic:
            raise ValueError("is_dynamic must be False for ranges per channel, got True")
        super().__init__((0,), dtype, qscheme, reduce_range, quant_min, quant_max, factory_kwargs, eps)
        self.ch_axis = ch_axis

    @classmethod
    def _schemes(cls) -> tuple[_core.qscheme, ...]:
        return _types.PER_CHANNEL

    def _settings(self) -> dict[str, object]:
        return {**super()._settings(), "ch_axis": self.ch_axis}

    def _observe(self, x: ArrayLike) -> None:
        self._widen(*finite_range(x, self.ch_axis))
