"""Float functions and their gradients: torch's values, and what bad arguments are told."""

import numpy as np
import pytest
import quantray as qt
from golden import cases
from numpy.testing import assert_allclose, assert_array_equal
from quantray import nn
from quantray.nn import functional as F


def close(actual, desired):
    """To 1e-5 of the greatest."""
    assert np.asarray(actual).dtype == np.float32
    limit = 1e-5 * max(1, np.abs(desired).max(initial=0))
    assert_allclose(actual, desired, rtol=1e-5, atol=limit, strict=False)
    assert np.shape(actual) == np.shape(desired)


def called(case, inputs):
    """The function of a case, on other inputs."""
    fixed = {name: case[name].copy() for name in case["fixed"]}
    if case["op"] == "cat":
        return F.cat(inputs, **case["settings"])
    return getattr(F, case["op"])(*inputs, **fixed, **case["settings"])


@cases("nn", lambda case: case["kind"] == "function")
def test_functions_of_torch(case):
    inputs = [case[f"x{i}"] for i in range(case["inputs"])]
    before = [x.copy() for x in inputs]
    close(called(case, inputs), case["y"])
    for x, old in zip(inputs, before, strict=True):
        assert_array_equal(x, old)


class Arguments(nn.Module):
    """Arrays as parameters, so that gradients for them can be asked for."""

    def __init__(self, arrays):
        super().__init__()
        for i, array in enumerate(arrays):
            self.register_parameter(f"x{i}", array)


@cases("nn", lambda case: case["kind"] == "function")
def test_gradients_of_torch(case):
    pytest.importorskip("autograd")
    arguments = Arguments([case[f"x{i}"] for i in range(case["inputs"])])

    def weighted(model):
        return F.mul(called(case, list(model.parameters())), case["g"]).sum()

    _, grads = nn.value_and_grad(arguments, weighted)(arguments)
    for i in range(case["inputs"]):
        close(grads[f"x{i}"], case[f"d{i}"])


def test_every_function_has_golden_values():
    # Those that draw random numbers, and those of other families, have tests of their own.
    elsewhere = {"dropout", "dropout1d", "dropout2d", "dropout3d", "feature_dropout"}
    elsewhere |= {"alpha_dropout", "feature_alpha_dropout"}
    import json
    import pathlib

    path = pathlib.Path(__file__).parents[1] / "reference" / "nn.json"
    tested = {case["op"] for case in json.loads(path.read_text()) if case["kind"] == "function"}
    files = (
        "_activation",
        "_arithmetic",
        "_conv",
        "_dropout",
        "_linear",
        "_loss",
        "_norm",
        "_pooling",
        "_shape",
    )
    own = {
        name
        for name in F.__all__
        if getattr(F, name).__module__ in {f"quantray.nn.functional.{file}" for file in files}
    }
    assert own - elsewhere <= tested
    assert len(own) > 40


@pytest.mark.parametrize("images", [0, 1, 5])
def test_convolution_in_pieces(monkeypatch, rng, images):
    x = rng.normal(size=(images, 3, 9, 8)).astype(np.float32)
    w = rng.normal(size=(4, 3, 3, 2)).astype(np.float32)
    whole = F.conv2d(x, w, padding=1)
    # A few floats at a time: rows of one image instead of many images.
    monkeypatch.setattr("quantray.nn.functional._windows._AT_A_TIME", 200)
    assert_allclose(F.conv2d(x, w, padding=1), whole, rtol=1e-5, atol=1e-5)


def test_gradients_in_pieces(monkeypatch, rng):
    pytest.importorskip("autograd")
    x, w = rng.normal(size=(3, 4, 9, 8)), rng.normal(size=(6, 2, 3, 2))
    arguments = Arguments([x, w])
    step = nn.value_and_grad(
        arguments, lambda m: F.mul(y := F.conv2d(m.x0, m.x1, stride=2, groups=2, padding=1), y).sum()
    )
    _, whole = step(arguments)
    monkeypatch.setattr("quantray.nn.functional._windows._AT_A_TIME", 100)
    _, pieces = step(arguments)
    for name in whole:
        assert_allclose(pieces[name], whole[name], rtol=1e-4, atol=1e-4)


QUANTIZED = {
    "relu": (),
    "relu6": (),
    "hardtanh": (),
    "leaky_relu": (),
    "elu": (),
    "gelu": (),
    "silu": (),
    "sigmoid": (),
    "tanh": (),
    "hardsigmoid": (),
    "hardswish": (),
    "softmax": (1,),
    "max_pool2d": (2,),
    "avg_pool2d": (2,),
    "adaptive_max_pool2d": (2,),
    "adaptive_avg_pool2d": (2,),
    "flatten": (1,),
    "unflatten": (1, (3, 1)),
    "pad": ((1, 1),),
    "interpolate": (3,),
}


