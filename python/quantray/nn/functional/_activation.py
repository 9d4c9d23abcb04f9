"""Activations: functions of single elements, and softmax."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Concatenate, Literal, ParamSpec

import numpy as np

from quantray import ops
from quantray._core import QTensor
from quantray.nn._gradients import Differentiable, differentiable
from quantray.nn._tracing import traced
from quantray.nn.functional._arguments import floats

if TYPE_CHECKING:
    from quantray._typing import Array, Floats, Input, Tensor
    from quantray.nn._gradients import Vjp

P = ParamSpec("P")


def elementwise(
    forward: Callable[Concatenate[Input, P], Array], slope: Callable[Concatenate[Floats, Floats, P], Array]
) -> Differentiable[Concatenate[Input, P], Floats]:
    """A function of an array's elements and settings; `slope(x, y, *settings)` is its derivative."""
    made: Differentiable[Concatenate[Input, P], Floats] = differentiable(forward)

    @made.gradient  # pyright: ignore[reportArgumentType] # the input is given by its position
    def _gradient(
        wanted: Sequence[int], out: Floats, input: Input, /, *args: P.args, **kwargs: P.kwargs
    ) -> Vjp[Floats]:
        x = floats(input)
        return lambda g: [g * slope(x, out, *args, **kwargs)]

    return made


def _relu_of(input: Input) -> Array:
    return np.maximum(floats(input), np.float32(0))


def _relu_slope(x: Floats, y: Floats) -> Array:
    return y > 0


def _clip_of(input: Input, low: float, high: float) -> Array:
    return np.clip(floats(input), np.float32(low), np.float32(high))


def _clip_slope(x: Floats, y: Floats, low: float, high: float) -> Array:
    return (x > low) & (x < high)


def _leaky_relu_of(input: Input, negative: float) -> Array:
    x = floats(input)
    return np.where(x < 0, x * np.float32(negative), x)


def _leaky_relu_slope(x: Floats, y: Floats, negative: float) -> Array:
    return np.where(x > 0, np.float32(1), np.float32(negative))


def _elu_of(input: Input, alpha: float) -> Array:
    x = floats(input)
    return np.where(x > 0, x, np.float32(alpha) * np.expm1(np.minimum(x, np.float32(0))))


def _elu_slope(x: Floats, y: Floats, alpha: float) -> Array:
    return np.where(x > 0, np.float32(1), y + np.float32(alpha))


def _sigmoid_of(input: Input) -> Array:
    return ops.sigmoid(input)


def _sigmoid_slope(x: Floats, y: Floats) -> Array:
    return y * (1 - y)


def _tanh_of(input: Input) -> Array:
    return ops.tanh(input)


def _tanh_slope(x: Floats, y: Floats) -> Array:
    return 1 - y * y


def _silu_of(input: Input) -> Array:
    return ops.silu(input)


def _silu_slope(x: Floats, y: Floats) -> Array:
    return y + ops.sigmoid(x) * (1 - y)


def _hardsigmoid_of(input: Input) -> Array:
    return np.clip(floats(input) + 3, np.float32(0), np.float32(6)) / np.float32(6)


def _hardsigmoid_slope(x: Floats, y: Floats) -> Array:
    return np.where(np.abs(x) < 3, np.float32(1 / 6), np.float32(0))


def _hardswish_of(input: Input) -> Array:
    x = floats(input)
    return x * np.clip(x + 3, np.float32(0), np.float32(6)) / np.float32(6)


def _hardswish_slope(x: Floats, y: Floats) -> Array:
    inner = np.where(x < 3, x / 3 + np.float32(0.5), np.float32(1))
    return np.where(x <= -3, np.float32(0), inner)


def _softplus_of(input: Input, beta: float, threshold: float) -> Floats:
    x = floats(input)
    t = x * np.float32(beta)
    # Powers of large numbers are not looked at, but would overflow.
    curved = np.log1p(np.exp(np.minimum(t, np.float32(threshold)))) / np.float32(beta)
    return np.where(t > threshold, x, curved)


def _softplus_slope(x: Floats, y: Floats, beta: float, threshold: float) -> Floats:
    t = x * np.float32(beta)
    return np.where(t > threshold, np.float32(1), ops.sigmoid(t))


_relu = elementwise(_relu_of, _relu_slope)
_clip = elementwise(_clip_of, _clip_slope)
_leaky_relu = elementwise(_leaky_relu_of, _leaky_relu_slope)
_elu = elementwise(_elu_of, _elu_slope)
_sigmoid = elementwise(_sigmoid_of, _sigmoid_slope)
_tanh = elementwise(_tanh_of, _tanh_slope)
_silu = elementwise(_silu_of, _silu_slope)
_hardsigmoid = elementwise(_hardsigmoid_of, _hardsigmoid_slope)
_hardswish = elementwise(_hardswish_of, _hardswish_slope)
_softplus = elementwise(_softplus_of, _softplus_slope)


def _gelu_slope(x: Floats, approximate: Literal["none", "tanh"]) -> Array:
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


@differentiable
def _gelu(input: Input, approximate: Literal["none", "tanh"]) -> Floats:
    return ops.gelu(floats(input), approximate=approximate)


