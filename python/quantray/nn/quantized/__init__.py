"""Modules that compute in integers. `quantization.convert` and `quantize_dynamic` make them from float ones.

Source: `torch.ao.nn.quantized`.
"""

from quantray.nn.quantized import dynamic
from quantray.nn.quantized._embedding import Embedding, EmbeddingBag
from quantray.nn.quantized._follows import QFunctional, Requantized
from quantray.nn.quantized._grid import Grid
from quantray.nn.quantized._stubs import DeQuantize, Quantize
from quantray.nn.quantized._weight_only import WeightOnlyLinear
from quantray.nn.quantized._weighted import (
    QUANTIZED_MODULES,
    Conv1d,
    Conv2d,
    Conv3d,
    ConvTranspose1d,
    ConvTranspose2d,
    ConvTranspose3d,
    Linear,
)

__all__ = [
    "QUANTIZED_MODULES",
    "Conv1d",
    "Conv2d",
    "Conv3d",
    "ConvTranspose1d",
    "ConvTranspose2d",
    "ConvTranspose3d",
    "DeQuantize",
    "Embedding",
    "EmbeddingBag",
    "Grid",
    "Linear",
    "QFunctional",
    "Quantize",
    "Requantized",
    "WeightOnlyLinear",
    "dynamic",
]
