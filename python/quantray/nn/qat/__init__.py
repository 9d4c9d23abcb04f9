"""Modules for quantization aware training: floats that pretend to be integers.

`quantization.prepare_qat` makes them.

Source: `torch.ao.nn.qat`, `torch.ao.nn.intrinsic.qat`.
"""

import sys
from importlib import import_module
from types import ModuleType

from quantray._advice import advice
from quantray.nn.qat._embedding import Embedding, EmbeddingBag
from quantray.nn.qat._statistics import freeze_bn_stats, update_bn_stats
from quantray.nn.qat._weighted import (
    QAT_MODULES,
    Conv1d,
    Conv2d,
    Conv3d,
    ConvTranspose1d,
    ConvTranspose2d,
    ConvTranspose3d,
    FusedQAT,
    Linear,
)

__all__ = [
    "QAT_MODULES",
    "Conv1d",
    "Conv2d",
    "Conv3d",
    "ConvTranspose1d",
    "ConvTranspose2d",
    "ConvTranspose3d",
    "Embedding",
    "EmbeddingBag",
    "FusedQAT",
    "Linear",
    "freeze_bn_stats",
    "update_bn_stats",
]


def __getattr__(name: str) -> ModuleType:
    if name == "dynamic":
        return import_module("quantray.nn.qat.dynamic")
    text = f"module 'quantray.nn.qat' has no attribute {name!r}{advice(name)}"
    raise AttributeError(text, name=name, obj=sys.modules[__name__])


def __dir__() -> list[str]:
    return sorted([*__all__, "dynamic"])
