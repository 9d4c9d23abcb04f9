"""Codes of a weight that make the error of the layer's output small, not that of the weight."""

from __future__ import annotations

import numpy as np

from quantray._typing import Array, Doubles, Floats
from quantray.quantization.remedies._hessian import as_matrices, as_weight

#: Parts of the range that are tried: from all of it to a fifth.
_TRIED = 48
#: Weights that are rounded before the others are brought up to date.
_BLOCK = 64
#: Rounds over all weights at most.
_SWEEPS = 8


def others_of(weight: Array, axis: int) -> tuple[int, ...]:
    """The axes of a weight beside that of its outputs."""
    return tuple(i for i in range(weight.ndim) if i != axis)


def scales_of(weight: Array, code_range: tuple[int, int], axis: int, per_channel: bool) -> Floats:
    """Scales of the whole range, symmetric as observers have it, of a shape that broadcasts to the weight."""
    low, high = code_range
    most = np.abs(weight).max(axis=others_of(weight, axis) if per_channel else None, keepdims=True)
    return np.maximum(most / np.float32((high - low) / 2), np.finfo(np.float32).eps).astype(np.float32)


def best_scales(
    weight: Array,
    code_range: tuple[int, int],
    axis: int,
    per_channel: bool,
    importance: Array | None = None,
) -> Floats:
    """Scales whose rounding has the smallest squared error, by trying parts of the range.

    `importance` weighs each weight's error; it broadcasts to the weight.
    """
    low, high = code_range
    whole = scales_of(weight, code_range, axis, per_channel)
    axes = others_of(weight, axis) if per_channel else tuple(range(weight.ndim))
    weights = np.asarray(weight, np.float64)
    best, least = whole.astype(np.float64), np.full(whole.shape, np.inf)
    # The range of codes is not symmetric: a scale by the greatest code holds all weights, too.
    for part in (1.0, *np.linspace((high - low) / 2 / max(high, 1), 0.2, _TRIED)):
        scale = np.maximum(np.float32(part) * whole, np.finfo(np.float32).eps).astype(np.float64)
        error = (np.clip(np.rint(weights / scale), low, high) * scale - weights) ** 2
        if importance is not None:
            error = error * importance
        found = error.sum(axis=axes, keepdims=True)
        better = found < least
        best, least = np.where(better, scale, best), np.where(better, found, least)
    return best.astype(np.float32)


def nearest_codes(weight: Array, scale: Array, code_range: tuple[int, int]) -> Array:
    """Each weight's nearest code."""
    return np.clip(np.rint(np.asarray(weight, np.float64) / scale), *code_range)


def gptq_codes(
    weight: Array,
    scale: Array,
    code_range: tuple[int, int],
    moments: list[Doubles],
    axis: int,
    damping: float = 0.01,
) -> Array:
    """Codes found weight by weight: what rounding one loses, the ones after it make up for.

    Inputs with the largest moments come first. Frantar et al., GPTQ (arXiv:2210.17323), algorithm 1, with
    the order of their "act-order".
    """
    assert axis == 0
    matrices = as_matrices(np.asarray(weight, np.float64), len(moments))
    scales = as_matrices(np.broadcast_to(scale, weight.shape).astype(np.float64), len(moments))
    made = [
        _gptq_matrix(w, s, code_range, h, damping) for w, s, h in zip(matrices, scales, moments, strict=True)
    ]
    return as_weight(made, weight.shape)


