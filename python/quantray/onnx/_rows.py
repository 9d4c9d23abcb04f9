"""Weights of integers, as layers take them."""

from __future__ import annotations

import numpy as np

from quantray._core import QTensor, make_per_channel_quantized_tensor
from quantray._typing import Array


def rows_of(codes: Array, scales: Array, zeros: Array) -> QTensor:
    """Codes whose first axis counts rows, with a scale and a zero point for all of them, or for each."""
    count = len(codes)
    wide = np.broadcast_to(scales.astype(np.float64), count), np.broadcast_to(zeros.astype(np.int64), count)
    return make_per_channel_quantized_tensor(np.ascontiguousarray(codes), *wide, axis=0)
