"""Scales of groups of a weight: those that lose least."""

from __future__ import annotations

import numpy as np

from quantray._typing import Array, Floats
from quantray.quantization.remedies._rounding import best_scales


def spread(scales: Floats, group_size: int, length: int) -> Floats:
    """Scales of groups as one for each weight."""
    return np.repeat(scales, group_size, axis=1)[:, :length]


def group_scales(
    weight: Array, code_range: tuple[int, int], group_size: int, importance: Array | None = None
) -> Floats:
    """For each group of each row the scale with the least squared error: shape (rows, groups), float32.

    `importance` weighs the error of each input's weights; shape (inputs,).
    """
    rows, length = weight.shape
    groups = -(-length // group_size)
    padded = np.zeros((rows, groups * group_size), np.float64)
    padded[:, :length] = weight
    weights = np.ones(groups * group_size)
    if importance is not None:
        weights[:length] = importance
    by_group = padded.reshape(rows * groups, group_size)
    of_group = np.tile(weights.reshape(groups, group_size), (rows, 1))
    found = best_scales(by_group, code_range, 0, True, of_group)
    return found.reshape(rows, groups)
