"""Torch's functions from ranges of values to scales, those that observers and training call themselves."""

from __future__ import annotations

import math
from typing import Any, cast

import numpy as np

from quantray import _core

#: The smallest scale that a range gives.
_SMALLEST = float(np.float32(6.1e-5))


def _choose(low: float, high: float, quant_min: int, quant_max: int, symmetric: bool) -> tuple[float, int]:
    """Scale and zero point that just cover a range, widened to hold 0; around 0 where `symmetric`."""
    both = symmetric and low < 0 < high
    if both:
        half = (quant_max - quant_min) // 2
        most = max(abs(low / -(half + 1)), abs(high / half))
        low, high = float(np.float32(most * -(half + 1))), float(np.float32(most * half))
    low, high = min(low, 0.0), max(high, 0.0)
    steps = quant_max - quant_min
    scale = (high - low) / steps
    narrow = np.float32(scale)
    with np.errstate(divide="ignore", over="ignore"):
        if narrow == 0 or np.isinf(np.float32(1) / narrow):
            scale = 0.1
    if scale < _SMALLEST:
        factor = float(np.float32(_SMALLEST) / np.float32(scale))
        if low == 0:
            high = _SMALLEST * steps
        elif high == 0:
            low = -_SMALLEST * steps
        else:
            low, high = float(np.float32(low * factor)), float(np.float32(high * factor))
        scale = _SMALLEST
    from_low, from_high = quant_min - low / scale, quant_max - high / scale
    nearer = abs(quant_min) - abs(low / scale) < abs(quant_max) - abs(high / scale)
    zero = (quant_min + quant_max) / 2 if both else from_low if nearer else from_high
    return scale, int(min(max(round(zero), quant_min), quant_max))


def fused_moving_avg_obs_fake_quant(
    input: Any,
    observer_on: Any,
    fake_quant_on: Any,
    running_min: Any,
    running_max: Any,
    scale: Any,
    zero_point: Any,
    averaging_const: float,
    quant_min: int,
    quant_max: int,
    ch_axis: int = -1,
    per_row_fake_quant: bool = False,
    symmetric_quant: bool = False,
) -> Any:
    """A moving average of the range, scale and zero point from it, and the input rounded to their grid.

    Parameters
    ----------
    input : array_like of real numbers
    observer_on, fake_quant_on : int, or an array of one
        Whether the range is taken in, and whether the input is rounded.
    running_min, running_max : ndarray of float32, shape (1,) or (channels,)
        The range, changed in place; infinite before the first input.
    scale, zero_point : ndarray of float32 and of integers, shape (1,) or (channels,)
        Written to where `fake_quant_on`.
    averaging_const : float
        The weight of a new range.
    quant_min, quant_max : int
        The smallest and the largest code.
    ch_axis : int
        The axis of the channels where `per_row_fake_quant`.
    per_row_fake_quant : bool
        A range for each channel.
    symmetric_quant : bool
        A range around 0.

    Returns
    -------
    ndarray of float32, of the input's shape

    >>> import numpy as np, quantray as qt
    >>> low, high = np.float32([np.inf]), np.float32([-np.inf])
    >>> scale, zero = np.ones(1, np.float32), np.zeros(1, np.int32)
    >>> qt.fused_moving_avg_obs_fake_quant([0.0, 0.4, 2.5], 1, 1, low, high, scale, zero, 0.01, 0, 5)
    array([0. , 0.5, 2.5], dtype=float32)
    >>> high, scale
    (array([2.5], dtype=float32), array([0.5], dtype=float32))

    Source: `torch.fused_moving_avg_obs_fake_quant`.
    """
    x = np.asarray(input, np.float32)
    for name, array in (("running_min", running_min), ("running_max", running_max), ("scale", scale)):
        if not isinstance(array, np.ndarray) or cast("Any", array).dtype != np.float32:
            raise TypeError(f"{name} must be an array of float32, which is written to, got {array!r}")
    if not isinstance(zero_point, np.ndarray):
        raise TypeError(f"zero_point must be an array of integers, which is written to, got {zero_point!r}")
    axis = range(x.ndim)[ch_axis] if per_row_fake_quant else None
    if bool(np.any(np.asarray(observer_on))) and x.size:
        low, high = (np.atleast_1d(v) for v in _core.min_max(x, axis=axis))
        weight = np.float32(averaging_const)
        for kept, new in ((running_min, low), (running_max, high)):
            if kept.shape != new.shape:
                raise ValueError(
                    f"running_min and running_max must be of shape {new.shape}, got {kept.shape}"
                )
            first = np.isinf(kept)
            kept[...] = np.where(first, new, kept + weight * (new - np.where(first, 0, kept)))
    if not np.any(np.asarray(fake_quant_on)):
        return x
    for i in range(running_min.size):
        made = _choose(float(running_min[i]), float(running_max[i]), quant_min, quant_max, symmetric_quant)
        scale[i], zero_point[i] = made
    if axis is None:
        one = scale[:1], cast("Any", zero_point)[:1]
        return _core.fake_quantize_per_tensor_affine(x, *one, quant_min, quant_max)
    each = scale, cast("Any", zero_point)
    return _core.fake_quantize_per_channel_affine(x, *each, axis, quant_min, quant_max)


