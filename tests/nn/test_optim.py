"""Optimizers: torch's steps, state that travels, schedules, clipping."""

import math
import pickle

import numpy as np
import pytest
from golden import cases
from numpy.testing import assert_allclose, assert_array_equal
from quantray import nn, optim


class One(nn.Module):
    def __init__(self, w):
        super().__init__()
        self.w = nn.Parameter(w)


@cases("nn", lambda case: case["kind"] == "optimizer")
def test_steps_of_torch(case):
    model, opt = One(case["before"]), getattr(optim, case["type"])(**case["config"])
    first = model.w
    for i in range(case["steps"]):
        if i == 3:
            # What is pickled in the middle goes on as if nothing had been.
            model, opt = pickle.loads(pickle.dumps((model, opt)))
        opt.update(model, {"w": case[f"g{i}"]})
    assert model.w.dtype == np.float32
    assert_allclose(model.w, case["after"], rtol=1e-5, atol=1e-6)
    assert_array_equal(first, case["before"])
    assert opt.step == case["steps"]


def test_schedules_are_followed():
    model = One([0.0])
    opt = optim.SGD(optim.step_decay(1.0, 0.5, 2))
    seen = []
    for _ in range(5):
        before = float(model.w[0])
        opt.update(model, {"w": np.float32([1.0])})
        seen.append(before - float(model.w[0]))
    assert seen == [1.0, 1.0, 0.5, 0.5, 0.25]
    assert opt.learning_rate == 0.25


@pytest.mark.parametrize("step", [0, 1, 7, 10, 11])
def test_cosine(step):
    part = min(step, 10) / 10
    wanted = 0.1 + (0.9 - 0.1) * (1 + math.cos(math.pi * part)) / 2
    assert optim.cosine_decay(0.9, 10, 0.1)(step) == pytest.approx(wanted)


def test_schedules_pickle():
    joined = optim.join_schedules([optim.linear_schedule(0, 1, 3), optim.cosine_decay(1, 5)], [3])
    again = pickle.loads(pickle.dumps(joined))
    assert [again(i) for i in range(9)] == [joined(i) for i in range(9)]


def test_clipping(rng):
    grads = {"a": rng.normal(size=(3, 2)).astype(np.float32), "b": rng.normal(size=4).astype(np.float32)}
    whole = np.concatenate([g.ravel() for g in grads.values()]).astype(float)
    length = np.sqrt((whole**2).sum())
    clipped, norm = optim.clip_grad_norm(grads, 0.5)
    assert norm == pytest.approx(length, rel=1e-6)
    for name, g in grads.items():
        assert_allclose(clipped[name], g * 0.5 / length, rtol=1e-5)
    same, _ = optim.clip_grad_norm(grads, 2 * length)
    for name, g in grads.items():
        assert_array_equal(same[name], g)
        assert_array_equal(
            optim.clip_grad_value(grads, 0.3)[name], np.clip(g, -np.float32(0.3), np.float32(0.3))
        )


def test_nothing_moves_where_a_gradient_does_not_fit():
    model = nn.Linear(2, 3)
    before = model.weight.copy()
    opt = optim.SGD(0.1)
    with pytest.raises(ValueError, match=r"the gradient of bias must be of shape \(3,\), got \(2,\)"):
        opt.update(model, {"weight": np.ones((3, 2)), "bias": np.ones(2)})
    with pytest.raises(KeyError, match="got 'wieght'"):
        opt.update(model, {"weight": np.ones((3, 2)), "wieght": np.ones((3, 2))})
    assert_array_equal(model.weight, before)
    assert opt.step == 0


BAD = {
    "lr must be at least 0": lambda: optim.SGD(-1.0),
    "momentum must be at least 0": lambda: optim.SGD(momentum=-1.0),
    "nesterov must go with momentum": lambda: optim.SGD(nesterov=True),
    "betas must be two numbers": lambda: optim.Adam(betas=(0.9, 1.0)),
    "weight_decay must be at least 0": lambda: optim.AdamW(weight_decay=-1.0),
    "decay_steps must be at least 1": lambda: optim.cosine_decay(1.0, 0),
    "boundaries must be one fewer": lambda: optim.join_schedules([optim.cosine_decay(1.0, 2)], [1]),
    "max_norm must be greater than 0": lambda: optim.clip_grad_norm({}, 0.0),
}


@pytest.mark.parametrize("message", BAD)
def test_bad_arguments(message):
    with pytest.raises(ValueError) as error:  # noqa: PT011 # the message is looked at
        BAD[message]()
    assert message in str(error.value)


def test_a_model_learns_digits(rng):
    """The whole of it: a convolutional network on handwriting, far better than chance after few steps."""
    pytest.importorskip("autograd")
    digits = pytest.importorskip("sklearn.datasets").load_digits()
    x, y = (digits.images[:, None] / 16).astype(np.float32), digits.target
    nn.manual_seed(0)
    layers = [nn.Conv2d(1, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(), nn.MaxPool2d(2)]
    model = nn.Sequential(*layers, nn.Flatten(), nn.Linear(128, 10))
    opt = optim.Adam(0.01)
    step = nn.value_and_grad(model, lambda model, x, y: nn.functional.cross_entropy(model(x), y))
    order = rng.permutation(len(x))
    train, test = order[:1400], order[1400:]
    for _ in range(3):
        for i in range(0, len(train), 64):
            batch = train[i : i + 64]
            loss, grads = step(model, x[batch], y[batch])
            opt.update(model, grads)
    assert np.isfinite(loss)
    found = model.eval()(x[test]).argmax(1)
    assert (found == y[test]).mean() > 0.9
