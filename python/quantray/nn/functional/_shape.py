"""Functions that move values: another shape, arrays joined, more elements at the ends, another size."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, SupportsIndex

import numpy as np

from quantray import ops
from quantray._core import QTensor
from quantray.nn._gradients import differentiable
from quantray.nn.functional._arguments import axis_of, floats

Vjp = Callable[[Any], Sequence[Any]]


@differentiable
def _reshape(input: Any, shape: tuple[int, ...]) -> Any:
    return floats(input).reshape(shape)


@_reshape.gradient
def _reshape_gradient(wanted: Sequence[int], out: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Vjp:
    return lambda g: [g.reshape(np.shape(args[0]))]


def flatten(input: Any, start_dim: SupportsIndex = 0, end_dim: SupportsIndex = -1) -> Any:
    """Some axes as one.

    Parameters
    ----------
    input : array or QTensor
        Of any shape.
    start_dim, end_dim : int
        The first and the last of the axes.

    >>> import numpy as np
    >>> from quantray.nn import functional as F
    >>> F.flatten(np.zeros((2, 3, 4)), 1).shape
    (2, 12)

    Source: `torch.flatten`.
    """
    shape = np.shape(input)
    start, end = axis_of(start_dim, len(shape), "start_dim"), axis_of(end_dim, len(shape), "end_dim")
    if start > end:
        raise ValueError(f"start_dim must not come after end_dim, got {start_dim} and {end_dim}")
    if isinstance(input, QTensor):
        return input.flatten(start, end)
    return _reshape(input, (*shape[:start], math.prod(shape[start : end + 1]), *shape[end + 1 :]))


def unflatten(input: Any, dim: SupportsIndex, sizes: Sequence[SupportsIndex]) -> Any:
    """One axis as several.

    Parameters
    ----------
    input : array or QTensor
        Of any shape.
    dim : int
        The axis.
    sizes : sequence of int
        The lengths it becomes; one of them may be -1, what is left.

    >>> import numpy as np
    >>> from quantray.nn import functional as F
    >>> F.unflatten(np.zeros((2, 12)), 1, (3, -1)).shape
    (2, 3, 4)

    Source: `torch.unflatten`.
    """
    shape = np.shape(input)
    axis, new = axis_of(dim, len(shape)), [n.__index__() for n in sizes]
    known = math.prod(n for n in new if n != -1)
    if new.count(-1) == 1 and known and shape[axis] % known == 0:
        new[new.index(-1)] = shape[axis] // known
    if not new or min(new) < 0 or math.prod(new) != shape[axis]:
        raise ValueError(f"sizes must have {shape[axis]} elements, as axis {axis} has, got {tuple(sizes)}")
    made = (*shape[:axis], *new, *shape[axis + 1 :])
    return input.reshape(made) if isinstance(input, QTensor) else _reshape(input, made)


@differentiable
def _cat(axis: int, *tensors: Any) -> Any:
    return np.concatenate([floats(t) for t in tensors], axis)


@_cat.gradient
def _cat_gradient(wanted: Sequence[int], out: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Vjp:
    axis, tensors = args[0], args[1:]
    ends = np.cumsum([np.shape(t)[axis] for t in tensors])

    def vjp(g: Any) -> list[Any]:
        parts = np.split(g, ends[:-1], axis)
        return [parts[i - 1] for i in wanted]

    return vjp


def cat(tensors: Sequence[Any], dim: SupportsIndex = 0) -> Any:
    """Arrays one after the other along an axis.

    Parameters
    ----------
    tensors : sequence of array, or of QTensor
        Of the same shape but for the axis.
    dim : int
        The axis.

    >>> from quantray.nn import functional as F
    >>> F.cat([[[1.0]], [[2.0, 3.0]]], 1)
    array([[1., 2., 3.]], dtype=float32)

    Source: `torch.cat`.
    """
    given = list(tensors)
    if not given:
        raise ValueError("tensors must be at least one array, got none")
    axis = axis_of(dim, len(np.shape(given[0])))
    if all(isinstance(t, QTensor) for t in given):
        return ops.cat(given, axis)
    shapes = [tuple(np.shape(t)) for t in given]
    others = {(*shape[:axis], *shape[axis + 1 :]) for shape in shapes}
    if len(others) > 1 or len({len(shape) for shape in shapes}) > 1:
        raise ValueError(f"tensors must have the same shape but for axis {axis}, got {shapes}")
    return _cat(axis, *given)
