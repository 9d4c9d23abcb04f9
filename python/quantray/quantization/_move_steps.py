"""Nodes that move elements, or take windows of them, as steps of a program: of codes and of floats alike."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from quantray.graph import Node, Ref
from quantray.graph._trees import is_sequence, is_slice
from quantray.nn.quantized._means import in_type_of
from quantray.quantization._integers import code_of
from quantray.quantization._lowering import (
    DTYPES,
    Length,
    Lowering,
    NotLowered,
    settings_of,
    step_of,
    steps_of,
)


@step_of("int.move")
def _move(to: Lowering, node: Node) -> None:
    move = _MOVES.get(node.value)
    if move is None and node.value.rstrip("123d").rstrip("_") in _POOLS:
        move = _pool
    if len(node.inputs) != 1:
        raise NotLowered(node.value)
    if move is not None:
        move(to, node, node.inputs[0])
    elif node.value in _OF_ANY:
        # The step that moves floats moves codes as well: it knows no grid.
        steps_of(node.value)(to, node.but(kind=node.value, value=None))
    else:
        raise NotLowered(node.value)


_Move = Callable[[Lowering, Node, Ref], None]
_NAMES = ("max", "min", "amax", "amin", "flip", "roll", "repeat", "tile", "take", "broadcast_to")
_SHUFFLES = ("pixel_shuffle", "pixel_unshuffle", "channel_shuffle", "native_channel_shuffle")
_OF_ANY = frozenset(
    [f"{home}.{name}" for home in ("numpy", "ndarray") for name in _NAMES]
    + [f"functional.{name}" for name in _SHUFFLES]
)
_POOLS = ("max_pool", "avg_pool", "adaptive_max_pool", "adaptive_avg_pool")


def _relu(to: Lowering, node: Node, x: Ref) -> None:
    grid = to.grids[x]
    top = 127 if grid.dtype == "qint8" else 255
    to.put(node, to.step("clamp", (to.number(x),), node, lo=grid.zero_point, hi=top))


def _clip(to: Lowering, node: Node, x: Ref) -> None:
    grid, low, high = to.grids[x], node.get("low"), node.get("high")
    ends = (-128, 127) if grid.dtype == "qint8" else (0, 255)
    codes = [
        end if value is None else code_of(value, grid) for value, end in zip((low, high), ends, strict=True)
    ]
    to.put(node, to.step("clamp", (to.number(x),), node, lo=codes[0], hi=codes[1]))


def _reshape(to: Lowering, node: Node, x: Ref) -> None:
    shape = tuple(to.length(n) for n in node.get("shape"))
    to.put(node, to.step("reshape", (to.number(x),), node, shape=shape))


def _transpose(to: Lowering, node: Node, x: Ref) -> None:
    to.put(node, to.step("transpose", (to.number(x),), node, axes=tuple(int(a) for a in node.get("axes"))))


def _getitem(to: Lowering, node: Node, x: Ref) -> None:
    items: list[object] = []
    index = node.get("index")
    ndim = len(to.graph.fact(x).shape)
    for item in index:
        if item is Ellipsis:
            items += [slice(None)] * (ndim - sum(i is not None and i is not Ellipsis for i in index))
        elif is_slice(item):
            ends = [None if end is None else to.length(end) for end in (item.start, item.stop, item.step)]
            if any(isinstance(end, tuple) for end in ends):
                raise NotLowered("a slice of lengths")
            items.append(slice(*ends))
        elif item is None:
            items.append(None)
        else:
            number = to.length(item)
            if isinstance(number, tuple):
                raise NotLowered("an index of lengths")
            items.append(number)
    to.put(node, to.step("slice", (to.number(x),), node, index=tuple(items)))


def _pad(to: Lowering, node: Node, x: Ref) -> None:
    if node.get("mode") != "constant":
        # Elements of the image itself: codes are put there as floats are.
        steps_of("pad")(to, node.but(kind="pad", value=None))
        return
    sides = [to.length(n) for n in node.get("pad")]
    ndim = len(to.graph.fact(x).shape)
    pairs: list[tuple[Length, Length]] = [(0, 0)] * (ndim - len(sides) // 2)
    pairs += [(sides[i], sides[i + 1]) for i in range(len(sides) - 2, -1, -2)]
    to.put(node, to.step("pad", (to.number(x),), node, pairs=pairs, value=float(node.get("value"))))


def _mean(to: Lowering, node: Node, x: Ref, **grid: object) -> None:
    dims = len(to.graph.fact(x).shape) - 2
    made = to.step("adaptive_avg_pool", (to.number(x),), node, output_size=[1] * dims, **grid)
    if not node.get("keepdims"):
        made = to.step("squeeze", (made,), node, axes=tuple(range(2, 2 + dims)))
    to.put(node, made)


def _interpolate(to: Lowering, node: Node, x: Ref) -> None:
    dims = len(to.graph.fact(x).shape) - 2
    size, factor = node.get("size"), node.get("scale_factor")
    params: dict[str, object] = {"mode": node.get("mode"), "align_corners": bool(node.get("align_corners"))}
    given = size if factor is None else factor
    each = list(given) if is_sequence(given) else [given] * dims
    if factor is None:
        params["size"] = tuple(to.length(n) for n in each)
    else:
        params["scale"] = tuple(float(f) for f in each)
    to.put(node, to.step("interpolate", (to.number(x),), node, **params))


def _pool(to: Lowering, node: Node, x: Ref, **grid: object) -> None:
    # Of codes the node says what moves them; nodes of floats are that themselves.
    name = node.value or node.kind
    kind, dims = name[:-2], int(name[-2])
    if len(to.graph.fact(x).shape) != dims + 2:
        raise NotLowered("one image without its batch")

    def each(name: str) -> list[int | None]:
        given = node.get(name)
        numbers = list(given) if is_sequence(given) else [given] * dims
        if not all(n is None or isinstance(n, (int, np.integer)) for n in numbers):
            raise NotLowered(name)
        return [None if n is None else int(n) for n in numbers]

    if kind.startswith("adaptive"):
        sizes = each("output_size")
        if any(n == 0 for n in sizes):
            raise NotLowered("nothing comes out")
        to.put(node, to.step(kind, (to.number(x),), node, output_size=sizes, **grid))
        return
    params: dict[str, object] = {
        "kernel_size": each("kernel_size"),
        "padding": each("padding"),
        "ceil_mode": bool(node.get("ceil_mode")),
    }
    params["stride"] = params["kernel_size"] if node.get("stride") is None else each("stride")
    if kind == "max_pool":
        params["dilation"] = each("dilation")
    else:
        params["count_include_pad"] = bool(node.get("count_include_pad"))
        if node.get("divisor_override") is not None:
            params["divisor_override"] = int(node.get("divisor_override"))
    to.put(node, to.step(kind, (to.number(x),), node, **params, **grid))


_MOVES: dict[str, _Move] = {
    "relu": _relu,
    "clip": _clip,
    "reshape": _reshape,
    "transpose": _transpose,
    "getitem": _getitem,
    "pad": _pad,
    "mean": _mean,
    "interpolate": _interpolate,
}


@step_of("int.mean")
def _averaged(to: Lowering, node: Node) -> None:
    (x,) = node.inputs
    grid = to.grids[Ref(node.name)]
    own = in_type_of(grid, to.grids[x].dtype)
    (_mean if node.value == "mean" else _pool)(to, node, x, grid=settings_of(own))
    if own is not grid:
        # Codes of the other type stand for the same.
        step = to.step("requantize", (to.numbers[Ref(node.name)],), node, grid=settings_of(grid))
        to.put(node, step)


@step_of("reshape", "transpose")
def _moved_floats(to: Lowering, node: Node) -> None:
    """The same steps move floats."""
    (x,) = node.inputs
    if str(to.graph.fact(x).dtype) not in DTYPES:
        raise NotLowered("dtype")
    _MOVES[node.kind](to, node, x)


@step_of(*(f"{kind}{dims}d" for kind in _POOLS for dims in (1, 2, 3)))
def _pooled_floats(to: Lowering, node: Node) -> None:
    (x,) = node.inputs
    if str(to.graph.fact(x).dtype) != "float32" or not ("max" in node.kind or to.is_near):
        raise NotLowered("dtype")
    _pool(to, node, x)
