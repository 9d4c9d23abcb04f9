"""Normalization over the last axes."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, SupportsIndex, cast

import numpy as np

from quantray import ops
from quantray._core import QTensor
from quantray.nn._gradients import differentiable
from quantray.nn._tracing import traced
from quantray.nn.functional._arguments import floats


def trailing_shape(normalized_shape: SupportsIndex | Sequence[SupportsIndex]) -> tuple[int, ...]:
    """A length or lengths, as lengths."""
    given: Sequence[Any] = (
        cast("Sequence[Any]", normalized_shape)
        if np.ndim(cast("Any", normalized_shape))
        else [normalized_shape]
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


def _check(input: Any, lengths: tuple[int, ...], **along: Any) -> None:
    shape = np.shape(input)
    if shape[-len(lengths) :] != lengths:
        raise ValueError(f"normalized_shape must be the end of the input's shape, {shape}, got {lengths}")
    for name, value in along.items():
        if value is not None and np.shape(value) != lengths:
            raise ValueError(f"{name} must be of shape {lengths}, the normalized one, got {np.shape(value)}")


@traced
def layer_norm(
    input: Any,
    normalized_shape: SupportsIndex | Sequence[SupportsIndex],
    weight: Any = None,
    bias: Any = None,
    eps: float = 1e-5,
) -> Any:
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
def _layer_norm(input: Any, lengths: tuple[int, ...], weight: Any, bias: Any, eps: float) -> Any:
    return ops.layer_norm(floats(input), lengths, weight, bias, eps)


@_layer_norm.gradient
def _layer_norm_gradient(
    wanted: Sequence[int], out: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> Callable[[Any], Sequence[Any]]:
    input, lengths, weight, _, eps = args
    n = math.prod(lengths)
    x = floats(input).reshape(-1, n)
    off = x - x.mean(1, dtype=np.float64, keepdims=True).astype(np.float32)
    inv = 1 / np.sqrt(np.mean(off * off, 1, dtype=np.float64, keepdims=True) + eps)
    normal = off * inv.astype(np.float32)

    def to_input(g: Any) -> Any:
        if weight is not None:
            g = g * floats(weight).reshape(-1)
        g = g - g.mean(1, keepdims=True) - normal * np.mean(g * normal, 1, keepdims=True)
        return g * inv.astype(np.float32)

    def vjp(g: Any) -> list[Any]:
        g = g.reshape(-1, n)
        each: dict[int, Callable[[], Any]] = {
            0: lambda: to_input(g),
            2: lambda: (g * normal).sum(0, dtype=np.float64),
            3: lambda: g.sum(0, dtype=np.float64),
        }
        return [each[i]() for i in wanted]

    return vjp


@traced
def rms_norm(
    input: Any,
    normalized_shape: SupportsIndex | Sequence[SupportsIndex],
    weight: Any = None,
    eps: float | None = None,
) -> Any:
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


def _inverse_rms(x: Any, eps: float) -> Any:
    """One for each row."""
    return (1 / np.sqrt(np.mean(x * x, 1, dtype=np.float64, keepdims=True) + eps)).astype(np.float32)


@differentiable
def _rms_norm(input: Any, lengths: tuple[int, ...], weight: Any, eps: float) -> Any:
    x = floats(input)
    rows = x.reshape(-1, math.prod(lengths))
    y = rows * _inverse_rms(rows, eps)
    if weight is not None:
        y *= floats(weight).reshape(-1)
    return y.reshape(x.shape)


@_rms_norm.gradient
def _rms_norm_gradient(
    wanted: Sequence[int], out: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> Callable[[Any], Sequence[Any]]:
    input, lengths, weight, eps = args
    n = math.prod(lengths)
    x = floats(input).reshape(-1, n)
    inv = _inverse_rms(x, eps)
    normal = x * inv

    def to_input(g: Any) -> Any:
        if weight is not None:
            g = g * floats(weight).reshape(-1)
        return (g - normal * np.mean(g * normal, 1, keepdims=True)) * inv

    def vjp(g: Any) -> list[Any]:
        g = g.reshape(-1, n)
        each: dict[int, Callable[[], Any]] = {
            0: lambda: to_input(g),
            2: lambda: (g * normal).sum(0, dtype=np.float64),
        }
        return [each[i]() for i in wanted]

    return vjp
