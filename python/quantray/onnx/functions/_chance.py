"""Numbers by chance; the same seed makes the same numbers in each call."""

# Arrays are of any dtype and shape: what NumPy's stubs make of them says nothing here.
# pyright: reportUnknownVariableType=false, reportUnknownMemberType=false, reportUnknownArgumentType=false

from __future__ import annotations

import numpy as np

from quantray._typing import Array


def random_normal(
    shape: tuple[int, ...],
    mean: float = 0.0,
    scale: float = 1.0,
    seed: int | None = None,
    dtype: str = "float32",
) -> Array:
    """Normally distributed numbers.

    Source: the ONNX operator RandomNormal.
    """
    return np.random.default_rng(seed).normal(mean, scale, shape).astype(dtype)


def random_uniform(
    shape: tuple[int, ...],
    low: float = 0.0,
    high: float = 1.0,
    seed: int | None = None,
    dtype: str = "float32",
) -> Array:
    """Numbers from one to another one.

    Source: the ONNX operator RandomUniform.
    """
    return np.random.default_rng(seed).uniform(low, high, shape).astype(dtype)


def bernoulli(x: Array, seed: int | None = None, dtype: str = "float32") -> Array:
    """1 with the probability that an element is, else 0.

    Source: the ONNX operator Bernoulli.
    """
    return (np.random.default_rng(seed).random(np.shape(x)) < x).astype(dtype)


def multinomial(x: Array, count: int = 1, seed: int | None = None, dtype: str = "int32") -> Array:
    """Classes, drawn with replacement by the logarithms of their weights.

    Parameters
    ----------
    x : array
        Shape (rows, classes).

    Returns
    -------
    array of integers
        Shape (rows, count).

    Source: the ONNX operator Multinomial.
    """
    noise = np.random.default_rng(seed).gumbel(size=(x.shape[0], count, x.shape[1]))
    return np.argmax(np.asarray(x)[:, None] + noise, axis=-1).astype(dtype)


def dropout(x: Array, ratio: float = 0.5, seed: int | None = None) -> tuple[Array, Array]:
    """An array of which a part has become 0, and where it has not.

    Source: the ONNX operator Dropout.
    """
    if not 0 <= ratio < 1:
        raise ValueError(f"ratio must be from 0 to below 1, got {ratio}")
    if ratio == 0:
        return x, np.ones_like(x, np.bool_)
    mask = np.random.RandomState(seed).uniform(0, 1, np.shape(x)) >= ratio
    return (mask * x / (1 - ratio)).astype(x.dtype), mask
