"""Modules with 8-bit weights whose inputs are floats, quantized as they come; outputs are floats."""

from quantray.nn.quantized.dynamic._attention import MultiheadAttention
from quantray.nn.quantized.dynamic._linear import Linear
from quantray.nn.quantized.dynamic._transformer import TransformerEncoderLayer

__all__ = ["Linear", "MultiheadAttention", "TransformerEncoderLayer"]
