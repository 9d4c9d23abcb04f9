"""Transposed convolutions: what they mean, their arguments, and their gradients."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, SupportsIndex

import numpy as np

from quantray.nn._gradients import differentiable
from quantray.nn._tracing import traced
from quantray.nn.functional._arguments import check_lengths, floats, per_axis
from quantray.nn.functional._conv import channels_last, channels_second, check_weight, sum_of_pixels
from quantray.nn.functional._windows import Geometry, correlate, relate, spread

if TYPE_CHECKING:
    from quantray._typing import Array, Floats, Input, PerAxis
    from quantray.nn._gradients import Vjp


@differentiable
def _conv_transpose(
    input: Input, weight: Input, bias: Input | None, geometry: Geometry, lengths: tuple[int, ...]
) -> Floats:
    dims = len(geometry.kernel)
    x = np.ascontiguousarray(channels_last(input, dims))
    y = spread(x, floats(weight), geometry, lengths)
    if bias is not None:
        y += floats(bias)
    return channels_second(y, np.ndim(input) == dims + 2)


@_conv_transpose.gradient
def _conv_transpose_gradient(
    wanted: Sequence[int],
    out: Floats,
    input: Input,
    weight: Input,
    bias: Input | None,
    geometry: Geometry,
    lengths: tuple[int, ...],
) -> Vjp[Floats]:
    dims, batched = len(geometry.kernel), np.ndim(input) == len(geometry.kernel) + 2
    x, w = np.ascontiguousarray(channels_last(input, dims)), floats(weight)

    def vjp(g: Floats) -> list[Array]:
        g = channels_last(g, dims)
        each = {
            0: lambda: channels_second(correlate(g, w, geometry), batched),
            1: lambda: relate(g, x, geometry),
            2: lambda: sum_of_pixels(g),
        }
        return [each[i]() for i in wanted]

    return vjp


def transposed_lengths(
    lengths: Sequence[int],
    kernel: Sequence[int],
    stride: Sequence[int],
    padding: Sequence[int],
    output_padding: Sequence[int],
    dilation: Sequence[int],
) -> tuple[int, ...]:
    """The lengths that a transposed convolution makes."""
    settings = zip(lengths, kernel, stride, padding, output_padding, dilation, strict=True)
    return tuple((n - 1) * s - 2 * p + d * (k - 1) + more + 1 for n, k, s, p, more, d in settings)


def _transposed(
    dims: int,
    input: Input,
    weight: Input,
    bias: Input | None,
    stride: PerAxis,
    padding: PerAxis,
    output_padding: PerAxis,
    groups: SupportsIndex,
    dilation: PerAxis,
) -> Floats:
    x, w = np.shape(input), np.shape(weight)
    check_lengths(x, dims)
    check_weight(x, w, bias, dims, groups.__index__(), flip=True)
    stride, dilation = per_axis(stride, dims, "stride"), per_axis(dilation, dims, "dilation")
    pads, more = per_axis(padding, dims, "padding", 0), per_axis(output_padding, dims, "output_padding", 0)
    if any(m >= max(s, d) for m, s, d in zip(more, stride, dilation, strict=True)):
        raise ValueError(f"output_padding must be less than stride or dilation, got {output_padding}")
    lengths = transposed_lengths(x[-dims:], w[2:], stride, pads, more, dilation)
    if min(lengths) < 1 or math.prod(x[-dims:]) == 0:
        raise ValueError(f"padding must leave an output at least 1 long, got {pads}, which leaves {lengths}")
    geometry = Geometry(w[2:], stride, tuple((p, p) for p in pads), dilation, groups.__index__())
    return _conv_transpose(input, weight, bias, geometry, lengths)


@traced
def conv_transpose1d(
    input: Input,
    weight: Input,
    bias: Input | None = None,
    stride: PerAxis = 1,
    padding: PerAxis = 0,
    output_padding: PerAxis = 0,
    groups: SupportsIndex = 1,
    dilation: PerAxis = 1,
) -> Floats:
    """Transposed convolution of sequences; see `conv_transpose2d`.

    Parameters
    ----------
    input : array
        Shape (N, C, L) or (C, L).
    weight : array
        Shape (C, out_channels / groups, k).
    bias, stride, padding, output_padding, groups, dilation
        As for `conv_transpose2d`.

    >>> from quantray.nn import functional as F
    >>> F.conv_transpose1d([[[1.0, 2.0]]], [[[1.0, 10.0]]], stride=2)
    array([[[ 1., 10.,  2., 20.]]], dtype=float32)

    Source: `torch.nn.functional.conv_transpose1d`.
    """
    return _transposed(1, input, weight, bias, stride, padding, output_padding, groups, dilation)


@traced
def conv_transpose2d(
    input: Input,
    weight: Input,
    bias: Input | None = None,
    stride: PerAxis = 1,
    padding: PerAxis = 0,
    output_padding: PerAxis = 0,
    groups: SupportsIndex = 1,
    dilation: PerAxis = 1,
) -> Floats:
    """Transposed convolution of images: each pixel adds a kernel, times its value, to the pixels around.

    Parameters
    ----------
    input : array
        Shape (N, C, H, W), or (C, H, W) for one image.
    weight : array
        Shape (C, out_channels / groups, kH, kW).
    bias : array, optional
        Shape (out_channels,).
    stride, dilation : int or sequence of int
        Of the output: pixels from one kernel to the next; from one element of the kernel to the next.
    padding : int or sequence of int
        Pixels that are cut off at both ends of each axis.
    output_padding : int or sequence of int
        Pixels more at each axis's end; less than `stride` or `dilation`.
    groups : int
        Parts of the channels that are each for themselves.

    Returns
    -------
    array of float32
        Shape (N, out_channels, lengths), with
        `(n - 1) * stride - 2 * padding + dilation * (k - 1) + output_padding + 1` for a length n.

    >>> import numpy as np
    >>> from quantray.nn import functional as F
    >>> F.conv_transpose2d([[[[1.0, 2.0]]]], np.ones((1, 1, 2, 2)))
    array([[[[1., 3., 2.],
             [1., 3., 2.]]]], dtype=float32)

    Source: `torch.nn.functional.conv_transpose2d`.
    """
    return _transposed(2, input, weight, bias, stride, padding, output_padding, groups, dilation)


@traced
def conv_transpose3d(
    input: Input,
    weight: Input,
    bias: Input | None = None,
    stride: PerAxis = 1,
    padding: PerAxis = 0,
    output_padding: PerAxis = 0,
    groups: SupportsIndex = 1,
    dilation: PerAxis = 1,
) -> Floats:
    """Transposed convolution of volumes; see `conv_transpose2d`.

    Parameters
    ----------
    input : array
        Shape (N, C, D, H, W) or (C, D, H, W).
    weight : array
        Shape (C, out_channels / groups, kD, kH, kW).
    bias, stride, padding, output_padding, groups, dilation
        As for `conv_transpose2d`.

    >>> import numpy as np
    >>> from quantray.nn import functional as F
    >>> F.conv_transpose3d(np.ones((1, 1, 1, 1, 1)), np.ones((1, 4, 2, 3, 3)), stride=2).shape
    (1, 4, 2, 3, 3)

    Source: `torch.nn.functional.conv_transpose3d`.
    """
    return _transposed(3, input, weight, bias, stride, padding, output_padding, groups, dilation)
