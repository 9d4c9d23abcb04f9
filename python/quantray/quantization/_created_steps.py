"""Arrays that lengths decide, as steps of a program."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from quantray.graph import Expr, Node, Ref
from quantray.graph._trees import is_array
from quantray.quantization._lowering import Length, Lowering, is_whole, step_of
from quantray.quantization._operands import (
    arguments,
    constant,
    lengths,
    made_dtype,
    need,
    rank,
    shape_of,
    typed,
    wire,
)


def _shaped(to: Lowering, node: Node, made: int, shape: Iterable[object], length: Length) -> None:
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


def _plain_number(value: object) -> object:
    return value.item() if is_array(value) and value.ndim == 0 else value


@step_of("array.ramp")
def _ramp(to: Lowering, node: Node) -> None:
    given = arguments(node, "length", "start", "step", "shape", "dtype")
    dtype = str(made_dtype(node))
    length = to.length(given["length"])
    ends: list[float | Length] = []
    for name in ("start", "step"):
        value = _plain_number(given[name])
        if isinstance(value, Ref):
            value = _plain_number(to.fixed.get(value))
        if isinstance(value, float):
            need(dtype == "float32")
            ends.append(value)
        else:
            ends.append(to.length(value))
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
    need(is_whole(offset) and rank(to, given["m"]) >= 2)
    x, dtype = wire(to, given["m"], None), made_dtype(node)
    is_upper = node.kind == "numpy.triu"
    last = rank(to, given["m"])
    rows, columns = ("dim", x, last - 2), ("dim", x, last - 1)
    # On and above one diagonal is what is not below the next one.
    band = to.step("band", (), node, rows=rows, columns=columns, offset=int(offset) - is_upper, below=True)
    zero = constant(to, 0, dtype)
    to.put(node, to.step("where", (band, zero, x) if is_upper else (band, x, zero), node))
