"""Observing and fake-quantizing in one call, over arrays that the caller keeps."""

from __future__ import annotations

import numpy as np

from quantray._typing import Array, ArrayLike, Floats
from quantray.nn._gradients import untraced
from quantray.quantization.fake_quantize._functions import fake_quantize
from quantray.quantization.observer._min_max import finite_range
from quantray.quantization.observer._moving_average import average
from quantray.quantization.observer._zeros import SMALL_SCALE


def fused_moving_avg_obs_fake_quant(
    input: ArrayLike,
    observer_on: ArrayLike,
    fake_quant_on: ArrayLike,
    running_min: Floats,
    running_max: Floats,
    scale: Floats,
    zero_point: Array,
    averaging_const: float,
    quant_min: int,
    quant_max: int,
    ch_axis: int,
    per_row_fake_quant: bool = False,
    symmetric_quant: bool = False,
) -> ArrayLike:
    """Moves averages of the smallest and the largest value, makes scale and zero point, and fake-quantizes.

    Scale and zero point are those of `quantize_per_tensor_dynamic`, as torch has it here; the modules
    `FakeQuantize` and `FusedMovingAvgObsFakeQuantize` make those of observers, which conversion keeps.

    Parameters
    ----------
    input : array_like of float32, any shape
    observer_on, fake_quant_on : int or array of one
        Whether the range moves; whether the output is quantized.
    running_min, running_max : ndarray of float32, shape (1,) or (channels,)
        Changed in place; infinity and -infinity where nothing was seen.
    scale, zero_point : ndarray of float32 and of int, of the same shape
        Changed in place.
    averaging_const : float
        How much of the new range is taken in, from 0 to 1.
    quant_min, quant_max : int
    ch_axis : int
        The axis of the channels, if `per_row_fake_quant`.
    per_row_fake_quant, symmetric_quant : bool

    Returns
    -------
    ndarray of float32, of the input's shape

    >>> import numpy as np
    >>> from quantray.quantization.fake_quantize import fused_moving_avg_obs_fake_quant
    >>> low, high = np.float32([np.inf]), np.float32([-np.inf])
    >>> scale, zero_point = np.ones(1, np.float32), np.zeros(1, np.int32)
    >>> x = np.float32([-1, 0.5, 1.55])
    >>> fused_moving_avg_obs_fake_quant(x, 1, 1, low, high, scale, zero_point, 0.01, 0, 255, 0)
    array([-1.  ,  0.5 ,  1.55], dtype=float32)
    >>> scale, zero_point
    (array([0.01], dtype=float32), array([100], dtype=int32))

    Source: `torch.fused_moving_avg_obs_fake_quant`; FBGEMM's `ChooseQuantizationParams`.
    """
    x = np.asarray(untraced(input), np.float32)
    axis = ch_axis if per_row_fake_quant else None
    channels = 1 if axis is None else x.shape[axis]
    kept: dict[str, Array] = {
        "running_min": running_min,
        "running_max": running_max,
        "scale": scale,
        "zero_point": zero_point,
    }
    for name, array in kept.items():
        if not isinstance(array, np.ndarray):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise TypeError(f"{name} must be a NumPy array, changed in place, got {type(array).__name__}")
        if array.size != channels:
            raise ValueError(f"{name} must be of shape ({channels},), got {array.shape}")
    if not x.size:
        return input
    if np.all(observer_on):
        found = finite_range(x, axis)
        if all(np.isfinite(v).all() for v in found):
            constant = np.float32(averaging_const)
            for array, new in ((running_min, found[0]), (running_max, found[1])):
                array[...] = average(array, new.reshape(array.shape), constant)
        for i, (low, high) in enumerate(zip(running_min.flat, running_max.flat, strict=True)):
            if np.isfinite(low) and np.isfinite(high):
                made = _choose(float(low), float(high), quant_min, quant_max, symmetric_quant)
                scale.flat[i], zero_point.flat[i] = made
    if not np.all(fake_quant_on):
        return input
    z = zero_point.reshape(-1).astype(np.int64)
    return fake_quantize(input, scale.reshape(-1), z, axis, quant_min, quant_max)


def _choose(low: float, high: float, qmin: int, qmax: int, symmetric: bool) -> tuple[float, int]:
    """FBGEMM's scale and zero point; symmetric where there are values on both sides of 0."""
    middle = symmetric and low < 0 < high
    if middle:
        half = (qmax - qmin) // 2
        most = max(abs(low / -(half + 1)), abs(high / half))
        low, high = (float(np.float32(most * v)) for v in (-(half + 1), half))
    low, high = min(low, 0.0), max(high, 0.0)
    scale = (high - low) / (qmax - qmin)
    with np.errstate(divide="ignore", over="ignore"):
        if np.float32(scale) == 0 or np.isinf(np.float32(1) / np.float32(scale)):
            scale = 0.1
    if scale < SMALL_SCALE:
        by = SMALL_SCALE / np.float32(scale)
        stretched = float(np.float32(float(SMALL_SCALE) * (qmax - qmin)))
        scale = float(SMALL_SCALE)
        if low == 0:
            high = stretched
        elif high == 0:
            low = -stretched
        else:
            low, high = (float(np.float32(v) * by) for v in (low, high))
    from_low, from_high = qmin - low / scale, qmax - high / scale
    lower = abs(qmin) - abs(low / scale) < abs(qmax) - abs(high / scale)
    zero_point = (qmin + qmax) / 2 if middle else from_low if lower else from_high
    return scale, int(np.clip(np.rint(zero_point), qmin, qmax))
