"""Products and convolutions of quantized arrays."""

# Arrays are of any dtype and shape: what NumPy's stubs make of them says nothing here.
# pyright: reportUnknownVariableType=false, reportUnknownMemberType=false, reportUnknownArgumentType=false

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from quantray._typing import Array, ArrayLike
from quantray.onnx.functions._integers import conv_integer, matmul_integer
from quantray.onnx.functions._quantize import dynamic_quantize_linear, quantize_linear, range_of, requantize


def _single(x: Array, name: str) -> Array:
    """A scale as a float32 of no axes."""
    array = np.asarray(x, np.float32)
    if array.size != 1:
        raise ValueError(f"{name} must be one number, got shape {array.shape}")
    return array.reshape(())


def _columns(x: Array, a: bool = False) -> Array:
    """Scales of rows (`a`) or columns as they are broadcast to products."""
    array = np.asarray(x, np.float32)
    if array.size == 1:
        return array.reshape(())
    return array[:, None] if a and array.ndim == 1 else array


def qlinear_matmul(
    a: Array,
    a_scale: Array,
    a_zero: Array,
    b: Array,
    b_scale: Array,
    b_zero: Array,
    y_scale: Array,
    y_zero: Array,
    kind: str,
) -> Array:
    """The product of two quantized arrays, quantized.

    Source: the ONNX operator QLinearMatMul, as onnxruntime computes it.
    """
    sums = matmul_integer(a, b, a_zero, b_zero)
    multiplier = _columns(a_scale, True) * _columns(b_scale) / _columns(y_scale, True)
    zero = np.asarray(y_zero)
    zero = zero[:, None] if zero.ndim == 1 and zero.size > 1 else zero.reshape(()) if zero.size == 1 else zero
    return requantize(sums, multiplier, zero, kind)


def qlinear_conv(
    x: Array,
    x_scale: Array,
    x_zero: Array,
    weight: Array,
    weight_scale: Array,
    weight_zero: Array,
    y_scale: Array,
    y_zero: Array | None,
    bias: Array | None = None,
    kind: str = "uint8",
    strides: Sequence[int] = (1, 1),
    pads: Sequence[Sequence[int]] = ((0, 0), (0, 0)),
    dilations: Sequence[int] = (1, 1),
    groups: int = 1,
) -> Array:
    """The convolution of quantized images, quantized; the bias is int32, on the scale of the sums.

    Source: the ONNX operator QLinearConv, as onnxruntime computes it.
    """
    sums = conv_integer(x, weight, x_zero, weight_zero, strides, pads, dilations, groups)
    after = (1,) * (sums.ndim - 2)
    if bias is not None:
        # It wraps around, as the sums do.
        sums = (sums.astype(np.int64) + np.asarray(bias).astype(np.int64).reshape(-1, *after)).astype(
            np.int32
        )
    scales = np.asarray(weight_scale, np.float32).reshape(-1)
    if scales.size not in (1, sums.shape[1]):
        raise ValueError(f"scales of weights must be one or {sums.shape[1]}, got {scales.size}")
    multiplier = _single(x_scale, "the scale of x") * scales / _single(y_scale, "the scale of y")
    zero = None if y_zero is None else np.asarray(y_zero).reshape(())
    return requantize(sums, multiplier.reshape(-1, *after), zero, kind)


def matmul_integer_to_float(
    a: Array,
    b: Array,
    a_scale: Array,
    b_scale: Array,
    a_zero: ArrayLike | None = None,
    b_zero: ArrayLike | None = None,
    bias: ArrayLike | None = None,
) -> Array:
    """The product of two quantized arrays, in floats.

    Source: onnxruntime's operator MatMulIntegerToFloat.
    """
    sums = matmul_integer(a, b, a_zero, b_zero).astype(np.float32)
    made = sums * (_columns(a_scale, True) * _columns(b_scale))
    return made if bias is None else made + np.asarray(bias, np.float32)


def dynamic_quantize_matmul(
    a: Array, b: Array, b_scale: Array, b_zero: ArrayLike | None = None, bias: ArrayLike | None = None
) -> Array:
    """The product of floats, quantized by their own range, and a quantized array, in floats.

    Source: onnxruntime's operator DynamicQuantizeMatMul.
    """
    codes, scale, zero = dynamic_quantize_linear(a)
    return matmul_integer_to_float(codes, b, scale, b_scale, zero, b_zero, bias)


def qgemm(
    a: Array,
    a_scale: Array,
    a_zero: Array,
    b: Array,
    b_scale: Array,
    b_zero: Array,
    c: ArrayLike | None = None,
    y_scale: Array | None = None,
    y_zero: Array | None = None,
    kind: str = "uint8",
    alpha: float = 1.0,
    trans_a: bool = False,
    trans_b: bool = False,
) -> Array:
    """The product of two quantized matrices and int32 sums; in floats where there is no scale of `y`.

    Source: onnxruntime's operator QGemm.
    """
    a, b = (np.transpose(x) if flag else x for x, flag in ((a, trans_a), (b, trans_b)))
    sums = matmul_integer(a, b, a_zero, b_zero)
    if c is not None:
        sums = (sums.astype(np.int64) + np.asarray(c).astype(np.int64)).astype(np.int32)
    scale = np.float32(alpha) * _columns(a_scale, True) * _columns(b_scale)
    if y_scale is None:
        return sums.astype(np.float32) * scale
    zero = None if y_zero is None else np.asarray(y_zero).reshape(())
    return requantize(sums, scale / _single(y_scale, "the scale of y"), zero, kind)


