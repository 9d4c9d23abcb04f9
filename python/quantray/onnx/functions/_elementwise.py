"""Functions of single elements."""

# Arrays are of any dtype and shape: what NumPy's stubs make of them says nothing here.
# pyright: reportUnknownVariableType=false, reportUnknownMemberType=false, reportUnknownArgumentType=false

from __future__ import annotations

import math

import numpy as np

from quantray._typing import Array


def divide_integers(a: Array, b: Array | int) -> Array:
    """Quotients of integers, towards zero, as C divides.

    >>> divide_integers(np.array([7, -7]), np.array([2, 2]))
    array([ 3, -3])
    """
    quotient = np.floor_divide(a, b)
    if np.asarray(quotient).dtype.kind == "u":
        return quotient
    return quotient + ((np.multiply(quotient, b) != a) & ((np.asarray(a) < 0) != (np.asarray(b) < 0)))


def erf(x: Array) -> Array:
    """The error function, of float32.

    >>> erf(np.array([0.0, 1.0], np.float32))
    array([0.       , 0.8427008], dtype=float32)
    """
    return np.asarray(np.frompyfunc(math.erf, 1, 1)(x), np.float32)
