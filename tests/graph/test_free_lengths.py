"""Lengths that calls have in common by chance are free in the graph, whatever code made of them."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_allclose
from quantray import nn
from quantray import quantization as tq
from quantray.nn import functional as F


class Masked(nn.Module):
    """Sequences with a mask, which code turns, widens and flattens in one of several ways."""

    def __init__(self, way):
        super().__init__()
        self.layer, self.way = nn.Linear(4, 4), way

    def forward(self, x, mask):
        return self.way(self.layer(x), mask)


WAYS = {
    "expand_dims": lambda h, m: h * np.expand_dims(m, 2),
    "index": lambda h, m: h * m[:, :, None],
    "squeeze": lambda h, m: np.squeeze(np.expand_dims(h, 0) * m[None, :, :, None], 0),
    "flatten": lambda h, m: F.flatten(h * m[..., None], 0, 1),
    "unflatten": lambda h, m: F.unflatten(h, -1, (2, 2)).sum(-1) * m[..., None],
    "swapaxes": lambda h, m: np.swapaxes(h, 1, 2) * np.expand_dims(m, 1),
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("workflow", ["static", "dynamic"])
def test_other_lengths(way, workflow, rng):
    model = Masked(WAYS[way]).eval()
    example = rng.uniform(-1, 1, (300, 9, 4)).astype(np.float32), np.ones((300, 9), np.float32)
    if workflow == "static":
        small = tq.quantize(model, [example], verbose=False)
    else:
        small = tq.quantize_dynamic(model)
        small(*example)
    for rows, length in ((300, 9), (1, 5), (4, 1), (2, 30)):
        x = rng.uniform(-1, 1, (rows, length, 4)).astype(np.float32)
        mask = (rng.random((rows, length)) < 0.7).astype(np.float32)
        want = model(x, mask)
        for _ in range(2):
            assert_allclose(small(x, mask), want, atol=0.1)
