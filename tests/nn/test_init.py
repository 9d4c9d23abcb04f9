"""How parameters begin, by torch's names: the distributions, in the layers' own arrays."""

import doctest
import math

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from quantray import nn
from quantray.nn import init


def test_examples():
    failed, tried = doctest.testmod(init)
    assert not failed
    assert tried > 30


def weight():
    return np.empty((60, 40, 3, 3), np.float32)


@pytest.mark.parametrize(
    ("name", "arguments", "std"),
    [
        # Standard deviations from the papers' formulas.
        ("xavier_uniform_", {"gain": 2}, 2 * math.sqrt(2 / (100 * 9))),
        ("xavier_normal_", {}, math.sqrt(2 / (100 * 9))),
        ("kaiming_uniform_", {"nonlinearity": "relu"}, math.sqrt(2 / (40 * 9))),
        ("kaiming_normal_", {"mode": "fan_out"}, math.sqrt(2 / (60 * 9))),
        ("kaiming_normal_", {"a": 0.5, "nonlinearity": "leaky_relu"}, math.sqrt(2 / 1.25 / (40 * 9))),
        ("normal_", {"mean": 0.0, "std": 3.0}, 3.0),
        ("uniform_", {"a": -1.0, "b": 1.0}, 1 / math.sqrt(3)),
        ("trunc_normal_", {}, 0.8796),
    ],
)
def test_spread(name, arguments, std):
    nn.manual_seed(0)
    made = weight()
    assert getattr(init, name)(made, **arguments) is made
    assert_allclose(made.std(), std, rtol=0.02)
    # The mean's own deviation is std / sqrt(21600).
    assert abs(made.mean()) < 5 * std / math.sqrt(made.size)


def test_ends_and_constants():
    nn.manual_seed(0)
    assert np.abs(init.trunc_normal_(weight(), a=-1.0, b=0.5)).max() <= 1
    assert init.trunc_normal_(weight(), a=-1.0, b=0.5).max() <= 0.5
    assert_array_equal(init.eye_(np.empty((2, 3))), np.eye(2, 3))
    layer = nn.Linear(3, 2)
    init.ones_(layer.weight)
    init.constant_(layer.bias, 0.5)
    assert_array_equal(layer(np.ones((1, 3))), [[3.5, 3.5]])


@pytest.mark.parametrize("shape", [(5, 3), (3, 5), (4, 2, 3)])
def test_orthogonal(shape):
    made = init.orthogonal_(np.empty(shape), gain=2.0).reshape(shape[0], -1)
    small = made if made.shape[0] <= made.shape[1] else made.T
    assert_allclose(small @ small.T, 4 * np.eye(len(small)), atol=1e-6)


@pytest.mark.parametrize(
    ("call", "error", "match"),
    [
        (lambda: init.zeros_([1.0]), TypeError, "tensor must be an array of floats.*got list"),
        (lambda: init.zeros_(np.zeros(3, int)), TypeError, "tensor must be an array of floats"),
        (lambda: init.xavier_uniform_(np.zeros(3)), ValueError, r"at least 2 axes, got shape \(3,\)"),
        (lambda: init.eye_(weight()), ValueError, "tensor must have 2 axes"),
        (lambda: init.kaiming_normal_(weight(), mode="in"), ValueError, "mode must be 'fan_in' or 'fan_out'"),
        (lambda: init.calculate_gain("swish"), ValueError, "nonlinearity must be one of .*leaky_relu"),
        (lambda: init.trunc_normal_(weight(), a=8.0, b=9.0), ValueError, "a and b must be the ends"),
    ],
)
def test_errors(call, error, match):
    with pytest.raises(error, match=match):
        call()
