"""Fake quantization that gradients flow through."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeAlias

import numpy as np

from quantray import _core
from quantray._typing import Array, ArrayLike, Bools, Floats, Ints, Rounding
from quantray.nn._gradients import differentiable

#: From the gradient of what a function gives to those of its arguments.
Pull: TypeAlias = Callable[[Floats], Sequence[Floats]]


@differentiable
def fake_quantize(
    x: ArrayLike, scale: Floats, zero_point: Array, axis: int | None, quant_min: int, quant_max: int
) -> Floats:
    """`dequantize(quantize(x))`: scale and zero point of shape (1,), or (channels,) along `axis`.

    The gradient passes where the code lies within `quant_min` and `quant_max`, and is 0 elsewhere.
    """
    if axis is None:
        return _core.fake_quantize_per_tensor_affine(
            x, float(scale[0]), int(zero_point[0]), quant_min, quant_max
        )
    if zero_point.dtype.kind == "f":
        return _float_qparams(x, scale, zero_point, axis, quant_min, quant_max)[0]
    return _core.fake_quantize_per_channel_affine(x, scale, zero_point, axis, quant_min, quant_max)


def rounding_of(rounding: Rounding) -> Rounding | None:
    """What rounds, as it can be copied and saved: a name, a function, None for the contract's rounding."""
    if isinstance(rounding, str) and rounding == "nearest":
        return None
    from quantray.grids import rounding_function

    made = rounding_function(rounding)
    return made if isinstance(rounding, str) and rounding == "stochastic" else rounding


@differentiable
def fake_quantize_rounded(
    x: ArrayLike,
    scale: Floats,
    zero_point: Array,
    axis: int | None,
    quant_min: int,
    quant_max: int,
    rounding: Rounding,
) -> Floats:
    """The same with any rounding; its gradient is that of rounding to the nearest code."""
    from quantray.grids._fake import _along, rounded_codes

    given = np.asarray(x, np.float32)
    codes = rounded_codes(given, scale, zero_point, axis, quant_min, quant_max, rounding)
    steps = (codes - _along(zero_point, axis, given.ndim)).astype(np.float32)
    return steps * np.asarray(_along(scale, axis, given.ndim), np.float32)


def _passing(
    wanted: Sequence[int],
    out: Floats,
    x: ArrayLike,
    scale: Floats,
    zero_point: Array,
    axis: int | None,
    quant_min: int,
    quant_max: int,
    rounding: Rounding | None = None,
) -> Pull:
    """The gradient that passes where codes are within their range, however they are rounded."""

    def pull(g: Floats) -> Sequence[Floats]:
        if axis is None:
            s, z = float(scale[0]), int(zero_point[0])
            dx = _core.fake_quantize_per_tensor_affine_backward(g, x, s, z, quant_min, quant_max)
        elif zero_point.dtype.kind == "f":
            dx = g * _float_qparams(x, scale, zero_point, axis, quant_min, quant_max)[1]
        else:
            dx = _core.fake_quantize_per_channel_affine_backward(
                g, x, scale, zero_point, axis, quant_min, quant_max
            )
        return [dx]

    return pull


fake_quantize.gradient(_passing)
fake_quantize_rounded.gradient(_passing)


def _float_qparams(
    x: ArrayLike, scale: Floats, zero_point: Array, axis: int, quant_min: int, quant_max: int
) -> tuple[Floats, Bools]:
    """Values, and where the gradient passes, with float zero points: added before rounding."""
    given = np.asarray(x, np.float32)
    shape = [1] * given.ndim
    shape[axis] = -1
    s, z = scale.reshape(shape), zero_point.reshape(shape)
    codes = np.rint(given * (np.float32(1) / s) + z)
    inside = (codes >= quant_min) & (codes <= quant_max)
    return (np.clip(codes, np.float32(quant_min), np.float32(quant_max)) - z) * s, inside


@differentiable
def fake_quantize_learnable(
    x: ArrayLike,
    scale: Floats,
    zero_point: Array,
    axis: int | None,
    quant_min: int,
    quant_max: int,
    grad_factor: float,
) -> Floats:
    """The same with gradients of scale and zero point, times `grad_factor`; the zero point is rounded."""
    return fake_quantize(x, scale, _codes(zero_point, quant_min, quant_max), axis, quant_min, quant_max)


@fake_quantize_learnable.gradient
def _(
    wanted: Sequence[int],
    out: Floats,
    x: ArrayLike,
    scale: Floats,
    zero_point: Array,
    axis: int | None,
    quant_min: int,
    quant_max: int,
    grad_factor: float,
) -> Pull:
    z = _codes(zero_point, quant_min, quant_max)

    def pull(g: Floats) -> Sequence[Floats]:
        if axis is None:
            gradients = _core.fake_quantize_learnable_per_tensor_affine_backward(
                g, x, float(scale[0]), int(z[0]), quant_min, quant_max, grad_factor
            )
        else:
            gradients = _core.fake_quantize_learnable_per_channel_affine_backward(
                g, x, scale, z, axis, quant_min, quant_max, grad_factor
            )
        return [gradients[i] for i in wanted]

    return pull


def _codes(zero_point: Array, quant_min: int, quant_max: int) -> Ints:
    """Float zero points that are learned, as codes."""
    return np.clip(np.rint(zero_point), quant_min, quant_max).astype(np.int64)
