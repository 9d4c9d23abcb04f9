"""Recurrent layers."""

# Arrays and stand-ins of them are of any dtype and shape: what NumPy's stubs make of them says nothing here.
# pyright: reportUnknownVariableType=false, reportUnknownMemberType=false, reportUnknownArgumentType=false

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import cast

import numpy as np

from quantray import graph, nn
from quantray._typing import Tensor
from quantray.nn._init import rebuilding
from quantray.onnx._rows import rows_of
from quantray.onnx.operators._registry import Array, Call, Given, Outputs, filled, layer, operator

#: Where a file's gates stand in the order of `nn`'s: i, o, f, c are our i, f, g, o; z, r, h our r, z, n.
_GATES = {"LSTM": (0, 2, 3, 1), "GRU": (1, 0, 2), "RNN": (0,)}
_ACTIVATIONS = {"LSTM": ("sigmoid", "tanh", "tanh"), "GRU": ("sigmoid", "tanh"), "RNN": ("tanh",)}


class Recurrent(nn.Module):
    """A recurrent layer of a file: `nn`'s own, with the axes as files have them.

    Attributes
    ----------
    layer : nn.LSTM, nn.GRU or nn.RNN
    lengths : array, optional
        How many steps each row of a batch has, where the file says that.
    """

    def __init__(self, layer: nn.Module, call: Call, lengths: Array | None = None) -> None:
        super().__init__()
        self.layer = layer
        self.call = call
        self.lengths = lengths

    @property
    def _has_cells(self) -> bool:
        return _op(self.call) == "LSTM"

    def forward(self, x: Array, *given: Array) -> tuple[Array, ...]:
        """Outputs of shape (steps, directions, batch, units), and the last states."""
        call, first = self.call, bool(self.call.get("layout", 0))
        lengths, states = self.lengths, given
        if 4 in call.given:
            lengths, *states = given
        if first:
            x = np.swapaxes(x, 0, 1)
            states = tuple(np.swapaxes(state, 0, 1) for state in states)
        made = self._rows(x, states) if lengths is None else self._of_lengths(x, lengths, states)
        if not first:
            return made
        output, *ended = made
        return (np.transpose(output, (2, 0, 1, 3)), *(np.swapaxes(state, 0, 1) for state in ended))

    def _rows(self, x: Array, states: Sequence[Array]) -> tuple[Array, ...]:
        """Rows that have all steps, with steps first."""
        back, ways = self.call.get("direction") == "reverse", _ways(self.call)
        given: tuple[Array, ...] | Array | None = None
        if states:
            given = tuple(states) if self._has_cells else states[0]
        output, last = self.layer(np.flip(x, 0) if back else x, given)
        if back:
            output = np.flip(output, 0)
        steps, batch, _ = output.shape
        output = np.transpose(np.reshape(output, (steps, batch, ways, -1)), (0, 2, 1, 3))
        return (output, *(last if self._has_cells else (last,)))

    def _of_lengths(self, x: Array, lengths: Array, states: Sequence[Array]) -> tuple[Array, ...]:
        """Rows of so many steps each: those of one length together. Outputs after them are zeros."""
        counts: list[int] = [int(count) for count in np.asarray(lengths).tolist()]
        steps, batch, _ = x.shape
        if any(not 0 <= count <= steps for count in counts) or len(counts) != batch:
            raise ValueError(f"sequence_lens must be {batch} numbers from 0 to {steps}, got {counts}")
        if all(count == steps for count in counts):
            return self._rows(x, states)
        made: list[Array] = []
        for count in sorted(set(counts)):
            rows = [row for row, own in enumerate(counts) if own == count]
            # Of no steps there is no output, and states stay: one step tells the shapes.
            some = x[: max(count, 1), rows]
            found = self._rows(some, [state[:, rows] for state in states])
            if not made:
                shape = (steps, found[0].shape[1], batch, found[0].shape[3])
                made = [np.zeros(shape, np.float32)]
                made += [np.zeros((last.shape[0], batch, last.shape[2]), np.float32) for last in found[1:]]
            if count:
                made[0][:count, :, rows] = found[0]
            for i, last in enumerate(found[1:]):
                made[1 + i][:, rows] = last if count else states[i][:, rows] if states else 0
        return tuple(made)

    def extra_repr(self) -> str:
        return str(self.call.op)


def _activations(call: Call) -> tuple[str, ...]:
    found = call.get("activations")
    return tuple(name.lower() for name in found) if found else _ACTIVATIONS[_op(call)] * _ways(call)


def _op(call: Call) -> str:
    """What is computed, whatever the weights are."""
    return call.op.removeprefix("DynamicQuantize")


def _ways(call: Call) -> int:
    """How many directions there are."""
    return 2 if call.get("direction") == "bidirectional" else 1


@operator("LSTM", "GRU", "RNN")
def _recurrent(call: Call, *inputs: Array) -> Outputs:
    """What `nn`'s layers cannot do: step by step."""
    return graph.apply("onnx.recurrent", call.op, *inputs, **_settings(call))


@operator("DynamicQuantizeLSTM", domain="com.microsoft")
def _dynamic_quantize_lstm(call: Call, *inputs: Array) -> Outputs:
    padded = filled(inputs, 12)
    settings = {**_settings(call), "activations": call.get("activations") or ()}
    settings.pop("linear_before_reset")
    return graph.apply("onnx.dynamic_quantize_lstm", *padded, **settings)


