"""Functions of arrays that operators of files need, and that neither NumPy nor `nn.functional` has."""

from quantray.onnx.functions._elementwise import divide_integers, erf
from quantray.onnx.functions._movement import (
    gather_nd,
    one_hot,
    reverse_sequence,
    scatter_elements,
    scatter_nd,
    top_k,
)

__all__ = [
    "divide_integers",
    "erf",
    "gather_nd",
    "one_hot",
    "reverse_sequence",
    "scatter_elements",
    "scatter_nd",
    "top_k",
]
