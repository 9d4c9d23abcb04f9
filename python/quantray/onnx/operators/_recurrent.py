"""Recurrent layers."""

# Arrays and stand-ins of them are of any dtype and shape: what NumPy's stubs make of them says nothing here.
# pyright: reportUnknownVariableType=false, reportUnknownMemberType=false, reportUnknownArgumentType=false

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from quantray import graph, nn
from quantray.nn._init import rebuilding
from quantray.onnx.operators._registry import Array, Call, filled, layer, operator

#: Where a file's gates stand in the order of `nn`'s: i, o, f, c are our i, f, g, o; z, r, h our r, z, n.
_GATES = {"LSTM": (0, 2, 3, 1), "GRU": (1, 0, 2), "RNN": (0,)}
_ACTIVATIONS = {"LSTM": ("sigmoid", "tanh", "tanh"), "GRU": ("sigmoid", "tanh"), "RNN": ("tanh",)}


class Recurrent(nn.Module):
    """A recurrent layer of a file: `nn`'s own, with the axes as files have them.

    Attributes
    ----------
    layer : nn.LSTM, nn.GRU or nn.RNN
    """

    def __init__(self, layer: nn.Module, call: Call) -> None:
        super().__init__()
        self.layer = layer
        self.call = call

    def forward(self, x: Array, *states: Array) -> Any:
        """Outputs of shape (steps, directions, batch, units), and the last states."""
        call, first = self.call, bool(self.call.get("layout", 0))
        ways = 2 if call.get("direction") == "bidirectional" else 1
        if first:
            x = np.swapaxes(x, 0, 1)
            states = tuple(np.swapaxes(state, 0, 1) for state in states)
        back = call.get("direction") == "reverse"
        if back:
            x = np.flip(x, 0)
        given: Any = None
        if states:
            given = states if call.op == "LSTM" else states[0]
        output, last = self.layer(x, given)
        if back:
            output = np.flip(output, 0)
        steps, batch, _ = output.shape
        output = np.transpose(np.reshape(output, (steps, batch, ways, -1)), (0, 2, 1, 3))
        ended = last if call.op == "LSTM" else (last,)
        if first:
            output = np.transpose(output, (2, 0, 1, 3))
            ended = tuple(np.swapaxes(state, 0, 1) for state in ended)
        return (output, *ended)

    def extra_repr(self) -> str:
        return str(self.call.op)


def _activations(call: Call) -> tuple[str, ...]:
    ways = 2 if call.get("direction") == "bidirectional" else 1
    found = call.get("activations")
    if call.op not in _ACTIVATIONS:
        return tuple(found or ())
    return tuple(name.lower() for name in found) if found else _ACTIVATIONS[call.op] * ways


@operator("LSTM", "GRU", "RNN")
def _recurrent(call: Call, *inputs: Array) -> Any:
    """What `nn`'s layers cannot do: step by step."""
    return graph.apply("onnx.recurrent", call.op, *inputs, **_settings(call))


@operator("DynamicQuantizeLSTM", domain="com.microsoft")
def _dynamic_quantize_lstm(call: Call, *inputs: Array) -> Any:
    padded = filled(inputs, 12)
    settings = {**_settings(call), "activations": call.get("activations") or ()}
    settings.pop("linear_before_reset")
    return graph.apply("onnx.dynamic_quantize_lstm", *padded, **settings)


def _settings(call: Call) -> dict[str, Any]:
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
def _recurrent_layer(call: Call, constants: Sequence[Array]) -> nn.Module | None:
    """A layer without what `nn`'s cannot do: other activations, peepholes, lengths, clipping."""
    padded = filled(constants, 8)
    _, w, r, b, lengths, h, c, peepholes = padded
    ways = 2 if call.get("direction", "forward") == "bidirectional" else 1
    plain = _activations(call) == _ACTIVATIONS[call.op] * ways or (
        call.op == "RNN" and set(_activations(call)) == {"relu"}
    )
    is_known = w is not None and r is not None and (b is not None or 3 not in call.given)
    if not is_known or not plain or lengths is not None or 4 in call.given or 7 in call.given:
        return None
    if (peepholes is not None and np.any(peepholes)) or call.get("clip") or call.get("input_forget"):
        return None
    if call.op == "GRU" and not call.get("linear_before_reset"):
        return None
    states = (5, 6) if call.op == "LSTM" else (5,)
    known = [x is not None for x in (h, c)[: len(states)]]
    given = [i in call.given for i in states]
    zeros = all(x is None or not np.any(x) for x in (h, c))
    if not (all(given) or (not any(given) and (zeros or not any(known)))):
        return None
    return Recurrent(_made(call, w, r, b, ways), call)


def _made(call: Call, w: Array, r: Array, b: Array, ways: int) -> nn.Module:
    units, inputs, gates = r.shape[2], w.shape[2], len(_GATES[call.op])
    kinds: dict[str, Any] = {"LSTM": nn.LSTM, "GRU": nn.GRU, "RNN": nn.RNN}
    more: dict[str, Any] = {"nonlinearity": _activations(call)[0]} if call.op == "RNN" else {}
    with rebuilding(2 * (w.size + r.size + 2 * ways * gates * units)):
        made = kinds[call.op](inputs, units, bias=b is not None, bidirectional=ways == 2, **more)
    order = list(_GATES[call.op])

    def sorted_gates(x: Array) -> Array:
        parts = x.reshape(gates, units, *x.shape[1:])[order]
        return np.ascontiguousarray(parts.reshape(x.shape), np.float32)

    for way, end in enumerate(("_l0", "_l0_reverse")[:ways]):
        made._parameters[f"weight_ih{end}"] = sorted_gates(w[way])
        made._parameters[f"weight_hh{end}"] = sorted_gates(r[way])
        if b is not None:
            made._parameters[f"bias_ih{end}"] = sorted_gates(b[way, : gates * units])
            made._parameters[f"bias_hh{end}"] = sorted_gates(b[way, gates * units :])
    return made
