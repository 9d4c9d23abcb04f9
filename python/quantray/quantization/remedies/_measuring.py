"""How near a quantized model's output is to the exact one."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from quantray import nn
from quantray.graph._graph import leaves
from quantray.quantization._batches import as_arguments, is_floats
from quantray.quantization._static import quantized


def output_sqnr(
    exact: nn.Module, model: nn.Module, batches: Iterable[object], held_out: Iterable[object]
) -> float:
    """SQNR in dB of what a model returns once it is quantized, beside what another one returns; infinite
    where they agree.
    """
    other = quantized(model, batches)
    signal = noise = 0.0
    for batch in held_out:
        args = as_arguments(batch)
        for y, z in zip(leaves(exact(*args)), leaves(other(*args)), strict=False):
            if is_floats(y):
                a, b = y.astype(np.float64), np.asarray(z, np.float64)
                signal += float((a**2).sum())
                noise += float(((b - a) ** 2).sum())
    if noise == 0:
        return float("inf")
    return 10 * float(np.log10(max(signal, 1e-300) / noise))
