"""NumPy's functions that one operator computes, or a few."""

# Arguments of nodes are trees of whatever functions take: their leaves have no type that could be said.
# pyright: reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportUnknownMemberType=false, reportUnknownLambdaType=false

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from quantray.graph import Expr, Node, Ref
from quantray.onnx._export._functions import number_of, same_type
from quantray.onnx._export._writing import NotExported, Writing, writes

if TYPE_CHECKING:
    from quantray._typing import ArrayLike, DType, Kwargs


def _given(node: Node, *names: str) -> Kwargs:
    """Arguments by their names in NumPy."""
    return {**dict(zip(names, node.args, strict=False)), **node.kwargs}


def _only(given: Kwargs, *names: str) -> None:
    unknown = sorted(name for name, value in given.items() if name not in names and value is not None)
    if unknown:
        raise NotExported(f"the settings {', '.join(unknown)}")


def _ndim(to: Writing, x: Ref | ArrayLike) -> int:
    return len(to.fact(x).shape) if isinstance(x, Ref) else np.ndim(x)


def _integers(to: Writing, *values: int) -> str:
    return to.constant(np.array(values, np.int64))


def _flat(to: Writing, x: str) -> str:
    return to.op("Reshape", [x, _integers(to, -1)])


def _dtype(to: Writing, x: Ref | ArrayLike) -> DType:
    return to.fact(x).dtype if isinstance(x, Ref) else np.asarray(x).dtype


# Elements


@writes("numpy.remainder", "numpy.mod", "numpy.fmod")
def _remainder(to: Writing, node: Node) -> None:
    """Floats that have the divisor's sign are those with the other one, moved by the divisor."""
    a, b = same_type(to, node.args[:2], node)
    if node.kind == "numpy.fmod":
        to.put(node, to.op("Mod", [a, b], node=node, fmod=1))
    elif node.facts[0].dtype.kind == "f":
        zero = to.constant(np.float32(0))
        rest = to.op("Mod", [a, b], fmod=1)
        is_other = to.op("Xor", [to.op("Less", [rest, zero]), to.op("Less", [b, zero])])
        moves = to.op("And", [is_other, to.op("Not", [to.op("Equal", [rest, zero])])])
        to.put(node, to.op("Where", [moves, to.op("Add", [rest, b]), rest], node=node))
    else:
        to.put(node, to.op("Mod", [a, b], node=node))


@writes("numpy.floor_divide")
def _floor_divide(to: Writing, node: Node) -> None:
    """Files divide integers towards zero: what is left over goes first."""
    a, b = same_type(to, node.args[:2], node)
    if node.facts[0].dtype.kind == "f":
        to.put(node, to.op("Floor", [to.op("Div", [a, b])], node=node))
    else:
        to.put(node, to.op("Div", [to.op("Sub", [a, to.op("Mod", [a, b])]), b], node=node))


_BITS = {"numpy.bitwise_and": "And", "numpy.bitwise_or": "Or", "numpy.bitwise_xor": "Xor"}


@writes(*_BITS)
def _bits(to: Writing, node: Node) -> None:
    op = _BITS[node.kind] if node.facts[0].dtype == np.bool_ else f"Bitwise{_BITS[node.kind]}"
    to.put(node, to.op(op, same_type(to, node.args[:2], node), node=node))


@writes("numpy.invert", "numpy.bitwise_not")
def _invert(to: Writing, node: Node) -> None:
    op = "Not" if node.facts[0].dtype == np.bool_ else "BitwiseNot"
    to.put(node, to.op(op, [to.value(node.args[0])], node=node))


@writes("numpy.left_shift", "numpy.right_shift")
def _shift(to: Writing, node: Node) -> None:
    names = same_type(to, node.args[:2], node)
    way = "LEFT" if node.kind == "numpy.left_shift" else "RIGHT"
    to.put(node, to.op("BitShift", names, node=node, direction=way))


@writes("numpy.isfinite")
def _is_finite(to: Writing, node: Node) -> None:
    x = to.value(node.args[0])
    bad = to.op("Or", [to.op("IsNaN", [x]), to.op("IsInf", [x])])
    to.put(node, to.op("Not", [bad], node=node))


