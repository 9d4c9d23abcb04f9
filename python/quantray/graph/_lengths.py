"""Lengths that a forward reads from stand-ins: numbers that remember where they come from.

A length is no subclass of int: C code would read such a one without being seen. Whatever needs the number
itself (`range`, `np.zeros`) asks for it by `__index__`, and that is noted as a guard.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, SupportsIndex, TypeAlias, cast, overload

import numpy as np

from quantray.graph._graph import Expr, Ref
from quantray.nn._tracing import state

if TYPE_CHECKING:
    from quantray._typing import Array, DType
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

    if TYPE_CHECKING:
        # Set below, from tables of names.
        def __add__(self, other: Operand, /) -> Length: ...
        def __radd__(self, other: Operand, /) -> Length: ...
        def __sub__(self, other: Operand, /) -> Length: ...
        def __rsub__(self, other: Operand, /) -> Length: ...
        def __mul__(self, other: Operand, /) -> Length | int: ...
        def __rmul__(self, other: Operand, /) -> Length | int: ...
        def __floordiv__(self, other: Operand, /) -> Length: ...
        def __rfloordiv__(self, other: Operand, /) -> Length: ...
        def __truediv__(self, other: Operand, /) -> Length: ...
        def __rtruediv__(self, other: Operand, /) -> Length: ...
        def __lt__(self, other: Operand, /) -> bool: ...
        def __le__(self, other: Operand, /) -> bool: ...
        def __gt__(self, other: Operand, /) -> bool: ...
        def __ge__(self, other: Operand, /) -> bool: ...

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

    def __array__(self, dtype: DType | None = None, copy: bool | None = None) -> Array:
        self._number()
        return np.array(self.value, dtype)

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *args: object, **kwargs: object) -> object:
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

    def __neg__(self) -> Length:
        return 0 - self

    def __round__(self, ndigits: int | None = None) -> int | float:
        self._number()
        return round(self.value, ndigits)

    def __ceil__(self) -> int:
        return -(-self.value // 1) if isinstance(self.value, int) else self._ceiled()

    def _ceiled(self) -> int:
        import math

        self._number()
        return math.ceil(self.value)

    def __reduce__(self) -> tuple[type[float], tuple[float]]:
        self._number()
        return (type(self.value), (self.value,))


#: What a length is computed with, and compared to.
Operand: TypeAlias = Length | int | float | np.integer


def _plain(value: object) -> object:
    return value.value if type(value) is Length else value


def _expr(value: object) -> object:
    return value.expr if type(value) is Length else value


def _arithmetic(name: str, swapped: bool) -> Callable[[Length, object], object]:
    function: Callable[[object, object], float] = getattr(operator, name)

    def method(self: Length, other: object) -> object:
        if not (type(other) is Length or isinstance(other, (bool, int, float, np.integer))):
            return NotImplemented
        operand: object = int(cast("int", other)) if isinstance(other, np.integer) else other
        if name == "mul" and type(operand) is int and operand in (0, 1):
            # None of a length is no length, and all of it is the same one.
            return operand and self
        left, right = (operand, self) if swapped else (self, operand)
        value = function(_plain(left), _plain(right))
        return Length(value, Expr(name, (_expr(left), _expr(right))))

    return method


def _comparison(name: str) -> Callable[[Length, object], bool]:
    function: Callable[[object, object], bool] = getattr(operator, name)

    def method(self: Length, other: object) -> bool:
        if not (type(other) is Length or isinstance(other, (int, float, np.integer))):
            return NotImplemented
        operand = cast("object", other)
        outcome = function(self.value, _plain(operand))
        tracer = _tracer()
        if tracer is not None:
            tracer.guard(Expr(name, (self.expr, _expr(operand))), outcome, needs_number=False)
        return outcome

    return method


for _name in _ARITHMETIC:
    setattr(Length, f"__{_name}__", _arithmetic(_name, False))
    setattr(Length, f"__r{_name}__", _arithmetic(_name, True))
for _name in _COMPARE:
    setattr(Length, f"__{_name}__", _comparison(_name))


class Shape(tuple["Length | int", ...]):
    """Lengths of a stand-in; NumPy asks it before it makes numbers of them, so that `np.prod(x.shape)` is
    one.
    """

    __slots__ = ()

    @overload
    def __getitem__(self, index: SupportsIndex) -> Length | int: ...
    @overload
    def __getitem__(self, index: slice) -> Shape: ...
    def __getitem__(self, index: SupportsIndex | slice) -> Length | int | Shape:
        found = super().__getitem__(index)
        return Shape(found) if isinstance(found, tuple) else found

    def __add__(self, other: tuple[Length | int, ...]) -> Shape:  # type: ignore[override] # no other tuples
        return Shape((*self, *other))

    def __radd__(self, other: tuple[Length | int, ...]) -> Shape:
        return Shape((*other, *self))

    def __array_function__(
        self,
        function: Callable[..., object],
        types: Iterable[type],
        args: tuple[object, ...],
        kwargs: Mapping[str, object],
    ) -> object:
        if function is np.prod and len(args) == 1 and not kwargs:
            return product(cast("Iterable[Length | int]", args[0]))
        plain = [tuple(arg) if isinstance(arg, Shape) else arg for arg in args]
        return function(*plain, **{k: tuple(v) if isinstance(v, Shape) else v for k, v in kwargs.items()})


def is_length(item: object) -> bool:
    """Whether a length is one that is not known yet; it answers for an integer."""
    return type(item) is Length


def least(a: Length | int, b: Length | int) -> Length | int:
    """The lesser of two lengths: not a decision, but a length itself."""
    return _extreme("min", a, b)


def greatest(a: Length | int, b: Length | int) -> Length | int:
    """The greater of two lengths."""
    return _extreme("max", a, b)


def _extreme(name: str, a: Length | int, b: Length | int) -> Length | int:
    one, two = _plain(a), _plain(b)
    if (type(a) is not Length and type(b) is not Length) or _expr(a) == _expr(b):
        return cast("int", _EXTREMES[name](one, two)) if type(a) is not Length else a
    return Length(cast("int", _EXTREMES[name](one, two)), Expr(name, (_expr(a), _expr(b))))


#: What lengths are worked out with that `operator` has no name for.
_EXTREMES: Mapping[str, Callable[..., Any]] = {"min": min, "max": max}


def function_of(op: str) -> Callable[..., Any]:
    """What lengths are worked out by."""
    return _EXTREMES.get(op) or getattr(operator, op)


def product(lengths: Iterable[Length | int]) -> Length | int:
    """All lengths multiplied."""
    made: Length | int = 1
    for length in lengths:
        made = length * made
    return made


def evaluate(expr: object, shape_of: Callable[[Ref], Iterable[SupportsIndex | str]]) -> object:
    """The number that a length is, from what the wires' shapes are."""
    if not isinstance(expr, Expr):
        return expr
    if expr.op == "dim":
        ref, axis = cast("tuple[Ref, int]", expr.args)
        return tuple(shape_of(ref))[axis]
    return function_of(expr.op)(*(evaluate(arg, shape_of) for arg in expr.args))


def is_always_so(subject: object) -> bool:
    """Whether a comparison is one of a length with itself, or asks whether it is negative."""
    if not isinstance(subject, Expr) or len(subject.args) != 2 or subject.op == "dim":
        return False
    first, second = subject.args
    if first == second:
        return True
    if isinstance(second, Expr) or not _is_count(first):
        return False
    return second < 0 or (second == 0 and subject.op in ("lt", "ge"))


def _is_count(expr: object) -> bool:
    """Whether it is no negative number: a length, or what is made of lengths without taking away."""
    if not isinstance(expr, Expr):
        return isinstance(expr, (int, float)) and expr >= 0
    made_of = ("add", "mul", "floordiv", "min", "max")
    return expr.op == "dim" or (expr.op in made_of and all(map(_is_count, expr.args)))


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