@pytest.mark.parametrize("name", QUANTIZED)
def test_integers_stay_integers(rng, name):
    x = rng.normal(size=(2, 3, 4, 4)).astype(np.float32)
    q = qt.quantize_per_tensor(x, 0.03, 128, qt.quint8)
    y = getattr(F, name)(q, *QUANTIZED[name])
    assert isinstance(y, qt.QTensor)
    exact = getattr(F, name)(q.dequantize(), *QUANTIZED[name])
    # Half a step of its own scale, or a whole one where a mean of codes is rounded.
    assert_allclose(y.dequantize(), exact, atol=y.q_scale() * 1.01)


def test_other_functions_dequantize(rng):
    x = qt.quantize_per_tensor(rng.normal(size=(2, 3, 4, 4)), 0.03, 128, qt.quint8)
    w = rng.normal(size=(4, 3, 2, 2))
    assert_array_equal(F.conv2d(x, w), F.conv2d(x.dequantize(), w))


@pytest.mark.parametrize("p", [0.0, 0.25, 1.0])
def test_dropout(p):
    nn.manual_seed(0)
    y = F.dropout(np.ones(100_000), p)
    kept = y != 0
    # Six standard deviations.
    assert abs(kept.mean() - (1 - p)) <= 6 * np.sqrt(p * (1 - p) / y.size)
    assert_allclose(y[kept], 1 / (1 - p) if p < 1 else 1, rtol=1e-6)
    assert F.dropout(y, p, training=False) is y


BAD = {
    "input must be of shape (..., 3)": lambda: F.linear(np.ones((2, 4)), np.ones((5, 3))),
    "bias must be of shape (5,)": lambda: F.linear(np.ones(3), np.ones((5, 3)), np.ones(4)),
    "input must have 3 channels": lambda: F.conv2d(np.ones((1, 2, 5, 5)), np.ones((4, 3, 2, 2))),
    "input must be of shape (N, C, H, W) or (C, H, W)": lambda: F.conv2d(np.ones(5), np.ones((4, 3, 2, 2))),
    "stride must be an integer or 2 of them, at least 1, got 0": lambda: F.conv2d(
        np.ones((1, 3, 5, 5)), np.ones((4, 3, 2, 2)), stride=0
    ),
    'padding must be integers, "same" or "valid", got \'full\'': lambda: F.conv1d(
        np.ones((1, 3, 5)), np.ones((4, 3, 2)), padding="full"
    ),
    "groups must divide out_channels, 4, got 3": lambda: F.conv1d(
        np.ones((1, 3, 5)), np.ones((4, 1, 2)), groups=3
    ),
    "as long as the kernel": lambda: F.conv1d(np.ones((1, 3, 1)), np.ones((4, 3, 2))),
    "output_padding must be less": lambda: F.conv_transpose1d(
        np.ones((1, 3, 5)), np.ones((3, 4, 2)), output_padding=1
    ),
    "padding must be at most half": lambda: F.max_pool1d(np.ones((1, 3, 5)), 2, padding=2),
    "kernel_size must fit": lambda: F.max_pool1d(np.ones((1, 3, 5)), 9),
    "divisor_override must not be 0": lambda: F.avg_pool1d(np.ones((1, 3, 5)), 2, divisor_override=0),
    "weight must be of shape (3,)": lambda: F.batch_norm(np.ones((2, 3)), None, None, np.ones(2), None, True),
    "more than one value": lambda: F.batch_norm(np.ones((1, 3)), None, None, training=True),
    "num_groups must divide the channels, 3, got 2": lambda: F.group_norm(np.ones((2, 3, 4)), 2),
    "p must be from 0 to 1, got 2": lambda: F.dropout([1.0], 2),
    "target must be from 0 to 2": lambda: F.cross_entropy(np.ones((1, 3)), np.array([3])),
    "target must be of shape (2,)": lambda: F.cross_entropy(np.ones((2, 3)), np.array([1])),
    "target must be of the input's shape": lambda: F.mse_loss(np.ones(2), np.ones(3)),
    "reduction must be": lambda: F.mse_loss(np.ones(2), np.ones(2), "average"),
    "pad must be from 0 to 2 on an axis of length 3": lambda: F.pad(np.ones(3), (3, 0), "reflect"),
    "size or scale_factor must be given": lambda: F.interpolate(np.ones((1, 1, 3))),
    "dim must be from -2 to 1, got 2": lambda: F.softmax(np.ones((2, 3)), 2),
}


@pytest.mark.parametrize("message", BAD)
def test_bad_arguments(message):
    with pytest.raises(ValueError) as error:  # noqa: PT011 # the message is looked at
        BAD[message]()
    assert message in str(error.value)
