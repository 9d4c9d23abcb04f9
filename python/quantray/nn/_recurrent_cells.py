"""Cells: one step of a recurrent layer."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, ClassVar, cast

import numpy as np

from quantray.nn import _init
from quantray.nn._configured import Configured
from quantray.nn._factory import check_sizes
from quantray.nn._recurrent_passes import gru_pass, lstm_pass, rnn_pass
from quantray.nn._recurrent_states import check_states, states_in, states_out
from quantray.nn._tracing import whole
from quantray.nn.functional._arguments import traced_or_floats

if TYPE_CHECKING:
    from quantray._typing import Array, Floats, Input
    from quantray.nn._recurrent_states import States


class RecurrentCell(Configured):
    """What cells share. A subclass says how many gates and states there are, and how a step is run."""

    _arguments = ("input_size", "hidden_size", "bias")
    #: Gates in each row of weights.
    _gates: ClassVar[int]
    #: Whether there is a cell state beside the hidden one.
    _has_cell_state: ClassVar[bool] = False

    def __init__(self, input_size: int, hidden_size: int, bias: bool) -> None:
        super().__init__()
        check_sizes(input_size=input_size, hidden_size=hidden_size)
        self.input_size, self.hidden_size, self.bias = input_size, hidden_size, bias
        self._begin()

    def _begin(self) -> None:
        """Makes the parameters."""
        bound = 1 / math.sqrt(self.hidden_size)
        for name, shape in self._shapes().items():
            self.register_parameter(name, _init.uniform(shape, bound))

    def _shapes(self) -> dict[str, tuple[int, ...]]:
        """Names and shapes of weights, in torch's order."""
        rows = self._gates * self.hidden_size
        shapes: dict[str, tuple[int, ...]] = {
            "weight_ih": (rows, self.input_size),
            "weight_hh": (rows, self.hidden_size),
        }
        return shapes | {"bias_ih": (rows,), "bias_hh": (rows,)} if self.bias else shapes

    @whole
    def forward(self, input: Input, hx: States | None = None) -> Floats | tuple[Floats, ...]:
        """One step of each row of a batch.

        Parameters
        ----------
        input : array
            Shape (batch, input_size) or (input_size,).
        hx : array, or for an LSTM a tuple of two, optional
            The hidden state, with an LSTM's cell state; shape (batch, hidden_size) or (hidden_size,).
            Zeros by default.

        Returns
        -------
        array, or for an LSTM a tuple of two
            The new ones.
        """
        x = traced_or_floats(input)
        shape, n = np.shape(x), self.input_size
        if len(shape) not in (1, 2) or shape[-1] != n:
            raise ValueError(f"input must be of shape (batch, {n}) or ({n},), got {shape}")
        states, count = states_in(hx, self._has_cell_state), 1 + self._has_cell_state
        size = (*shape[:-1], self.hidden_size)
        check_states(states, [size] * count)
        return self._run(x, states, size)

    def _run(
        self, x: Floats, states: tuple[Floats, ...] | None, size: tuple[int, ...]
    ) -> Floats | tuple[Floats, ...]:
        rows = (-1, self.hidden_size)
        if states is None:
            zeros = np.zeros(size, np.float32).reshape(rows)
            states = (zeros,) * (1 + self._has_cell_state)
        else:
            states = tuple(state.reshape(rows) for state in states)
        found = self._pass(x.reshape(1, -1, self.input_size), states)
        return states_out(tuple(found[1 + i].reshape(size) for i in range(len(states))))

    def _pass(self, x: Floats, states: tuple[Floats, ...]) -> tuple[Floats, ...]:
        """The output and the new states, of one step of shape (1, batch, input_size)."""
        raise NotImplementedError

    def _weights(self) -> tuple[Array, Array, Array | None, Array | None]:
        """Weights and biases, as the passes take them."""
        found = self._parameters
        w_ih, w_hh = cast("Array", found["weight_ih"]), cast("Array", found["weight_hh"])
        return w_ih, w_hh, found.get("bias_ih"), found.get("bias_hh")

    def extra_repr(self) -> str:
        text = f"{self.input_size}, {self.hidden_size}"
        return text if self.bias else f"{text}, bias=False"


