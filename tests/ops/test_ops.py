"""Products of 8-bit matrices: torch's values bit for bit, NumPy's integers, any strides and broadcasting."""

import pickle

import numpy as np
import pytest
import quantray as qt
from contract import along, quantize
from golden import cases
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

KINDS = {"qint8": np.int8, "quint8": np.uint8}


def codes(rng, dtype, shape):
    low, high = (-128, 128) if dtype == "qint8" else (0, 256)
    return rng.integers(low, high, shape).astype(KINDS[dtype])


def exact(x, x_zero, w, w_zero):
    """The sums of products, in 64 bits."""
    return (x.astype(np.int64) - x_zero) @ (w.astype(np.int64) - w_zero).T


@cases("linear")
def test_linear_layers_of_torch(kernels, case):
    codes, scale = np.ascontiguousarray(case["w"]), case["w_scale"]
    if np.ndim(scale) == 0:
        weight = qt.make_per_tensor_quantized_tensor(codes, scale, 0)
    else:
        weight = qt.make_per_channel_quantized_tensor(codes, scale, 0, axis=0)
    linear = qt.ops.PackedLinear(weight, case["bias"])
    x = qt.make_per_tensor_quantized_tensor(case["x"].copy(), case["x_scale"], case["x_zero_point"])
    y = linear(x, case["y_scale"], case["y_zero_point"], relu=case["relu"])
    assert_array_equal(y.int_repr(), case["y"], strict=True)


@st.composite
def layers(draw):
    """A weight, what it is in NumPy, and a bias."""
    n, k = draw(st.integers(1, 40)), draw(st.integers(0, 70))
    rng = np.random.default_rng(draw(st.integers(0, 99)))
    dtype = draw(st.sampled_from(list(KINDS)))
    w = codes(rng, dtype, (n, k))
    w = np.asfortranarray(w) if draw(st.booleans()) else w
    low = 0 if dtype == "quint8" else -128
    if draw(st.booleans()):
        scale, zero = 0.01, low + draw(st.integers(0, 255))
        weight = qt.make_per_tensor_quantized_tensor(w, scale, zero)
        scale, zero = np.full(n, scale), np.full(n, zero)
    else:
        scale, zero = rng.uniform(0.001, 0.1, n), low + rng.integers(0, 256, n)
        weight = qt.make_per_channel_quantized_tensor(w, scale, zero, 0)
    bias = draw(st.sampled_from([None, rng.normal(size=n) * 9, rng.integers(-999, 999, n).astype(np.int32)]))
    return weight, w, np.float32(scale), zero, bias, rng


@given(layers(), st.sampled_from([(), (1,), (7,), (2, 3), (0,), (2, 0)]), st.data())
def test_linear_layers(layer, leading, data):
    weight, w, w_scale, w_zero, bias, rng = layer
    dtype = data.draw(st.sampled_from(list(KINDS)))
    x = codes(rng, dtype, (*leading, w.shape[1]))
    x = x[..., ::-1].copy()[..., ::-1] if data.draw(st.booleans()) else x
    zero = data.draw(st.integers(0, 127))
    linear, q = qt.ops.PackedLinear(weight, bias), qt.make_per_tensor_quantized_tensor(x, 0.03, zero)
    relu = data.draw(st.booleans())
    ints, reals = (bias, 0) if bias is not None and bias.dtype == np.int32 else (0, bias)
    sums = (exact(x, zero, w, w_zero[:, None]) + ints).astype(np.float32)
    product = np.float32(0.03) * w_scale
    reals = np.float32(0 if reals is None else reals)
    values = sums * product + reals
    assert_array_equal(linear(q, relu=relu), np.maximum(values, 0) if relu else values, strict=True)
    for out in KINDS:
        low = -128 if out == "qint8" else 0
        steps = np.rint((sums + reals / product) * (product / np.float32(0.7))) + 50
        wanted = np.clip(steps, 50 if relu else low, low + 255)
        y = linear(q, 0.7, 50, out, relu=relu)
        assert_array_equal(y.int_repr(), wanted)
        assert (y.q_scale(), y.q_zero_point(), y.dtype.name) == (0.7, 50, out)
    if not (reals.any() or bias is not None) or bias is None or bias.dtype == np.int32:
        y = linear(q, dtype=qt.qint32)
        assert_array_equal(y.int_repr(), sums)
        assert_allclose(y.dequantize(), values, rtol=1e-6)


