"""Functions that look up and replace elements."""

# Arrays are of any dtype and shape: what NumPy's stubs make of them says nothing here.
# pyright: reportUnknownVariableType=false, reportUnknownMemberType=false, reportUnknownArgumentType=false

from __future__ import annotations

import numpy as np

from quantray._typing import Array, ArrayLike

_REDUCTIONS = {"add": np.add, "mul": np.multiply, "max": np.maximum, "min": np.minimum}


def _put(made: Array, index: tuple[Array, ...], updates: Array, reduction: str) -> Array:
    if reduction == "none":
        made[index] = updates
    else:
        _REDUCTIONS[reduction].at(made, index, updates)
    return made


def gather_nd(x: Array, indices: Array, batch_dims: int = 0) -> Array:
    """Slices of an array, looked up by tuples of indices.

    Source: the ONNX operator GatherND.
    """
    depth = indices.shape[-1]
    if batch_dims == 0:
        return x[tuple(np.moveaxis(indices, -1, 0))]
    batch = x.shape[:batch_dims]
    flat = x.reshape(-1, *x.shape[batch_dims:])
    index = indices.reshape(len(flat), -1, depth)
    rows = np.arange(len(flat))[:, None]
    found = flat[(rows, *np.moveaxis(index, -1, 0))]
    return found.reshape(*batch, *indices.shape[batch_dims:-1], *x.shape[batch_dims + depth :])


def scatter_nd(x: Array, indices: Array, updates: Array, reduction: str = "none") -> Array:
    """An array with some slices replaced, which tuples of indices name.

    Source: the ONNX operator ScatterND.
    """
    return _put(np.array(x), tuple(np.moveaxis(indices, -1, 0)), updates, reduction)


def scatter_elements(
    x: Array, indices: Array, updates: Array, axis: int = 0, reduction: str = "none"
) -> Array:
    """An array with some elements replaced, whose places along an axis are given.

    Source: the ONNX operator ScatterElements.
    """
    index: list[Array] = list(np.indices(indices.shape, sparse=True))
    index[axis] = indices
    return _put(np.array(x), tuple(index), updates, reduction)


def one_hot(indices: Array, depth: int, values: Array, axis: int = -1) -> Array:
    """One of two values in each place: the second one where the place is the index.

    Source: the ONNX operator OneHot.
    """
    at = np.arange(int(depth))
    hot = (np.asarray(indices)[..., None] % int(depth) == at) & (
        (np.asarray(indices)[..., None] >= -int(depth)) & (np.asarray(indices)[..., None] < int(depth))
    )
    return np.moveaxis(np.where(hot, values[1], values[0]), -1, axis)


def reverse_sequence(x: Array, lengths: Array, time_axis: int = 0, batch_axis: int = 1) -> Array:
    """Sequences of a batch, each turned around up to its own length.

    Source: the ONNX operator ReverseSequence.
    """
    made = np.array(x)
    rows = np.moveaxis(made, (batch_axis, time_axis), (0, 1))
    for row, length in zip(rows, lengths, strict=True):
        row[: int(length)] = row[: int(length)][::-1].copy()
    return made


def top_k(x: Array, k: int, axis: int = -1, largest: bool = True) -> tuple[Array, Array]:
    """The greatest or the smallest values along an axis, in order, and their places; of equal ones the first.

    Source: the ONNX operator TopK.
    """
    k = int(k)
    if not 0 <= k <= x.shape[axis]:
        raise ValueError(f"k must be from 0 to {x.shape[axis]}, got {k}")
    order = x
    if largest:
        order = np.invert(x) if x.dtype.kind in "iub" else np.negative(x)
    places = np.argsort(order, axis=axis, kind="stable")
    places = np.take(places, np.arange(k), axis).astype(np.int64)
    return np.take_along_axis(x, places, axis), places


def tensor_scatter(
    cache: Array, update: Array, places: ArrayLike | None = None, axis: int = -2, mode: str = "linear"
) -> Array:
    """An array with some elements replaced, from a place along an axis on that each row of a batch has.

    Source: the ONNX operator TensorScatter.
    """
    axis %= cache.ndim
    length, count = cache.shape[axis], update.shape[axis]
    made = np.array(cache)
    starts = np.zeros(len(cache), np.int64) if places is None else np.asarray(places).astype(np.int64)
    for row, new, start in zip(made, update, starts, strict=True):
        at = start + np.arange(count)
        at = at % length if mode == "circular" else at
        if at.size and (at.min() < 0 or at.max() >= length):
            raise ValueError(f"places must be from 0 to {length - 1}, got {at.min()} to {at.max()}")
        row[(*(slice(None),) * (axis - 1), at)] = new
    return made


def non_zero(x: Array) -> Array:
    """Places of elements that are not 0, a row for each axis; a number by itself is a row of one.

    Source: the ONNX operator NonZero.
    """
    return np.stack(np.nonzero(np.atleast_1d(x))).astype(np.int64)


def unique(x: Array, axis: int | None = None, is_sorted: bool = True) -> tuple[Array, Array, Array, Array]:
    """Elements, or slices, that differ; where each is first, which of them each one is, and counts.

    Source: the ONNX operator Unique.
    """
    made, first, inverse, counts = np.unique(x, True, True, True, axis=axis)
    inverse = inverse.reshape(-1)
    if not is_sorted:
        order = np.argsort(first, kind="stable")
        made = np.take(made, order, 0 if axis is None else axis)
        first, counts = first[order], counts[order]
        inverse = np.argsort(order, kind="stable")[inverse]
    return made, first.astype(np.int64), inverse.astype(np.int64), counts.astype(np.int64)


def cumulative_product(x: Array, axis: int, exclusive: bool = False, reverse: bool = False) -> Array:
    """Products of elements up to each one.

    Source: the ONNX operator CumProd.
    """
    x = np.flip(x, axis) if reverse else x
    made = np.cumprod(x, axis=axis, dtype=x.dtype)
    if exclusive:
        made = np.moveaxis(made, axis, 0)
        made = np.concatenate([np.ones_like(made[:1]), made[:-1]])
        made = np.moveaxis(made, 0, axis)
    return np.flip(made, axis) if reverse else made


def determinant(x: Array) -> Array:
    """Of each matrix.

    Source: the ONNX operator Det.
    """
    return np.asarray(np.linalg.det(x), x.dtype)


def inverse(x: Array) -> Array:
    """Of each matrix.

    Source: onnxruntime's operator Inverse.
    """
    return np.asarray(np.linalg.inv(x), x.dtype)


def center_crop_pad(x: Array, lengths: tuple[int, ...], axes: tuple[int, ...]) -> Array:
    """The middle of an array, or zeros around it, so that axes are as long as they should be.

    Source: the ONNX operator CenterCropPad.
    """
    for axis, length in zip(axes, lengths, strict=True):
        n = x.shape[axis]
        if length < n:
            start = (n - length) // 2
            x = np.take(x, np.arange(start, start + length), axis)
        elif length > n:
            before = (length - n) // 2
            pads = [(0, 0)] * x.ndim
            pads[axis] = (before, length - n - before)
            x = np.pad(x, pads)
    return x
