"""What steps take: wires, numbers and lengths as values of a program, all of one dtype."""

from __future__ import annotations

from typing import Any, cast

import numpy as np

from quantray._core import QTensor
from quantray.graph import Expr, Node, Ref
from quantray.graph._trees import is_sequence
from quantray.quantization._lowering import DTYPES, Lowering, NotLowered

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


def made_dtype(node: Node) -> Any:
    """The dtype of what a node makes, which steps must know."""
    dtype = node.facts[0].dtype
    need(str(dtype) in DTYPES, f"dtype {dtype}")
    return dtype


def dtype_of(to: Lowering, value: Any) -> Any:
    """The dtype of an argument; numbers of Python are as NumPy counts them: they follow the arrays."""
    if isinstance(value, Ref):
        return to.graph.fact(value).dtype
    if isinstance(value, Expr):
        return 0.0 if value.op == "truediv" else 0
    need(isinstance(value, (bool, int, float, np.generic, np.ndarray)))
    return cast("Any", value).dtype if isinstance(value, (np.generic, np.ndarray)) else value


def common(to: Lowering, values: Any) -> Any:
    """The dtype that NumPy computes with, which steps must know."""
    dtype = np.result_type(*(dtype_of(to, value) for value in values))
    need(str(dtype) in DTYPES, f"dtype {dtype}")
    return dtype


def typed(to: Lowering, value: Any, dtype: Any, node: Node) -> int:
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


def constant(to: Lowering, value: Any, dtype: Any) -> int:
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


def wire(to: Lowering, value: Any, dtype: Any = FLOAT) -> int:
    """The number of an argument that must be a wire, of some dtype or of any that steps know."""
    need(isinstance(value, Ref))
    own = to.graph.fact(value).dtype
    need(str(own) in DTYPES if dtype is None else own == dtype, f"dtype {own}")
    return to.number(value)


def rank(to: Lowering, value: Ref) -> int:
    """How many axes a wire has."""
    return len(to.graph.fact(value).shape)


def arguments(node: Node, *names: str) -> dict[str, Any]:
    """A call's arguments by name, None for those that were not given; none may have other names."""
    need(len(node.args) <= len(names))
    given = {**dict(zip(names, node.args, strict=False)), **node.kwargs}
    for name in [key for key in given if key not in names]:
        # What has NumPy's default changes nothing.
        need(given.pop(name) in (None, np._NoValue))  # type: ignore[attr-defined]
    return {name: None if given.get(name) is np._NoValue else given.get(name) for name in names}  # type: ignore[attr-defined]


def axes(value: Any) -> tuple[int, ...] | None:
    """Axes as numbers; None for all."""
    if value is None:
        return None
    given: Any = tuple(value) if is_sequence(value) else (value,)
    need(all(isinstance(a, (int, np.integer)) and not isinstance(a, bool) for a in given))
    return tuple(int(a) for a in given)


def axis(value: Any, ndim: int) -> int:
    """One axis, counted from the first."""
    found = axes(value)
    need(found is not None and len(found) == 1)
    (one,) = cast("tuple[int, ...]", found)
    need(-ndim <= one < ndim, "axis")
    return one % ndim


def lengths(to: Lowering, value: Any) -> tuple[Any, ...]:
    """Lengths as steps take them."""
    given: Any = tuple(value) if is_sequence(value) else (value,)
    return tuple(to.length(n) for n in given)


def shape_of(to: Lowering, value: Ref) -> tuple[Any, ...]:
    """The lengths of a wire as steps take them: those that it has when the program runs."""
    if value in to.fixed:
        return tuple(np.shape(to.fixed[value]))
    number = to.number(value)
    return tuple(("dim", number, a) for a in range(rank(to, value)))


def product(values: Any) -> Any:
    """The product of lengths."""
    made: Any = 1
    for n in values:
        made = n if made == 1 else ("mul", made, n)
    return made
