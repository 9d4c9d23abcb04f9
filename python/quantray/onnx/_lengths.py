"""Arithmetic of shapes: what a file does with lengths in arrays of integers.

While a model is captured, the lengths of its arrays are objects that remember where they come from. An array
of them is NumPy's, of objects: NumPy moves and computes with them as with integers. Where lengths have to
meet arrays that are not known yet, they become a node of the graph.
"""

# Attributes and values are trees of whatever a file holds: their leaves have no type that could be said.
# pyright: reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

from typing import Any, cast

import numpy as np

from quantray import graph
from quantray.graph._lengths import Length
from quantray.graph._values import Value

Array = Any


def shape_of(x: Array) -> Array:
    """The lengths of an array: integers, or, while a model is captured, objects that stand for them."""
    if type(x) is not Value:
        return np.array(np.shape(x), np.int64)
    return of_lengths(x.shape)


def fixed_shape(weight: Array) -> tuple[int, ...]:
    """The shape of a weight: numbers, since nothing that a model is called with changes them."""
    return tuple(np.shape(weight._example if type(weight) is Value else weight))


def of_lengths(lengths: Any) -> Array:
    """An array of lengths: of integers, where there is none that is not known."""
    given = list(lengths)
    if not any(type(length) is Length for length in given):
        return np.array(given, np.int64)
    made = np.empty(len(given), object)
    for i, length in enumerate(given):
        made[i] = length
    return made


def of_objects(x: Array) -> Array:
    """One length, which NumPy has taken out of an array of objects, as an array of no axes."""
    if type(x) is not Length:
        return x
    made = np.empty((), object)
    made[()] = x
    return made


def is_lengths(x: Array) -> bool:
    """Whether it is an array of lengths that are not known yet."""
    return type(x) is np.ndarray and x.dtype == object


def settled(x: Array) -> Array:
    """An array of lengths as the integers that they are, where all of them are known."""
    x = of_objects(x)
    if not is_lengths(x) or any(type(item) is Length for item in x.ravel()):
        return x
    values = [plain(item) for item in x.ravel()]
    dtype: Any = np.bool_ if values and all(type(v) is bool for v in values) else None
    dtype = dtype or (np.float32 if any(isinstance(v, float) for v in values) else np.int64)
    return np.array(values, dtype).reshape(x.shape)


def plain(item: object) -> Any:
    """NumPy's scalars as Python's."""
    return item.item() if isinstance(item, np.generic) else item


def whole(item: Any) -> Any:
    """A number as an integer, where it is one: a length that a file has made a float is a length still."""
    if type(item) is Length and item.expr.op == "mul" and item.expr.args[1:] == (1.0,):
        inner = item.expr.args[0]
        return Length(int(item.value), inner) if float(item.value).is_integer() else item
    return int(item) if type(item) is float and item.is_integer() else item


def as_array(x: Array) -> Array:
    """Lengths as an array that can meet others: a node of the graph, where they are not known yet."""
    if not is_lengths(x):
        return x
    known = settled(x)
    if known is not x:
        return known
    return graph.apply("array.lengths", tuple(x.ravel()), tuple(x.shape))


def integers(x: Array, what: str) -> tuple[Any, ...]:
    """The integers in an array: numbers, or lengths.

    Raises
    ------
    ValueError
        They are values that are not known when a graph is made.
    """
    if isinstance(x, (int, np.integer)):
        return (int(cast("Any", x)),)
    if is_lengths(x):
        return tuple(plain(item) for item in x.ravel())
    return tuple(int(item) for item in x.reshape(-1).tolist())


def integer(x: Array, what: str) -> Any:
    """The one integer in an array."""
    (found,) = integers(x, what)
    return found
