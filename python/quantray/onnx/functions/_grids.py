"""Images that are looked up between their elements, and boxes in them."""

# Arrays are of any dtype and shape: what NumPy's stubs make of them says nothing here.
# pyright: reportUnknownVariableType=false, reportUnknownMemberType=false, reportUnknownArgumentType=false

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from quantray._typing import Array, ArrayLike
from quantray.onnx.functions._by_step import by_step


def grid_sample(
    x: Array, grid: Array, mode: str = "bilinear", padding: str = "zeros", align_corners: bool = False
) -> Array:
    """Elements at places from -1 to 1, by the elements around these.

    Parameters
    ----------
    x : array
        Shape (N, C, lengths), with one length or more.
    grid : array
        Shape (N, outputs, number of lengths); the last axis begins with the last length's places.
    mode : str
        "bilinear", "nearest" or "bicubic".
    padding : str
        What is outside: "zeros", "border" or "reflection".
    align_corners : bool
        Whether -1 and 1 are the middles of the first and the last element, and not their ends.

    Source: the ONNX operator GridSample.
    """
    lengths = x.shape[2:]
    if grid.shape[-1] != len(lengths) or grid.shape[0] != x.shape[0]:
        raise ValueError(
            f"a grid for images of shape {x.shape} must be (N, ..., {len(lengths)}), got {grid.shape}"
        )
    at = [_place(grid[..., -1 - i], n, align_corners) for i, n in enumerate(lengths)]
    if mode != "bicubic":
        at = [_inside(a, n, padding, align_corners) for a, n in zip(at, lengths, strict=True)]
    if mode == "nearest":
        return _looked_up(x, [np.rint(a).astype(np.int64) for a in at], padding, align_corners)
    offsets = range(2) if mode == "bilinear" else range(-1, 3)
    base = [np.floor(a).astype(np.int64) for a in at]
    parts = [a - b for a, b in zip(at, base, strict=True)]
    total: Array | int = 0
    for index in np.ndindex(*[len(offsets)] * len(lengths)):
        shift = [offsets[i] for i in index]
        weight = np.ones_like(parts[0])
        for part, s in zip(parts, shift, strict=True):
            distance = np.abs(part - s)
            weight = weight * (1 - distance if mode == "bilinear" else _cubic(distance))
        found = _looked_up(x, [b + s for b, s in zip(base, shift, strict=True)], padding, align_corners)
        total = total + found * weight[:, None]
    return np.asarray(total, x.dtype)


def _place(at: Array, n: int, align_corners: bool) -> Array:
    return (at + 1) / 2 * (n - 1) if align_corners else ((at + 1) * n - 1) / 2


def _limits(n: int, align_corners: bool) -> tuple[float, float]:
    return (0.0, n - 1.0) if align_corners else (-0.5, n - 0.5)


def _inside(at: Array, n: int, padding: str, align_corners: bool) -> Array:
    if padding == "border":
        return np.clip(at, 0, n - 1)
    if padding == "reflection":
        return (
            np.clip(_mirrored(at, *_limits(n, align_corners)), 0, n - 1)
            if not align_corners
            else _mirrored(at, *_limits(n, align_corners))
        )
    return at


def _mirrored(at: Array, low: float, high: float) -> Array:
    span = high - low
    if span <= 0:
        return np.zeros_like(at)
    beyond = np.abs(at - low)
    turns = np.floor(beyond / span)
    rest = beyond - turns * span
    return np.where(turns % 2 == 0, rest + low, high - rest)


def _looked_up(x: Array, index: Sequence[Array], padding: str, align_corners: bool) -> Array:
    """Elements by integers for each axis; shape (N, C, outputs)."""
    lengths = x.shape[2:]
    inside: Array = np.ones((), np.bool_)
    bounded: list[Array] = []
    for i, n in zip(index, lengths, strict=True):
        if padding == "reflection":
            i = np.rint(_mirrored(i.astype(np.float64), *_limits(n, align_corners))).astype(np.int64)
        inside = inside & (i >= 0) & (i < n)
        bounded.append(np.clip(i, 0, n - 1))
    images = np.arange(len(x)).reshape(-1, *(1,) * (bounded[0].ndim - 1))
    found = np.moveaxis(x, 1, -1)[(images, *bounded)]
    found = np.moveaxis(found, -1, 1)
    return found * inside[:, None] if padding == "zeros" else found


