"""Operators of files that NumPy has no function for, as steps of a program."""

from __future__ import annotations

import numpy as np

from quantray._typing import Floats, Kwargs
from quantray.graph import Node, Ref
from quantray.graph._trees import is_array
from quantray.quantization._lowering import Lowering, step_of
from quantray.quantization._operands import (
    FLOAT,
    INT,
    arguments,
    axis,
    made_dtype,
    near,
    need,
    rank,
    typed,
    wire,
)


@step_of("onnx.erf")
def _erf(to: Lowering, node: Node) -> None:
    near(to)
    to.put(node, to.step("erf", (wire(to, arguments(node, "x")["x"]),), node))


@step_of("onnx.fake_quantize")
def _round(to: Lowering, node: Node) -> None:
    """Floats to the values of integers: these are exact in float32 up to 16 bits."""
    given = arguments(node, "x", "scale", "zero_point", "kind", "low", "high")
    kind = np.iinfo(given["kind"])
    need(kind.bits <= 16)
    scale, offset = _scale_and_zero(to, given)
    low, high = (
        float(kind_end if given[name] is None else given[name]) - offset
        for name, kind_end in (("low", kind.min), ("high", kind.max))
    )
    steps = to.step("rint", (to.step("div", (wire(to, given["x"]), scale), node),), node)
    whole = to.step("clip", (steps,), node, low=low, high=high)
    to.put(node, to.step("mul", (whole, scale), node))


def _numbers_of_grid(to: Lowering, given: Kwargs) -> tuple[Floats, float]:
    """The one scale of all elements, as an array without axes, and their one zero point."""
    scale, zero = (
        to.fixed.get(value, value) if isinstance(value, Ref) else value
        for value in (given["scale"], given["zero_point"])
    )
    need(not isinstance(scale, Ref) and not isinstance(zero, Ref) and np.size(scale) == 1)
    zero = np.zeros(()) if zero is None else np.asarray(zero)
    need(zero.size == 1)
    return np.asarray(scale, np.float32).reshape(()), float(zero.reshape(()))


def _scale_and_zero(to: Lowering, given: Kwargs) -> tuple[int, float]:
    """The same, the scale as a constant."""
    scale, zero = _numbers_of_grid(to, given)
    return to.constant(scale), zero


@step_of("onnx.quantize_linear")
def _quantize(to: Lowering, node: Node) -> None:
    """Floats to integers of 8 bits, which stand for nothing but themselves."""
    given = arguments(node, "x", "scale", "zero_point", "kind", "axis", "block_size", "saturate")
    kind, x = given["kind"] or "uint8", given["x"]
    # What is no number becomes the least integer, which the step's 0 is of unsigned ones alone.
    of_codes = isinstance(x, Ref) and to.graph.nodes[x.node].kind == "int.dequantize"
    need(kind == "uint8" or (kind == "int8" and of_codes))
    need(not given["block_size"] and to.graph.fact(x).dtype == FLOAT)
    if _are_codes(to, given):
        to.put(node, to.step("int_repr", (to.number(to.graph.nodes[x.node].args[0]),), node))
        return
    scale, zero = _scale_and_zero(to, given)
    low, high = (float(end) - zero for end in (np.iinfo(kind).min, np.iinfo(kind).max))
    steps = to.step("rint", (to.step("div", (wire(to, x), scale), node),), node)
    whole = to.step("clip", (steps,), node, low=low, high=high)
    moved = to.step("add", (whole, to.constant(np.asarray(zero, np.float32))), node)
    to.put(node, to.step("cast", (moved,), node, dtype=kind))


def _are_codes(to: Lowering, given: Kwargs) -> bool:
    """Whether it is made of codes on the very grid that it quantizes to: those are its integers."""
    made = to.graph.nodes[given["x"].node] if isinstance(given["x"], Ref) else None
    grid = to.grids.get(made.inputs[0]) if made is not None and made.kind == "int.dequantize" else None
    if grid is None:
        return False
    kind = {"uint8": "quint8", "int8": "qint8"}[given["kind"] or "uint8"]
    return (np.float32(grid.scale), grid.zero_point, grid.dtype) == (*_numbers_of_grid(to, given), kind)


@step_of("onnx.dequantize_linear")
def _dequantize(to: Lowering, node: Node) -> None:
    given = arguments(node, "x", "scale", "zero_point", "axis", "block_size")
    need(not given["block_size"] and str(to.graph.fact(given["x"]).dtype) in ("uint8", "int8"))
    scale, zero = _scale_and_zero(to, given)
    x = to.step("cast", (wire(to, given["x"], None),), node, dtype="float32")
    moved = to.step("sub", (x, to.constant(np.asarray(zero, np.float32))), node)
    to.put(node, to.step("mul", (moved, scale), node))


