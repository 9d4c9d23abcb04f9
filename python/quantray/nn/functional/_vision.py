"""Channels and pixels put elsewhere, and images read at given places."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, SupportsIndex

import numpy as np

from quantray._core import QTensor, quint8
from quantray.nn._tracing import traced
from quantray.nn.functional._arguments import floats
from quantray.nn.functional._shape import interpolate, reshape
from quantray.ops._like import like

if TYPE_CHECKING:
    from quantray._typing import Array, Floats, Input, PerAxis, Tensor
    from quantray.nn.functional._arguments import Factors


def _axes(input: Tensor, order: tuple[int, ...]) -> Tensor:
    return input.permute(order) if isinstance(input, QTensor) else input.transpose(order)


@traced
def channel_shuffle(input: Input, groups: SupportsIndex) -> Tensor:
    """Channels in another order: the first of each group, then the second of each, and so on.

    Parameters
    ----------
    input : array or QTensor
        Shape (N, C, lengths).
    groups : int
        A divisor of C.

    >>> import numpy as np
    >>> from quantray.nn import functional as F
    >>> F.channel_shuffle(np.arange(4).reshape(1, 4, 1), 2).ravel()
    array([0., 2., 1., 3.], dtype=float32)

    Source: `torch.nn.functional.channel_shuffle`.
    """
    shape, n = np.shape(input), groups.__index__()
    if len(shape) < 3:
        raise ValueError(f"input must be of shape (N, C, lengths), got {shape}")
    if n < 1 or shape[1] % n:
        raise ValueError(f"groups must be a divisor of the {shape[1]} channels, got {n}")
    x = reshape(input, (shape[0], n, shape[1] // n, *shape[2:]))
    return reshape(_axes(x, (0, 2, 1, *range(3, len(shape) + 1))), shape)


@traced
def native_channel_shuffle(input: Input, groups: SupportsIndex) -> Tensor:
    """The same as `channel_shuffle`.

    >>> import numpy as np
    >>> from quantray.nn import functional as F
    >>> F.native_channel_shuffle(np.arange(4).reshape(1, 4, 1), 2).shape
    (1, 4, 1)

    Source: `torch.nn.functional.native_channel_shuffle`.
    """
    return channel_shuffle(input, groups)


@traced
def pixel_shuffle(input: Input, upscale_factor: SupportsIndex) -> Tensor:
    """Channels become pixels: (..., C * r**2, H, W) becomes (..., C, H * r, W * r).

    Parameters
    ----------
    input : array or QTensor
        Of at least three axes.
    upscale_factor : int
        r, at least 1.

    >>> import numpy as np
    >>> from quantray.nn import functional as F
    >>> F.pixel_shuffle(np.arange(4).reshape(4, 1, 1), 2)
    array([[[0., 1.],
            [2., 3.]]], dtype=float32)

    Source: `torch.nn.functional.pixel_shuffle`; arXiv:1609.05158.
    """
    shape, r = np.shape(input), upscale_factor.__index__()
    if len(shape) < 3:
        raise ValueError(f"input must be of shape (..., C, H, W), got {shape}")
    *lead, c, h, w = shape
    if r < 1 or c % (r * r):
        raise ValueError(f"upscale_factor must be at least 1, its square a divisor of {c} channels, got {r}")
    x, k = reshape(input, (*lead, c // r**2, r, r, h, w)), len(lead)
    x = _axes(x, (*range(k), k, k + 3, k + 1, k + 4, k + 2))
    return reshape(x, (*lead, c // r**2, h * r, w * r))


@traced
def pixel_unshuffle(input: Input, downscale_factor: SupportsIndex) -> Tensor:
    """Pixels become channels: (..., C, H * r, W * r) becomes (..., C * r**2, H, W).

    Parameters
    ----------
    input : array or QTensor
        Of at least three axes.
    downscale_factor : int
        r, at least 1.

    >>> import numpy as np
    >>> from quantray.nn import functional as F
    >>> F.pixel_unshuffle(np.arange(4).reshape(1, 2, 2), 2).ravel()
    array([0., 1., 2., 3.], dtype=float32)

    Source: `torch.nn.functional.pixel_unshuffle`.
    """
    shape, r = np.shape(input), downscale_factor.__index__()
    if len(shape) < 3:
        raise ValueError(f"input must be of shape (..., C, H, W), got {shape}")
    *lead, c, h, w = shape
    if r < 1 or h % r or w % r:
        raise ValueError(f"downscale_factor must be a divisor of {h} and {w}, the lengths, got {r}")
    x, k = reshape(input, (*lead, c, h // r, r, w // r, r)), len(lead)
    x = _axes(x, (*range(k), k, k + 2, k + 4, k + 1, k + 3))
    return reshape(x, (*lead, c * r**2, h // r, w // r))


@traced
def upsample(
    input: Input,
    size: PerAxis | None = None,
    scale_factor: Factors | None = None,
    mode: str = "nearest",
    align_corners: bool | None = None,
) -> Tensor:
    """The same as `interpolate`.

    >>> from quantray.nn import functional as F
    >>> F.upsample([[[1.0, 2.0]]], scale_factor=2)
    array([[[1., 1., 2., 2.]]], dtype=float32)

    Source: `torch.nn.functional.upsample`.
    """
    return interpolate(input, size, scale_factor, mode, align_corners)


@traced
def upsample_nearest(
    input: Input, size: PerAxis | None = None, scale_factor: Factors | None = None
) -> Tensor:
    """`interpolate` by the element at or before a position.

    >>> from quantray.nn import functional as F
    >>> F.upsample_nearest([[[1.0, 2.0]]], scale_factor=2)
    array([[[1., 1., 2., 2.]]], dtype=float32)

    Source: `torch.nn.functional.upsample_nearest`.
    """
    return interpolate(input, size, scale_factor, "nearest")


@traced
def upsample_bilinear(
    input: Input, size: PerAxis | None = None, scale_factor: Factors | None = None
) -> Tensor:
    """`interpolate` with mode "bilinear", where first and last elements stay where they are.

    >>> import numpy as np
    >>> from quantray.nn import functional as F
    >>> F.upsample_bilinear(np.eye(2).reshape(1, 1, 2, 2), (1, 3)).ravel()
    array([1. , 0.5, 0. ], dtype=float32)

    Source: `torch.nn.functional.upsample_bilinear`.
    """
    return interpolate(input, size, scale_factor, "bilinear", True)


@traced
def grid_sample(
    input: Input,
    grid: Input,
    mode: Literal["bilinear", "nearest"] = "bilinear",
    padding_mode: Literal["zeros", "border", "reflection"] = "zeros",
    align_corners: bool | None = None,
) -> Tensor:
    """Images read at given places: means of the four elements around each, weighted by distance.

    Parameters
    ----------
    input : array, or QTensor of quint8, per tensor
        Shape (N, C, H, W).
    grid : array
        Shape (N, height, width, 2): x and y of each place, from -1 (the first column, the first row) to 1.
    mode : str
        "bilinear"; or "nearest", for floats.
    padding_mode : str
        What lies outside: "zeros", the "border", or the image mirrored ("reflection").
    align_corners : bool
        Whether -1 and 1 are the middle of the outer elements, or their outer edge (the default).

    Returns
    -------
    array of float32, or QTensor for one, shape (N, C, height, width)
        It has no gradient.

    >>> import numpy as np
    >>> from quantray.nn import functional as F
    >>> F.grid_sample(np.eye(2).reshape(1, 1, 2, 2), np.zeros((1, 1, 1, 2)))
    array([[[[0.5]]]], dtype=float32)

    Source: `torch.nn.functional.grid_sample`; arXiv:1506.02025.
    """
    quantized = isinstance(input, QTensor)
    if quantized and (input.dtype is not quint8 or input.axis is not None or mode != "bilinear"):
        raise ValueError(
            'input must be of quint8, per tensor and for mode "bilinear" (call dequantize() first), got '
            f"{input.dtype}, {input.qscheme()} and {mode!r}"
        )
    shape, places = np.shape(input), floats(grid)
    if len(shape) != 4 or places.ndim != 4 or places.shape[0] != shape[0] or places.shape[3] != 2:
        raise ValueError(
            f"grid must be of shape (N, height, width, 2) for an input (N, C, H, W), got {places.shape} "
            f"for {shape}"
        )
    if mode not in ("bilinear", "nearest"):
        raise ValueError(f'mode must be "bilinear" or "nearest", got {mode!r}')
    if padding_mode not in ("zeros", "border", "reflection"):
        raise ValueError(f'padding_mode must be "zeros", "border" or "reflection", got {padding_mode!r}')
    if 0 in shape[1:]:
        raise ValueError(f"input must have no length of 0, got {shape}")
    image = input.int_repr() if quantized else floats(input)
    zero = np.float32(input.q_zero_point() if quantized else 0)
    x = _source(places[..., 0], shape[3], padding_mode, bool(align_corners))
    y = _source(places[..., 1], shape[2], padding_mode, bool(align_corners))
    if mode == "nearest":
        return _at(image, np.rint(y), np.rint(x), zero)
    one = np.float32(1)
    left, top = np.floor(x), np.floor(y)
    right, bottom = left + one, top + one
    made = np.zeros((), np.float32)
    corners = (
        (top, left, (right - x) * (bottom - y)),
        (top, right, (x - left) * (bottom - y)),
        (bottom, left, (right - x) * (y - top)),
        (bottom, right, (x - left) * (y - top)),
    )
    for row, column, weight in corners:
        made = made + _at(image, row, column, zero) * weight[:, None]
    return like(input, np.rint(made).astype(np.uint8)) if quantized else made


def _source(at: Floats, n: int, padding_mode: str, align_corners: bool) -> Floats:
    """Places from -1 to 1 as places in elements."""
    one, half = np.float32(1), np.float32(0.5)
    at = (at + one) * half * np.float32(n - 1) if align_corners else ((at + one) * np.float32(n) - one) * half
    if padding_mode == "reflection":
        low, high = (0.0, n - 1.0) if align_corners else (-0.5, n - 0.5)
        at = _mirrored(at, np.float32(low), np.float32(high - low))
    if padding_mode != "zeros":
        at = np.clip(at, np.float32(0), np.float32(n - 1))
    # What is far outside, or no number, lies outside.
    return np.where(np.abs(at) < 2**24, at, np.float32(-100))


def _mirrored(at: Floats, low: np.float32, span: np.float32) -> Floats:
    if span == 0:
        return np.zeros_like(at)
    at = np.abs(at - low)
    rest, turns = np.fmod(at, span), np.floor(at / span)
    return np.where(turns % 2 == 0, rest + low, span - rest + low)


def _at(image: Array, row: Floats, column: Floats, outside: np.float32) -> Floats:
    """Elements at rows and columns, for each image and channel, as float32."""
    n, _, height, width = image.shape
    inside = (row >= 0) & (row < height) & (column >= 0) & (column < width)
    y = np.clip(row, 0, height - 1).astype(np.int64)
    x = np.clip(column, 0, width - 1).astype(np.int64)
    which = np.arange(int(n))[:, None, None]
    found = np.moveaxis(image[which, :, y, x], -1, 1).astype(np.float32)
    return np.where(inside[:, None], found, outside)
