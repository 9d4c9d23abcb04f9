"""Losses that are squares of small differences, and grow in a line for large ones."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from quantray.nn._tracing import traced
from quantray.nn.functional._loss import Reduction, check_elements, l1_loss, of_differences, reduced

if TYPE_CHECKING:
    from quantray._typing import Floats, Input
    from quantray.nn.functional._loss import Loss


def _bent(d: Floats, bend: float, height: float) -> Floats:
    """`d**2 / 2` up to the bend, then its tangent; both times `height`."""
    d = np.abs(d)
    low = np.minimum(d, np.float32(bend))
    return (low * (d - np.float32(0.5) * low)) * np.float32(height)


def _slope(d: Floats, bend: float, height: float) -> Floats:
    return np.clip(d, -np.float32(bend), np.float32(bend)) * np.float32(height)


_bends = of_differences(_bent, _slope)


@traced
def huber_loss(input: Input, target: Input, reduction: Reduction = "mean", delta: float = 1.0) -> Loss:
    """Half of the squares of differences up to `delta`, `delta * (|d| - delta / 2)` beyond, on average.

    Parameters
    ----------
    input, target : array
        Of the same shape.
    reduction : str
        "mean", "sum", or "none": a loss for each element.
    delta : float
        Above 0.

    >>> from quantray.nn import functional as F
    >>> float(F.huber_loss([0.0, 0.0], [1.0, 3.0]))
    1.5

    Source: `torch.nn.functional.huber_loss`.
    """
    if not delta > 0:
        raise ValueError(f"delta must be above 0, got {delta}")
    total = check_elements(input, target, reduction)
    return reduced(_bends(input, target, delta, 1.0), reduction, total)


@traced
def smooth_l1_loss(input: Input, target: Input, reduction: Reduction = "mean", beta: float = 1.0) -> Loss:
    """`d**2 / (2 * beta)` of differences up to `beta`, `|d| - beta / 2` beyond, on average.

    Parameters
    ----------
    input, target : array
        Of the same shape.
    reduction : str
        "mean", "sum", or "none": a loss for each element.
    beta : float
        At least 0, which makes it `l1_loss`.

    >>> from quantray.nn import functional as F
    >>> float(F.smooth_l1_loss([0.0, 0.0], [1.0, 3.0]))
    1.5

    Source: `torch.nn.functional.smooth_l1_loss`; arXiv:1504.08083.
    """
    if not beta >= 0:
        raise ValueError(f"beta must be at least 0, got {beta}")
    if beta == 0:
        return l1_loss(input, target, reduction)
    total = check_elements(input, target, reduction)
    return reduced(_bends(input, target, beta, 1 / beta), reduction, total)
