"""Scales of weights that were found elsewhere."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from quantray import _core
from quantray._typing import Array, ArrayLike, Floats, QDType
from quantray.quantization.observer import _types
from quantray.quantization.observer._base import ObserverBase
from quantray.quantization.observer._qparams import quant_range


class FixedScalesObserver(ObserverBase):
    """Scales that are known beforehand, one for each channel or one for all: those that a remedy has found.

    Parameters
    ----------
    scales : sequence of float
        Positive; as many as there are channels, or one.
    ch_axis : int, optional
        The axis of the channels; None for one scale.
    dtype : dtype
        qint8: symmetric, the zero point is 0.
    quant_min, quant_max : int
        The codes to use.

    Raises
    ------
    ValueError
        For scales that are not positive and finite, and for several without an axis.

    >>> from quantray import quantization as tq
    >>> observer = tq.FixedScalesObserver([0.5, 0.25], ch_axis=0, quant_min=-8, quant_max=7)
    >>> observer.calculate_qparams()
    (array([0.5 , 0.25], dtype=float32), array([0, 0]))
    """

    def __init__(
        self,
        scales: Sequence[float],
        ch_axis: int | None = None,
        dtype: QDType = _core.qint8,
        quant_min: int = -128,
        quant_max: int = 127,
    ) -> None:
        codes = _types.quantized_dtype(dtype)
        super().__init__(codes)
        found = np.asarray(scales, np.float32).reshape(-1)
        with np.errstate(divide="ignore"):
            if not found.size or not (np.isfinite(found) & np.isfinite(1 / found) & (found > 0)).all():
                raise ValueError(f"scales must be positive finite float32 numbers, got {scales!r}")
        if ch_axis is None and found.size != 1:
            raise ValueError(f"scales must be one where there is no ch_axis, got {found.size}")
        self.quant_min, self.quant_max = quant_range(codes, quant_min, quant_max, False)
        self.qscheme = _core.per_tensor_symmetric if ch_axis is None else _core.per_channel_symmetric
        if ch_axis is not None:
            self.ch_axis = ch_axis
        self.register_buffer("scale", found)
        self.register_buffer("zero_point", np.zeros(found.shape, np.int64))

    @property
    def has_data(self) -> bool:
        """Always: nothing needs to be observed."""
        return True

    def _observe(self, x: ArrayLike) -> None:
        pass

    def calculate_qparams(self) -> tuple[Floats, Array]:
        """The scales that were given, and zeros."""
        return self.scale, self.zero_point

    def extra_repr(self) -> str:
        """How many scales, and for which codes."""
        return f"{self.scale.size} scales, codes {self.quant_min} to {self.quant_max}"
