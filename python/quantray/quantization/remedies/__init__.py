"""Remedies: float models that lose less when they are quantized, each by one idea and with its paper.

Each takes a float model and batches and gives a float model, which brings along how it is to be quantized
(`model.qconfig_mapping`): so they can follow each other, and `quantize`, `prepare` and `quantize_dynamic`
take what they give. `quantize` with a metric and a budget tries them by itself.

>>> import numpy as np
>>> from quantray import nn, quantization as tq
>>> model = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 2))
>>> x = np.random.default_rng(0).standard_normal((64, 4), np.float32)
>>> equal = tq.remedies.equalize(model, x)
>>> bool(np.abs(equal(x) - model(x)).max() < 1e-5)
True
"""

from quantray.quantization.remedies.activation_ranges import activation_ranges
from quantray.quantization.remedies.adaround import adaround
from quantray.quantization.remedies.correct_bias import correct_bias
from quantray.quantization.remedies.equalize import equalize
from quantray.quantization.remedies.gptq import gptq
from quantray.quantization.remedies.mixed_precision import keep_in_float
from quantray.quantization.remedies.refine import refine
from quantray.quantization.remedies.smooth import smooth
from quantray.quantization.remedies.weight_only import weight_only
from quantray.quantization.remedies.weight_ranges import weight_ranges

__all__ = [
    "activation_ranges",
    "adaround",
    "correct_bias",
    "equalize",
    "gptq",
    "keep_in_float",
    "refine",
    "smooth",
    "weight_only",
    "weight_ranges",
]
