"""Sums and products of arrays: what models do between modules."""

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


def _back(g: Array, shape: tuple[int, ...]) -> Floats:
    """A gradient summed over the axes along which its array was broadcast."""
    g = g.sum(tuple(range(g.ndim - len(shape))))
    return g.sum(tuple(i for i, n in enumerate(shape) if n == 1 != g.shape[i]), keepdims=True)


@differentiable
@traced
def add(a: Input, b: Input) -> Floats:
    """`a + b`, broadcast.

    >>> from quantray.nn import functional as F
    >>> F.add([[1.0], [2.0]], [10.0, 20.0])
    array([[11., 21.],
           [12., 22.]], dtype=float32)

    Source: `torch.add`.
    """
    return floats(a) + floats(b)


@add.gradient
def _add_gradient(wanted: Sequence[int], out: Floats, a: Input, b: Input) -> Vjp[Floats]:
    return lambda g: [_back(g, np.shape((a, b)[i])) for i in wanted]


@differentiable
@traced
def mul(a: Input, b: Input) -> Floats:
    """`a * b`, broadcast.

    >>> from quantray.nn import functional as F
    >>> F.mul([1.0, 2.0], 3.0)
    array([3., 6.], dtype=float32)

    Source: `torch.mul`.
    """
    return floats(a) * floats(b)


@mul.gradient
def _mul_gradient(wanted: Sequence[int], out: Floats, a: Input, b: Input) -> Vjp[Floats]:
    return lambda g: [_back(g * floats((b, a)[i]), np.shape((a, b)[i])) for i in wanted]


@differentiable
@traced
def matmul(a: Input, b: Input) -> Floats:
    """Products of matrices, `a @ b`; leading axes broadcast.

    Parameters
    ----------
    a : array
        Shape (..., m, k) or (k,).
    b : array
        Shape (..., k, n) or (k,).

    >>> from quantray.nn import functional as F
    >>> F.matmul([[1.0, 2.0]], [[3.0], [4.0]])
    array([[11.]], dtype=float32)

    Source: `torch.matmul`.
    """
    return floats(a) @ floats(b)


@matmul.gradient
def _matmul_gradient(wanted: Sequence[int], out: Floats, a: Input, b: Input) -> Vjp[Floats]:
    # A vector is a matrix of one row, or of one column.
    a, b = floats(a), floats(b)
    rows, columns = (a if a.ndim > 1 else a[None]), (b if b.ndim > 1 else b[:, None])

    def vjp(g: Floats) -> list[Array]:
        g = np.expand_dims(g, -1) if b.ndim == 1 else g
        g = np.expand_dims(g, -2) if a.ndim == 1 else g
        each = {
            0: lambda: _back(g @ np.swapaxes(columns, -1, -2), rows.shape),
            1: lambda: _back(np.swapaxes(rows, -1, -2) @ g, columns.shape),
        }
        return [each[i]() for i in wanted]

    return vjp
