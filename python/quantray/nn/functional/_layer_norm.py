"""Normalization over the last axes."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, SupportsIndex, cast

import numpy as np

from quantray import ops
from quantray._core import QTensor
from quantray.nn._gradients import differentiable
from quantray.nn._tracing import traced
from quantray.nn.functional._arguments import floats

if TYPE_CHECKING:
    from quantray._typing import Array, Floats, Input, PerAxis, Tensor
    from quantray.nn._gradients import Vjp


def trailing_shape(normalized_shape: PerAxis) -> tuple[int, ...]:
    """A length or lengths, as lengths."""
    given = cast(
        "Sequence[SupportsIndex]",
        normalized_shape if np.ndim(cast("Array", normalized_shape)) else [normalized_shape],
    )
    try:
        lengths = tuple(n.__index__() for n in given)
    except AttributeError:
        lengths = ()
    if not lengths or min(lengths) < 1:
        raise ValueError(
            f"normalized_shape must be a length or lengths, at least 1, got {normalized_shape!r}"
        )
    return lengths


def _check(input: Input, lengths: tuple[int, ...], **along: Input | None) -> None:
    shape = np.shape(input)
    if shape[-len(lengths) :] != lengths:
        raise ValueError(f"normalized_shape must be the end of the input's shape, {shape}, got {lengths}")
    for name, value in along.items():
        if value is not None and np.shape(value) != lengths:
            raise ValueError(f"{name} must be of shape {lengths}, the normalized one, got {np.shape(value)}")


@traced
def layer_norm(
    input: Input,
    normalized_shape: PerAxis,
    weight: Input | None = None,
    bias: Input | None = None,
    eps: float = 1e-5,
) -> Tensor:
    """`(input - mean) / sqrt(var + eps) * weight + bias` over the last axes; the variance is that of all.

    Parameters
    ----------
    input : array or QTensor
        Shape (..., *normalized_shape). A QTensor gives a QTensor, in a scale chosen from its range.
    normalized_shape : int or sequence of int
        The last length, or several.
    weight, bias : array, optional
        Of the normalized shape.
    eps : float
        What is added to the variance.

    >>> from quantray.nn import functional as F
    >>> F.layer_norm([[1.0, 3.0]], 2, eps=0.0)
    array([[-1.,  1.]], dtype=float32)

    Source: Ba et al., Layer Normalization (2016); `torch.nn.functional.layer_norm`.
    """
    lengths = trailing_shape(normalized_shape)
    _check(input, lengths, weight=weight, bias=bias)
    if isinstance(input, QTensor):
        return ops.layer_norm(input, lengths, weight, bias, eps)
    return _layer_norm(input, lengths, weight, bias, eps)


@differentiable
def _layer_norm(
    input: Input, lengths: tuple[int, ...], weight: Input | None, bias: Input | None, eps: float
) -> Floats:
    return ops.layer_norm(floats(input), lengths, weight, bias, eps)


@_layer_norm.gradient
def _layer_norm_gradient(
    wanted: Sequence[int],
    out: Floats,
    input: Input,
    lengths: tuple[int, ...],
    weight: Input | None,
    bias: Input | None,
    eps: float,
) -> Vjp[Floats]:
    n = math.prod(lengths)
    x = floats(input).reshape(-1, n)
    off = x - x.mean(1, dtype=np.float64, keepdims=True).astype(np.float32)
    inv = 1 / np.sqrt(np.mean(off * off, 1, dtype=np.float64, keepdims=True) + eps)
    normal = off * inv.astype(np.float32)

    def to_input(g: Floats) -> Array:
        if weight is not None:
            g = g * floats(weight).reshape(-1)
        g = g - g.mean(1, keepdims=True) - normal * np.mean(g * normal, 1, keepdims=True)
        return g * inv.astype(np.float32)

    def vjp(g: Floats) -> list[Array]:
        g = g.reshape(-1, n)
        each: dict[int, Callable[[], Array]] = {
            0: lambda: to_input(g),
            2: lambda: (g * normal).sum(0, dtype=np.float64),
            3: lambda: g.sum(0, dtype=np.float64),
        }
        return [each[i]() for i in wanted]

    return vjp


@traced
def rms_norm(
    input: Input,
    normalized_shape: PerAxis,
    weight: Input | None = None,
    eps: float | None = None,
) -> Floats:
    """`input / sqrt(mean(input ** 2) + eps) * weight` over the last axes.

    Parameters
    ----------
    input : array
        Shape (..., *normalized_shape).
    normalized_shape : int or sequence of int
        The last length, or several.
    weight : array, optional
        Of the normalized shape.
    eps : float, optional
        By default that of float32, 2^-23.

    >>> from quantray.nn import functional as F
    >>> F.rms_norm([[1.0, -7.0]], 2, eps=0.0)
    array([[ 0.2, -1.4]], dtype=float32)

    Source: Zhang and Sennrich, Root Mean Square Layer Normalization (2019); `torch.nn.functional.rms_norm`.
    """
    lengths = trailing_shape(normalized_shape)
    _check(input, lengths, weight=weight)
    return _rms_norm(input, lengths, weight, float(np.finfo(np.float32).eps) if eps is None else eps)


def _inverse_rms(x: Floats, eps: float) -> Floats:
    """One for each row."""
    return (1 / np.sqrt(np.mean(x * x, 1, dtype=np.float64, keepdims=True) + eps)).astype(np.float32)


@differentiable
def _rms_norm(input: Input, lengths: tuple[int, ...], weight: Input | None, eps: float) -> Floats:
    x = floats(input)
    rows = x.reshape(-1, math.prod(lengths))
    y = rows * _inverse_rms(rows, eps)
    if weight is not None:
        y *= floats(weight).reshape(-1)
    return y.reshape(x.shape)


@_rms_norm.gradient
def _rms_norm_gradient(
    wanted: Sequence[int],
    out: Floats,
    input: Input,
    lengths: tuple[int, ...],
    weight: Input | None,
    eps: float,
) -> Vjp[Floats]:
    n = math.prod(lengths)
    x = floats(input).reshape(-1, n)
    inv = _inverse_rms(x, eps)
    normal = x * inv

    def to_input(g: Floats) -> Array:
        if weight is not None:
            g = g * floats(weight).reshape(-1)
        return (g - normal * np.mean(g * normal, 1, keepdims=True)) * inv

    def vjp(g: Floats) -> list[Array]:
        g = g.reshape(-1, n)
        each: dict[int, Callable[[], Array]] = {
            0: lambda: to_input(g),
            2: lambda: (g * normal).sum(0, dtype=np.float64),
        }
        return [each[i]() for i in wanted]

    return vjp
