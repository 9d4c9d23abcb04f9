"""Sequences of different lengths: packed, padded, and through recurrent layers, as torch 2.15 has them."""

import json

import numpy as np
import pytest
from golden import REFERENCE
from numpy.testing import assert_allclose, assert_array_equal
from quantray import nn
from quantray import quantization as tq
from quantray.nn.utils import rnn

CASES = json.loads((REFERENCE / "packed.json").read_text())


@pytest.mark.parametrize("case", CASES, ids=[f"{c['kind']}-{i}" for i, c in enumerate(CASES)])
def test_as_torchs(case):
    first = case["settings"]["batch_first"]
    layer = getattr(nn, case["kind"])(3, 4, 2, **case["settings"])
    layer.load_state_dict(case["state"])
    x = np.array(case["x"], np.float32)
    packed = rnn.pack_padded_sequence(x, case["lengths"], first, case["is_sorted"])
    assert_allclose(packed.data, case["data"])
    assert packed.batch_sizes.tolist() == case["batch_sizes"]
    output, states = layer(packed)
    padded, lengths = rnn.pad_packed_sequence(output, first, total_length=6)
    assert lengths.tolist() == case["got"]
    assert_allclose(padded, case["output"], atol=2e-6)
    states = states if isinstance(states, tuple) else (states,)
    for got, wanted in zip(states, case["states"], strict=True):
        assert_allclose(got, wanted, atol=2e-6)
    # What it gives can be given on, with states of its own.
    again, _ = layer(packed, states if len(states) > 1 else states[0])
    assert again.data.shape == output.data.shape


def test_round_trips(rng):
    lengths = [4, 2, 7, 1]
    arrays = [rng.normal(size=(n, 3)) for n in lengths]
    packed = rnn.pack_sequence(arrays, enforce_sorted=False)
    padded, got = rnn.pad_packed_sequence(packed, batch_first=True, padding_value=9.0)
    assert got.tolist() == lengths
    assert_array_equal(padded, rnn.pad_sequence(arrays, batch_first=True, padding_value=9.0))
    for array, again in zip(arrays, rnn.unpad_sequence(padded, got, batch_first=True), strict=True):
        assert_array_equal(array, again)
    left = rnn.pad_sequence(arrays, batch_first=True, padding_side="left")
    assert_array_equal(left[3, -1], arrays[3][0])


class Tagger(nn.Module):
    def __init__(self):
        super().__init__()
        self.lstm = nn.LSTM(3, 8, batch_first=True)
        self.out = nn.Linear(8, 2)

    def forward(self, x, lengths):
        packed = rnn.pack_padded_sequence(x, lengths, batch_first=True, enforce_sorted=False)
        output, _ = self.lstm(packed)
        return self.out(rnn.pad_packed_sequence(output, batch_first=True)[0])


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_in_a_model_and_quantized(rng):
    nn.manual_seed(0)
    model = Tagger().eval()
    x, lengths = rng.normal(size=(3, 6, 3)).astype(np.float32), np.array([2, 6, 4])
    want = model(x, lengths)
    for row, n in enumerate(lengths):
        alone = model(x[row : row + 1, :n], np.array([n]))
        assert_allclose(want[row, :n], alone[0], atol=1e-6)
    small = tq.quantize_dynamic(model)
    assert type(small.lstm) is nn.quantized.dynamic.LSTM
    assert_allclose(small(x, lengths), want, atol=0.03)


@pytest.mark.parametrize(
    ("call", "match"),
    [
        (lambda: rnn.pack_padded_sequence(np.zeros((5, 2)), [1, 2]), "lengths must fall with enforce_sorted"),
        (
            lambda: rnn.pack_padded_sequence(np.zeros((5, 2)), [6, 2]),
            "lengths must be from 1 to 5, got 2 to 6",
        ),
        (lambda: rnn.pack_padded_sequence(np.zeros((5, 2)), [0, 0]), "lengths must be from 1 to 5"),
        (lambda: rnn.pack_padded_sequence(np.zeros((5, 2)), [1]), "lengths must be 2 whole numbers"),
        (lambda: rnn.pack_padded_sequence(np.zeros(5), [1]), "at least 2 axes"),
        (lambda: rnn.pad_packed_sequence(3), "sequence must be a PackedSequence, got int"),
        (lambda: rnn.pad_sequence([]), "at least one"),
        (
            lambda: nn.LSTM(3, 4)(rnn.PackedSequence(np.zeros((3, 3)), np.array([1, 1]))),
            "must add up to the 3",
        ),
        (lambda: rnn.pad_packed_sequence(rnn.pack_sequence([[1, 2]]), total_length=1), "at least 2"),
    ],
)
def test_wrong_arguments(call, match):
    with pytest.raises((TypeError, ValueError), match=match):
        call()
