"""Operators on integers, the same on every instruction set: products of matrices, functions of elements.

>>> import numpy as np, quantray as qt
>>> w = qt.quantize_per_tensor([[1.0, -2.0]], 0.02, 0, qt.qint8)
>>> x = qt.quantize_per_tensor([[0.5, 0.25]], 0.01, 0, qt.quint8)
>>> qt.ops.PackedLinear(w)(x, scale=0.1, zero_point=10).tolist()
[[0.0]]
"""

from quantray._core import (
    PackedConv1d,
    PackedConv2d,
    PackedConv3d,
    PackedConvTranspose1d,
    PackedConvTranspose2d,
    PackedConvTranspose3d,
    PackedLinear,
    add,
    elu,
    explain,
    gelu,
    hardsigmoid,
    hardswish,
    int_mm,
    leaky_relu,
    matmul,
    mul,
    peaks,
    relu6,
    sigmoid,
    silu,
    sub,
    tanh,
)

__all__ = [
    "PackedConv1d",
    "PackedConv2d",
    "PackedConv3d",
    "PackedConvTranspose1d",
    "PackedConvTranspose2d",
    "PackedConvTranspose3d",
    "PackedLinear",
    "add",
    "elu",
    "explain",
    "gelu",
    "hardsigmoid",
    "hardswish",
    "int_mm",
    "leaky_relu",
    "matmul",
    "mul",
    "peaks",
    "relu6",
    "sigmoid",
    "silu",
    "sub",
    "tanh",
]
