"""Lengths that a model makes numbers of: what was captured for one of them is not taken for another."""

import numpy as np
import pytest
from numpy.testing import assert_allclose
from quantray import graph, nn
from quantray import quantization as tq


class Positions(nn.Module):
    """The usual way to positions of words."""

    def __init__(self):
        super().__init__()
        self.words, self.positions = nn.Embedding(50, 16), nn.Embedding(32, 16)
        self.out = nn.Linear(16, 4)

    def forward(self, ids):
        return self.out(self.words(ids) + self.positions(np.arange(ids.shape[1])))


@pytest.mark.parametrize("first", [16, 5])
@pytest.mark.parametrize("rows", [1, 3])
def test_dynamic_model_at_other_lengths(rng, first, rows):
    model = Positions().eval()
    small = tq.quantize_dynamic(model)
    for length in (first, 32, 1, 8, first):
        ids = rng.integers(0, 50, (rows, length))
        made = small(ids)
        assert made.shape == (rows, length, 4)
        assert_allclose(made, model(ids), atol=0.05)


@pytest.mark.parametrize("rows", [1, 3])
def test_a_number_made_of_a_length_is_a_guard(rows):
    found = graph.capture(lambda x: x + np.linspace(0, 1, x.shape[1]), (np.zeros((rows, 16)),))
    assert any(
        guard.outcome == 16 and isinstance(guard.subject, graph.Expr) and guard.subject.op == "dim"
        for guard in found.guards
    )
