"""Recurrent layers with everything that a file may ask of them: onnxruntime's outputs."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

from single_node import here, in_onnxruntime, single_node

GATES = {"LSTM": 4, "GRU": 3, "RNN": 1}
STEPS, BATCH, INPUTS, UNITS = 5, 3, 4, 6


def arrays(rng, op, ways, *, lengths=False, states=False, peepholes=False, bias=True):
    gates = GATES[op]

    def floats(*shape):
        return rng.normal(size=shape).astype(np.float32)

    made = {
        "x": floats(STEPS, BATCH, INPUTS),
        "w": floats(ways, gates * UNITS, INPUTS),
        "r": floats(ways, gates * UNITS, UNITS) * np.float32(0.4),
        "b": floats(ways, 2 * gates * UNITS) if bias else None,
        "lengths": np.array([5, 2, 3], np.int32) if lengths else None,
        "h": floats(ways, BATCH, UNITS) if states else None,
    }
    if op == "LSTM":
        made["c"] = floats(ways, BATCH, UNITS) if states else None
        made["p"] = floats(ways, 3 * UNITS) if peepholes else None
    return made


def compare(op, inputs, held=("w", "r", "b", "p"), **attributes):
    outputs = ["y", "h_last", "c_last"][: 3 if op == "LSTM" else 2]
    model = single_node(op, inputs, outputs, opset=14, constants=set(held), hidden_size=UNITS, **attributes)
    given = {name: array for name, array in inputs.items() if array is not None}
    for ours, theirs in zip(here(model, given), in_onnxruntime(model, given), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=3e-6)


DIRECTIONS = ("forward", "reverse", "bidirectional")


@pytest.mark.parametrize(
    ("op", "direction", "lengths", "states"),
    list(itertools.product(GATES, DIRECTIONS, (False, True), (False, True))),
)
def test_directions_lengths_and_states(rng, op, direction, lengths, states):
    ways = 2 if direction == "bidirectional" else 1
    made = arrays(rng, op, ways, lengths=lengths, states=states)
    compare(op, made, direction=direction)


@pytest.mark.parametrize("direction", DIRECTIONS)
def test_peepholes_and_clipping(rng, direction):
    ways = 2 if direction == "bidirectional" else 1
    made = arrays(rng, "LSTM", ways, states=True, peepholes=True)
    compare("LSTM", made, direction=direction)
    compare("LSTM", made, direction=direction, clip=0.5)


@pytest.mark.parametrize("direction", ["forward", "reverse"])
def test_activations_for_two_directions_where_there_is_one(rng, direction):
    """What onnxruntime writes into files that it optimizes: its default."""
    compare("RNN", arrays(rng, "RNN", 1), activations=["Tanh", "Tanh"], direction=direction)


def test_input_and_forget_gates_that_are_one(rng):
    compare("LSTM", arrays(rng, "LSTM", 1), input_forget=1)


@pytest.mark.parametrize("linear", [0, 1])
@pytest.mark.parametrize("bias", [False, True])
def test_reset_before_and_after_the_product(rng, linear, bias):
    compare("GRU", arrays(rng, "GRU", 1, bias=bias, states=True), linear_before_reset=linear)


@pytest.mark.parametrize(
    ("op", "names", "numbers"),
    [
        ("RNN", ["Relu"], {}),
        ("RNN", ["LeakyRelu"], {"activation_alpha": [0.2]}),
        ("RNN", ["HardSigmoid"], {"activation_alpha": [0.3], "activation_beta": [0.4]}),
        ("RNN", ["ScaledTanh"], {"activation_alpha": [0.7], "activation_beta": [0.9]}),
        ("RNN", ["Softsign"], {}),
        ("GRU", ["Sigmoid", "Relu"], {}),
        ("GRU", ["HardSigmoid", "Softsign"], {"activation_alpha": [0.3], "activation_beta": [0.4]}),
        ("LSTM", ["Sigmoid", "Softsign", "Tanh"], {}),
        ("LSTM", ["HardSigmoid", "Tanh", "Elu"], {"activation_alpha": [0.3, 0.8], "activation_beta": [0.4]}),
    ],
)
def test_activations(rng, op, names, numbers):
    compare(op, arrays(rng, op, 1), activations=names, **numbers)


@pytest.mark.parametrize("op", GATES)
def test_weights_that_are_inputs(rng, op):
    compare(op, arrays(rng, op, 1), held=())


@pytest.mark.parametrize("op", GATES)
def test_batch_first(rng, op):
    """onnxruntime lacks it for some: the same layer with its axes exchanged says what is right."""
    made = arrays(rng, op, 2, states=True)
    held = {"w", "r", "b"}
    outputs = ["y", "h_last", "c_last"][: 3 if op == "LSTM" else 2]
    settings = {"opset": 14, "constants": held, "hidden_size": UNITS, "direction": "bidirectional"}
    first = here(single_node(op, made, outputs, **settings), made)
    turned = {
        k: np.swapaxes(v, 0, 1) if k in ("x", "h", "c") and v is not None else v for k, v in made.items()
    }
    turned = {k: v if v is None else np.ascontiguousarray(v) for k, v in turned.items()}
    second = here(single_node(op, turned, outputs, layout=1, **settings), turned)
    np.testing.assert_allclose(second[0], np.transpose(first[0], (2, 0, 1, 3)), atol=1e-6)
    for a, b in zip(first[1:], second[1:], strict=True):
        np.testing.assert_allclose(b, np.swapaxes(a, 0, 1), atol=1e-6)
