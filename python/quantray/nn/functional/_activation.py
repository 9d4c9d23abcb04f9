"""Activations: functions of single elements, and softmax."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Literal, SupportsIndex, cast

import numpy as np

from quantray import ops
from quantray._core import QTensor
from quantray.nn._gradients import Differentiable, differentiable
from quantray.nn._tracing import traced
from quantray.nn.functional._arguments import axis_of, floats

if TYPE_CHECKING:
    from quantray.nn.functional._arguments import Floats

Vjp = Callable[[Any], Sequence[Any]]


#: Functions of an array, or of it and its function's values, and of up to two settings.
_Forward = Callable[[Any], Any] | Callable[[Any, Any], Any] | Callable[[Any, Any, Any], Any]
_Slope = Callable[[Any, Any], Any] | Callable[[Any, Any, Any], Any] | Callable[[Any, Any, Any, Any], Any]


def elementwise(forward: _Forward, slope: _Slope) -> Differentiable[..., Any]:
    """A function of an array's elements and settings; `slope(x, y, *settings)` is its derivative."""
    made: Differentiable[..., Any] = differentiable(cast("Callable[..., Any]", forward))
    derivative = cast("Callable[..., Any]", slope)

    @made.gradient
    def _gradient(wanted: Sequence[int], out: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Vjp:
        x = floats(args[0])
        return lambda g: [g * derivative(x, out, *args[1:])]

    return made


_relu = elementwise(lambda x: np.maximum(floats(x), np.float32(0)), lambda x, y: y > 0)
_clip = elementwise(
    lambda x, low, high: np.clip(floats(x), np.float32(low), np.float32(high)),
    lambda x, y, low, high: (x > low) & (x < high),
)
_leaky_relu = elementwise(
    lambda x, slope: np.where(np.less(x := floats(x), 0), x * np.float32(slope), x),
    lambda x, y, slope: np.where(x > 0, np.float32(1), np.float32(slope)),
)
_elu = elementwise(
    lambda x, alpha: np.where(
        np.greater(x := floats(x), 0), x, np.float32(alpha) * np.expm1(np.minimum(x, np.float32(0)))
    ),
    lambda x, y, alpha: np.where(x > 0, np.float32(1), y + np.float32(alpha)),
)
_sigmoid = elementwise(ops.sigmoid, lambda x, y: y * (1 - y))
_tanh = elementwise(ops.tanh, lambda x, y: 1 - y * y)
_silu = elementwise(ops.silu, lambda x, y: y + ops.sigmoid(floats(x)) * (1 - y))
_hardsigmoid = elementwise(
    lambda x: np.clip(floats(x) + 3, np.float32(0), np.float32(6)) / np.float32(6),
    lambda x, y: np.where(np.abs(x) < 3, np.float32(1 / 6), np.float32(0)),
)
_hardswish = elementwise(
    lambda x: (x := floats(x)) * np.clip(x + 3, np.float32(0), np.float32(6)) / np.float32(6),
    lambda x, y: np.where(x <= -3, np.float32(0), np.where(x < 3, x / 3 + np.float32(0.5), np.float32(1))),
)


def _softplus_of(input: Any, beta: float, threshold: float) -> Any:
    x = floats(input)
    t = x * np.float32(beta)
    # Powers of large numbers are not looked at, but would overflow.
    curved = np.log1p(np.exp(np.minimum(t, np.float32(threshold)))) / np.float32(beta)
    return np.where(t > threshold, x, curved)


def _softplus_slope(x: Floats, y: Any, beta: float, threshold: float) -> Any:
    t = x * np.float32(beta)
    return np.where(t > threshold, np.float32(1), ops.sigmoid(t))


_softplus = elementwise(_softplus_of, _softplus_slope)


def _gelu_slope(x: Floats, y: Any, approximate: Literal["none", "tanh"]) -> Any:
    # Beyond, it is 0 or 1, and infinities would make NaN of it.
    x = floats(np.clip(x, np.float32(-20), np.float32(20)))
    if approximate == "tanh":
        root, cubic = np.float32(np.sqrt(2 / np.pi)), np.float32(0.044715)
        t = ops.tanh(root * (x + cubic * x * x * x))
        return (1 + t) / 2 + x / 2 * (1 - t * t) * root * (1 + 3 * cubic * x * x)
    # The normal distribution's integral: gelu divided by x, which is well known but at 0.
    small = np.abs(x) < 1e-20
    integral = np.where(small, np.float32(0.5), ops.gelu(x) / np.where(small, np.float32(1), x))
    return integral + x * np.exp(-x * x / 2) * np.float32(1 / np.sqrt(2 * np.pi))


_gelu = elementwise(lambda x, approximate: ops.gelu(floats(x), approximate=approximate), _gelu_slope)


@traced
def relu(input: Any) -> Any:
    """Negative elements become 0.

    Parameters
    ----------
    input : array or QTensor
        Of any shape.

    Returns
    -------
    array of float32, or QTensor for one
        Of the input's shape; so it is for all functions of this kind.

    >>> from quantray.nn import functional as F
    >>> F.relu([-1.0, 2.0])
    array([0., 2.], dtype=float32)

    Source: `torch.nn.functional.relu`.
    """
    return input.relu() if isinstance(input, QTensor) else _relu(input)


@traced
def relu6(input: Any) -> Any:
    """`min(max(x, 0), 6)`.

    >>> from quantray.nn import functional as F
    >>> F.relu6([-1.0, 2.0, 7.0])
    array([0., 2., 6.], dtype=float32)

    Source: `torch.nn.functional.relu6`.
    """
    return ops.relu6(input) if isinstance(input, QTensor) else _clip(input, 0.0, 6.0)


@traced
def hardtanh(input: Any, min_val: float = -1.0, max_val: float = 1.0) -> Any:
    """Elements below `min_val` become it, those above `max_val` that.

    >>> from quantray.nn import functional as F
    >>> F.hardtanh([-3.0, 0.5, 7.0])
    array([-1. ,  0.5,  1. ], dtype=float32)

    Source: `torch.nn.functional.hardtanh`.
    """
    if not min_val <= max_val:
        raise ValueError(f"min_val must be at most max_val, got {min_val} and {max_val}")
    if isinstance(input, QTensor):
        return input.clamp(min_val, max_val)
    return _clip(input, min_val, max_val)


@traced
def leaky_relu(input: Any, negative_slope: float = 0.01) -> Any:
    """Negative elements are multiplied by `negative_slope`.

    >>> from quantray.nn import functional as F
    >>> F.leaky_relu([-2.0, 2.0], 0.5)
    array([-1.,  2.], dtype=float32)

    Source: `torch.nn.functional.leaky_relu`.
    """
    if isinstance(input, QTensor):
        return ops.leaky_relu(input, negative_slope=negative_slope)
    return _leaky_relu(input, negative_slope)


@traced
def elu(input: Any, alpha: float = 1.0) -> Any:
    """`alpha * (exp(x) - 1)` for negative x.

    >>> from quantray.nn import functional as F
    >>> F.elu([-100.0, 2.0], 0.5)
    array([-0.5,  2. ], dtype=float32)

    Source: `torch.nn.functional.elu`.
    """
    return ops.elu(input, alpha=alpha) if isinstance(input, QTensor) else _elu(input, alpha)


@traced
def gelu(input: Any, approximate: Literal["none", "tanh"] = "none") -> Any:
    """x times the normal distribution's integral up to x; or its approximation by tanh.

    >>> from quantray.nn import functional as F
    >>> F.gelu([0.0, 1.0, 2.0])
    array([0.       , 0.8413447, 1.9544997], dtype=float32)

    Source: `torch.nn.functional.gelu`.
    """
    if isinstance(input, QTensor):
        return ops.gelu(input, approximate=approximate)
    return _gelu(input, approximate)


@traced
def silu(input: Any) -> Any:
    """`x * sigmoid(x)`.

    >>> from quantray.nn import functional as F
    >>> F.silu([0.0, 1.0])
    array([0.       , 0.7310586], dtype=float32)

    Source: `torch.nn.functional.silu`.
    """
    return ops.silu(input) if isinstance(input, QTensor) else _silu(input)


@traced
def sigmoid(input: Any) -> Any:
    """`1 / (1 + exp(-x))`.

    >>> from quantray.nn import functional as F
    >>> F.sigmoid([0.0, 1.0])
    array([0.5      , 0.7310586], dtype=float32)

    Source: `torch.nn.functional.sigmoid`.
    """
    return ops.sigmoid(input) if isinstance(input, QTensor) else _sigmoid(input)


@traced
def tanh(input: Any) -> Any:
    """The hyperbolic tangent.

    >>> from quantray.nn import functional as F
    >>> F.tanh([0.0, 1.0])
    array([0.       , 0.7615942], dtype=float32)

    Source: `torch.nn.functional.tanh`.
    """
    return ops.tanh(input) if isinstance(input, QTensor) else _tanh(input)


@traced
def hardsigmoid(input: Any) -> Any:
    """`relu6(x + 3) / 6`.

    >>> from quantray.nn import functional as F
    >>> F.hardsigmoid([-3.0, 0.0, 3.0])
    array([0. , 0.5, 1. ], dtype=float32)

    Source: `torch.nn.functional.hardsigmoid`.
    """
    return ops.hardsigmoid(input) if isinstance(input, QTensor) else _hardsigmoid(input)


@traced
def hardswish(input: Any) -> Any:
    """`x * relu6(x + 3) / 6`.

    >>> from quantray.nn import functional as F
    >>> F.hardswish([-2.0, 1.5, 3.0])
    array([-0.33333334,  1.125     ,  3.        ], dtype=float32)

    Source: `torch.nn.functional.hardswish`.
    """
    return ops.hardswish(input) if isinstance(input, QTensor) else _hardswish(input)


@traced
def softplus(input: Any, beta: float = 1.0, threshold: float = 20.0) -> Any:
    """`log(1 + exp(beta * x)) / beta`; x itself where `beta * x` is above the threshold.

    >>> from quantray.nn import functional as F
    >>> F.softplus([0.0, 30.0])
    array([ 0.6931472, 30.       ], dtype=float32)

    Source: `torch.nn.functional.softplus`.
    """
    if not beta > 0:
        raise ValueError(f"beta must be greater than 0, got {beta}")
    return _softplus(input, beta, threshold)


@traced
def prelu(input: Any, weight: Any) -> Any:
    """Negative elements are multiplied by a weight, which is learned.

    Parameters
    ----------
    input : array
        Shape (N, C, ...).
    weight : array
        Shape (C,), a weight for each channel, or (1,), one for all.

    >>> from quantray.nn import functional as F
    >>> F.prelu([[-2.0, 3.0]], [0.25])
    array([[-0.5,  3. ]], dtype=float32)

    Source: `torch.nn.functional.prelu`.
    """
    x, w = np.shape(input), np.shape(weight)
    channels = x[1] if len(x) > 1 else 1
    if w not in ((), (1,), (channels,)):
        raise ValueError(f"weight must be of shape (1,) or ({channels},) for an input of shape {x}, got {w}")
    return _prelu(input, weight)


def _per_channel(weight: Any, ndim: int) -> Any:
    """Weights that broadcast along the channels of an array, its second axis."""
    return floats(weight).reshape(-1, *[1] * max(ndim - 2, 0))


@differentiable
def _prelu(input: Any, weight: Any) -> Any:
    x = floats(input)
    return np.where(x > 0, x, x * _per_channel(weight, x.ndim)).reshape(x.shape)


@_prelu.gradient
def _prelu_gradient(wanted: Sequence[int], out: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Vjp:
    x, weight = floats(args[0]), _per_channel(args[1], np.ndim(args[0]))

    def of_weight(g: Any) -> Any:
        sums = np.where(x > 0, np.float32(0), x * g)
        if weight.size == 1:
            return sums.sum(dtype=np.float64)
        return sums.sum((0, *range(2, x.ndim)), dtype=np.float64)

    def vjp(g: Any) -> list[Any]:
        each = {0: lambda: floats(np.where(x > 0, g, g * weight)), 1: lambda: of_weight(g)}
        return [each[i]() for i in wanted]

    return vjp


def _softmax_axis(dim: SupportsIndex | None, ndim: int) -> int:
    if dim is None:
        # torch's choice.
        return 0 if ndim in (0, 1, 3) else 1
    return axis_of(dim, ndim)


@traced
def softmax(input: Any, dim: SupportsIndex | None = None) -> Any:
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
def _softmax(input: Any, axis: int) -> Any:
    return ops.softmax(floats(input), axis)


@_softmax.gradient
def _softmax_gradient(wanted: Sequence[int], out: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Vjp:
    return lambda g: [out * (g - (g * out).sum(args[1], keepdims=True))]


@traced
def log_softmax(input: Any, dim: SupportsIndex | None = None) -> Any:
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
def _log_softmax(input: Any, axis: int) -> Any:
    x = floats(input)
    if not x.size:
        return x
    x = x - x.max(axis, keepdims=True)
    return x - np.log(np.exp(x).sum(axis, keepdims=True))


@_log_softmax.gradient
def _log_softmax_gradient(
    wanted: Sequence[int], out: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> Vjp:
    return lambda g: [g - np.exp(out) * g.sum(args[1], keepdims=True)]
