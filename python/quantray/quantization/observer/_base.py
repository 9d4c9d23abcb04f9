"""What observers have in common."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Self, TypeVar, cast

import numpy as np

from quantray import _core
from quantray._typing import Array, ArrayLike, Floats, QDType, QScheme
from quantray.nn._factory import check_factory
from quantray.nn._gradients import untraced
from quantray.nn._tracing import whole
from quantray.quantization.observer import _types
from quantray.quantization.observer._factory import Makes
from quantray.quantization.observer._lock import both
from quantray.quantization.observer._qparams import EPS, Range, qparams, quant_range
from quantray.quantization.observer._state import Shared

T = TypeVar("T")


class ObserverBase(Makes, Shared):
    """Base of all observers: modules that look at the arrays they are called with and return them unchanged.

    An observer of your own defines `observe(x)`, which takes in an array, and `range()`, the smallest and the
    largest value that codes are to hold, if it derives from `UniformQuantizationObserverBase`; or else
    `calculate_qparams()`. Numbers that it keeps by `register_buffer` are saved with the model.

    What observers saw is in their buffers, and so in the state_dict. An array without elements is as if it
    were not there. Many threads may call one observer at once: it takes in one array after the other, and has
    in the end what one thread's calls would have given, in the order of these calls where that matters.

    Parameters
    ----------
    dtype : dtype
        What the observed values are to be quantized to.
    is_dynamic : bool
        Whether the range is that of each input at run time.

    Source: `torch.ao.quantization.observer.ObserverBase`.
    """

    def __init__(self, dtype: QDType, is_dynamic: bool = False) -> None:
        super().__init__()
        self.dtype = _types.any_dtype(dtype)
        self.is_dynamic = is_dynamic
        # Whether all values so far were infinite; None before the first one.
        self._infinite: bool | None = None
        # Whether an observer of the user's, which has `observe` alone, was given something.
        self._was_fed = False

    @whole
    def forward(self, input: T) -> T:
        """Observes, and returns the input unchanged.

        Raises
        ------
        ValueError
            For NaN, with count and first position.
        """
        x = cast("ArrayLike", untraced(input))
        if np.size(x):
            with self._lock:
                self._observe(x)
                if self._infinite is not False:
                    self._infinite = not self.has_data
        return input

    def _observe(self, x: ArrayLike) -> None:
        """Takes in the values of an array that is not empty."""
        self.observe(x)
        self._was_fed = True

    def observe(self, x: ArrayLike) -> None:
        """Takes in the values of an array that is not empty: what an observer of your own defines."""
        raise NotImplementedError(
            f"{type(self).__name__} must define observe(x): it takes in the values of an array"
        )

    def calculate_qparams(self) -> tuple[Floats, Array]:
        """Scale and zero point, arrays of shape (1,) or (channels,), for what was observed.

        Raises
        ------
        RuntimeError
            Nothing was observed, or this observer makes none.
        """
        raise RuntimeError(f"{type(self).__name__} makes no scale and zero point: it keeps no range")

    @property
    def has_data(self) -> bool:
        """Whether `calculate_qparams` has an answer."""
        return self._was_fed

    def reset_min_max_vals(self) -> None:
        """Forgets what was observed."""

    def merge(self, other: Self) -> Self:
        """Takes in what another observer of the same kind saw; returns this one.

        The result is that of one observer of all data, whatever was observed where and in which order.

        Raises
        ------
        TypeError, ValueError
            The other is of another kind, or has other settings.
        """
        self._check_alike(other)
        with both(self._lock, other._lock):
            self._merge(other)
            self._infinite = (self._infinite or other._infinite) and not self.has_data
        return self

    def _settings(self) -> dict[str, object]:
        """What must agree between observers that merge."""
        return {"dtype": self.dtype, "is_dynamic": self.is_dynamic}

    def _check_alike(self, other: ObserverBase) -> None:
        if type(other) is not type(self):
            raise TypeError(f"other must be a {type(self).__name__}, got {type(other).__name__}")
        mine, theirs = self._settings(), other._settings()
        for name, value in mine.items():
            if theirs[name] != value:
                raise ValueError(f"other must have {name}={value}, as this one, got {name}={theirs[name]}")

    def _merge(self, other: ObserverBase) -> None:
        """Takes in what another one saw, of the same kind and settings."""

    def _no_data(self, kind: str) -> RuntimeError:
        """Why there is no scale yet, for a module of this kind."""
        if self._infinite:
            return RuntimeError(f"{kind} saw no finite value: call it with data that has some")
        return RuntimeError(f"{kind} saw no data: call it with data first")


class UniformQuantizationObserverBase(ObserverBase):
    """Base of observers that end in a scale and a zero point.

    Parameters
    ----------
    dtype : dtype
        quint8 by default. "int16" and "uint16" are qint32 with their codes.
    qscheme : qscheme
        Per tensor or per channel; affine or symmetric.
    reduce_range : bool
        Half the codes: 7 bits. Nothing here needs it: these kernels add 8-bit products exactly.
    quant_min, quant_max : int, optional
        The codes to use, such as -8 and 7 for 4 bits in qint8; the dtype's by default.
    factory_kwargs : dict, optional
        Accepted for torch's sake.
    eps : float
        The smallest scale.
    is_dynamic : bool
        Whether the range is that of each input at run time.

    Source: `torch.ao.quantization.observer.UniformQuantizationObserverBase`.
    """

    # Of codes alone: nobody assigns a dtype of floats to it.
    dtype: _core.dtype  # pyright: ignore[reportIncompatibleVariableOverride]

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
        super().__init__(_types.quantized_dtype(dtype), is_dynamic)
        if factory_kwargs:
            check_factory(factory_kwargs.get("device"), None)
        self.qscheme = _types.scheme(qscheme, self._schemes())
        self.reduce_range = bool(reduce_range)
        if self.reduce_range and self.qscheme in _types.SYMMETRIC and self.dtype == _core.quint8:
            raise ValueError("reduce_range must be False for symmetric quint8, whose zero point stays 128")
        self.has_customized_qrange = quant_min is not None and quant_max is not None
        half = _types.half_codes(dtype)
        #: Of the dtype as it was named.
        self._bits: int = 16 if half else self.dtype.bits
        self.quant_min, self.quant_max = quant_range(
            self.dtype, quant_min, quant_max, self.reduce_range, half
        )
        if not np.finfo(np.float32).tiny <= eps < np.inf:
            raise ValueError(
                f"eps must be a finite float32 of at least {np.finfo(np.float32).tiny}, got {eps!r}"
            )
        self.register_buffer("eps", np.array([eps], np.float32))

    @classmethod
    def _schemes(cls) -> tuple[_core.qscheme, ...]:
        """The schemes that it can be of."""
        return _types.PER_TENSOR + _types.PER_CHANNEL

    def _settings(self) -> dict[str, object]:
        names = ("qscheme", "reduce_range", "quant_min", "quant_max", "has_customized_qrange")
        return {
            **super()._settings(),
            **{name: getattr(self, name) for name in names},
            "eps": float(self.eps[0]),
        }

    def _range(self) -> Range:
        """The range that scale and zero point are made for."""
        found = self.range()
        if not isinstance(found, tuple) or len(found) != 2:  # pyright: ignore[reportUnnecessaryIsInstance]
            raise TypeError(
                f"{type(self).__name__}.range() must give the smallest and the largest value, got {found!r}"
            )
        low, high = (np.asarray(v, np.float32) for v in found)
        if not (np.isfinite(low).all() and np.isfinite(high).all() and (low <= high).all()):
            raise ValueError(
                f"{type(self).__name__}.range() must give finite numbers, the smaller one first, "
                f"got {low} and {high}"
            )
        return low, high

    def range(self) -> Range:
        """The smallest and the largest value that codes are to hold: what one of your own defines.

        Numbers, or arrays of one for each channel.

        >>> import numpy as np
        >>> from quantray import quantization as tq
        >>> class Middle(tq.UniformQuantizationObserverBase):
        ...     def __init__(self, **kwargs):
        ...         super().__init__(**kwargs)
        ...         self.register_buffer("low", np.array(0.0))
        ...         self.register_buffer("high", np.array(0.0))
        ...     def observe(self, x):
        ...         low, high = np.quantile(x, [0.01, 0.99])
        ...         self.low, self.high = np.minimum(self.low, low), np.maximum(self.high, high)
        ...     def range(self):
        ...         return self.low, self.high
        >>> observer = Middle()
        >>> _ = observer(np.linspace(0, 2.55, 1000))
        >>> observer.calculate_qparams()[0].round(4)
        array([0.0099], dtype=float32)
        """
        raise NotImplementedError(
            f"{type(self).__name__} must define range(): the smallest and the largest value, as a tuple"
        )

    def calculate_qparams(self) -> tuple[Floats, Array]:
        """Scale and zero point, arrays of shape (1,) or (channels,), for what was observed.

        Raises
        ------
        RuntimeError
            Nothing was observed, or infinities alone.
        """
        with self._lock:
            if not self.has_data:
                raise self._no_data(type(self).__name__)
            found = self._range()
        return self._calculate_qparams(*found)

    def _calculate_qparams(self, min_val: ArrayLike, max_val: ArrayLike) -> tuple[Floats, Array]:
        """Scale and zero point for a range."""
        return qparams(
            min_val,
            max_val,
            dtype=self.dtype,
            qscheme=self.qscheme,
            quant_min=self.quant_min,
            quant_max=self.quant_max,
            eps=float(self.eps[0]),
            customized=self.has_customized_qrange,
        )
