"""What steps take: wires, numbers and lengths as values of a program, all of one dtype."""

from __future__ import annotations

import functools
from collections.abc import Iterable
from typing import cast

import numpy as np

from quantray._core import QTensor
from quantray._typing import DType, Kwargs, Scalar
from quantray.graph import Expr, Node, Ref
from quantray.graph._trees import is_array, is_sequence
from quantray.quantization._lowering import DTYPES, Length, Lowering, NotLowered, is_whole

FLOAT = np.dtype(np.float32)
INT = np.dtype(np.int64)
BOOL = np.dtype(np.bool_)


def need(condition: object, what: str = "") -> None:
    """What a step cannot do is a call."""
    if not condition:
        raise NotLowered(what)


def near(to: Lowering) -> None:
    """The last bits may differ from NumPy's: only where no integers follow, whose codes could."""
    need(to.is_near, "its last bits")


def made_dtype(node: Node) -> DType:
    """The dtype of what a node makes, which steps must know."""
    dtype = node.facts[0].dtype
    need(str(dtype) in DTYPES, f"dtype {dtype}")
    return dtype


def dtype_of(to: Lowering, value: object) -> DType | Scalar:
    """The dtype of an argument; numbers of Python are as NumPy counts them: they follow the arrays."""
    if isinstance(value, Ref):
        return to.graph.fact(value).dtype
    if isinstance(value, Expr):
        return 0.0 if value.op == "truediv" else 0
    if is_array(value):
        return value.dtype
    if not isinstance(value, (bool, int, float)):
        raise NotLowered(type(value).__name__)
    return value


def common(to: Lowering, values: Iterable[object]) -> DType:
    """The dtype that NumPy computes with, which steps must know."""
    dtype = np.result_type(*(dtype_of(to, value) for value in values))
    need(str(dtype) in DTYPES, f"dtype {dtype}")
    return dtype


def typed(to: Lowering, value: object, dtype: DType, node: Node) -> int:
    """The number of an argument, as a value of some dtype."""
    if isinstance(value, Ref):
        own = to.graph.fact(value).dtype
        if own == dtype:
            return to.number(value)
        need(str(own) in DTYPES, f"dtype {own}")
        if value in to.fixed:
            return constant(to, to.fixed[value], dtype)
        return to.step("cast", (to.number(value),), node, dtype=str(dtype))
    if isinstance(value, Expr):
        # A length as a number: a row of one element, without its axis.
        need(value.op != "truediv")
        row = to.step("ramp", (), node, length=1, start=to.length(value), step=0, dtype=str(dtype))
        return to.step("reshape", (row,), node, shape=())
    return constant(to, value, dtype)


def constant(to: Lowering, value: object, dtype: DType) -> int:
    """The number of an array that is always the same."""
    need(isinstance(value, (bool, int, float, np.generic, np.ndarray, list, tuple)))
    need(not isinstance(value, QTensor))
    try:
        made = np.asarray(value).astype(dtype)
        if isinstance(value, int):
            made = np.asarray(value, dtype)
    except (OverflowError, TypeError, ValueError) as error:
        raise NotLowered(str(error)) from None
    return to.constant(made)


def wire(to: Lowering, value: object, dtype: DType | None = FLOAT) -> int:
    """The number of an argument that must be a wire, of some dtype or of any that steps know."""
    if not isinstance(value, Ref):
        raise NotLowered(type(value).__name__)
    own = to.graph.fact(value).dtype
    need(str(own) in DTYPES if dtype is None else own == dtype, f"dtype {own}")
    return to.number(value)


def rank(to: Lowering, value: Ref) -> int:
    """How many axes a wire has."""
    return len(to.graph.fact(value).shape)


def arguments(node: Node, *names: str) -> Kwargs:
    """A call's arguments by name, None for those that were not given; none may have other names."""
    need(len(node.args) <= len(names))
    given = {**dict(zip(names, node.args, strict=False)), **node.kwargs}
    for name in [key for key in given if key not in names]:
        # What has NumPy's default changes nothing; its stubs leave out the mark of that.
        need(given.pop(name) in (None, np._NoValue))  # type: ignore[attr-defined]
    return {name: None if given.get(name) is np._NoValue else given.get(name) for name in names}  # type: ignore[attr-defined]


def axes(value: object) -> tuple[int, ...] | None:
    """Axes as numbers; None for all."""
    if value is None:
        return None
    found: list[int] = []
    for each in value if is_sequence(value) else (value,):
        if not is_whole(each) or isinstance(each, bool):
            raise NotLowered("axes")
        found.append(int(each))
    return tuple(found)


def axis(value: object, ndim: int) -> int:
    """One axis, counted from the first."""
    found = axes(value)
    need(found is not None and len(found) == 1)
    (one,) = cast("tuple[int, ...]", found)
    need(-ndim <= one < ndim, "axis")
    return one % ndim


def lengths(to: Lowering, value: object) -> tuple[Length, ...]:
    """Lengths as steps take them."""
    return tuple(to.length(n) for n in (value if is_sequence(value) else (value,)))


def shape_of(to: Lowering, value: Ref) -> tuple[Length, ...]:
    """The lengths of a wire as steps take them: those that it has when the program runs."""
    if value in to.fixed:
        return tuple(np.shape(to.fixed[value]))
    number = to.number(value)
    return tuple(("dim", number, a) for a in range(rank(to, value)))


def product(values: Iterable[Length]) -> Length:
    """The product of lengths."""
    factors = [n for n in values if n != 1]
    return functools.reduce(_times, factors) if factors else 1


def _times(a: Length, b: Length) -> Length:
    return ("mul", a, b)
