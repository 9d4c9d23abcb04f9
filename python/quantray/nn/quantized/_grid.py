"""A grid: the scale, the zero point and the range of the codes of what goes in or comes out."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from quantray import _core
from quantray._core import QTensor


class Grid(NamedTuple):
    """Where quantized values lie.

    >>> from quantray import nn, quantization as tq
    >>> observer = tq.MinMaxObserver()
    >>> _ = observer([0.0, 2.55])
    >>> grid = nn.quantized.Grid.of(observer)
    >>> print(grid)
    scale=0.01, zero_point=0, dtype=quint8
    >>> grid.quantize([0.0, 1.0]).int_repr()
    array([  0, 100], dtype=uint8)
    """

    scale: float
    zero_point: int
    dtype: str = "quint8"
    quant_min: int = 0
    quant_max: int = 255

    @classmethod
    def of(cls, observer: Any) -> Grid:
        """That of an observer, or of a fake quantization, which has seen data."""
        scale, zero_point = observer.calculate_qparams()
        dtype = getattr(observer.dtype, "name", str(observer.dtype))
        if dtype not in ("quint8", "qint8"):
            raise ValueError(f"activations must be quint8 or qint8 where integers compute, got {dtype}")
        low, high = (0, 255) if dtype == "quint8" else (-128, 127)
        least, greatest = int(observer.quant_min), int(observer.quant_max)
        if not low <= least < greatest <= high:
            raise ValueError(
                f"activations must have codes from {low} to {high} where integers compute, "
                f"got {least} to {greatest}"
            )
        # float32, as all kernels have it: what is trained is what runs.
        return cls(float(np.float32(scale[0])), int(zero_point[0]), dtype, least, greatest)

    @property
    def is_full(self) -> bool:
        """Whether every code of the dtype is used."""
        return self.quant_max - self.quant_min == 255

    def clamp(self, q: QTensor) -> QTensor:
        """Codes into the range, in place."""
        if not self.is_full:
            codes = q.int_repr()
            np.clip(codes, self.quant_min, self.quant_max, out=codes)
        return q

    def quantize(self, values: Any) -> QTensor:
        """Floats, quantized; a quantized tensor as it is."""
        if isinstance(values, QTensor):
            return values
        dtype = getattr(_core, self.dtype)
        return self.clamp(_core.quantize_per_tensor(values, self.scale, self.zero_point, dtype))

    @property
    def output(self) -> tuple[float, int, Any]:
        """What operators take: scale, zero point and dtype."""
        return self.scale, self.zero_point, getattr(_core, self.dtype)

    @property
    def clamps(self) -> list[tuple[Any, ...]]:
        """What a chain does after a step to stay in the range."""
        return [] if self.is_full else [("clamp", self.quant_min, self.quant_max)]

    def __str__(self) -> str:
        text = f"scale={self.scale:.6g}, zero_point={self.zero_point}, dtype={self.dtype}"
        return text if self.is_full else f"{text}, codes {self.quant_min} to {self.quant_max}"
