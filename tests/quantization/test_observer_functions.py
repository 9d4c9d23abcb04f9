"""torch's functions that observe: choose_qparams_optimized and fused_moving_avg_obs_fake_quant."""

import json

import numpy as np
import pytest
from golden import REFERENCE
from quantray import nn
from quantray import quantization as tq
from quantray.quantization.fake_quantize import fused_moving_avg_obs_fake_quant

anp = pytest.importorskip("autograd.numpy")

CASES = json.loads((REFERENCE / "observer_functions.json").read_text())


@pytest.mark.parametrize("case", CASES["choose"], ids=lambda case: str(case["given"]))
def test_chosen_ranges_are_torchs(case):
    found = tq.choose_qparams_optimized(np.float32(case["x"]), *case["given"])
    np.testing.assert_array_equal(np.concatenate(found), np.float32(case["range"]))


@pytest.mark.parametrize(
    ("kwargs", "words"),
    [
        ({"numel": 3}, "numel must be from 1 to 2, the input's size, got 3"),
        ({"n_bins": 0}, "n_bins must be at least 1"),
        ({"ratio": 1.5}, "ratio must be from 0 to 1, got 1.5"),
        ({"bit_width": 0}, "bit_width must be from 1 to 16"),
        ({"input": [np.nan, 1]}, "input must be from -65504 to 65504"),
        ({"input": [1e6, 1]}, "input must be from -65504 to 65504"),
    ],
)
def test_chosen_ranges_check_what_they_are_given(kwargs, words):
    given = {"input": [1.0, 2.0], "numel": 2, "n_bins": 200, "ratio": 0.16, "bit_width": 4}
    with pytest.raises(ValueError, match=words):
        tq.choose_qparams_optimized(**{**given, **kwargs})


def test_ranges_of_neighbouring_floats_end():
    x = np.nextafter(np.float32(1), np.float32([0, 2]))
    high, low = tq.choose_qparams_optimized(x, 2, 200, 1.0, 1)
    assert 0 < low <= high < 2
    high, low = tq.choose_qparams_optimized([-65504, 65504], 2, 200, 0.16, 1)
    assert low < 0 < high


def empty_state(channels):
    return (
        np.full(channels, np.inf, np.float32),
        np.full(channels, -np.inf, np.float32),
        np.ones(channels, np.float32),
        np.zeros(channels, np.int32),
    )


@pytest.mark.parametrize("case", CASES["fused"])
def test_fused_is_torchs(case):
    state = empty_state(3 if case["rows"] else 1)
    options = (0.1, *case["limits"], 0, case["rows"], case["symmetric"])
    for call in case["calls"]:
        y = fused_moving_avg_obs_fake_quant(np.float32(call["x"]), 1, 1, *state, *options)
        np.testing.assert_array_equal(y, np.float32(call["y"]))
        for got, want in zip(state, call["state"], strict=True):
            np.testing.assert_array_equal(got, np.asarray(want, got.dtype))


def test_fused_switches_and_empty_arrays():
    state = empty_state(1)
    options = (0.1, 0, 255, 0)
    x = np.float32([[-1, 1.55]])
    assert fused_moving_avg_obs_fake_quant(x, 1, 0, *state, *options) is x
    before = [array.copy() for array in state]
    empty = x[:0]
    assert fused_moving_avg_obs_fake_quant(empty, 1, 1, *state, *options) is empty
    fused_moving_avg_obs_fake_quant(np.full((1, 2), np.inf, np.float32), 1, 1, *state, *options)
    np.testing.assert_array_equal(fused_moving_avg_obs_fake_quant(9 * x, 0, 1, *state, *options), x)
    for got, want in zip(state, before, strict=True):
        np.testing.assert_array_equal(got, want)


def test_fused_passes_gradients_inside_the_range():
    state = empty_state(1)
    model = nn.Module()
    model.x = nn.Parameter([0.5, 1.0, 2.0])

    def loss(model, on):
        return anp.sum(fused_moving_avg_obs_fake_quant(model.x, on, 1, *state, 0.1, 0, 255, 0))

    step = nn.value_and_grad(model, loss)
    np.testing.assert_array_equal(step(model, 1)[1]["x"], [1, 1, 1])
    model.x = 2 * model.x
    np.testing.assert_array_equal(step(model, 0)[1]["x"], [1, 1, 0])


def test_fused_checks_what_it_changes():
    state = empty_state(2)
    with pytest.raises(ValueError, match=r"running_min must be of shape \(3,\), got \(2,\)"):
        fused_moving_avg_obs_fake_quant(np.ones((3, 1)), 1, 1, *state, 0.1, 0, 255, 0, True)
    with pytest.raises(TypeError, match="scale must be a NumPy array, changed in place, got list"):
        fused_moving_avg_obs_fake_quant(
            np.ones((2, 1)), 1, 1, *state[:2], [1, 1], state[3], 0.1, 0, 255, 0, True
        )
