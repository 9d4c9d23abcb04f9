"""Nodes that take elements from other places, or put some there, as steps of a program."""

from __future__ import annotations

from typing import Any, cast

import numpy as np

from quantray.graph import Expr, Node, Ref
from quantray.graph._trees import is_sequence, is_slice
from quantray.quantization._lowering import Lowering, step_of
from quantray.quantization._operands import (
    BOOL,
    INT,
    arguments,
    axes,
    axis,
    constant,
    dtype_of,
    lengths,
    made_dtype,
    need,
    rank,
    shape_of,
    typed,
    wire,
)


@step_of("concat", "numpy.concatenate", "numpy.concat", "functional.cat")
def _concat(to: Lowering, node: Node) -> None:
    names = ("arrays", "axis", "out") if node.kind != "functional.cat" else ("tensors", "dim")
    arrays, at, *_ = arguments(node, *names).values()
    need((is_sequence(arrays) and at is not None) or node.kind != "concat")
    dtype = made_dtype(node)
    sources = tuple(typed(to, each, dtype, node) for each in arrays)
    if at is None and node.kind != "functional.cat" and "axis" in node.kwargs:
        sources = tuple(to.step("reshape", (each,), node, shape=(-1,)) for each in sources)
    to.put(node, to.step("cat", sources, node, axis=axis(at or 0, len(node.facts[0].shape))))


@step_of("numpy.stack")
def _stack(to: Lowering, node: Node) -> None:
    given = arguments(node, "arrays", "axis", "out")
    at = axis(given["axis"] or 0, len(node.facts[0].shape))
    dtype = made_dtype(node)
    sources = [
        to.step("unsqueeze", (typed(to, each, dtype, node),), node, axes=(at,)) for each in given["arrays"]
    ]
    to.put(node, to.step("cat", tuple(sources), node, axis=at))


# Indices


def items_of(to: Lowering, index: Any, ndim: int) -> tuple[Any, ...]:
    """An index as steps take it; arrays in it stay."""
    given = index if isinstance(index, tuple) else (index,)
    used = sum(1 for item in given if item is not None and item is not Ellipsis)
    items: list[Any] = []
    for item in given:
        if item is Ellipsis:
            items += [slice(None)] * (ndim - used)
        elif is_slice(item):
            start, stop = (None if end is None else to.length(end) for end in (item.start, item.stop))
            step = 1 if item.step is None else to.length(item.step)
            need(isinstance(step, int), "a step of lengths")
            items.append((start, stop, step))
        elif item is None or isinstance(item, (Ref, np.ndarray)):
            items.append(item)
        elif is_sequence(item):
            items.append(np.asarray(item))
        else:
            need(not isinstance(item, (bool, np.bool_)))
            items.append(to.length(item))
    return tuple(items)


def _is_array(item: Any) -> bool:
    return isinstance(item, (Ref, np.ndarray))


@step_of("getitem")
def _getitem(to: Lowering, node: Node) -> None:
    (x,) = (node.args[0],)
    items = items_of(to, node.get("index"), rank(to, x))
    to.put(node, to.step("slice", (wire(to, x, None),), node, index=items))


@step_of("array.getitem")
def _chosen(to: Lowering, node: Node) -> None:
    x, index = node.args
    items = items_of(to, index, rank(to, x))
    arrays = [i for i, item in enumerate(items) if _is_array(item)]
    need(arrays and all(dtype_of(to, items[i]).kind in "iu" for i in arrays), "truth values choose")
    plain = tuple(slice(None) if _is_array(item) else item for item in items)
    need(not any(isinstance(item, (int, tuple)) and not _is_range(item) for item in plain))
    made = wire(to, x, None)
    if any(item != slice(None) for item in plain):
        made = to.step("slice", (made,), node, index=plain)
    ids = [typed(to, items[i], INT, node) for i in arrays]
    if len(ids) == 1:
        to.put(node, to.step("take", (made, ids[0]), node, axis=arrays[0]))
        return
    # Several arrays are the places of tuples of axes, which must be the first ones.
    need(arrays == list(range(len(arrays))))
    shapes = {_shape(to, items[i]) for i in arrays}
    if len(shapes) > 1:
        # They broadcast: nothing is added to each, in the shape of all.
        zero = constant(to, 0, INT)
        for each in tuple(ids):
            nothing = to.step("mul", (each, zero), node)
            ids = [to.step("add", (one, nothing), node) for one in ids]
    ndim = max(len(shape) for shape in shapes)
    parts = tuple(to.step("unsqueeze", (each,), node, axes=(ndim,)) for each in ids)
    tuples = to.step("cat", parts, node, axis=ndim)
    to.put(node, to.step("gather_nd", (made, tuples), node))


