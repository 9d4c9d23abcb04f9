"""Rounding by name, by chance and by functions of one's own, in quantization and in training."""

import copy
import pickle
import threading

import numpy as np
import pytest
import quantray as qt
from numpy.testing import assert_allclose, assert_array_equal
from quantray import nn
from quantray import quantization as tq
from quantray.grids import Stochastic, quantize, rounding_function

VALUES = np.float32([-2.5, -1.5, -0.5, -0.2, 0.0, 0.2, 0.5, 1.5, 2.5, 0.49999997, -0.49999997])


@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        ("nearest", [-2, -2, 0, 0, 0, 0, 0, 2, 2, 0, 0]),
        ("floor", [-3, -2, -1, -1, 0, 0, 0, 1, 2, 0, -1]),
        ("half_away", [-3, -2, -1, 0, 0, 0, 1, 2, 3, 0, 0]),
    ],
)
def test_named(name, wanted):
    assert_array_equal(rounding_function(name)(VALUES), wanted)


def test_nearest_is_the_contract(rng):
    x = (rng.normal(size=(7, 33)) * 3).astype(np.float32)
    for dtype, zero in ((qt.qint8, -7), (qt.quint8, 130), (qt.qint32, 5)):
        got = quantize(x, 0.0173, zero, dtype)
        assert_array_equal(got.int_repr(), qt.quantize_per_tensor(x, 0.0173, zero, dtype).int_repr())
    scales, zeros = rng.random(33) / 9 + 1e-3, rng.integers(-9, 9, 33)
    got = quantize(x, scales, zeros, qt.qint8, 1)
    assert_array_equal(got.int_repr(), qt.quantize_per_channel(x, scales, zeros, 1, qt.qint8).int_repr())
    assert quantize([np.inf, -np.inf], 0.1, 3, qt.quint8).int_repr().tolist() == [255, 0]


def test_by_chance_the_mean_is_the_number(rng):
    x = rng.normal(size=50).astype(np.float32) * 3
    rounding = Stochastic(7)
    mean = np.mean([rounding(x) for _ in range(4000)], axis=0)
    # The deviation of such a mean is below 1 / (2 sqrt(4000)).
    assert_allclose(mean, x, atol=5 * 0.5 / np.sqrt(4000))
    whole = np.float32([-3, 0, 2**20])
    assert_array_equal(rounding(whole), whole)


def test_the_same_seed_the_same_bits_on_any_thread():
    x = np.random.default_rng(1).normal(size=10_000).astype(np.float32)
    want = Stochastic(3)(x)
    found = [None] * 4

    def work(i):
        found[i] = Stochastic(3)(x)

    threads = [threading.Thread(target=work, args=(i,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for each in found:
        assert_array_equal(each, want)
    # An element's number depends on its place alone, not on how many there are.
    assert_array_equal(Stochastic(3)(x[:77]), want[:77])
    second = Stochastic(3)
    assert not np.array_equal(second(x), second(x))
    again = pickle.loads(pickle.dumps(second))
    assert_array_equal(again(x), copy.deepcopy(second)(x))


def test_the_seed_of_all_decides_without_one():
    made = []
    for _ in range(2):
        qt.manual_seed(5)
        made.append(quantize(VALUES, 0.3, 0, qt.qint8, rounding="stochastic").int_repr())
    assert_array_equal(*made)


def test_functions_of_ones_own():
    up = quantize([0.1, 0.6], 0.5, 0, qt.qint8, rounding=np.ceil)
    assert up.tolist() == [0.5, 1.0]


@pytest.mark.parametrize("bad", ["up", 3, None])
def test_other_names_are_refused(bad):
    with pytest.raises(ValueError, match="rounding must be one of 'nearest', 'floor'"):
        rounding_function(bad)
    with pytest.raises(ValueError, match="rounding must be one of"):
        tq.FakeQuantize(rounding=bad)


@pytest.mark.parametrize("seed", [-1, 2**64, 1.5, True, "a"])
def test_seeds_are_whole_numbers(seed):
    with pytest.raises(ValueError, match="seed must be a whole number"):
        Stochastic(seed)


def test_in_training_and_not_in_evaluation(rng):
    fake = tq.FakeQuantize(tq.MinMaxObserver, rounding=Stochastic(0))
    x = rng.normal(size=(20, 20)).astype(np.float32)
    first, second = fake(x), fake(x)
    assert not np.array_equal(first, second)
    scale = fake.scale[0]
    assert np.abs(first - x).max() < scale * 1.001
    fake.eval()
    nearest = fake(x)
    assert_array_equal(nearest, fake(x))
    assert np.abs(nearest - x).max() <= scale * 0.501
    assert pickle.loads(pickle.dumps(fake)).rounding.seed == 0


def test_gradients_pass_as_to_the_nearest():
    pytest.importorskip("autograd")
    fake = tq.FakeQuantize(tq.MinMaxObserver, quant_min=0, quant_max=15, rounding="floor")
    fake(np.float32([0, 3]))
    fake.disable_observer()
    layer = nn.Linear(1, 4, bias=False)

    def loss(model, x):
        return fake(model(x)).sum()

    layer.weight = np.float32([[1.0], [-1.0], [2.0], [9.0]])
    _, grads = nn.value_and_grad(layer, loss)(layer, np.ones((1, 1), np.float32))
    assert grads["weight"].ravel().tolist() == [1, 0, 1, 0]


def test_a_model_is_trained_by_chance_and_converts(rng):
    nn.manual_seed(0)
    qconfig = tq.QConfig(
        tq.FakeQuantize.with_args(observer=tq.MinMaxObserver, rounding=Stochastic(1)),
        tq.default_weight_fake_quant,
    )
    x = rng.normal(size=(30, 4)).astype(np.float32)
    ready = tq.prepare_qat(nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 2)), qconfig, x)
    assert not np.array_equal(ready(x), ready(x))
    ready.eval()
    integers = tq.convert(ready)
    assert_allclose(integers(x), ready(x), atol=1e-6)
