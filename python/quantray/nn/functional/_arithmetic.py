"""Sums and products of arrays: what models do between modules."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from quantray.nn._gradients import differentiable
from quantray.nn._tracing import traced
from quantray.nn.functional._arguments import floats

Vjp = Callable[[Any], Sequence[Any]]


def _back(g: Any, shape: tuple[int, ...]) -> Any:
    """A gradient summed over the axes along which its array was broadcast."""
    g = g.sum(tuple(range(g.ndim - len(shape))))
    return g.sum(tuple(i for i, n in enumerate(shape) if n == 1 != g.shape[i]), keepdims=True)


@differentiable
@traced
def add(a: Any, b: Any) -> Any:
    """`a + b`, broadcast.

    >>> from quantray.nn import functional as F
    >>> F.add([[1.0], [2.0]], [10.0, 20.0])
    array([[11., 21.],
           [12., 22.]], dtype=float32)

    Source: `torch.add`.
    """
    return floats(a) + floats(b)


@add.gradient
def _add_gradient(wanted: Sequence[int], out: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Vjp:
    return lambda g: [_back(g, np.shape(args[i])) for i in wanted]


@differentiable
@traced
def mul(a: Any, b: Any) -> Any:
    """`a * b`, broadcast.

    >>> from quantray.nn import functional as F
    >>> F.mul([1.0, 2.0], 3.0)
    array([3., 6.], dtype=float32)

    Source: `torch.mul`.
    """
    return floats(a) * floats(b)


@mul.gradient
def _mul_gradient(wanted: Sequence[int], out: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Vjp:
    return lambda g: [_back(g * floats(args[1 - i]), np.shape(args[i])) for i in wanted]


@differentiable
@traced
def matmul(a: Any, b: Any) -> Any:
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
def _matmul_gradient(wanted: Sequence[int], out: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Vjp:
    # A vector is a matrix of one row, or of one column.
    a, b = floats(args[0]), floats(args[1])
    rows, columns = (a if a.ndim > 1 else a[None]), (b if b.ndim > 1 else b[:, None])

    def vjp(g: Any) -> list[Any]:
        g = np.expand_dims(g, -1) if b.ndim == 1 else g
        g = np.expand_dims(g, -2) if a.ndim == 1 else g
        each = {
            0: lambda: _back(g @ np.swapaxes(columns, -1, -2), rows.shape),
            1: lambda: _back(np.swapaxes(rows, -1, -2) @ g, columns.shape),
        }
        return [each[i]() for i in wanted]

    return vjp