def _shape(to: Lowering, item: Any) -> tuple[int | str, ...]:
    return to.graph.fact(item).shape if isinstance(item, Ref) else item.shape


def _is_range(item: Any) -> bool:
    """Whether an item of a step's index is a slice, and no length."""
    return isinstance(item, tuple) and len(item) == 3 and not isinstance(item[0], str)  # pyright: ignore[reportUnknownArgumentType]


@step_of("array.setitem")
def _setitem(to: Lowering, node: Node) -> None:
    x, index, value = node.args
    dtype = made_dtype(node)
    if isinstance(index, Ref) and to.graph.fact(index).dtype == BOOL:
        _masked(to, node, x, index, value)
        return
    items = items_of(to, index, rank(to, x))
    need(not any(_is_array(item) for item in items), "places of arrays are written to")
    new = typed(to, value, dtype, node)
    to.put(node, to.step("put", (wire(to, x, None), new), node, index=items))


def _masked(to: Lowering, node: Node, x: Ref, mask: Ref, value: Any) -> None:
    """`x[mask] = number`."""
    shape = to.graph.fact(value).shape if isinstance(value, Ref) else np.shape(value)
    need(shape == ())
    dtype, more = made_dtype(node), rank(to, x) - rank(to, mask)
    condition = wire(to, mask, BOOL)
    if more:
        ndim = rank(to, mask)
        condition = to.step("unsqueeze", (condition,), node, axes=tuple(range(ndim, ndim + more)))
    to.put(node, to.step("where", (condition, typed(to, value, dtype, node), wire(to, x, None)), node))


@step_of("numpy.take", "ndarray.take")
def _take(to: Lowering, node: Node) -> None:
    given = arguments(node, "a", "indices", "axis", "out", "mode")
    need(given["out"] is None and given["mode"] in (None, "raise"))
    x, ids = wire(to, given["a"], None), _places(to, node, given["indices"])
    if given["axis"] is None:
        made = to.step("take", (to.step("reshape", (x,), node, shape=(-1,)), ids), node, axis=0)
    else:
        made = to.step("take", (x, ids), node, axis=axis(given["axis"], rank(to, given["a"])))
    to.put(node, made)


def _places(to: Lowering, node: Node, value: Any) -> int:
    """Numbers of places, as they come or as int64."""
    if isinstance(value, Ref) and str(to.graph.fact(value).dtype) == "int32":
        return to.number(value)
    need(isinstance(value, Expr) or np.result_type(dtype_of(to, _array(value))).kind in "iu")
    return typed(to, _array(value), INT, node)


def _array(value: Any) -> Any:
    return np.asarray(value) if is_sequence(value) else value


@step_of("numpy.take_along_axis")
def _take_along(to: Lowering, node: Node) -> None:
    given = arguments(node, "arr", "indices", "axis")
    need(given["axis"] is not None and rank(to, given["arr"]) == len(node.facts[0].shape))
    sources = wire(to, given["arr"], None), _places(to, node, given["indices"])
    to.put(node, to.step("take_along_axis", sources, node, axis=axis(given["axis"], rank(to, given["arr"]))))


