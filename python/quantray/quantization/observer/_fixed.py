"""Observers that keep no range: known scales, places held, values recorded."""

from __future__ import annotations

import numpy as np

from quantray import _core
from quantray._typing import Array, ArrayLike, Floats, QDType, QScheme
from quantray.quantization.observer import _types
from quantray.quantization.observer._base import ObserverBase
from quantray.quantization.observer._qparams import EPS, quant_range


class FixedQParamsObserver(ObserverBase):
    """A scale and a zero point that are known beforehand: those of sigmoid, softmax and tanh.

    Parameters
    ----------
    scale : float
    zero_point : int
        From `quant_min` to `quant_max`.
    dtype, qscheme, quant_min, quant_max, is_dynamic
        See `UniformQuantizationObserverBase`; the scheme is per tensor.

    >>> from quantray import quantization as tq
    >>> tq.default_fixed_qparams_range_0to1_observer().calculate_qparams()
    (array([0.00390625], dtype=float32), array([0]))

    Source: `torch.ao.quantization.observer.FixedQParamsObserver`.
    """

    def __init__(
        self,
        scale: float,
        zero_point: int,
        dtype: QDType = _core.quint8,
        qscheme: QScheme = _core.per_tensor_affine,
        quant_min: int = 0,
        quant_max: int = 255,
        is_dynamic: bool = False,
    ) -> None:
        if is_dynamic:
            raise ValueError("is_dynamic must be False where scale and zero point are fixed, got True")
        codes = _types.quantized_dtype(dtype)
        super().__init__(codes)
        self.qscheme = _types.scheme(qscheme, _types.PER_TENSOR)
        self.quant_min, self.quant_max = quant_range(codes, quant_min, quant_max, False)
        # The quantizer checks both.
        _core.PerTensorAffineQuantizer(scale, zero_point, codes)
        self.register_buffer("scale", np.array([scale], np.float32))
        self.register_buffer("zero_point", np.array([zero_point], np.int64))

    @property
    def has_data(self) -> bool:
        """Always: nothing needs to be observed."""
        return True

    def _observe(self, x: ArrayLike) -> None:
        pass

    def calculate_qparams(self) -> tuple[Floats, Array]:
        """The scale and the zero point that were given."""
        return self.scale, self.zero_point

    def _settings(self) -> dict[str, object]:
        names = ("qscheme", "quant_min", "quant_max")
        given = {"scale": float(self.scale[0]), "zero_point": int(self.zero_point[0])}
        return {**super()._settings(), **{name: getattr(self, name) for name in names}, **given}

    def extra_repr(self) -> str:
        """Scale and zero point."""
        return f"scale={self.scale[0]}, zero_point={self.zero_point[0]}, dtype={self.dtype}"


class PlaceholderObserver(ObserverBase):
    """Observes nothing, and says what a value is to be quantized to: at run time, or to float16.

    Parameters
    ----------
    dtype : dtype
        float32 by default: not quantized.
    custom_op_name : str
        Kept in `custom_op`.
    compute_dtype : dtype, optional
        torch's former way to say `is_dynamic`.
    quant_min, quant_max : int, optional
    qscheme : qscheme, optional
        per_tensor_affine by default.
    eps : float, optional
    is_dynamic : bool
        Whether the range is that of each input at run time.

    >>> from quantray import quantization as tq
    >>> tq.default_dynamic_quant_observer()
    PlaceholderObserver(dtype=quint8, is_dynamic=True)

    Source: `torch.ao.quantization.PlaceholderObserver`.
    """

    def __init__(
        self,
        dtype: QDType = np.float32,
        custom_op_name: str = "",
        compute_dtype: QDType | None = None,
        quant_min: int | None = None,
        quant_max: int | None = None,
        qscheme: QScheme | None = None,
        eps: float | None = None,
        is_dynamic: bool = False,
    ) -> None:
        super().__init__(dtype, is_dynamic or compute_dtype is not None)
        self.qscheme = _types.scheme(_core.per_tensor_affine if qscheme is None else qscheme)
        self.quant_min, self.quant_max = quant_min, quant_max
        self.eps = EPS if eps is None else eps
        self.custom_op = custom_op_name

    def _observe(self, x: ArrayLike) -> None:
        pass

    def extra_repr(self) -> str:
        """dtype, and when."""
        return f"dtype={self.dtype}, is_dynamic={self.is_dynamic}"


class NoopObserver(ObserverBase):
    """Observes nothing: for values that need no range.

    Parameters
    ----------
    dtype : dtype
        float16 by default.
    custom_op_name : str
        Kept in `custom_op`.

    >>> from quantray import quantization as tq
    >>> tq.NoopObserver()([1.0, 2.0])
    [1.0, 2.0]

    Source: `torch.ao.quantization.NoopObserver`.
    """

    def __init__(self, dtype: QDType = np.float16, custom_op_name: str = "") -> None:
        super().__init__(dtype)
        self.custom_op = custom_op_name

    def _observe(self, x: ArrayLike) -> None:
        pass


class ReuseInputObserver(ObserverBase):
    """Says that an output has its input's scale and zero point: reshape, flatten.

    >>> from quantray import quantization as tq
    >>> tq.ReuseInputObserver().has_data
    False

    Source: `torch.ao.quantization.observer.ReuseInputObserver`.
    """

    def __init__(self) -> None:
        super().__init__(_core.quint8)

    def _observe(self, x: ArrayLike) -> None:
        pass


class RecordingObserver(ObserverBase):
    """Keeps a copy of every array: to look at, where memory allows; it does not merge into less.

    Parameters
    ----------
    dtype : dtype
        quint8 by default.

    >>> from quantray import quantization as tq
    >>> observer = tq.RecordingObserver()
    >>> _ = observer([1.0, 2.0]), observer([3.0])
    >>> observer.get_tensor_value()
    [array([1., 2.], dtype=float32), array([3.], dtype=float32)]

    Source: `torch.ao.quantization.RecordingObserver`.
    """

    def __init__(self, dtype: QDType = _core.quint8) -> None:
        super().__init__(dtype)
        self.tensor_val: list[Floats] = []

    def _observe(self, x: ArrayLike) -> None:
        self.tensor_val.append(np.array(x, np.float32))

    def _merge(self, other: ObserverBase) -> None:
        assert isinstance(other, RecordingObserver)
        self.tensor_val.extend(other.tensor_val)

    def reset_min_max_vals(self) -> None:
        """Forgets what was recorded."""
        self.tensor_val = []

    def get_tensor_value(self) -> list[Floats]:
        """The arrays, in order."""
        return self.tensor_val
