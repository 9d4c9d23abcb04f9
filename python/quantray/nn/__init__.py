"""Models: modules over NumPy arrays, with torch's names, shapes and state_dict keys.

Inference needs NumPy alone; gradients come from autograd, which is imported when they are asked for.
"""

import sys
from importlib import import_module
from types import ModuleType

from quantray._advice import advice
from quantray._random import manual_seed
from quantray.nn import functional
from quantray.nn._activation import (
    ELU,
    GELU,
    Hardsigmoid,
    Hardswish,
    Hardtanh,
    LeakyReLU,
    LogSoftmax,
    PReLU,
    ReLU,
    ReLU6,
    Sigmoid,
    SiLU,
    Softmax,
    Softplus,
    Tanh,
)
from quantray.nn._attention import MultiheadAttention
from quantray.nn._containers import ModuleDict, ModuleList, Sequential
from quantray.nn._conv import Conv1d, Conv2d, Conv3d, ConvTranspose1d, ConvTranspose2d, ConvTranspose3d
from quantray.nn._dropout import Dropout, Dropout1d, Dropout2d
from quantray.nn._embedding import Embedding, EmbeddingBag
from quantray.nn._gradients import value_and_grad
from quantray.nn._graph_module import GraphModule
from quantray.nn._layer_norm import LayerNorm, RMSNorm
from quantray.nn._linear import Linear
from quantray.nn._loss import BCEWithLogitsLoss, CrossEntropyLoss, L1Loss, MSELoss, NLLLoss
from quantray.nn._module import Module
from quantray.nn._norm import (
    BatchNorm1d,
    BatchNorm2d,
    BatchNorm3d,
    GroupNorm,
    InstanceNorm1d,
    InstanceNorm2d,
    InstanceNorm3d,
)
from quantray.nn._pooling import (
    AdaptiveAvgPool1d,
    AdaptiveAvgPool2d,
    AdaptiveAvgPool3d,
    AdaptiveMaxPool1d,
    AdaptiveMaxPool2d,
    AdaptiveMaxPool3d,
    AvgPool1d,
    AvgPool2d,
    AvgPool3d,
    MaxPool1d,
    MaxPool2d,
    MaxPool3d,
)
from quantray.nn._recurrent import GRU, LSTM, RNN
from quantray.nn._recurrent_cells import GRUCell, LSTMCell, RNNCell
from quantray.nn._registry import Parameter
from quantray.nn._shape import Flatten, Identity, Unflatten, Upsample
from quantray.nn._stubs import DeQuantStub, FloatFunctional, QuantStub
from quantray.nn._transformer import TransformerEncoder, TransformerEncoderLayer

__all__ = [
    "ELU",
    "GELU",
    "GRU",
    "LSTM",
    "RNN",
    "AdaptiveAvgPool1d",
    "AdaptiveAvgPool2d",
    "AdaptiveAvgPool3d",
    "AdaptiveMaxPool1d",
    "AdaptiveMaxPool2d",
    "AdaptiveMaxPool3d",
    "AvgPool1d",
    "AvgPool2d",
    "AvgPool3d",
    "BCEWithLogitsLoss",
    "BatchNorm1d",
    "BatchNorm2d",
    "BatchNorm3d",
    "Conv1d",
    "Conv2d",
    "Conv3d",
    "ConvTranspose1d",
    "ConvTranspose2d",
    "ConvTranspose3d",
    "CrossEntropyLoss",
    "DeQuantStub",
    "Dropout",
    "Dropout1d",
    "Dropout2d",
    "Embedding",
    "EmbeddingBag",
    "Flatten",
    "FloatFunctional",
    "GRUCell",
    "GraphModule",
    "GroupNorm",
    "Hardsigmoid",
    "Hardswish",
    "Hardtanh",
    "Identity",
    "InstanceNorm1d",
    "InstanceNorm2d",
    "InstanceNorm3d",
    "L1Loss",
    "LSTMCell",
    "LayerNorm",
    "LeakyReLU",
    "Linear",
    "LogSoftmax",
    "MSELoss",
    "MaxPool1d",
    "MaxPool2d",
    "MaxPool3d",
    "Module",
    "ModuleDict",
    "ModuleList",
    "MultiheadAttention",
    "NLLLoss",
    "PReLU",
    "Parameter",
    "QuantStub",
    "RMSNorm",
    "RNNCell",
    "ReLU",
    "ReLU6",
    "Sequential",
    "SiLU",
    "Sigmoid",
    "Softmax",
    "Softplus",
    "Tanh",
    "TransformerEncoder",
    "TransformerEncoderLayer",
    "Unflatten",
    "Upsample",
    "functional",
    "manual_seed",
    "value_and_grad",
]

#: Imported when they are first asked for.
_LAZY = ("init", "intrinsic", "qat", "quantizable", "quantized", "utils")


def __getattr__(name: str) -> ModuleType:
    if name in _LAZY:
        return import_module(f"quantray.nn.{name}")
    text = f"module 'quantray.nn' has no attribute {name!r}{advice(name)}"
    raise AttributeError(text, name=name, obj=sys.modules[__name__])


def __dir__() -> list[str]:
    return sorted([*globals(), *_LAZY])
