"""Where torch 2.15 corrupts, refuses or contradicts itself and quantray does not: a test for each promise."""

import pickle

import numpy as np
import pytest
import quantray as qt
from contract import dequantize, quantize
from numpy.testing import assert_allclose, assert_array_equal

X = np.linspace(-2, 3, 24).reshape(2, 3, 4)


def channels(axis=1):
    n = X.shape[axis]
    return qt.quantize_per_channel(X, np.linspace(0.1, 0.4, n), range(n), axis, "qint8")


@pytest.mark.parametrize("scale", [0, -1, np.nan, np.inf])
def test_invalid_scales_are_refused_at_creation(scale):
    with pytest.raises(ValueError, match="scale must be positive"):
        qt.quantize_per_tensor(X, scale, 0, "qint8")


def test_zero_points_out_of_range_are_refused_at_creation():
    with pytest.raises(ValueError, match="0 to 255, got 256"):
        qt.quantize_per_tensor(X, 1, 256, "quint8")


@pytest.mark.parametrize("at", [0, 7, 31, 32, 98])
def test_nan_is_refused_wherever_it_is_and_infinities_saturate(kernels, at):
    x = np.zeros(99, np.float32)
    x[at] = np.nan
    with pytest.raises(ValueError, match=rf"found 1, the first at index \(?{at}"):
        qt.quantize_per_tensor(x, 1, 0, "qint8")
    x[at] = np.inf
    assert qt.quantize_per_tensor(x, 1, 0, "qint8").int_repr()[at] == 127
    x[at] = -np.inf
    assert qt.quantize_per_tensor(x, 1, 0, "qint8").int_repr()[at] == -128


@pytest.mark.parametrize("kind", [np.float64, np.float16, np.int32, list])
def test_other_inputs_than_float32_are_taken(kind):
    x = X.tolist() if kind is list else X.astype(kind)
    q = qt.quantize_per_tensor(x, 0.1, 0, "qint8")
    assert_array_equal(q.int_repr(), quantize(np.asarray(x), 0.1, 0, "qint8"))


def test_assigning_a_tensor_converts_and_views_keep_their_parameters():
    q = qt.quantize_per_tensor([1.0, 2.0], 0.5, 0, "qint8")
    view = q[1:]
    q[0] = qt.quantize_per_tensor(3.0, 0.1, 7, "quint8")
    assert q.tolist() == [3.0, 2.0]
    q.copy_(qt.quantize_per_tensor([1.0, 4.0], 0.25, 3, "qint8"))
    assert view.tolist() == [4.0]
    assert view.q_scale() == q.q_scale() == 0.5


@pytest.mark.parametrize("value", [[1.0], np.ones(2), np.float32(1), 1, True])
def test_assignment_takes_what_numpy_takes(value):
    q = qt.quantize_per_tensor(np.zeros((2, 4)), 0.5, 0, "qint8")
    q[:, ::2] = value
    assert_array_equal(q.dequantize(), [[1, 0, 1, 0]] * 2)


def test_the_channel_axis_follows_views():
    q = channels()
    x = q.dequantize()
    for view, wanted in [
        (q[0], x[0]),
        (q.transpose(1, 2), x.transpose(0, 2, 1)),
        (q[:, 1], x[:, 1]),
        (q[:, ::-1], x[:, ::-1]),
        (q.reshape(2, 3, 2, 2), x.reshape(2, 3, 2, 2)),
        (q.flatten(0, 0), x),
    ]:
        assert_array_equal(view.dequantize(), wanted)
    assert q[:, 1].qscheme() is qt.per_tensor_affine
    with pytest.raises(ValueError, match=r"call dequantize\(\) first"):
        q.reshape(6, 4)


def test_negative_axes():
    assert channels(-1).q_per_channel_axis() == 2


def test_numpy_and_pickle():
    q = channels()
    assert_array_equal(np.asarray(q), q.dequantize())
    assert_array_equal(np.from_dlpack(q.int_repr()), q.int_repr())
    assert q.tolist() == q.dequantize().tolist()
    assert pickle.loads(pickle.dumps(q)).equal(q)


def test_arithmetic():
    q = qt.quantize_per_tensor(X, 0.1, 0, "qint8")
    x = q.dequantize()
    assert_allclose(q + 1, x + 1)
    assert_allclose(q * x, x * x)
    assert_allclose(q @ np.ones(4, np.float32), x @ np.ones(4, np.float32))
    assert_allclose(q.sum(), x.sum(), rtol=1e-6)
    assert q.argmax() == x.argmax()
    assert_array_equal(qt.where(x > 0, q, 0.0).dequantize(), np.where(x > 0, x, 0))


def test_the_scale_gradient_of_learnable_quantization_where_the_zero_point_is_negative():
    scale, zero_point, low, high = np.float32(0.5), -3, -8, 7
    x = np.float32([-9, -0.4, 0.3, 9])
    steps = np.rint(x / scale) + zero_point
    y = scale * (np.clip(steps, low, high) - zero_point)
    inside = (low <= steps) & (steps <= high)
    by_scale = np.where(inside, (y - x) / scale, np.where(steps < low, low - zero_point, high - zero_point))
    by_zero_point = np.where(inside, 0, -scale)
    _, ds, dz = qt.fake_quantize_learnable_per_tensor_affine_backward(
        np.ones(4), x, scale, zero_point, low, high
    )
    assert_allclose(ds, by_scale.sum(), rtol=1e-6)
    assert_allclose(dz, by_zero_point.sum(), rtol=1e-6)


def test_int_repr_is_the_memory_itself():
    codes = np.arange(6, dtype=np.uint8)
    q = qt.make_per_tensor_quantized_tensor(codes, 0.5, 1)
    assert np.shares_memory(q.int_repr(), codes)
    q.int_repr()[0] = 3
    assert codes[0] == 3
    assert q[0].item() == 1.0


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_a_view_shows_its_bases_values(axis):
    q = channels(axis)
    x = q.dequantize()
    n = X.shape[axis]
    for i in range(n):
        assert_array_equal(q.select(axis, i).dequantize(), x.take(i, axis))
    first = q.select(axis, 0)
    assert_array_equal(
        first.dequantize(), dequantize(first.int_repr(), first.q_scale(), first.q_zero_point())
    )
