"""Images of other sizes, by every rule that the standard has."""

# Arrays are of any dtype and shape: what NumPy's stubs make of them says nothing here.
# pyright: reportUnknownVariableType=false, reportUnknownMemberType=false, reportUnknownArgumentType=false

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from quantray._typing import Array
from quantray.onnx._sizes import check_size

#: Where an element of the result lies in the image.
TRANSFORMS = (
    "half_pixel",
    "pytorch_half_pixel",
    "half_pixel_symmetric",
    "align_corners",
    "asymmetric",
    "tf_half_pixel_for_nn",
    "tf_crop_and_resize",
)
#: Which element is the nearest one.
ROUNDINGS = ("round_prefer_floor", "round_prefer_ceil", "floor", "ceil")


def lengths_and_scales(
    lengths: Sequence[int], scales: Sequence[float] | None, sizes: Sequence[int] | None, policy: str
) -> tuple[list[int], list[float]]:
    """The lengths of the result, and by how much each axis grows."""
    if sizes is None:
        assert scales is not None
        grown = [float(np.float32(s)) for s in scales]
        if any(s <= 0 for s in grown):
            raise ValueError(f"scales must be above 0, got {grown}")
        return [
            int(np.floor(np.float32(n) * np.float32(s))) for n, s in zip(lengths, grown, strict=True)
        ], grown
    ratios = [size / n if n else 1.0 for size, n in zip(sizes, lengths, strict=True)]
    if policy == "stretch":
        return [int(n) for n in sizes], ratios
    ratio = min(ratios) if policy == "not_larger" else max(ratios)
    return [int(np.floor(ratio * n + 0.5)) for n in lengths], [ratio] * len(ratios)


def resize(
    x: Array,
    scales: Sequence[float] | None = None,
    sizes: Sequence[int] | None = None,
    roi: Array | None = None,
    axes: Sequence[int] = (),
    mode: str = "nearest",
    transform: str = "half_pixel",
    rounding: str = "round_prefer_floor",
    cubic: float = -0.75,
    exclude_outside: bool = False,
    outside: float = 0.0,
    antialias: bool = False,
    policy: str = "stretch",
) -> Array:
    """An array whose axes are longer or shorter.

    Parameters
    ----------
    x : array
    scales, sizes : sequence, optional
        By how much each of the `axes` grows, or the lengths that they get.
    roi : array, optional
        For "tf_crop_and_resize": where the part of the array begins and ends, in all `axes`, from 0 to 1.
    axes : sequence of int
    mode : str
        "nearest", "linear" or "cubic".
    transform, rounding : str
        Of `TRANSFORMS` and `ROUNDINGS`.
    cubic : float
        The coefficient of the cubic kernel.
    exclude_outside : bool
        Whether weights of what is outside are 0, and not those of the elements at the edge.
    outside : float
        What stands for elements outside of the array, for "tf_crop_and_resize".
    antialias : bool
        Whether kernels widen where an axis becomes shorter.
    policy : str
        Of `sizes`: "stretch", "not_larger" or "not_smaller".

    >>> resize(np.float32([[1, 2]]), scales=[2.0], axes=[1])
    array([[1., 1., 2., 2.]], dtype=float32)

    Source: the ONNX operator Resize.
    """
    axes = [axis % x.ndim for axis in axes]
    lengths = [x.shape[axis] for axis in axes]
    made, grown = lengths_and_scales(lengths, scales, sizes, policy)
    rest = [n for axis, n in enumerate(x.shape) if axis not in axes]
    check_size([*rest, *made], x.dtype.itemsize)
    if any(n == 0 for n in lengths) and any(made):
        raise ValueError(f"an array of shape {x.shape} has no elements to make others of")
    parts = np.zeros(2 * len(axes)) if roi is None else np.asarray(roi, np.float64).reshape(-1)
    dtype = x.dtype
    y: Array = x if mode == "nearest" else x.astype(np.float32)
    beyond: list[tuple[int, Array]] = []
    for i, (axis, n, length, scale) in enumerate(zip(axes, lengths, made, grown, strict=True)):
        cropped = transform == "tf_crop_and_resize"
        if scale == 1 and length == n and not cropped:
            continue
        span = (float(parts[i]), float(parts[len(axes) + i])) if cropped else (0.0, 1.0)
        at = places(n, length, scale, transform, span)
        if mode == "nearest":
            y = np.take(y, nearest(at, n, rounding), axis)
        else:
            y = _weighted(y, axis, at, n, scale, mode, cubic, exclude_outside, antialias)
        if cropped:
            beyond.append((axis, (at < 0) | (at > n - 1)))
    for axis, mask in beyond:
        where = mask.reshape([-1 if a == axis else 1 for a in range(y.ndim)])
        y = np.where(where, np.asarray(outside, y.dtype), y)
    if y.dtype == dtype:
        return y
    return np.rint(y).astype(dtype) if dtype.kind in "iu" and mode == "cubic" else y.astype(dtype)


