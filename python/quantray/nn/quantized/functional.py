"""Functions of quantized tensors, with the names and arguments of `torch.ao.nn.quantized.functional`.

Whatever takes a weight packs it anew in each call: modules and `quantray.ops.PackedLinear` pack it once.

>>> import quantray as qt
>>> from quantray.nn.quantized import functional as qF
>>> q = qt.quantize_per_tensor([-1.0, 0.5, 4.0], 0.5, 10, qt.quint8)
>>> qF.clamp(q, 0.0, 1.0).tolist()
[0.0, 0.5, 1.0]
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, cast

from quantray import ops
from quantray._core import QTensor, quantize_per_tensor, quint8
from quantray.nn import functional as F

if TYPE_CHECKING:
    from quantray._typing import ArrayLike, PerAxis, QDType
    from quantray.nn.functional._arguments import Factors, OutputSize
    from quantray.nn.quantized._weights import PackedConv


__all__ = [
    "adaptive_avg_pool2d",
    "adaptive_avg_pool3d",
    "avg_pool2d",
    "avg_pool3d",
    "celu",
    "clamp",
    "conv1d",
    "conv2d",
    "conv3d",
    "elu",
    "hardsigmoid",
    "hardswish",
    "hardtanh",
    "interpolate",
    "leaky_relu",
    "linear",
    "max_pool1d",
    "max_pool2d",
    "threshold",
    "upsample",
    "upsample_bilinear",
    "upsample_nearest",
]


def _quantized(input: object, name: str = "input") -> QTensor:
    if not isinstance(input, QTensor):
        raise TypeError(
            f"{name} must be a QTensor, got {type(input).__name__}: quantize_per_tensor makes one, and "
            "quantray.nn.functional takes floats"
        )
    return input


def linear(
    input: QTensor,
    weight: QTensor,
    bias: ArrayLike | None = None,
    scale: float | None = None,
    zero_point: int | None = None,
) -> QTensor:
    """Each row times a matrix, and a bias: `input @ weight.T + bias`.

    Parameters
    ----------
    input : QTensor
        Shape (..., in_features), quint8 or qint8.
    weight : QTensor
        Shape (out_features, in_features), qint8.
    bias : array, optional
        Shape (out_features,), float32.
    scale, zero_point : float, int, optional
        Of the output; by default the input's.

    >>> import quantray as qt
    >>> x = qt.quantize_per_tensor([[1.0, 2.0]], 0.5, 0, qt.quint8)
    >>> w = qt.quantize_per_tensor([[1.0, -1.0]], 0.5, 0, qt.qint8)
    >>> qt.nn.quantized.functional.linear(x, w, scale=0.5, zero_point=10).tolist()
    [[-1.0]]

    Source: `torch.ao.nn.quantized.functional.linear`.
    """
    x = _quantized(input)
    grid = x.q_scale() if scale is None else scale, x.q_zero_point() if zero_point is None else zero_point
    return ops.PackedLinear(_quantized(weight, "weight"), bias)(x, *grid, x.dtype)


def _conv(
    packer: Callable[..., PackedConv],
    input: QTensor,
    weight: QTensor,
    bias: ArrayLike | None,
    settings: tuple[PerAxis, PerAxis | str, PerAxis, int],
    padding_mode: str,
    scale: float,
    zero_point: int,
    dtype: QDType,
) -> QTensor:
    if padding_mode != "zeros":
        raise ValueError(f"padding_mode must be 'zeros', got {padding_mode!r}: pad the input first")
    packed = packer(_quantized(weight, "weight"), bias, *settings)
    return packed(_quantized(input), scale, zero_point, dtype)


def conv1d(
    input: QTensor,
    weight: QTensor,
    bias: ArrayLike | None,
    stride: PerAxis = 1,
    padding: PerAxis | str = 0,
    dilation: PerAxis = 1,
    groups: int = 1,
    padding_mode: str = "zeros",
    scale: float = 1.0,
    zero_point: int = 0,
    dtype: QDType = quint8,
) -> QTensor:
    """Convolution of rows, (N, C, L); see `conv2d`.

    Source: `torch.ao.nn.quantized.functional.conv1d`.
    """
    settings = (stride, padding, dilation, groups)
    return _conv(ops.PackedConv1d, input, weight, bias, settings, padding_mode, scale, zero_point, dtype)


def conv2d(
    input: QTensor,
    weight: QTensor,
    bias: ArrayLike | None,
    stride: PerAxis = 1,
    padding: PerAxis | str = 0,
    dilation: PerAxis = 1,
    groups: int = 1,
    padding_mode: str = "zeros",
    scale: float = 1.0,
    zero_point: int = 0,
    dtype: QDType = quint8,
) -> QTensor:
    """Convolution of images, (N, C, H, W).

    Parameters
    ----------
    input, weight : QTensor
        The weight of shape (out_channels, in_channels / groups, kernel lengths), qint8.
    bias : array or None
        Shape (out_channels,), float32.
    stride, padding, dilation, groups, padding_mode
        As for `nn.Conv2d`; padding is of zeros.
    scale, zero_point, dtype
        Of the output.

    >>> import numpy as np, quantray as qt
    >>> x = qt.quantize_per_tensor(np.ones((1, 1, 3, 3)), 0.5, 0, qt.quint8)
    >>> w = qt.quantize_per_tensor(np.ones((1, 1, 2, 2)), 0.5, 0, qt.qint8)
    >>> qt.nn.quantized.functional.conv2d(x, w, None).tolist()
    [[[[4.0, 4.0], [4.0, 4.0]]]]

    Source: `torch.ao.nn.quantized.functional.conv2d`.
    """
    settings = (stride, padding, dilation, groups)
    return _conv(ops.PackedConv2d, input, weight, bias, settings, padding_mode, scale, zero_point, dtype)


def conv3d(
    input: QTensor,
    weight: QTensor,
    bias: ArrayLike | None,
    stride: PerAxis = 1,
    padding: PerAxis | str = 0,
    dilation: PerAxis = 1,
    groups: int = 1,
    padding_mode: str = "zeros",
    scale: float = 1.0,
    zero_point: int = 0,
    dtype: QDType = quint8,
) -> QTensor:
    """Convolution of volumes, (N, C, D, H, W); see `conv2d`.

    Source: `torch.ao.nn.quantized.functional.conv3d`.
    """
    settings = (stride, padding, dilation, groups)
    return _conv(ops.PackedConv3d, input, weight, bias, settings, padding_mode, scale, zero_point, dtype)


def adaptive_avg_pool2d(input: QTensor, output_size: OutputSize) -> QTensor:
    """Means of windows, as many of them as asked for, of images; on the input's grid."""
    return ops.adaptive_avg_pool2d(_quantized(input), output_size)


