"""Functions of tensors, against NumPy on the dequantized values or on the codes."""

import numpy as np
import pytest
import quantray as qt
from contract import along, dequantize, quantize, quantize_before
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.testing import assert_allclose, assert_array_equal

DTYPES = ["qint8", "quint8", "qint32", "quint4x2", "quint2x4"]


@st.composite
def tensors(draw, dtypes=DTYPES, min_side=1, min_dims=0, channels=False):
    """A tensor of few different codes, so that there are equal ones; laid out in some order."""
    shape = draw(hnp.array_shapes(min_dims=min_dims, max_dims=3, min_side=min_side, max_side=4))
    dtype = draw(st.sampled_from(dtypes))
    codes = draw(hnp.arrays(np.int64, shape, elements=st.integers(0, 3)))
    if dtype in DTYPES[3:]:
        return qt.quantize_per_tensor((codes - 1) * 0.5, 0.5, 1, dtype)
    if channels and shape and draw(st.booleans()):
        axis = draw(st.integers(0, len(shape) - 1))
        scales = np.linspace(0.25, 0.75, shape[axis])
        return qt.quantize_per_channel((codes - 1) * along(scales, axis, len(shape)), scales, 1, axis, dtype)
    q = qt.quantize_per_tensor((codes - 1) * 0.5, 0.5, 1, dtype)
    order = draw(st.permutations(range(len(shape))))
    return q.permute(*order)


def axes(q):
    return st.integers(-q.ndim, q.ndim - 1) if q.ndim else st.none()


def is_like(result, q, values):
    """The result is a tensor with q's parameters and these values."""
    assert isinstance(result, qt.QTensor)
    assert result.quantizer == q.quantizer
    assert_array_equal(result.dequantize(), np.asarray(values, np.float32))


@pytest.mark.parametrize("name", ["min", "max"])
@given(data=st.data())
def test_least_and_greatest(name, data):
    q = data.draw(tensors())
    x, dim = q.dequantize(), data.draw(axes(q))
    is_like(getattr(q, name)(), q, getattr(x, name)())
    assert getattr(q, f"arg{name}")() == getattr(x, f"arg{name}")()
    if dim is None:
        return
    keep = data.draw(st.booleans())
    word = data.draw(st.sampled_from(["dim", "axis"]))
    flag = data.draw(st.sampled_from(["keepdim", "keepdims"]))
    values, indices = result = getattr(q, name)(**{word: dim, flag: keep})
    wanted = np.expand_dims(getattr(x, f"arg{name}")(dim), dim)
    is_like(values, q, getattr(x, name)(dim, keepdims=keep))
    assert_array_equal(indices, wanted if keep else wanted.squeeze(dim))
    assert result.values is values
    assert result.indices is indices
    arg = getattr(q, f"arg{name}")(**{word: dim, flag: keep})
    assert_array_equal(arg, indices)
    assert arg.dtype == indices.dtype == np.int64


