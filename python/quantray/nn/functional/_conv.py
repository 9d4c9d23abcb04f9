"""Convolutions: what they mean, their arguments, and their gradients.

The work is in `_windows`, on arrays with the channels last: one image's rows are then matrices as they lie.
Results are views of such arrays with the channels second, so that a chain of layers never reorders its
images.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal, SupportsIndex

import numpy as np

from quantray.nn._gradients import differentiable
from quantray.nn._tracing import traced
from quantray.nn.functional._arguments import check_lengths, floats, per_axis
from quantray.nn.functional._windows import Geometry, correlate, relate, spread

if TYPE_CHECKING:
    from quantray._typing import Array, Floats, Input, PerAxis
    from quantray.nn._gradients import Vjp


def channels_last(x: Input, dims: int) -> Floats:
    """Images as a batch with the channels last; (C, lengths) is a batch of one."""
    x = floats(x)
    return np.moveaxis(x if x.ndim == dims + 2 else x[None], 1, -1)


def channels_second(y: Floats, batched: bool) -> Floats:
    y = np.moveaxis(y, -1, 1)
    return y if batched else y[0]


def sum_of_pixels(g: Floats) -> Floats:
    """The sum over all but the last axis, of each image first: rounding errors stay small."""
    return g.reshape(len(g), -1, g.shape[-1]).sum(1).sum(0, dtype=np.float64)


@differentiable
def _conv(input: Input, weight: Input, bias: Input | None, geometry: Geometry) -> Floats:
    dims = len(geometry.kernel)
    x, w = channels_last(input, dims), floats(weight)
    if 1 < geometry.groups == x.shape[-1] < len(w):
        # Several filters of one channel each: as many copies of it are filtered as other single channels are.
        x = np.repeat(x, len(w) // geometry.groups, -1)
        geometry = geometry._replace(groups=len(w))
    y = correlate(x, w, geometry)
    if bias is not None:
        y += floats(bias)
    return channels_second(y, np.ndim(input) == dims + 2)


@_conv.gradient
def _conv_gradient(
    wanted: Sequence[int], out: Floats, input: Input, weight: Input, bias: Input | None, geometry: Geometry
) -> Vjp[Floats]:
    dims, batched = len(geometry.kernel), np.ndim(input) == len(geometry.kernel) + 2
    x, w = channels_last(input, dims), floats(weight)

    def vjp(g: Floats) -> list[Array]:
        g = np.ascontiguousarray(channels_last(g, dims))
        each = {
            0: lambda: channels_second(spread(g, w, geometry, x.shape[1:-1]), batched),
            1: lambda: relate(x, g, geometry),
            2: lambda: sum_of_pixels(g),
        }
        return [each[i]() for i in wanted]

    return vjp


def _sides(
    padding: PerAxis | str, dims: int, kernel: Sequence[int], stride: Sequence[int], dilation: Sequence[int]
) -> tuple[tuple[int, int], ...]:
    """How many zeros there are before and after each axis."""
    if isinstance(padding, str):
        if padding not in ("same", "valid"):
            raise ValueError(f'padding must be integers, "same" or "valid", got {padding!r}')
        if padding == "valid":
            return ((0, 0),) * dims
        if max(stride) > 1:
            raise ValueError(f'padding "same" must go with a stride of 1, got {tuple(stride)}')
        reach = [d * (k - 1) for k, d in zip(kernel, dilation, strict=True)]
        return tuple((r // 2, r - r // 2) for r in reach)
    return tuple((p, p) for p in per_axis(padding, dims, "padding", 0))


def check_weight(
    x: Sequence[int], w: Sequence[int], bias: Input | None, dims: int, groups: int, flip: bool
) -> None:
    """Raises where channels do not fit; `flip` for transposed convolution, whose weight has inputs first."""
    first, second = ("in", "out") if flip else ("out", "in")
    if len(w) != dims + 2 or 0 in w[2:]:
        lengths = ", ".join(["k"] * dims)
        named = f"({first}_channels, {second}_channels / groups, {lengths})"
        raise ValueError(f"weight must be of shape {named}, got {tuple(w)}")
    if groups < 1 or w[0] % groups:
        raise ValueError(f"groups must divide {first}_channels, {w[0]}, got {groups}")
    channels = w[0] if flip else w[1] * groups
    if x[-dims - 1] != channels:
        raise ValueError(
            f"input must have {channels} channels for a weight of shape {tuple(w)} and groups={groups}, "
            f"got shape {tuple(x)}"
        )
    made = w[1] * groups if flip else w[0]
    if bias is not None and np.shape(bias) != (made,):
        raise ValueError(f"bias must be of shape ({made},), got {np.shape(bias)}")


def _convolution(
    dims: int,
    input: Input,
    weight: Input,
    bias: Input | None,
    stride: PerAxis,
    padding: PerAxis | str,
    dilation: PerAxis,
    groups: SupportsIndex,
) -> Floats:
    x, w = np.shape(input), np.shape(weight)
    check_lengths(x, dims)
    check_weight(x, w, bias, dims, groups.__index__(), flip=False)
    stride, dilation = per_axis(stride, dims, "stride"), per_axis(dilation, dims, "dilation")
    sides = _sides(padding, dims, w[2:], stride, dilation)
    geometry = Geometry(w[2:], stride, sides, dilation, groups.__index__())
    if min(geometry.outputs(x[-dims:])) < 1:
        raise ValueError(
            f"input must be as long as the kernel at least, which reaches over {geometry.reach}, "
            f"got lengths {x[-dims:]} and padding {sides}"
        )
    return _conv(input, weight, bias, geometry)


@traced
def conv1d(
    input: Input,
    weight: Input,
    bias: Input | None = None,
    stride: PerAxis = 1,
    padding: PerAxis | Literal["same", "valid"] = 0,
    dilation: PerAxis = 1,
    groups: SupportsIndex = 1,
) -> Floats:
    """Convolution of sequences; see `conv2d`.

    Parameters
    ----------
    input : array
        Shape (N, C, L) or (C, L).
    weight : array
        Shape (out_channels, C / groups, k).
    bias, stride, padding, dilation, groups
        As for `conv2d`.

    >>> from quantray.nn import functional as F
    >>> F.conv1d([[[1.0, 2.0, 4.0]]], [[[1.0, -1.0]]])
    array([[[-1., -2.]]], dtype=float32)

    Source: `torch.nn.functional.conv1d`.
    """
    return _convolution(1, input, weight, bias, stride, padding, dilation, groups)


@traced
def conv2d(
    input: Input,
    weight: Input,
    bias: Input | None = None,
    stride: PerAxis = 1,
    padding: PerAxis | Literal["same", "valid"] = 0,
    dilation: PerAxis = 1,
    groups: SupportsIndex = 1,
) -> Floats:
    """Convolution of images: at each position, the products of a kernel and the pixels around, summed.

    Parameters
    ----------
    input : array
        Shape (N, C, H, W), or (C, H, W) for one image.
    weight : array
        Shape (out_channels, C / groups, kH, kW).
    bias : array, optional
        Shape (out_channels,).
    stride, dilation : int or sequence of int
        Pixels from one position to the next; from one element of the kernel to the next.
    padding : int or sequence of int, "same" or "valid"
        Zeros at both ends of each axis; "same": as many as give the input's lengths, with a stride of 1.
    groups : int
        Parts of the channels that are convolved each for itself.

    Returns
    -------
    array of float32
        Shape (N, out_channels, lengths), a view of an array with the channels last; with
        `floor((n + 2 * padding - dilation * (k - 1) - 1) / stride) + 1` for a length n.

    >>> import numpy as np
    >>> from quantray.nn import functional as F
    >>> F.conv2d(np.ones((1, 1, 2, 2)), np.ones((1, 1, 2, 2)), padding=1)
    array([[[[1., 2., 1.],
             [2., 4., 2.],
             [1., 2., 1.]]]], dtype=float32)

    Source: `torch.nn.functional.conv2d`.
    """
    return _convolution(2, input, weight, bias, stride, padding, dilation, groups)


@traced
def conv3d(
    input: Input,
    weight: Input,
    bias: Input | None = None,
    stride: PerAxis = 1,
    padding: PerAxis | Literal["same", "valid"] = 0,
    dilation: PerAxis = 1,
    groups: SupportsIndex = 1,
) -> Floats:
    """Convolution of volumes; see `conv2d`.

    Parameters
    ----------
    input : array
        Shape (N, C, D, H, W) or (C, D, H, W).
    weight : array
        Shape (out_channels, C / groups, kD, kH, kW).
    bias, stride, padding, dilation, groups
        As for `conv2d`.

    >>> import numpy as np
    >>> from quantray.nn import functional as F
    >>> F.conv3d(np.ones((1, 2, 3, 3, 3)), np.ones((1, 2, 3, 3, 3))).tolist()
    [[[[[54.0]]]]]

    Source: `torch.nn.functional.conv3d`.
    """
    return _convolution(3, input, weight, bias, stride, padding, dilation, groups)
