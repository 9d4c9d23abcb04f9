"""Support vector machines: kernels, decisions between pairs of classes, and their probabilities.

Sums cancel each other to a ten-thousandth of their terms, so that all of it is computed in float64.
"""

# Arrays are of any dtype and shape: what NumPy's stubs make of them says nothing here.
# pyright: reportUnknownVariableType=false, reportUnknownMemberType=false, reportUnknownArgumentType=false

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from quantray._typing import Array

#: What decisions are computed in.
Doubles: TypeAlias = NDArray[np.float64]
#: gamma, coef0, degree.
Settings: TypeAlias = tuple[float, float, float]


@dataclass(frozen=True, eq=False)
class Machine:
    """A kernel and its vectors.

    Attributes
    ----------
    vectors : array of float64, shape (vectors, features)
    weights : array of float64, shape (rows, vectors)
        One row of a regressor; of k classes k - 1.
    rho : array of float64
        What is added to each decision.
    kind : str
        LINEAR, POLY, RBF or SIGMOID.
    settings : tuple of float
        gamma, coef0, degree.
    """

    vectors: Doubles
    weights: Doubles
    rho: Doubles
    kind: str
    settings: Settings

    @property
    def arguments(self) -> tuple[Doubles, Doubles, Doubles, str, Settings]:
        """What functions of it take."""
        return self.vectors, self.weights, self.rho, self.kind, self.settings


def _kernel(x: Array, vectors: Doubles, kind: str, settings: Settings) -> Array:
    """The kernel of each row with each vector."""
    x = x.astype(np.float64)
    gamma, shift, degree = settings
    products = x @ vectors.T
    match kind:
        case "RBF":
            squares = np.sum(x * x, axis=1)[:, None] + np.sum(vectors * vectors, axis=1)
            return np.exp(-gamma * np.maximum(squares - 2 * products, 0))
        case "POLY":
            return (gamma * products + shift) ** degree
        case "SIGMOID":
            return np.tanh(gamma * products + shift)
        case _:
            return products


def support_vector_sums(
    x: Array, vectors: Doubles, weights: Doubles, rho: Doubles, kind: str, settings: Settings
) -> Array:
    """What a regressor makes of rows, shape (rows, 1)."""
    return (_kernel(x, vectors, kind, settings) @ weights.T + rho).astype(np.float32)


def support_vector_votes(
    x: Array,
    vectors: Doubles,
    weights: Doubles,
    rho: Doubles,
    kind: str,
    settings: Settings,
    counts: Sequence[int],
    sigmoid: Array | None,
) -> tuple[Array, Array]:
    """For each row the place of the class that most pairs decide for, and what the pairs have decided, or
    probabilities of classes.

    `counts` says of each class how many of the vectors are its own; `sigmoid` is the slope and the offset
    of the probability that the first class of a pair is the one, shape (2, pairs), or None.

    Source: Chang and Lin, LIBSVM: A library for support vector machines (2011), sections 4.1.1 and 8.
    """
    values, classes = _kernel(x, vectors, kind, settings), len(counts)
    ends = np.cumsum((0, *counts))
    sums: list[Array] = []
    votes = np.zeros((len(x), classes), np.int64)
    for number, (i, j) in enumerate(combinations(range(classes), 2)):
        own, other = slice(ends[i], ends[i + 1]), slice(ends[j], ends[j + 1])
        made = values[:, own] @ weights[j - 1, own] + values[:, other] @ weights[i, other] + rho[number]
        votes[:, i] += made > 0
        votes[:, j] += made <= 0
        sums.append(made)
    scores = np.stack(sums, axis=1)
    if sigmoid is not None:
        scores = _probabilities(scores, sigmoid, classes)
    return np.argmax(votes, axis=1), scores.astype(np.float32)


def _probabilities(scores: Array, sigmoid: Array, classes: int) -> Array:
    """Probabilities of classes that fit those of pairs best: the second method of Wu, Lin and Weng (2004)."""
    slope, offset = sigmoid
    with np.errstate(over="ignore"):
        first = np.clip(1 / (1 + np.exp(slope * scores + offset)), 1e-7, 1 - 1e-7)
    pairs = np.zeros((len(scores), classes, classes))
    for number, (i, j) in enumerate(combinations(range(classes), 2)):
        pairs[:, i, j], pairs[:, j, i] = first[:, number], 1 - first[:, number]
    q = -pairs.transpose(0, 2, 1) * pairs
    at = np.arange(classes)
    q[:, at, at] = np.sum(pairs**2, axis=1)
    p = np.full((len(scores), classes), 1 / classes)
    for _ in range(max(100, classes)):
        product = np.einsum("nij,nj->ni", q, p)
        total = np.sum(p * product, axis=1)
        moves = np.max(np.abs(product - total[:, None]), axis=1) >= 0.005 / classes
        if not moves.any():
            break
        for t in range(classes):
            step = np.where(moves, (total - product[:, t]) / q[:, t, t], 0)
            p[:, t] += step
            total = (total + step * (step * q[:, t, t] + 2 * product[:, t])) / (1 + step) ** 2
            product = (product + step[:, None] * q[:, t]) / (1 + step)[:, None]
            p /= (1 + step)[:, None]
    return p
