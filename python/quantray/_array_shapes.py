"""Torch's functions that move elements of arrays and compute nothing: shapes, parts, orders of axes."""

from __future__ import annotations

import importlib
import itertools
import math
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from quantray._torch import values_of

if TYPE_CHECKING:
    from quantray._typing import Array, ArrayLike, PerAxis

#: What NumPy takes axes as, and torch as a list.
Axes = int | Sequence[int] | None


def numpy_of(*arrays: object) -> Any:
    """NumPy, or what autograd has in its place, where it traces one of the arrays."""
    return importlib.import_module("autograd.numpy") if any(map(_is_traced, arrays)) else np


def _is_traced(x: object) -> bool:
    if "autograd" not in sys.modules:
        return False
    # `nn` is imported where it is needed: tensors do without.
    from quantray.nn._gradients import is_traced

    return is_traced(x)


def array_of(x: object) -> Array:
    """An array, or what stands for one, as it is; anything else as an array."""
    if hasattr(x, "__array_function__") or _is_traced(x):
        return cast("Array", x)
    found = values_of(x)
    made = np.asarray(x) if found is None else found
    if made.dtype.kind not in "biufc":
        raise TypeError(f"input must be a QTensor or an array of numbers, got {type(x).__name__}")
    return made


def axes_of(dim: Axes) -> int | tuple[int, ...] | None:
    return tuple(dim) if isinstance(dim, list) else cast("int | tuple[int, ...] | None", dim)


def axis_of(x: Array, dim: int) -> int:
    """An axis counted from the first."""
    if not -max(x.ndim, 1) <= dim < max(x.ndim, 1):
        raise IndexError(f"dim must be in {-x.ndim} to {x.ndim - 1} for {x.ndim} dimensions, got {dim}")
    return dim % max(x.ndim, 1)


def _many(given: Sequence[Any]) -> tuple[int, ...]:
    """Numbers that are given one by one or as a sequence."""
    return tuple(given[0]) if len(given) == 1 and not hasattr(given[0], "__index__") else tuple(given)


def at(x: Array, dim: int, index: int | slice | Array) -> Array:
    return x[(*[slice(None)] * axis_of(x, dim), index)]


# Shapes


def reshape(x: Array, *shape: PerAxis) -> Array:
    return x.reshape(_many(shape))


def permute(x: Array, *dims: PerAxis) -> Array:
    return numpy_of(x).transpose(x, _many(dims))


def transpose(x: Array, dim0: int, dim1: int) -> Array:
    return numpy_of(x).swapaxes(x, dim0, dim1)


def t(x: Array) -> Array:
    if x.ndim > 2:
        raise ValueError(
            f"input must have at most 2 axes, got shape {x.shape}: transpose and permute take more"
        )
    return x.T


def squeeze(x: Array, dim: Axes = None) -> Array:
    if dim is None:
        return numpy_of(x).squeeze(x)
    axes = {axis_of(x, d) for d in (dim if isinstance(dim, list | tuple) else (cast("int", dim),))}
    return numpy_of(x).squeeze(x, tuple(a for a in sorted(axes) if x.ndim and x.shape[a] == 1))


def unsqueeze(x: Array, dim: int) -> Array:
    return numpy_of(x).expand_dims(x, dim)


def flatten(x: Array, start_dim: int = 0, end_dim: int = -1) -> Array:
    start, end = axis_of(x, start_dim), axis_of(x, end_dim)
    if start > end:
        raise ValueError(f"start_dim must not come after end_dim, got {start_dim} and {end_dim}")
    return x.reshape((*x.shape[:start], math.prod(x.shape[start : end + 1]), *x.shape[end + 1 :]))


def unflatten(x: Array, dim: int, sizes: int | Sequence[int]) -> Array:
    axis = axis_of(x, dim)
    return x.reshape((*x.shape[:axis], *_many([sizes]), *x.shape[axis + 1 :]))


def broadcast_to(x: Array, *size: PerAxis) -> Array:
    return numpy_of(x).broadcast_to(x, _many(size))


def moveaxis(x: Array, source: PerAxis, destination: PerAxis) -> Array:
    return numpy_of(x).moveaxis(x, source, destination)


def diagonal(x: Array, offset: int = 0, dim1: int = 0, dim2: int = 1) -> Array:
    return numpy_of(x).diagonal(x, offset, dim1, dim2)


