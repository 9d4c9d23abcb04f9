"""Pooling of sequences, images and volumes."""

from __future__ import annotations

from typing import TYPE_CHECKING, SupportsIndex

from quantray.nn._tracing import traced
from quantray.nn.functional._pooling_windows import adaptive, avg_pool, max_pool

if TYPE_CHECKING:
    from quantray._typing import Input, PerAxis, Tensor
    from quantray.nn.functional._arguments import OutputSize


@traced
def max_pool1d(
    input: Input,
    kernel_size: PerAxis,
    stride: PerAxis | None = None,
    padding: PerAxis = 0,
    dilation: PerAxis = 1,
    ceil_mode: bool = False,
) -> Tensor:
    """The maximum of each window of sequences; see `max_pool2d`.

    Parameters
    ----------
    input : array or QTensor
        Shape (N, C, L) or (C, L).
    kernel_size, stride, padding, dilation, ceil_mode
        As for `max_pool2d`.

    >>> from quantray.nn import functional as F
    >>> F.max_pool1d([[[1.0, 3.0, 2.0, 4.0]]], 2)
    array([[[3., 4.]]], dtype=float32)

    Source: `torch.nn.functional.max_pool1d`.
    """
    return max_pool(1, input, kernel_size, stride, padding, dilation, ceil_mode)


@traced
def avg_pool1d(
    input: Input,
    kernel_size: PerAxis,
    stride: PerAxis | None = None,
    padding: PerAxis = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: SupportsIndex | None = None,
) -> Tensor:
    """The mean of each window of sequences; see `avg_pool2d`.

    Parameters
    ----------
    input : array or QTensor
        Shape (N, C, L) or (C, L).
    kernel_size, stride, padding, ceil_mode, count_include_pad, divisor_override
        As for `avg_pool2d`.

    >>> from quantray.nn import functional as F
    >>> F.avg_pool1d([[[1.0, 3.0, 2.0, 4.0]]], 2)
    array([[[2., 3.]]], dtype=float32)

    Source: `torch.nn.functional.avg_pool1d`.
    """
    return avg_pool(1, input, kernel_size, stride, padding, ceil_mode, count_include_pad, divisor_override)


@traced
def adaptive_max_pool1d(input: Input, output_size: OutputSize) -> Tensor:
    """As many maxima of windows of sequences as are wanted; see `adaptive_max_pool2d`.

    Parameters
    ----------
    input : array or QTensor
        Shape (N, C, L) or (C, L).
    output_size : int or sequence of int
        As for `adaptive_max_pool2d`.

    >>> from quantray.nn import functional as F
    >>> F.adaptive_max_pool1d([[[1.0, 3.0, 2.0, 4.0]]], 1)
    array([[[4.]]], dtype=float32)

    Source: `torch.nn.functional.adaptive_max_pool1d`.
    """
    return adaptive(1, input, output_size, "max")


@traced
def adaptive_avg_pool1d(input: Input, output_size: OutputSize) -> Tensor:
    """As many means of windows of sequences as are wanted; see `adaptive_avg_pool2d`.

    Parameters
    ----------
    input : array or QTensor
        Shape (N, C, L) or (C, L).
    output_size : int or sequence of int
        As for `adaptive_avg_pool2d`.

    >>> from quantray.nn import functional as F
    >>> F.adaptive_avg_pool1d([[[1.0, 3.0, 2.0, 4.0]]], 1)
    array([[[2.5]]], dtype=float32)

    Source: `torch.nn.functional.adaptive_avg_pool1d`.
    """
    return adaptive(1, input, output_size, "avg")


@traced
def max_pool2d(
    input: Input,
    kernel_size: PerAxis,
    stride: PerAxis | None = None,
    padding: PerAxis = 0,
    dilation: PerAxis = 1,
    ceil_mode: bool = False,
) -> Tensor:
    """The maximum of each window of images.

    Parameters
    ----------
    input : array or QTensor
        Shape (N, C, H, W) or (C, H, W).
    kernel_size : int or sequence of int
        The window's lengths.
    stride : int or sequence of int, optional
        From one window to the next; by default `kernel_size`.
    padding : int or sequence of int
        How far windows begin before the image; at most half of `kernel_size`. Nothing is there.
    dilation : int or sequence of int
        From one element of a window to the next.
    ceil_mode : bool
        Whether a last window may reach over the end.

    Returns
    -------
    array of float32, or QTensor for one
        Shape (N, C, lengths).

    >>> from quantray.nn import functional as F
    >>> F.max_pool2d([[[[1.0, 3.0], [2.0, 4.0]]]], 2)
    array([[[[4.]]]], dtype=float32)

    Source: `torch.nn.functional.max_pool2d`.
    """
    return max_pool(2, input, kernel_size, stride, padding, dilation, ceil_mode)


@traced
def avg_pool2d(
    input: Input,
    kernel_size: PerAxis,
    stride: PerAxis | None = None,
    padding: PerAxis = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: SupportsIndex | None = None,
) -> Tensor:
    """The mean of each window of images.

    Parameters
    ----------
    input : array or QTensor
        Shape (N, C, H, W) or (C, H, W).
    kernel_size : int or sequence of int
        The window's lengths.
    stride : int or sequence of int, optional
        From one window to the next; by default `kernel_size`.
    padding : int or sequence of int
        Zeros at both ends of each axis; at most half of `kernel_size`.
    ceil_mode : bool
        Whether a last window may reach over the end.
    count_include_pad : bool
        Whether padding counts as elements of a window.
    divisor_override : int, optional
        What sums are divided by, instead of the number of elements.

    Returns
    -------
    array of float32, or QTensor for one
        Shape (N, C, lengths).

    >>> from quantray.nn import functional as F
    >>> F.avg_pool2d([[[[1.0, 3.0], [2.0, 4.0]]]], 2)
    array([[[[2.5]]]], dtype=float32)

    Source: `torch.nn.functional.avg_pool2d`.
    """
    return avg_pool(2, input, kernel_size, stride, padding, ceil_mode, count_include_pad, divisor_override)