@writes("numpy.trunc", "numpy.fix")
def _truncated(to: Writing, node: Node) -> None:
    x = to.value(node.args[0])
    to.put(node, to.op("Mul", [to.op("Sign", [x]), to.op("Floor", [to.op("Abs", [x])])], node=node))


@writes("numpy.round", "numpy.around", "ndarray.round")
def _rounded(to: Writing, node: Node) -> None:
    given = _given(node, "a", "decimals")
    if given.get("decimals"):
        raise NotExported("rounding to decimals")
    to.put(node, to.op("Round", [to.value(given["a"])], node=node))


#: Functions that are another one of a number's multiple: of x * factor, or times a factor.
_SCALED = {
    "numpy.exp2": ("Exp", np.log(2.0), None), "numpy.log2": ("Log", None, 1 / np.log(2.0)),
    "numpy.log10": ("Log", None, 1 / np.log(10.0)), "numpy.deg2rad": (None, np.pi / 180, None),
    "numpy.rad2deg": (None, 180 / np.pi, None), "numpy.radians": (None, np.pi / 180, None),
    "numpy.degrees": (None, 180 / np.pi, None),
}  # fmt: skip


@writes(*_SCALED)
def _scaled(to: Writing, node: Node) -> None:
    op, before, after = _SCALED[node.kind]
    x = to.value(node.args[0])
    if before is not None:
        x = to.op("Mul", [x, to.constant(np.float32(before))], node=node)
    if op is not None:
        x = to.op(op, [x], node=node)
    to.put(node, x if after is None else to.op("Mul", [x, to.constant(np.float32(after))], node=node))


# Whole arrays


@writes("numpy.any", "numpy.all", "ndarray.any", "ndarray.all", "numpy.count_nonzero")
def _truths(to: Writing, node: Node) -> None:
    given = _given(node, "a", "axis")
    _only(given, "a", "axis", "keepdims")
    x, axis = given["a"], given.get("axis")
    name = to.value(x)
    if _dtype(to, x) != np.bool_:
        name = to.op("Cast", [name], to=number_of(np.bool_))
    counted = to.op("Cast", [name], to=number_of(np.int64 if "count" in node.kind else np.int32))
    axes = None if axis is None else [int(a) for a in (axis if isinstance(axis, (tuple, list)) else (axis,))]
    keep = int(bool(given.get("keepdims")))
    if "count" in node.kind:
        inputs = [counted] + ([] if axes is None else [_integers(to, *axes)])
        to.put(node, to.op("ReduceSum", inputs, node=node, keepdims=keep))
        return
    op = "ReduceMax" if node.kind.endswith("any") else "ReduceMin"
    found = to.op(op, [counted], axes=axes, keepdims=keep)
    to.put(node, to.op("Cast", [found], node=node, to=number_of(np.bool_)))


@writes("numpy.var", "numpy.std", "ndarray.var", "ndarray.std")
def _variance(to: Writing, node: Node) -> None:
    given = _given(node, "a", "axis")
    _only(given, "a", "axis", "keepdims", "ddof")
    x, axis, ddof = given["a"], given.get("axis"), given.get("ddof") or 0
    shape = to.fact(x).shape
    axes = range(len(shape)) if axis is None else axis if isinstance(axis, (tuple, list)) else (axis,)
    axes = [int(a) for a in axes]
    name, keep = to.value(x), int(bool(given.get("keepdims")))
    centred = to.op("Sub", [name, to.op("ReduceMean", [name], axes=axes, keepdims=1)])
    made = to.op("ReduceMean", [to.op("Mul", [centred, centred])], axes=axes, keepdims=keep)
    if ddof:
        count = int(np.prod([n if isinstance(n := shape[a], int) else _unknown(a) for a in axes]))
        made = to.op("Mul", [made, to.constant(np.float32(count / (count - ddof)))])
    to.put(node, to.op("Sqrt", [made], node=node) if node.kind.endswith("std") else made)


def _unknown(axis: int) -> int:
    raise NotExported(f"ddof over axis {axis}, whose length is free")


