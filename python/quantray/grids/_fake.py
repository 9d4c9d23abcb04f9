"""Quantizing by one scale, or one for each channel, with any rounding; and what that does to gradients."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, cast

import numpy as np

from quantray._core import QTensor, quantize_per_channel, quantize_per_tensor
from quantray.grids._grid import named_grid
from quantray.grids._rounding import rounding_function
from quantray.grids._tensor import quantize_per_group
from quantray.nn._gradients import differentiable


def _along(values: Any, axis: int | None, ndim: int) -> Any:
    if axis is None:
        return np.asarray(values).reshape(())
    shape = [1] * ndim
    shape[axis] = -1
    return np.asarray(values).reshape(shape)


def rounded_codes(
    x: Any, scale: Any, zero_point: Any, axis: int | None, low: int, high: int, rounding: Any
) -> Any:
    """`clamp(round(x / scale) + zero_point)` by the contract's steps, as float64 whole numbers."""
    with np.errstate(over="ignore"):
        scaled = x * (np.float32(1) / np.asarray(_along(scale, axis, x.ndim), np.float32))
    scaled = np.clip(scaled, np.float32(-(2.0**40)), np.float32(2.0**40))
    whole = np.asarray(rounding_function(rounding)(scaled), np.float64)
    return np.clip(whole + _along(zero_point, axis, x.ndim), low, high)


def quantize(
    input: Any,
    scale: Any,
    zero_point: Any,
    dtype: Any,
    axis: int | None = None,
    *,
    rounding: Any = "nearest",
) -> QTensor:
    """A QTensor of values that are rounded in any way.

    Parameters
    ----------
    input : array
    scale, zero_point : float and int, or arrays of one for each channel
    dtype : dtype
        Any of `quantize_per_tensor`.
    axis : int, optional
        Of the channels; None for one scale of all.
    rounding : str or callable
        As `quantize_per_tensor` and `quantize_per_channel` have it, which this calls.

    >>> import quantray as qt
    >>> qt.grids.quantize([0.9, -0.1], 0.5, 10, qt.quint8, rounding="floor").tolist()
    [0.5, -0.5]
    """
    if axis is None:
        return cast("QTensor", quantize_per_tensor(input, scale, zero_point, dtype, rounding=rounding))
    return quantize_per_channel(input, scale, zero_point, axis, dtype, rounding=rounding)


@differentiable
def _fake_quantize(x: Any, grid: Any, group_size: Any, axis: int, symmetric: bool, rounding: Any) -> Any:
    given = np.asarray(x, np.float32)
    q = quantize_per_group(given, group_size, axis, grid, symmetric=symmetric, rounding=rounding)
    return q.dequantize()


@_fake_quantize.gradient
def _(
    wanted: Sequence[int], out: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> Callable[[Any], Sequence[Any]]:
    # Scales hold each block's range: nothing is cut off, and the gradient passes as it is.
    return lambda g: [g]


def fake_quantize(
    input: Any,
    grid: Any,
    group_size: int | Sequence[int],
    axis: int = -1,
    *,
    symmetric: bool = True,
    rounding: Any = "nearest",
) -> Any:
    """`quantize_per_group(...).dequantize()`, through which gradients pass as through the identity.

    Parameters
    ----------
    input, group_size, axis, grid, symmetric, rounding
        As for `quantize_per_group`.

    >>> import quantray as qt
    >>> qt.grids.fake_quantize([[0.4, 1.0]], "pow2_3", 2).tolist()
    [[0.5, 1.0]]

    Source: the straight-through estimator of Bengio et al., arXiv:1308.3432.
    """
    return _fake_quantize(input, named_grid(grid), group_size, axis, symmetric, rounding)
