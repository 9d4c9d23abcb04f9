"""Scales of groups of a weight: those that lose least."""

from __future__ import annotations

from typing import Any

import numpy as np

from quantray.quantization.remedies._rounding import best_scales


def spread(scales: Any, group_size: int, length: int) -> Any:
    """Scales of groups as one for each weight."""
    return np.repeat(scales, group_size, axis=1)[:, :length]


def group_scales(weight: Any, code_range: tuple[int, int], group_size: int, importance: Any = None) -> Any:
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
