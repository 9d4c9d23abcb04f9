"""Quantizing by one scale, or one for each channel, with any rounding; and what that does to gradients."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from quantray._core import QTensor, quantize_per_channel, quantize_per_tensor
from quantray._typing import Array, ArrayLike, Floats, Input, QDType, Rounding, Scalar
from quantray.grids._grid import Grid, named_grid
from quantray.grids._rounding import rounding_function
from quantray.grids._tensor import quantize_per_group
from quantray.nn._gradients import differentiable


def _along(values: ArrayLike, axis: int | None, ndim: int) -> Array:
    if axis is None:
        return np.asarray(values).reshape(())
    shape = [1] * ndim
    shape[axis] = -1
    return np.asarray(values).reshape(shape)


def rounded_codes(
    x: Array,
    scale: ArrayLike,
    zero_point: ArrayLike,
    axis: int | None,
    low: int,
    high: int,
    rounding: Rounding,
) -> NDArray[np.float64]:
    """`clamp(round(x / scale) + zero_point)` by the contract's steps, as float64 whole numbers."""
    with np.errstate(over="ignore"):
        scaled = x * (np.float32(1) / np.asarray(_along(scale, axis, x.ndim), np.float32))
    scaled = np.clip(scaled, np.float32(-(2.0**40)), np.float32(2.0**40))
    whole = np.asarray(rounding_function(rounding)(scaled), np.float64)
    return np.clip(whole + _along(zero_point, axis, x.ndim), low, high)


def quantize(
    input: Input,
    scale: Scalar | Array,
    zero_point: Scalar | Array,
    dtype: QDType,
    axis: int | None = None,
    *,
    rounding: Rounding = "nearest",
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
        return quantize_per_tensor(input, scale, zero_point, dtype, rounding=rounding)
    return quantize_per_channel(input, scale, zero_point, axis, dtype, rounding=rounding)


@differentiable
def _fake_quantize(
    x: ArrayLike,
    grid: Grid,
    group_size: int | Sequence[int],
    axis: int,
    symmetric: bool,
    rounding: Rounding,
) -> Floats:
    given = np.asarray(x, np.float32)
    q = quantize_per_group(given, group_size, axis, grid, symmetric=symmetric, rounding=rounding)
    return q.dequantize()


@_fake_quantize.gradient
def _(
    wanted: Sequence[int],
    out: Floats,
    x: ArrayLike,
    grid: Grid,
    group_size: int | Sequence[int],
    axis: int,
    symmetric: bool,
    rounding: Rounding,
) -> Callable[[Floats], Sequence[Floats]]:
    # Scales hold each block's range: nothing is cut off, and the gradient passes as it is.
    return lambda g: [g]


def fake_quantize(
    input: ArrayLike,
    grid: Grid | str,
    group_size: int | Sequence[int],
    axis: int = -1,
    *,
    symmetric: bool = True,
    rounding: Rounding = "nearest",
) -> Floats:
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
