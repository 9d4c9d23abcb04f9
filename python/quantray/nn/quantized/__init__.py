"""Modules that compute in integers. `quantization.convert` and `quantize_dynamic` make them from float ones.

Source: `torch.ao.nn.quantized`.
"""

import sys
from importlib import import_module
from typing import Any

from quantray._advice import advice
from quantray.nn._pooling import MaxPool2d
from quantray.nn._stubs import FloatFunctional
from quantray.nn.quantized import dynamic
from quantray.nn.quantized._activation import ELU, Hardswish, LeakyReLU, PReLU, ReLU6, Sigmoid, Softmax
from quantray.nn.quantized._batch_norm import BatchNorm2d, BatchNorm3d
from quantray.nn.quantized._dropout import Dropout
from quantray.nn.quantized._embedding import Embedding, EmbeddingBag
from quantray.nn.quantized._follows import QFunctional, Requantized
from quantray.nn.quantized._grid import Grid
from quantray.nn.quantized._layers import (
    QUANTIZED_MODULES,
    Conv1d,
    Conv2d,
    Conv3d,
    ConvTranspose1d,
    ConvTranspose2d,
    ConvTranspose3d,
    Linear,
)
from quantray.nn.quantized._normalization import (
    GroupNorm,
    InstanceNorm1d,
    InstanceNorm2d,
    InstanceNorm3d,
    LayerNorm,
)
from quantray.nn.quantized._stubs import DeQuantize, Quantize
from quantray.nn.quantized._weight_only_linear import WeightOnlyLinear

__all__ = [
    "ELU",
    "QUANTIZED_MODULES",
    "BatchNorm2d",
    "BatchNorm3d",
    "Conv1d",
    "Conv2d",
    "Conv3d",
    "ConvTranspose1d",
    "ConvTranspose2d",
    "ConvTranspose3d",
    "DeQuantize",
    "Dropout",
    "Embedding",
    "EmbeddingBag",
    "FloatFunctional",
    "Grid",
    "GroupNorm",
    "Hardswish",
    "InstanceNorm1d",
    "InstanceNorm2d",
    "InstanceNorm3d",
    "LayerNorm",
    "LeakyReLU",
    "Linear",
    "MaxPool2d",
    "PReLU",
    "QFunctional",
    "Quantize",
    "ReLU6",
    "Requantized",
    "Sigmoid",
    "Softmax",
    "WeightOnlyLinear",
    "dynamic",
]

#: Imported when they are first asked for: names, and the modules that have them.
_LAZY = {
    "LSTM": "_recurrent",
    "MultiheadAttention": "_attention",
    "WeightOnly": "_weight_only",
    "pack_weights": "_weight_only",
}


def __getattr__(name: str) -> Any:
    if name == "functional":
        return import_module("quantray.nn.quantized.functional")
    if name in _LAZY:
        return getattr(import_module(f"quantray.nn.quantized.{_LAZY[name]}"), name)
    text = f"module 'quantray.nn.quantized' has no attribute {name!r}{advice(name)}"
    raise AttributeError(text, name=name, obj=sys.modules[__name__])


def __dir__() -> list[str]:
    return sorted([*__all__, *_LAZY, "functional"])
