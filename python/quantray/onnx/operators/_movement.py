"""Operators that move elements, and those that make arrays of shapes."""

# Arrays and stand-ins of them are of any dtype and shape: what NumPy's stubs make of them says nothing here.
# pyright: reportUnknownVariableType=false, reportUnknownMemberType=false, reportUnknownArgumentType=false

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import cast

import numpy as np

from quantray import graph, nn
from quantray._typing import Tensor
from quantray.graph._tracer import record
from quantray.nn import functional as F
from quantray.nn._init import rebuilding
from quantray.onnx._fractions import whole
from quantray.onnx._lengths import (
    are_same,
    as_array,
    integer,
    integers,
    is_length,
    is_lengths,
    seen,
    settled,
    shape_of,
)
from quantray.onnx._sizes import check_size
from quantray.onnx.operators._registry import Array, Call, Given, Outputs, layer, operator


@operator("Shape", takes_lengths=True)
def _shape(call: Call, x: Array) -> Array:
    return shape_of(x)[slice(call.get("start"), call.get("end"))]


@operator("Size", takes_lengths=True)
def _size(call: Call, x: Array) -> Array:
    made = np.empty((), object)
    made[()] = math.prod(shape_of(x))
    return settled(made)


@operator("Reshape", takes_lengths=True)
def _reshape(call: Call, x: Array, shape: Array | None = None) -> Array:
    """0 keeps a length, -1 is worked out."""
    wanted = list(call.get("shape") if shape is None else integers(shape, "shape"))
    if not call.get("allowzero"):
        own = shape_of(x)
        for axis, length in enumerate(wanted):
            if not is_length(length) and length == 0:
                if axis >= len(own):
                    raise call.error(f"shape keeps the length of axis {axis} of an array of {len(own)} axes")
                wanted[axis] = own[axis]
    return np.reshape(x, tuple(_settle(wanted)))


def _settle(lengths: Iterable[int]) -> list[int]:
    """Lengths as Python's integers where they are known."""
    return [n if is_length(n) else int(n) for n in lengths]


@operator("Flatten")
def _flatten(call: Call, x: Array) -> Tensor:
    axis = call.get("axis", 1)
    axis += np.ndim(x) if axis < 0 else 0
    if axis == 0:
        return np.reshape(x, (1, -1))
    if axis == np.ndim(x):
        return np.reshape(x, (-1, 1))
    if axis == 1 and x.dtype == np.float32:
        return F.flatten(x, 1)
    before, after = (math.prod(_settle(part)) for part in (shape_of(x)[:axis], shape_of(x)[axis:]))
    # What has no elements does not say how long the second axis is.
    return np.reshape(x, (before, after if type(before) is int and before == 0 else -1))


@operator("Transpose", takes_lengths=True)
def _transpose(call: Call, x: Array) -> Array:
    return np.transpose(x, call.get("perm"))


def _axes(call: Call, axes: Given, ndim: int) -> tuple[int, ...] | None:
    """Axes: an attribute before opset 13, and an input after it."""
    found = call.get("axes") if axes is None else integers(axes, "axes")
    return None if found is None else tuple(int(axis) + (ndim if axis < 0 else 0) for axis in found)


@operator("Unsqueeze", takes_lengths=True)
def _unsqueeze(call: Call, x: Array, axes: Array | None = None) -> Array:
    found = call.get("axes") if axes is None else integers(axes, "axes")
    ndim = np.ndim(x) + len(found)
    return np.expand_dims(x, tuple(call.axis(axis, ndim) for axis in found))


@operator("ExpandDims", domain="com.microsoft", takes_lengths=True)
def _expand_dims(call: Call, x: Array, axis: Array) -> Array:
    return np.expand_dims(x, call.axis(integer(axis, "axis"), np.ndim(x) + 1))


@operator("Squeeze", takes_lengths=True)
def _squeeze(call: Call, x: Array, axes: Array | None = None) -> Array:
    found = _axes(call, axes, np.ndim(x))
    if found is None:
        found = tuple(axis for axis, n in enumerate(np.shape(x)) if n == 1)
    return np.squeeze(x, found)