@step_of("array.into:numpy.put_along_axis")
def _put_along(to: Lowering, node: Node) -> None:
    given = arguments(node, "arr", "indices", "values", "axis")
    need(given["axis"] is not None)
    # NumPy broadcasts places and values to each other, and to the array: as long as they are is enough.
    ids = _places(to, node, given["indices"])
    sources = wire(to, given["arr"], None), ids, typed(to, given["values"], made_dtype(node), node)
    shape, own = to.graph.fact(given["indices"]).shape, to.graph.fact(given["arr"]).shape
    at = axis(given["axis"], len(own))
    need(all(n == m for a, (n, m) in enumerate(zip(shape, own, strict=True)) if a != at))
    to.put(node, to.step("scatter_along_axis", sources, node, axis=at))


# Elements again, or beyond the ends


@step_of("numpy.flip", "numpy.fliplr", "numpy.flipud")
def _flip(to: Lowering, node: Node) -> None:
    given = arguments(node, "m", "axis")
    found = {"numpy.fliplr": (1,), "numpy.flipud": (0,)}.get(node.kind, axes(given["axis"]))
    to.put(node, to.step("flip", (wire(to, given["m"], None),), node, axes=found))


@step_of("numpy.roll")
def _roll(to: Lowering, node: Node) -> None:
    given = arguments(node, "a", "shift", "axis")
    found, x = axes(given["axis"]), wire(to, given["a"], None)
    shifts = lengths(to, given["shift"])
    if found is None:
        need(len(shifts) == 1)
        flat = to.step("reshape", (x,), node, shape=(-1,))
        flat = to.step("roll", (flat,), node, axes=(0,), shifts=shifts)
        to.put(node, to.step("reshape", (flat,), node, shape=shape_of(to, given["a"])))
        return
    shifts = shifts * len(found) if len(shifts) == 1 else shifts
    found = found * len(shifts) if len(found) == 1 else found
    to.put(node, to.step("roll", (x,), node, axes=found, shifts=shifts))


@step_of("numpy.repeat", "ndarray.repeat")
def _repeat(to: Lowering, node: Node) -> None:
    given = arguments(node, "a", "repeats", "axis")
    x, counts = wire(to, given["a"], None), given["repeats"]
    at = 0 if given["axis"] is None else axis(given["axis"], rank(to, given["a"]))
    if given["axis"] is None:
        x = to.step("reshape", (x,), node, shape=(-1,))
    if isinstance(counts, Ref):
        need(counts in to.fixed, "counts are values")
        counts = to.fixed[counts]
    if isinstance(counts, np.ndarray) or is_sequence(counts):
        each = [int(n) for n in np.asarray(counts).ravel()]
        need(all(n >= 0 for n in each))
        repeats: Any = each[0] if len(each) == 1 else each
    else:
        repeats = to.length(counts)
    to.put(node, to.step("repeat", (x,), node, axis=at, repeats=repeats))


@step_of("numpy.tile")
def _tile(to: Lowering, node: Node) -> None:
    given = arguments(node, "A", "reps")
    to.put(node, to.step("tile", (wire(to, given["A"], None),), node, reps=lengths(to, given["reps"])))


@step_of("numpy.broadcast_to")
def _broadcast(to: Lowering, node: Node) -> None:
    given = arguments(node, "array", "shape", "subok")
    x = typed(to, given["array"], made_dtype(node), node)
    to.put(node, to.step("expand", (x,), node, shape=lengths(to, given["shape"])))


@step_of("numpy.squeeze", "ndarray.squeeze")
def _squeeze(to: Lowering, node: Node) -> None:
    given = arguments(node, "a", "axis")
    to.put(node, to.step("squeeze", (wire(to, given["a"], None),), node, axes=axes(given["axis"])))


@step_of("numpy.diagonal", "ndarray.diagonal")
def _diagonal(to: Lowering, node: Node) -> None:
    given = arguments(node, "a", "offset", "axis1", "axis2")
    offset = given["offset"] or 0
    need(isinstance(offset, (int, np.integer)))
    ends = (0 if given["axis1"] is None else given["axis1"], 1 if given["axis2"] is None else given["axis2"])
    x = wire(to, given["a"], None)
    to.put(node, to.step("diagonal", (x,), node, offset=int(offset), axes=axes(ends)))


_MODES = {"replicate": "edge", "circular": "wrap", "reflect": "reflect", "constant": "constant"}


