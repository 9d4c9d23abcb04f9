"""Modules that quantize and dequantize while a model trains."""

from __future__ import annotations

from collections.abc import Callable
from typing import Self

import numpy as np
from numpy.typing import NDArray

from quantray import _core
from quantray._typing import Array, ArrayLike, Floats, Rounding
from quantray.nn._gradients import untraced
from quantray.nn._tracing import whole
from quantray.quantization.fake_quantize._functions import (
    fake_quantize,
    fake_quantize_rounded,
    rounding_of,
)
from quantray.quantization.observer import (
    FixedQParamsObserver,
    MovingAverageMinMaxObserver,
    MovingAveragePerChannelMinMaxObserver,
    ObserverBase,
)
from quantray.quantization.observer._factory import Makes
from quantray.quantization.observer._lock import both
from quantray.quantization.observer._state import Shared
from quantray.quantization.observer._types import PER_CHANNEL, SYMMETRIC


class FakeQuantizeBase(Makes, Shared):
    """Base of modules that fake-quantize.

    One of your own defines `observe(x)`, which takes in an array, `quantize(X)`, which gives one of values
    that codes stand for, and `has_data`; with `calculate_qparams()`, `dtype`, `qscheme`, `quant_min` and
    `quant_max`, models that were trained with it convert.

    They observe in training mode. In evaluation mode scale and zero point stay as they are, as after
    `disable_observer`, but for those that saw nothing yet, and those of each input (`is_dynamic`). An array
    without elements is returned as it is. Many threads may call one at once.

    Source: `torch.ao.quantization.FakeQuantizeBase`.
    """

    fake_quant_enabled: NDArray[np.uint8]
    observer_enabled: NDArray[np.uint8]

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("fake_quant_enabled", np.array([1], np.uint8))
        self.register_buffer("observer_enabled", np.array([1], np.uint8))
        self.is_dynamic = False

    @whole
    def forward(self, X: ArrayLike) -> ArrayLike:
        """Observes, then fake-quantizes, where enabled."""
        x = untraced(X)
        if not np.size(x):
            return X
        if self._observes():
            # Until X is quantized: by its own scale, where other threads observe as well.
            with self._lock:
                # Another thread may have been the first.
                if self._observes():
                    self._observe(x)
                return self.quantize(X) if self.fake_quant_enabled[0] else X
        return self.quantize(X) if self.fake_quant_enabled[0] else X

    @property
    def _follows(self) -> np.uint8:
        """The switch of observing."""
        return self.observer_enabled[0]

    def _observes(self) -> bool:
        """Whether a call now observes."""
        return bool(self._follows) and (self.training or self.is_dynamic or not self.has_data)

    def _observe(self, x: ArrayLike) -> None:
        """Takes in the values of an array that is not empty."""
        self.observe(x)

    def observe(self, x: ArrayLike) -> None:
        """Takes in the values of an array that is not empty: what a fake quantization of your own defines."""
        raise NotImplementedError(
            f"{type(self).__name__} must define observe(x): it takes in the values of an array"
        )

    def calculate_qparams(self) -> tuple[Floats, Array]:
        """Scale and zero point: what a converted model gets."""
        raise NotImplementedError(
            f"{type(self).__name__} must define calculate_qparams(): scale and zero point, as arrays"
        )

    @property
    def has_data(self) -> bool:
        """Whether `calculate_qparams` has an answer."""
        return False

    def quantize(self, X: ArrayLike) -> Floats:
        """Fake-quantizes without observing, whatever is enabled."""
        raise NotImplementedError(
            f"{type(self).__name__} must define quantize(X): an array of values that codes stand for"
        )

    def enable_fake_quant(self, enabled: bool = True) -> None:
        """Whether the output is quantized, or the input as it is."""
        self.fake_quant_enabled = np.array([enabled], np.uint8)

    def disable_fake_quant(self) -> None:
        """The output is the input as it is."""
        self.enable_fake_quant(False)

    def enable_observer(self, enabled: bool = True) -> None:
        """Whether scale and zero point follow the input."""
        self.observer_enabled = np.array([enabled], np.uint8)

    def disable_observer(self) -> None:
        """Scale and zero point stay as they are."""
        self.enable_observer(False)


