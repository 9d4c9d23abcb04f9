"""Pools as the standard has them: padding of any kind, dilations, places of the greatest elements."""

# Arrays are of any dtype and shape: what NumPy's stubs make of them says nothing here.
# pyright: reportUnknownVariableType=false, reportUnknownMemberType=false, reportUnknownArgumentType=false

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from quantray._typing import Array

Pads = Sequence[Sequence[int]]


def output_lengths(
    lengths: Sequence[int],
    kernel: Sequence[int],
    strides: Sequence[int],
    pads: Pads,
    dilations: Sequence[int],
    ceil: bool,
) -> list[int]:
    """How many windows there are; with `ceil` also those that end beyond the image, but begin in it."""
    made: list[int] = []
    for n, k, s, (a, b), d in zip(lengths, kernel, strides, pads, dilations, strict=True):
        room = n + a + b - d * (k - 1) - 1
        if room < 0 and not (ceil and room > -s):
            raise ValueError(
                f"windows reach over {d * (k - 1) + 1} elements, and a padded image has {n + a + b}"
            )
        count = (-(-room // s) if ceil else room // s) + 1
        if ceil and (count - 1) * s >= n + a:
            count -= 1
        made.append(count)
    return made


def _windows(
    x: Array,
    kernel: Sequence[int],
    strides: Sequence[int],
    pads: Pads,
    dilations: Sequence[int],
    ceil: bool,
    fill: float,
    counted: bool = False,
) -> Array:
    """Windows of shape (N, C, outputs, kernel); what `ceil` adds at the end is 0 if `counted`."""
    lengths = x.shape[2:]
    counts = output_lengths(lengths, kernel, strides, pads, dilations, ceil)
    reach = [d * (k - 1) + 1 for k, d in zip(kernel, dilations, strict=True)]
    ends = [(c - 1) * s + r for c, s, r in zip(counts, strides, reach, strict=True)]
    x = np.pad(x, [(0, 0), (0, 0), *map(tuple, pads)], constant_values=fill)
    more = [(0, max(e - n, 0)) for e, n in zip(ends, x.shape[2:], strict=True)]
    if any(n for _, n in more):
        x = np.pad(x, [(0, 0), (0, 0), *more], constant_values=0 if counted else fill)
    dims = len(lengths)
    found = np.lib.stride_tricks.sliding_window_view(x, tuple(reach), tuple(range(2, 2 + dims)))
    steps = tuple(slice(0, (c - 1) * s + 1, s) for c, s in zip(counts, strides, strict=True))
    return found[(slice(None), slice(None), *steps, *(slice(None, None, d) for d in dilations))]


def max_pool(
    x: Array,
    kernel: Sequence[int],
    strides: Sequence[int],
    pads: Pads,
    dilations: Sequence[int],
    ceil: bool = False,
    storage_order: int = 0,
) -> tuple[Array, Array]:
    """The greatest element of each window, and its place in the whole array.

    Source: the ONNX operator MaxPool.
    """
    lowest = -np.inf if x.dtype.kind == "f" else np.iinfo(x.dtype).min
    settings = (kernel, strides, pads, dilations, ceil)
    values = _windows(x, *settings, lowest)
    dims = len(kernel)
    outputs = values.shape[: 2 + dims]
    flat = values.reshape(*outputs, -1)
    spatial = np.arange(int(np.prod(x.shape[2:]))).reshape(x.shape[2:], order="F" if storage_order else "C")
    places = _windows(spatial[None, None], *settings, -1).reshape(1, 1, *outputs[2:], -1)
    # Padding is never the greatest, not even where all elements are the lowest.
    inside = np.broadcast_to(places >= 0, flat.shape)
    best = np.where(inside, flat, lowest).argmax(-1)
    first = inside.argmax(-1)
    best = np.where(np.take_along_axis(inside, best[..., None], -1)[..., 0], best, first)[..., None]
    found = np.take_along_axis(flat, best, -1)[..., 0]
    index = np.take_along_axis(np.broadcast_to(places, flat.shape), best, -1)[..., 0]
    image = np.arange(int(np.prod(outputs[:2]))).reshape(*outputs[:2], *(1,) * dims)
    return np.ascontiguousarray(found), (index + image * spatial.size).astype(np.int64)


def average_pool(
    x: Array,
    kernel: Sequence[int],
    strides: Sequence[int],
    pads: Pads,
    dilations: Sequence[int],
    ceil: bool = False,
    count_padding: bool = False,
) -> Array:
    """The mean of each window, of what is there, or of the padding too; never of what `ceil` adds.

    Source: the ONNX operator AveragePool.
    """
    settings = (kernel, strides, pads, dilations, ceil)
    values = _windows(x, *settings, 0)
    axes = tuple(range(-len(kernel), 0))
    ones = np.ones((1, 1, *x.shape[2:]), np.float32)
    counts = _windows(ones, *settings, 1 if count_padding else 0, counted=True).sum(axis=axes)
    return (values.sum(axis=axes, dtype=np.float32) / counts).astype(x.dtype)


def lp_pool(
    x: Array,
    kernel: Sequence[int],
    strides: Sequence[int],
    pads: Pads,
    dilations: Sequence[int],
    ceil: bool = False,
    p: int = 2,
) -> Array:
    """The p-norm of each window.

    Source: the ONNX operator LpPool.
    """
    values = _windows(np.abs(x) ** p, kernel, strides, pads, dilations, ceil, 0)
    return (values.sum(axis=tuple(range(-len(kernel), 0))) ** (1.0 / p)).astype(x.dtype)


def max_unpool(x: Array, indices: Array, shape: Sequence[int], own: Sequence[int]) -> Array:
    """Elements at the places that `max_pool` found, and zeros elsewhere.

    Parameters
    ----------
    shape : sequence of int
        Of the result.
    own : sequence of int
        The shape that the places are counted in.

    Source: the ONNX operator MaxUnpool.
    """
    shape, own = [int(n) for n in shape], [int(n) for n in own]
    count = int(np.prod(own))
    flat = np.asarray(indices).reshape(-1)
    if flat.size and (flat.min() < 0 or flat.max() >= count):
        raise ValueError(f"places must be from 0 to {count - 1}, got {flat.min()} to {flat.max()}")
    made = np.zeros(count, x.dtype)
    made[flat] = np.asarray(x).reshape(-1)
    made = made.reshape(own)
    if shape == own:
        return made
    whole = np.zeros(shape, x.dtype)
    part = tuple(slice(0, min(a, b)) for a, b in zip(own, shape, strict=True))
    whole[part] = made[part]
    return whole


def roi_align(
    x: Array,
    boxes: Array,
    images: Array,
    output: Sequence[int],
    sampling: int = 0,
    scale: float = 1.0,
    mode: str = "avg",
    half_pixel: bool = True,
) -> Array:
    """Parts of images, each of one size: means (or maxima) of interpolated points.

    Parameters
    ----------
    x : array
        Shape (N, C, height, width).
    boxes : array
        Shape (boxes, 4): left, top, right and bottom.
    images : array of integers
        For each box the image that it is of.
    output : sequence of int
        Height and width of the result.
    sampling : int
        Points in each direction of an element; 0: as many as pixels.

    Source: the ONNX operator RoiAlign; "Mask R-CNN", https://arxiv.org/abs/1703.06870.
    """
    high, wide = output
    made = np.zeros((len(boxes), x.shape[1], high, wide), x.dtype)
    shift = 0.5 if half_pixel else 0.0
    for box, image, out in zip(np.asarray(boxes, np.float32), images, made, strict=True):
        left, top, right, bottom = (box * np.float32(scale) - np.float32(shift)).tolist()
        width, height = right - left, bottom - top
        if not half_pixel:
            width, height = max(width, 1.0), max(height, 1.0)
        rows = sampling or max(int(np.ceil(height / high)), 1)
        columns = sampling or max(int(np.ceil(width / wide)), 1)
        ys = top + (np.arange(high * rows) + 0.5) * (height / high / rows)
        xs = left + (np.arange(wide * columns) + 0.5) * (width / wide / columns)
        corners, weights = _corners(x[int(image)], ys, xs)
        if mode == "avg":
            points = np.sum([c * w for c, w in zip(corners, weights, strict=True)], axis=0)
            points = points.reshape(-1, high, rows, wide, columns)
            out[...] = points.mean(axis=(2, 4))
        else:
            # The greatest of the corners by their weights, as onnxruntime and the standard have it.
            points = np.max([c * w for c, w in zip(corners, weights, strict=True)], axis=0)
            out[...] = points.reshape(-1, high, rows, wide, columns).max(axis=(2, 4))
    return made


def _corners(image: Array, ys: Array, xs: Array) -> tuple[list[Array], list[Array]]:
    """For each point the four elements around it, and their weights."""
    high, wide = image.shape[1:]
    inside = ((ys >= -1) & (ys <= high))[:, None] & ((xs >= -1) & (xs <= wide))[None, :]
    y, x = np.maximum(ys, 0.0), np.maximum(xs, 0.0)
    top, left = np.minimum(y.astype(np.int64), high - 1), np.minimum(x.astype(np.int64), wide - 1)
    y, x = np.where(top >= high - 1, high - 1, y), np.where(left >= wide - 1, wide - 1, x)
    bottom, right = np.minimum(top + 1, high - 1), np.minimum(left + 1, wide - 1)
    dy, dx = (y - top)[:, None], (x - left)[None, :]
    weights = [(1 - dy) * (1 - dx), (1 - dy) * dx, dy * (1 - dx), dy * dx]
    places = [(top, left), (top, right), (bottom, left), (bottom, right)]
    corners = [image[:, a[:, None], b[None, :]] for a, b in places]
    return corners, [w * inside for w in weights]


def max_roi_pool(x: Array, boxes: Array, output: Sequence[int], scale: float = 1.0) -> Array:
    """The greatest element in each part of each box.

    Parameters
    ----------
    boxes : array
        Shape (boxes, 5): the image, left, top, right and bottom.

    Source: the ONNX operator MaxRoiPool.
    """
    high, wide = output
    made = np.zeros((len(boxes), x.shape[1], high, wide), x.dtype)
    for (image, *sides), out in zip(np.asarray(boxes), made, strict=True):
        left, top, right, bottom = (int(np.floor(float(n) * scale + 0.5)) for n in sides)
        height, width = max(bottom - top + 1, 1), max(right - left + 1, 1)
        for i in range(high):
            a = np.clip(top + i * height // high, 0, x.shape[2])
            b = np.clip(top + -(-(i + 1) * height // high), 0, x.shape[2])
            for j in range(wide):
                c = np.clip(left + j * width // wide, 0, x.shape[3])
                d = np.clip(left + -(-(j + 1) * width // wide), 0, x.shape[3])
                if a < b and c < d:
                    out[:, i, j] = x[int(image), :, a:b, c:d].max(axis=(1, 2))
    return made