def _cubic(distance: Array, a: float = -0.75) -> Array:
    near = ((a + 2) * distance - (a + 3)) * distance * distance + 1
    far = ((a * distance - 5 * a) * distance + 8 * a) * distance - 4 * a
    return np.where(distance <= 1, near, np.where(distance < 2, far, 0.0))


def affine_grid(theta: Array, size: Sequence[int], align_corners: bool = False) -> Array:
    """Places for `grid_sample`, which a matrix moves.

    Parameters
    ----------
    theta : array
        Shape (N, 2, 3) or (N, 3, 4).
    size : sequence of int
        (N, C, lengths) of the images that are wanted.

    Source: the ONNX operator AffineGrid.
    """
    lengths = [int(n) for n in size[2:]]
    steps = [np.linspace(-1, 1, n) if align_corners else (2 * np.arange(n) + 1) / n - 1 for n in lengths]
    if any(n == 1 for n in lengths) and align_corners:
        steps = [np.zeros(1) if n == 1 else s for n, s in zip(lengths, steps, strict=True)]
    axes = np.meshgrid(*steps, indexing="ij")
    points = np.stack([*axes[::-1], np.ones_like(axes[0])], -1).reshape(-1, len(lengths) + 1)
    made = points @ np.swapaxes(np.asarray(theta, np.float64), 1, 2)
    return made.reshape(len(theta), *lengths, len(lengths)).astype(np.float32)


