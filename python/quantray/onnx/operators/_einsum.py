"""Sums of products by an equation of letters; of two arrays they are products of matrices."""

from __future__ import annotations

import numpy as np

from quantray.graph._lengths import product
from quantray.onnx._lengths import seen
from quantray.onnx.operators._registry import Array, Call, operator


@operator("Einsum")
def _einsum(call: Call, *arrays: Array) -> Array:
    equation = call.need("equation")
    made = _as_product(equation.replace(" ", ""), *arrays) if len(arrays) == 2 else None
    return np.einsum(equation, *arrays) if made is None else made


def _as_product(equation: str, a: Array, b: Array) -> Array | None:
    """`matmul` of the arrays with their axes in another order; None for other sums."""
    given, arrow, out = equation.partition("->")
    of_a, _, of_b = given.partition(",")
    if not arrow or "." in equation or any(len(set(each)) < len(each) for each in (of_a, of_b, out)):
        return None
    if (a.ndim, b.ndim) != (len(of_a), len(of_b)) or a.dtype != np.float32:
        return None
    lengths = dict(zip(of_a, a.shape, strict=True)) | dict(zip(of_b, b.shape, strict=True))
    if any(seen(n) != seen(lengths[letter]) for letter, n in zip(of_a, a.shape, strict=True)):
        return None
    both = [letter for letter in out if letter in of_a and letter in of_b]
    inner = [letter for letter in of_a if letter in of_b and letter not in out]
    rows = [letter for letter in of_a if letter not in of_b]
    columns = [letter for letter in of_b if letter not in of_a]
    if not inner or {*both, *rows, *columns} != set(out):
        return None

    def matrices(x: Array, own: str, first: list[str], second: list[str]) -> Array:
        x = np.transpose(x, [own.index(letter) for letter in (*both, *first, *second)])
        if len(first) == len(second) == 1:
            return x
        sides = [product(lengths[letter] for letter in side) for side in (first, second)]
        return np.reshape(x, (*(lengths[letter] for letter in both), *sides))

    y = np.matmul(matrices(a, of_a, rows, inner), matrices(b, of_b, inner, columns))
    letters = [*both, *rows, *columns]
    if len(rows) != 1 or len(columns) != 1:
        y = np.reshape(y, tuple(lengths[letter] for letter in letters))
    return np.transpose(y, [letters.index(letter) for letter in out])