def choose_qparams_optimized(
    input: Any, numel: int, n_bins: int, ratio: float, bit_width: int
) -> tuple[Any, Any]:
    """The range of a row of weights whose rounding to few bits loses least: a greedy search inwards.

    Parameters
    ----------
    input : array_like of real numbers
    numel : int
        How many of them, from the first on.
    n_bins : int
        The width of a step of the search is the range divided by this.
    ratio : float
        At most this part of the bins is given up.
    bit_width : int
        Of the codes.

    Returns
    -------
    tuple of two ndarray of float32, shape (1,)
        The largest and the smallest value.

    >>> import quantray as qt
    >>> qt.choose_qparams_optimized([-1.0, 0.0, 0.5, 1.0], 4, 200, 0.16, 4)
    (array([1.], dtype=float32), array([-0.97], dtype=float32))

    Source: `torch.choose_qparams_optimized`; arXiv:1911.02079, "greedy search".
    """
    x = np.asarray(input, np.float32).ravel()
    if not 0 < numel <= x.size:
        raise ValueError(f"numel must be from 1 to the number of elements, {x.size}, got {numel}")
    if n_bins < 1 or not 1 <= bit_width <= 8:
        raise ValueError(f"n_bins must be at least 1 and bit_width from 1 to 8, got {n_bins} and {bit_width}")
    x = x[:numel]
    low, high = (np.float32(v) for v in _core.min_max(x))
    step = (high - low) / np.float32(n_bins)
    least = np.float32(int(n_bins * (1.0 - float(np.float32(ratio))))) * step
    best = loss = _loss(x, low, high, bit_width)
    at = low, high
    while at[0] + least < at[1]:
        left, right = (at[0] + step, at[1]), (at[0], at[1] - step)
        losses = _loss(x, *left, bit_width), _loss(x, *right, bit_width)
        if loss < min(losses) and loss < best:
            best, (low, high) = loss, at
        moved = 0 if losses[0] < losses[1] else 1
        at, loss = (left, right)[moved], losses[moved]
        if step == 0:
            break
    return np.array([high], np.float32), np.array([low], np.float32)


def _loss(x: Any, low: Any, high: Any, bit_width: int) -> float:
    """How far values are from their roundings, with scale and least value in float16, as tables keep."""
    low = np.float32(np.float16(low))
    width, most = np.float32(high - low), np.float32((1 << bit_width) - 1)
    scale = np.float32(1) if width == 0 else np.float32(np.float16(width / most))
    inverse = np.float32(1) if scale == 0 else np.float32(1) / scale
    codes = np.clip(np.rint((x - low) * inverse), np.float32(0), most)
    errors = x - (codes * scale + low)
    # Added up in order, as torch does: equal losses decide where the search goes.
    return math.sqrt(float(np.cumsum(errors * errors, dtype=np.float32)[-1]))