def deform_conv(
    x: Array,
    weight: Array,
    offset: Array,
    bias: Array | None = None,
    mask: Array | None = None,
    strides: Sequence[int] = (1, 1),
    pads: Sequence[int] = (0, 0, 0, 0),
    dilations: Sequence[int] = (1, 1),
    groups: int = 1,
    offset_groups: int = 1,
) -> Array:
    """A convolution whose windows look elements up at places that are given.

    Parameters
    ----------
    x : array
        Shape (N, C, height, width).
    weight : array
        Shape (outputs, C / groups, kernel height, kernel width).
    offset : array
        Shape (N, offset_groups * kernel size * 2, output height, output width): how far places are moved.
    bias, mask : array, optional
        The mask is a factor for each place.

    Source: the ONNX operator DeformConv; "Deformable ConvNets v2", https://arxiv.org/abs/1811.11168.
    """
    n, c = x.shape[:2]
    outputs, each, kh, kw = weight.shape
    high, wide = offset.shape[2:]
    if offset.shape[1] != offset_groups * kh * kw * 2 or c % offset_groups or c != each * groups:
        raise ValueError(
            f"offsets of shape {offset.shape} do not fit images {x.shape} and weights {weight.shape}"
        )
    moves = offset.reshape(n, offset_groups, kh, kw, 2, high, wide)
    factors = None if mask is None else mask.reshape(n, offset_groups, kh, kw, high, wide)
    rows = (np.arange(high) * strides[0] - pads[0])[:, None] + np.zeros((1, wide))
    columns = (np.arange(wide) * strides[1] - pads[1])[None, :] + np.zeros((high, 1))
    sampled = np.empty((n, c, kh, kw, high, wide), np.float32)
    share = c // offset_groups
    for group in range(offset_groups):
        part = x[:, group * share : (group + 1) * share]
        for i, j in np.ndindex(kh, kw):
            ys = rows + i * dilations[0] + moves[:, group, i, j, 0]
            xs = columns + j * dilations[1] + moves[:, group, i, j, 1]
            found = _between(part, ys, xs)
            if factors is not None:
                found = found * factors[:, group, i, j][:, None]
            sampled[:, group * share : (group + 1) * share, i, j] = found
    parts: list[Array] = []
    for g in range(groups):
        own = weight[g * (outputs // groups) : (g + 1) * (outputs // groups)]
        parts.append(
            np.einsum("ocij,ncijhw->nohw", own, sampled[:, g * each : (g + 1) * each], optimize=True)
        )
    made = np.concatenate(parts, 1)
    return made if bias is None else made + bias.reshape(1, -1, 1, 1)


def _between(x: Array, ys: Array, xs: Array) -> Array:
    """Elements of each image at its own places, by the four around each; zeros outside."""
    top, left = np.floor(ys).astype(np.int64), np.floor(xs).astype(np.int64)
    total: Array | int = 0
    for i, j in np.ndindex(2, 2):
        weight = (1 - np.abs(ys - (top + i))) * (1 - np.abs(xs - (left + j)))
        total = total + _looked_up(x, [top + i, left + j], "zeros", True) * weight[:, None]
    return np.asarray(total)


def col2im(
    x: Array,
    image: Sequence[int],
    block: Sequence[int],
    strides: Sequence[int],
    pads: Sequence[int],
    dilations: Sequence[int],
) -> Array | None:
    """Images of their windows: what overlaps is added.

    Parameters
    ----------
    x : array
        Shape (N, C * size of a window, windows).

    Source: the ONNX operator Col2Im.
    """
    dims = len(image)
    padded = [n + pads[i] + pads[dims + i] for i, n in enumerate(image)]
    counts = [
        (p - d * (k - 1) - 1) // s + 1 for p, d, k, s in zip(padded, dilations, block, strides, strict=True)
    ]
    if x.shape[1] % int(np.prod(block)) or x.shape[2] != int(np.prod(counts)):
        raise ValueError(
            f"windows of shape {x.shape} are not those of images {list(image)} by blocks {list(block)}"
        )
    windows = x.reshape(len(x), -1, *block, *counts)
    made = np.zeros((len(x), windows.shape[1], *padded), x.dtype)
    for index in np.ndindex(*block):
        spans = tuple(
            slice(i * d, i * d + (c - 1) * s + 1, s)
            for i, d, c, s in zip(index, dilations, counts, strides, strict=True)
        )
        made[(slice(None), slice(None), *spans)] += windows[(slice(None), slice(None), *index)]
    inner = tuple(slice(pads[i], pads[i] + n) for i, n in enumerate(image))
    return made[(slice(None), slice(None), *inner)]


def non_max_suppression(
    boxes: Array,
    scores: Array,
    limit: ArrayLike | None = None,
    overlap: ArrayLike | None = None,
    least: ArrayLike | None = None,
    centred: bool = False,
) -> Array:
    """Boxes that no better one of their class covers.

    Parameters
    ----------
    boxes : array
        Shape (N, boxes, 4): two corners, (y, x, y, x), or, if `centred`, (x, y, width, height).
    scores : array
        Shape (N, classes, boxes).
    limit : array, optional
        How many boxes there are for each class; none by default.
    overlap, least : array, optional
        Boxes of a greater intersection over union are left out, and those of no greater score. What has no
        area covers nothing; a score that is no number is the least.

    Returns
    -------
    array of int64
        Shape (found, 3): image, class and box.

    Source: the ONNX operator NonMaxSuppression.
    """
    at_most = 0 if limit is None else int(np.asarray(limit).reshape(-1)[0])
    bound = 0.0 if overlap is None else float(np.asarray(overlap).reshape(-1)[0])
    lowest = None if least is None else float(np.asarray(least).reshape(-1)[0])
    arrays = [np.asarray(boxes, np.float32), np.asarray(scores, np.float32)]
    how = {"limit": at_most, "overlap": bound, "least": lowest, "centred": centred}
    return by_step("non_max_suppression", ("boxes", "scores"), arrays, **how)
