"""Fake quantization in models: its values and gradients, and that what was trained is what is converted."""

import pickle

import numpy as np
import pytest
import quantray as qt
from contract import along, dequantize, inverse
from golden import cases
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from quantray import nn
from quantray import quantization as tq
from quantray.quantization.fake_quantize._functions import fake_quantize, fake_quantize_learnable

anp = pytest.importorskip("autograd.numpy")

PRESETS = [name for name in tq.__all__ if "fake_quant" in name and not name.startswith(("enable", "disable"))]
PRESETS += [name for name in tq.__all__ if name.endswith("_fake_quant_4bit") and name not in PRESETS]


class Probe(nn.Module):
    """Fake-quantizes its parameter."""

    def __init__(self, x, fake):
        super().__init__()
        self.x = nn.Parameter(x)
        self.fake = fake

    def forward(self, dy):
        return anp.sum(self.fake(self.x) * dy)


def gradients(x, fake, dy):
    model = Probe(x, fake)
    return nn.value_and_grad(model, lambda model: model(dy))(model)[1]


def as_arrays(case):
    if case["kind"] == "per_channel":
        return case["scales"].astype(np.float32), case["zero_points"], case["axis"]
    return np.float32([case["scale"]]), np.int64([case["zero_point"]]), None


@cases("fake_quantize")
def test_values_and_gradients_are_torchs(case):
    scale, zero_point, axis = as_arrays(case)
    limits = case["quant_min"], case["quant_max"]

    def fake(x):
        return fake_quantize(x, scale, zero_point, axis, *limits)

    np.testing.assert_array_equal(fake(case["x"]), case["y"])
    model = nn.Module()
    model.x = nn.Parameter(case["x"])
    grads = nn.value_and_grad(model, lambda m: anp.sum(fake(m.x) * case["dy"]))(model)[1]
    np.testing.assert_array_equal(grads["x"], case["dx"])
    assert grads["x"].dtype == np.float32


