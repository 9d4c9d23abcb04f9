"""Recurrent layers and attention built of linear layers and sums, which can be observed one by one.

Source: `torch.ao.nn.quantizable`.
"""

from quantray.nn.quantizable._attention import MultiheadAttention
from quantray.nn.quantizable._recurrent import LSTM, LSTMCell

__all__ = ["LSTM", "LSTMCell", "MultiheadAttention"]
