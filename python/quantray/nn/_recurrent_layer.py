"""What recurrent layers share."""

from __future__ import annotations

import math
import warnings
from typing import TYPE_CHECKING, ClassVar, cast

import numpy as np

from quantray.nn import _init
from quantray.nn import functional as F
from quantray.nn._configured import Configured
from quantray.nn._factory import check_sizes
from quantray.nn._gradients import is_traced
from quantray.nn._recurrent_states import check_states, states_in, states_out
from quantray.nn._tracing import whole
from quantray.nn.functional._arguments import traced_or_floats
from quantray.nn.functional._shape import joined

if TYPE_CHECKING:
    from quantray._typing import Array, Floats, Input, Tensor
    from quantray.nn._recurrent_states import Sequences, States
    from quantray.nn.utils.rnn import PackedSequence

#: More layers than any network has: a number beyond is a mistake, which would take hours to make.
MOST_LAYERS = 2**16


def check_layers(num_layers: int) -> None:
    """Raises for more layers than can be meant; files are held to their size instead."""
    if num_layers > MOST_LAYERS and not _init.is_rebuilding():
        raise ValueError(f"num_layers must be at most {MOST_LAYERS}, got {num_layers}")


class RecurrentLayer(Configured):
    """Sizes, names and shapes of weights, and the way through layers and directions.

    A subclass says how many gates and states there are, and how one direction, or all layers, are run.
    """

    _arguments = (
        "input_size",
        "hidden_size",
        "num_layers",
        "bias",
        "batch_first",
        "dropout",
        "bidirectional",
    )
    #: Gates in each row of weights.
    _gates: ClassVar[int]
    #: Whether there is a cell state beside the hidden one.
    _has_cell_state: ClassVar[bool] = False

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int,
        bias: bool,
        batch_first: bool,
        dropout: float,
        bidirectional: bool,
        proj_size: int = 0,
    ) -> None:
        super().__init__()
        check_sizes(input_size=input_size, hidden_size=hidden_size, num_layers=num_layers)
        check_layers(num_layers)
        if not 0 <= dropout <= 1:
            raise ValueError(f"dropout must be from 0 to 1, got {dropout}")
        if not 0 <= proj_size < hidden_size:
            raise ValueError(f"proj_size must be from 0 to below hidden_size, {hidden_size}, got {proj_size}")
        # Each layer has a weight at least.
        _init.sized((num_layers,))
        self.input_size, self.hidden_size, self.num_layers = input_size, hidden_size, num_layers
        self.bias, self.batch_first, self.dropout = bias, batch_first, float(dropout)
        self.bidirectional, self.proj_size = bidirectional, proj_size
        self._begin()

    def _begin(self) -> None:
        """Makes the parameters."""
        if self.dropout > 0 and self.num_layers == 1 and not _init.is_rebuilding():
            message = f"dropout={self.dropout} has no effect with num_layers=1: it acts between layers"
            warnings.warn(message, stacklevel=4)
        bound = 1 / math.sqrt(self.hidden_size)
        for end in self._ends():
            for name, shape in self._shapes(end).items():
                self.register_parameter(name, _init.uniform(shape, bound))

    def _ends(self) -> list[str]:
        """What the names of weights end with, layer by layer, and in each direction by direction."""
        ways = ("", "_reverse") if self.bidirectional else ("",)
        return [f"_l{layer}{way}" for layer in range(self.num_layers) for way in ways]

    def _shapes(self, end: str) -> dict[str, tuple[int, ...]]:
        """Names and shapes of one direction's weights, in torch's order."""
        rows, ways = self._gates * self.hidden_size, 1 + self.bidirectional
        inputs = self.input_size if end.startswith("_l0") else ways * self._outputs
        shapes: dict[str, tuple[int, ...]] = {
            f"weight_ih{end}": (rows, inputs),
            f"weight_hh{end}": (rows, self._outputs),
        }
        if self.bias:
            shapes |= {f"bias_ih{end}": (rows,), f"bias_hh{end}": (rows,)}
        if self.proj_size:
            shapes[f"weight_hr{end}"] = (self.proj_size, self.hidden_size)
        return shapes

    @property
    def _outputs(self) -> int:
        """Outputs of one direction."""
        return self.proj_size or self.hidden_size

    def flatten_parameters(self) -> None:
        """Has no effect: weights need no particular order in memory. Models written for torch call it."""

    @property
    def all_weights(self) -> list[list[Tensor]]:
        """For each layer and direction its weights and biases, in the state_dict's order."""
        state = self._own_state()
        return [[state[name] for name in self._shapes(end)] for end in self._ends()]

    # Calls

    @whole
    def forward(
        self, input: Input | PackedSequence, hx: States | None = None
    ) -> tuple[Floats | PackedSequence, Floats | tuple[Floats, ...]]:
        """Runs all layers over whole sequences.

        Parameters
        ----------
        input : array
            Shape (steps, batch, input_size), with `batch_first` (batch, steps, input_size); or, for one
            sequence, (steps, input_size). Or a `PackedSequence` of `nn.utils.rnn`; the output is one, too.
        hx : array, or for an LSTM a tuple of two, optional
            The first hidden state, with an LSTM's first cell state. Shapes (layers * directions, batch,
            output size) and (layers * directions, batch, hidden_size), without the batch for one sequence.
            Zeros by default.

        Returns
        -------
        output : array
            As the input, with directions * output size on the last axis.
        state : array, or for an LSTM a tuple of two
            The last ones, in the shapes of `hx`.
        """
        if type(input).__name__ == "PackedSequence":
            return self._run_packed(cast("PackedSequence", input), hx)
        x, states = self._checked(cast("Input", input), hx)
        return self._run(x, states)

    def _run_packed(
        self, packed: PackedSequence, hx: States | None
    ) -> tuple[PackedSequence, Floats | tuple[Floats, ...]]:
        """Sequences of one length after the other, without padding: all as they would be by themselves."""
        from quantray.nn.utils import rnn

        rnn._check(packed, "input")
        whole, lengths = rnn.padded(packed), rnn.lengths_of(packed)
        states = states_in(hx, self._has_cell_state)
        if states and packed.sorted_indices is not None:
            states = tuple(state[:, packed.sorted_indices] for state in states)
        outputs: list[Floats] = []
        ended: list[tuple[Floats, ...]] = []
        for length in sorted(set(lengths.tolist()), reverse=True):
            chosen = np.flatnonzero(lengths == length)
            rows = slice(int(chosen[0]), int(chosen[-1]) + 1)
            x = whole[:length, rows]
            given = states and states_out(tuple(state[:, rows] for state in states))
            order = (1, 0, 2)
            x, own = self._checked(x.transpose(order) if self.batch_first else x, given)
            output, last = self._run(x, own)
            output = output.transpose(order) if self.batch_first else output
            short = len(whole) - length
            if short:
                output = joined([output, np.zeros((short, *np.shape(output)[1:]), np.float32)], 0)
            outputs.append(output)
            ended.append(last if isinstance(last, tuple) else (last,))
        merged = outputs[0] if len(outputs) == 1 else joined(outputs, 1)
        last = tuple(parts[0] if len(parts) == 1 else joined(parts, 1) for parts in zip(*ended, strict=True))
        if packed.unsorted_indices is not None:
            last = tuple(state[:, packed.unsorted_indices] for state in last)
        again = rnn.pack_padded_sequence(merged, lengths)
        return again._replace(
            sorted_indices=packed.sorted_indices, unsorted_indices=packed.unsorted_indices
        ), states_out(last)

    def _checked(self, input: Input, hx: States | None) -> tuple[Floats, tuple[Floats, ...] | None]:
        """The input and the states, of the shapes that they must have."""
        x = traced_or_floats(input)
        shape, n = np.shape(x), self.input_size
        if len(shape) not in (2, 3) or shape[-1] != n:
            axes = f"(batch, steps, {n})" if self.batch_first else f"(steps, batch, {n})"
            raise ValueError(f"input must be of shape {axes} or (steps, {n}), got {shape}")
        first = self.batch_first and len(shape) == 3
        if shape[int(first)] == 0:
            raise ValueError(f"input must be of at least one step, got shape {shape}")
        batch = () if len(shape) == 2 else (shape[0] if first else shape[1],)
        count = len(self._ends())
        sizes = (self._outputs, self.hidden_size)[: 1 + self._has_cell_state]
        states = states_in(hx, self._has_cell_state)
        check_states(states, [(count, *batch, size) for size in sizes])
        return x, states

    def _run(
        self, x: Floats, states: tuple[Floats, ...] | None
    ) -> tuple[Floats, Floats | tuple[Floats, ...]]:
        """All layers in one call; one pass for each direction where gradients or dropout ask for it."""
        dropped = self.training and self.dropout > 0 and self.num_layers > 1
        if dropped or any(map(is_traced, (x, *(states or ()), *self._parameters.values()))):
            return self._run_each(x, states)
        own, ends = self._parameters, self._ends()
        names = ("weight_ih", "weight_hh", "weight_hr") if self.proj_size else ("weight_ih", "weight_hh")
        weights = [tuple(own[name + end] for name in names) for end in ends]
        biases = [(own[f"bias_ih{end}"], own[f"bias_hh{end}"]) for end in ends] if self.bias else None
        how = {"batch_first": self.batch_first, "bidirectional": self.bidirectional}
        state = states_out(states) if states else None
        return self._operator()(x, weights, biases, state, **how)

    def _run_each(
        self, x: Floats, states: tuple[Floats, ...] | None
    ) -> tuple[Floats, Floats | tuple[Floats, ...]]:
        """Layer by layer, and in it direction by direction."""
        batched = len(np.shape(x)) == 3
        if not batched:
            x = x.reshape(-1, 1, self.input_size)
            states = states and tuple(s.reshape(len(s), 1, -1) for s in states)
        elif self.batch_first:
            x = x.transpose((1, 0, 2))
        ends, ways, batch = self._ends(), 1 + self.bidirectional, np.shape(x)[1]
        if states is None:
            sizes = (self._outputs, self.hidden_size)[: 1 + self._has_cell_state]
            states = tuple(np.zeros((len(ends), batch, size), np.float32) for size in sizes)
        last: list[list[Floats]] = [[] for _ in states]
        for i in range(0, len(ends), ways):
            outputs: list[Floats] = []
            for k in range(i, i + ways):
                found = self._pass(x, [state[k] for state in states], ends[k])
                outputs.append(found[0])
                for j in range(len(states)):
                    last[j].append(found[1 + j].reshape((1, *np.shape(found[1 + j]))))
            x = outputs[0] if ways == 1 else joined(outputs, -1)
            if i + ways < len(ends):
                x = F.dropout(x, self.dropout, self.training)
        ended = tuple(each[0] if len(each) == 1 else joined(each) for each in last)
        if not batched:
            x, ended = x.reshape(-1, ways * self._outputs), tuple(s.reshape(len(ends), -1) for s in ended)
        elif self.batch_first:
            x = x.transpose((1, 0, 2))
        return x, states_out(ended)

    def _operator(self) -> Sequences:
        """What runs all layers in one call."""
        raise NotImplementedError

    def _pass(self, x: Floats, states: list[Floats], end: str) -> tuple[Floats, ...]:
        """The output and the last states of one direction."""
        raise NotImplementedError

    def _weights(self, end: str) -> tuple[Array, Array, Array | None, Array | None]:
        """Weights and biases of one direction, as the passes take them."""
        found = self._parameters
        w_ih, w_hh = cast("Array", found[f"weight_ih{end}"]), cast("Array", found[f"weight_hh{end}"])
        return w_ih, w_hh, found.get(f"bias_ih{end}"), found.get(f"bias_hh{end}")

    # Text

    def extra_repr(self) -> str:
        text = f"{self.input_size}, {self.hidden_size}"
        plain = {"proj_size": 0, "num_layers": 1, "bias": True, "batch_first": False, "dropout": 0.0}
        for name, default in {**plain, "bidirectional": False}.items():
            if getattr(self, name) != default:
                text += f", {name}={getattr(self, name)}"
        return text