@pytest.mark.parametrize("per_row", [False, True])
@given(layers(), st.integers(1, 9), st.data())
def test_floats_are_quantized_on_the_way(per_row, layer, rows, data):
    weight, w, w_scale, w_zero, bias, rng = layer
    x = np.float32(rng.normal(size=(rows, w.shape[1])) * rng.uniform(0.1, 9, (rows, 1)))
    linear = qt.ops.PackedLinear(weight, bias)
    reals, ints = (0, bias) if bias is not None and bias.dtype == np.int32 else (bias, 0)
    parts = x if per_row else [x]
    tensors = [qt.quantize_per_tensor_dynamic(part, "quint8") for part in parts]
    wanted = [
        (exact(q.int_repr(), q.q_zero_point(), w, w_zero[:, None]) + ints).astype(np.float32)
        * (np.float32(q.q_scale()) * w_scale)
        for q in tensors
    ]
    wanted = np.stack(wanted) if per_row else wanted[0]
    wanted = wanted + np.float32(0 if reals is None else reals)
    assert_array_equal(linear.dynamic(x, per_row=per_row), wanted)
    out = np.zeros_like(wanted)
    assert linear.dynamic(x[:, ::-1][:, ::-1], per_row=per_row, relu=True, out=out) is out
    assert_array_equal(out, np.maximum(wanted, 0))


def test_layers_are_pickled_as_their_weight():
    for dtype in KINDS:
        w = codes(np.random.default_rng(0), dtype, (5, 70))
        for weight in (
            qt.make_per_tensor_quantized_tensor(w, 0.1, 3),
            qt.make_per_channel_quantized_tensor(w, np.linspace(1, 2, 5), range(5), 0),
        ):
            linear = qt.ops.PackedLinear(weight, [1, 2, 3, 4, 5])
            for same in (linear, pickle.loads(pickle.dumps(linear))):
                assert same.weight().equal(weight)
                assert_array_equal(same.bias(), np.float32([1, 2, 3, 4, 5]))
                assert (same.in_features, same.out_features) == (70, 5)
                assert qt.cpu_info()["isa"] == same.kernel
                assert same.kernel in repr(same)


def test_a_layer_keeps_working_where_the_choice_is_lowered(kernels):
    w = np.ones((3, 4), np.int8)
    linear = qt.ops.PackedLinear(qt.make_per_tensor_quantized_tensor(w, 1, 0))
    qt.set_isa("scalar")
    x = qt.make_per_tensor_quantized_tensor(w, 1, 0)
    assert_array_equal(linear(x), np.full((3, 3), 4))


@given(st.data())
def test_integer_products(data):
    rng = np.random.default_rng(data.draw(st.integers(0, 99)))
    m, k, n = (data.draw(st.integers(0, 50)) for _ in range(3))
    a = codes(rng, data.draw(st.sampled_from(list(KINDS))), (m, k))
    b = codes(rng, data.draw(st.sampled_from(list(KINDS))), (k, n))
    views = [
        lambda x: x,
        np.asfortranarray,
        lambda x: x[::-1].copy()[::-1],
        lambda x: np.repeat(x, 2, 1)[:, ::2],
    ]
    a, b = data.draw(st.sampled_from(views))(a), data.draw(st.sampled_from(views))(b)
    wanted = (a.astype(np.int64) @ b.astype(np.int64)).astype(np.int32)
    assert_array_equal(qt.ops.int_mm(a, b), wanted, strict=True)
    out = np.zeros((n, m), np.int32).T
    assert qt.ops.int_mm(a, b, out=out) is out
    assert_array_equal(out, wanted)


def test_no_pair_of_products_saturates(kernels):
    a, b = np.full((9, 300), 255, np.uint8), np.full((300, 40), 127, np.int8)
    assert_array_equal(qt.ops.int_mm(a, b), np.full((9, 40), 255 * 127 * 300))
    assert_array_equal(qt.ops.int_mm(a, ~b), np.full((9, 40), -255 * 128 * 300))
    assert_array_equal(qt.ops.int_mm(a, a[:, :9].repeat(34, 0)[:300]), np.full((9, 9), 255 * 255 * 300))


SHAPES = [((2, 3), (3, 4)), ((3,), (3, 4)), ((2, 3), (3,)), ((3,), (3,)), ((5, 2, 3), (3, 4))]
SHAPES += [((5, 2, 3), (5, 3, 4)), ((2, 1, 2, 3), (5, 3, 4)), ((2, 3), (0, 3, 4)), ((2, 0), (0, 4))]


