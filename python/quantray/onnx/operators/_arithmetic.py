"""Arithmetic, comparisons and logic of arrays that are broadcast to each other."""

# Arrays and stand-ins of them are of any dtype and shape: what NumPy's stubs make of them says nothing here.
# pyright: reportUnknownVariableType=false, reportUnknownMemberType=false, reportUnknownArgumentType=false

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import cast

import numpy as np

from quantray import graph
from quantray.graph._lengths import Length, greatest, least
from quantray.onnx._lengths import Dim, are_counted, as_array, extreme, is_lengths, plain, settled
from quantray.onnx.operators._registry import Array, ArrayFunction, Call, operator


def term(x: Array, other: Array) -> Array:
    """A constant of one element as a number, wherever it has no more axes than what it meets."""
    if type(x) is np.ndarray and x.size == 1 and x.dtype != object and x.ndim <= np.ndim(other):
        return x.item()
    return x


def terms(a: Array, b: Array) -> tuple[Array, Array]:
    """Two operands, of which one may be a number."""
    if type(a) is np.ndarray and type(b) is np.ndarray:
        return a, b
    return term(a, b), term(b, a)


#: What makes a decision of lengths.
_COMPARISONS = (np.equal, np.less, np.less_equal, np.greater, np.greater_equal)


def pair(function: ArrayFunction) -> Callable[[Call, Array, Array], Array]:
    """An operator of two operands, of lengths too."""

    def call(call: Call, a: Array, b: Array) -> Array:
        a, b = _with_axis(call, a, b)
        if is_lengths(a) or is_lengths(b):
            decides = function in _COMPARISONS and (are_counted(a) or are_counted(b))
            if decides or not (_is_known(a) and _is_known(b)):
                a, b = as_array(a), as_array(b)
            else:
                return settled(function(_objects(a), _objects(b)))
        return function(*terms(a, b))

    return call


def _is_known(x: Array) -> bool:
    return type(x) is np.ndarray


def _objects(x: Array) -> Array:
    """Integers beside lengths: Python's, so that lengths stay what they are."""
    if is_lengths(x):
        return x
    made = np.empty(x.shape, object)
    made.ravel()[...] = [plain(item) for item in x.ravel()]
    return made


def _with_axis(call: Call, a: Array, b: Array) -> tuple[Array, Array]:
    """Operands before opset 7, where `axis` says which axes of the first the second one has."""
    axis = call.get("axis")
    if axis is None or not call.get("broadcast"):
        return a, b
    after = np.ndim(a) - call.axis(axis, np.ndim(a)) - np.ndim(b)
    return a, np.reshape(b, (*np.shape(b), *(1,) * after))


def _divide(a: Array, b: Array) -> Array:
    """Integers are divided towards zero."""
    if _is_integer(a) and _is_integer(b):
        return graph.apply("onnx.divide_integers", a, b)
    return np.divide(a, b)


def _is_integer(x: Array) -> bool:
    if isinstance(x, (int, np.integer)):
        return True
    return not isinstance(x, float) and getattr(x, "dtype", np.dtype("f4")).kind in "iu"


def _divide_any(a: Array, b: Array) -> Array:
    if is_lengths(a) or is_lengths(b):
        return cast("Array", np.frompyfunc(_divide_lengths, 2, 1)(a, b))
    return _divide(a, b)


