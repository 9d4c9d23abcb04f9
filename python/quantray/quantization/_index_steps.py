"""Nodes that choose elements by indices, or write to them, as steps of a program."""

from __future__ import annotations

from typing import TypeAlias, TypeGuard

import numpy as np

from quantray._typing import Array, DType
from quantray.graph import Expr, Node, Ref
from quantray.graph._trees import is_sequence, is_slice, is_tuple
from quantray.quantization._lowering import Length, Lowering, step_of
from quantray.quantization._operands import (
    BOOL,
    INT,
    arguments,
    axis,
    constant,
    dtype_of,
    made_dtype,
    need,
    rank,
    typed,
    wire,
)

#: An item of an index as steps take it: a range, a length, an array of places, or a new axis.
Item: TypeAlias = "slice | tuple[Length | None, Length | None, Length] | Length | Ref | Array | None"


def items_of(to: Lowering, index: object, ndim: int) -> tuple[Item, ...]:
    """An index as steps take it; arrays in it stay."""
    given = index if is_tuple(index) else (index,)
    used = sum(1 for item in given if item is not None and item is not Ellipsis)
    items: list[Item] = []
    for item in given:
        if item is Ellipsis:
            items += [slice(None)] * (ndim - used)
        elif is_slice(item):
            start, stop = (None if end is None else to.length(end) for end in (item.start, item.stop))
            step = 1 if item.step is None else to.length(item.step)
            need(isinstance(step, int), "a step of lengths")
            items.append((start, stop, step))
        elif item is None or _is_array(item):
            items.append(item)
        elif is_sequence(item):
            items.append(np.asarray(item))
        else:
            need(not isinstance(item, (bool, np.bool_)))
            items.append(to.length(item))
    return tuple(items)


def _is_array(item: object) -> TypeGuard[Ref | Array]:
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
    arrays = {i: item for i, item in enumerate(items) if _is_array(item)}
    need(arrays and all(_dtype(to, item).kind in "iu" for item in arrays.values()), "truth values choose")
    plain = tuple(slice(None) if _is_array(item) else item for item in items)
    need(not any(isinstance(item, (int, tuple)) and not _is_range(item) for item in plain))
    made = wire(to, x, None)
    if any(item != slice(None) for item in plain):
        made = to.step("slice", (made,), node, index=plain)
    ids = [typed(to, item, INT, node) for item in arrays.values()]
    if len(ids) == 1:
        to.put(node, to.step("take", (made, ids[0]), node, axis=next(iter(arrays))))
        return
    # Several arrays are the places of tuples of axes, which must be the first ones.
    need(list(arrays) == list(range(len(arrays))))
    shapes = {_shape(to, item) for item in arrays.values()}
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


def _dtype(to: Lowering, item: Ref | Array) -> DType:
    return to.graph.fact(item).dtype if isinstance(item, Ref) else item.dtype


def _shape(to: Lowering, item: Ref | Array) -> tuple[int | str, ...]:
    return to.graph.fact(item).shape if isinstance(item, Ref) else item.shape


def _is_range(item: object) -> bool:
    """Whether an item of a step's index is a slice, and no length."""
    return is_tuple(item) and len(item) == 3 and not isinstance(item[0], str)


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


def _masked(to: Lowering, node: Node, x: Ref, mask: Ref, value: object) -> None:
    """`x[mask] = number`."""
    shape = to.graph.fact(value).shape if isinstance(value, Ref) else np.asarray(value).shape
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


def _places(to: Lowering, node: Node, value: object) -> int:
    """Numbers of places, as they come or as int64."""
    if isinstance(value, Ref) and str(to.graph.fact(value).dtype) == "int32":
        return to.number(value)
    need(isinstance(value, Expr) or np.result_type(dtype_of(to, _array(value))).kind in "iu")
    return typed(to, _array(value), INT, node)


def _array(value: object) -> object:
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