class RNNCell(RecurrentCell):
    """One step of Elman's network.

    Parameters
    ----------
    input_size, hidden_size : int
        Length of the input's last axis, and units.
    bias : bool
        Whether there are biases.
    nonlinearity : str
        "tanh" or "relu".

    Attributes
    ----------
    weight_ih, weight_hh, bias_ih, bias_hh : array
        Shapes (hidden_size, input_size), (hidden_size, hidden_size) and (hidden_size,).

    >>> import numpy as np
    >>> from quantray import nn
    >>> nn.RNNCell(3, 8)(np.zeros((2, 3))).shape
    (2, 8)

    Source: `torch.nn.RNNCell`.
    """

    _arguments = (*RecurrentCell._arguments, "nonlinearity")
    _gates = 1

    def __init__(
        self, input_size: int, hidden_size: int, bias: bool = True, nonlinearity: str = "tanh"
    ) -> None:
        if nonlinearity not in ("tanh", "relu"):
            raise ValueError(f'nonlinearity must be "tanh" or "relu", got {nonlinearity!r}')
        super().__init__(input_size, hidden_size, bias)
        self.nonlinearity = nonlinearity

    def _pass(self, x: Floats, states: tuple[Floats, ...]) -> tuple[Floats, ...]:
        w_ih, w_hh, b_ih, b_hh = self._weights()
        return rnn_pass(x, states[0], w_ih, w_hh, b_ih, b_hh, False, self.nonlinearity)

    def extra_repr(self) -> str:
        text = super().extra_repr()
        return text if self.nonlinearity == "tanh" else f"{text}, nonlinearity={self.nonlinearity}"


class LSTMCell(RecurrentCell):
    """One step of a long short-term memory: the new hidden state and the new cell state.

    Parameters
    ----------
    input_size, hidden_size, bias
        As for `RNNCell`.

    Attributes
    ----------
    weight_ih, weight_hh, bias_ih, bias_hh : array
        As of `RNNCell`, with 4 * hidden_size rows: gates i, f, g, o.

    >>> import numpy as np
    >>> from quantray import nn
    >>> h, c = nn.LSTMCell(3, 8)(np.zeros((2, 3)))
    >>> h.shape, c.shape
    ((2, 8), (2, 8))

    Source: `torch.nn.LSTMCell`.
    """

    _gates = 4
    _has_cell_state = True

    def __init__(self, input_size: int, hidden_size: int, bias: bool = True) -> None:
        super().__init__(input_size, hidden_size, bias)

    def _pass(self, x: Floats, states: tuple[Floats, ...]) -> tuple[Floats, ...]:
        (h, c), (w_ih, w_hh, b_ih, b_hh) = states, self._weights()
        return lstm_pass(x, h, c, w_ih, w_hh, b_ih, b_hh, None, False)


class GRUCell(RecurrentCell):
    """One step of a gated recurrent unit.

    Parameters
    ----------
    input_size, hidden_size, bias
        As for `RNNCell`.

    Attributes
    ----------
    weight_ih, weight_hh, bias_ih, bias_hh : array
        As of `RNNCell`, with 3 * hidden_size rows: gates r, z, n.

    >>> import numpy as np
    >>> from quantray import nn
    >>> nn.GRUCell(3, 8)(np.zeros(3)).shape
    (8,)

    Source: `torch.nn.GRUCell`.
    """

    _gates = 3

    def __init__(self, input_size: int, hidden_size: int, bias: bool = True) -> None:
        super().__init__(input_size, hidden_size, bias)

    def _pass(self, x: Floats, states: tuple[Floats, ...]) -> tuple[Floats, ...]:
        w_ih, w_hh, b_ih, b_hh = self._weights()
        return gru_pass(x, states[0], w_ih, w_hh, b_ih, b_hh, False)
