"""Weights of floats of 4 bits, in blocks with a greatest element each."""

# Arrays are of any dtype and shape: what NumPy's stubs make of them says nothing here.
# pyright: reportUnknownVariableType=false, reportUnknownMemberType=false, reportUnknownArgumentType=false

from __future__ import annotations

import numpy as np

from quantray._typing import Array

#: Floats of a sign, two bits of exponent and one of mantissa, divided by the greatest.
_FLOAT4 = (0.0, 1 / 192, 2 / 3, 1.0, 1 / 3, 1 / 2, 1 / 6, 1 / 4)
#: Quantiles of a normal distribution: Dettmers et al., arXiv:2305.14314, appendix E.
_NORMAL4 = (
    *(-1.0, -0.6961928009986877, -0.5250730514526367, -0.39491748809814453),
    *(-0.28444138169288635, -0.18477343022823334, -0.09105003625154495, 0.0),
    *(0.07958029955625534, 0.16093020141124725, 0.24611230194568634, 0.33791524171829224),
    *(0.44070982933044434, 0.5626170039176941, 0.7229568362236023, 1.0),
)
#: What codes stand for, by the number of their kind.
_TABLES = (
    np.array([*_FLOAT4, *(-x for x in _FLOAT4)], np.float32),
    np.array(_NORMAL4, np.float32),
)


def four_bit_floats(codes: Array, greatest: Array, k: int, n: int, block_size: int, kind: int) -> Array:
    """The weight that codes stand for, of shape (n, k).

    Parameters
    ----------
    codes : array of uint8
        Two to a byte, the first one in the high bits, row behind row.
    greatest : array of float32
        What the elements of each block are multiplied by.
    k, n : int
        Inputs and outputs.
    block_size : int
        Elements that have one factor, whatever rows they are of.
    kind : int
        0: floats of 4 bits; 1: quantiles of a normal distribution.

    Raises
    ------
    ValueError
        There are too few codes, or factors.

    Source: onnxruntime's operator MatMulBnb4; Dettmers et al., arXiv:2305.14314.
    """
    codes, factors = np.asarray(codes).reshape(-1), np.asarray(greatest, np.float32).reshape(-1)
    size = n * k
    if codes.size < -(-size // 2) or factors.size < -(-size // block_size):
        raise ValueError(
            f"a weight of {n} rows of {k} needs {-(-size // 2)} bytes and {-(-size // block_size)} factors, "
            f"got {codes.size} and {factors.size}"
        )
    each = np.stack([codes >> 4, codes & 15], -1).reshape(-1)[:size]
    return (_TABLES[kind][each] * np.repeat(factors, block_size)[:size]).reshape(n, k)


def matmul_four_bit_floats(
    a: Array, codes: Array, greatest: Array, k: int = 0, n: int = 0, block_size: int = 64, kind: int = 1
) -> Array:
    """A product with such a weight.

    Source: onnxruntime's operator MatMulBnb4.
    """
    return np.matmul(np.asarray(a, np.float32), four_bit_floats(codes, greatest, k, n, block_size, kind).T)
