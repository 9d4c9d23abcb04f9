"""From floats to integers and back, as onnxruntime computes it: division, rounding, then the zero point."""

# Arrays are of any dtype and shape: what NumPy's stubs make of them says nothing here.
# pyright: reportUnknownVariableType=false, reportUnknownMemberType=false, reportUnknownArgumentType=false

from __future__ import annotations

from typing import cast

import numpy as np

from quantray._typing import Array, ArrayLike
from quantray.onnx.functions._small_floats import is_small, to_small

#: The least and the greatest integer of each type, and the dtype of arrays that hold them.
RANGES: dict[str, tuple[int, int, type[np.integer]]] = {
    "int8": (-128, 127, np.int8),
    "uint8": (0, 255, np.uint8),
    "int16": (-32768, 32767, np.int16),
    "uint16": (0, 65535, np.uint16),
    "int32": (-(2**31), 2**31 - 1, np.int32),
    "int4": (-8, 7, np.int8),
    "uint4": (0, 15, np.uint8),
    "int2": (-2, 1, np.int8),
    "uint2": (0, 3, np.uint8),
}


def spread(given: ArrayLike, x: Array, axis: int = 1, block_size: int = 0) -> Array:
    """Scales or zero points as they are broadcast to an array: one, one for each channel, or for each block.

    Raises
    ------
    ValueError
        There are not as many as that needs.
    """
    values: Array = np.asarray(given)
    shape = np.shape(x)
    if values.size == 1 and not block_size:
        return values.reshape(())
    if not -len(shape) <= axis < len(shape):
        raise ValueError(f"axis must be from {-len(shape)} to {len(shape) - 1}, got {axis}")
    axis %= len(shape)
    length = shape[axis]
    if block_size:
        wanted = (*shape[:axis], -(-length // block_size), *shape[axis + 1 :])
        if values.shape != wanted:
            raise ValueError(
                f"blocks of {block_size} along axis {axis} of {shape} need scales of shape {wanted}, "
                f"got {values.shape}"
            )
        return np.repeat(values, block_size, axis)[(*(slice(None),) * axis, slice(length))]
    if values.ndim == 1 and length == 1 and np.size(x) == len(values):
        # onnxruntime's tool writes biases of shape (1, N) with a scale for each of the N, and axis 0.
        return values.reshape(shape)
    if values.ndim != 1 or len(values) != length:
        raise ValueError(
            f"scales must be one, or {length} for axis {axis} of {shape}, got shape {values.shape}"
        )
    return values.reshape([-1 if a == axis else 1 for a in range(len(shape))])


def rounded(x: Array, zero: ArrayLike, kind: str) -> Array:
    """Floats, rounded half to even, then the zero point is added; what is beyond the range is clamped."""
    low, high, dtype = RANGES[kind]
    wide = np.asarray(zero).astype(np.int64)
    # Up to 16 bits float32 has all integers.
    exact = np.float32 if np.iinfo(dtype).bits <= 16 else np.float64
    bottom, top = (low - wide).astype(exact), (high - wide).astype(exact)
    made = np.asarray(np.rint(x), exact)
    # Not a number is what comparisons of machines make of it: the least one.
    made = np.fmin(np.fmax(made, bottom), top)
    if exact is np.float32:
        return (made + wide.astype(exact)).astype(dtype)
    return (made.astype(np.int64) + wide).astype(dtype)


def quantize_linear(
    x: Array,
    scale: ArrayLike,
    zero_point: ArrayLike | None = None,
    kind: str = "uint8",
    axis: int = 1,
    block_size: int = 0,
    saturate: bool = True,
) -> Array:
    """Integers, or small floats, of floats.

    Parameters
    ----------
    x : array
    scale : array of float32
        One, one for each channel along `axis`, or one for each block of `block_size` elements along it.
    zero_point : array, optional
        Of as many elements; 0 by default.
    kind : str
        Type of the result: "uint8", "int4", "float8e4m3fn", ...
    axis, block_size : int
    saturate : bool
        For small floats: whether what is beyond the largest number becomes that.

    >>> quantize_linear(np.array([0.0, 1.5, 1000.0], np.float32), np.float32(1), np.uint8(10))
    array([ 10,  12, 255], dtype=uint8)

    Source: the ONNX operator QuantizeLinear, as onnxruntime computes it.
    """
    x = np.asarray(x)
    with np.errstate(all="ignore"):
        scaled = x.astype(np.float32) / spread(scale, x, axis, block_size).astype(np.float32)
    if is_small(kind):
        return to_small(scaled, kind, saturate)
    if kind not in RANGES:
        raise ValueError(f"integers must be of type {', '.join(RANGES)}, got {kind!r}")
    zero = np.int64(0) if zero_point is None else spread(zero_point, x, axis, block_size)
    return rounded(scaled, zero, kind)


def dequantize_linear(
    x: ArrayLike,
    scale: ArrayLike,
    zero_point: ArrayLike | None = None,
    axis: int = 1,
    block_size: int = 0,
) -> Array:
    """Floats of integers: `(x - zero_point) * scale`.

    >>> dequantize_linear(np.array([10, 12], np.uint8), np.float32(0.5), np.uint8(10))
    array([0., 1.], dtype=float32)

    Source: the ONNX operator DequantizeLinear.
    """
    x = np.asarray(x)
    if zero_point is not None and x.dtype.kind != "f":
        wide = np.int64 if x.itemsize >= 4 else np.int32
        x = x.astype(wide) - spread(zero_point, x, axis, block_size).astype(wide)
    return np.multiply(x.astype(np.float32), spread(scale, x, axis, block_size).astype(np.float32))


def fake_quantize(
    x: Array,
    scale: Array,
    zero_point: Array | None = None,
    kind: str = "uint8",
    low: int | None = None,
    high: int | None = None,
) -> Array:
    """Floats rounded to the values of integers on one grid: QuantizeLinear, then DequantizeLinear.

    Between them integers may be cut to those from `low` to `high`.

    >>> fake_quantize(np.array([0.2, 1.5, 1000.0], np.float32), np.float32(1), np.uint8(10))
    array([  0.,   2., 245.], dtype=float32)
    """
    codes = quantize_linear(x, scale, zero_point, kind)
    if low is not None or high is not None:
        codes = np.clip(codes, low, high)
    return dequantize_linear(codes, scale, zero_point)


def range_of(x: Array, kind: str = "uint8") -> tuple[Array, Array]:
    """Scale and zero point for the least and the greatest of some floats, and 0."""
    low, high, dtype = RANGES[kind]
    x = np.asarray(x, np.float32)
    least = np.minimum(np.float32(0), x.min()) if x.size else np.float32(0)
    most = np.maximum(np.float32(0), x.max()) if x.size else np.float32(0)
    scale = np.float32(1) if most == least else np.float32((most - least) / np.float32(high - low))
    zero = np.rint(np.clip(np.float32(low) - least / scale, low, high))
    # Numbers, which count as arrays of no axes.
    return cast("tuple[Array, Array]", (scale, dtype(zero)))


def dynamic_quantize_linear(x: Array) -> tuple[Array, Array, Array]:
    """Integers of type uint8, with their scale and zero point, which the array's range makes.

    Source: the ONNX operator DynamicQuantizeLinear.
    """
    scale, zero = range_of(x)
    return quantize_linear(x, scale, zero), np.asarray(scale), np.asarray(zero)


def requantize(sums: Array, multiplier: ArrayLike, zero_point: ArrayLike | None, kind: str) -> Array:
    """Sums in int32 as integers on another grid: a product in float32, rounded, then the zero point.

    Source: onnxruntime's QLinearConv and QLinearMatMul.
    """
    scaled = np.asarray(sums).astype(np.float32) * np.asarray(multiplier, np.float32)
    return rounded(scaled, 0 if zero_point is None else zero_point, kind)
