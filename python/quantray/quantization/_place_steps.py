"""Nodes that join, move, repeat and sort elements, as steps of a program."""

from __future__ import annotations

import numpy as np

from quantray.graph import Node, Ref
from quantray.graph._trees import is_array, is_sequence
from quantray.quantization._lowering import Length, Lowering, is_whole, step_of
from quantray.quantization._operands import (
    BOOL,
    arguments,
    axes,
    axis,
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
    if is_array(counts) or is_sequence(counts):
        each = [int(n) for n in np.asarray(counts).ravel()]
        need(all(n >= 0 for n in each))
        repeats: Length | list[int] = each[0] if len(each) == 1 else each
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
    need(is_whole(offset))
    ends = (0 if given["axis1"] is None else given["axis1"], 1 if given["axis2"] is None else given["axis2"])
    x = wire(to, given["a"], None)
    to.put(node, to.step("diagonal", (x,), node, offset=int(offset), axes=axes(ends)))


_MODES = {"replicate": "edge", "circular": "wrap", "reflect": "reflect", "constant": "constant"}


@step_of("pad")
def _pad(to: Lowering, node: Node) -> None:
    x, sides = node.args[0], lengths(to, node.get("pad"))
    mode = _MODES.get(node.get("mode"))
    need(mode is not None and not any(isinstance(n, tuple) and mode != "constant" for n in sides))
    ndim, value = rank(to, x), np.asarray(node.get("value"))
    pairs: list[tuple[Length, Length]] = [(0, 0)] * (ndim - len(sides) // 2)
    pairs += [(sides[i], sides[i + 1]) for i in range(len(sides) - 2, -1, -2)]
    need(mode != "constant" or (value.ndim == 0 and value.dtype.kind in "biuf"))
    params: dict[str, object] = {"value": float(value)} if mode == "constant" else {"mode": mode}
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
    params: dict[str, object] = (
        {"mode": mode} if mode != "constant" else {"value": float(np.asarray(value).astype(dtype))}
    )
    to.put(node, to.step("pad", (wire(to, x, None),), node, pairs=pairs, **params))


def _pad_pairs(to: Lowering, width: object, ndim: int) -> list[tuple[Length, ...]]:
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