@pytest.mark.parametrize(("left", "right"), SHAPES)
@pytest.mark.parametrize("dtype", KINDS)
def test_matrix_products(left, right, dtype, rng):
    x, y = codes(rng, dtype, left), codes(rng, "qint8", right)
    a, b = qt.make_per_tensor_quantized_tensor(x, 0.03, 7), qt.make_per_tensor_quantized_tensor(y, 0.2, -5)
    sums = np.matmul(x.astype(np.int64) - 7, y.astype(np.int64) + 5)
    values = sums.astype(np.float32) * (np.float32(0.03) * np.float32(0.2))
    made = qt.ops.matmul(a, b, 0.5, 3, "qint8")
    assert_array_equal(made.int_repr(), quantize(values, 0.5, 3, "qint8"))
    own = qt.quantize_per_tensor_dynamic(values, dtype)
    assert qt.ops.matmul(a, b).equal(own)
    assert (a @ b).equal(own)


def test_matrix_products_with_channels(rng):
    x, w = codes(rng, "quint8", (4, 6)), codes(rng, "qint8", (6, 3))
    a = qt.make_per_tensor_quantized_tensor(x, 0.1, 9)
    b = qt.make_per_channel_quantized_tensor(w, [0.1, 0.2, 0.3], [0, 1, 2], 1)
    scale = np.float32(0.1) * along(np.float32([0.1, 0.2, 0.3]), 1, 2)
    values = exact(x, 9, w.T, np.arange(3)[:, None]).astype(np.float32) * scale
    assert (a @ b).equal(qt.quantize_per_tensor_dynamic(values, "quint8"))


W = qt.make_per_tensor_quantized_tensor(np.ones((2, 3), np.int8), 0.1, 0)
X = qt.make_per_tensor_quantized_tensor(np.ones((4, 3), np.uint8), 0.1, 0)
L = qt.ops.PackedLinear(W, [1.0, 2.0])
CHANNELS = qt.make_per_channel_quantized_tensor(np.ones((4, 3), np.int8), [1, 1, 1], 0, 1)
ONES = np.ones((2, 3), np.int8)


@pytest.mark.parametrize(
    ("act", "error", "says"),
    [
        (
            lambda: qt.ops.PackedLinear(W[0]),
            ValueError,
            r"weight must be of shape \(out_features, in.*got \(3,\)",
        ),
        (lambda: qt.ops.PackedLinear(ONES), TypeError, r"QTensor is needed, got ndarray.*weight"),
        (
            lambda: qt.ops.PackedLinear(CHANNELS),
            ValueError,
            r"weight must be .*axis 0.*got one with .*axis 1",
        ),
        (
            lambda: qt.ops.PackedLinear(W.requantize(1, 0, "qint32")),
            TypeError,
            r"weight .*qint8 or quint8.*qint32",
        ),
        (
            lambda: qt.ops.PackedLinear(W, [1.0]),
            ValueError,
            r"bias must be of shape \(2,\).*got shape \(1,\)",
        ),
        (lambda: qt.ops.PackedLinear(W, [1.0, np.nan]), ValueError, r"bias\[1\] must be finite, got NaN"),
        (lambda: qt.ops.PackedLinear(W, ["a", "b"]), TypeError, r"bias must be .*real numbers"),
        (lambda: L(np.ones((4, 3))), TypeError, r"QTensor is needed, got ndarray.*input"),
        (lambda: L(X[:, :2]), ValueError, r"input must be of shape \(\.\.\., 3\).*got \(4, 2\)"),
        (lambda: L(X[0, 0]), ValueError, r"input must be of shape \(\.\.\., 3\).*got \(\)"),
        (lambda: L(CHANNELS), TypeError, r"input must be quantized per tensor.*per_channel_affine"),
        (lambda: L(X, 0, 0), ValueError, r"scale must be positive"),
        (lambda: L(X, 1, 999), ValueError, r"zero_point must be a code of quint8, 0 to 255, got 999"),
        (lambda: L(X, zero_point=3), ValueError, r"zero_point must be given with scale.*got 3"),
        (lambda: L(X, 1, 0, "qint32"), ValueError, r"dtype must be qint8 or quint8.*got qint32"),
        (lambda: L(X, dtype="qint8"), TypeError, r"scale must be given for an output of qint8"),
        (lambda: L(X, dtype="qint32"), ValueError, r"dtype must be .*got qint32 with a float bias"),
        (
            lambda: L(X, 1, 0, out=np.zeros((4, 2), np.int8)),
            TypeError,
            r"out must be of dtype uint8, got .*int8",
        ),
        (
            lambda: L(X, out=np.zeros((4, 3), np.float32)),
            ValueError,
            r"out must be of shape \(4, 2\), got \(4, 3\)",
        ),
        (lambda: L.dynamic([[1, 2, np.nan]]), ValueError, r"input must not hold NaN.*\(0, 2\)"),
        (lambda: L.dynamic([[1, 2, np.inf]]), ValueError, r"input must be finite"),
        (lambda: L.dynamic([1.0]), ValueError, r"input must be of shape \(\.\.\., 3\)"),
        (lambda: qt.ops.int_mm(ONES, ONES), ValueError, r"b must be of shape \(3, N\).*got \(2, 3\)"),
        (lambda: qt.ops.int_mm(ONES[0], ONES), ValueError, r"a must be of shape \(M, K\), got \(3,\)"),
        (
            lambda: qt.ops.int_mm(np.ones((2, 3)), ONES),
            TypeError,
            r"a must be an array of int8 or uint8.*float64",
        ),
        (
            lambda: qt.ops.int_mm(ONES, ONES.T, out=np.zeros((3, 2), np.int32)),
            ValueError,
            r"out must be of shape",
        ),
        (lambda: qt.ops.matmul(X, W), ValueError, r"b must be of shape \(\.\.\., 3, N\).*got \(2, 3\)"),
        (lambda: qt.ops.matmul(CHANNELS, X), TypeError, r"a must be quantized per tensor"),
        (lambda: qt.ops.matmul(X, CHANNELS.T), ValueError, r"b must be .*axis 1.*axis 0"),
        (lambda: X @ X[0, 0], (ValueError, TypeError), r"dimension"),
    ],
)
def test_errors(act, error, says):
    with pytest.raises(error, match=f"(?s){says}"):
        act()