@operator("Concat", takes_lengths=True)
def _concat(call: Call, *arrays: Array) -> Array:
    known = all(type(a) is np.ndarray for a in arrays)
    if known and any(map(is_lengths, arrays)):
        return np.concatenate([a.astype(object) for a in arrays], call.get("axis", 1))
    arrays = tuple(map(as_array, arrays))
    return arrays[0] if len(arrays) == 1 else np.concatenate(arrays, call.get("axis", 1))


@operator("Gather", takes_lengths=True)
def _gather(call: Call, x: Array, indices: Array) -> Array:
    axis = call.get("axis", 0)
    if type(x) is np.ndarray and type(indices) is np.ndarray and not is_lengths(indices):
        # Tables are no lengths.
        return settled(np.take(x, indices, axis)) if x.ndim < 2 else record("numpy.take", x, indices, axis)
    x, indices = as_array(x), as_array(indices)
    if type(indices) is np.ndarray and indices.ndim == 0:
        # One place: a view of it.
        return x[(slice(None),) * call.axis(axis, np.ndim(x)) + (int(indices),)]
    # `np.take` does not ask stand-ins of indices.
    return graph.apply("numpy.take", x, indices, axis)


@layer("Gather")
def _embedding(call: Call, constants: Sequence[Given]) -> nn.Module | None:
    """Rows of a table of floats."""
    table = constants[0]
    if table is None or table.ndim != 2 or table.dtype != np.float32 or call.get("axis", 0) or len(table) < 2:
        return None
    with rebuilding(2 * table.size):
        made = nn.Embedding(*table.shape, from_end=True)
    made._parameters["weight"] = np.ascontiguousarray(table)
    return made


@operator("GatherElements")
def _gather_elements(call: Call, x: Array, indices: Array) -> Array:
    return np.take_along_axis(x, indices, call.get("axis", 0))


@operator("GatherND")
@operator("GatherND", domain="com.microsoft")
def _gather_nd(call: Call, x: Array, indices: Array) -> Array:
    return graph.apply("onnx.gather_nd", x, indices, int(call.get("batch_dims", 0)))


@operator("ScatterND")
def _scatter_nd(call: Call, x: Array, indices: Array, updates: Array) -> Array:
    return graph.apply("onnx.scatter_nd", x, indices, updates, call.get("reduction", "none"))


@operator("ScatterElements", "Scatter")
def _scatter_elements(call: Call, x: Array, indices: Array, updates: Array) -> Array:
    axis, reduction = int(call.get("axis", 0)), call.get("reduction", "none")
    return graph.apply("onnx.scatter_elements", x, indices, updates, axis, reduction)


@operator("Slice", takes_lengths=True)
def _slice(
    call: Call,
    x: Array,
    starts: Array | None = None,
    ends: Array | None = None,
    axes: Array | None = None,
    steps: Array | None = None,
) -> Array:
    """Attributes before opset 10, and inputs after it."""
    begin = call.get("starts") if starts is None else integers(starts, "starts")
    end = call.get("ends") if ends is None else integers(ends, "ends")
    given = _axes(call, axes, np.ndim(x))
    step = (1,) * len(begin) if steps is None else integers(steps, "steps")
    index: list[slice] = [slice(None)] * np.ndim(x)
    for axis, first, last, by in zip(given or range(len(begin)), begin, end, step, strict=False):
        index[axis] = _span(first, last, by)
    return x[tuple(index)]


#: Ends beyond all lengths say "to the last one".
_BEYOND = 2**31 - 1


def _span(first: int, last: int, step: int) -> slice:
    begin = end = None
    if is_length(first) or not ((first == 0 and step > 0) or (step < 0 and first >= _BEYOND)):
        begin = first
    if is_length(last) or not (last >= _BEYOND or (step < 0 and last <= -_BEYOND)):
        end = last
    return slice(begin, end, None if step == 1 else step)


