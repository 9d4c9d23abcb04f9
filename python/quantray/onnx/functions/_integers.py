"""Products and convolutions of integers, exact, with sums in int32 that wrap around as onnxruntime's do."""

# Arrays are of any dtype and shape: what NumPy's stubs make of them says nothing here.
# pyright: reportUnknownVariableType=false, reportUnknownMemberType=false, reportUnknownArgumentType=false

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from quantray import ops
from quantray._typing import Array, ArrayLike
from quantray.nn import functional as F

#: Sums of floats below this are exact in any order.
_EXACT = 1 << 24
_CONV = (F.conv1d, F.conv2d, F.conv3d)


def product(a: Array, b: Array) -> Array:
    """`a @ b` in int32, of any integers, with as many axes as NumPy's matmul takes."""
    if a.ndim == 0 or b.ndim == 0:
        raise ValueError(f"products are of arrays of one axis or more, got shapes {a.shape} and {b.shape}")
    if a.ndim == 1:
        return product(a[None], b)[..., 0, :]
    if b.ndim == 1:
        return product(a, b[:, None])[..., 0]
    if a.shape[-1] != b.shape[-2]:
        raise ValueError(
            f"the last axis of {a.shape} must be as long as the one before the last of {b.shape}"
        )
    if not _is_byte(a) or not _is_byte(b):
        # Up to 2 ** 53 floats of 64 bits are exact.
        return _wrapped(np.rint(np.matmul(a.astype(np.float64), b.astype(np.float64))).astype(np.int64))
    if not a.size or not b.size:
        return np.matmul(a.astype(np.int32), b.astype(np.int32))
    if b.ndim == 2:
        made = ops.int_mm(np.ascontiguousarray(a.reshape(-1, a.shape[-1])), np.ascontiguousarray(b))
        return made.reshape(*a.shape[:-1], b.shape[-1])
    batch = np.broadcast_shapes(a.shape[:-2], b.shape[:-2])
    a = np.broadcast_to(a, (*batch, *a.shape[-2:])).reshape(-1, *a.shape[-2:])
    b = np.broadcast_to(b, (*batch, *b.shape[-2:])).reshape(-1, *b.shape[-2:])
    made = np.empty((len(a), a.shape[1], b.shape[2]), np.int32)
    for one, two, out in zip(a, b, made, strict=True):
        out[...] = ops.int_mm(np.ascontiguousarray(one), np.ascontiguousarray(two))
    return made.reshape(*batch, *made.shape[1:])


def _is_byte(x: Array) -> bool:
    return x.dtype.kind in "iu" and x.itemsize == 1


def _wrapped(x: Array) -> Array:
    """Integers of 64 bits as those of 32 that they end in."""
    return x.astype(np.int32)


def matmul_integer(
    a: ArrayLike, b: ArrayLike, a_zero: ArrayLike | None = None, b_zero: ArrayLike | None = None
) -> Array:
    """The product of two arrays of integers, less their zero points, in int32.

    Parameters
    ----------
    a, b : array of integers
        Shapes as NumPy's matmul takes them.
    a_zero : array, optional
        One, or one for each row of `a`.
    b_zero : array, optional
        One, or one for each column of `b`.

    >>> matmul_integer(np.array([[11, 7]], np.uint8), np.array([[1], [4]], np.uint8), np.uint8(12))
    array([[-21]], dtype=int32)

    Source: the ONNX operator MatMulInteger.
    """
    a, b = np.asarray(a), np.asarray(b)
    made = product(a, b).astype(np.int64)
    za, zb = _zeros(a_zero, a, -2), _zeros(b_zero, b, -1)
    is_row, is_column = a.ndim == 1, b.ndim == 1
    if za is not None:
        sums = b.sum(axis=-1 if is_column else -2, dtype=np.int64)
        sums = sums if is_column else sums[..., None, :]
        made = made - _fitted(za * sums if not is_column else za[..., 0] * sums[()], made, is_row)
    if zb is not None:
        sums = a.sum(axis=-1, dtype=np.int64)
        sums = sums if is_column else sums[..., None]
        zb = zb[..., 0, 0] if is_column else zb
        made = made - _fitted(zb * sums, made, is_row and not is_column)
    if za is not None and zb is not None:
        both = a.shape[-1] * (za[..., 0] * zb if is_column else za * zb)
        made = made + _fitted(both, made, is_row)
    return _wrapped(made)


def _fitted(x: Array, like: Array, is_row: bool) -> Array:
    """A correction without the axis of rows, where there is none."""
    return x[..., 0, :] if is_row and x.ndim > like.ndim else x


