"""Normalization: of batches, of groups of channels, of single channels."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, SupportsIndex

import numpy as np

from quantray.nn._gradients import differentiable, untraced
from quantray.nn._tracing import traced
from quantray.nn.functional._arguments import floats, traced_or_floats

if TYPE_CHECKING:
    from quantray._typing import Array, Floats, Input
    from quantray.nn._gradients import Vjp


def _check_channels(shape: Sequence[int], eps: float, **values: Input | None) -> None:
    if len(shape) < 2:
        raise ValueError(f"input must be of shape (N, C, ...), got {tuple(shape)}")
    if not eps >= 0:
        raise ValueError(f"eps must be at least 0, got {eps}")
    for name, value in values.items():
        if value is not None and np.shape(value) != (shape[1],):
            raise ValueError(f"{name} must be of shape ({shape[1]},), got {np.shape(value)}")


def _wide(values: Input, ndim: int) -> Floats:
    """A value for each channel, to broadcast along the second axis."""
    return floats(values).reshape(-1, *[1] * (ndim - 2))


def _sums(x: Array) -> Floats:
    """For each channel the sum of all; of each image first, so that rounding errors stay small."""
    return x.sum(tuple(range(2, x.ndim))).sum(0, dtype=np.float64)


@differentiable
def _affine(input: Input, weight: Input, bias: Input | None) -> Floats:
    """`input * weight + bias`, for each channel."""
    x = floats(input)
    y = x * _wide(weight, x.ndim)
    if bias is not None:
        y += _wide(bias, x.ndim)
    return y


@_affine.gradient
def _affine_gradient(
    wanted: Sequence[int], out: Floats, input: Input, weight: Input, bias: Input | None
) -> Vjp[Floats]:
    x = floats(input)
    each: dict[int, Callable[[Floats], Array]] = {
        0: lambda g: g * _wide(weight, x.ndim),
        1: lambda g: _sums(g * x),
        2: _sums,
    }
    return lambda g: [each[i](g) for i in wanted]


@differentiable
def _by_moments(input: Input, weight: Input | None, bias: Input | None, mean: Array, factor: Array) -> Floats:
    """Channels less their own means, times `factor` (of their own deviations), then weight and bias.

    The mean and the factor are the input's: the gradient knows that they depend on it.
    """
    x = floats(input)
    y = x - _wide(mean, x.ndim)
    y *= _wide(factor if weight is None else factor * floats(weight), x.ndim)
    if bias is not None:
        y += _wide(bias, x.ndim)
    return y


@_by_moments.gradient
def _by_moments_gradient(
    wanted: Sequence[int],
    out: Floats,
    input: Input,
    weight: Input | None,
    bias: Input | None,
    mean: Array,
    factor: Array,
) -> Vjp[Floats]:
    x = floats(input)
    n = x.size // x.shape[1]

    def vjp(g: Floats) -> list[Array]:
        off = x - _wide(mean, x.ndim)
        sums, products = _sums(g), _sums(g * off)

        def of_input() -> Floats:
            # What g has along the constant and along the input itself does not change the result.
            made = g - _wide(sums / n, x.ndim)
            made -= off * _wide(products * factor * factor / n, x.ndim)
            made *= _wide(factor if weight is None else factor * floats(weight), x.ndim)
            return made

        each = {0: of_input, 1: lambda: products * factor, 2: lambda: sums}
        return [each[i]() for i in wanted]

    return vjp


@differentiable
def _standard(input: Input, rows: int, eps: float) -> Floats:
    """An array as rows, each less its mean and divided by its deviation."""
    x = floats(input)
    if x.size == 0:
        # Nothing has no mean, of which NumPy would warn.
        return x.copy()
    y = _as_rows(x, rows)
    y = y - y.mean(1, keepdims=True, dtype=np.float32)
    y *= _factors(y, eps)
    return y.reshape(x.shape)


def _as_rows(x: Floats, rows: int) -> Floats:
    # No images have no rows, of which NumPy cannot tell the length.
    return x.reshape(rows, x.size // rows if rows else 1)


def _factors(centred: Floats, eps: float) -> Floats:
    squares = np.einsum("ij,ij->i", centred, centred) / np.float32(max(centred.shape[1], 1))
    return (1 / np.sqrt(squares + np.float32(eps)))[:, None]


@_standard.gradient
def _standard_gradient(
    wanted: Sequence[int], out: Floats, input: Input, rows: int, eps: float
) -> Vjp[Floats]:
    x, y = _as_rows(floats(input), rows), _as_rows(out, rows)

    def vjp(g: Floats) -> list[Array]:
        g = _as_rows(g, rows)
        made = g - g.mean(1, keepdims=True, dtype=np.float32)
        made -= y * (g * y).mean(1, keepdims=True, dtype=np.float32)
        return [made * _factors(x - x.mean(1, keepdims=True, dtype=np.float32), eps)]

    return vjp


@traced
def batch_norm(
    input: Input,
    running_mean: Array | None,
    running_var: Array | None,
    weight: Input | None = None,
    bias: Input | None = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Floats:
    """Channels less their means and divided by their standard deviations, then weight and bias.

    Parameters
    ----------
    input : array
        Shape (N, C, ...).
    running_mean, running_var : array of float32, or None
        Shape (C,). If `training`, they move towards the batch's moments, in place; otherwise they are used.
    weight, bias : array, optional
        Shape (C,).
    training : bool
        Whether the batch's own moments are used.
    momentum : float
        How far running moments move: 0 not at all, 1 to the batch's.
    eps : float
        Added to the variance.

    Returns
    -------
    array of float32
        Of the input's shape.

    >>> import numpy as np
    >>> from quantray.nn import functional as F
    >>> mean, var = np.zeros(1, np.float32), np.ones(1, np.float32)
    >>> F.batch_norm([[1.0], [3.0]], mean, var, training=True, eps=0)
    array([[-1.],
           [ 1.]], dtype=float32)
    >>> mean, var
    (array([0.2], dtype=float32), array([1.1], dtype=float32))

    Source: `torch.nn.functional.batch_norm`; Ioffe and Szegedy 2015.
    """
    shape = np.shape(input)
    _check_channels(shape, eps, running_mean=running_mean, running_var=running_var, weight=weight, bias=bias)
    if not training:
        if running_mean is None or running_var is None:
            raise ValueError("running_mean and running_var must be given unless training, got None")
        scale = 1 / np.sqrt(floats(running_var) + np.float32(eps))
        scale = scale if weight is None else traced_or_floats(weight) * scale
        shift = -floats(running_mean) * scale
        return _affine(input, scale, shift if bias is None else shift + traced_or_floats(bias))
    n = math.prod(shape) // max(shape[1], 1)
    if n <= 1:
        raise ValueError(f"input must have more than one value for each channel in training, got {shape}")
    x = floats(untraced(input))
    mean = _sums(x) / n
    off = x - _wide(mean, x.ndim)
    variance = _sums(np.square(off, out=off)) / n
    if running_mean is not None:
        running_mean += np.float32(momentum) * (mean - running_mean).astype(np.float32)
    if running_var is not None:
        running_var += np.float32(momentum) * (variance * (n / (n - 1)) - running_var).astype(np.float32)
    return _by_moments(input, weight, bias, mean, 1 / np.sqrt(variance + eps))


@traced
def group_norm(
    input: Input,
    num_groups: SupportsIndex,
    weight: Input | None = None,
    bias: Input | None = None,
    eps: float = 1e-5,
) -> Floats:
    """Groups of channels, in each image, less their means and divided by their standard deviations.

    Parameters
    ----------
    input : array
        Shape (N, C, ...).
    num_groups : int
        A divisor of C.
    weight, bias : array, optional
        Shape (C,).
    eps : float
        Added to the variance.

    >>> from quantray.nn import functional as F
    >>> F.group_norm([[1.0, 3.0, 10.0, 30.0]], 2, eps=0)
    array([[-1.,  1., -1.,  1.]], dtype=float32)

    Source: `torch.nn.functional.group_norm`; Wu and He 2018.
    """
    shape, groups = np.shape(input), num_groups.__index__()
    _check_channels(shape, eps, weight=weight, bias=bias)
    if groups < 1 or shape[1] % groups:
        raise ValueError(f"num_groups must divide the channels, {shape[1]}, got {groups}")
    return _weighted(_standard(input, shape[0] * groups, eps), weight, bias)


def _weighted(y: Floats, weight: Input | None, bias: Input | None) -> Floats:
    if weight is None and bias is None:
        return y
    return _affine(y, np.ones(np.shape(y)[1], np.float32) if weight is None else weight, bias)


@traced
def instance_norm(
    input: Input,
    running_mean: Array | None = None,
    running_var: Array | None = None,
    weight: Input | None = None,
    bias: Input | None = None,
    use_input_stats: bool = True,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Floats:
    """Each channel of each image less its mean and divided by its standard deviation.

    Parameters
    ----------
    input : array
        Shape (N, C, lengths).
    running_mean, running_var : array of float32, optional
        Shape (C,). If `use_input_stats`, they move towards the images' mean moments, in place; otherwise
        they are used.
    weight, bias : array, optional
        Shape (C,).
    use_input_stats : bool
        Whether the images' own moments are used.
    momentum : float
        How far running moments move.
    eps : float
        Added to the variance.

    >>> from quantray.nn import functional as F
    >>> F.instance_norm([[[1.0, 3.0], [10.0, 30.0]]], eps=0)
    array([[[-1.,  1.],
            [-1.,  1.]]], dtype=float32)

    Source: `torch.nn.functional.instance_norm`; Ulyanov et al. 2016.
    """
    if not use_input_stats:
        return batch_norm(input, running_mean, running_var, weight, bias, False, momentum, eps)
    shape = np.shape(input)
    _check_channels(shape, eps, running_mean=running_mean, running_var=running_var, weight=weight, bias=bias)
    n = math.prod(shape[2:])
    if n <= 1:
        raise ValueError(f"input must have more than one value for each channel of an image, got {shape}")
    if running_mean is not None or running_var is not None:
        rows = floats(untraced(input)).reshape(*shape[:2], -1)
        if running_mean is not None:
            running_mean += np.float32(momentum) * (rows.mean((0, 2), dtype=np.float32) - running_mean)
        if running_var is not None:
            running_var += np.float32(momentum) * (
                rows.var(2, ddof=1).mean(0, dtype=np.float32) - running_var
            )
    return _weighted(_standard(input, shape[0] * shape[1], eps), weight, bias)
