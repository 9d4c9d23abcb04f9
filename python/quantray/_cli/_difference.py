"""How far the outputs of two models are apart."""

from __future__ import annotations

from typing import TypeAlias, TypedDict

import numpy as np
from numpy.typing import NDArray

from quantray._typing import Array

#: One output of two models, for the same samples.
Pair: TypeAlias = tuple[NDArray[np.float64], NDArray[np.float64]]


class Difference(TypedDict):
    """A row of `quantray compare`."""

    output: str
    samples: int
    cosine: float
    least_cosine: float
    sqnr_db: float
    greatest_difference: float
    same_greatest_percent: float


def difference(name: str, pairs: list[Pair]) -> Difference:
    """How far arrays are from each other, sample by sample."""
    ones = [row.ravel() for one, _ in pairs for row in np.atleast_1d(one)]
    twos = [row.ravel() for _, two in pairs for row in np.atleast_1d(two)]
    cosines = [_cosine(a, b) for a, b in zip(ones, twos, strict=True)]
    signal = sum(float((a**2).sum()) for a in ones)
    noise = sum(float(((a - b) ** 2).sum()) for a, b in zip(ones, twos, strict=True))
    same = [a.argmax() == b.argmax() for a, b in zip(ones, twos, strict=True) if a.size > 1]
    return {
        "output": name,
        "samples": len(ones),
        "cosine": float(np.mean(cosines)),
        "least_cosine": float(np.min(cosines)),
        "sqnr_db": float("inf") if noise == 0 else float(10 * np.log10(max(signal, 1e-300) / noise)),
        "greatest_difference": max(
            float(np.abs(a - b).max(initial=0)) for a, b in zip(ones, twos, strict=True)
        ),
        "same_greatest_percent": 100 * float(np.mean(same)) if same else 100.0,
    }


def pair(one: Array, two: Array) -> Pair:
    """Two outputs as numbers; of texts, and of one integer a sample (a label), whether they are the same."""
    a, b = np.asarray(one), np.asarray(two)
    if a.dtype.kind not in "biuf" or (a.dtype.kind != "f" and a.size == len(np.atleast_1d(a))):
        return np.ones(a.shape), (a == b).astype(np.float64)
    return a.astype(np.float64), b.astype(np.float64)


def as_tuple(output: Array | tuple[Array, ...]) -> tuple[Array, ...]:
    """A model's outputs, of which there may be one."""
    return output if isinstance(output, tuple) else (output,)


def _cosine(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
    if np.array_equal(a, b):
        return 1.0
    lengths = np.linalg.norm(a) * np.linalg.norm(b)
    return float(a @ b / lengths) if lengths else 0.0