@step_of("onnx.divide_integers")
def _divide(to: Lowering, node: Node) -> None:
    dtype = made_dtype(node)
    sources = tuple(typed(to, value, dtype, node) for value in arguments(node, "a", "b").values())
    to.put(node, to.step("trunc_divide", sources, node))


def _numbers(to: Lowering, node: Node, value: object) -> int:
    """Places as int64."""
    if isinstance(value, Ref):
        need(to.graph.fact(value).dtype.kind in "iu")
    else:
        need(is_array(value) and value.dtype.kind in "iu")
    return typed(to, value, INT, node)


@step_of("onnx.gather_nd")
def _gather_nd(to: Lowering, node: Node) -> None:
    given = arguments(node, "x", "indices", "batch_dims")
    sources = typed(to, given["x"], made_dtype(node), node), _numbers(to, node, given["indices"])
    to.put(node, to.step("gather_nd", sources, node, batch_dims=int(given["batch_dims"] or 0)))


@step_of("onnx.scatter_nd")
def _scatter_nd(to: Lowering, node: Node) -> None:
    given = arguments(node, "x", "indices", "updates", "reduction")
    dtype = made_dtype(node)
    sources = (
        typed(to, given["x"], dtype, node),
        _numbers(to, node, given["indices"]),
        typed(to, given["updates"], dtype, node),
    )
    to.put(node, to.step("scatter_nd", sources, node, reduction=given["reduction"] or "none"))


@step_of("onnx.scatter_elements")
def _scatter_elements(to: Lowering, node: Node) -> None:
    given = arguments(node, "x", "indices", "updates", "axis", "reduction")
    dtype = made_dtype(node)
    sources = (
        typed(to, given["x"], dtype, node),
        _numbers(to, node, given["indices"]),
        typed(to, given["updates"], dtype, node),
    )
    at = axis(given["axis"] or 0, len(node.facts[0].shape))
    made = to.step("scatter_along_axis", sources, node, axis=at, reduction=given["reduction"] or "none")
    to.put(node, made)


@step_of("onnx.non_zero")
def _non_zero(to: Lowering, node: Node) -> None:
    to.put(node, to.step("nonzero", (wire(to, arguments(node, "x")["x"], None),), node))


@step_of("numpy.nonzero", "ndarray.nonzero")
def _non_zero_by_axis(to: Lowering, node: Node) -> None:
    x = arguments(node, "a")["a"]
    need(isinstance(x, Ref) and rank(to, x) > 0)
    rows = to.step("nonzero", (wire(to, x, None),), node)
    for axis_number in range(len(node.facts)):
        row = to.step("slice", (rows,), node, index=(axis_number,))
        to.numbers[Ref(node.name, axis_number)] = row


@step_of("onnx.one_hot")
def _one_hot(to: Lowering, node: Node) -> None:
    given = arguments(node, "indices", "depth", "values", "axis")
    ndim = len(node.facts[0].shape)
    depth, at = to.length(given["depth"]), axis(-1 if given["axis"] is None else given["axis"], ndim)
    ids = to.step("unsqueeze", (_numbers(to, node, given["indices"]),), node, axes=(ndim - 1,))
    # Places are counted from the end where they are negative.
    places = to.step("ramp", (), node, length=depth, start=0, step=1, dtype="int64")
    others = to.step("ramp", (), node, length=depth, start=("neg", depth), step=1, dtype="int64")
    hot = to.step("equal", (ids, places), node)
    hot = to.step("logical_or", (hot, to.step("equal", (ids, others), node)), node)
    both = typed(to, given["values"], made_dtype(node), node)
    off, on = (to.step("slice", (both,), node, index=(i,)) for i in (0, 1))
    made = to.step("where", (hot, on, off), node)
    order = list(range(ndim - 1))
    order.insert(at, ndim - 1)
    to.put(node, to.step("transpose", (made,), node, axes=tuple(order)))


@step_of("onnx.top_k")
def _top_k(to: Lowering, node: Node) -> None:
    given = arguments(node, "x", "k", "axis", "largest")
    x, k = wire(to, given["x"], None), to.length(given["k"])
    at = axis(-1 if given["axis"] is None else given["axis"], rank(to, given["x"]))
    largest = given["largest"] is None or bool(given["largest"])
    params = {"k": k, "axis": at, "descending": largest}
    places = to.step("topk", (x,), node, places=True, **params)
    to.put(node, to.step("take_along_axis", (x, places), node, axis=at))
    to.numbers[Ref(node.name, 1)] = places


@step_of("onnx.cumulative_product")
def _product(to: Lowering, node: Node) -> None:
    given = arguments(node, "x", "axis", "exclusive", "reverse")
    dtype = made_dtype(node)
    if dtype == FLOAT:
        near(to)
    x = typed(to, given["x"], dtype, node)
    at = axis(given["axis"], rank(to, given["x"]))
    how = {name: bool(given[name]) for name in ("exclusive", "reverse")}
    to.put(node, to.step("cumprod", (x,), node, axis=at, **how))