@_gelu.gradient
def _gelu_gradient(
    wanted: Sequence[int], out: Floats, input: Input, approximate: Literal["none", "tanh"]
) -> Vjp[Floats]:
    return lambda g: [g * _gelu_slope(floats(input), approximate)]


@traced
def relu(input: Input) -> Tensor:
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
def relu6(input: Input) -> Tensor:
    """`min(max(x, 0), 6)`.

    >>> from quantray.nn import functional as F
    >>> F.relu6([-1.0, 2.0, 7.0])
    array([0., 2., 6.], dtype=float32)

    Source: `torch.nn.functional.relu6`.
    """
    return ops.relu6(input) if isinstance(input, QTensor) else _clip(input, 0.0, 6.0)


@traced
def hardtanh(input: Input, min_val: float = -1.0, max_val: float = 1.0) -> Tensor:
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
def leaky_relu(input: Input, negative_slope: float = 0.01) -> Tensor:
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
def elu(input: Input, alpha: float = 1.0) -> Tensor:
    """`alpha * (exp(x) - 1)` for negative x.

    >>> from quantray.nn import functional as F
    >>> F.elu([-100.0, 2.0], 0.5)
    array([-0.5,  2. ], dtype=float32)

    Source: `torch.nn.functional.elu`.
    """
    return ops.elu(input, alpha=alpha) if isinstance(input, QTensor) else _elu(input, alpha)


@traced
def gelu(input: Input, approximate: Literal["none", "tanh"] = "none") -> Tensor:
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
def silu(input: Input) -> Tensor:
    """`x * sigmoid(x)`.

    >>> from quantray.nn import functional as F
    >>> F.silu([0.0, 1.0])
    array([0.        , 0.73105854], dtype=float32)

    Source: `torch.nn.functional.silu`.
    """
    return ops.silu(input) if isinstance(input, QTensor) else _silu(input)


@traced
def sigmoid(input: Input) -> Tensor:
    """`1 / (1 + exp(-x))`.

    >>> from quantray.nn import functional as F
    >>> F.sigmoid([0.0, 1.0])
    array([0.5       , 0.73105854], dtype=float32)

    Source: `torch.nn.functional.sigmoid`.
    """
    return ops.sigmoid(input) if isinstance(input, QTensor) else _sigmoid(input)


@traced
def tanh(input: Input) -> Tensor:
    """The hyperbolic tangent.

    >>> from quantray.nn import functional as F
    >>> F.tanh([0.0, 1.0])
    array([0.       , 0.7615942], dtype=float32)

    Source: `torch.nn.functional.tanh`.
    """
    return ops.tanh(input) if isinstance(input, QTensor) else _tanh(input)


@traced
def hardsigmoid(input: Input) -> Tensor:
    """`relu6(x + 3) / 6`.

    >>> from quantray.nn import functional as F
    >>> F.hardsigmoid([-3.0, 0.0, 3.0])
    array([0. , 0.5, 1. ], dtype=float32)

    Source: `torch.nn.functional.hardsigmoid`.
    """
    return ops.hardsigmoid(input) if isinstance(input, QTensor) else _hardsigmoid(input)


@traced
def hardswish(input: Input) -> Tensor:
    """`x * relu6(x + 3) / 6`.

    >>> from quantray.nn import functional as F
    >>> F.hardswish([-2.0, 1.5, 3.0])
    array([-0.33333334,  1.125     ,  3.        ], dtype=float32)

    Source: `torch.nn.functional.hardswish`.
    """
    return ops.hardswish(input) if isinstance(input, QTensor) else _hardswish(input)


@traced
def softplus(input: Input, beta: float = 1.0, threshold: float = 20.0) -> Floats:
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
def prelu(input: Input, weight: Input) -> Tensor:
    """Negative elements are multiplied by a weight, which is learned; of a QTensor, rounded to its grid.

    Parameters
    ----------
    input : array or QTensor
        Shape (N, C, ...).
    weight : array or QTensor
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
    if isinstance(input, QTensor):
        return input.quantizer.quantize(_prelu(input, weight))
    return _prelu(input, weight)


def _per_channel(weight: Input, ndim: int) -> Floats:
    """Weights that broadcast along the channels of an array, its second axis."""
    return floats(weight).reshape(-1, *[1] * max(ndim - 2, 0))


@differentiable
def _prelu(input: Input, weight: Input) -> Floats:
    x = floats(input)
    return np.where(x > 0, x, x * _per_channel(weight, x.ndim)).reshape(x.shape)


@_prelu.gradient
def _prelu_gradient(wanted: Sequence[int], out: Floats, input: Input, weight: Input) -> Vjp[Floats]:
    x, weight = floats(input), _per_channel(weight, np.ndim(input))

    def of_weight(g: Array) -> Floats:
        sums = np.where(x > 0, np.float32(0), x * g)
        if weight.size == 1:
            return sums.sum(dtype=np.float64)
        return sums.sum((0, *range(2, x.ndim)), dtype=np.float64)

    def vjp(g: Floats) -> list[Array]:
        each = {0: lambda: floats(np.where(x > 0, g, g * weight)), 1: lambda: of_weight(g)}
        return [each[i]() for i in wanted]

    return vjp
