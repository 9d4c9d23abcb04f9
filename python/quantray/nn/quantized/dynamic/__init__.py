"""Modules with 8-bit weights whose inputs are floats, quantized as they come; outputs are floats."""

from quantray.nn.quantized.dynamic._attention import MultiheadAttention
from quantray.nn.quantized.dynamic._conv import (
    Conv1d,
    Conv2d,
    Conv3d,
    ConvTranspose1d,
    ConvTranspose2d,
    ConvTranspose3d,
)
from quantray.nn.quantized.dynamic._linear import Linear
from quantray.nn.quantized.dynamic._recurrent import GRU, LSTM
from quantray.nn.quantized.dynamic._recurrent_cells import GRUCell, LSTMCell, RNNCell
from quantray.nn.quantized.dynamic._transformer import TransformerEncoderLayer

__all__ = [
    "GRU",
    "LSTM",
    "Conv1d",
    "Conv2d",
    "Conv3d",
    "ConvTranspose1d",
    "ConvTranspose2d",
    "ConvTranspose3d",
    "GRUCell",
    "LSTMCell",
    "Linear",
    "MultiheadAttention",
    "RNNCell",
    "TransformerEncoderLayer",
]
