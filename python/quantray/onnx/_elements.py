"""Elements of types that NumPy lacks: from packed bytes to arrays, and back."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cache
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from quantray._typing import Array

#: Types that NumPy has too, by the names that both give them.
PLAIN = frozenset(
    {f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)}
    | {"float16", "float32", "float64", "bool", "complex64", "complex128"}
)
#: Integers that share bytes: how many bits, whether signed.
SMALL_INTEGERS = {"int4": (4, True), "uint4": (4, False), "int2": (2, True), "uint2": (2, False)}


class _Float(NamedTuple):
    """The bits of a small float: 1 sign bit (but for float8e8m0), exponent, mantissa.

    What the largest codes mean differs: "ieee" as in float16; "fn" only all ones is NaN; "fnuz" no negative
    zero, whose code is NaN; "finite" neither infinity nor NaN.
    """

    bits: int
    exponent: int
    mantissa: int
    bias: int
    special: str


SMALL_FLOATS = {
    "float8e4m3fn": _Float(8, 4, 3, 7, "fn"),
    "float8e4m3fnuz": _Float(8, 4, 3, 8, "fnuz"),
    "float8e5m2": _Float(8, 5, 2, 15, "ieee"),
    "float8e5m2fnuz": _Float(8, 5, 2, 16, "fnuz"),
    "float8e8m0": _Float(8, 8, 0, 127, "scale"),
    "float6e2m3": _Float(6, 2, 3, 1, "finite"),
    "float6e3m2": _Float(6, 3, 2, 3, "finite"),
    "float4e2m1": _Float(4, 2, 1, 1, "finite"),
}

#: All that a tensor can be made of.
DTYPES = (*sorted(PLAIN), "bfloat16", *SMALL_FLOATS, *SMALL_INTEGERS, "string")


@cache
def values_of(dtype: str) -> Array:
    """The float32 value of each code of a small float (OCP's MX and 8-bit formats; onnx's `float8` page)."""
    f = SMALL_FLOATS[dtype]
    codes: npt.NDArray[np.int64] = np.arange(1 << f.bits)
    if f.special == "scale":
        scales = np.ldexp(np.ones(256), codes - f.bias)
        scales[255] = np.nan
        return scales.astype(np.float32)
    mantissa = codes & ((1 << f.mantissa) - 1)
    exponent = codes >> f.mantissa & ((1 << f.exponent) - 1)
    sign = np.where(codes >> (f.bits - 1), -1.0, 1.0)
    normal = exponent > 0
    fraction = normal + mantissa / (1 << f.mantissa)
    found = sign * np.ldexp(fraction, np.where(normal, exponent, 1) - f.bias)
    top = exponent == (1 << f.exponent) - 1
    if f.special == "ieee":
        found[top] = np.where(mantissa[top] == 0, sign[top] * np.inf, np.nan)
    elif f.special == "fn":
        found[top & (mantissa == (1 << f.mantissa) - 1)] = np.nan
    elif f.special == "fnuz":
        found[2 ** (f.bits - 1)] = np.nan
    made = found.astype(np.float32)
    made.flags.writeable = False
    return made


def bits_of(dtype: str) -> int:
    """How many bits an element takes."""
    if dtype in PLAIN:
        return np.dtype(dtype).itemsize * 8
    if dtype in SMALL_INTEGERS:
        return SMALL_INTEGERS[dtype][0]
    return 16 if dtype == "bfloat16" else SMALL_FLOATS[dtype].bits


def _codes(raw: Array, bits: int, count: int) -> Array:
    """Codes of less than 8 bits, each in a byte of its own: the first stands in the lowest bits."""
    if bits == 8:
        return raw
    if bits == 6:
        lists = np.unpackbits(raw, bitorder="little")[: count * 6].reshape(count, 6)
        return np.packbits(lists, axis=1, bitorder="little").reshape(count)
    shifts = np.arange(0, 8, bits, dtype=np.uint8)
    return ((raw[:, None] >> shifts) & np.uint8(2**bits - 1)).reshape(-1)[:count]


def unpacked(raw: Array, dtype: str, shape: Sequence[int]) -> Array:
    """The array of a tensor's bytes: a view where that is possible."""
    count = math.prod(shape)
    if dtype in PLAIN:
        plain = raw.view(np.dtype(dtype).newbyteorder("<"))
        return (plain if plain.flags.aligned else plain.copy()).reshape(shape)
    if dtype == "bfloat16":
        wide = raw.view("<u2").astype(np.uint32) << np.uint32(16)
        return wide.view(np.float32).reshape(shape)
    codes = _codes(raw, bits_of(dtype), count)
    if dtype in SMALL_FLOATS:
        return values_of(dtype)[codes].reshape(shape)
    bits, signed = SMALL_INTEGERS[dtype]
    if signed:
        codes = (codes << np.uint8(8 - bits)).view(np.int8) >> np.int8(8 - bits)
    return codes.reshape(shape)