# Parts


def parts(x: Array, ends: Sequence[int], dim: int) -> tuple[Array, ...]:
    return tuple(at(x, dim, slice(a, b)) for a, b in itertools.pairwise((0, *ends)))


def split(x: Array, split_size_or_sections: int | Sequence[int], dim: int = 0) -> tuple[Array, ...]:
    length = x.shape[axis_of(x, dim)]
    if isinstance(split_size_or_sections, Sequence):
        ends = list(itertools.accumulate(split_size_or_sections))
        if (ends[-1] if ends else 0) != length:
            raise ValueError(
                f"split_size_or_sections must be lengths that add up to {length}, the length of axis {dim}, "
                f"got {list(split_size_or_sections)}"
            )
        return parts(x, ends, dim)
    each = split_size_or_sections
    if each < 1:
        raise ValueError(f"split_size_or_sections must be at least 1, got {each}")
    count = max(1, -(-int(length) // each))
    return parts(x, [*(each * (i + 1) for i in range(count - 1)), length], dim)


def chunk(x: Array, chunks: int, dim: int = 0) -> tuple[Array, ...]:
    if chunks < 1:
        raise ValueError(f"chunks must be at least 1, got {chunks}")
    return split(x, max(1, -(-int(x.shape[axis_of(x, dim)]) // chunks)), dim)


def tensor_split(x: Array, indices_or_sections: PerAxis, dim: int = 0) -> tuple[Array, ...]:
    return tuple(numpy_of(x).array_split(x, indices_or_sections, dim))


def unbind(x: Array, dim: int = 0) -> tuple[Array, ...]:
    return tuple(at(x, dim, i) for i in range(int(x.shape[axis_of(x, dim)])))


def narrow(x: Array, dim: int, start: int, length: int) -> Array:
    whole = x.shape[axis_of(x, dim)]
    start += whole if start < 0 else 0
    if not 0 <= start <= start + length <= whole:
        raise ValueError(
            f"start and length must lie in 0 to {whole}, the axis' length, got {start}, {length}"
        )
    return at(x, dim, slice(start, start + length))


def select(x: Array, dim: int, index: int) -> Array:
    return at(x, dim, index)


def index_select(x: Array, dim: int, index: ArrayLike) -> Array:
    return at(x, dim, np.atleast_1d(index))


def take(x: Array, indices: ArrayLike, axis: int | None = None) -> Array:
    return x.reshape(-1)[np.asarray(indices)] if axis is None else at(x, axis, np.asarray(indices))


def take_along_dim(x: Array, indices: ArrayLike, dim: int | None = None) -> Array:
    return np.take_along_axis(x, np.asarray(indices), dim)


def masked_select(x: Array, mask: ArrayLike) -> Array:
    shape = np.broadcast_shapes(x.shape, np.shape(mask))
    return np.broadcast_to(x, shape)[np.broadcast_to(np.asarray(mask, np.bool_), shape)]


def slice_of(
    x: Array, dim: int = 0, start: int | None = None, end: int | None = None, step: int = 1
) -> Array:
    return at(x, dim, slice(start, end, step))


def slice_scatter(
    x: Array, src: ArrayLike, dim: int = 0, start: int | None = None, end: int | None = None, step: int = 1
) -> Array:
    made = x.copy()
    made[(*[slice(None)] * axis_of(x, dim), slice(start, end, step))] = src
    return made


def select_scatter(x: Array, src: ArrayLike, dim: int, index: int) -> Array:
    made = x.copy()
    made[(*[slice(None)] * axis_of(x, dim), index)] = src
    return made


# Repeated and moved


def roll(x: Array, shifts: PerAxis, dims: PerAxis | None = None) -> Array:
    return numpy_of(x).roll(x, shifts, dims)


def tile(x: Array, *dims: PerAxis) -> Array:
    return numpy_of(x).tile(x, _many(dims))


def repeat_interleave(x: Array, repeats: ArrayLike, dim: int | None = None) -> Array:
    return numpy_of(x).repeat(x, repeats, dim)


def flip(x: Array, *dims: PerAxis) -> Array:
    return numpy_of(x).flip(x, _many(dims))


def rot90(x: Array, k: int = 1, dims: tuple[int, int] = (0, 1)) -> Array:
    return numpy_of(x).rot90(x, k, dims)
