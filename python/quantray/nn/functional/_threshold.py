"""Activations that quantized tensors have by a table of their codes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from quantray._core import QTensor
from quantray.nn._tracing import traced
from quantray.nn.functional._activation import elementwise
from quantray.nn.functional._arguments import floats
from quantray.ops._like import mapped

if TYPE_CHECKING:
    from quantray._typing import Array, Floats, Input, Tensor


def _threshold_of(input: Input, least: float, other: float) -> Array:
    x = floats(input)
    return np.where(x > np.float32(least), x, np.float32(other))


def _threshold_slope(x: Floats, y: Floats, least: float, other: float) -> Array:
    return x > np.float32(least)


def _celu_of(input: Input, alpha: float) -> Floats:
    x, a = floats(input), np.float32(alpha)
    return np.where(x > 0, x, a * np.expm1(np.minimum(x, np.float32(0)) / a))


def _celu_slope(x: Floats, y: Floats, alpha: float) -> Array:
    return np.where(x > 0, np.float32(1), y / np.float32(alpha) + np.float32(1))


_threshold = elementwise(_threshold_of, _threshold_slope)
_celu = elementwise(_celu_of, _celu_slope)


@traced
def threshold(input: Input, threshold: float, value: float) -> Tensor:
    """Elements up to `threshold` become `value`; of a QTensor, rounded to its grid.

    >>> from quantray.nn import functional as F
    >>> F.threshold([-1.0, 2.0], 0.5, 9.0)
    array([9., 2.], dtype=float32)

    Source: `torch.nn.functional.threshold`.
    """
    least, other = np.float32(threshold), np.float32(value)
    if isinstance(input, QTensor):
        return mapped(input, lambda x: np.where(x > least, x, other))
    return _threshold(input, threshold, value)


@traced
def celu(input: Input, alpha: float = 1.0) -> Tensor:
    """`alpha * (exp(x / alpha) - 1)` for negative x; of a QTensor, rounded to its grid.

    >>> from quantray.nn import functional as F
    >>> F.celu([-1.0, 2.0])
    array([-0.63212055,  2.        ], dtype=float32)

    Source: `torch.nn.functional.celu`; arXiv:1704.07483.
    """
    if not alpha:
        raise ValueError(f"alpha must not be 0, got {alpha}")
    if isinstance(input, QTensor):
        return mapped(input, lambda x: _celu_of(x, alpha))
    return _celu(input, alpha)
