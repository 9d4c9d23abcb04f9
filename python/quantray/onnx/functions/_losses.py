"""Losses."""

# Arrays are of any dtype and shape: what NumPy's stubs make of them says nothing here.
# pyright: reportUnknownVariableType=false, reportUnknownMemberType=false, reportUnknownArgumentType=false

from __future__ import annotations

import numpy as np

from quantray._typing import Array


def negative_log_likelihood(
    x: Array, target: Array, weight: Array | None = None, ignored: int | None = None, reduction: str = "mean"
) -> Array:
    """By how much the logarithm of the right class's probability is below 0.

    Parameters
    ----------
    x : array
        Logarithms of probabilities, of shape (N, classes, lengths).
    target : array of integers
        Classes, of shape (N, lengths).
    weight : array, optional
        Of each class.
    ignored : int, optional
        A class that counts nothing.
    reduction : str
        "none", "sum" or "mean".

    Source: the ONNX operator NegativeLogLikelihoodLoss.
    """
    target = np.asarray(target).astype(np.int64)
    counts = np.ones(target.shape, np.bool_) if ignored is None else target != ignored
    places = np.where(counts, target, 0)
    if places.size and not (places.min() >= -x.shape[1] and places.max() < x.shape[1]):
        raise ValueError(f"classes must be from 0 to {x.shape[1] - 1}, got {places.min()} to {places.max()}")
    found = -np.take_along_axis(x, places[:, None], 1)[:, 0]
    weights = np.where(counts, 1 if weight is None else np.asarray(weight)[places], 0).astype(x.dtype)
    loss = found * weights
    if reduction == "none":
        return loss
    if reduction == "sum":
        return loss.sum(dtype=x.dtype)
    return np.asarray(loss.sum(dtype=x.dtype) / weights.sum(dtype=x.dtype), x.dtype)