def _divide_lengths(a: Length | float, b: Length | float) -> Length | float:
    x, y = (item.value if type(item) is Length else item for item in (a, b))
    if isinstance(x, float) or isinstance(y, float):
        return a / b
    # Towards zero, and not downwards.
    return -(-a // b) if (x < 0) != (y < 0) else a // b


def _modulo(call: Call, a: Array, b: Array) -> Array:
    """The sign is the divisor's, as Python's; with `fmod` the dividend's, as C's."""
    return pair(np.fmod if call.get("fmod") else np.mod)(call, a, b)


for _name, _function in {
    "Add": np.add,
    "Sub": np.subtract,
    "Mul": np.multiply,
    "Div": _divide_any,
    "Equal": np.equal,
    "Less": np.less,
    "LessOrEqual": np.less_equal,
    "Greater": np.greater,
    "GreaterOrEqual": np.greater_equal,
    "And": np.logical_and,
    "Or": np.logical_or,
    "Xor": np.logical_xor,
}.items():
    operator(_name, takes_lengths=True)(pair(_function))
operator("Mod", takes_lengths=True)(_modulo)


@operator("Pow")
def _power(call: Call, a: Array, b: Array) -> Array:
    """The result has the base's dtype."""
    exponent = term(b, a)
    if isinstance(exponent, (int, float)):
        if exponent == 2:
            return np.multiply(a, a)
        if exponent == 0.5 and not _is_integer(a):
            return np.sqrt(a)
        exponent = int(exponent) if float(exponent).is_integer() else exponent
    elif exponent.dtype != a.dtype and not _is_integer(a):
        exponent = exponent.astype(a.dtype)
    found = np.power(a, exponent)
    return found if found.dtype == a.dtype else found.astype(a.dtype)


@operator("BitShift")
def _shift(call: Call, a: Array, b: Array) -> Array:
    return (np.left_shift if call.get("direction") == "LEFT" else np.right_shift)(a, b)


for _name, _function in {
    "BitwiseAnd": np.bitwise_and,
    "BitwiseOr": np.bitwise_or,
    "BitwiseXor": np.bitwise_xor,
}.items():
    operator(_name)(pair(_function))


def _many(function: ArrayFunction, of_lengths: ArrayFunction | None = None) -> ArrayFunction:
    def call(call: Call, *arrays: Array) -> Array:
        if any(map(is_lengths, arrays)) and not all(type(a) is np.ndarray for a in arrays):
            arrays = tuple(map(as_array, arrays))
        elif any(map(is_lengths, arrays)):
            return settled(functools.reduce(of_lengths or function, map(_objects, arrays)))
        if len(arrays) == 1:
            return arrays[0]
        return functools.reduce(lambda a, b: function(*terms(a, b)), arrays)

    return call


def _extremes(function: Callable[[Dim, Dim], Dim], decided: ArrayFunction) -> ArrayFunction:
    """Of lengths one by one: lengths themselves. Which of floats is the lesser one is a decision."""
    each = np.frompyfunc(lambda a, b: extreme(function, (a, b)), 2, 1)

    def call(a: Array, b: Array) -> Array:
        made = np.asarray(each(a, b), object)
        return decided(a, b) if any(item is None for item in made.ravel()) else made

    return call


operator("Sum")(_many(np.add))
operator("Max", takes_lengths=True)(_many(np.maximum, _extremes(greatest, np.maximum)))
operator("Min", takes_lengths=True)(_many(np.minimum, _extremes(least, np.minimum)))


@operator("Mean")
def _mean(call: Call, *arrays: Array) -> Array:
    return _many(np.add)(call, *arrays) / float(len(arrays))


@operator("Where", takes_lengths=True)
def _where(call: Call, condition: Array, a: Array, b: Array) -> Array:
    """Each element from the one or the other array."""
    known = all(type(x) is np.ndarray for x in (condition, a, b))
    if known and any(map(is_lengths, (a, b))):
        return settled(np.where(np.asarray(condition, np.bool_), _objects(a), _objects(b)))
    condition, a, b = as_array(condition), as_array(a), as_array(b)
    one, two = term(a, condition), term(b, condition)
    if isinstance(one, (bool, int, float)) and not isinstance(two, (bool, int, float)):
        a = a.dtype.type(one)
    if isinstance(two, (bool, int, float)) and not isinstance(one, (bool, int, float)):
        b = b.dtype.type(two)
    return np.where(condition, a, b)
