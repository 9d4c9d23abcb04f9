"""What a model decides by how much it has found, it decides in each call."""

from __future__ import annotations

import numpy as np
import pytest
from quantray import graph, nn
from quantray import quantization as tq


class Chooser(nn.Module):
    """The mean of rows whose first number is above 0, through a layer; zeros where there are none."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(4, 3)

    def forward(self, x):
        y = self.layer(x)
        kept = np.nonzero(y[:, 0] > 0)[0]
        if len(kept) == 0:
            return np.zeros(3, np.float32)
        return np.take(y, kept, 0).mean(axis=0)


def test_a_model_chooses_in_each_call(rng):
    model = Chooser().eval()
    model.layer.weight[0] = [1, 0, 0, 0]
    model.layer.bias[0] = 0
    some, none = rng.standard_normal((6, 4), np.float32), rng.standard_normal((6, 4), np.float32)
    none[:, 0] = -np.abs(none[:, 0])
    some[:2, 0] = np.abs(some[:2, 0])
    fresh = Chooser().eval()
    fresh.load_state_dict(model.state_dict())
    for _ in range(3):
        for x in (some, none):
            with_layer = x @ model.layer.weight.T + model.layer.bias
            kept = with_layer[x[:, 0] > 0]
            want = kept.mean(axis=0) if len(kept) else np.zeros(3)
            np.testing.assert_allclose(model(x), want, rtol=1e-5, atol=1e-6)
    int8 = tq.quantize_dynamic(model)
    for _ in range(3):
        assert np.abs(int8(some) - model(some)).max() < 0.1
        assert (int8(none) == 0).all()


def test_masks_take_as_many_as_they_do(rng):
    def function(x):
        kept = x[x > 0]
        return kept if kept.shape[0] < 100 else kept[:100]

    with pytest.raises(TypeError, match=r"test_counted.py:\d+: a decision by how many elements"):
        graph.capture(function, (rng.standard_normal(50).astype(np.float32),))


class Writer(nn.Module):
    """Elements that a mask finds are written to, which leaves the array as long as it was."""

    def forward(self, x):
        x[x < 0] *= np.float32(0.1)
        return x @ x.T / np.sqrt(np.float32(x.shape[1]))


def test_an_array_is_as_long_as_before_something_is_written_to_it(rng):
    found = graph.capture(Writer(), (rng.standard_normal((5, 8), np.float32),), {})
    assert not found.refusals
