"""Recurrent layers: RNN, LSTM, GRU."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

from quantray import ops
from quantray.nn._recurrent_layer import RecurrentLayer
from quantray.nn._recurrent_passes import gru_pass, lstm_pass, rnn_pass

if TYPE_CHECKING:
    from quantray._typing import Floats
    from quantray.nn._recurrent_states import Sequences


class RNN(RecurrentLayer):
    """Elman's network: `h' = tanh(w_ih x + b_ih + w_hh h + b_hh)`, or the positive part instead of tanh.

    Parameters
    ----------
    input_size, hidden_size : int
        Length of the input's last axis, and units of each direction.
    num_layers : int
        Layers, each of which is given the outputs of the one before.
    nonlinearity : str
        "tanh" or "relu".
    bias : bool
        Whether there are biases.
    batch_first : bool
        Whether inputs and outputs are of shape (batch, steps, ...), not (steps, batch, ...). States are not.
    dropout : float
        The probability that an output of a layer becomes 0 before the next one, in training.
    bidirectional : bool
        Whether each layer also runs from the last step to the first; outputs lie side by side.

    Attributes
    ----------
    weight_ih_l0, weight_hh_l0, bias_ih_l0, bias_hh_l0 : array
        Of the first layer; `_l1`, ... of the others, `_l0_reverse`, ... for the way back.

    >>> import numpy as np
    >>> from quantray import nn
    >>> layer = nn.RNN(3, 8, num_layers=2)
    >>> output, h = layer(np.zeros((5, 1, 3)))
    >>> output.shape, h.shape
    ((5, 1, 8), (2, 1, 8))

    Source: `torch.nn.RNN`; Elman, Finding Structure in Time (1990).
    """

    _arguments = (*RecurrentLayer._arguments[:3], "nonlinearity", *RecurrentLayer._arguments[3:])
    _gates = 1

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        nonlinearity: str = "tanh",
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
    ) -> None:
        if nonlinearity not in ("tanh", "relu"):
            raise ValueError(f'nonlinearity must be "tanh" or "relu", got {nonlinearity!r}')
        super().__init__(input_size, hidden_size, num_layers, bias, batch_first, dropout, bidirectional)
        self.nonlinearity = nonlinearity

    def _operator(self) -> Sequences:
        return functools.partial(ops.rnn, nonlinearity=self.nonlinearity)

    def _pass(self, x: Floats, states: list[Floats], end: str) -> tuple[Floats, ...]:
        w_ih, w_hh, b_ih, b_hh = self._weights(end)
        back = end.endswith("_reverse")
        return rnn_pass(x, states[0], w_ih, w_hh, b_ih, b_hh, back, self.nonlinearity)


class GRU(RecurrentLayer):
    """A gated recurrent unit.

    Gates `r`, `z = sigmoid(w_ih x + b_ih + w_hh h + b_hh)`; `n = tanh(w_in x + b_in + r * (w_hn h + b_hn))`;
    `h' = (1 - z) * n + z * h`.

    Parameters
    ----------
    input_size, hidden_size, num_layers, bias, batch_first, dropout, bidirectional
        As for `RNN`.

    Attributes
    ----------
    weight_ih_l0, weight_hh_l0, bias_ih_l0, bias_hh_l0 : array
        As of `RNN`, with 3 * hidden_size rows: gates r, z, n.

    >>> import numpy as np
    >>> from quantray import nn
    >>> layer = nn.GRU(3, 8, batch_first=True, bidirectional=True)
    >>> output, h = layer(np.zeros((2, 5, 3)))
    >>> output.shape, h.shape
    ((2, 5, 16), (2, 2, 8))

    Source: `torch.nn.GRU`; Cho et al., Learning Phrase Representations using RNN Encoder-Decoder (2014),
    with the reset gate behind the product.
    """

    _gates = 3

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
    ) -> None:
        super().__init__(input_size, hidden_size, num_layers, bias, batch_first, dropout, bidirectional)

    def _operator(self) -> Sequences:
        return ops.gru

    def _pass(self, x: Floats, states: list[Floats], end: str) -> tuple[Floats, ...]:
        w_ih, w_hh, b_ih, b_hh = self._weights(end)
        return gru_pass(x, states[0], w_ih, w_hh, b_ih, b_hh, end.endswith("_reverse"))


class LSTM(RecurrentLayer):
    """A long short-term memory.

    Gates `i`, `f`, `o = sigmoid(w_ih x + b_ih + w_hh h + b_hh)`, `g` the same with tanh;
    `c' = f * c + i * g`; `h' = o * tanh(c')`, with a projection times `w_hr`.

    Parameters
    ----------
    input_size, hidden_size, num_layers, bias, batch_first, dropout, bidirectional
        As for `RNN`.
    proj_size : int
        What a projection makes of the units, fewer than these; 0 without one.

    Attributes
    ----------
    weight_ih_l0, weight_hh_l0, bias_ih_l0, bias_hh_l0, weight_hr_l0 : array
        As of `RNN`, with 4 * hidden_size rows: gates i, f, g, o. The last one, (proj_size, hidden_size), with
        a projection.

    >>> import numpy as np
    >>> from quantray import nn
    >>> layer = nn.LSTM(3, 8, batch_first=True)
    >>> layer
    LSTM(3, 8, batch_first=True)
    >>> output, (h, c) = layer(np.zeros((2, 5, 3)))
    >>> output.shape, h.shape, c.shape
    ((2, 5, 8), (1, 2, 8), (1, 2, 8))

    Source: `torch.nn.LSTM`; Hochreiter and Schmidhuber, Long Short-Term Memory (1997).
    """

    _arguments = (*RecurrentLayer._arguments, "proj_size")
    _gates = 4
    _has_cell_state = True

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        proj_size: int = 0,
    ) -> None:
        more = (bidirectional, proj_size)
        super().__init__(input_size, hidden_size, num_layers, bias, batch_first, dropout, *more)

    def _operator(self) -> Sequences:
        return ops.lstm

    def _pass(self, x: Floats, states: list[Floats], end: str) -> tuple[Floats, ...]:
        h, c = states
        w_ih, w_hh, b_ih, b_hh = self._weights(end)
        w_hr = self._parameters.get(f"weight_hr{end}")
        return lstm_pass(x, h, c, w_ih, w_hh, b_ih, b_hh, w_hr, end.endswith("_reverse"))