@writes("numpy.linalg.norm")
def _norm(to: Writing, node: Node) -> None:
    given = _given(node, "x", "ord", "axis", "keepdims")
    order, axis = given.get("ord"), given.get("axis")
    if order not in (None, 1, 2) or (order is not None and not isinstance(axis, int)):
        raise NotExported(f"a norm of order {order} over axis {axis}")
    axes = None if axis is None else [int(a) for a in (axis if isinstance(axis, (tuple, list)) else (axis,))]
    op = "ReduceL1" if order == 1 else "ReduceL2"
    keep = int(bool(given.get("keepdims")))
    to.put(node, to.op(op, [to.value(given["x"])], node=node, axes=axes, keepdims=keep))


@writes("numpy.cumsum", "ndarray.cumsum")
def _sums(to: Writing, node: Node) -> None:
    given = _given(node, "a", "axis")
    _only(given, "a", "axis")
    x, axis = to.value(given["a"]), given.get("axis")
    if axis is None:
        x, axis = _flat(to, x), 0
    to.put(node, to.op("CumSum", [x, to.constant(np.array(int(axis), np.int64))], node=node))


@writes("numpy.sort", "numpy.argsort", "ndarray.argsort")
def _sorted(to: Writing, node: Node) -> None:
    """The first of all, from the least on; equal ones stay in order."""
    given = _given(node, "a", "axis")
    _only(given, "a", "axis", "kind", "stable")
    x, axis = given["a"], given.get("axis", -1)
    name, shape = to.value(x), to.fact(x).shape
    if axis is None:
        name = _flat(to, name)
        count = to.op("Shape", [name])
    else:
        count = to.length(_length(x, shape, int(axis) % len(shape)))
    at = -1 if axis is None else int(axis)
    values, places = to.several("TopK", [name, count], 2, {"axis": at, "largest": 0}, node=node)
    to.put(node, values if node.kind == "numpy.sort" else places)


def _length(x: Ref, shape: tuple[int | str, ...], axis: int) -> int | Expr:
    length = shape[axis]
    return length if isinstance(length, int) else Expr("dim", (x, axis))


@writes("numpy.einsum")
def _einsum(to: Writing, node: Node) -> None:
    equation, *arrays = node.args
    _only(dict(node.kwargs), "optimize")
    if not isinstance(equation, str):
        raise NotExported("an einsum without its equation as a text")
    to.put(node, to.op("Einsum", same_type(to, arrays, node), node=node, equation=equation))


@writes("numpy.dot", "ndarray.dot")
def _dot(to: Writing, node: Node) -> None:
    a, b = node.args[:2]
    if _ndim(to, b) > 2 or not _ndim(to, a) or not _ndim(to, b):
        raise NotExported(f"a dot product of {_ndim(to, a)} and {_ndim(to, b)} axes")
    to.put(node, to.op("MatMul", same_type(to, (a, b), node), node=node))


@writes("numpy.outer")
def _outer(to: Writing, node: Node) -> None:
    a, b = (_flat(to, name) for name in same_type(to, node.args[:2], node))
    column = to.op("Unsqueeze", [a, _integers(to, 1)])
    to.put(node, to.op("Mul", [column, b], node=node))


# Places


@writes("numpy.take_along_axis")
def _along(to: Writing, node: Node) -> None:
    given = _given(node, "arr", "indices", "axis")
    x, index, axis = to.value(given["arr"]), given["indices"], given.get("axis", -1)
    if str(_dtype(to, index)) not in ("int32", "int64"):
        name = to.op("Cast", [to.value(index)], to=number_of(np.int64))
    else:
        name = to.value(index)
    if axis is None:
        x, axis = _flat(to, x), 0
    elif not _fits(to, given["arr"], index, int(axis)):
        raise NotExported("take_along_axis of shapes that are broadcast")
    to.put(node, to.op("GatherElements", [x, name], node=node, axis=int(axis)))


def _fits(to: Writing, x: Ref | ArrayLike, index: Ref | ArrayLike, axis: int) -> bool:
    """Whether only the axis may differ: files take parts of other axes where NumPy broadcasts."""
    own, other = (to.fact(v).shape if isinstance(v, Ref) else np.shape(v) for v in (x, index))
    axis %= len(own)
    return all(a == b for i, (a, b) in enumerate(zip(own, other, strict=True)) if i != axis)


