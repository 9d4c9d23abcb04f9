"""Functions of codes, element by element: dequantize in float32, the float operation, quantize."""

import math

import numpy as np
import pytest
import quantray as qt
from contract import dequantize, quantize
from golden import cases
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_array_equal

KINDS = {"qint8": np.int8, "quint8": np.uint8}
CODES = {"qint8": np.arange(-128, 128).astype(np.int8), "quint8": np.arange(256).astype(np.uint8)}


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


FUNCTIONS = {
    "sigmoid": sigmoid,
    "tanh": np.tanh,
    "hardswish": lambda x: x * np.clip(x + 3, 0, 6) / 6,
    "hardsigmoid": lambda x: np.clip(x + 3, 0, 6) / 6,
    "leaky_relu": lambda x: np.where(x > 0, x, np.float64(np.float32(0.01)) * x),
    "elu": lambda x: np.where(x > 0, x, np.expm1(x)),
    "gelu": lambda x: x * np.vectorize(lambda x: 0.5 * math.erfc(-x / math.sqrt(2)))(x),
    "silu": lambda x: x * sigmoid(x),
    "relu6": lambda x: np.clip(x, 0, 6),
}


@pytest.mark.parametrize("name", FUNCTIONS)
@pytest.mark.parametrize("dtype", KINDS)
@pytest.mark.parametrize("to", KINDS)
def test_functions_of_every_code(name, dtype, to):
    q = qt.make_per_tensor_quantized_tensor(CODES[dtype].copy(), 0.06, 5)
    values = FUNCTIONS[name](q.dequantize().astype(np.float64)).astype(np.float32)
    y = getattr(qt.ops, name)(q, 0.043, 2, to)
    assert (y.q_scale(), y.q_zero_point(), y.dtype.name) == (0.043, 2, to)
    # The last bit of a float64 may decide a tie.
    off = np.abs(y.int_repr().astype(int) - quantize(values, 0.043, 2, to).astype(int))
    assert off.max() <= 1
    assert (off > 0).sum() <= 1


@pytest.mark.parametrize("dtype", KINDS)
def test_what_results_have_without_a_scale(dtype):
    q = qt.make_per_tensor_quantized_tensor(CODES[dtype].copy(), 0.06, 5)
    low, middle = (-128, 0) if dtype == "qint8" else (0, 128)
    fixed = {"sigmoid": (1 / 256, low), "hardsigmoid": (1 / 256, low), "tanh": (1 / 128, middle)}
    for name in FUNCTIONS:
        y = getattr(qt.ops, name)(q)
        assert (y.q_scale(), y.q_zero_point()) == fixed.get(name, (0.06, 5))
        assert y.dtype is q.dtype


def test_layouts_and_out(rng):
    x = rng.integers(0, 256, (40, 60), dtype=np.uint8)
    for view in (x.T, x[::2, ::-3], x[:0], x[0, 0, ...]):
        q = qt.make_per_tensor_quantized_tensor(np.asarray(view), 0.06, 128)
        wanted = qt.ops.silu(qt.make_per_tensor_quantized_tensor(np.array(view), 0.06, 128)).int_repr()
        assert_array_equal(qt.ops.silu(q).int_repr(), wanted)
        out = np.zeros(view.shape, np.uint8)
        assert np.shares_memory(qt.ops.silu(q, out=out).int_repr(), out) == (out.size > 0)
        assert_array_equal(out, wanted)
    q = qt.make_per_tensor_quantized_tensor(x, 0.06, 128)
    wanted = qt.ops.silu(q).int_repr().copy()
    qt.ops.silu(q, out=x)
    assert_array_equal(x, wanted)


OPERATIONS = {"add": np.add, "sub": np.subtract, "mul": np.multiply}
LENGTHS = [0, 1, 15, 16, 17, 31, 32, 33, 63, 64, 65, 255, 100_003]