class FakeQuantize(FakeQuantizeBase):
    """Rounds values to those that codes stand for, by a scale and a zero point that an observer keeps.

    Gradients pass where the code lies within `quant_min` and `quant_max`, and are 0 elsewhere. Converted
    models get the scale and the zero point that the last call used.

    Parameters
    ----------
    observer : class or factory
        Makes the observer, `activation_post_process`.
    quant_min, quant_max : int, optional
        The codes; the observer's by default.
    is_dynamic : bool
        Whether the range is that of each input.
    rounding : str or callable
        See `quantray.grids.rounding_function`; in training mode alone: evaluated, a model rounds to the
        nearest code, as its integers will.
    **observer_kwargs
        For the observer: `dtype`, `qscheme`, `ch_axis`, ...

    Attributes
    ----------
    scale, zero_point : ndarray
        float32 and int64, of shape (1,) or (channels,).

    >>> from quantray import quantization as tq
    >>> fake = tq.FakeQuantize(tq.MinMaxObserver, quant_min=0, quant_max=15)
    >>> fake([0.0, 1.4, 3.0])
    array([0. , 1.4, 3. ], dtype=float32)
    >>> fake.disable_observer()
    >>> fake([0.5, 9.0])
    array([0.4, 3. ], dtype=float32)

    Source: `torch.ao.quantization.FakeQuantize`; the straight-through estimator of Bengio et al.,
    arXiv:1308.3432.
    """

    activation_post_process: ObserverBase
    quant_min: int
    quant_max: int
    dtype: _core.dtype
    qscheme: _core.qscheme
    scale: Floats
    zero_point: Array

    def __init__(
        self,
        observer: Callable[..., ObserverBase] = MovingAverageMinMaxObserver,
        quant_min: int | None = None,
        quant_max: int | None = None,
        is_dynamic: bool = False,
        rounding: Rounding = "nearest",
        **observer_kwargs: object,
    ) -> None:
        super().__init__()
        #: What rounds in training; None for the contract's rounding.
        self.rounding = rounding_of(rounding)
        if quant_min is not None or quant_max is not None:
            observer_kwargs |= {"quant_min": quant_min, "quant_max": quant_max}
        if is_dynamic:
            observer_kwargs["is_dynamic"] = True
        made = observer(**observer_kwargs)
        self.activation_post_process = made
        for name in ("quant_min", "quant_max", "is_dynamic", "dtype", "qscheme"):
            if not hasattr(made, name):
                raise TypeError(f"observer must keep a range, got {type(made).__name__}")
            setattr(self, name, getattr(made, name))
        self.ch_axis: int = getattr(made, "ch_axis", -1)
        self.is_per_channel = self.qscheme in PER_CHANNEL
        floats = self.qscheme == _core.per_channel_affine_float_qparams
        self.register_buffer("scale", np.array([1], np.float32))
        self.register_buffer("zero_point", np.zeros(1, np.float32 if floats else np.int64))

    @property
    def has_data(self) -> bool:
        """Whether something was observed."""
        return self.activation_post_process.has_data

    def calculate_qparams(self) -> tuple[Floats, Array]:
        """The scale and the zero point that values are quantized by.

        Raises
        ------
        RuntimeError
            Nothing was observed.
        """
        if not self.has_data:
            raise self.activation_post_process._no_data(type(self).__name__)
        with self._lock:
            return self.scale, self.zero_point

    def _observe(self, x: ArrayLike) -> None:
        self.activation_post_process(x)
        self._follow()

    def quantize(self, X: ArrayLike) -> Floats:
        """Fake-quantizes without observing, whatever is enabled."""
        axis = self.ch_axis if self.is_per_channel else None
        with self._lock:
            scale, zero_point = self.scale, self.zero_point
        if self.rounding is not None and self.training:
            return fake_quantize_rounded(
                X, scale, zero_point, axis, self.quant_min, self.quant_max, self.rounding
            )
        return fake_quantize(X, scale, zero_point, axis, self.quant_min, self.quant_max)

    def _follow(self) -> None:
        """Takes the observer's scale and zero point."""
        if self.activation_post_process.has_data:
            self.scale, self.zero_point = self.activation_post_process.calculate_qparams()

    def merge(self, other: Self) -> Self:
        """Takes in what another one's observer saw; returns this one."""
        with both(self._lock, other._lock):
            self.activation_post_process.merge(other.activation_post_process)
            self._follow()
        return self

    def extra_repr(self) -> str:
        """Codes, scale and zero point."""
        return (
            f"fake_quant_enabled={self.fake_quant_enabled}, observer_enabled={self.observer_enabled}, "
            f"quant_min={self.quant_min}, quant_max={self.quant_max}, dtype={self.dtype}, "
            f"qscheme={self.qscheme}, ch_axis={self.ch_axis}, "
            f"scale={self.scale}, zero_point={self.zero_point}"
        )


class FixedQParamsFakeQuantize(FakeQuantize):
    """Fake quantization by a scale and a zero point that are known beforehand.

    Parameters
    ----------
    observer : class or factory
        Makes a `FixedQParamsObserver`.

    >>> from quantray import quantization as tq
    >>> tq.default_fixed_qparams_range_0to1_fake_quant()([0.5, 0.7, 2.0])
    array([0.5       , 0.69921875, 0.99609375], dtype=float32)

    Source: `torch.ao.quantization.FixedQParamsFakeQuantize`.
    """

    def __init__(self, observer: Callable[..., ObserverBase]) -> None:
        super().__init__(observer)
        if not isinstance(self.activation_post_process, FixedQParamsObserver):
            name = type(self.activation_post_process).__name__
            raise TypeError(f"observer must make a FixedQParamsObserver, got {name}")
        self._follow()


class FusedMovingAvgObsFakeQuantize(FakeQuantize):
    """Fake quantization by moving averages of the range.

    The same as `FakeQuantize` with such an observer, to the bit: torch's class of this name computes the
    scale in another way than its observers, so that a trained model and its conversion may differ.

    Parameters
    ----------
    observer : class or factory
        Makes a `MovingAverageMinMaxObserver` or `MovingAveragePerChannelMinMaxObserver`.
    quant_min, quant_max : int
        The codes.
    is_dynamic, rounding
        See `FakeQuantize`.
    **observer_kwargs
        For the observer.

    >>> from quantray import quantization as tq
    >>> tq.default_fused_act_fake_quant()([-1.0, 0.5, 1.55])
    array([-1.  ,  0.5 ,  1.55], dtype=float32)

    Source: `torch.ao.quantization.FusedMovingAvgObsFakeQuantize`.
    """

    def __init__(
        self,
        observer: Callable[..., ObserverBase] = MovingAverageMinMaxObserver,
        quant_min: int = 0,
        quant_max: int = 255,
        is_dynamic: bool = False,
        rounding: Rounding = "nearest",
        **observer_kwargs: object,
    ) -> None:
        super().__init__(observer, quant_min, quant_max, is_dynamic, rounding, **observer_kwargs)
        made = self.activation_post_process
        if not isinstance(made, (MovingAverageMinMaxObserver, MovingAveragePerChannelMinMaxObserver)):
            raise TypeError(f"observer must keep moving averages, got {type(made).__name__}")
        self.is_symmetric_quant = self.qscheme in SYMMETRIC
