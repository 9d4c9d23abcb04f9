"""Floats between products of integers: float64's values, the same bits on every instruction set."""

import math

import numpy as np
import pytest
import quantray as qt
from contract import dequantize, quantize
from golden import cases
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

ERFC = np.vectorize(math.erfc, otypes=[float])


def sigmoid(x):
    with np.errstate(over="ignore"):
        return 1 / (1 + np.exp(-x))


def gelu_tanh(x):
    return 0.5 * x * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))


FUNCTIONS = {
    "gelu": (qt.ops.gelu, lambda x: 0.5 * x * ERFC(-x / math.sqrt(2))),
    "gelu_tanh": (lambda x, **kw: qt.ops.gelu(x, approximate="tanh", **kw), gelu_tanh),
    "silu": (qt.ops.silu, lambda x: x * sigmoid(x)),
    "sigmoid": (qt.ops.sigmoid, sigmoid),
    "tanh": (qt.ops.tanh, np.tanh),
}
SPECIAL = np.array(
    [np.inf, -np.inf, np.nan, 0, -0.0, 1e-45, -1e-40, 3e38, -3e38, 88, -88, -103.9], np.float32
)


def softmax(x, axis=-1, factor=1.0, mask=0.0):
    """In float64, with float32's factor."""
    t = x.astype(float) * np.float32(factor) + mask
    with np.errstate(invalid="ignore"):
        powers = np.exp(t - t.max(axis, keepdims=True))
        return powers / powers.sum(axis, keepdims=True)


def layer_norm(x, ndim=1, weight=1.0, bias=0.0, eps=1e-5):
    axes = tuple(range(x.ndim - ndim, x.ndim))
    off = x - x.mean(axes, keepdims=True)
    return off / np.sqrt((off**2).mean(axes, keepdims=True) + eps) * weight + bias


@pytest.mark.parametrize("name", FUNCTIONS)
def test_functions(kernels, name):
    own, exact = FUNCTIONS[name]
    around = np.concatenate([np.linspace(-15, 15, 60_001), np.geomspace(1e-38, 1e38, 2001)])
    for x in (around.astype(np.float32), -around.astype(np.float32), SPECIAL):
        with np.errstate(invalid="ignore", over="ignore"):
            wanted = exact(x.astype(float))
        y = own(x)
        assert y.dtype == np.float32
        assert_allclose(y, wanted, rtol=5e-7, atol=5e-7)
        # Zero keeps its sign, and nothing leaves its range.
        if name != "sigmoid":
            assert_array_equal(np.signbit(y[x == 0]), np.signbit(x[x == 0]))
    if name in ("sigmoid", "tanh"):
        assert np.abs(y[~np.isnan(y)]).max() <= 1


