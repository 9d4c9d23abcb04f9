"""Operators on integers by the names and in the orders of arguments of `torch.ops.quantized`.

Each is one of `quantray.ops`, or a packed layer called; these say more, and take more.

>>> import quantray as torch
>>> a = torch.quantize_per_tensor([0.5, -1.0], 0.1, 10, torch.quint8)
>>> torch.ops.quantized.add_relu(a, a, 0.1, 0).tolist()
[1.0, 0.0]
>>> w = torch.quantize_per_tensor([[1.0, -2.0]], 0.02, 0, torch.qint8)
>>> packed = torch.ops.quantized.linear_prepack(w, None)
>>> torch.ops.quantized.linear(a, packed, 0.1, 0).tolist()
[2.5]

Source: the schemas of `torch.ops.quantized`.
"""

from __future__ import annotations

import sys
from functools import partial
from typing import TYPE_CHECKING, Any, Never, TypeAlias

from quantray._core import (
    PackedConv1d,
    PackedConv2d,
    PackedConv3d,
    PackedConvTranspose1d,
    PackedConvTranspose2d,
    PackedConvTranspose3d,
    PackedLinear,
    QTensor,
    add,
    max_pool1d,
    max_pool2d,
    mul,
)
from quantray._core import elu as _elu
from quantray._core import hardswish as _hardswish
from quantray._core import leaky_relu as _leaky_relu
from quantray._core import matmul as _matmul
from quantray._core import relu6 as _relu6
from quantray._core import sigmoid as _sigmoid
from quantray._core import softmax as _softmax
from quantray.ops._scalars import add_scalar, mul_scalar
from quantray.ops._shapes import cat

if TYPE_CHECKING:
    from quantray._typing import ArrayLike, Floats, Tensor

__all__ = [
    "add",
    "add_relu",
    "add_scalar",
    "add_scalar_relu",
    "cat",
    "cat_relu",
    "clamp",
    "conv1d",
    "conv1d_prepack",
    "conv1d_relu",
    "conv1d_unpack",
    "conv2d",
    "conv2d_prepack",
    "conv2d_relu",
    "conv2d_unpack",
    "conv3d",
    "conv3d_prepack",
    "conv3d_relu",
    "conv3d_unpack",
    "conv_transpose1d",
    "conv_transpose1d_prepack",
    "conv_transpose1d_unpack",
    "conv_transpose2d",
    "conv_transpose2d_prepack",
    "conv_transpose2d_unpack",
    "conv_transpose3d",
    "conv_transpose3d_prepack",
    "conv_transpose3d_unpack",
    "elu",
    "hardswish",
    "leaky_relu",
    "linear",
    "linear_dynamic",
    "linear_prepack",
    "linear_relu",
    "linear_relu_dynamic",
    "linear_unpack",
    "matmul",
    "max_pool1d",
    "max_pool2d",
    "mul",
    "mul_relu",
    "mul_scalar",
    "mul_scalar_relu",
    "relu6",
    "sigmoid",
    "softmax",
]

#: A convolution whose weight is laid out for this CPU.
PackedConv: TypeAlias = (
    PackedConv1d
    | PackedConv2d
    | PackedConv3d
    | PackedConvTranspose1d
    | PackedConvTranspose2d
    | PackedConvTranspose3d
)

linear_prepack = PackedLinear
conv1d_prepack, conv2d_prepack, conv3d_prepack = PackedConv1d, PackedConv2d, PackedConv3d
add_relu, mul_relu = partial(add, relu=True), partial(mul, relu=True)
cat_relu = partial(cat, relu=True)


def add_scalar_relu(qa: QTensor, b: float) -> QTensor:
    """`ops.add_scalar`, then `relu`."""
    return add_scalar(qa, b).relu()


def mul_scalar_relu(qa: QTensor, b: float) -> QTensor:
    """`ops.mul_scalar`, then `relu`."""
    return mul_scalar(qa, b).relu()


def clamp(qx: QTensor, min: float | None = None, max: float | None = None) -> QTensor:
    """`qx.clamp(min, max)`."""
    return qx.clamp(min, max)


def relu6(qx: QTensor, inplace: bool = False) -> QTensor:
    """`ops.relu6` on the input's grid; `inplace` is its memory, too."""
    return qx.copy_(_relu6(qx)) if inplace else _relu6(qx)


def matmul(qa: QTensor, qb: QTensor, scale: float, zero_point: int) -> QTensor:
    """`ops.matmul`."""
    return _matmul(qa, qb, scale, zero_point)


def sigmoid(qx: QTensor, output_scale: float, output_zero_point: int) -> QTensor:
    """`ops.sigmoid`."""
    return _sigmoid(qx, output_scale, output_zero_point)


def hardswish(input: QTensor, output_scale: float, output_zero_point: int) -> QTensor:
    """`ops.hardswish`."""
    return _hardswish(input, output_scale, output_zero_point)


def softmax(qx: QTensor, dim: int, output_scale: float, output_zero_point: int) -> QTensor:
    """`ops.softmax` over `dim`."""
    return _softmax(qx, dim, output_scale, output_zero_point)