@pytest.mark.parametrize("name", OPERATIONS)
def test_two_tensors(kernels, name, rng):
    for n in LENGTHS:
        a, b, to = rng.choice(list(KINDS), 3)
        x, y = rng.choice(CODES[a], n), rng.choice(CODES[b], n)
        p = qt.make_per_tensor_quantized_tensor(x, 0.031, 3)
        q = qt.make_per_tensor_quantized_tensor(y, 0.017, 101)
        values = OPERATIONS[name](dequantize(x, 0.031, 3), dequantize(y, 0.017, 101))
        for relu in (False, True):
            made = getattr(qt.ops, name)(p, q, 0.02, 50, str(to), relu=relu)
            wanted = quantize(np.maximum(values, 0) if relu else values, 0.02, 50, str(to))
            assert_array_equal(made.int_repr(), wanted)


def test_floats_and_a_tensor(kernels, rng):
    for n in LENGTHS:
        b, to = rng.choice(list(KINDS), 2)
        x, y = rng.standard_normal(n, np.float32) * 3, rng.choice(CODES[b], n)
        x[: n // 9] = np.inf
        q = qt.make_per_tensor_quantized_tensor(y, 0.017, 101)
        values = x + dequantize(y, 0.017, 101)
        for relu in (False, True):
            wanted = quantize(np.maximum(values, 0) if relu else values, 0.02, 50, str(to))
            for made in (
                qt.ops.add(x, q, 0.02, 50, str(to), relu=relu),
                qt.ops.add(q, x, 0.02, 50, str(to), relu=relu),
            ):
                assert made.dtype.name == to
                assert_array_equal(made.int_repr(), wanted)


def test_floats_and_a_tensor_of_other_layouts(rng):
    x = rng.standard_normal((2, 5, 7, 33), np.float32)
    codes = rng.integers(0, 256, x.shape).astype(np.uint8)
    q = qt.make_per_tensor_quantized_tensor(codes, 0.02, 100)
    wanted = quantize(x + dequantize(codes, 0.02, 100), 0.03, 90, "quint8")

    def last(a):
        return np.ascontiguousarray(a.transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2)

    other = qt.make_per_tensor_quantized_tensor(last(codes), 0.02, 100)
    for a in (x, last(x), x.astype(np.float64), x[::-1, ::-1][::-1, ::-1], x.tolist()):
        for b in (q, other):
            out = np.zeros(x.shape, np.uint8)
            assert_array_equal(qt.ops.add(a, b, 0.03, 90).int_repr(), wanted)
            assert_array_equal(qt.ops.add(b, a, 0.03, 90, out=out).int_repr(), wanted)
            assert_array_equal(out, wanted)
    assert qt.ops.add(last(x), other, 0.03, 90).int_repr().strides == last(codes).strides
    row = x[:1, :, :1, :1]
    wanted = quantize(row + dequantize(codes, 0.02, 100), 0.03, 90, "quint8")
    assert_array_equal(qt.ops.add(row, other, 0.03, 90).int_repr(), wanted)
    assert_array_equal(qt.ops.add(q, row, 0.03, 90).int_repr(), wanted)
    # Without a scale, the sum's own range.
    values = np.maximum(x + dequantize(codes, 0.02, 100), 0)
    assert qt.ops.add(x, q, relu=True).equal(qt.quantize_per_tensor_dynamic(values, "quint8"))
    # Over the codes that are added, and beside them.
    memory = codes.ravel().copy()
    for shift in (0, 3):
        y = qt.make_per_tensor_quantized_tensor(memory[shift : 200 + shift], 0.02, 100)
        wanted = quantize(x.ravel()[:200] + y.dequantize(), 0.03, 90, "quint8")
        qt.ops.add(x.ravel()[:200], y, 0.03, 90, out=memory[:200])
        assert_array_equal(memory[:200], wanted)


@given(st.data())
def test_broadcasting_and_strides(data):
    rng = np.random.default_rng(0)
    shapes = [((2, 3), (3,)), ((4, 1), (1, 5)), ((), (3,)), ((2, 0), (2, 1)), ((3, 4), (3, 4))]
    left, right = data.draw(st.sampled_from(shapes))
    x, y = rng.integers(0, 256, left).astype(np.uint8), rng.integers(-128, 128, right).astype(np.int8)
    x = x.T.copy().T if data.draw(st.booleans()) else x[..., ::-1] if x.ndim else x
    p, q = qt.make_per_tensor_quantized_tensor(x, 0.1, 9), qt.make_per_tensor_quantized_tensor(y, 0.2, -4)
    values = dequantize(x, 0.1, 9) + dequantize(y, 0.2, -4)
    out = np.zeros(values.shape, np.uint8)
    made = qt.ops.add(p, q, 0.3, 7, out=out)
    assert_array_equal(out, quantize(values, 0.3, 7, "quint8"))
    assert made.shape == values.shape
    own = qt.quantize_per_tensor_dynamic(values, "quint8")
    assert qt.ops.add(p, q).equal(own)
    assert (p + q).equal(own)


def test_results_over_their_inputs(rng):
    for shift in (0, 1, 7):
        memory = rng.integers(0, 256, 300).astype(np.uint8)
        x, y, out = memory[:200], memory[shift : 200 + shift], memory[shift : 200 + shift]
        wanted = quantize(dequantize(x, 0.1, 9) + dequantize(y, 0.1, 9), 0.2, 9, "quint8")
        p, q = (qt.make_per_tensor_quantized_tensor(v, 0.1, 9) for v in (x, y))
        qt.ops.add(p, q, 0.2, 9, out=out)
        assert_array_equal(out, wanted)


GOLDEN = {
    "add": lambda c, x, y: qt.ops.add(x, y, c["y_scale"], c["y_zero_point"]),
    "add_relu": lambda c, x, y: qt.ops.add(x, y, c["y_scale"], c["y_zero_point"], relu=True),
    "mul": lambda c, x, y: qt.ops.mul(x, y, c["y_scale"], c["y_zero_point"]),
    "relu": lambda c, x, y: x.relu(),
    "sigmoid": lambda c, x, y: qt.ops.sigmoid(x),
    "tanh": lambda c, x, y: qt.ops.tanh(x),
    "hardswish": lambda c, x, y: qt.ops.hardswish(x, c["y_scale"], c["y_zero_point"]),
    "leaky_relu": lambda c, x, y: qt.ops.leaky_relu(
        x, c["y_scale"], c["y_zero_point"], negative_slope=c["negative_slope"]
    ),
    "elu": lambda c, x, y: qt.ops.elu(x, c["y_scale"], c["y_zero_point"]),
    "clamp": lambda c, x, y: x.clamp(c["min"], c["max"]),
    "sort": lambda c, x, y: x.sort(c["dim"]).values,
    "mean_all": lambda c, x, y: x.mean(),
    "mean_dim": lambda c, x, y: x.mean(c["dim"]),
}


@cases("ops", lambda case: case["op"] in GOLDEN)
def test_torchs_values(kernels, case):
    operands = [
        qt.make_per_tensor_quantized_tensor(case[n].copy(), case[f"{n}_scale"], case[f"{n}_zero_point"])
        if n in case
        else None
        for n in ("x0", "x1")
    ]
    y = GOLDEN[case["op"]](case, *operands)
    assert (y.q_scale(), y.q_zero_point()) == (case["y_scale"], case["y_zero_point"])
    off = np.abs(y.int_repr().astype(int) - case["y"].astype(int))
    # Where torch contradicts itself (its vector body and its scalar tail), one step.
    assert off.max(initial=0) <= (0 if case["exact"] else 1)


Q = qt.make_per_tensor_quantized_tensor(np.ones((2, 3), np.uint8), 0.1, 0)
C = qt.make_per_channel_quantized_tensor(np.ones((2, 3), np.uint8), [1, 1, 1], 0, 1)
X = np.ones((2, 3), np.float32)
NAN = np.where(np.arange(6).reshape(2, 3) == 3, np.nan, X)


@pytest.mark.parametrize(
    ("act", "error", "says"),
    [
        (lambda: qt.ops.tanh(C), TypeError, "input must be quantized per tensor.*per_channel_affine"),
        (lambda: qt.ops.tanh(Q, -1), ValueError, "scale must be positive"),
        (lambda: qt.ops.tanh(Q, 1, 256), ValueError, "zero_point must be a code of quint8.*got 256"),
        (lambda: qt.ops.tanh(Q, zero_point=3), ValueError, "zero_point must be given with scale.*got 3"),
        (lambda: qt.ops.tanh(Q, dtype="qint32"), ValueError, "dtype must be qint8 or quint8, got qint32"),
        (lambda: qt.ops.gelu(Q, dtype="qint8"), TypeError, "scale must be given for an output of qint8"),
        (lambda: qt.ops.elu(Q, alpha=np.nan), ValueError, "alpha must be finite, got NaN"),
        (lambda: qt.ops.gelu(Q, out=np.zeros(3, np.uint8)), ValueError, r"out must be of shape \(2, 3\)"),
        (
            lambda: qt.ops.add(Q, Q[:, :2], 1, 0),
            ValueError,
            r"b must be of a shape that broadcasts.*got \(2, 2\)",
        ),
        (lambda: qt.ops.add(Q, C, 1, 0), TypeError, "b must be quantized per tensor"),
        (lambda: qt.ops.add(Q, Q, zero_point=1), ValueError, "zero_point must be given with scale"),
        (lambda: qt.ops.add(Q, X, zero_point=1), ValueError, "zero_point must be given with scale"),
        (lambda: qt.ops.add(X, X, 1, 0), TypeError, "a must be a QTensor where b is none, got ndarray and"),
        (lambda: qt.ops.add(X, C, 1, 0), TypeError, "b must be quantized per tensor"),
        (lambda: qt.ops.add(Q, "x", 1, 0), TypeError, "b must be an array of real numbers"),
        (lambda: qt.ops.add(X[:, :2], Q, 1, 0), ValueError, r"b must be of a shape.*\(2, 2\).*got \(2, 3\)"),
        (lambda: qt.ops.add(Q, X[:, :2], 1, 0), ValueError, r"b must be of a shape.*\(2, 3\).*got \(2, 2\)"),
        (lambda: qt.ops.add(Q, NAN, 1, 0), ValueError, r"b must not hold NaN.*found 1.*\(1, 0\)"),
        (lambda: qt.ops.add(NAN.T.copy().T, Q, 1, 0), ValueError, r"a must not hold NaN.*found 1.*\(1, 0\)"),
        (
            lambda: qt.ops.add(Q, Q, out=np.zeros((2, 3), np.uint8)),
            TypeError,
            "scale must be given together with out",
        ),
    ],
)
def test_errors(act, error, says):
    with pytest.raises(error, match=f"(?s){says}"):
        act()


def test_values_beyond_float32_have_no_sum():
    huge = qt.make_per_tensor_quantized_tensor(np.array([0, 255], np.uint8), 1e37, 128)
    with pytest.raises(ValueError, match=r"a must be with a scale of at most 1.33.*got one with 1e37"):
        qt.ops.add(huge, huge, 1.0, 0)


def test_axes_keep_their_order_in_memory(rng):
    codes = rng.integers(0, 256, (2, 5, 7, 33)).astype(np.uint8)
    plain = qt.make_per_tensor_quantized_tensor(codes, 0.1, 100)
    last = qt.make_per_tensor_quantized_tensor(
        np.ascontiguousarray(codes.transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2), 0.1, 100
    )
    row = qt.make_per_tensor_quantized_tensor(codes[:1, :, :1, :1], 0.2, 50)
    for f in (
        lambda x: qt.ops.add(x, x, 0.2, 90),
        lambda x: qt.ops.mul(x, plain, 2.0, 90),
        lambda x: qt.ops.sub(row, x, 0.3, 90),
        lambda x: qt.ops.tanh(x),
        lambda x: x.relu(),
        lambda x: x.clamp(-1, 2),
    ):
        assert f(last).equal(f(plain))
        assert_array_equal(f(last).int_repr(), f(plain).int_repr())
        assert np.asarray(f(last).int_repr()).strides == last.int_repr().strides