@traced
def adaptive_max_pool2d(input: Input, output_size: OutputSize) -> Tensor:
    """As many maxima of windows of images as are wanted.

    Parameters
    ----------
    input : array or QTensor
        Shape (N, C, H, W) or (C, H, W).
    output_size : int or sequence of int
        The result's lengths; None for the input's own.

    Returns
    -------
    array of float32, or QTensor for one
        Shape (N, C, *output_size).

    >>> from quantray.nn import functional as F
    >>> F.adaptive_max_pool2d([[[[1.0, 3.0], [2.0, 4.0]]]], (1, None))
    array([[[[2., 4.]]]], dtype=float32)

    Source: `torch.nn.functional.adaptive_max_pool2d`.
    """
    return adaptive(2, input, output_size, "max")


@traced
def adaptive_avg_pool2d(input: Input, output_size: OutputSize) -> Tensor:
    """As many means of windows of images as are wanted.

    Parameters
    ----------
    input : array or QTensor
        Shape (N, C, H, W) or (C, H, W).
    output_size : int or sequence of int
        The result's lengths; None for the input's own.

    Returns
    -------
    array of float32, or QTensor for one
        Shape (N, C, *output_size).

    >>> from quantray.nn import functional as F
    >>> F.adaptive_avg_pool2d([[[[1.0, 3.0], [2.0, 4.0]]]], (1, None))
    array([[[[1.5, 3.5]]]], dtype=float32)

    Source: `torch.nn.functional.adaptive_avg_pool2d`.
    """
    return adaptive(2, input, output_size, "avg")


@traced
def max_pool3d(
    input: Input,
    kernel_size: PerAxis,
    stride: PerAxis | None = None,
    padding: PerAxis = 0,
    dilation: PerAxis = 1,
    ceil_mode: bool = False,
) -> Tensor:
    """The maximum of each window of volumes; see `max_pool2d`.

    Parameters
    ----------
    input : array or QTensor
        Shape (N, C, D, H, W) or (C, D, H, W).
    kernel_size, stride, padding, dilation, ceil_mode
        As for `max_pool2d`.

    >>> import numpy as np
    >>> from quantray.nn import functional as F
    >>> F.max_pool3d(np.arange(8.0).reshape(1, 1, 2, 2, 2), 2)
    array([[[[[7.]]]]], dtype=float32)

    Source: `torch.nn.functional.max_pool3d`.
    """
    return max_pool(3, input, kernel_size, stride, padding, dilation, ceil_mode)


@traced
def avg_pool3d(
    input: Input,
    kernel_size: PerAxis,
    stride: PerAxis | None = None,
    padding: PerAxis = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: SupportsIndex | None = None,
) -> Tensor:
    """The mean of each window of volumes; see `avg_pool2d`.

    Parameters
    ----------
    input : array or QTensor
        Shape (N, C, D, H, W) or (C, D, H, W).
    kernel_size, stride, padding, ceil_mode, count_include_pad, divisor_override
        As for `avg_pool2d`.

    >>> import numpy as np
    >>> from quantray.nn import functional as F
    >>> F.avg_pool3d(np.arange(8.0).reshape(1, 1, 2, 2, 2), 2)
    array([[[[[3.5]]]]], dtype=float32)

    Source: `torch.nn.functional.avg_pool3d`.
    """
    return avg_pool(3, input, kernel_size, stride, padding, ceil_mode, count_include_pad, divisor_override)


@traced
def adaptive_max_pool3d(input: Input, output_size: OutputSize) -> Tensor:
    """As many maxima of windows of volumes as are wanted; see `adaptive_max_pool2d`.

    Parameters
    ----------
    input : array or QTensor
        Shape (N, C, D, H, W) or (C, D, H, W).
    output_size : int or sequence of int
        As for `adaptive_max_pool2d`.

    >>> import numpy as np
    >>> from quantray.nn import functional as F
    >>> F.adaptive_max_pool3d(np.arange(8.0).reshape(1, 1, 2, 2, 2), 1)
    array([[[[[7.]]]]], dtype=float32)

    Source: `torch.nn.functional.adaptive_max_pool3d`.
    """
    return adaptive(3, input, output_size, "max")


@traced
def adaptive_avg_pool3d(input: Input, output_size: OutputSize) -> Tensor:
    """As many means of windows of volumes as are wanted; see `adaptive_avg_pool2d`.

    Parameters
    ----------
    input : array or QTensor
        Shape (N, C, D, H, W) or (C, D, H, W).
    output_size : int or sequence of int
        As for `adaptive_avg_pool2d`.

    >>> import numpy as np
    >>> from quantray.nn import functional as F
    >>> F.adaptive_avg_pool3d(np.arange(8.0).reshape(1, 1, 2, 2, 2), 1)
    array([[[[[3.5]]]]], dtype=float32)

    Source: `torch.nn.functional.adaptive_avg_pool3d`.
    """
    return adaptive(3, input, output_size, "avg")
