"""Pools as the standard has them: padding of any kind, dilations, places of the greatest elements."""

# Arrays are of any dtype and shape: what NumPy's stubs make of them says nothing here.
# pyright: reportUnknownVariableType=false, reportUnknownMemberType=false, reportUnknownArgumentType=false

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from quantray._typing import Array
from quantray.onnx.functions._by_step import by_step

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
    arrays = [np.asarray(x, np.float32), np.asarray(boxes, np.float32), np.asarray(images, np.int64)]
    made = by_step(
        "roi_align",
        ("x", "boxes", "images"),
        arrays,
        output_size=tuple(output),
        sampling=sampling,
        scale=scale,
        mode=mode,
        half_pixel=half_pixel,
    )
    return made.astype(x.dtype, copy=False)


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
