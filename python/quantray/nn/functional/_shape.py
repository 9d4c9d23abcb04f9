"""Functions that move values: another shape, arrays joined, more elements at the ends, another size."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal, SupportsIndex, cast

import numpy as np

from quantray import ops
from quantray._core import QTensor
from quantray.nn._gradients import differentiable
from quantray.nn._tracing import traced
from quantray.nn.functional._arguments import axis_of, floats, traced_or_floats
from quantray.nn.functional._arithmetic import add, mul

if TYPE_CHECKING:
    from quantray._typing import Array, Floats, Input, PerAxis, Tensor
    from quantray.nn._gradients import Vjp
    from quantray.nn.functional._arguments import Factors


@differentiable
def _reshape(input: Input, shape: tuple[int, ...]) -> Floats:
    return floats(input).reshape(shape)


@_reshape.gradient
def _reshape_gradient(
    wanted: Sequence[int], out: Floats, input: Input, shape: tuple[int, ...]
) -> Vjp[Floats]:
    return lambda g: [g.reshape(np.shape(input))]


def reshape(input: Input, shape: Sequence[int]) -> Tensor:
    """An array, or a tensor, in another shape."""
    return input.reshape(tuple(shape)) if isinstance(input, QTensor) else _reshape(input, tuple(shape))


@traced
def flatten(input: Input, start_dim: SupportsIndex = 0, end_dim: SupportsIndex = -1) -> Tensor:
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


@traced
def unflatten(input: Input, dim: SupportsIndex, sizes: Sequence[SupportsIndex]) -> Tensor:
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


def joined(arrays: Sequence[Input], axis: int = 0) -> Floats:
    """Arrays of floats, one after the other along an axis: `cat` of what is known to fit."""
    return _cat(axis % np.ndim(arrays[0]), *arrays)


@differentiable
def _cat(axis: int, *tensors: Input) -> Floats:
    return np.concatenate([floats(t) for t in tensors], axis)


@_cat.gradient
def _cat_gradient(wanted: Sequence[int], out: Floats, axis: int, *tensors: Input) -> Vjp[Floats]:
    ends = np.cumsum([np.shape(t)[axis] for t in tensors])

    def vjp(g: Floats) -> list[Array]:
        parts = np.split(g, ends[:-1], axis)
        return [parts[i - 1] for i in wanted]

    return vjp


@traced
def cat(tensors: Sequence[Input], dim: SupportsIndex = 0) -> Tensor:
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
        return ops.cat(cast("list[QTensor]", given), axis)
    shapes = [tuple(np.shape(t)) for t in given]
    others = {(*shape[:axis], *shape[axis + 1 :]) for shape in shapes}
    if len(others) > 1 or len({len(shape) for shape in shapes}) > 1:
        raise ValueError(f"tensors must have the same shape but for axis {axis}, got {shapes}")
    return _cat(axis, *given)


@differentiable
def _take(input: Input, index: Array, axis: int) -> Floats:
    """The elements of some places along an axis."""
    return np.take(floats(input), index, axis)


@_take.gradient
def _take_gradient(wanted: Sequence[int], out: Floats, input: Input, index: Array, axis: int) -> Vjp[Floats]:
    # Places in order, so that those taken more than once are sums of neighbours.
    order = np.argsort(index, kind="stable")
    places, starts = np.unique(index[order], return_index=True)

    def vjp(g: Floats) -> list[Array]:
        made = np.zeros(np.shape(input), np.float32)
        sums = np.add.reduceat(np.take(g, order, axis), starts, axis)
        made[(*[slice(None)] * axis, places)] = sums
        return [made]

    return vjp


@differentiable
def _widen(input: Input, pairs: tuple[tuple[int, int], ...], value: float) -> Floats:
    """A value around an array; less than none of it cuts the array."""
    x = floats(input)
    made = np.full([n + a + b for n, (a, b) in zip(x.shape, pairs, strict=True)], value, np.float32)
    inner, own = _overlap(x.shape, pairs)
    made[inner] = x[own]
    return made


def _overlap(
    shape: Sequence[int], pairs: Sequence[tuple[int, int]]
) -> tuple[tuple[slice, ...], tuple[slice, ...]]:
    """Where the array is in the wider one, and which part of it."""
    sides = list(zip(shape, pairs, strict=True))
    inner = tuple(slice(max(a, 0), n + a + min(b, 0)) for n, (a, b) in sides)
    return inner, tuple(slice(max(-a, 0), n - max(-b, 0)) for n, (a, b) in sides)


@_widen.gradient
def _widen_gradient(
    wanted: Sequence[int], out: Floats, input: Input, pairs: tuple[tuple[int, int], ...], value: float
) -> Vjp[Floats]:
    shape = np.shape(input)
    inner, own = _overlap(shape, pairs)

    def vjp(g: Floats) -> list[Array]:
        made = np.zeros(shape, np.float32)
        made[own] = g[inner]
        return [made]

    return vjp


_PADS: dict[str, Literal["reflect", "edge", "wrap"]] = {
    "reflect": "reflect",
    "replicate": "edge",
    "circular": "wrap",
}


@traced
def pad(
    input: Input,
    pad: Sequence[SupportsIndex],
    mode: Literal["constant", "reflect", "replicate", "circular"] = "constant",
    value: float = 0.0,
) -> Tensor:
    """An array with more elements at both ends of its last axes.

    Parameters
    ----------
    input : array or QTensor
        Of any shape.
    pad : sequence of int
        How many before and after the last axis, then before and after the one before it, and so on. Negative
        numbers cut elements off, with mode "constant".
    mode : str
        What the new elements are: "constant": `value`; "reflect": the input mirrored at its ends, which are
        not repeated; "replicate": its ends; "circular": its other end.
    value : float
        For mode "constant".

    >>> from quantray.nn import functional as F
    >>> F.pad([1.0, 2.0, 3.0], (2, 1), "reflect")
    array([3., 2., 1., 2., 3., 2.], dtype=float32)

    Source: `torch.nn.functional.pad`.
    """
    if isinstance(input, QTensor):
        return ops.pad(input, pad, mode, value)
    shape, sides = np.shape(input), [n.__index__() for n in pad]
    if len(sides) % 2 or len(sides) > 2 * len(shape):
        raise ValueError(f"pad must be pairs of integers, for up to {len(shape)} axes, got {tuple(pad)}")
    pairs = [(0, 0)] * (len(shape) - len(sides) // 2)
    pairs += [(sides[i], sides[i + 1]) for i in range(len(sides) - 2, -1, -2)]
    if mode == "constant":
        if any(
            n + a + b < 0 or n + min(a, 0) + min(b, 0) < 0 for n, (a, b) in zip(shape, pairs, strict=True)
        ):
            raise ValueError(f"pad must leave no axis shorter than 0, got {tuple(pad)} for shape {shape}")
        return _widen(input, tuple(pairs), value)
    if mode not in _PADS:
        names = '"constant", "reflect", "replicate" or "circular"'
        raise ValueError(f"mode must be {names}, got {mode!r}")
    made = traced_or_floats(input)
    for axis, (n, pair) in enumerate(zip(shape, pairs, strict=True)):
        if pair == (0, 0):
            continue
        most = {"reflect": n - 1, "circular": n}.get(mode, max(pair) if n else 0)
        if min(pair) < 0 or max(pair) > most:
            raise ValueError(f"pad must be from 0 to {most} on an axis of length {n}, got {pair}")
        made = _take(made, np.pad(np.arange(int(n)), pair, mode=_PADS[mode]), axis)
    return made


_LINEAR = {"linear": 1, "bilinear": 2, "trilinear": 3}


@traced
def interpolate(
    input: Input,
    size: PerAxis | None = None,
    scale_factor: Factors | None = None,
    mode: str = "nearest",
    align_corners: bool | None = None,
) -> Tensor:
    """Images of another size.

    Parameters
    ----------
    input : array or QTensor
        Shape (N, C, lengths), with one to three lengths.
    size : int or sequence of int
        The new lengths.
    scale_factor : float or sequence of float
        Instead of `size`: the new lengths by the old ones.
    mode : str
        "nearest" (the element at or before a position), "nearest-exact" (the nearest one), or "linear",
        "bilinear" and "trilinear" for one, two and three lengths: the mean of an element's neighbours,
        weighted by distance.
    align_corners : bool
        Whether first and last elements stay where they are. For linear modes.

    >>> from quantray.nn import functional as F
    >>> F.interpolate([[[1.0, 2.0]]], size=3, mode="linear", align_corners=True)
    array([[[1. , 1.5, 2. ]]], dtype=float32)

    Source: `torch.nn.functional.interpolate`.
    """
    if isinstance(input, QTensor):
        return ops.interpolate(input, size, scale_factor, mode, bool(align_corners))
    shape = np.shape(input)
    dims, lengths = len(shape) - 2, shape[2:]
    if not 1 <= dims <= 3 or 0 in lengths:
        raise ValueError(f"input must be of shape (N, C, 1 to 3 lengths that are not 0), got {shape}")
    nearest = mode in ("nearest", "nearest-exact")
    if not nearest and _LINEAR.get(mode) != dims:
        linear = next(name for name, n in _LINEAR.items() if n == dims)
        raise ValueError(f'mode must be "nearest", "nearest-exact" or "{linear}", got {mode!r}')
    if (size is None) == (scale_factor is None):
        raise ValueError(f"size or scale_factor must be given, one of them, got {size} and {scale_factor}")
    name, given = ("scale_factor", scale_factor) if size is None else ("size", size)
    several = np.ndim(cast("Array", given)) > 0
    each = list(cast("Sequence[float]", given if several else [given] * dims))
    if len(each) != dims or not all(np.isfinite(n) and n > 0 for n in each):
        raise ValueError(f"{name} must be a number above 0, or {dims} of them, got {given}")
    targets = (
        [int(n * f) for n, f in zip(lengths, each, strict=True)] if size is None else list(map(int, each))
    )
    if min(targets) < 1:
        raise ValueError(f"the result must be at least 1 long along each axis, got {tuple(targets)}")
    made = traced_or_floats(input)
    for i in reversed(range(dims)):
        n, target = lengths[i], targets[i]
        step = np.float32(1 / each[i]) if size is None else np.float32(n) / np.float32(target)
        at = np.arange(target, dtype=np.float32)
        if nearest:
            middle = np.float32(0.5 if mode == "nearest-exact" else 0)
            made = _take(made, np.minimum(((at + middle) * step).astype(np.int64), n - 1), 2 + i)
            continue
        half = np.float32(0.5)
        if align_corners:
            at = at * (np.float32(n - 1) / np.float32(max(target - 1, 1)))
        else:
            at = np.maximum((at + half) * step - half, np.float32(0))
        low = np.minimum(at.astype(np.int64), n - 1)
        part = (at - low.astype(np.float32)).reshape(-1, *[1] * (dims - 1 - i))
        left, right = _take(made, low, 2 + i), _take(made, np.minimum(low + 1, n - 1), 2 + i)
        made = add(mul(left, 1 - part), mul(right, part))
    return made
