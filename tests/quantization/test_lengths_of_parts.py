"""Lengths of values that are no longer there, and of none."""

import numpy as np
import pytest
from quantray import graph, nn
from quantray import quantization as tq
from quantray.graph._fitting import fitting
from quantray.graph._run import run
from quantray.nn import functional as F


class HalvesOfInner(nn.Module):
    """A formula's inner value says where the whole is split."""

    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(8, 8)

    def forward(self, x):
        inner = F.elu(self.fc(x))
        y = inner * 1.5
        half = inner.shape[1] // 2
        return y[:, :half] * F.sigmoid(y[:, half:])


class Flat(nn.Module):
    """Axes as one, of what is computed in floats."""

    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(12, 3)

    def forward(self, x):
        return self.fc(F.flatten(x[:, ::-1] - x.mean(axis=(2, 3), keepdims=True), 1))


def test_the_length_of_a_formulas_inner_value(rng):
    model = HalvesOfInner().eval()
    x = rng.standard_normal((32, 8)).astype(np.float32)
    made = tq.quantize(model, [x], verbose=False)
    for _ in range(3):
        np.testing.assert_allclose(made(x), model(x), atol=0.1)
    trained = tq.prepare_qat(model)
    np.testing.assert_allclose(trained(x), model(x), atol=0.1)


@pytest.mark.parametrize("model", [Flat, lambda: nn.Sequential(nn.Flatten(), nn.Linear(12, 3))])
def test_no_images_are_flattened(model, rng):
    model = model().eval()
    x = rng.standard_normal((4, 2, 2, 3)).astype(np.float32)
    found = graph.capture(model, (x,))
    for each in (found, graph.normalize(found)):
        inputs = fitting(found, (x[:0],), {}, False, model)
        assert inputs is not None
        assert run(each, inputs, model).shape == (0, 3)
    made = tq.quantize(model, [x], verbose=False)
    for _ in range(3):
        assert made(x[:0]).shape == (0, 3)


def test_no_images_are_normalized():
    x = np.zeros((0, 4, 3, 3), np.float32)
    for layer in (nn.GroupNorm(2, 4), nn.InstanceNorm2d(4), nn.GroupNorm(4, 4)):
        assert layer(x).shape == x.shape
