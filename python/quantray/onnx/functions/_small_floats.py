"""Rounding to floats of eight and four bits, which arrays of float32 hold."""

# Arrays are of any dtype and shape: what NumPy's stubs make of them says nothing here.
# pyright: reportUnknownVariableType=false, reportUnknownMemberType=false, reportUnknownArgumentType=false

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from quantray._typing import Array


class _Format(NamedTuple):
    """Bits of the mantissa, the least exponent of normal numbers, the largest number, what is beyond it."""

    mantissa: int
    exponent: int
    largest: float
    beyond: float
    negative_zero: bool


_FORMATS = {
    "float8e4m3fn": _Format(3, -6, 448.0, np.nan, True),
    "float8e4m3fnuz": _Format(3, -7, 240.0, np.nan, False),
    "float8e5m2": _Format(2, -14, 57344.0, np.inf, True),
    "float8e5m2fnuz": _Format(2, -15, 57344.0, np.nan, False),
    "float4e2m1": _Format(1, 0, 6.0, 6.0, True),
}


def is_small(name: str) -> bool:
    """Whether a type is one of them."""
    return name in _FORMATS or name == "float8e8m0"


def to_small(x: Array, name: str, saturate: bool = True, round_mode: str = "up") -> Array:
    """The nearest numbers of a type, half to even.

    Parameters
    ----------
    x : array
    name : str
        "float8e4m3fn", "float8e4m3fnuz", "float8e5m2", "float8e5m2fnuz", "float4e2m1" or "float8e8m0".
    saturate : bool
        Whether numbers beyond the largest one become that, and not infinite or NaN.
    round_mode : str
        Of float8e8m0, whose numbers are powers of two: "up", "down" or "nearest".

    >>> to_small(np.array([1.06, 500.0], np.float32), "float8e4m3fn")
    array([  1., 448.], dtype=float32)

    Source: the ONNX operator Cast.
    """
    x = np.asarray(x, np.float32)
    if name == "float8e8m0":
        return _to_powers(x, saturate, round_mode)
    kind = _FORMATS[name]
    wide = x.astype(np.float64)
    with np.errstate(all="ignore"):
        _, exponent = np.frexp(wide)
        step = np.ldexp(1.0, np.maximum(exponent - 1, kind.exponent) - kind.mantissa)
        made = np.rint(wide / step) * step
    over = np.abs(made) > kind.largest
    if saturate or kind.beyond == kind.largest:
        beyond = np.copysign(kind.largest, wide)
    else:
        beyond = np.copysign(kind.beyond, wide)
    made = np.where(over, beyond, made)
    if not saturate and np.isnan(kind.beyond):
        made = np.where(np.isinf(wide), np.nan, made)
    if not kind.negative_zero:
        made = made + 0.0
    return made.astype(np.float32)


def _to_powers(x: Array, saturate: bool, round_mode: str) -> Array:
    wide = np.abs(x.astype(np.float64))
    with np.errstate(all="ignore"):
        part, exponent = np.frexp(wide)
        # wide = (2 part) 2 ** (exponent - 1), with 2 part from 1 to 2.
        low = exponent - 1
        if round_mode == "down":
            power = low
        elif round_mode == "up":
            power = np.where(part > 0.5, low + 1, low)
        else:
            power = np.where(part >= 0.75, low + 1, low)
        power = np.where(wide == 0, -127, power)
        bounded = np.clip(power, -127, 127)
        made = np.ldexp(1.0, bounded)
        beyond = (power > 127) | np.isinf(wide)
    made = np.where(beyond, np.ldexp(1.0, 127) if saturate else np.nan, made)
    return np.where(np.isnan(x), np.nan, made).astype(np.float32)


_BITS = {"int4": 4, "uint4": 4, "int2": 2, "uint2": 2}


def to_few_bits(x: Array, name: str) -> Array:
    """Numbers as integers of four or two bits, in a dtype of eight: of cut integers the low bits stay.

    Source: the ONNX operator Cast.
    """
    bits = _BITS[name]
    whole = (
        np.trunc(x).astype(np.int64) if np.asarray(x).dtype.kind == "f" else np.asarray(x).astype(np.int64)
    )
    low = whole & ((1 << bits) - 1)
    if name.startswith("u"):
        return low.astype(np.uint8)
    return np.where(low >= 1 << (bits - 1), low - (1 << bits), low).astype(np.int8)
