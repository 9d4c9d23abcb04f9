"""Softmax, and its logarithm: what an axis of scores says of how likely each is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, SupportsIndex

import numpy as np

from quantray import ops
from quantray._core import QTensor
from quantray.nn._gradients import differentiable
from quantray.nn._tracing import traced
from quantray.nn.functional._arguments import axis_of, floats

if TYPE_CHECKING:
    from quantray._typing import Floats, Input, Tensor
    from quantray.nn._gradients import Vjp


def _softmax_axis(dim: SupportsIndex | None, ndim: int) -> int:
    if dim is None:
        # torch's choice.
        return 0 if ndim in (0, 1, 3) else 1
    return axis_of(dim, ndim)


@traced
def softmax(input: Input, dim: SupportsIndex | None = None) -> Tensor:
    """Powers of e, divided by their sum along an axis.

    Parameters
    ----------
    input : array or QTensor
        Of any shape.
    dim : int
        The axis. Without it torch's choice: 0 for arrays of 0, 1 and 3 axes, else 1.

    >>> from quantray.nn import functional as F
    >>> F.softmax([[0.0, 0.0], [0.0, 200.0]], -1)
    array([[0.5, 0.5],
           [0. , 1. ]], dtype=float32)

    Source: `torch.nn.functional.softmax`.
    """
    axis = _softmax_axis(dim, len(np.shape(input)))
    return ops.softmax(input, axis) if isinstance(input, QTensor) else _softmax(input, axis)


@differentiable
def _softmax(input: Input, axis: int) -> Floats:
    return ops.softmax(floats(input), axis)


@_softmax.gradient
def _softmax_gradient(wanted: Sequence[int], out: Floats, input: Input, axis: int) -> Vjp[Floats]:
    return lambda g: [out * (g - (g * out).sum(axis, keepdims=True))]


@traced
def log_softmax(input: Input, dim: SupportsIndex | None = None) -> Floats:
    """The logarithm of `softmax`, also where that is too small for a float.

    Parameters
    ----------
    input : array
        Of any shape.
    dim : int
        The axis; as for `softmax`.

    >>> from quantray.nn import functional as F
    >>> F.log_softmax([0.0, 200.0], 0)
    array([-200.,    0.], dtype=float32)

    Source: `torch.nn.functional.log_softmax`.
    """
    return _log_softmax(input, _softmax_axis(dim, len(np.shape(input))))


@differentiable
def _log_softmax(input: Input, axis: int) -> Floats:
    x = floats(input)
    if not x.size:
        return x
    x = x - x.max(axis, keepdims=True)
    return x - np.log(np.exp(x).sum(axis, keepdims=True))


@_log_softmax.gradient
def _log_softmax_gradient(wanted: Sequence[int], out: Floats, input: Input, axis: int) -> Vjp[Floats]:
    return lambda g: [g - np.exp(out) * g.sum(axis, keepdims=True)]
