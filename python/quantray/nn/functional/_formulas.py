"""Activations that are formulas of others: a capture sees the parts, so that integers take one table."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, SupportsIndex, cast

import numpy as np

from quantray._core import QTensor
from quantray.nn.functional._activation import elu, relu, sigmoid, softplus, tanh
from quantray.nn.functional._arguments import axis_of, traced_or_floats
from quantray.nn.functional._arithmetic import mul
from quantray.nn.functional._softmax import softmax
from quantray.nn.functional._threshold import threshold
from quantray.ops._like import mapped

if TYPE_CHECKING:
    from quantray._typing import Array, Floats, Input, Tensor

#: What keeps the mean and the variance of normalized inputs: arXiv:1706.02515.
_SELU_ALPHA, _SELU_SCALE = 1.6732632423543772, 1.0507009873554805


def _of(formula: Callable[[Floats], Tensor], input: Input) -> Tensor:
    """A formula of single elements; of a QTensor, rounded to its grid."""
    if isinstance(input, QTensor):
        return mapped(input, cast("Callable[[Floats], Array]", formula))
    return formula(traced_or_floats(input))


def selu(input: Input, inplace: bool = False) -> Tensor:
    """`scale * elu(x, alpha)`, with the two numbers of its paper; of a QTensor, rounded to its grid.

    >>> from quantray.nn import functional as F
    >>> F.selu([-100.0, 1.0])
    array([-1.7580993,  1.050701 ], dtype=float32)

    Source: `torch.nn.functional.selu`; arXiv:1706.02515.
    """
    return _of(lambda x: mul(elu(x, _SELU_ALPHA), np.float32(_SELU_SCALE)), input)


def mish(input: Input, inplace: bool = False) -> Tensor:
    """`x * tanh(softplus(x))`; of a QTensor, rounded to its grid.

    >>> from quantray.nn import functional as F
    >>> F.mish([0.0, 20.0])
    array([ 0., 20.], dtype=float32)

    Source: `torch.nn.functional.mish`; arXiv:1908.08681.
    """
    return _of(lambda x: mul(x, tanh(softplus(x))), input)


def softsign(input: Input) -> Tensor:
    """`x / (1 + |x|)`; of a QTensor, rounded to its grid.

    >>> from quantray.nn import functional as F
    >>> F.softsign([-1.0, 3.0])
    array([-0.5 ,  0.75], dtype=float32)

    Source: `torch.nn.functional.softsign`.
    """
    return _of(lambda x: x / (abs(x) + np.float32(1)), input)


def logsigmoid(input: Input) -> Tensor:
    """The logarithm of `sigmoid`; of a QTensor, rounded to its grid.

    >>> from quantray.nn import functional as F
    >>> F.logsigmoid([-100.0, 0.0])
    array([-100.       ,   -0.6931472], dtype=float32)

    Source: `torch.nn.functional.logsigmoid`.
    """
    return _of(lambda x: -softplus(-x), input)


def tanhshrink(input: Input) -> Tensor:
    """`x - tanh(x)`; of a QTensor, rounded to its grid.

    >>> from quantray.nn import functional as F
    >>> F.tanhshrink([0.0, 1.0])
    array([0.        , 0.23840582], dtype=float32)

    Source: `torch.nn.functional.tanhshrink`.
    """
    return _of(lambda x: x - tanh(x), input)


def _lambda(lambd: float) -> float:
    if not lambd >= 0:
        raise ValueError(f"lambd must be at least 0, got {lambd}")
    return float(lambd)


def hardshrink(input: Input, lambd: float = 0.5) -> Tensor:
    """Elements from `-lambd` to `lambd` become 0; of a QTensor, rounded to its grid.

    >>> from quantray.nn import functional as F
    >>> F.hardshrink([-2.0, 0.25, 1.0])
    array([-2.,  0.,  1.], dtype=float32)

    Source: `torch.nn.functional.hardshrink`.
    """
    least = _lambda(lambd)
    return _of(lambda x: threshold(x, least, 0) - threshold(-x, least, 0), input)


def softshrink(input: Input, lambd: float = 0.5) -> Tensor:
    """Elements come nearer to 0 by `lambd`, and no further; of a QTensor, rounded to its grid.

    >>> from quantray.nn import functional as F
    >>> F.softshrink([-2.0, 0.25, 1.0])
    array([-1.5,  0. ,  0.5], dtype=float32)

    Source: `torch.nn.functional.softshrink`.
    """
    by = np.float32(_lambda(lambd))
    return _of(lambda x: relu(x - by) - relu(-x - by), input)


def softmin(input: Input, dim: int | None = None) -> Tensor:
    """`softmax` of the negated elements.

    >>> from quantray.nn import functional as F
    >>> F.softmin([0.0, 0.0, 1000.0], 0)
    array([0.5, 0.5, 0. ], dtype=float32)

    Source: `torch.nn.functional.softmin`.
    """
    x = traced_or_floats(input)
    return softmax(-x, dim)


def glu(input: Input, dim: SupportsIndex = -1) -> Floats:
    """The first half along an axis times the sigmoid of the second half.

    Parameters
    ----------
    input : array
        Of an even length along `dim`.
    dim : int
        The axis.

    >>> from quantray.nn import functional as F
    >>> F.glu([1.0, 2.0, 0.0, 0.0])
    array([0.5, 1. ], dtype=float32)

    Source: `torch.nn.functional.glu`; arXiv:1612.08083.
    """
    x = traced_or_floats(input)
    shape = np.shape(x)
    axis = axis_of(dim, len(shape))
    if not shape or shape[axis] % 2:
        raise ValueError(f"input must be of an even length along axis {axis}, got shape {tuple(shape)}")
    half = shape[axis] // 2
    ahead = (slice(None),) * axis
    return mul(x[(*ahead, slice(0, half))], sigmoid(x[(*ahead, slice(half, None))]))