@operator("Split")
def _split(call: Call, x: Array, sizes: Array | None = None) -> Outputs:
    axis = call.get("axis", 0)
    axis += np.ndim(x) if axis < 0 else 0
    given = call.get("split") if sizes is None else integers(sizes, "split")
    count = call.get("num_outputs") or len(call.wanted)
    length = shape_of(x)[axis]
    if given is None:
        each = -(-length // count)
        given = [each] * (count - 1) + [length - each * (count - 1)]
    # Without a guard: what a capture sees holds for other lengths, too.
    total, *sizes_now = (seen(cast("int", n)) for n in (length, *given))
    if sum(sizes_now) != total:
        raise call.error(f"split must add up to {total}, got {sizes_now}")
    parts: list[Array] = []
    start, last = 0, len(given) - 1
    for i, size in enumerate(given):
        index = slice(None if i == 0 else start, None if i == last else start + size)
        parts.append(x[(*(slice(None),) * axis, index)])
        start = start if i == last else start + size
    return tuple(parts)


@operator("Expand", takes_lengths=True)
def _expand(call: Call, x: Array, shape: Array) -> Array:
    """Broadcast both ways: a length of 1 in the shape keeps the array's."""
    wanted = list(integers(shape, "shape"))
    own: list[int] = list(shape_of(as_array(x)))
    ndim = max(len(wanted), len(own))
    wanted, own = [1] * (ndim - len(wanted)) + wanted, [1] * (ndim - len(own)) + own
    x, wanted = as_array(x), _settle(wanted)
    full = [_broadcast(m, n) for m, n in zip(wanted, _settle(own), strict=True)]
    check_size([max(seen(m), seen(n)) for m, n in zip(wanted, own, strict=True)], x.dtype.itemsize)
    if any(length is None for length in full):
        # Which of two lengths is 1 is known when the graph runs: what meets an array of that shape has it.
        there = graph.apply("array.full", tuple(wanted), True, "bool")
        return np.logical_and(there, x) if x.dtype == np.bool_ else np.where(there, x, x)
    if type(x) is np.ndarray and any(is_length(n) for n in full):
        # NumPy would make numbers of the lengths, which the graph would be for alone.
        if x.size == 1:
            return graph.apply("array.full", tuple(full), x.item(), str(x.dtype))
        return graph.apply("numpy.broadcast_to", x, tuple(full))
    return np.broadcast_to(x, cast("tuple[int, ...]", tuple(full)))


def _broadcast(wanted: int, own: int) -> int | None:
    """What two lengths become; None where nothing tells which of them may be 1."""
    if not is_length(own):
        return wanted if own == 1 else own
    if not is_length(wanted):
        return own if wanted == 1 else wanted
    return own if are_same(own, wanted) else None


@operator("Tile", takes_lengths=True)
def _tile(call: Call, x: Array, repeats: Array, axis: Array | None = None) -> Array:
    if axis is not None:
        # Opset 1: one axis, so many times.
        return np.concatenate([as_array(x)] * integer(repeats, "tiles"), integer(axis, "axis"))
    x, counts = as_array(x), integers(repeats, "repeats")
    own = [seen(n) for n in shape_of(x)]
    check_size([n * seen(m) for n, m in zip(own, counts, strict=False)], x.dtype.itemsize)
    if type(x) is np.ndarray and any(is_length(n) for n in counts):
        return graph.apply("numpy.tile", x, counts)
    return np.tile(x, counts)


@operator("ConstantOfShape", takes_lengths=True)
def _constant_of_shape(call: Call, shape: Array) -> Array:
    value = call.get("value")
    value = np.zeros(1, np.float32) if value is None else value
    lengths = tuple(integers(shape, "shape"))
    check_size([seen(n) for n in lengths], value.itemsize)
    return graph.apply("array.full", lengths, value.ravel()[0].item(), str(value.dtype))


@operator("Range", takes_lengths=True)
@operator("Range", domain="com.microsoft", takes_lengths=True)
def _range(call: Call, start: Array, limit: Array, delta: Array) -> Array:
    if not any(map(is_lengths, (start, limit, delta))):
        if delta.item() == 0:
            raise call.error("delta must not be 0")
        check_size([math.ceil(max((limit.item() - start.item()) / delta.item(), 0))], start.itemsize)
        return np.arange(start.item(), limit.item(), delta.item(), dtype=start.dtype)
    # Lengths answer for integers.
    first, last, step = (
        cast("float", whole(integer(x, "Range") if is_lengths(x) else x.item()))
        for x in (start, limit, delta)
    )
    is_whole = all(isinstance(n, int) for n in (first, last, step))
    count = -((first - last) // step) if is_whole else math.ceil((last - first) / step)
    # Lengths have no dtype of their own; what they meet here has the one of the outcome.
    known = [x.dtype for x in (start, limit, delta) if not is_lengths(x)]
    dtype = known[0] if known else np.dtype(np.int64 if is_whole else np.float32)
    number = float if dtype.kind == "f" else int
    return graph.apply("array.ramp", count, number(first), number(step), (-1,), str(dtype))


@operator("OneHot")
def _one_hot(call: Call, indices: Array, depth: Array, values: Array) -> Array:
    number = integer(depth, "depth")
    check_size([seen(n) for n in (*shape_of(indices), number)], values.dtype.itemsize)
    return graph.apply("onnx.one_hot", indices, number, values, int(call.get("axis", -1)))


@operator("EyeLike")
def _eye_like(call: Call, x: Array) -> Array:
    from quantray.onnx._types import numpy_dtype

    dtype = x.dtype if call.get("dtype") is None else numpy_dtype(call.get("dtype"))
    rows, columns = np.shape(x)
    return np.eye(int(rows), int(columns), call.get("k", 0), dtype)


@operator("Trilu")
@operator("Trilu", domain="com.microsoft")
def _trilu(call: Call, x: Array, k: Array | None = None) -> Array:
    diagonal = 0 if k is None else integer(k, "k")
    return np.triu(x, diagonal) if call.get("upper", 1) else np.tril(x, diagonal)


@operator("DepthToSpace")
def _depth_to_space(call: Call, x: Array) -> Tensor:
    size = int(call.need("blocksize"))
    n, c, h, w = shape_of(x)
    if call.get("mode", "DCR") == "CRD":
        return F.pixel_shuffle(x, size)
    y = np.reshape(x, tuple(_settle((n, size, size, c // (size * size), h, w))))
    y = np.transpose(y, (0, 3, 4, 1, 5, 2))
    return np.reshape(y, tuple(_settle((n, c // (size * size), h * size, w * size))))


@operator("SpaceToDepth")
def _space_to_depth(call: Call, x: Array) -> Array:
    size = int(call.need("blocksize"))
    n, c, h, w = shape_of(x)
    y = np.reshape(x, tuple(_settle((n, c, h // size, size, w // size, size))))
    is_depth_first = call.choice("mode", ("DCR", "CRD")) == "DCR"
    y = np.transpose(y, (0, 3, 5, 1, 2, 4) if is_depth_first else (0, 1, 3, 5, 2, 4))
    return np.reshape(y, tuple(_settle((n, c * size * size, h // size, w // size))))


@operator("ReverseSequence")
def _reverse_sequence(call: Call, x: Array, lengths: Array) -> Array:
    time, batch = int(call.get("time_axis", 0)), int(call.get("batch_axis", 1))
    return graph.apply("onnx.reverse_sequence", x, lengths, time, batch)


@operator("NonZero")
def _non_zero(call: Call, x: Array) -> Array:
    return graph.apply("onnx.non_zero", x)


@operator("Compress")
def _compress(call: Call, x: Array, condition: Array) -> Array:
    return np.compress(condition, x, call.get("axis"))


@operator("Constant")
def _constant(call: Call) -> Array:
    for name in ("value_float", "value_floats"):
        if call.get(name) is not None:
            return np.array(call.get(name), np.float32)
    for name in ("value_int", "value_ints"):
        if call.get(name) is not None:
            return np.array(call.get(name), np.int64)
    if call.get("value") is None:
        raise call.error("a constant must be a tensor, numbers, or integers")
    return call.get("value")


@operator("Unique")
def _unique(call: Call, x: Array) -> Outputs:
    return graph.apply("onnx.unique", x, call.get("axis"), bool(call.get("sorted", 1)))