def _settings(call: Call) -> dict[str, object]:
    """What a step-by-step layer is told beside its arrays."""
    return {
        "direction": call.get("direction", "forward"),
        "activations": _activations(call),
        "alpha": tuple(call.get("activation_alpha") or ()),
        "beta": tuple(call.get("activation_beta") or ()),
        "clip": call.get("clip"),
        "input_forget": bool(call.get("input_forget", 0)),
        "linear_before_reset": bool(call.get("linear_before_reset", 0)),
        "layout": int(call.get("layout", 0)),
    }


@layer("LSTM", "GRU", "RNN")
def _recurrent_layer(call: Call, constants: Sequence[Given]) -> nn.Module | None:
    """A layer without what `nn`'s cannot do: other activations, peepholes, clipping."""
    padded = filled(constants, 8)
    _, w, r, b, lengths = padded[:5]
    if w is None or r is None or not _is_plain(call, padded):
        return None
    return Recurrent(_made(call, w, r, b, _ways(call)), call, lengths)


def _is_plain(call: Call, inputs: Sequence[Given]) -> bool:
    """Whether there is nothing that `nn`'s layers do not do; `inputs` are those that are constants."""
    _, _, _, b, _, h, c, peepholes = inputs[:8]
    op, names = _op(call), _activations(call)
    plain = names == _ACTIVATIONS[op] * _ways(call) or (op == "RNN" and set(names) == {"relu"})
    is_known = b is not None or 3 not in call.given
    if not is_known or not plain or 7 in call.given:
        return False
    if (peepholes is not None and np.any(peepholes)) or call.get("clip") or call.get("input_forget"):
        return False
    if op == "GRU" and not call.get("linear_before_reset"):
        return False
    states = (5, 6) if op == "LSTM" else (5,)
    known = [x is not None for x in (h, c)[: len(states)]]
    given = [i in call.given for i in states]
    zeros = all(x is None or not np.any(x) for x in (h, c))
    return all(given) or (not any(given) and (zeros or not any(known)))


@layer("DynamicQuantizeLSTM", domain="com.microsoft")
def _dynamic_lstm_layer(call: Call, constants: Sequence[Given]) -> nn.Module | None:
    """A layer of integer weights: inputs of all steps have one scale, and in each step all states have one.

    Rows of different lengths share these, so that they cannot be run one length after the other.
    """
    padded = filled(constants, 12)
    w, r, b, lengths = padded[1:5]
    params = padded[8:12]
    if w is None or r is None or any(x is None for x in params) or not _is_plain(call, padded):
        return None
    if lengths is not None or 4 in call.given:
        return None
    if w.ndim != 3 or r.ndim != 3 or w.shape[2] != 4 * r.shape[1]:
        return None
    (ways, inputs, gates), units = w.shape, r.shape[1]
    with rebuilding(2 * (w.size + r.size + 4 * ways * gates)):
        made = nn.quantized.dynamic.LSTM(
            inputs, units, bias=b is not None, bidirectional=ways == 2, per_row=False
        )
    state: dict[str, Tensor] = {}
    for way, end in enumerate(("_l0", "_l0_reverse")[:ways]):
        for name, weight, scale, zero in (("ih", w, *params[:2]), ("hh", r, *params[2:])):
            scales, zeros = (
                _sorted_gates(np.broadcast_to(x.reshape(ways, -1)[way], gates), "LSTM")
                for x in (cast("Array", scale), cast("Array", zero))
            )
            codes, zeros = _signed(_sorted_gates(weight[way].T, "LSTM"), zeros.astype(np.int64))
            state[f"weight_{name}{end}"] = rows_of(codes, scales, zeros)
        if b is not None:
            halves = b[way].reshape(2, gates)
            state[f"bias_ih{end}"], state[f"bias_hh{end}"] = (_sorted_gates(x, "LSTM") for x in halves)
    made.load_state_dict(state)
    return Recurrent(made, call)


def _signed(codes: Array, zeros: Array) -> tuple[Array, Array]:
    """The same numbers as int8."""
    if codes.dtype == np.int8:
        return codes, zeros
    return (codes.astype(np.int16) - 128).astype(np.int8), zeros - 128


def _sorted_gates(x: Array, op: str) -> Array:
    """Rows of gates in the order of `nn`'s layers."""
    parts = x.reshape(len(_GATES[op]), -1, *x.shape[1:])[list(_GATES[op])]
    return np.ascontiguousarray(parts.reshape(x.shape))


def _made(call: Call, w: Array, r: Array, b: Given, ways: int) -> nn.Module:
    units, inputs, gates = r.shape[2], w.shape[2], len(_GATES[call.op])
    kinds: dict[str, Callable[..., nn.Module]] = {"LSTM": nn.LSTM, "GRU": nn.GRU, "RNN": nn.RNN}
    more = {"nonlinearity": _activations(call)[0]} if call.op == "RNN" else {}
    with rebuilding(2 * (w.size + r.size + 2 * ways * gates * units)):
        made = kinds[call.op](inputs, units, bias=b is not None, bidirectional=ways == 2, **more)

    def sorted_gates(x: Array) -> Array:
        return _sorted_gates(x, call.op).astype(np.float32, copy=False)

    for way, end in enumerate(("_l0", "_l0_reverse")[:ways]):
        made._parameters[f"weight_ih{end}"] = sorted_gates(w[way])
        made._parameters[f"weight_hh{end}"] = sorted_gates(r[way])
        if b is not None:
            made._parameters[f"bias_ih{end}"] = sorted_gates(b[way, : gates * units])
            made._parameters[f"bias_hh{end}"] = sorted_gates(b[way, gates * units :])
    return made
