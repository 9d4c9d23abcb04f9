"""Moving averages of the smallest and the largest values: what training uses, where ranges drift."""

from __future__ import annotations

from typing import NoReturn

import numpy as np

from quantray import _core
from quantray._typing import Floats, QDType, QScheme
from quantray.quantization.observer._min_max import MinMaxObserver, PerChannelMinMaxObserver
from quantray.quantization.observer._qparams import EPS


def _check_constant(value: float, is_dynamic: bool) -> float:
    if not 0 < value <= 1:
        raise ValueError(f"averaging_constant must be above 0 and at most 1, got {value!r}")
    if is_dynamic and value != 1:
        raise ValueError(f"averaging_constant must be 1 where is_dynamic, got {value!r}")
    return value


def average(old: Floats, new: Floats, constant: np.float32) -> Floats:
    """The average so far with a new value; infinite is what has no value: then the other one."""
    if constant == 1:
        # Exactly: the sum below would lose all digits of what is much smaller than the value before.
        return np.where(np.isfinite(new), new, old)
    with np.errstate(invalid="ignore", over="ignore"):
        change = new - old
        average = old + constant * change
        if np.isinf(change).any():
            # Finite values may be further apart than any float32.
            far = np.float64(old) + np.float64(constant) * (np.float64(new) - np.float64(old))
            average = np.where(np.isinf(change), far.astype(np.float32), average)
    return np.where(np.isfinite(new), np.where(np.isfinite(old), average, new), old)


class _Averages:
    """`value += averaging_constant * (new - value)` in place of the minimum and the maximum."""

    averaging_constant: float
    min_val: Floats
    max_val: Floats

    def _widen(self, low: Floats, high: Floats) -> None:
        if self.min_val.shape != low.shape and self.min_val.size:
            raise ValueError(f"input must have {self.min_val.size} channels, as before, got {low.size}")
        if self.min_val.size == 0:
            self.min_val, self.max_val = low, high
            return
        constant = np.float32(self.averaging_constant)
        self.min_val = average(self.min_val, low, constant)
        self.max_val = average(self.max_val, high, constant)

    def merge(self, other: object) -> NoReturn:
        """Raises TypeError: a moving average depends on the order of batches, and two have none.

        Calibrate on several machines with observers of ranges or histograms.
        """
        raise TypeError(
            f"{type(self).__name__} cannot merge: a moving average depends on the order of its batches; "
            "use MinMaxObserver, PerChannelMinMaxObserver or an observer of histograms"
        )


class MovingAverageMinMaxObserver(_Averages, MinMaxObserver):
    """The range from the moving average of batches' smallest values to that of their largest.

    It depends on the order of the batches, and does not merge.

    Parameters
    ----------
    averaging_constant : float
        How much a new batch counts, above 0 and at most 1; 1 is the last batch alone.
    dtype, qscheme, reduce_range, quant_min, quant_max, eps, is_dynamic
        See `UniformQuantizationObserverBase`; the scheme is per tensor.

    >>> from quantray import quantization as tq
    >>> observer = tq.MovingAverageMinMaxObserver(averaging_constant=0.5)
    >>> _ = observer([0.0, 2.0]), observer([0.0, 4.0])
    >>> observer
    MovingAverageMinMaxObserver(min_val=0.0, max_val=3.0)

    Source: `torch.ao.quantization.MovingAverageMinMaxObserver`.
    """

    def __init__(
        self,
        averaging_constant: float = 0.01,
        dtype: QDType = _core.quint8,
        qscheme: QScheme = _core.per_tensor_affine,
        reduce_range: bool = False,
        quant_min: int | None = None,
        quant_max: int | None = None,
        eps: float = EPS,
        is_dynamic: bool = False,
    ) -> None:
        super().__init__(dtype, qscheme, reduce_range, quant_min, quant_max, eps=eps, is_dynamic=is_dynamic)
        self.averaging_constant = _check_constant(averaging_constant, is_dynamic)


class MovingAveragePerChannelMinMaxObserver(_Averages, PerChannelMinMaxObserver):
    """The range of each channel, by moving averages of batches' smallest and largest values.

    It depends on the order of the batches, and does not merge.

    Parameters
    ----------
    averaging_constant : float
        How much a new batch counts, above 0 and at most 1; 1 is the last batch alone.
    ch_axis : int
        The axis of the channels; counted from the end where negative.
    dtype, qscheme, reduce_range, quant_min, quant_max, eps, is_dynamic
        See `UniformQuantizationObserverBase`; the scheme is per channel.

    >>> from quantray import quantization as tq
    >>> observer = tq.MovingAveragePerChannelMinMaxObserver(averaging_constant=0.5)
    >>> _ = observer([[2.0], [8.0]]), observer([[4.0], [8.0]])
    >>> observer.max_val
    array([3., 8.], dtype=float32)

    Source: `torch.ao.quantization.MovingAveragePerChannelMinMaxObserver`.
    """

    def __init__(
        self,
        averaging_constant: float = 0.01,
        ch_axis: int = 0,
        dtype: QDType = _core.quint8,
        qscheme: QScheme = _core.per_channel_affine,
        reduce_range: bool = False,
        quant_min: int | None = None,
        quant_max: int | None = None,
        eps: float = EPS,
        is_dynamic: bool = False,
    ) -> None:
        super().__init__(
            ch_axis, dtype, qscheme, reduce_range, quant_min, quant_max, eps=eps, is_dynamic=is_dynamic
        )
        self.averaging_constant = _check_constant(averaging_constant, is_dynamic)
