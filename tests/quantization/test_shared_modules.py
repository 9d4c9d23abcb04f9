"""Modules that are called twice, or have several names, and weights that several modules share."""

import numpy as np
import pytest
import quantray as qt
from numpy.testing import assert_array_equal
from quantray import nn
from quantray import quantization as tq
from test_what_went_wrong import decibels, quantized, trained


@pytest.fixture
def x(rng):
    return rng.standard_normal((64, 8)).astype(np.float32)


def test_one_activation_and_one_layer_in_two_places(x):
    relu, layer = nn.ReLU(), nn.Linear(8, 8)
    model = nn.Sequential(layer, relu, nn.Linear(8, 8), relu, layer)
    made = quantized(model, x)
    assert made[0] is made[4]
    assert decibels(model(x), made(x)) > 35
    ready, made = trained(model, x)
    assert ready[0] is ready[4]
    assert made[0] is made[4]
    assert len(list(ready.parameters())) == 4
    assert_array_equal(made(x), ready(x))
    tq.report(made)


def test_one_layer_under_two_names(x):
    class Names(nn.Module):
        def __init__(self):
            super().__init__()
            self.encode = nn.Linear(8, 8)
            self.decode = self.encode

        def forward(self, x):
            return self.decode(np.tanh(self.encode(x)))

    model = Names()
    made = quantized(model, x)
    assert made.encode is made.decode
    assert isinstance(made.encode, nn.quantized.Linear)
    assert decibels(model(x), made(x)) > 35


class Tied(nn.Module):
    """Two layers, one weight."""

    def __init__(self):
        super().__init__()
        self.a, self.b = nn.Linear(8, 8, bias=False), nn.Linear(8, 8, bias=False)
        self.b.weight = self.a.weight

    def forward(self, x):
        return self.b(self.a(x))


def test_a_tied_weight_has_one_gradient_and_one_step(x):
    model = Tied()
    w = model.a.weight.astype(np.float64)
    assert list(dict(model.named_parameters())) == ["a.weight"]
    step = nn.value_and_grad(model, lambda model, x: (model(x) ** 2).sum())
    _, grads = step(model, x)
    # The derivative of |x W' W'|^2, by hand.
    h = x @ w.T
    g = 2 * (h @ w.T)
    want = g.T @ h + (g @ w).T @ x
    assert list(grads) == ["a.weight"]
    np.testing.assert_allclose(grads["a.weight"], want, rtol=1e-4, atol=1e-3)
    for optimizer in (qt.optim.SGD(0.01), qt.optim.AdamW(0.01)):
        before = model.a.weight
        optimizer.update(model, grads)
        assert model.a.weight is model.b.weight
        assert model.a.weight is not before
    other = Tied()
    other.load_state_dict(model.state_dict())
    assert other.a.weight is other.b.weight
    assert_array_equal(other.a.weight, model.a.weight)
    copied = model.copy()
    assert copied.a.weight is copied.b.weight
    # Told by both names, it moves by both.
    both = {"a.weight": grads["a.weight"], "b.weight": grads["a.weight"]}
    start = model.a.weight
    qt.optim.SGD(0.5).update(model, both)
    assert_array_equal(model.b.weight, start - 0.5 * (2 * grads["a.weight"]))


def test_a_tied_weight_stays_one_in_training(x):
    ready = tq.prepare_qat(Tied(), example_inputs=x)
    assert ready.a.weight is ready.b.weight
    _, grads = nn.value_and_grad(ready, lambda model, x: (model(x) ** 2).mean())(ready, x)
    qt.optim.SGD(0.1).update(ready, grads)
    assert ready.a.weight is ready.b.weight
    ready.eval()
    assert_array_equal(tq.convert(ready)(x), ready(x))


def test_each_call_of_a_layer_has_a_grid(x):
    class Twice(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b = nn.Linear(8, 8), nn.Linear(8, 4)

        def forward(self, x):
            return self.b(self.a(x)), self.b(self.a(x * 100))

    model = Twice()
    for want, got in zip(model(x), quantized(model, x)(x), strict=True):
        assert decibels(want, got) > 35


def test_one_sum_and_one_activation_called_twice(x):
    class Again(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b, self.act = nn.Linear(8, 8), nn.Linear(8, 8), nn.ReLU()
            self.add = nn.FloatFunctional()

        def forward(self, x):
            h = self.act(self.a(x))
            h = self.add.add(h, self.act(self.b(h)))
            return self.a(self.add.add(h, h))

    model = Again()
    assert decibels(model(x), quantized(model, x)(x)) > 30
    ready, made = trained(model, x)
    assert_array_equal(made(x), ready(x))