@step_of("pad")
def _pad(to: Lowering, node: Node) -> None:
    x, sides = node.args[0], lengths(to, node.get("pad"))
    mode = _MODES.get(node.get("mode"))
    need(mode is not None and not any(isinstance(n, tuple) and mode != "constant" for n in sides))
    ndim, value = rank(to, x), node.get("value")
    pairs: list[Any] = [(0, 0)] * (ndim - len(sides) // 2)
    pairs += [(sides[i], sides[i + 1]) for i in range(len(sides) - 2, -1, -2)]
    need(isinstance(value, (int, float, np.number)) or mode != "constant")
    params: dict[str, Any] = {"value": float(value)} if mode == "constant" else {"mode": mode}
    to.put(node, to.step("pad", (wire(to, x),), node, pairs=pairs, **params))


@step_of("numpy.pad")
def _numpy_pad(to: Lowering, node: Node) -> None:
    given = arguments(node, "array", "pad_width", "mode", "constant_values", "reflect_type")
    mode = given["mode"] or "constant"
    need(mode in ("constant", "reflect", "symmetric", "edge", "wrap"))
    need(given["reflect_type"] in (None, "even"))
    x, width = given["array"], given["pad_width"]
    ndim = rank(to, x)
    pairs = _pad_pairs(to, width, ndim)
    value = 0 if given["constant_values"] is None else given["constant_values"]
    need(isinstance(value, (int, float, np.number)))
    dtype = made_dtype(node)
    params: dict[str, Any] = (
        {"mode": mode}
        if mode != "constant"
        else {"value": float(cast("Any", np.asarray(value).astype(dtype)))}
    )
    to.put(node, to.step("pad", (wire(to, x, None),), node, pairs=pairs, **params))


def _pad_pairs(to: Lowering, width: Any, ndim: int) -> list[Any]:
    if isinstance(width, np.ndarray):
        width = width.tolist()
    if not is_sequence(width):
        both = to.length(width)
        return [(both, both)] * ndim
    given = [tuple(each) if is_sequence(each) else each for each in width]
    if all(isinstance(each, tuple) for each in given):
        pairs = [lengths(to, each) for each in given]
        pairs = [each if len(each) == 2 else each * 2 for each in pairs]
        need(len(pairs) in (1, ndim))
        return pairs * ndim if len(pairs) == 1 else pairs
    need(len(given) in (1, 2))
    pair = lengths(to, given)
    return [pair * 2 if len(pair) == 1 else pair] * ndim


# Order


@step_of("numpy.sort")
def _sort(to: Lowering, node: Node) -> None:
    _ordered(to, node, "sort")


@step_of("numpy.argsort", "ndarray.argsort")
def _argsort(to: Lowering, node: Node) -> None:
    # Of equal elements the first comes first, which NumPy promises where it is asked for.
    given = arguments(node, "a", "axis", "kind", "order", "stable")
    need(given["kind"] in ("stable", "mergesort") or given["stable"])
    _ordered(to, node, "argsort")


def _ordered(to: Lowering, node: Node, name: str) -> None:
    given = arguments(node, "a", "axis", "kind", "order", "stable")
    need(given["order"] is None and to.graph.fact(given["a"]).dtype != BOOL)
    x, ndim = wire(to, given["a"], None), rank(to, given["a"])
    at = (
        ndim - 1
        if given["axis"] is None and "axis" not in node.kwargs and len(node.args) < 2
        else given["axis"]
    )
    if at is None:
        x, at, ndim = to.step("reshape", (x,), node, shape=(-1,)), 0, 1
    to.put(node, to.step(name, (x,), node, axis=axis(at, ndim)))


# Arrays that lengths decide


def _shaped(to: Lowering, node: Node, made: int, shape: Any, length: Any) -> None:
    """A row, or a square, in its shape, whose -1 is the length."""
    wanted = tuple(length if isinstance(n, int) and n < 0 else to.length(n) for n in shape)
    to.put(node, to.step("reshape", (made,), node, shape=wanted))


@step_of("array.full")
def _full(to: Lowering, node: Node) -> None:
    given = arguments(node, "shape", "value", "dtype")
    one = typed(to, given["value"], made_dtype(node), node)
    to.put(node, to.step("expand", (one,), node, shape=lengths(to, given["shape"])))


@step_of("numpy.zeros_like", "numpy.ones_like", "numpy.empty_like", "numpy.full_like")
def _like(to: Lowering, node: Node) -> None:
    names = ("a", "fill_value") if node.kind == "numpy.full_like" else ("a",)
    given = arguments(node, *names, "dtype", "order", "subok", "shape")
    need(given["shape"] is None and isinstance(given["a"], Ref))
    value = given["fill_value"] if node.kind == "numpy.full_like" else int("ones" in node.kind)
    one = typed(to, value, made_dtype(node), node)
    need(not isinstance(value, Ref) or to.graph.fact(value).shape == ())
    # As many elements as the wire has, whatever they are.
    to.put(node, to.step("expand", (one,), node, shape=shape_of(to, given["a"])))


def _plain_number(value: Any) -> Any:
    if isinstance(value, (np.generic, np.ndarray)) and np.ndim(value) == 0:
        value = cast("Any", value).item()
    return value


@step_of("array.ramp")
def _ramp(to: Lowering, node: Node) -> None:
    given = arguments(node, "length", "start", "step", "shape", "dtype")
    dtype = str(made_dtype(node))
    length = to.length(given["length"])
    ends: list[Any] = []
    for name in ("start", "step"):
        value = _plain_number(given[name])
        if isinstance(value, Ref):
            value = _plain_number(to.fixed.get(value))
        need(value is not None and not isinstance(value, Ref))
        is_float = isinstance(value, float)
        need(not is_float or dtype == "float32")
        ends.append(value if is_float else to.length(value))
    need(not any(isinstance(end, float) for end in ends) or not any(isinstance(end, tuple) for end in ends))
    made = to.step("ramp", (), node, length=length, start=ends[0], step=ends[1], dtype=dtype)
    _shaped(to, node, made, given["shape"], length)


@step_of("array.triangle", "array.diagonal")
def _square(to: Lowering, node: Node) -> None:
    below = node.kind == "array.triangle"
    names = ("length", "lower", "upper", "k") if below else ("length", "on", "off")
    given = arguments(node, *names, "shape", "dtype")
    length, dtype = to.length(given["length"]), made_dtype(node)
    offset = to.length(given["k"]) if below else 0
    need(isinstance(offset, int))
    band = to.step("band", (), node, rows=length, columns=length, offset=offset, below=below)
    values = tuple(typed(to, given[name], dtype, node) for name in names[1:3])
    _shaped(to, node, to.step("where", (band, *values), node), given["shape"], length)


@step_of("array.lengths")
def _lengths(to: Lowering, node: Node) -> None:
    items, shape = node.args
    need(all(isinstance(n, (int, np.integer)) or (isinstance(n, Expr) and n.op != "truediv") for n in items))
    each = tuple(
        to.step("ramp", (), node, length=1, start=to.length(n), step=0, dtype="int64") for n in items
    )
    need(each)
    row = to.step("cat", each, node, axis=0)
    to.put(node, to.step("reshape", (row,), node, shape=lengths(to, tuple(shape))))


@step_of("numpy.tril", "numpy.triu")
def _triangle(to: Lowering, node: Node) -> None:
    given = arguments(node, "m", "k")
    offset = given["k"] or 0
    need(isinstance(offset, (int, np.integer)) and rank(to, given["m"]) >= 2)
    x, dtype = wire(to, given["m"], None), made_dtype(node)
    is_upper = node.kind == "numpy.triu"
    last = rank(to, given["m"])
    rows, columns = ("dim", x, last - 2), ("dim", x, last - 1)
    # On and above one diagonal is what is not below the next one.
    band = to.step("band", (), node, rows=rows, columns=columns, offset=int(offset) - is_upper, below=True)
    zero = constant(to, 0, dtype)
    to.put(node, to.step("where", (band, zero, x) if is_upper else (band, x, zero), node))
