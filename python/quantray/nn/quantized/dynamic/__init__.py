"""Modules with 8-bit weights whose inputs are floats, quantized as they come; outputs are floats."""

from quantray.nn.quantized.dynamic._attention import MultiheadAttention
from quantray.nn.quantized.dynamic._linear import Linear
from quantray.nn.quantized.dynamic._recurrent import GRU, LSTM
from quantray.nn.quantized.dynamic._recurrent_cells import GRUCell, LSTMCell, RNNCell
from quantray.nn.quantized.dynamic._transformer import TransformerEncoderLayer

__all__ = [
    "GRU",
    "LSTM",
    "GRUCell",
    "LSTMCell",
    "Linear",
    "MultiheadAttention",
    "RNNCell",
    "TransformerEncoderLayer",
]