def _gptq_matrix(w: Doubles, scale: Array, code_range: tuple[int, int], h: Doubles, damping: float) -> Array:
    low, high = code_range
    w, h = w.copy(), h.copy()
    dead = np.diag(h) <= 0
    h[dead, dead] = 1
    h[np.diag_indices_from(h)] += damping * max(float(np.diag(h).mean()), 1e-30)
    order = np.argsort(-np.diag(h))
    back = np.argsort(order)
    w, scale, h = w[:, order], scale[:, order], h[np.ix_(order, order)]
    # The upper factor of the inverse: row i has what weight i passes on to those after it.
    # Backwards, the factor of the matrix is the inverse of that.
    factor = np.asarray(np.linalg.cholesky(h[::-1, ::-1])[::-1, ::-1], np.float64)
    upper = _inverse_upper(factor)
    codes = np.empty_like(w)
    # In blocks: what lies beyond a block is brought up to date once, by one product.
    for begin in range(0, w.shape[1], _BLOCK):
        end = min(begin + _BLOCK, w.shape[1])
        errors = np.empty((len(w), end - begin))
        for i in range(begin, end):
            codes[:, i] = np.clip(np.rint(w[:, i] / scale[:, i]), low, high)
            errors[:, i - begin] = (w[:, i] - codes[:, i] * scale[:, i]) / upper[i, i]
            w[:, i + 1 : end] -= errors[:, i - begin, None] * upper[i, i + 1 : end]
        w[:, end:] -= errors @ upper[begin:end, end:]
    return codes[:, back]


def _inverse_upper(factor: Doubles) -> Doubles:
    """The inverse of an upper triangular matrix, by products of its blocks."""
    middle = len(factor) // 2
    if len(factor) <= _BLOCK:
        return np.asarray(np.triu(np.linalg.inv(factor)), np.float64)
    made = np.zeros_like(factor)
    made[:middle, :middle] = _inverse_upper(factor[:middle, :middle])
    made[middle:, middle:] = _inverse_upper(factor[middle:, middle:])
    made[:middle, middle:] = -(made[:middle, :middle] @ factor[:middle, middle:]) @ made[middle:, middle:]
    return made


def descended(
    weight: Array, codes: Array, scale: Array, code_range: tuple[int, int], moments: list[Doubles]
) -> Array:
    """Codes moved one at a time wherever that lowers the error of the output, until none does."""
    made: list[Array] = []
    groups = len(moments)
    parts = zip(
        as_matrices(np.asarray(weight, np.float64), groups),
        as_matrices(codes, groups),
        as_matrices(np.broadcast_to(scale, weight.shape).astype(np.float64), groups),
        moments,
        strict=True,
    )
    for w, c, s, h in parts:
        made.append(_descended_matrix(w, c.copy(), s, code_range, h))
    return as_weight(made, weight.shape)


def _descended_matrix(
    w: Doubles, codes: Array, scale: Array, code_range: tuple[int, int], h: Doubles
) -> Array:
    low, high = code_range
    # Rows of inputs, so that what belongs to one input lies together.
    codes, scale = np.ascontiguousarray(codes.T), np.ascontiguousarray(scale.T)
    gradient = h @ (codes * scale - np.ascontiguousarray(w.T))
    diagonal = np.diag(h)
    inputs = np.flatnonzero(diagonal > 0)
    for _ in range(_SWEEPS):
        moved = 0
        for begin in range(0, len(inputs), _BLOCK):
            block = inputs[begin : begin + _BLOCK]
            near, inner = gradient[block], h[np.ix_(block, block)]
            steps = np.zeros_like(near)
            for i, j in enumerate(block):
                new = np.clip(np.rint(codes[j] - near[i] / (diagonal[j] * scale[j])), low, high)
                step = (new - codes[j]) * scale[j]
                changed = np.flatnonzero(step)
                if changed.size:
                    codes[j, changed] = new[changed]
                    steps[i, changed] += step[changed]
                    near[:, changed] += inner[:, i, None] * step[changed]
                    moved += changed.size
            gradient += h[:, block] @ steps
        if moved < 1e-3 * codes.size:
            break
    return np.ascontiguousarray(codes.T)


def output_error(weight: Array, other: Array, moments: list[Doubles]) -> float:
    """The mean squared error of a layer's output, by the moments of its input."""
    groups = len(moments)
    pairs = zip(as_matrices(np.asarray(weight, np.float64) - other, groups), moments, strict=True)
    return float(sum(((d @ h) * d).sum() for d, h in pairs))
