"""Nodes that move elements."""

# Arguments of nodes are trees of whatever functions take: their leaves have no type that could be said.
# pyright: reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportUnknownMemberType=false, reportUnknownLambdaType=false

from __future__ import annotations

from collections.abc import Callable, Sequence
from types import EllipsisType
from typing import TYPE_CHECKING, TypeAlias, cast

import numpy as np

from quantray._typing import Ints
from quantray.graph import Expr, Node, Ref
from quantray.graph._trees import is_sequence
from quantray.onnx._export._layers import adaptive, mean, pool
from quantray.onnx._export._writing import Dim, NotExported, Writing, writes

if TYPE_CHECKING:
    from quantray.graph._graph import Settings
    from quantray.onnx._export._layers import Shape

#: Ends of slices that say "to the last one".
_END = 2**31 - 1

#: Writes a movement of the value of a name.
Move: TypeAlias = "Callable[[Writing, Node, str, Shape, Settings], str]"


def _reshape(to: Writing, node: Node, x: str, shape: Shape, given: Settings) -> str:
    lengths, made = _listed(given["shape"]), node.facts[0].shape
    if to.rows_alone:
        lengths = [m if isinstance(m, int) else n for n, m in zip(lengths, made, strict=True)]
    target = _constant_target(lengths, shape, made)
    return to.op("Reshape", [x, to.shape(target or lengths)], node=node)


def _listed(lengths: Dim | Sequence[Dim]) -> list[Dim]:
    return list(lengths) if is_sequence(lengths) else [cast("Dim", lengths)]


def _constant_target(lengths: list[Dim], own: Shape, made: Shape) -> list[int] | None:
    """What says the same for all lengths: 0 for one that stays in its place, -1 for one that is left over.

    Files need no arithmetic of lengths then; OpenVINO 2026.4 gives wrong values after some of it.
    """
    if 0 in lengths:
        return None
    target: list[int] = []
    for axis, (length, name) in enumerate(zip(lengths, made, strict=True)):
        if not isinstance(length, Expr) and length != -1:
            target.append(int(length))
        else:
            target.append(0 if axis < len(own) and own[axis] == name != "?" else -1)
    return target if target.count(-1) <= 1 else None


def _int64(values: Sequence[int]) -> Ints:
    return np.array(values, np.int64)


def _transpose(to: Writing, node: Node, x: str, shape: Shape, given: Settings) -> str:
    return to.op("Transpose", [x], node=node, perm=[int(a) for a in given["axes"]])


def _getitem(to: Writing, node: Node, x: str, shape: Shape, given: Settings) -> str:
    """Slices, then places, whose axes go, then new axes."""
    items: list[slice | Expr | int | None] = []
    index: tuple[slice | Expr | int | EllipsisType | None, ...] = given["index"]
    for item in index:
        if isinstance(item, EllipsisType):
            items += [slice(None)] * (len(shape) - sum(i is not None and i is not Ellipsis for i in index))
        else:
            items.append(item)
    own = [item for item in items if item is not None]
    starts, ends, axes, steps, gone = [], [], [], [], list[int]()
    for axis, item in enumerate(own):
        if isinstance(item, slice):
            step = 1 if item.step is None else int(item.step)
            if item == slice(None):
                continue
            starts.append((0 if step > 0 else _END) if item.start is None else item.start)
            ends.append((_END if step > 0 else -_END) if item.stop is None else item.stop)
        else:
            step = 1
            starts.append(item)
            ends.append(_END if not isinstance(item, Expr) and item == -1 else _plus_one(item))
            gone.append(axis)
        axes.append(axis)
        steps.append(step)
    if axes:
        inputs = [
            to.shape(starts),
            to.shape(ends),
            *(to.constant(_int64(v)) for v in (axes, steps)),
        ]
        x = to.op("Slice", [x, *inputs], node=node)
    if gone:
        x = to.op("Squeeze", [x, to.constant(_int64(gone))], node=node)
    new, at = list[int](), 0
    for item in items:
        if item is None:
            new.append(at)
        if item is None or isinstance(item, slice):
            at += 1
    return to.op("Unsqueeze", [x, to.constant(_int64(new))], node=node) if new else x