def texts(strings: Sequence[bytes], shape: Sequence[int]) -> Array:
    """Texts as an array of objects: str, or bytes where they are not UTF-8."""
    made = np.empty(len(strings), object)
    for i, text in enumerate(strings):
        try:
            made[i] = text.decode()
        except UnicodeDecodeError:
            made[i] = text
    return made.reshape(shape)


def packed(a: Array, dtype: str, name: str) -> Array:
    """The bytes that stand in a file for an array.

    Raises
    ------
    ValueError
        Where the dtype is unknown, or a value is not one of its values: nothing is rounded or clamped here.
    """
    if dtype not in DTYPES:
        raise ValueError(f"dtype of tensor {name!r} must be one of {', '.join(DTYPES)}, got {dtype!r}")
    if dtype in PLAIN:
        # `asarray`, since `ascontiguousarray` makes one axis of none.
        plain = np.asarray(a, np.dtype(dtype).newbyteorder("<"), order="C")
        _same(plain, a, dtype, name)
        return plain.reshape(-1).view(np.uint8)
    flat = np.asarray(a).reshape(-1)
    if dtype == "bfloat16":
        wide = flat.astype(np.float32).view(np.uint32)
        codes = (wide >> np.uint32(16)).astype("<u2")
        _same((codes.astype(np.uint32) << np.uint32(16)).view(np.float32), flat, dtype, name)
        return codes.view(np.uint8)
    if dtype in SMALL_FLOATS:
        codes = _float_codes(flat, dtype, name)
        bits = SMALL_FLOATS[dtype].bits
    else:
        bits, signed = SMALL_INTEGERS[dtype]
        least = -(2 ** (bits - 1)) if signed else 0
        _same(np.rint(np.clip(flat, least, least + 2**bits - 1)), flat, dtype, name)
        codes = flat.astype(np.int16).astype(np.uint8) & np.uint8(2**bits - 1)
    if bits == 8:
        return codes
    lists = np.unpackbits(codes[:, None], axis=1, bitorder="little")[:, :bits]
    return np.packbits(lists.reshape(-1), bitorder="little")


def _float_codes(flat: Array, dtype: str, name: str) -> Array:
    """The code of each value, which must be one that the type has."""
    values = values_of(dtype)
    wide = flat.astype(np.float32)
    # By bits, so that 0 and -0 are two, and all NaN one.
    keys = np.where(np.isnan(values), np.float32(np.nan), values).view(np.uint32)
    order = np.argsort(keys, kind="stable")
    wanted = np.where(np.isnan(wide), np.float32(np.nan), wide).view(np.uint32)
    at = np.minimum(np.searchsorted(keys[order], wanted), len(values) - 1)
    codes = order[at].astype(np.uint8)
    _same(values[codes], flat, dtype, name)
    return codes


def _same(made: Array, given: Array, dtype: str, name: str) -> None:
    """Raises where a value changed on its way into its type."""
    same = (made == given) | ((made != made) & (given != given))
    if not np.all(same):
        first = np.asarray(given).reshape(-1)[int(np.argmin(same))]
        raise ValueError(f"values of tensor {name!r} must be {dtype} numbers, got {first}")
