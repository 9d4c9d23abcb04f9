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
from types import ModuleType

from quantray import ops
from quantray._core import (
    PerChannelAffineQuantizer,
    PerTensorAffineQuantizer,
    QTensor,
    ValuesAndIndices,
    __version__,
    allclose,
    cat,
    cpu_info,
    dtype,
    equal,
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
    stack,
    where,
)
from quantray._files import load

#: Imported when they are first asked for.
_LAZY = ("nn", "optim", "quantization")


def __getattr__(name: str) -> ModuleType:
    if name in _LAZY:
        return import_module(f"quantray.{name}")
    raise AttributeError(f"module 'quantray' has no attribute {name!r}", name=name, obj=sys.modules[__name__])


def __dir__() -> list[str]:
    return sorted([*globals(), *_LAZY])


# The names that torch's notebooks use.
_make_per_tensor_quantized_tensor = make_per_tensor_quantized_tensor
_make_per_channel_quantized_tensor = make_per_channel_quantized_tensor

__all__ = [
    "PerChannelAffineQuantizer",
    "PerTensorAffineQuantizer",
    "QTensor",
    "ValuesAndIndices",
    "__version__",
    "allclose",
    "cat",
    "cpu_info",
    "dtype",
    "equal",
    "fake_quantize_learnable_per_channel_affine_backward",
    "fake_quantize_learnable_per_tensor_affine_backward",
    "fake_quantize_per_channel_affine",
    "fake_quantize_per_channel_affine_backward",
    "fake_quantize_per_tensor_affine",
    "fake_quantize_per_tensor_affine_backward",
    "get_num_threads",
    "load",
    "make_per_channel_quantized_tensor",
    "make_per_tensor_quantized_tensor",
    "min_max",
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
    "read_metadata",
    "save",
    "set_isa",
    "set_num_threads",
    "set_printoptions",
    "stack",
    "where",
]