def elu(self: QTensor, output_scale: float, output_zero_point: int, alpha: float = 1.0) -> QTensor:
    """`ops.elu`."""
    return _elu(self, output_scale, output_zero_point, alpha=alpha)


def leaky_relu(
    qx: QTensor, negative_slope: float, inplace: bool, output_scale: float, output_zero_point: int
) -> QTensor:
    """`ops.leaky_relu`; `inplace` must be False, as the result has a grid of its own."""
    if inplace:
        raise ValueError("inplace must be False, got True: the result has a scale of its own")
    return _leaky_relu(qx, output_scale, output_zero_point, negative_slope=negative_slope)


def linear(X: QTensor, W_prepack: PackedLinear, Y_scale_i: float, Y_zero_point_i: int) -> QTensor:
    """The packed layer's codes."""
    return W_prepack(X, Y_scale_i, Y_zero_point_i)


def linear_relu(X: QTensor, W_prepack: PackedLinear, Y_scale_i: float, Y_zero_point_i: int) -> QTensor:
    """The packed layer's codes, none of them below 0."""
    return W_prepack(X, Y_scale_i, Y_zero_point_i, relu=True)


def conv2d(qx: QTensor, packed_weight: PackedConv, output_scale: float, output_zero_point: int) -> QTensor:
    """The packed convolution's codes."""
    return packed_weight(qx, output_scale, output_zero_point)


def conv2d_relu(
    qx: QTensor, packed_weight: PackedConv, output_scale: float, output_zero_point: int
) -> QTensor:
    """The packed convolution's codes, none of them below 0."""
    return packed_weight(qx, output_scale, output_zero_point, relu=True)


def _unpacked(packed: PackedLinear | PackedConv) -> tuple[QTensor, Tensor | None]:
    """A packed layer's weight and bias."""
    return packed.weight(), packed.bias()


# A packed layer knows its axes, and whether it is transposed.
conv1d = conv3d = conv_transpose1d = conv_transpose2d = conv_transpose3d = conv2d
conv1d_relu = conv3d_relu = conv2d_relu
linear_unpack = conv1d_unpack = conv2d_unpack = conv3d_unpack = _unpacked
conv_transpose1d_unpack = conv_transpose2d_unpack = conv_transpose3d_unpack = _unpacked


def linear_dynamic(X: ArrayLike, W_prepack: PackedLinear, reduce_range: bool = False) -> Floats:
    """Floats times packed weights: the input in 8 bits, with one scale for all of it, as torch's operator.

    `reduce_range` must be False: sums never saturate here, so that a bit to spare buys nothing.
    """
    _check_range(reduce_range)
    return W_prepack.dynamic(X)


def linear_relu_dynamic(X: ArrayLike, W_prepack: PackedLinear, reduce_range: bool = False) -> Floats:
    """`linear_dynamic`, then `relu`."""
    _check_range(reduce_range)
    return W_prepack.dynamic(X, relu=True)


def _check_range(reduce_range: bool) -> None:
    if reduce_range:
        raise ValueError("reduce_range must be False, got True: 8-bit sums never saturate here")


def _transposed(kind: Any, weight: QTensor, bias: Any, *args: Any) -> Any:
    """A packed transposed convolution, of torch's order of arguments."""
    stride, padding, output_padding, dilation, groups = args
    return kind(weight, bias, stride, padding, output_padding, groups, dilation)


conv_transpose1d_prepack = partial(_transposed, PackedConvTranspose1d)
conv_transpose2d_prepack = partial(_transposed, PackedConvTranspose2d)
conv_transpose3d_prepack = partial(_transposed, PackedConvTranspose3d)

#: The beginnings of names that are left out, and what does their work.
_INSTEAD = {
    "embedding": "quantray.ops.embedding and embedding_bag take quantized tables as they are, and "
    "quantize_per_channel with float zero points makes them",
    "batch_norm": "nn.quantized.BatchNorm2d does it",
    "layer_norm": "quantray.ops.layer_norm(input, normalized_shape, ...) does it",
    "group_norm": "nn.quantized.GroupNorm does it",
    "instance_norm": "nn.quantized.InstanceNorm2d does it",
    "celu": "nn.quantized.functional.celu does it",
    "prelu": "nn.quantized.PReLU does it",
    "threshold": "nn.quantized.functional.threshold does it",
    "conv": "packed convolutions of quantray.ops have it as an attribute, or as packed.dynamic(x)",
    "linear": "quantray.ops.PackedLinear(weight, bias) is what is packed",
    "quantized": "quantray.ops.PackedLSTMCell, PackedGRUCell and PackedRNNCell do it",
    "make": "quantray.ops.PackedLSTMCell, PackedGRUCell and PackedRNNCell do it",
    "dropout": "an evaluating model drops nothing",
}


def __getattr__(name: str) -> Never:
    found = next((text for start, text in _INSTEAD.items() if name.startswith(start)), "")
    text = f"module 'quantray.ops.quantized' has no attribute {name!r}{found and f': {found}'}"
    raise AttributeError(text, name=name, obj=sys.modules[__name__])
