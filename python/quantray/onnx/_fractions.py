"""Lengths that a file has worked out in floats, as the integers that they are.

Images are padded to a whole number of strides by `ceil(n / 2.0)`, and frames counted by `n * 0.5`, in floats.
A length of integers is what everything else can be told in: steps of programs, nodes of files.
"""

from __future__ import annotations

import math
from typing import NamedTuple

from quantray.graph import Expr
from quantray.graph._lengths import Length, function_of

#: Numbers whose denominators are greater are no fractions that somebody has meant.
_GREATEST = 4096


class Fraction(NamedTuple):
    """A length of integers by a positive integer."""

    over: Expr | int
    under: int


def whole(item: Length | float) -> Length | float:
    """A number as an integer, where it is one: a length that a file has made a float is a length still."""
    if type(item) is not Length:
        return int(item) if type(item) is float and item.is_integer() else item
    found = _fraction(item.expr) if isinstance(item.value, float) else None
    return item if found is None or found.under != 1 else _length(int(item.value), found.over)


def truncated(item: Length | float) -> Length | int | None:
    """A number rounded towards 0; None where it is a length that no integers say."""
    if type(item) is not Length:
        return int(item)
    if isinstance(item.value, int):
        return item
    found = _fraction(item.expr)
    if found is None:
        return None
    over, under = found
    # What is rounded which way is decided by the sign, which the graph takes for granted.
    made = _op("floordiv", over, under) if item >= 0 else _op("neg", _op("floordiv", _op("neg", over), under))
    return _length(int(item.value), made)


def _length(value: int, expr: Expr | int) -> Length | int:
    return Length(value, expr) if isinstance(expr, Expr) else expr


def _fraction(expr: object) -> Fraction | None:
    """What an expression is, exactly; None where it is something else than integers and their quotients."""
    if isinstance(expr, (int, float)):
        if not math.isfinite(expr):
            return None
        over, under = expr.as_integer_ratio()
        return Fraction(over, under) if under <= _GREATEST else None
    if not isinstance(expr, Expr):
        return None
    if expr.op == "dim":
        return Fraction(expr, 1)
    args = [_fraction(arg) for arg in expr.args]
    if len(args) == 1:
        return _negative(expr.op, args[0])
    one, two = args
    if one is None or two is None:
        return None
    if expr.op in ("add", "sub", "min", "max"):
        sides = _op("mul", one.over, two.under), _op("mul", two.over, one.under)
        if one.under == two.under:
            return Fraction(_op(expr.op, one.over, two.over), one.under)
        return Fraction(_op(expr.op, *sides), one.under * two.under)
    if expr.op == "mul":
        return Fraction(_op("mul", one.over, two.over), one.under * two.under)
    return _quotient(expr.op, one, two)


def _negative(op: str, x: Fraction | None) -> Fraction | None:
    return Fraction(_op("neg", x.over), x.under) if op == "neg" and x is not None else None


def _quotient(op: str, one: Fraction, two: Fraction) -> Fraction | None:
    """What a division, or what is left of it, is."""
    if op == "mod":
        is_plain = one.under == two.under == 1
        return Fraction(_op("mod", one.over, two.over), 1) if is_plain else None
    if isinstance(two.over, Expr):
        is_plain = op == "floordiv" and one.under == two.under == 1
        return Fraction(_op("floordiv", one.over, two.over), 1) if is_plain else None
    if two.over <= 0:
        return None
    over, under = _op("mul", one.over, two.under), one.under * two.over
    if op == "truediv":
        return Fraction(over, under)
    return Fraction(_op("floordiv", over, under), 1) if op == "floordiv" else None


def _op(name: str, *args: Expr | int) -> Expr | int:
    """An operation of lengths, as short as it can be said."""
    numbers = [arg for arg in args if not isinstance(arg, Expr)]
    if len(numbers) == len(args):
        return int(function_of(name)(*numbers))
    if name == "mul" and 1 in numbers:
        return args[1] if args[0] == 1 else args[0]
    if name in ("floordiv", "sub", "add") and args[1] == (1 if name == "floordiv" else 0):
        return args[0]
    if name == "neg":
        return Expr("sub", (0, *args))
    return Expr(name, args)