@given(data=st.data())
def test_sums_and_means(data):
    q = data.draw(tensors(channels=True))
    x, dim, keep = q.dequantize(), data.draw(axes(q)), data.draw(st.booleans())
    total = q.sum(dim, keepdim=keep) if dim is not None else q.sum()
    assert total.dtype == np.float32
    assert_allclose(total, x.astype(float).sum(dim, keepdims=keep if dim is not None else False), rtol=1e-6)
    if q.qscheme() is qt.per_tensor_affine:
        mean = q.mean(axis=dim, keepdims=keep) if dim is not None else q.mean()
        wanted = x.astype(float).mean(dim, keepdims=keep if dim is not None else False)
        assert mean.quantizer == q.quantizer
        assert np.all(np.abs(mean.dequantize() - wanted) <= 0.25 + 1e-6), "at most half a step apart"
    if x.size > 1 and (dim is None or x.shape[dim] > 1):
        assert_allclose(q.std(dim), x.astype(float).std(dim, ddof=1), rtol=1e-6)
        assert_allclose(q.std(dim, correction=0), x.astype(float).std(dim), rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("descending", [False, True])
@given(data=st.data())
def test_sorting_is_stable(descending, data):
    q = data.draw(tensors(min_side=0, min_dims=1))
    x, dim = q.dequantize(), data.draw(axes(q))
    order = np.argsort(-x if descending else x, axis=dim, kind="stable")
    values, indices = q.sort(dim, descending)
    is_like(values, q, np.take_along_axis(x, order, dim))
    assert_array_equal(indices, order)
    assert_array_equal(q.argsort(axis=dim, descending=descending), order)
    k = data.draw(st.integers(0, x.shape[dim]))
    values, indices = q.topk(k, axis=dim, largest=descending)
    kept = np.take(order, np.arange(k), dim)
    is_like(values, q, np.take_along_axis(x, kept, dim))
    assert_array_equal(indices, kept)


@given(data=st.data())
def test_joining(data):
    codes = hnp.arrays(np.int64, (2, 3), elements=st.integers(0, 3))
    parts = [qt.quantize_per_tensor(data.draw(codes) - 1, 0.5, z, "qint8") for z in (1, 2)]
    dim, first = data.draw(st.integers(-2, 1)), parts[0]
    x = [p.dequantize() for p in parts]
    joined = qt.cat(parts, dim)
    assert joined.quantizer == first.quantizer
    wanted = quantize(np.concatenate(x, dim), first.q_scale(), first.q_zero_point(), "qint8")
    assert_array_equal(joined.int_repr(), wanted)
    stacked = qt.stack(parts, axis=dim)
    wanted = quantize(np.stack(x, dim), first.q_scale(), first.q_zero_point(), "qint8")
    assert_array_equal(stacked.int_repr(), wanted)


def test_joining_along_channels_joins_their_parameters():
    a = qt.quantize_per_channel(np.ones((2, 3)), [0.5, 0.25, 1], [0, 1, 2], 1, "qint8")
    b = qt.quantize_per_channel(np.ones((2, 1)), [0.125], [3], 1, "qint8")
    joined = qt.cat([a, b], 1)
    assert_array_equal(joined.q_per_channel_scales(), [0.5, 0.25, 1, 0.125])
    assert_array_equal(joined.q_per_channel_zero_points(), [0, 1, 2, 3])
    assert_array_equal(joined.dequantize(), np.ones((2, 4)))


@given(data=st.data())
def test_relu_and_clamp(data):
    q = data.draw(tensors(["qint8", "quint8", "qint32"], min_side=0, channels=True))
    x = q.dequantize()
    is_like(q.relu(), q, np.maximum(x, 0))
    low, high = sorted(data.draw(st.lists(st.sampled_from([-0.5, 0.0, 0.5]), min_size=2, max_size=2)))
    if q.qscheme() is qt.per_tensor_affine:
        is_like(q.clamp(low, high), q, np.clip(x, low, high))
        is_like(q.clamp(min=low), q, np.maximum(x, low))
        is_like(q.clamp(max=high), q, np.minimum(x, high))


@given(data=st.data())
def test_where(data):
    q = data.draw(tensors(["qint8", "quint8", "qint32"], channels=True))
    x, mask = q.dequantize(), data.draw(hnp.arrays(bool, q.shape))
    is_like(qt.where(mask, q, q.clone()), q, x)
    is_like(qt.where(mask, q, 0.0), q, np.where(mask, x, 0))
    is_like(q.where(mask, np.zeros(q.shape)), q, np.where(mask, x, 0))


@pytest.mark.parametrize("dtype", DTYPES)
@given(data=st.data())
def test_requantize(dtype, data):
    q = data.draw(tensors(min_side=0, channels=True))
    scale, zero_point = data.draw(st.sampled_from([0.5, 0.3, 1.7])), data.draw(st.integers(0, 3))
    result = q.requantize(scale, zero_point, dtype)
    rule = quantize if dtype in DTYPES[:3] else quantize_before
    codes = rule(q.dequantize(), scale, zero_point, dtype)
    assert result.dtype is getattr(qt, dtype)
    assert (result.q_scale(), result.q_zero_point()) == (scale, zero_point)
    assert_array_equal(result.dequantize(), dequantize(codes, scale, zero_point))


@given(data=st.data())
def test_comparisons_are_of_values(data):
    q = data.draw(tensors(min_side=0, channels=True))
    x = q.dequantize()
    other = data.draw(st.sampled_from([0.0, np.float32(0.5), q.clone(), x[..., ::-1] if x.ndim else x]))
    y = other.dequantize() if isinstance(other, qt.QTensor) else other
    for ours, numpys in [
        (q == other, x == y),
        (q != other, x != y),
        (q < other, x < y),
        (q <= other, x <= y),
        (q > other, x > y),
        (q >= other, x >= y),
    ]:
        assert_array_equal(ours, numpys, strict=True)
    assert q.equal(q.clone())
    assert q.allclose(x + 1e-9)
    assert not q.numel() or not q.allclose(x + 1)


def test_equal_means_values_and_parameters():
    q = qt.quantize_per_tensor([1.0, 2.0], 0.5, 0, "qint8")
    assert not q.equal(qt.quantize_per_tensor([1.0, 2.0], 0.25, 0, "qint8"))
    assert not q.equal(qt.quantize_per_tensor([1.0, 2.0], 0.5, 0, "quint8"))
    assert not q.equal(qt.quantize_per_tensor([1.0, 2.5], 0.5, 0, "qint8"))
    assert not q.equal(q[:1])
    assert not q.equal(q.unsqueeze(0))
    assert not qt.equal(q, q[::-1])
    assert qt.equal(q, q[::-1].flip(0))


def test_clones_share_nothing():
    q = qt.quantize_per_tensor(np.ones((2, 3)), 0.5, 0, "qint8")
    copy = q.T.clone()
    copy.fill_(0)
    assert_array_equal(q.dequantize(), np.ones((2, 3)))
    assert copy.shape == (3, 2)


@pytest.mark.parametrize("bits", [2, 4, 8, 16])
@given(data=st.data())
def test_fake_quantization(bits, data):
    low = data.draw(st.sampled_from([0, -(2 ** (bits - 1))]))
    high = low + 2**bits - 1
    x = data.draw(hnp.arrays(np.float32, (3, 5), elements=st.floats(-40, 40, width=32)))
    scales = np.float32(data.draw(st.lists(st.sampled_from([0.01, 0.5, 1.7, 3e-4]), min_size=3, max_size=3)))
    zeros = np.array(data.draw(st.lists(st.integers(low, high), min_size=3, max_size=3)))
    gradient = np.arange(15, dtype=np.float32).reshape(3, 5)
    for scale, zero, axis in [(scales, zeros, 0), (scales[0], zeros[0], None)]:
        s, z = (scale[:, None], zero[:, None]) if axis == 0 else (scale, zero)
        steps = np.rint(x * (np.float32(1) / s)).astype(np.float64) + z
        wanted = s * (np.clip(steps, low, high) - z).astype(np.float32)
        passed = np.where((low <= steps) & (steps <= high), gradient, np.float32(0))
        if axis == 0:
            made = qt.fake_quantize_per_channel_affine(x, scale, zero, 0, low, high)
            back = qt.fake_quantize_per_channel_affine_backward(gradient, x, scale, zero, 0, low, high)
        else:
            made = qt.fake_quantize_per_tensor_affine(x, float(scale), int(zero), low, high)
            back = qt.fake_quantize_per_tensor_affine_backward(
                gradient, x, float(scale), int(zero), low, high
            )
        assert_array_equal(made, wanted)
        assert_array_equal(back, passed)


@given(
    hnp.arrays(np.float32, hnp.array_shapes(max_dims=3), elements=st.floats(width=32, allow_nan=False)),
    st.data(),
)
def test_ranges(x, data):
    assert qt.min_max(x) == (x.min(), x.max())
    axis = data.draw(st.integers(-x.ndim, x.ndim - 1))
    others = tuple(d for d in range(x.ndim) if d != axis % x.ndim)
    for ours, numpys in zip(qt.min_max(x, axis=axis), (x.min(others), x.max(others)), strict=True):
        assert_array_equal(ours, numpys)


@pytest.mark.parametrize("dtype", ["qint8", "quint8"])
@pytest.mark.parametrize("call", ["min", "max", "argmin", "argmax"])
def test_nothing_has_no_least(dtype, call):
    q = qt.quantize_per_tensor(np.ones((0, 3)), 0.5, 0, dtype)
    with pytest.raises(ValueError, match=r"no elements|zero-size|empty"):
        getattr(q, call)()
    assert q.sum() == 0
    assert_array_equal(q.sum(0), np.zeros(3))