def _plus_one(item: Expr | int) -> Expr | int:
    return Expr("add", (item, 1)) if isinstance(item, Expr) else int(item) + 1


_MODES = {"constant": "constant", "reflect": "reflect", "replicate": "edge", "circular": "wrap"}


def _pad(to: Writing, node: Node, x: str, shape: Shape, given: Settings) -> str:
    sides, ndim = list(given["pad"]), len(shape)
    pairs: list[tuple[int, int]] = [(0, 0)] * (ndim - len(sides) // 2)
    pairs += [(sides[i], sides[i + 1]) for i in range(len(sides) - 2, -1, -2)]
    mode = _MODES[given.get("mode", "constant")]
    if mode == "wrap" and to.opset < 19:
        raise NotExported("circular padding, which ONNX has from opset 19 on")
    ends = [to.known(n) for n in (*(a for a, _ in pairs), *(b for _, b in pairs))]
    if not any(isinstance(n, Expr) or int(n) for n in ends):
        return x
    inputs = [x, to.shape(ends)]
    if mode == "constant":
        inputs.append(to.constant(np.float32(given.get("value") or 0.0)))
    return to.op("Pad", inputs, node=node, mode=mode)


def _interpolate(to: Writing, node: Node, x: str, shape: Shape, given: Settings) -> str:
    mode, align = given.get("mode", "nearest"), bool(given.get("align_corners"))
    names = {
        "nearest": "nearest",
        "linear": "linear",
        "bilinear": "linear",
        "trilinear": "linear",
        "bicubic": "cubic",
    }
    if mode not in names:
        raise NotExported(f"interpolation by {mode}")
    attributes: dict[str, object] = {"mode": names[mode]}
    if mode == "nearest":
        attributes |= {"coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"}
    else:
        way = "align_corners" if align else "half_pixel"
        attributes["coordinate_transformation_mode"] = way
        if mode == "bicubic":
            attributes["cubic_coeff_a"] = -0.75
    dims = len(shape) - 2
    size, factor = given.get("size"), given.get("scale_factor")
    wanted = size if factor is None else factor
    each: Sequence[float] = wanted if isinstance(wanted, (tuple, list)) else [cast("float", wanted)] * dims
    if factor is not None:
        scales = to.constant(np.array([1, 1, *each], np.float32))
        return to.op("Resize", [x, "", scales], node=node, settings=attributes)
    ends = to.op("Slice", [to.op("Shape", [x]), *(to.constant(_int64([n])) for n in (0, 2))])
    sizes = to.op("Concat", [ends, to.shape(each)], axis=0)
    return to.op("Resize", [x, "", "", sizes], node=node, settings=attributes)


def _mean(to: Writing, node: Node, x: str, shape: Shape, given: Settings) -> str:
    return mean(to, node, x, len(shape), bool(given.get("keepdims")))


def _limits(to: Writing, node: Node, x: str, shape: Shape, given: Settings) -> str:
    from quantray.onnx._export._functions import limited

    return limited(to, node, x, (given.get("low"), given.get("high")))


MOVES: dict[str, Move] = {
    "reshape": _reshape,
    "transpose": _transpose,
    "getitem": _getitem,
    "pad": _pad,
    "interpolate": _interpolate,
    "mean": _mean,
    "clip": _limits,
    "relu": lambda to, node, x, shape, given: to.op("Relu", [x], node=node),
    "identity": lambda to, node, x, shape, given: x,
}
for _dims in (1, 2, 3):
    for _kind in ("max", "avg"):
        MOVES[f"{_kind}_pool{_dims}d"] = lambda to, node, x, shape, given, kind=f"{_kind}_pool{_dims}d": pool(
            to, node, x, shape, kind, given
        )
        MOVES[f"adaptive_{_kind}_pool{_dims}d"] = (
            lambda to, node, x, shape, given, kind=f"adaptive_{_kind}_pool{_dims}d": adaptive(
                to, node, x, shape, kind, given
            )
        )


@writes("reshape", "transpose", "getitem", "pad", "interpolate")
def _moved(to: Writing, node: Node) -> None:
    x = node.args[0]
    to.put(node, MOVES[node.kind](to, node, to.value(x), to.fact(x).shape, node.kwargs))


@writes("array.getitem")
def _looked_up(to: Writing, node: Node) -> None:
    x, index = node.args
    if not isinstance(index, Ref) or to.fact(index).dtype.kind not in "iu":
        raise NotExported("an index of masks, or of several arrays")
    to.put(node, to.op("Gather", [to.value(x), to.value(index)], node=node, axis=0))


@writes("concat", "numpy.concatenate")
def _concat(to: Writing, node: Node) -> None:
    given = {**dict(zip(("arrays", "axis"), node.args, strict=False)), **node.kwargs}
    axis = int(given.get("axis") or 0)
    to.put(node, to.op("Concat", [to.value(each) for each in given["arrays"]], node=node, axis=axis))


@writes("numpy.stack")
def _stack(to: Writing, node: Node) -> None:
    given = {**dict(zip(("arrays", "axis"), node.args, strict=False)), **node.kwargs}
    axis = int(given.get("axis") or 0)
    axes = to.constant(_int64([axis]))
    parts = [to.op("Unsqueeze", [to.value(each), axes]) for each in given["arrays"]]
    to.put(node, to.op("Concat", parts, node=node, axis=axis))


@writes("numpy.expand_dims")
def _expand_dims(to: Writing, node: Node) -> None:
    x, axis = (*node.args, *node.kwargs.values())[:2]
    axes = [int(a) for a in (axis if isinstance(axis, (tuple, list)) else (axis,))]
    to.put(node, to.op("Unsqueeze", [to.value(x), to.constant(_int64(axes))], node=node))


@writes("numpy.squeeze", "ndarray.squeeze")
def _squeeze(to: Writing, node: Node) -> None:
    given = {**dict(zip(("a", "axis"), node.args, strict=False)), **node.kwargs}
    axis = given.get("axis")
    axes = [] if axis is None else [int(a) for a in (axis if isinstance(axis, (tuple, list)) else (axis,))]
    inputs = [to.value(given["a"])] + ([to.constant(_int64(axes))] if axes else [])
    to.put(node, to.op("Squeeze", inputs, node=node))


@writes("numpy.take", "ndarray.take")
def _take(to: Writing, node: Node) -> None:
    given = {**dict(zip(("a", "indices", "axis"), node.args, strict=False)), **node.kwargs}
    axis = given.get("axis")
    x = to.value(given["a"])
    if axis is None:
        x, axis = to.op("Reshape", [x, to.constant(_int64([-1]))]), 0
    indices = given["indices"]
    name = to.value(indices) if isinstance(indices, Ref) else to.constant(np.asarray(indices, np.int64))
    to.put(node, to.op("Gather", [x, name], node=node, axis=int(axis)))


@writes("functional.embedding")
def _embedding(to: Writing, node: Node) -> None:
    ids, table = node.args[:2]
    to.put(node, to.op("Gather", [to.value(table), to.value(ids)], node=node, axis=0))


@writes("numpy.broadcast_to")
def _broadcast(to: Writing, node: Node) -> None:
    x, shape = (*node.args, *node.kwargs.values())[:2]
    shape = shape if isinstance(shape, (tuple, list)) else (shape,)
    to.put(node, to.op("Expand", [to.value(x), to.shape(shape)], node=node))


@writes("numpy.tile")
def _tile(to: Writing, node: Node) -> None:
    x, reps = (*node.args, *node.kwargs.values())[:2]
    reps = list(reps) if isinstance(reps, (tuple, list)) else [reps]
    ndim = len(to.fact(x).shape)
    if len(reps) > ndim:
        raise NotExported("numpy.tile with new axes")
    reps = [1] * (ndim - len(reps)) + reps
    to.put(node, to.op("Tile", [to.value(x), to.shape(reps)], node=node))


@writes("numpy.pad")
def _numpy_pad(to: Writing, node: Node) -> None:
    x, widths = node.args[:2]
    mode = node.args[2] if len(node.args) > 2 else node.get("mode", "constant")
    if mode not in ("constant", "reflect", "edge"):
        raise NotExported(f"numpy.pad by {mode}")
    ndim = len(to.fact(x).shape)
    pairs = [
        tuple(p) if isinstance(p, (tuple, list)) else (p, p)
        for p in (widths if isinstance(widths, (tuple, list)) else [widths])
    ]
    if len(pairs) == 2 and not isinstance(widths[0], (tuple, list)):
        pairs = [tuple(widths)]
    pairs = pairs * ndim if len(pairs) == 1 else pairs
    inputs = [to.value(x), to.shape([a for a, _ in pairs] + [b for _, b in pairs])]
    if mode == "constant":
        inputs.append(to.constant(np.asarray(node.get("constant_values", 0), to.fact(x).dtype)))
    to.put(node, to.op("Pad", inputs, node=node, mode=mode))


@writes("array.full")
def _full(to: Writing, node: Node) -> None:
    shape, value, dtype = node.args
    kept = to.constant(np.asarray(value, dtype))
    to.put(node, to.op("Expand", [kept, to.shape(shape)], node=node))


@writes("onnx.random_normal", "onnx.random_uniform")
def _random(to: Writing, node: Node) -> None:
    """Of lengths: whatever had the shape in the file may be left out."""
    from quantray.onnx._export._functions import number_of

    shape, first, second, seed, dtype = node.args
    names = ("mean", "scale") if node.kind.endswith("normal") else ("low", "high")
    settings = {names[0]: float(first), names[1]: float(second), "dtype": number_of(str(dtype))}
    if seed is not None:
        # Files have seeds as floats.
        settings["seed"] = float(np.uint32(seed).view(np.float32))
    like = to.op("Expand", [to.constant(np.zeros((), np.float32)), to.shape(shape)])
    op = "RandomNormalLike" if node.kind.endswith("normal") else "RandomUniformLike"
    to.put(node, to.op(op, [like], node=node, settings=settings))


@writes("array.ramp")
def _ramp(to: Writing, node: Node) -> None:
    from quantray.onnx._export._functions import number_of

    length, start, step, shape, dtype = node.args

    def number(n: Dim) -> str:
        """A number, which may be a length: positions begin behind those that were there before."""
        n = to.known(n)
        if not isinstance(n, Expr):
            return to.constant(np.asarray(n, dtype))
        return cast(to.op("Squeeze", [to.length(n), to.constant(_int64([0]))]))

    def cast(x: str) -> str:
        return x if np.dtype(dtype) == np.int64 else to.op("Cast", [x], to=number_of(dtype))

    count = to.op("Squeeze", [to.length(length), to.constant(_int64([0]))])
    line = to.op("Range", [to.constant(np.array(0, np.int64)), count, to.constant(np.array(1, np.int64))])
    line = cast(line)
    is_one, is_zero = (isinstance(n, (int, float)) and n == at for n, at in ((step, 1), (start, 0)))
    scaled = line if is_one else to.op("Mul", [line, number(step)])
    moved = scaled if is_zero else to.op("Add", [scaled, number(start)])
    if list(shape) == [-1]:
        to.put(node, to.op("Identity", [moved], node=node))
    else:
        to.put(node, to.op("Reshape", [moved, to.constant(_int64(shape))], node=node))


@writes("array.lengths")
def _lengths(to: Writing, node: Node) -> None:
    items, shape = node.args
    made = to.lengths(list(items), shape)
    if node.facts[0].is_float and not any(isinstance(n, float) for n in items):
        made = to.op("Cast", [made], to=1)
    to.put(node, made)


@writes("numpy.flip")
def _flip(to: Writing, node: Node) -> None:
    given = {**dict(zip(("m", "axis"), node.args, strict=False)), **node.kwargs}
    x, axis = given["m"], given.get("axis")
    ndim = len(to.fact(x).shape)
    axes = (
        range(ndim)
        if axis is None
        else [int(a) for a in (axis if isinstance(axis, (tuple, list)) else (axis,))]
    )
    ends = [np.full(len(list(axes)), n, np.int64) for n in (_END, -_END)]
    inputs = [*ends, np.array(list(axes), np.int64), np.full(len(list(axes)), -1, np.int64)]
    to.put(node, to.op("Slice", [to.value(x), *(to.constant(v) for v in inputs)], node=node))
