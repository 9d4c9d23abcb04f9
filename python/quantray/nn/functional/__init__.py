"""Functions of arrays, with torch.nn.functional's names and arguments; each knows its gradient.

They take float arrays, or whatever NumPy makes one of. Given a QTensor, those that have an integer version in
`quantray.ops` return a QTensor by it; the others dequantize it.

>>> from quantray.nn import functional as F
>>> F.relu([-1.0, 2.0])
array([0., 2.], dtype=float32)
"""

import sys
from typing import Never

from quantray._advice import advice
from quantray.nn.functional._activation import (
    elu,
    gelu,
    hardsigmoid,
    hardswish,
    hardtanh,
    leaky_relu,
    prelu,
    relu,
    relu6,
    sigmoid,
    silu,
    softplus,
    tanh,
)
from quantray.nn.functional._arithmetic import add, matmul, mul
from quantray.nn.functional._attention import scaled_dot_product_attention
from quantray.nn.functional._conv import conv1d, conv2d, conv3d
from quantray.nn.functional._conv_transpose import conv_transpose1d, conv_transpose2d, conv_transpose3d
from quantray.nn.functional._divergence import binary_cross_entropy, kl_div
from quantray.nn.functional._dropout import (
    alpha_dropout,
    dropout,
    dropout1d,
    dropout2d,
    dropout3d,
    feature_alpha_dropout,
    feature_dropout,
)
from quantray.nn.functional._embedding import embedding, embedding_bag
from quantray.nn.functional._formulas import (
    glu,
    hardshrink,
    logsigmoid,
    mish,
    selu,
    softmin,
    softshrink,
    softsign,
    tanhshrink,
)
from quantray.nn.functional._huber import huber_loss, smooth_l1_loss
from quantray.nn.functional._in_place import celu_, elu_, hardtanh_, leaky_relu_, relu_, threshold_
from quantray.nn.functional._layer_norm import layer_norm, rms_norm
from quantray.nn.functional._linear import linear
from quantray.nn.functional._loss import (
    binary_cross_entropy_with_logits,
    cross_entropy,
    l1_loss,
    mse_loss,
    nll_loss,
)
from quantray.nn.functional._norm import batch_norm, group_norm, instance_norm
from quantray.nn.functional._pooling import (
    adaptive_avg_pool1d,
    adaptive_avg_pool2d,
    adaptive_avg_pool3d,
    adaptive_max_pool1d,
    adaptive_max_pool2d,
    adaptive_max_pool3d,
    avg_pool1d,
    avg_pool2d,
    avg_pool3d,
    max_pool1d,
    max_pool2d,
    max_pool3d,
)
from quantray.nn.functional._shape import cat, flatten, interpolate, pad, unflatten
from quantray.nn.functional._softmax import log_softmax, softmax
from quantray.nn.functional._threshold import celu, threshold
from quantray.nn.functional._vision import (
    channel_shuffle,
    grid_sample,
    native_channel_shuffle,
    pixel_shuffle,
    pixel_unshuffle,
    upsample,
    upsample_bilinear,
    upsample_nearest,
)

__all__ = [
    "adaptive_avg_pool1d",
    "adaptive_avg_pool2d",
    "adaptive_avg_pool3d",
    "adaptive_max_pool1d",
    "adaptive_max_pool2d",
    "adaptive_max_pool3d",
    "add",
    "alpha_dropout",
    "avg_pool1d",
    "avg_pool2d",
    "avg_pool3d",
    "batch_norm",
    "binary_cross_entropy",
    "binary_cross_entropy_with_logits",
    "cat",
    "celu",
    "celu_",
    "channel_shuffle",
    "conv1d",
    "conv2d",
    "conv3d",
    "conv_transpose1d",
    "conv_transpose2d",
    "conv_transpose3d",
    "cross_entropy",
    "dropout",
    "dropout1d",
    "dropout2d",
    "dropout3d",
    "elu",
    "elu_",
    "embedding",
    "embedding_bag",
    "feature_alpha_dropout",
    "feature_dropout",
    "flatten",
    "gelu",
    "glu",
    "grid_sample",
    "group_norm",
    "hardshrink",
    "hardsigmoid",
    "hardswish",
    "hardtanh",
    "hardtanh_",
    "huber_loss",
    "instance_norm",
    "interpolate",
    "kl_div",
    "l1_loss",
    "layer_norm",
    "leaky_relu",
    "leaky_relu_",
    "linear",
    "log_softmax",
    "logsigmoid",
    "matmul",
    "max_pool1d",
    "max_pool2d",
    "max_pool3d",
    "mish",
    "mse_loss",
    "mul",
    "native_channel_shuffle",
    "nll_loss",
    "pad",
    "pixel_shuffle",
    "pixel_unshuffle",
    "prelu",
    "relu",
    "relu6",
    "relu_",
    "rms_norm",
    "scaled_dot_product_attention",
    "selu",
    "sigmoid",
    "silu",
    "smooth_l1_loss",
    "softmax",
    "softmin",
    "softplus",
    "softshrink",
    "softsign",
    "tanh",
    "tanhshrink",
    "threshold",
    "threshold_",
    "unflatten",
    "upsample",
    "upsample_bilinear",
    "upsample_nearest",
]


def __getattr__(name: str) -> Never:
    text = f"module 'quantray.nn.functional' has no attribute {name!r}{advice(name)}"
    raise AttributeError(text, name=name, obj=sys.modules[__name__])