@writes("numpy.repeat", "ndarray.repeat")
def _repeat(to: Writing, node: Node) -> None:
    """Each element so many times: copies along a new axis, which joins the one before it."""
    given = _given(node, "a", "repeats", "axis")
    x, count, axis = given["a"], given["repeats"], given.get("axis")
    if not isinstance(count, (int, np.integer, Expr)):
        raise NotExported("repeats that differ between elements")
    name, shape = to.value(x), to.fact(x).shape
    lengths = [_length(x, shape, i) for i in range(len(shape))]
    if axis is None:
        name, lengths, axis = _flat(to, name), [-1], 0
    axis = int(axis) % len(lengths)
    wide = to.op("Unsqueeze", [name, _integers(to, axis + 1)])
    copies = to.op("Tile", [wide, to.shape([count if i == axis + 1 else 1 for i in range(len(lengths) + 1)])])
    lengths[axis] = -1
    to.put(node, to.op("Reshape", [copies, to.shape(lengths)], node=node))


@writes("numpy.roll")
def _roll(to: Writing, node: Node) -> None:
    given = _given(node, "a", "shift", "axis")
    x, shifts, axes = to.value(given["a"]), given["shift"], given.get("axis")
    shifts = list(shifts) if isinstance(shifts, (tuple, list)) else [shifts]
    if axes is None:
        raise NotExported("a roll of all axes as one")
    axes = list(axes) if isinstance(axes, (tuple, list)) else [axes]
    if len(shifts) == 1:
        shifts *= len(axes)
    for shift, axis in zip(shifts, axes, strict=True):
        if isinstance(shift, Expr):
            raise NotExported("a roll by a length")
        length = to.fact(given["a"]).shape[axis]
        by = int(shift) % length if isinstance(length, int) else int(shift)
        if by:
            ends = [_integers(to, n) for n in (-by, 2**31 - 1, int(axis))]
            starts = [_integers(to, n) for n in (0, -by, int(axis))]
            x = to.op("Concat", [to.op("Slice", [x, *ends]), to.op("Slice", [x, *starts])], axis=int(axis))
    to.put(node, to.op("Identity", [x], node=node))


@writes("numpy.tril", "numpy.triu")
def _triangle(to: Writing, node: Node) -> None:
    given = _given(node, "m", "k")
    k = to.constant(np.array(int(given.get("k", 0)), np.int64))
    upper = int(node.kind == "numpy.triu")
    to.put(node, to.op("Trilu", [to.value(given["m"]), k], node=node, upper=upper))


@writes("numpy.compress", "ndarray.compress")
def _compress(to: Writing, node: Node) -> None:
    names = ("a", "condition", "axis") if node.kind.startswith("ndarray") else ("condition", "a", "axis")
    given = _given(node, *names)
    axis = given.get("axis")
    inputs = [to.value(given["a"]), to.value(given["condition"])]
    to.put(node, to.op("Compress", inputs, node=node, axis=None if axis is None else int(axis)))


@writes("numpy.zeros_like", "numpy.ones_like", "numpy.full_like")
def _like(to: Writing, node: Node) -> None:
    given = _given(node, "a", "fill_value") if node.kind == "numpy.full_like" else _given(node, "a")
    value = given.get("fill_value", int(node.kind == "numpy.ones_like"))
    shape = to.op("Shape", [to.value(given["a"])])
    dtype = np.dtype(np.float32) if node.facts[0].is_float else node.facts[0].dtype
    if isinstance(value, Ref):
        kept = to.op("Cast", [to.value(value)], to=number_of(dtype))
    else:
        kept = to.constant(np.asarray(value, dtype))
    to.put(node, to.op("Expand", [kept, shape], node=node))


@writes("numpy.vstack", "numpy.hstack")
def _stacked(to: Writing, node: Node) -> None:
    arrays = node.args[0]
    names = same_type(to, arrays, node)
    ndim = _ndim(to, arrays[0])
    axis = 1 if node.kind == "numpy.hstack" and ndim > 1 else 0
    if ndim == 1 and node.kind == "numpy.vstack":
        names = [to.op("Unsqueeze", [name, _integers(to, 0)]) for name in names]
    if not ndim:
        raise NotExported("a stack of numbers")
    to.put(node, to.op("Concat", names, node=node, axis=axis))


@writes("numpy.ravel", "ndarray.ravel", "ndarray.flatten")
def _raveled(to: Writing, node: Node) -> None:
    to.put(node, _flat(to, to.value(node.args[0])))