def dynamic_codes(x: Array, kind: str) -> tuple[Array, Array, Array]:
    """Integers of a type, with their scale and zero point."""
    scale, zero = range_of(x, kind)
    return quantize_linear(x, scale, zero, kind), scale, zero


def matmul_blocks(
    a: Array,
    b: Array,
    scales: Array,
    zero_points: Array | None = None,
    order: ArrayLike | None = None,
    bias: ArrayLike | None = None,
    k: int = 0,
    n: int = 0,
    bits: int = 4,
    block_size: int = 32,
) -> Array:
    """A product with a weight of a few bits, whose rows are packed in blocks with a scale each.

    Parameters
    ----------
    a : array of float32
        Shape (..., k).
    b : array of uint8
        Shape (n, blocks, bytes of a block).
    scales : array of float32
        One for each block of each of the `n` rows.
    zero_points : array, optional
        Packed as weights are, or floats; the middle of the range by default.
    order : array of integers, optional
        For each of the `k` columns the group whose scale it has.
    bias : array, optional

    Source: onnxruntime's operator MatMulNBits.
    """
    weight = block_weight(b, scales, zero_points, order, k, n, bits, block_size)
    made = np.matmul(np.asarray(a, np.float32), weight.T)
    return made if bias is None else made + bias


def block_weight(
    b: Array,
    scales: Array,
    zero_points: Array | None,
    order: ArrayLike | None,
    k: int,
    n: int,
    bits: int,
    block_size: int,
) -> Array:
    """The weight of `matmul_blocks` in floats, of shape (n, k)."""
    codes, each, zeros = block_codes(b, scales, zero_points, k, n, bits, block_size)
    codes = codes.astype(np.float32)
    if order is None:
        made = (codes - zeros[..., None]) * each[..., None]
        return made.reshape(n, -1)[:, :k]
    group = np.asarray(order)[:k]
    flat = codes.reshape(n, -1)[:, :k]
    return (flat - zeros[:, group]) * each[:, group]


def block_codes(
    b: Array, scales: Array, zero_points: Array | None, k: int, n: int, bits: int, block_size: int
) -> tuple[Array, Array, Array]:
    """The weight of `matmul_blocks` as codes, (n, blocks, block_size); scales, zero points: (n, blocks)."""
    if bits not in (2, 4, 8):
        raise ValueError(f"bits must be 2, 4 or 8, got {bits}")
    blocks = -(-k // block_size)
    codes = _unpacked(np.asarray(b).reshape(n, blocks, -1), bits)[..., :block_size]
    each = np.asarray(scales, np.float32).reshape(n, blocks)
    if zero_points is None:
        zeros: Array = np.full((n, blocks), 1 << (bits - 1), np.float32)
    elif np.asarray(zero_points).dtype == np.uint8:
        count, size = n * -(-blocks * bits // 8), np.size(zero_points)
        if size != count:
            raise ValueError(
                f"zero_points must be {count} bytes, {bits} bits for each of {blocks} blocks of {n} rows, "
                f"which begin at a byte each, got {size}"
            )
        zeros = _unpacked(np.asarray(zero_points).reshape(n, -1), bits)[:, :blocks].astype(np.float32)
    else:
        zeros = np.asarray(zero_points, np.float32).reshape(n, blocks)
    return codes, each, zeros


def gather_blocks(
    codes: Array,
    indices: Array,
    scales: Array,
    zero_points: Array | None = None,
    axis: int = 0,
    along: int = 1,
    block_size: int = 128,
    bits: int = 0,
) -> Array:
    """Places of a table of a few bits, in blocks with a scale each, as floats; zeros for places beyond it.

    Parameters
    ----------
    codes : array of integers
        Packed along their last axis where `bits` are not 0.
    indices : array of integers
        Places along `axis`.
    scales : array
        One for each block along the axis `along`.
    zero_points : array, optional
        As codes are; of packed ones the middle of the range by default, of others 0.

    Source: onnxruntime's operator GatherBlockQuantized.
    """
    places = np.asarray(indices)
    places = np.where(places < 0, places + codes.shape[axis], places)
    inside = (places >= 0) & (places < codes.shape[axis])
    places = np.where(inside, places, 0)

    def taken(x: Array, bits: int) -> Array:
        found = np.take(x, places, axis)
        return _unpacked(found, bits) if bits else found

    def spread(x: Array, length: int) -> Array:
        return np.repeat(x, block_size, at)[(slice(None),) * at + (slice(length),)]

    # Indices stand where the axis was that they choose of.
    at = along if along < axis else along + places.ndim - 1
    found = taken(codes, bits).astype(np.float32)
    if zero_points is not None:
        zeros = spread(taken(zero_points, bits), found.shape[at]).astype(np.float32)
    else:
        zeros = np.float32(1 << (bits - 1) if bits else 0)
    made = (found - zeros) * spread(np.take(np.asarray(scales, np.float32), places, axis), found.shape[at])
    if inside.all():
        return made
    seen = inside.reshape((1,) * axis + inside.shape + (1,) * (made.ndim - axis - inside.ndim))
    return np.where(seen, made, np.float32(0))


def _unpacked(x: Array, bits: int) -> Array:
    """Bytes as the integers of a few bits in them, those in the low bits first."""
    if bits == 8:
        return x
    shifts = np.arange(0, 8, bits, dtype=np.uint8)
    parts = (x[..., None] >> shifts) & np.uint8((1 << bits) - 1)
    return parts.reshape(*x.shape[:-1], -1)
