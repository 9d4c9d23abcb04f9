"""Long short-term memories, built of linear layers, sums and products."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar, Self, cast

import numpy as np

from quantray import nn
from quantray._core import QTensor, quantize_per_tensor, quint8
from quantray.nn import functional as F
from quantray.nn._factory import check_factory, check_sizes
from quantray.nn._recurrent_layer import check_layers

if TYPE_CHECKING:
    from quantray._typing import Config, Input, Tensor
    from quantray.nn.qat._weighted import QConfig

if TYPE_CHECKING:
    from typing import TypeAlias

    #: A hidden state and a cell state.
    States: TypeAlias = tuple[Tensor, Tensor]

#: The order of gates in float layers' weights.
_GATES = ("input", "forget", "cell", "output")


def _check_source(cls: type[LSTMCell] | type[LSTM], other: nn.Module) -> None:
    """Raises for another class than the float one, and without a qconfig."""
    if type(other) is not cls.float_module:
        raise TypeError(f"other must be a {cls.float_module.__name__}, got {type(other).__name__}")
    if getattr(other, "qconfig", None) is None:
        raise ValueError("other must have a qconfig: set other.qconfig = quantization.get_default_qconfig()")


class LSTMCell(nn.Module):
    """One step of a long short-term memory, each of whose parts can be observed.

    Parameters
    ----------
    input_dim, hidden_dim : int
        Lengths of the input's last axis and of the states'.
    bias : bool
        Whether there are biases.
    device, dtype
        For torch's sake: "cpu" and float32, or None.
    split_gates : bool
        Whether each gate has linear layers of its own.

    >>> import numpy as np
    >>> from quantray import nn
    >>> h, c = nn.quantizable.LSTMCell(3, 8)(np.zeros((2, 3), np.float32))
    >>> h.shape, c.shape
    ((2, 8), (2, 8))

    Source: `torch.ao.nn.quantizable.LSTMCell`.
    """

    float_module: ClassVar[type[nn.Module]] = nn.LSTMCell

    def __init__(
        self,
        input_dim: int,
        hidden_dim: int,
        bias: bool = True,
        device: object = None,
        dtype: object = None,
        *,
        split_gates: bool = False,
    ) -> None:
        check_factory(device, dtype)
        check_sizes(input_dim=input_dim, hidden_dim=hidden_dim)
        super().__init__()
        self.input_size, self.hidden_size, self.bias = input_dim, hidden_dim, bias
        self.split_gates = split_gates
        if split_gates:
            self.igates: nn.Module = nn.ModuleDict(
                {g: nn.Linear(input_dim, hidden_dim, bias) for g in _GATES}
            )
            self.hgates: nn.Module = nn.ModuleDict(
                {g: nn.Linear(hidden_dim, hidden_dim, bias) for g in _GATES}
            )
            self.gates: nn.Module = nn.ModuleDict({g: nn.FloatFunctional() for g in _GATES})
        else:
            self.igates = nn.Linear(input_dim, 4 * hidden_dim, bias)
            self.hgates = nn.Linear(hidden_dim, 4 * hidden_dim, bias)
            self.gates = nn.FloatFunctional()
        self.input_gate, self.forget_gate = nn.Sigmoid(), nn.Sigmoid()
        self.cell_gate, self.output_gate = nn.Tanh(), nn.Sigmoid()
        self.fgate_cx, self.igate_cgate = nn.FloatFunctional(), nn.FloatFunctional()
        self.fgate_cx_igate_cgate, self.ogate_cy = nn.FloatFunctional(), nn.FloatFunctional()
        self.initial_hidden_state_qparams: tuple[float, int] = (1.0, 0)
        self.initial_cell_state_qparams: tuple[float, int] = (1.0, 0)
        self.hidden_state_dtype = self.cell_state_dtype = quint8

    def forward(
        self, x: Tensor, hidden: tuple[Tensor | None, Tensor | None] | None = None
    ) -> tuple[Tensor, Tensor]:
        """The next hidden state and cell state.

        Parameters
        ----------
        x : array
            Shape (N, input_dim).
        hidden : tuple of two arrays, optional
            Shape (N, hidden_dim); zeros by default.
        """
        hx, cx = (None, None) if hidden is None else hidden
        if hx is None or cx is None:
            hx, cx = self.initialize_hidden(x.shape[0], isinstance(x, QTensor))
        if self.split_gates:
            gates = (cast("nn.ModuleDict", each) for each in (self.gates, self.igates, self.hgates))
            sums, of_x, of_h = gates
            each = [sums[g].add(of_x[g](x), of_h[g](hx)) for g in _GATES]
        else:
            gates, n = self.gates.add(self.igates(x), self.hgates(hx)), self.hidden_size
            each = [gates[:, i * n : (i + 1) * n] for i in range(4)]
        entering, kept = self.input_gate(each[0]), self.forget_gate(each[1])
        new, leaving = self.cell_gate(each[2]), self.output_gate(each[3])
        cy = self.fgate_cx_igate_cgate.add(self.fgate_cx.mul(kept, cx), self.igate_cgate.mul(entering, new))
        return self.ogate_cy.mul(leaving, F.tanh(cy)), cy

    def initialize_hidden(self, batch_size: int, is_quantized: bool = False) -> tuple[Tensor, Tensor]:
        """States of zeros, of shape (batch_size, hidden_dim)."""
        made: list[Tensor] = []
        for grid, dtype in (
            (self.initial_hidden_state_qparams, self.hidden_state_dtype),
            (self.initial_cell_state_qparams, self.cell_state_dtype),
        ):
            zeros = np.zeros((batch_size, self.hidden_size), np.float32)
            made.append(quantize_per_tensor(zeros, *grid, dtype) if is_quantized else zeros)
        return made[0], made[1]

    @classmethod
    def from_params(
        cls,
        wi: Input,
        wh: Input,
        bi: Input | None = None,
        bh: Input | None = None,
        split_gates: bool = False,
    ) -> Self:
        """A cell of weights, (4 * hidden, input) and (4 * hidden, hidden), and biases, (4 * hidden,)."""
        if (bi is None) != (bh is None):
            raise ValueError("bi and bh must be given together, or neither")
        made = cls(np.shape(wi)[1], np.shape(wh)[1], bi is not None, split_gates=split_gates)
        for weight, bias, layers in ((wi, bi, made.igates), (wh, bh, made.hgates)):
            parts: list[tuple[nn.Module, int | None]] = [(layers, None)]
            if split_gates:
                parts = [(cast("nn.ModuleDict", layers)[g], i) for i, g in enumerate(_GATES)]
            for layer, i in parts:
                n = made.hidden_size
                rows = slice(None) if i is None else slice(i * n, (i + 1) * n)
                layer.weight = np.array(np.asarray(weight)[rows], np.float32)
                if bias is not None:
                    layer.bias = np.array(np.asarray(bias)[rows], np.float32)
        return made

    @classmethod
    def from_float(
        cls, other: nn.Module, use_precomputed_fake_quant: bool = False, split_gates: bool = False
    ) -> Self:
        """Of an `nn.LSTMCell` with a `qconfig`."""
        _check_source(cls, other)
        own = other._own_state()
        biases = (own.get("bias_ih"), own.get("bias_hh"))
        made = cls.from_params(own["weight_ih"], own["weight_hh"], *biases, split_gates=split_gates)
        made.qconfig = other.qconfig
        return made.train(other.training)

    def _config(self) -> Config:
        names = {"input_dim": self.input_size, "hidden_dim": self.hidden_size}
        return {**names, "bias": self.bias, "split_gates": self.split_gates}

    def _get_name(self) -> str:
        return "QuantizableLSTMCell"


class _SingleLayer(nn.Module):
    """One direction of one layer: its cell, step by step."""

    def __init__(self, cell: LSTMCell) -> None:
        super().__init__()
        self.cell = cell

    def forward(
        self, x: Tensor, hidden: States | None = None, backwards: bool = False
    ) -> tuple[Tensor, States]:
        """Outputs of all steps, (steps, N, hidden), and the last states."""
        steps = range(x.shape[0])
        outputs: dict[int, Tensor] = {}
        state = cast("States", hidden)
        for i in reversed(steps) if backwards else steps:
            state = self.cell(x[i], state)
            outputs[i] = state[0]
        return _stacked([outputs[i] for i in steps]), state


class _Layer(nn.Module):
    """Both directions of one layer, or one."""

    def __init__(self, forwards: LSTMCell, backwards: LSTMCell | None) -> None:
        super().__init__()
        self.layer_fw = _SingleLayer(forwards)
        if backwards is not None:
            self.layer_bw = _SingleLayer(backwards)

    def forward(self, x: Tensor, hidden: Sequence[States | None]) -> tuple[Tensor, list[States]]:
        """Outputs of all steps, and the last states of each direction."""
        output, state = self.layer_fw(x, hidden[0])
        if "layer_bw" not in self._modules:
            return output, [state]
        other, back = self.layer_bw(x, hidden[1], True)
        return _joined([output, other]), [state, back]


def _stacked(values: list[Tensor]) -> Tensor:
    """Along a new first axis."""
    if isinstance(values[0], QTensor):
        from quantray import stack

        return stack(cast("list[QTensor]", values), 0)
    shape = (1, *values[0].shape)
    return F.cat([value.reshape(shape) for value in values], 0)


def _joined(values: list[Tensor]) -> Tensor:
    """Along the last axis."""
    if isinstance(values[0], QTensor):
        from quantray import cat

        return cat(cast("list[QTensor]", values), -1)
    return F.cat(values, -1)


class LSTM(nn.Module):
    """A long short-term memory of cells that can be observed; called as `nn.LSTM` is.

    Parameters
    ----------
    input_size, hidden_size, num_layers, bias, batch_first, dropout, bidirectional
        As for `nn.LSTM`; nothing is dropped.
    device, dtype
        For torch's sake: "cpu" and float32, or None.
    split_gates : bool
        Whether each gate has linear layers of its own.

    >>> import numpy as np
    >>> from quantray import nn, quantization as tq
    >>> layer = nn.LSTM(4, 8)
    >>> layer.qconfig = tq.get_default_qconfig()
    >>> made = nn.quantizable.LSTM.from_float(layer)
    >>> x = np.random.default_rng(0).normal(size=(3, 2, 4)).astype(np.float32)
    >>> bool(np.allclose(made(x)[0], layer(x)[0], atol=1e-6))
    True

    Source: `torch.ao.nn.quantizable.LSTM`.
    """

    float_module: ClassVar[type[nn.Module]] = nn.LSTM

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        device: object = None,
        dtype: object = None,
        *,
        split_gates: bool = False,
    ) -> None:
        check_factory(device, dtype)
        super().__init__()
        check_sizes(input_size=input_size, hidden_size=hidden_size, num_layers=num_layers)
        check_layers(num_layers)
        self.input_size, self.hidden_size, self.num_layers = input_size, hidden_size, num_layers
        self.bias, self.batch_first, self.dropout = bias, batch_first, float(dropout)
        self.bidirectional, self.training = bool(bidirectional), False
        ways = 1 + self.bidirectional
        made: list[nn.Module] = []
        for i in range(num_layers):
            inputs = input_size if i == 0 else ways * hidden_size
            cells = [LSTMCell(inputs, hidden_size, bias, split_gates=split_gates) for _ in range(ways)]
            made.append(_Layer(cells[0], cells[1] if bidirectional else None))
        self.layers = nn.ModuleList(made)
        self.split_gates = split_gates

    def forward(self, x: Tensor, hidden: States | None = None) -> tuple[Tensor, States]:
        """Outputs of all steps, and the last states.

        Parameters
        ----------
        x : array
            Shape (steps, N, input_size), with `batch_first` (N, steps, input_size).
        hidden : tuple of two arrays, optional
            Shape (layers * directions, N, hidden_size); zeros by default.
        """
        if x.ndim != 3:
            raise ValueError(f"x must have 3 axes, got shape {tuple(x.shape)}")
        if self.batch_first:
            x = x.transpose((1, 0, 2))
        ways = 1 + self.bidirectional
        ended: list[States] = []
        for i in range(self.num_layers):
            rows = range(i * ways, (i + 1) * ways)
            given = [None if hidden is None else (hidden[0][k], hidden[1][k]) for k in rows]
            x, states = self.layers[i](x, given)
            ended += states
        output = x.transpose((1, 0, 2)) if self.batch_first else x
        return output, (_stacked([state[0] for state in ended]), _stacked([state[1] for state in ended]))

    @classmethod
    def from_float(cls, other: nn.Module, qconfig: QConfig | None = None, split_gates: bool = False) -> Self:
        """Of an `nn.LSTM` with a `qconfig`, its own or the one given.

        Raises
        ------
        ValueError
            Without a qconfig, and for a projection.
        """
        if qconfig is None:
            _check_source(cls, other)
        elif type(other) is not cls.float_module:
            raise TypeError(f"other must be a {cls.float_module.__name__}, got {type(other).__name__}")
        if other.proj_size:
            raise ValueError(f"other must have no projection, got proj_size={other.proj_size}")
        sizes = (other.input_size, other.hidden_size, other.num_layers, other.bias, other.batch_first)
        made = cls(*sizes, other.dropout, other.bidirectional, split_gates=split_gates)
        made.qconfig = other.qconfig if qconfig is None else qconfig
        own = other._own_state()
        for i, layer in enumerate(made.layers):
            for way, end in (("layer_fw", f"_l{i}"), ("layer_bw", f"_l{i}_reverse")):
                if way in layer._modules:
                    weights = (own[f"weight_ih{end}"], own[f"weight_hh{end}"])
                    biases = (own.get(f"bias_ih{end}"), own.get(f"bias_hh{end}"))
                    cell = LSTMCell.from_params(*weights, *biases, split_gates=split_gates)
                    layer.get_submodule(way).cell = cell
        return made.train(other.training)

    @classmethod
    def from_observed(cls, other: nn.Module) -> Self:
        """Not here: `nn.quantized.LSTM.from_observed` makes integers of an observed one."""
        raise NotImplementedError("nn.quantized.LSTM.from_observed(other) makes integers of an observed LSTM")

    def _get_name(self) -> str:
        return "QuantizableLSTM"