def places(n: int, length: int, scale: float, transform: str, span: tuple[float, float]) -> Array:
    """Where each element of an axis of the result lies in an axis of `n` elements."""
    at = np.arange(length, dtype=np.float32)
    by = np.float32(scale)
    if transform in ("half_pixel", "pytorch_half_pixel"):
        if transform == "pytorch_half_pixel" and length <= 1:
            return at * 0
        return (at + np.float32(0.5)) / by - np.float32(0.5)
    if transform == "half_pixel_symmetric":
        wide = scale * n
        shift = np.float32(n / 2 * (1 - length / wide))
        return shift + (at + np.float32(0.5)) / by - np.float32(0.5)
    if transform == "align_corners":
        wide = scale * n
        return at * 0 if wide == 1 or length == 1 else at * np.float32((n - 1) / (wide - 1))
    if transform == "asymmetric":
        return at / by
    if transform == "tf_half_pixel_for_nn":
        return (at + np.float32(0.5)) / by
    start, end = span
    if length <= 1:
        return at * 0 + np.float32((start + end) * (n - 1) / 2)
    return np.float32(start * (n - 1)) + at * np.float32((end - start) * (n - 1) / (length - 1))


def nearest(at: Array, n: int, rounding: str) -> Array:
    """The nearest elements to some places."""
    if rounding == "round_prefer_floor":
        found = np.ceil(at - np.float32(0.5))
    elif rounding == "round_prefer_ceil":
        found = np.floor(at + np.float32(0.5))
    else:
        found = np.floor(at) if rounding == "floor" else np.ceil(at)
    return np.clip(found.astype(np.int64), 0, n - 1)


def _weighted(
    x: Array,
    axis: int,
    at: Array,
    n: int,
    scale: float,
    mode: str,
    cubic: float,
    exclude: bool,
    antialias: bool,
) -> Array:
    """Sums of the elements around each place, weighted by a kernel."""
    shrink = min(scale, 1.0) if antialias else 1.0
    reach = 1 if mode == "linear" else 2
    first = int(np.floor(-reach / shrink)) + 1
    offsets = np.arange(first, 2 - first)
    base = np.floor(at).astype(np.int64)
    index = base[None, :] + offsets[:, None]
    distance = np.abs((index - at[None, :]).astype(np.float32)) * np.float32(shrink)
    weights = np.clip(1 - distance, 0, None) if mode == "linear" else _cubic(distance, np.float32(cubic))
    if exclude:
        weights = np.where((index >= 0) & (index < n), weights, np.float32(0))
    if exclude or antialias:
        weights = weights / weights.sum(axis=0, keepdims=True)
    index = np.clip(index, 0, n - 1)
    shape = [-1 if a == axis else 1 for a in range(x.ndim)]
    made = np.take(x, index[0], axis) * weights[0].astype(np.float32).reshape(shape)
    for row, weight in zip(index[1:], weights[1:], strict=True):
        if weight.any():
            made = made + np.take(x, row, axis) * weight.astype(np.float32).reshape(shape)
    return made


def _cubic(distance: Array, a: float | np.floating) -> Array:
    """Keys's kernel."""
    near = ((a + 2) * distance - (a + 3)) * distance * distance + 1
    far = ((a * distance - 5 * a) * distance + 8 * a) * distance - 4 * a
    return np.where(distance <= 1, near, np.where(distance < 2, far, np.float32(0)))