def everything(rng):
    """Bits of what every function makes of awkward numbers and lengths."""
    made = []
    for n in (1, 7, 15, 16, 17, 33, 64, 100, 129, 1000):
        x = (rng.standard_normal((37, n)) * 4).astype(np.float32)
        x[::5, n // 2] = rng.choice(SPECIAL, 8)
        r, w, b = (rng.standard_normal(shape).astype(np.float32) for shape in ((37, n), n, n))
        made += [own(x) for own, _ in FUNCTIONS.values()]
        made += [qt.ops.softmax(x), qt.ops.softmax(x, 0), qt.ops.softmax(x, factor=-0.3, mask=r)]
        made += [qt.ops.layer_norm(x, n), qt.ops.layer_norm(x, (n,), w, b, 1e-12, residual=r)]
    return [y.view(np.uint32) for y in made]


@pytest.fixture(scope="module")
def scalar_bits():
    before = qt.cpu_info()
    qt.set_isa("scalar")
    qt.set_num_threads(1)
    made = everything(np.random.default_rng(0))
    qt.set_isa(before["isa"])
    qt.set_num_threads(before["num_threads"])
    return made


def test_bits_are_the_same_everywhere(scalar_bits, kernels, rng):
    for got, wanted in zip(everything(rng), scalar_bits, strict=True):
        assert_array_equal(got, wanted)


def test_threads_share_large_arrays(kernels, rng):
    x = rng.standard_normal((3000, 301)).astype(np.float32)
    for own, _ in FUNCTIONS.values():
        assert_array_equal(own(x)[1234:1240], own(x[1234:1240]))
    assert_array_equal(qt.ops.softmax(x, mask=x)[1234:1240], qt.ops.softmax(x[1234:1240], mask=x[1234:1240]))
    y = qt.ops.layer_norm(x, 301, residual=x[::-1])
    assert_array_equal(y[1234:1240], qt.ops.layer_norm(x[1234:1240], 301, residual=x[::-1][1234:1240]))


@st.composite
def arrays(draw, least=1):
    """float32 arrays of any shape and strides."""
    shape = draw(st.lists(st.integers(0, 9) | st.integers(60, 70), min_size=least, max_size=4))
    shape = shape if np.prod(shape) < 40_000 else shape[:least]
    x = np.random.default_rng(draw(st.integers(0, 99))).standard_normal(shape).astype(np.float32) * 3
    x = x.transpose(draw(st.permutations(range(x.ndim))))
    return x[tuple(slice(None, None, draw(st.sampled_from([1, 1, 2, -1]))) for _ in x.shape)]


@given(arrays(least=0), st.sampled_from(list(FUNCTIONS)))
def test_functions_of_any_layout(x, name):
    own, exact = FUNCTIONS[name]
    y = own(x)
    assert y.shape == x.shape
    assert_allclose(y, exact(x.astype(float)), rtol=1e-6, atol=1e-6)
    assert_array_equal(own(x.astype(float)), y)
    assert_array_equal(own(x.tolist()), y.reshape(np.shape(x.tolist())))


@given(arrays(), st.data())
def test_softmax(x, data):
    axis = data.draw(st.integers(-x.ndim, x.ndim - 1))
    factor = data.draw(st.sampled_from([1.0, 0.125, -2.0, 0.0]))
    shape = [n if data.draw(st.booleans()) else 1 for n in x.shape][data.draw(st.integers(0, x.ndim)) :]
    mask = data.draw(st.sampled_from([None, np.random.default_rng(1).integers(-4, 4, shape)]))
    y = qt.ops.softmax(x, axis, factor=factor, mask=mask)
    assert y.shape == x.shape
    if x.size:
        added = 0 if mask is None else mask
        assert_allclose(y, softmax(x, axis, factor, added), rtol=1e-5, atol=1e-6)


def test_masks_leave_elements_out(rng):
    x = rng.standard_normal((2, 3, 5, 70)).astype(np.float32)
    keep = rng.random((2, 1, 1, 70)) < 0.5
    y = qt.ops.softmax(x, mask=np.where(keep, 0, -np.inf), factor=0.5)
    assert (y[~np.broadcast_to(keep, x.shape)] == 0).all()
    with np.errstate(divide="ignore"):
        assert_allclose(y, softmax(x, -1, 0.5, np.log(keep)), rtol=1e-5, atol=1e-6)
    none = qt.ops.softmax(x, mask=np.full(70, -np.inf))
    assert np.isnan(none).all()
    x[0, 0, 0, 3] = np.inf
    assert_array_equal(np.isnan(qt.ops.softmax(x)).any(-1), np.isinf(x).any(-1))


@given(arrays(), st.data())
def test_layer_norm(x, data):
    ndim = data.draw(st.integers(1, x.ndim))
    shape = x.shape[x.ndim - ndim :]
    rng = np.random.default_rng(2)
    weight, bias = (rng.standard_normal(shape).astype(np.float32) for _ in range(2))
    residual = rng.standard_normal(x.shape).astype(np.float32)[..., ::-1]
    plain = qt.ops.layer_norm(x, shape if data.draw(st.booleans()) or ndim > 1 else shape[0], eps=0.1)
    fused = qt.ops.layer_norm(x, shape, weight, bias, 0.1, residual=residual)
    assert plain.shape == fused.shape == x.shape
    if x.size:
        assert_allclose(plain, layer_norm(x.astype(float), ndim, eps=0.1), rtol=1e-5, atol=1e-5)
        wanted = layer_norm(x.astype(float) + residual, ndim, weight, bias, 0.1)
        assert_allclose(fused, wanted, rtol=1e-5, atol=1e-5)


CALLS = {
    "gelu": lambda x, **kw: qt.ops.gelu(x, **kw),
    "softmax": lambda x, **kw: qt.ops.softmax(x, **kw),
    "softmax of columns": lambda x, **kw: qt.ops.softmax(x, 0, **kw),
    "layer_norm": lambda x, **kw: qt.ops.layer_norm(x, x.shape[-1], **kw),
}


@pytest.mark.parametrize("name", CALLS)
def test_out(name, rng):
    call = CALLS[name]
    x = rng.standard_normal((40, 70)).astype(np.float32)
    wanted = call(x)
    out = np.empty_like(x)
    assert call(x, out=out) is out
    assert_array_equal(out, wanted)
    strided = np.zeros((40, 140), np.float32)[:, ::2]
    assert call(x, out=strided) is strided
    assert_array_equal(strided, wanted)
    over = x.copy()
    assert call(over, out=over) is over
    assert_array_equal(over, wanted)
    # A part of it is not the input: the result must not be written over what is still to be read.
    memory = np.zeros(40 * 70 + 9, np.float32)
    source, target = memory[: 40 * 70].reshape(40, 70), memory[9:].reshape(40, 70)
    source[:] = x
    call(source, out=target)
    assert_array_equal(target, wanted)


def test_out_over_the_other_operands(rng):
    x, r = rng.standard_normal((2, 30, 70)).astype(np.float32)
    wanted = qt.ops.layer_norm(x, 70, residual=r)
    over = r.copy()
    assert qt.ops.layer_norm(x, 70, residual=over, out=over) is over
    assert_array_equal(over, wanted)
    both = x.copy()
    assert_array_equal(
        qt.ops.layer_norm(both, 70, residual=both, out=both), qt.ops.layer_norm(x, 70, residual=x)
    )
    weight = np.ones((1, 70), np.float32)
    wanted = qt.ops.layer_norm(x[:1], 70, weight[0] * 3)
    weight *= 3
    assert_array_equal(qt.ops.layer_norm(x[:1], 70, weight[0], out=weight), wanted)
    wanted = qt.ops.softmax(x, mask=r)
    assert_array_equal(qt.ops.softmax(x, mask=r, out=r), wanted)


@cases("ops", lambda case: case["op"] in ("softmax", "layer_norm"))
def test_torchs_values(kernels, case):
    q = qt.make_per_tensor_quantized_tensor(case["x0"].copy(), case["x0_scale"], case["x0_zero_point"])
    if case["op"] == "softmax":
        y = qt.ops.softmax(q, case["dim"])
    else:
        params = case["y_scale"], case["y_zero_point"]
        y = qt.ops.layer_norm(q, case["normalized_shape"], None, None, case["eps"], *params)
    assert (y.q_scale(), y.q_zero_point()) == (case["y_scale"], case["y_zero_point"])
    assert np.abs(y.int_repr().astype(int) - case["y"].astype(int)).max() <= 1


@pytest.mark.parametrize("dtype", ["qint8", "quint8"])
def test_tensors(dtype, rng):
    codes = rng.integers(0, 100, (30, 40)).astype(np.int8 if dtype == "qint8" else np.uint8)
    q = qt.make_per_tensor_quantized_tensor(codes, 0.05, 40)
    x = dequantize(codes, 0.05, 40)
    y = qt.ops.softmax(q, 0, factor=2)
    assert (y.q_scale(), y.q_zero_point(), y.dtype.name) == (1 / 256, -128 if dtype == "qint8" else 0, dtype)
    assert_array_equal(
        y.int_repr(), quantize(qt.ops.softmax(x, 0, factor=2), 1 / 256, y.q_zero_point(), dtype)
    )
    normal = qt.ops.layer_norm(x, 40, residual=x)
    assert qt.ops.layer_norm(q, 40, residual=q).equal(qt.quantize_per_tensor_dynamic(normal, dtype))
    out = np.zeros(q.shape, np.int8)
    y = qt.ops.layer_norm(q, 40, scale=0.03, zero_point=7, dtype="qint8", residual=q, out=out)
    assert np.shares_memory(y.int_repr(), out)
    assert_array_equal(out, quantize(normal, 0.03, 7, "qint8"))
    values = gelu_tanh(x.astype(float)).astype(np.float32)
    off = qt.ops.gelu(q, 0.05, 40, approximate="tanh").int_repr().astype(int) - quantize(
        values, 0.05, 40, dtype
    )
    # The last bit of a float64 may decide a tie.
    assert np.abs(off).max() <= 1
    assert len(np.unique(codes[off != 0])) <= 1


X = np.ones((2, 3), np.float32)
Q = qt.make_per_tensor_quantized_tensor(np.ones((2, 3), np.uint8), 0.1, 0)
C = qt.make_per_channel_quantized_tensor(np.ones((2, 3), np.uint8), [1, 1, 1], 0, 1)


@pytest.mark.parametrize(
    ("act", "error", "says"),
    [
        (lambda: qt.ops.gelu(X, 0.1), TypeError, "scale must be left out for an input of floats.*0.1"),
        (lambda: qt.ops.silu(X, zero_point=1), TypeError, "zero_point must be left out"),
        (lambda: qt.ops.softmax(X, dtype="qint8"), TypeError, "dtype must be left out"),
        (lambda: qt.ops.layer_norm(X, 3, scale=1), TypeError, "scale must be left out"),
        (
            lambda: qt.ops.gelu(X, approximate="erf"),
            ValueError,
            'approximate must be "none" or "tanh".*"erf"',
        ),
        (lambda: qt.ops.gelu(["a"]), TypeError, "input must be an array of real numbers"),
        (lambda: qt.ops.tanh(X, out=np.zeros(3, np.float32)), ValueError, r"out must be of shape \(2, 3\)"),
        (lambda: qt.ops.tanh(X, out=np.zeros((2, 3))), TypeError, "out must be of dtype float32"),
        (lambda: qt.ops.hardswish(X), TypeError, "QTensor.*input|input.*QTensor"),
        (lambda: qt.ops.softmax(X, 2), IndexError, "axis must be in -2 to 1 for 2 dimensions, got 2"),
        (lambda: qt.ops.softmax(1.0), IndexError, "which has no dimensions"),
        (lambda: qt.ops.softmax(X, factor=np.nan), ValueError, "factor must be finite, got NaN"),
        (lambda: qt.ops.softmax(X, mask=X > 0), TypeError, "mask must be of numbers that are added.*bool"),
        (
            lambda: qt.ops.softmax(X, mask=np.ones((3, 2))),
            ValueError,
            r"mask must be .*\(2, 3\), got \(3, 2\)",
        ),
        (lambda: qt.ops.softmax(C), TypeError, "input must be quantized per tensor"),
        (lambda: qt.ops.softmax(Q, mask=[-np.inf] * 3), ValueError, "the result must not hold NaN"),
        (lambda: qt.ops.softmax(Q, zero_point=3), ValueError, "zero_point must be given with scale"),
        (lambda: qt.ops.layer_norm(X, 2), ValueError, r"normalized_shape must be .*\(2, 3\), got \(2,\)"),
        (lambda: qt.ops.layer_norm(X, ()), ValueError, r"normalized_shape must be .*got \(\)"),
        (lambda: qt.ops.layer_norm(X, "a"), TypeError, "normalized_shape must be a length or lengths"),
        (lambda: qt.ops.layer_norm(X, 3, [1, 2]), ValueError, r"weight must be of .*\(3,\), got \(2,\)"),
        (lambda: qt.ops.layer_norm(X, 3, bias=1.0), ValueError, r"bias must be of .*\(3,\), got \(\)"),
        (
            lambda: qt.ops.layer_norm(X, 3, residual=X[0]),
            ValueError,
            r"residual must be of .*\(2, 3\), got \(3,\)",
        ),
        (lambda: qt.ops.layer_norm(X, 3, eps=-1), ValueError, "eps must be finite, at least 0, got -1"),
        (lambda: qt.ops.layer_norm(Q, 3, zero_point=3), ValueError, "zero_point must be given with scale"),
        (lambda: qt.ops.layer_norm(Q, 3, out=np.zeros((2, 3), np.uint8)), TypeError, "scale must be given"),
    ],
)
def test_errors(act, error, says):
    with pytest.raises(error, match=f"(?s){says}"):
        act()
