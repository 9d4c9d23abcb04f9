"""From a range of values to scale and zero point: the one function that observers, fake quantization and
converted models share, so that what was trained is what runs."""

from __future__ import annotations

from typing import TypeAlias

import numpy as np

from quantray import _core
from quantray._typing import Array, ArrayLike, Floats
from quantray.quantization.observer._types import SYMMETRIC, UNSIGNED

#: The smallest and the largest value, of all or of each channel.
Range: TypeAlias = tuple[ArrayLike, ArrayLike]

_LARGEST = np.finfo(np.float32).max

#: The smallest scale, unless told otherwise.
EPS = float(np.finfo(np.float32).eps)


def quant_range(
    dtype: _core.dtype,
    quant_min: int | None,
    quant_max: int | None,
    reduce_range: bool,
    codes: tuple[int, int] | None = None,
) -> tuple[int, int]:
    """The smallest and the largest code: those given, or the dtype's; half of them for `reduce_range`.

    `codes` are the dtype's where it is one that another holds.
    """
    least, most = codes or (dtype.qmin, dtype.qmax)
    if (quant_min is None) != (quant_max is None):
        raise ValueError(f"quant_min and quant_max must be given together, got {quant_min} and {quant_max}")
    if quant_min is None or quant_max is None:
        # torch reduces 8 bits only.
        return (least // 2, most // 2) if reduce_range and dtype.bits == 8 else (least, most)
    for name, value in (("quant_min", quant_min), ("quant_max", quant_max)):
        if int(value) != value or not least <= value <= most:
            raise ValueError(f"{name} must be an integer from {least} to {most} for {dtype}, got {value!r}")
    if not quant_min <= 0 <= quant_max or quant_min == quant_max:
        raise ValueError(f"quant_min and quant_max must differ and hold 0, got {quant_min} and {quant_max}")
    low, high = int(quant_min), int(quant_max)
    return (low // 2, high // 2) if reduce_range else (low, high)


def qparams(
    min_val: ArrayLike,
    max_val: ArrayLike,
    *,
    dtype: _core.dtype,
    qscheme: _core.qscheme,
    quant_min: int,
    quant_max: int,
    eps: float = EPS,
    customized: bool = False,
) -> tuple[Floats, Array]:
    """Scale and zero point for ranges of values.

    Parameters
    ----------
    min_val, max_val : float32, one or one for each channel
        Finite, `min_val <= max_val`.
    dtype, qscheme, quant_min, quant_max
        What is quantized to; the codes to use.
    eps : float
        The smallest scale.
    customized : bool
        Whether the user gave `quant_min` and `quant_max`: then the zero point of unsigned symmetric codes is
        their middle, rounded down; else the dtype's, 128 for quint8.

    Returns
    -------
    tuple
        Arrays of shape (1,) or (channels,): float32 scales, int64 zero points; float32 zero points for
        per_channel_affine_float_qparams.

    Affine: `scale = max((max - min) / (quant_max - quant_min), eps)`, the range widened to hold 0, and
    `zero_point = clamp(quant_min - rint(min / scale))`. Symmetric: `scale = max(|min|, |max|) / ((quant_max -
    quant_min) / 2)`. All in float32. Where the outermost code would stand for more than the largest float32,
    as for ranges of +-3.4e38, the scale is what still holds it.

    Source: `torch.ao.quantization.observer.UniformQuantizationObserverBase`.
    """
    low, high = (np.atleast_1d(np.asarray(v, np.float32)) for v in (min_val, max_val))
    steps = quant_max - quant_min
    floor = np.float32(eps)
    if qscheme == _core.per_channel_affine_float_qparams:
        scale = _step(low, high, steps)
        scale = np.where(scale > floor, scale, np.float32(1))
        return scale, -low / scale
    low, high = np.minimum(low, np.float32(0)), np.maximum(high, np.float32(0))
    if qscheme in SYMMETRIC:
        scale = np.maximum(np.maximum(-low, high) / (np.float32(steps) / np.float32(2)), floor)
        middle = 0
        if dtype in UNSIGNED or (quant_min == 0 and not customized):
            middle = (quant_min + quant_max + (0 if customized else 1)) // 2
        zero_point = np.full(scale.shape, middle, np.int64)
    else:
        scale = np.maximum(_step(low, high, steps), floor)
        zero_point = quant_min - np.rint(low / scale).astype(np.int64)
        zero_point = np.clip(zero_point, quant_min, quant_max)
    return _finite(scale, zero_point, quant_min, quant_max), zero_point


def _step(low: Floats, high: Floats, steps: int) -> Floats:
    """`(high - low) / steps` in float32; by way of float64 where the difference alone is beyond float32."""
    with np.errstate(over="ignore"):
        width = high - low
    if np.isfinite(width).all():
        return width / np.float32(steps)
    wide = ((high.astype(np.float64) - low) / steps).astype(np.float32)
    return np.where(np.isfinite(width), width / np.float32(steps), wide)


def _finite(scale: Floats, zero_point: Array, quant_min: int, quant_max: int) -> Floats:
    """The scale, smaller by less than half a step of the range where else a code would stand for infinity."""
    # No dtype has codes that far from one another: nearly always, and all that most calls pay for.
    if scale.max() < _LARGEST / 2**32:
        return scale
    furthest = np.maximum(quant_max - zero_point, zero_point - quant_min).astype(np.float32)
    with np.errstate(over="ignore"):
        most = _LARGEST / furthest
        # The quotient may have been rounded up.
        most = np.where(np.isinf(most * furthest), np.nextafter(most, np.float32(0)), most)
        return np.where(np.isinf(scale * furthest), most, scale)
