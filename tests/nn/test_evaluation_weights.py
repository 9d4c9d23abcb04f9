"""Weights of a model that runs by a program may be written to, by whoever has them: every call sees it."""

import numpy as np
import pytest
from evaluation import by_forward, mlp, near
from quantray import nn, optim
from quantray.graph import _arrays as arrays

pytestmark = pytest.mark.usefixtures("small_models_too")


def _held(model):
    weight = model[0].weight
    yield
    weight[:] = weight[::-1].copy()
    yield
    weight[0, 0] = 7


def _asked_for(model):
    yield
    model[0].weight[0, 0] += 1
    yield
    model[2].bias *= 2


def _view(model):
    rows = model[0].weight.T[1:3]
    yield
    rows *= -1


def _state(model):
    state = model.state_dict()
    yield
    state["2.weight"] *= 2
    del state
    yield
    np.copyto(model.state_dict()["0.bias"], 1)


def _parameters(model):
    yield
    for array in model.parameters():
        array += 1
    yield
    for _, array in model.named_parameters():
        array -= 2


def _loaded(model):
    yield
    model.load_state_dict({name: 2 * array for name, array in model.state_dict().items()})


def _replaced(model):
    yield
    model[0].weight = 2 * model[0].weight


def _initialized(model):
    yield
    nn.init.constant_(model[0].weight, 0.25)


def _moved(model):
    optimizer = optim.SGD(0.5)
    yield
    optimizer.update(model, {name: np.ones_like(a) for name, a in model.named_parameters()})


def _private(model):
    yield
    model[0]._parameters["weight"] = model[0]._parameters["weight"] + 1


CHANGES = [_held, _asked_for, _view, _state, _parameters, _loaded, _replaced, _initialized, _moved, _private]


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.__name__[1:])
def test_weights_that_change(change, x):
    model = mlp()
    steps = change(model)
    for _ in steps:
        for _ in range(2):
            near(model(x), by_forward(model, x))
    for _ in range(2):
        near(model(x), by_forward(model, x))


def test_buffers_that_change(rng):
    model = nn.Sequential(nn.Conv2d(8, 8, 3), nn.BatchNorm2d(8)).eval()
    x = rng.standard_normal((2, 8, 5, 5), np.float32)
    model(x)
    model[1].running_mean[:] = 3
    near(model(x), by_forward(model, x))
    model.train()(x)
    near(model.eval()(x), by_forward(model, x))


def test_weights_that_are_shared(x):
    model = nn.Sequential(nn.Linear(8, 8), nn.Tanh(), nn.Linear(8, 8)).eval()
    model[2].weight = model[0].weight
    near(model(x), by_forward(model, x))
    model[0].weight[:] = 0.1
    near(model(x), by_forward(model, x))


def test_weights_that_are_part_of_something(x):
    memory = np.ones((16, 8), np.float32)
    model = nn.Linear(8, 4).eval()
    model.weight = memory[4:8]
    near(model(x), by_forward(model, x))
    memory *= 3
    near(model(x), by_forward(model, x))


def test_references_are_looked_at_once_only():
    model = mlp()
    found = arrays.Arrays(model)
    assert found.are_there()
    assert found.are_known()
    weight = model[0].weight
    assert not found.are_known()
    assert found.are_same()
    weight[0] = 0
    assert not found.are_same()
    del weight
    # Whoever had it may have written to it just before.
    assert not found.are_known()
    assert found.are_known()