def adaptive_avg_pool3d(input: QTensor, output_size: OutputSize) -> QTensor:
    """Means of windows, as many of them as asked for, of volumes; on the input's grid."""
    return ops.adaptive_avg_pool3d(_quantized(input), output_size)


def avg_pool2d(
    input: QTensor,
    kernel_size: PerAxis,
    stride: PerAxis | None = None,
    padding: PerAxis = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
) -> QTensor:
    """Means of windows of images, on the input's grid."""
    windows = (kernel_size, stride, padding, ceil_mode, count_include_pad, divisor_override)
    return ops.avg_pool2d(_quantized(input), *windows)


def avg_pool3d(
    input: QTensor,
    kernel_size: PerAxis,
    stride: PerAxis | None = None,
    padding: PerAxis = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
) -> QTensor:
    """Means of windows of volumes, on the input's grid."""
    windows = (kernel_size, stride, padding, ceil_mode, count_include_pad, divisor_override)
    return ops.avg_pool3d(_quantized(input), *windows)


def _without_indices(return_indices: bool) -> None:
    if return_indices:
        raise ValueError("return_indices must be False for quantized tensors, got True")


def max_pool1d(
    input: QTensor,
    kernel_size: PerAxis,
    stride: PerAxis | None = None,
    padding: PerAxis = 0,
    dilation: PerAxis = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> QTensor:
    """The largest values of windows of rows."""
    _without_indices(return_indices)
    return ops.max_pool1d(_quantized(input), kernel_size, stride, padding, dilation, ceil_mode)


def max_pool2d(
    input: QTensor,
    kernel_size: PerAxis,
    stride: PerAxis | None = None,
    padding: PerAxis = 0,
    dilation: PerAxis = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> QTensor:
    """The largest values of windows of images."""
    _without_indices(return_indices)
    return ops.max_pool2d(_quantized(input), kernel_size, stride, padding, dilation, ceil_mode)


def celu(input: QTensor, scale: float, zero_point: int, alpha: float = 1.0) -> QTensor:
    """`alpha * (exp(x / alpha) - 1)` for negative x, on a grid of its own.

    Source: `torch.ao.nn.quantized.functional.celu`.
    """
    q = _quantized(input)
    return quantize_per_tensor(F.celu(q.dequantize(), alpha), scale, zero_point, q.dtype)


def elu(input: QTensor, scale: float, zero_point: int, alpha: float = 1.0) -> QTensor:
    """`alpha * (exp(x) - 1)` for negative x, on a grid of its own.

    Source: `torch.ao.nn.quantized.functional.elu`.
    """
    q = _quantized(input)
    return ops.elu(q, scale, zero_point, q.dtype, alpha=alpha)


def hardswish(input: QTensor, scale: float, zero_point: int) -> QTensor:
    """`x * relu6(x + 3) / 6`, on a grid of its own.

    Source: `torch.ao.nn.quantized.functional.hardswish`.
    """
    q = _quantized(input)
    return ops.hardswish(q, scale, zero_point, q.dtype)


def _maybe_in_place(input: QTensor, output: QTensor, inplace: bool) -> QTensor:
    return input.copy_(output) if inplace else output


def hardsigmoid(input: QTensor, inplace: bool = False) -> QTensor:
    """`relu6(x + 3) / 6`, with a scale of 1 / 256; in place, on the input's grid.

    Source: `torch.ao.nn.quantized.functional.hardsigmoid`.
    """
    return _maybe_in_place(input, ops.hardsigmoid(_quantized(input)), inplace)


def hardtanh(input: QTensor, min_val: float = -1.0, max_val: float = 1.0, inplace: bool = False) -> QTensor:
    """Values cut to a range, on the input's grid.

    Source: `torch.ao.nn.quantized.functional.hardtanh`.
    """
    made = F.hardtanh(_quantized(input), min_val, max_val)
    return _maybe_in_place(input, cast("QTensor", made), inplace)


def leaky_relu(
    input: QTensor,
    negative_slope: float = 0.01,
    inplace: bool = False,
    scale: float | None = None,
    zero_point: int | None = None,
) -> QTensor:
    """`negative_slope * x` for negative x, on the input's grid or one of its own.

    Source: `torch.ao.nn.quantized.functional.leaky_relu`.
    """
    q = _quantized(input)
    if (scale is None) != (zero_point is None):
        raise ValueError(f"scale and zero_point must be given together, got {scale} and {zero_point}")
    if scale is not None:
        if inplace:
            raise ValueError("inplace must be False for an output with a scale of its own, got True")
        return ops.leaky_relu(q, scale, zero_point, q.dtype, negative_slope=negative_slope)
    return _maybe_in_place(q, ops.leaky_relu(q, negative_slope=negative_slope), inplace)


def clamp(input: QTensor, min_: float, max_: float) -> QTensor:
    """Values cut to a range, on the input's grid.

    Source: `torch.ao.nn.quantized.functional.clamp`.
    """
    return _quantized(input).clamp(min_, max_)


def threshold(input: QTensor, threshold: float, value: float) -> QTensor:
    """Values up to `threshold` become `value`, on the input's grid.

    Source: `torch.ao.nn.quantized.functional.threshold`.
    """
    return cast("QTensor", F.threshold(_quantized(input), threshold, value))


def interpolate(
    input: QTensor,
    size: PerAxis | None = None,
    scale_factor: Factors | None = None,
    mode: str = "nearest",
    align_corners: bool | None = None,
) -> QTensor:
    """Images of another size, on the input's grid.

    Source: `torch.ao.nn.quantized.functional.interpolate`.
    """
    return ops.interpolate(_quantized(input), size, scale_factor, mode, bool(align_corners))


def upsample(
    input: QTensor,
    size: PerAxis | None = None,
    scale_factor: Factors | None = None,
    mode: str = "nearest",
    align_corners: bool | None = None,
) -> QTensor:
    """`interpolate`, by its old name."""
    return interpolate(input, size, scale_factor, mode, align_corners)


def upsample_bilinear(
    input: QTensor, size: PerAxis | None = None, scale_factor: Factors | None = None
) -> QTensor:
    """Images of another size, by means of four neighbours; corners stay corners."""
    return interpolate(input, size, scale_factor, "bilinear", True)


def upsample_nearest(
    input: QTensor, size: PerAxis | None = None, scale_factor: Factors | None = None
) -> QTensor:
    """Images of another size, by the nearest pixel."""
    return interpolate(input, size, scale_factor, "nearest")
