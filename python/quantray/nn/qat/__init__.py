"""Modules for quantization aware training: floats that pretend to be integers.

`quantization.prepare_qat` makes them.

Source: `torch.ao.nn.qat`, `torch.ao.nn.intrinsic.qat`.
"""

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
    "FusedQAT",
    "Linear",
    "freeze_bn_stats",
    "update_bn_stats",
]