@cases("fake_quantize", lambda case: "dscale" in case)
def test_learned_gradients_are_torchs(case):
    scale, zero_point, axis = as_arrays(case)
    model = nn.Module()
    model.x, model.s, model.z = nn.Parameter(case["x"]), nn.Parameter(scale), nn.Parameter(zero_point)

    def loss(m):
        y = fake_quantize_learnable(m.x, m.s, m.z, axis, case["quant_min"], case["quant_max"], 0.5)
        return anp.sum(y * case["dy"])

    grads = nn.value_and_grad(model, loss)(model)[1]
    np.testing.assert_array_equal(grads["x"], case["dx"])
    np.testing.assert_allclose(grads["s"], np.ravel(case["dscale"]) / 2, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(grads["z"], np.ravel(case["dzero_point"]) / 2, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", PRESETS)
def test_presets(name):
    """Values lie on the grid of the scale and the zero point that a converted model gets."""
    fake = getattr(tq, name)
    if isinstance(fake, type):
        return
    fake = fake()
    x = np.random.default_rng(1).standard_normal((4, 6)).astype(np.float32)
    y = fake(x)
    scale, zero_point = fake.calculate_qparams()
    if fake.is_per_channel:
        scale, zero_point = (along(v, fake.ch_axis, 2) for v in (scale, zero_point))
    if zero_point.dtype.kind == "f":
        codes = np.rint(x * inverse(scale) + zero_point)
        expected = (np.clip(codes, fake.quant_min, fake.quant_max) - zero_point) * scale
    else:
        codes = np.clip(np.rint(x * inverse(scale)) + zero_point, fake.quant_min, fake.quant_max)
        expected = dequantize(codes, scale, zero_point)
    np.testing.assert_array_equal(y, expected)
    assert y.dtype == np.float32
    for other in (pickle.loads(pickle.dumps(fake)), fake.copy()):
        other.disable_observer()
        np.testing.assert_array_equal(other(x), y)


@pytest.mark.parametrize("weight", range(2, 9))
@pytest.mark.parametrize("activation", [2, 4, 8, 9, 16])
def test_trained_codes_are_the_quantized_tensors(weight, activation):
    qconfig = tq.qconfig_for_bits(weight, activation)
    x = np.random.default_rng(2).standard_normal((5, 40)).astype(np.float32)
    fake = qconfig.weight()
    y = fake(x)
    q = qt.quantize_per_channel(y, *fake.calculate_qparams(), 0, fake.dtype)
    np.testing.assert_array_equal(y, q.dequantize())
    assert np.unique(q.int_repr()).size <= 2**weight
    fake = qconfig.activation()
    y = fake(x)
    scale, zero_point = fake.calculate_qparams()
    q = qt.quantize_per_tensor(y, scale[0], zero_point[0], fake.dtype)
    np.testing.assert_array_equal(y, q.dequantize())
    assert (q.int_repr().min(), q.int_repr().max()) == (fake.quant_min, fake.quant_max)


@given(
    x=hnp.arrays(np.float32, (3, 20), elements=st.floats(-5, 5, width=32)),
    bits=st.integers(2, 8),
    per_channel=st.booleans(),
)
def test_gradient_passes_inside_the_range(x, bits, per_channel):
    fake = tq.qconfig_for_bits(bits, 8, per_channel=per_channel).weight()
    fake(x / 2)
    fake.disable_observer()
    dy = np.random.default_rng(0).standard_normal(x.shape).astype(np.float32)
    scale = fake.scale[:, None] if per_channel else fake.scale
    codes = np.rint(x * inverse(scale))
    inside = (codes >= fake.quant_min) & (codes <= fake.quant_max)
    np.testing.assert_array_equal(gradients(x, fake, dy)["x"], np.where(inside, dy, 0))


def test_float_zero_points_pass_gradients():
    x = np.random.default_rng(4).standard_normal((3, 8)).astype(np.float32)
    fake = tq.default_embedding_fake_quant()
    np.testing.assert_array_equal(gradients(x, fake, np.ones_like(x))["x"], np.ones_like(x))
    fake.disable_observer()
    np.testing.assert_array_equal(
        gradients(np.where(x > 0, 100, -100), fake, np.ones_like(x))["x"], np.zeros_like(x)
    )


def test_enable_and_disable():
    fake = tq.FakeQuantize(tq.MinMaxObserver, 0, 3)
    model = nn.Sequential(fake)
    x = np.float32([0.1, 0.9, 3.0])
    model.apply(tq.disable_fake_quant)
    assert model(x) is x
    model.apply(tq.disable_observer)
    model.apply(tq.enable_fake_quant)
    np.testing.assert_array_equal(model(np.float32([9.0])), [3.0])
    model.apply(tq.enable_observer)
    model(np.float32([9.0]))
    np.testing.assert_array_equal(fake.calculate_qparams()[0], [3.0])


def test_without_data():
    for fake in (tq.FakeQuantize(), tq.qconfig_for_bits(learnable=True).activation()):
        with pytest.raises(RuntimeError, match="saw no data"):
            fake.calculate_qparams()


def test_merge_is_one_stream():
    x = np.random.default_rng(5).standard_normal((6, 10)).astype(np.float32)
    whole, a, b = (tq.FakeQuantize(tq.MinMaxObserver, 0, 255) for _ in range(3))
    whole(x), a(x[:2]), b(x[2:])
    for got, want in zip(a.merge(b).calculate_qparams(), whole.calculate_qparams(), strict=True):
        np.testing.assert_array_equal(got, want)


def learnable(init="lsq", **kwargs):
    kwargs = {"dtype": "qint8", "qscheme": "per_tensor_symmetric", **kwargs}
    observer = tq.PerChannelMinMaxObserver if "channel" in kwargs["qscheme"] else tq.MinMaxObserver
    return tq.LearnableFakeQuantize(observer, -2, 1, init=init, use_grad_scaling=True, **kwargs)


def test_learned_step_starts_as_lsq_says():
    x = np.random.default_rng(6).standard_normal((3, 50)).astype(np.float32)
    fake = learnable()
    fake(x)
    np.testing.assert_allclose(fake.scale, [2 * np.abs(x).mean() / np.sqrt(1)], rtol=1e-6)
    fake = learnable(qscheme="per_channel_symmetric")
    fake(x)
    np.testing.assert_allclose(fake.scale, 2 * np.abs(x).mean(axis=1), rtol=1e-6)
    observed = tq.MinMaxObserver("qint8", "per_tensor_symmetric", quant_min=-2, quant_max=1)
    observed(x)
    fake = learnable("observer")
    fake(x)
    np.testing.assert_array_equal(fake.scale, observed.calculate_qparams()[0])


def test_learned_gradient_is_scaled():
    x = np.random.default_rng(7).standard_normal(200).astype(np.float32)
    dy = np.ones_like(x)
    fake = learnable()
    got = gradients(x, fake, dy)
    _, dscale, _ = qt.fake_quantize_learnable_per_tensor_affine_backward(dy, x, fake.scale[0], 0, -2, 1)
    np.testing.assert_allclose(got["fake.scale"], dscale / np.sqrt(200 * 1), rtol=1e-6)
    assert "fake.zero_point" not in got


def test_channels_are_known_before_gradients():
    x = np.ones((3, 2), np.float32)
    with pytest.raises(ValueError, match="channel_len must be 3"):
        gradients(x, learnable(qscheme="per_channel_symmetric"), x)
    assert gradients(x, learnable(qscheme="per_channel_symmetric", channel_len=3), x)["fake.scale"].shape == (
        3,
    )


def test_learning_lowers_the_error():
    x = np.random.default_rng(8).standard_normal(2000).astype(np.float32)
    fake = learnable("observer")
    model = Probe(x, fake)
    step = nn.value_and_grad(model, lambda model: anp.mean((fake(model.x) - x) ** 2))
    first, _ = step(model)
    for _ in range(50):
        loss, grads = step(model)
        fake.scale = fake.scale - 20 * grads["fake.scale"]
    assert loss < 0.8 * first
    np.testing.assert_array_equal(fake.calculate_qparams()[0], fake.scale)


def test_torchs_order_of_learning():
    fake = learnable(None)
    assert not fake.trainable_parameters()
    fake(np.float32([1.0, -2.0]))
    fake(np.float32([4.0, -2.0]))
    np.testing.assert_allclose(fake.scale, [4 / 1.5])
    fake.enable_param_learning()
    fake(np.float32([9.0]))
    np.testing.assert_allclose(fake.scale, [4 / 1.5])
    assert list(fake.trainable_parameters()) == ["scale"]
    fake.enable_static_observation()
    x = np.float32([9.0])
    assert fake(x) is x


def test_bad_arguments():
    with pytest.raises(TypeError, match="observer must keep a range, got NoopObserver"):
        tq.FakeQuantize(tq.NoopObserver)
    with pytest.raises(TypeError, match="observer must keep moving averages"):
        tq.FusedMovingAvgObsFakeQuantize(tq.MinMaxObserver)
    with pytest.raises(TypeError, match="observer must make a FixedQParamsObserver"):
        tq.FixedQParamsFakeQuantize(tq.MinMaxObserver)
    with pytest.raises(ValueError, match="quant_max must be an integer"):
        tq.FakeQuantize(quant_min=0, quant_max=256)
    with pytest.raises(ValueError, match="init must be"):
        learnable("best")
