"""Lengths that a forward reads from stand-ins: numbers that remember where they come from.

A length is no subclass of int: C code would read such a one without being seen. Whatever needs the number
itself (`range`, `np.zeros`) asks for it by `__index__`, and that is noted as a guard.
"""

# Trees of whatever a model takes and gives: their leaves have no type that could be said.
# pyright: reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportUnknownMemberType=false, reportUnknownLambdaType=false

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, SupportsIndex, cast

import numpy as np

from quantray.graph._graph import Expr
from quantray.nn._tracing import state

if TYPE_CHECKING:
    from quantray.graph._tracer import Tracer

#: Operators of numbers that lengths keep track of.
_ARITHMETIC = ("add", "sub", "mul", "floordiv", "mod", "truediv", "pow")
_COMPARE = ("eq", "ne", "lt", "le", "gt", "ge")


def _tracer() -> Tracer | None:
    from quantray.graph._tracer import Tracer

    tracer = state.tracer
    return tracer if isinstance(tracer, Tracer) else None


class Length:
    """A length of a stand-in, or what is worked out from lengths."""

    __slots__ = ("expr", "value")

    def __init__(self, value: int | float, expr: Expr) -> None:
        self.value, self.expr = value, expr

    # What says that it is a number keeps `isinstance(n, int)` true.
    @property
    def __class__(self) -> type:  # type: ignore[override]
        return type(self.value)

    def _number(self) -> None:
        """Somebody needs the number: the graph holds for this one alone."""
        tracer = _tracer()
        if tracer is not None:
            tracer.guard(self.expr, self.value, needs_number=True)

    def __index__(self) -> int:
        if isinstance(self.value, float):
            raise TypeError("a float cannot be an index")
        self._number()
        return self.value

    def __int__(self) -> int:
        self._number()
        return int(self.value)

    def __float__(self) -> float:
        self._number()
        return float(self.value)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Any:
        self._number()
        return np.array(self.value, dtype)

    def __array_ufunc__(self, ufunc: Any, method: str, *args: Any, **kwargs: Any) -> Any:
        tracer = _tracer()
        if tracer is None:
            plain = [arg.value if type(arg) is Length else arg for arg in args]
            return getattr(ufunc, method)(*plain, **kwargs)
        return tracer.call_ufunc(ufunc, method, args, kwargs)

    def __hash__(self) -> int:
        # What is looked up by it is another thing for another number.
        tracer = _tracer()
        if tracer is not None:
            tracer.guard(Expr("eq", (self.expr, self.value)), True, needs_number=False)
        return hash(self.value)

    def __bool__(self) -> bool:
        return bool(self.__ne__(0))

    def __repr__(self) -> str:
        return repr(self.value)

    def __format__(self, spec: str) -> str:
        return format(self.value, spec)

    def __neg__(self) -> Any:
        zero: Any = 0
        return zero - self

    def __round__(self, ndigits: int | None = None) -> Any:
        self._number()
        return round(self.value, ndigits)

    def __ceil__(self) -> int:
        return -(-self.value // 1) if isinstance(self.value, int) else self._ceiled()

    def _ceiled(self) -> int:
        import math

        self._number()
        return math.ceil(self.value)

    def __reduce__(self) -> Any:
        self._number()
        return (type(self.value), (self.value,))


def _plain(value: Any) -> Any:
    return value.value if type(value) is Length else value


def _expr(value: Any) -> Any:
    return value.expr if type(value) is Length else value


def _arithmetic(name: str, swapped: bool) -> Callable[[Any, Any], Any]:
    function = getattr(operator, name)

    def method(self: Length, other: Any) -> Any:
        if not (type(other) is Length or isinstance(other, (bool, int, float, np.integer))):
            return NotImplemented
        other = int(cast("Any", other)) if isinstance(other, np.integer) else other
        if name == "mul" and type(other) is int and other in (0, 1):
            # None of a length is no length, and all of it is the same one.
            return other and self
        left, right = (other, self) if swapped else (self, other)
        value = function(_plain(left), _plain(right))
        return Length(value, Expr(name, (_expr(left), _expr(right))))

    return method


def _comparison(name: str) -> Callable[[Any, Any], Any]:
    function = getattr(operator, name)

    def method(self: Length, other: Any) -> Any:
        if not (type(other) is Length or isinstance(other, (int, float, np.integer))):
            return NotImplemented
        outcome = function(self.value, _plain(other))
        tracer = _tracer()
        if tracer is not None:
            tracer.guard(Expr(name, (self.expr, _expr(other))), outcome, needs_number=False)
        return outcome

    return method


for _name in _ARITHMETIC:
    setattr(Length, f"__{_name}__", _arithmetic(_name, False))
    setattr(Length, f"__r{_name}__", _arithmetic(_name, True))
for _name in _COMPARE:
    setattr(Length, f"__{_name}__", _comparison(_name))


class Shape(tuple[Any, ...]):
    """Lengths of a stand-in; NumPy asks it before it makes numbers of them, so that `np.prod(x.shape)` is
    one.
    """

    __slots__ = ()

    def __getitem__(self, index: Any) -> Any:
        found: Any = super().__getitem__(index)
        return Shape(found) if isinstance(index, slice) else found

    def __add__(self, other: Any) -> Any:
        return Shape((*self, *other))

    def __radd__(self, other: Any) -> Any:
        return Shape((*other, *self))

    def __array_function__(self, function: Any, types: Any, args: Any, kwargs: Any) -> Any:
        if function is np.prod and len(args) == 1 and not kwargs:
            product: Any = 1
            for length in args[0]:
                product = length * product
            return product
        plain = [tuple(arg) if isinstance(arg, Shape) else arg for arg in args]
        return function(*plain, **{k: tuple(v) if isinstance(v, Shape) else v for k, v in kwargs.items()})


def evaluate(expr: Any, shape_of: Callable[[Any], Iterable[SupportsIndex]]) -> Any:
    """The number that a length is, from what the wires' shapes are."""
    if not isinstance(expr, Expr):
        return expr
    if expr.op == "dim":
        return tuple(shape_of(expr.args[0]))[expr.args[1]]
    return getattr(operator, expr.op)(*(evaluate(arg, shape_of) for arg in expr.args))


def named(length: int | str, lengths: Mapping[str, int]) -> int | str:
    """A length of a `Fact`, written in names of others ("2*n", "n/2", "n-3"), as a number if it can be.

    >>> from quantray.graph._lengths import named
    >>> [named(length, {"n": 7}) for length in (3, "n", "2*n", "n/2", "n-3", "m")]
    [3, 7, 14, 4, 4, 'm']
    """
    if isinstance(length, int):
        return length
    factors, divided, divisor = length.partition("/")
    product = 1
    for factor in factors.split("*"):
        found = re.fullmatch(r"(\w+)([+-]\d+)?", factor)
        if found is None:
            return length
        name, more = found.groups()
        value = int(name) if name.isdigit() else lengths.get(name)
        if value is None:
            return length
        product *= value + int(more or 0)
    # Halves are rounded up, as strides of convolutions with padding do.
    return -(-product // int(divisor)) if divided else product
