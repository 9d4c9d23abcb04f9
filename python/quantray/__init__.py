"""Quantized arrays for NumPy: PyTorch's quantized tensors, the same names and the same bits, without PyTorch.

>>> import numpy as np, quantray as qt
>>> q = qt.quantize_per_tensor([0.184, -1.752, 0.5], scale=1 / 100, zero_point=0, dtype=qt.qint8)
>>> q
QTensor([ 0.1800, -1.2800,  0.5000], size=(3,), dtype=qint8,
        quantization_scheme=per_tensor_affine, scale=0.01, zero_point=0)
>>> q.int_repr()
array([  18, -128,   50], dtype=int8)
>>> np.asarray(q)
array([ 0.17999999, -1.28      ,  0.5       ], dtype=float32)
"""

import sys
from importlib import import_module
from typing import TYPE_CHECKING, Any

from quantray import _functions, _imports, ops
from quantray._advice import function_advice, left_out
from quantray._core import (
    PerChannelAffineQuantizer,
    PerTensorAffineQuantizer,
    QTensor,
    ValuesAndIndices,
    __version__,
    allclose,
    cpu_info,
    dtype,
    fake_quantize_learnable_per_channel_affine_backward,
    fake_quantize_learnable_per_tensor_affine_backward,
    fake_quantize_per_channel_affine,
    fake_quantize_per_channel_affine_backward,
    fake_quantize_per_tensor_affine,
    fake_quantize_per_tensor_affine_backward,
    get_num_threads,
    make_per_channel_quantized_tensor,
    make_per_tensor_quantized_tensor,
    min_max,
    per_channel_affine,
    per_channel_affine_float_qparams,
    per_channel_symmetric,
    per_tensor_affine,
    per_tensor_symmetric,
    qint8,
    qint32,
    qscheme,
    quantize_per_channel,
    quantize_per_tensor,
    quantize_per_tensor_dynamic,
    quint2x4,
    quint4x2,
    quint8,
    read_metadata,
    save,
    set_isa,
    set_num_threads,
    set_printoptions,
)
from quantray._creation import (
    DTYPES,
    arange,
    as_tensor,
    empty,
    eye,
    from_numpy,
    full,
    is_tensor,
    linspace,
    no_grad,
    ones,
    tensor,
    zeros,
)
from quantray._files import load
from quantray._joining import add, cat, equal, matmul, mul, stack, sub, where
from quantray._limits import finfo, iinfo
from quantray._random import manual_seed
from quantray._random_arrays import rand, randint, randn, randperm
from quantray._tensors import Tensor

if TYPE_CHECKING:
    from quantray._functions import (
        aminmax,
        atleast_1d,
        atleast_2d,
        atleast_3d,
        broadcast_tensors,
        column_stack,
        constant_pad_nd,
        dequantize,
        dstack,
        empty_like,
        fill,
        full_like,
        hstack,
        ones_like,
        relu,
        vstack,
        zeros_like,
    )

#: Imported when they are first asked for.
_LAZY = ("analysis", "ao", "backends", "grids", "nn", "onnx", "optim", "quantization")
#: Torch's functions that other modules have.
_PLACES = {
    "quantray.nn.functional": """
        adaptive_avg_pool1d alpha_dropout avg_pool1d celu celu_ channel_shuffle conv1d conv2d conv3d
        conv_transpose1d conv_transpose2d conv_transpose3d dropout feature_alpha_dropout
        feature_dropout log_softmax max_pool1d max_pool2d max_pool3d native_channel_shuffle
        pixel_shuffle pixel_unshuffle sigmoid tanh threshold threshold_ softmax prelu
    """,
    "quantray.ops": "int_mm",
    "quantray.grids": "int4 make_per_group_quantized_tensor quantize_per_group uint4",
    "quantray.quantization": "choose_qparams_optimized choose_qparams_per_tensor",
    "quantray.quantization.observer._optimized": "_choose_qparams_per_tensor",
    "quantray.quantization.fake_quantize": "fused_moving_avg_obs_fake_quant",
}
_ELSEWHERE = {name: place for place, names in _PLACES.items() for name in names.split()}

# Functions of tensors, and NumPy's dtypes by torch's names; memory formats are their names.
_OURS = _functions.everything()
globals().update(_OURS)
globals().update({name: value for name, value in DTYPES.items() if name not in ("bool", "int", "float")})
contiguous_format, preserve_format = "contiguous_format", "preserve_format"
channels_last, channels_last_3d = "channels_last", "channels_last_3d"
strided = "strided"
enable_grad = inference_mode = no_grad

# What is imported and is not here is told as attributes are.
_imports.advise()


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        return import_module(f"quantray.{name}")
    if name in _ELSEWHERE:
        return getattr(import_module(_ELSEWHERE[name]), name)
    if name in DTYPES:
        return DTYPES[name]
    text = f"module 'quantray' has no attribute {name!r}{function_advice(name)}"
    raise AttributeError(text, name=name, obj=sys.modules[__name__])


def __dir__() -> list[str]:
    return sorted({*__all__, *_LAZY, *DTYPES, *_ELSEWHERE})


# The names that torch's notebooks use.
_make_per_tensor_quantized_tensor = make_per_tensor_quantized_tensor
_make_per_channel_quantized_tensor = make_per_channel_quantized_tensor

__all__ = [
    "PerChannelAffineQuantizer",
    "PerTensorAffineQuantizer",
    "QTensor",
    "Tensor",
    "ValuesAndIndices",
    "__version__",
    "add",
    "allclose",
    "aminmax",
    "arange",
    "as_tensor",
    "atleast_1d",
    "atleast_2d",
    "atleast_3d",
    "broadcast_tensors",
    "cat",
    "column_stack",
    "constant_pad_nd",
    "cpu_info",
    "dequantize",
    "dstack",
    "dtype",
    "empty",
    "empty_like",
    "equal",
    "eye",
    "fake_quantize_learnable_per_channel_affine_backward",
    "fake_quantize_learnable_per_tensor_affine_backward",
    "fake_quantize_per_channel_affine",
    "fake_quantize_per_channel_affine_backward",
    "fake_quantize_per_tensor_affine",
    "fake_quantize_per_tensor_affine_backward",
    "fill",
    "finfo",
    "from_numpy",
    "full",
    "full_like",
    "get_num_threads",
    "hstack",
    "iinfo",
    "is_tensor",
    "left_out",
    "linspace",
    "load",
    "make_per_channel_quantized_tensor",
    "make_per_tensor_quantized_tensor",
    "manual_seed",
    "matmul",
    "min_max",
    "mul",
    "no_grad",
    "ones",
    "ones_like",
    "ops",
    "per_channel_affine",
    "per_channel_affine_float_qparams",
    "per_channel_symmetric",
    "per_tensor_affine",
    "per_tensor_symmetric",
    "qint8",
    "qint32",
    "qscheme",
    "quantize_per_channel",
    "quantize_per_tensor",
    "quantize_per_tensor_dynamic",
    "quint2x4",
    "quint4x2",
    "quint8",
    "rand",
    "randint",
    "randn",
    "randperm",
    "read_metadata",
    "relu",
    "save",
    "set_isa",
    "set_num_threads",
    "set_printoptions",
    "stack",
    "sub",
    "tensor",
    "vstack",
    "where",
    "zeros",
    "zeros_like",
]
__all__ += sorted(_OURS.keys() - set(__all__))  # pyright: ignore[reportUnsupportedDunderAll]
