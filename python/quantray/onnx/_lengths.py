"""Arithmetic of shapes: what a file does with lengths in arrays of integers.

While a model is captured, the lengths of its arrays are objects that remember where they come from. An array
of them is NumPy's, of objects: NumPy moves and computes with them as with integers. Where lengths have to
meet arrays that are not known yet, they become a node of the graph.
"""

# Attributes and values are trees of whatever a file holds: their leaves have no type that could be said.
# pyright: reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Sequence
from typing import SupportsInt, TypeAlias, TypeGuard, TypeVar, cast

import numpy as np

from quantray import graph
from quantray._typing import Array as Array
from quantray.graph._lengths import Length
from quantray.graph._lengths import is_length as is_length
from quantray.graph._tracer import Tracer
from quantray.graph._values import Value
from quantray.nn._tracing import state


def _stand_in(x: object) -> Value | None:
    """What stands for an array while a model is captured."""
    return x if type(x) is Value else None


def shape_of(x: Array) -> Array:
    """The lengths of an array: integers, or, while a model is captured, objects that stand for them."""
    value = _stand_in(x)
    return np.array(np.shape(x), np.int64) if value is None else of_lengths(value.shape)


def fixed_shape(weight: Array) -> tuple[int, ...]:
    """The shape of a weight: numbers, since nothing that a model is called with changes them."""
    value = _stand_in(weight)
    return tuple(np.shape(weight if value is None else value._example))


#: A length, as a number or as what stands for it.
Dim: TypeAlias = Length | int

T = TypeVar("T")


def seen(item: int) -> int:
    """The number that a length is in this run, without a guard: what holds for other ones, too."""
    length = cast("object", item)
    return cast("int", length.value) if type(length) is Length else item


def are_same(a: object, b: object) -> bool:
    """Whether two lengths are the same one that is not known yet."""
    return type(a) is Length and type(b) is Length and a.expr == b.expr


def of_lengths(lengths: Iterable[Dim], shape: Sequence[int] = (-1,)) -> Array:
    """An array of lengths: of integers, where there is none that is not known."""
    given = list(lengths)
    if not any(map(is_length, given)):
        return np.array(cast("list[int]", given), np.int64).reshape(shape)
    made = np.empty(len(given), object)
    for i, length in enumerate(given):
        made[i] = length
    return made.reshape(shape)


def of_objects(x: T) -> T:
    """One length, or number, that NumPy has taken out of an array of objects, as an array of no axes."""
    if type(x) not in (Length, int, float, bool):
        return x
    made = np.empty((), object)
    made[()] = x
    # NumPy says that it has given an array.
    return cast("T", made)


def is_lengths(x: object) -> TypeGuard[Array]:
    """Whether it is an array of lengths that are not known yet."""
    return type(x) is np.ndarray and x.dtype == object


def settled(x: Array) -> Array:
    """An array of lengths as the integers that they are, where all of them are known."""
    x = of_objects(x)
    if not is_lengths(x) or any(map(is_length, x.ravel())):
        return x
    values = [plain(item) for item in x.ravel()]
    dtype: type[np.generic] = np.float32 if any(isinstance(v, float) for v in values) else np.int64
    if values and all(type(v) is bool for v in values):
        dtype = np.bool_
    return np.array(values, dtype).reshape(x.shape)


def plain(item: T) -> T:
    """NumPy's scalars as Python's."""
    return cast("T", item.item()) if isinstance(item, np.generic) else item


def as_array(x: Array) -> Array:
    """Lengths as an array that can meet others: a node of the graph, where they are not known yet."""
    if not is_lengths(x):
        return x
    known = settled(x)
    if known is not x:
        return known
    return graph.apply("array.lengths", tuple(x.ravel()), tuple(x.shape))


def integers(x: Array | SupportsInt, what: str) -> tuple[int, ...]:
    """The integers in an array: numbers, or lengths.

    Raises
    ------
    ValueError
        They are values that are not known when a graph is made.
    """
    if isinstance(x, (int, np.integer)):
        return (int(x),)
    if is_lengths(x):
        # Lengths answer for integers.
        return tuple(plain(item) for item in cast("Iterable[int]", x.ravel()))
    return tuple(int(item) for item in cast("Array", x).reshape(-1).tolist())


def are_counted(x: Array) -> bool:
    """Whether there are lengths among some that calls find out one by one: nothing can be decided by them."""
    tracer = state.tracer
    items = x.ravel() if is_lengths(x) else ()
    return isinstance(tracer, Tracer) and any(
        tracer.counted.is_in(item.expr) for item in items if type(item) is Length
    )


def extreme(function: Callable[[Dim, Dim], Dim], items: Iterable[Dim]) -> Dim | None:
    """The least, or the greatest, of lengths; None where there are floats, or none at all."""
    given = [plain(item) for item in items]
    if not given or any(not isinstance(item, int) for item in given):
        return None
    return functools.reduce(function, given)


def integer(x: Array | SupportsInt, what: str) -> int:
    """The one integer in an array."""
    (found,) = integers(x, what)
    return found