def _zeros(given: ArrayLike | None, x: Array, axis: int) -> Array | None:
    """Zero points as integers of 64 bits that broadcast to products; None where they are 0."""
    if given is None:
        return None
    zero = np.asarray(given).astype(np.int64)
    if not zero.any():
        return None
    if zero.size == 1:
        return zero.reshape(1, 1)
    length = x.shape[axis] if x.ndim > 1 else 1
    if zero.ndim == 1:
        if len(zero) != length:
            raise ValueError(f"zero points must be one or {length}, got {len(zero)}")
        return zero[:, None] if axis == -2 else zero[None, :]
    return zero


def conv_integer(
    x: Array,
    weight: Array,
    x_zero: ArrayLike | None = None,
    weight_zero: ArrayLike | None = None,
    strides: Sequence[int] = (1, 1),
    pads: Sequence[Sequence[int]] = ((0, 0), (0, 0)),
    dilations: Sequence[int] = (1, 1),
    groups: int = 1,
) -> Array:
    """The convolution of two arrays of integers, less their zero points, in int32.

    Parameters
    ----------
    x : array of integers
        Shape (N, C, lengths), with one to three lengths.
    weight : array of integers
        Shape (outputs, C / groups, kernel).
    x_zero : number, optional
    weight_zero : number, optional
        Or one for each output.
    strides, dilations : sequence of int
    pads : sequence of (int, int)
        Of the zero point, before and after each axis of lengths.
    groups : int

    Source: the ONNX operator ConvInteger.
    """
    x, weight = np.asarray(x), np.asarray(weight)
    check_convolution(x.shape, weight.shape, groups)
    zero = 0 if x_zero is None else int(np.asarray(x_zero).reshape(()))
    zeros = (
        np.zeros(1, np.int64) if weight_zero is None else np.asarray(weight_zero).reshape(-1).astype(np.int64)
    )
    if any(n for side in pads for n in side):
        x = np.pad(x, [(0, 0), (0, 0), *map(tuple, pads)], constant_values=zero)
    reach = [(k - 1) * d + 1 for k, d in zip(weight.shape[2:], dilations, strict=True)]
    if any(n < r for n, r in zip(x.shape[2:], reach, strict=True)):
        raise ValueError(f"kernels reach over {reach} elements, and padded images have {list(x.shape[2:])}")
    each = weight[0].size
    if groups > 1 and each * 255 * 255 < _EXACT and weight.itemsize == 1:
        # Sums of so few products are exact in floats.
        centred = weight.astype(np.float32) - zeros.reshape(-1, *(1,) * (weight.ndim - 1)).astype(np.float32)
        shifted = x.astype(np.float32) - np.float32(zero)
        function = _CONV[weight.ndim - 3]
        return function(shifted, centred, None, strides, 0, dilations, groups).astype(np.int32)
    rows = _windows(x, weight.shape[2:], reach, strides, dilations)
    batch, lengths = rows.shape[0], rows.shape[2 : 2 + len(reach)]
    parts: list[Array] = []
    channels, outputs = weight.shape[1], len(weight) // groups
    for g in range(groups):
        part = rows[:, g * channels : (g + 1) * channels]
        order = (0, *range(2, 2 + len(reach)), 1, *range(2 + len(reach), part.ndim))
        matrix = np.ascontiguousarray(part.transpose(order)).reshape(-1, each)
        own = slice(g * outputs, (g + 1) * outputs)
        columns = np.ascontiguousarray(weight[own].reshape(outputs, each).T)
        zeros_here = zeros if zeros.size == 1 else zeros[own]
        parts.append(matmul_integer(matrix, columns, np.array(zero), zeros_here))
    made = np.concatenate(parts, axis=1).reshape(batch, *lengths, len(weight))
    return np.ascontiguousarray(np.moveaxis(made, -1, 1))


def check_convolution(x: Sequence[int], weight: Sequence[int], groups: int) -> None:
    """Raises ValueError where shapes of images and weights do not fit."""
    if not 3 <= len(weight) <= 5 or len(x) != len(weight):
        raise ValueError(
            f"images and weights must have 3 to 5 axes, as many each, got {tuple(x)}, {tuple(weight)}"
        )
    if groups < 1 or x[1] != weight[1] * groups or weight[0] % groups:
        raise ValueError(
            f"images of {x[1]} channels do not fit weights of shape {tuple(weight)} in {groups} groups"
        )


def _windows(
    x: Array, kernel: Sequence[int], reach: Sequence[int], strides: Sequence[int], dilations: Sequence[int]
) -> Array:
    """A view of shape (N, C, outputs, kernel)."""
    dims = len(kernel)
    found = np.lib.stride_tricks.sliding_window_view(x, tuple(reach), tuple(range(2, 2 + dims)))
    steps = tuple(slice(None, None, s) for s in strides)
    inner = tuple(slice(None, None, d) for d in dilations)
    return found[(slice(None), slice(None), *steps, *inner)]
