"""When values are quantized.

Source: `torch.ao.quantization.QuantType`.
"""

from __future__ import annotations

import enum


class QuantType(enum.IntEnum):
    """When values are quantized: as they come, by what calibration saw, in training, or weights alone.

    >>> from quantray import quantization as tq
    >>> tq.QuantType.STATIC.name
    'STATIC'

    Source: `torch.ao.quantization.QuantType`.
    """

    DYNAMIC = 0
    STATIC = 1
    QAT = 2
    WEIGHT_ONLY = 3
