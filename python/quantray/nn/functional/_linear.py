"""Linear layers: products with a matrix."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from quantray.nn._gradients import differentiable
from quantray.nn._tracing import traced
from quantray.nn.functional._arguments import floats

if TYPE_CHECKING:
    from quantray._typing import Array, Floats, Input
    from quantray.nn._gradients import Vjp


@traced
def linear(input: Input, weight: Input, bias: Input | None = None) -> Floats:
    """Each row times a matrix, and a bias: `input @ weight.T + bias`.

    Parameters
    ----------
    input : array
        Shape (..., in_features).
    weight : array
        Shape (out_features, in_features).
    bias : array, optional
        Shape (out_features,).

    Returns
    -------
    array of float32
        Shape (..., out_features).

    >>> from quantray.nn import functional as F
    >>> F.linear([[1.0, 2.0]], [[3.0, 4.0]], [0.5])
    array([[11.5]], dtype=float32)

    Source: `torch.nn.functional.linear`.
    """
    x, w = np.shape(input), np.shape(weight)
    if len(w) != 2:
        raise ValueError(f"weight must be of shape (out_features, in_features), got {w}")
    if not x or x[-1] != w[1]:
        raise ValueError(f"input must be of shape (..., {w[1]}) for a weight of shape {w}, got {x}")
    if bias is not None and np.shape(bias) != w[:1]:
        raise ValueError(f"bias must be of shape {w[:1]} for a weight of shape {w}, got {np.shape(bias)}")
    return _linear(input, weight, bias)


@differentiable
def _linear(input: Input, weight: Input, bias: Input | None) -> Floats:
    x, w = floats(input), floats(weight)
    # Rows as one matrix: one product instead of one for each leading index.
    y = (x.reshape(-1, x.shape[-1]) @ w.T if x.size else np.zeros((x.size, len(w)), np.float32)).reshape(
        *x.shape[:-1], len(w)
    )
    if bias is not None:
        y += floats(bias)
    return y


@_linear.gradient
def _linear_gradient(
    wanted: Sequence[int], out: Floats, input: Input, weight: Input, bias: Input | None
) -> Vjp[Floats]:
    x, w = floats(input), floats(weight)

    def vjp(g: Floats) -> list[Array]:
        rows = g.reshape(-1, len(w))
        each = {
            0: lambda: g @ w,
            1: lambda: rows.T @ x.reshape(-1, w.shape[1]),
            2: lambda: rows.sum(0, dtype=np.float64),
        }
        return [each[i]() for i in wanted]

    return vjp
