"""`quantize` leaves ranges of recurrent layers to each call: integers of weights, floats on their wires."""

from __future__ import annotations

import numpy as np
import pytest
from quantray import load, nn
from quantray import quantization as tq
from quantray.nn.quantized import dynamic


class Reader(nn.Module):
    """Convolutions over a line of text, a recurrent layer along it, and a classifier of each step."""

    def __init__(self, kind):
        super().__init__()
        self.conv = nn.Conv1d(4, 16, 3, padding=1)
        self.recurrent = kind(16, 24, bidirectional=True)
        self.head = nn.Linear(48, 5)

    def forward(self, x):
        h = nn.functional.relu(self.conv(x))
        return self.head(self.recurrent(h.transpose(2, 0, 1))[0])


@pytest.mark.parametrize(("kind", "integers"), [(nn.LSTM, dynamic.LSTM), (nn.GRU, dynamic.GRU)])
def test_weights_become_integers(kind, integers, rng):
    model = Reader(kind).eval()
    x = rng.standard_normal((8, 4, 20), np.float32)
    small = tq.quantize(model, x, verbose=False)
    assert type(small.recurrent) is integers
    lines = {line.name: line for line in tq.report(small).lines}
    assert {lines[name].bits for name in ("conv", "recurrent", "head")} == {"w8 a8"}
    assert len([name for name in lines if name.startswith("recurrent")]) <= 2
    # The very layer that `quantize_dynamic` makes, with a scale for each frame.
    alone = integers.from_float(model.recurrent)
    h = rng.standard_normal((20, 8, 16), np.float32)
    np.testing.assert_array_equal(small.recurrent(h)[0], alone(h)[0])
    error = np.square(small(x) - model(x)).mean() / np.square(model(x)).mean()
    assert error < 1e-3


def test_settings_go_first(rng):
    model, x = Reader(nn.LSTM).eval(), rng.standard_normal((8, 4, 20), np.float32)
    mapping = tq.get_default_qconfig_mapping()
    assert type(tq.quantize(model, x, mapping, verbose=False).recurrent) is nn.LSTM
    mapping.set_object_type(nn.LSTM, tq.default_dynamic_qconfig)
    assert type(tq.quantize(model, x, mapping, verbose=False).recurrent) is dynamic.LSTM


def test_through_a_file(rng, tmp_path):
    model, x = Reader(nn.LSTM).eval(), rng.standard_normal((8, 4, 20), np.float32)
    small = tq.quantize(model, x, verbose=False)
    small.save(tmp_path / "small.safetensors")
    np.testing.assert_array_equal(load(tmp_path / "small.safetensors")(x), small(x))