@pytest.mark.parametrize("depth", [33_100, 70_000])
def test_sums_that_could_leave_32_bits_are_refused(depth):
    a, b = np.full((1, depth), 255, np.uint8), np.full((depth, 1), 255, np.uint8)
    with pytest.raises(ValueError, match=r"weight must be such that no sum of products leaves 32 bits"):
        qt.ops.int_mm(a, b)
    small = np.ones((depth, 1), np.int8)
    assert qt.ops.int_mm(a, small) == 255 * depth


@pytest.mark.parametrize("nbytes", [0, -1, 2**31])
def test_read_bandwidth_wants_a_size_that_it_can_read(nbytes: int) -> None:
    with pytest.raises(ValueError, match=rf"nbytes must be from 1 to 2\^30, got {nbytes}"):
        qt.ops.read_bandwidth(nbytes)


def test_read_bandwidth_is_a_number_of_bytes_a_second() -> None:
    # No memory reads slower than 10 MB/s, none faster than 100 TB/s.
    assert 1e7 < qt.ops.read_bandwidth(1 << 16) < 1e14


def per_tensor(code, scale, dtype=np.int8, shape=(1, 4)):
    return qt.make_per_tensor_quantized_tensor(np.full(shape, code, dtype), scale, 0)


@pytest.mark.parametrize(
    ("weight", "x", "y", "bias", "says"),
    [
        (1e-30, 1e-30, 0.1, None, r"scale must be such that .*got 1e-1, with 1e-30 of the input"),
        (1e30, 1e30, 0.1, None, r"scale must be such that .*with 1e30 of the input"),
        (1e20, 1e15, 1e-30, None, r"scale must be such that .*got 1e-30"),
        (1e-18, 1e-18, 0.1, [1e10], r"bias\[0\] must be finite in steps of 1"),
    ],
)
def test_scales_whose_products_float32_cannot_hold(weight, x, y, bias, says):
    with pytest.raises(ValueError, match=f"(?s){says}"):
        qt.ops.PackedLinear(per_tensor(1, weight), bias)(per_tensor(1, x, np.uint8), y, 0)


def test_an_integer_bias_leaves_no_sum_beyond_32_bits():
    weight, x = per_tensor(127, 0.1), per_tensor(255, 0.1, np.uint8)
    most = 2**31 - 1 - 4 * 127 * 255
    linear = qt.ops.PackedLinear(weight, np.array([most], np.int32))
    assert linear(x, dtype="qint32").int_repr() == 2**31 - 1
    with pytest.raises(ValueError, match=rf"bias\[0\] must be from -{most} to {most}, .*got {most + 1}"):
        qt.ops.PackedLinear(weight, np.array([most + 1], np.int32))
    image = qt.make_per_tensor_quantized_tensor(np.ones((1, 1, 2, 2), np.int8), 0.1, 0)
    with pytest.raises(ValueError, match=r"bias\[0\] must be from"):
        qt.ops.PackedConv2d(image, np.array([2**31 - 1], np.int32))
