"""Operators on integers, the same on every instruction set: products of matrices, functions of elements.

And on floats, what models do between those: activations, softmax, layer normalization.

>>> import numpy as np, quantray as qt
>>> w = qt.quantize_per_tensor([[1.0, -2.0]], 0.02, 0, qt.qint8)
>>> x = qt.quantize_per_tensor([[0.5, 0.25]], 0.01, 0, qt.quint8)
>>> qt.ops.PackedLinear(w)(x, scale=0.1, zero_point=10).tolist()
[[0.0]]
"""

from quantray._core import (
    PackedLinear,
    add,
    elu,
    gelu,
    hardsigmoid,
    hardswish,
    int_mm,
    layer_norm,
    leaky_relu,
    matmul,
    mul,
    relu6,
    sigmoid,
    silu,
    softmax,
    sub,
    tanh,
)

__all__ = [
    "PackedLinear",
    "add",
    "elu",
    "gelu",
    "hardsigmoid",
    "hardswish",
    "int_mm",
    "layer_norm",
    "leaky_relu",
    "matmul",
    "mul",
    "relu6",
    "sigmoid",
    "silu",
    "softmax",
    "sub",
    "tanh",
]
