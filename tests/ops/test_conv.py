"""Convolutions of 8-bit images: torch's values bit for bit, NumPy's integers for every setting; layouts."""

import itertools
import pickle

import numpy as np
import pytest
import quantray as qt
from golden import cases
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

KINDS = {"qint8": np.int8, "quint8": np.uint8}
CONVS = {1: qt.ops.PackedConv1d, 2: qt.ops.PackedConv2d, 3: qt.ops.PackedConv3d}
TRANSPOSED = {
    1: qt.ops.PackedConvTranspose1d,
    2: qt.ops.PackedConvTranspose2d,
    3: qt.ops.PackedConvTranspose3d,
}


@cases("conv")
def test_convolutions_of_torch(kernels, case):
    codes, scale = np.ascontiguousarray(case["w"]), case["w_scale"]
    if np.ndim(scale) == 0:
        weight = qt.make_per_tensor_quantized_tensor(codes, scale, 0)
    else:
        weight = qt.make_per_channel_quantized_tensor(codes, scale, 0, axis=0)
    settings = (case["stride"], case["padding"], case["dilation"], case["groups"])
    conv = CONVS[case["dims"]](weight, case["bias"], *settings)
    for x in case["x"].copy(), np.moveaxis(np.moveaxis(case["x"], 1, -1).copy(), -1, 1):
        q = qt.make_per_tensor_quantized_tensor(x, case["x_scale"], case["x_zero_point"])
        y = conv(q, case["y_scale"], case["y_zero_point"], relu=case["relu"])
        assert_array_equal(y.int_repr(), case["y"], strict=True)


def convolved(x, w, stride, sides, dilation, groups):
    """`x` (N, C, lengths) by `w` (O, C / groups, kernel) in 64 bits, `sides` of zeros at each axis."""
    x = np.pad(x.astype(np.int64), [(0, 0), (0, 0), *sides])
    kernel, dims = w.shape[2:], w.ndim - 2
    lengths = [(x.shape[2 + a] - dilation[a] * (kernel[a] - 1) - 1) // stride[a] + 1 for a in range(dims)]
    out = np.zeros((len(x), w.shape[0], *lengths), np.int64)
    ins, outs = w.shape[1], w.shape[0] // groups
    for tap in itertools.product(*map(range, kernel)):
        at = [
            slice(t * d, t * d + (n - 1) * s + 1, s)
            for t, d, n, s in zip(tap, dilation, lengths, stride, strict=True)
        ]
        for g in range(groups):
            mine = x[(slice(None), slice(g * ins, (g + 1) * ins), *at)]
            weights = w[(slice(g * outs, (g + 1) * outs), slice(None), *tap)].astype(np.int64)
            out[:, g * outs : (g + 1) * outs] += np.einsum("nc...,oc->no...", mine, weights)
    return out


def transposed(x, w, stride, padding, extra, dilation, groups):
    """`x` (N, C, lengths) by `w` (C, O / groups, kernel), every element of `x` spread by the kernel."""
    kernel, dims = w.shape[2:], w.ndim - 2
    full = [
        (x.shape[2 + a] - 1) * stride[a] + dilation[a] * (kernel[a] - 1) + 1 + extra[a] for a in range(dims)
    ]
    outs, ins = w.shape[1], w.shape[0] // groups
    out = np.zeros((len(x), outs * groups, *full), np.int64)
    for tap in itertools.product(*map(range, kernel)):
        at = [
            slice(t * d, t * d + (n - 1) * s + 1, s)
            for t, d, n, s in zip(tap, dilation, x.shape[2:], stride, strict=True)
        ]
        for g in range(groups):
            mine = x[:, g * ins : (g + 1) * ins].astype(np.int64)
            weights = w[(slice(g * ins, (g + 1) * ins), slice(None), *tap)].astype(np.int64)
            spread = np.einsum("nc...,co->no...", mine, weights)
            out[(slice(None), slice(g * outs, (g + 1) * outs), *at)] += spread
    return out[(..., *[slice(p, n - p) for p, n in zip(padding, full, strict=True)])]


@st.composite
def problems(draw):
    """A random convolution, and what it has to give: sums in 64 bits."""
    dims = draw(st.integers(1, 3))
    rng = np.random.default_rng(draw(st.integers(0, 999)))
    each = lambda low, high: [int(v) for v in rng.integers(low, high + 1, dims)]  # noqa: E731
    stride, dilation, kernel = each(1, 3), each(1, 2), each(1, 3)
    groups, ins, outs = draw(
        st.sampled_from([(1, 3, 5), (2, 2, 3), (1, 1, 1), (5, 1, 1), (40, 1, 1), (3, 1, 2)])
    )
    back = draw(st.booleans())
    padding = [int(rng.integers(0, d * (k - 1) + 1)) for d, k in zip(dilation, kernel, strict=True)]
    extra = [int(rng.integers(0, s)) for s in stride] if back else None
    lengths = [int(d * (k - 1) + 1 + rng.integers(0, 6)) for d, k in zip(dilation, kernel, strict=True)]
    kind, w_kind = draw(st.sampled_from(list(KINDS))), draw(st.sampled_from(list(KINDS)))
    low = lambda k: -128 if k == "qint8" else 0  # noqa: E731
    ints = lambda k, shape: rng.integers(low(k), low(k) + 256, shape).astype(KINDS[k])  # noqa: E731
    x = ints(kind, (draw(st.integers(0, 2)), ins * groups, *lengths))
    w = ints(w_kind, (ins * groups, outs, *kernel) if back else (outs * groups, ins, *kernel))
    axis, n = (1, outs) if back else (0, outs * groups)
    x_zero, zeros = int(ints(kind, ())), ints(w_kind, n).astype(int)
    q = qt.make_per_tensor_quantized_tensor(x, 0.02, x_zero)
    weight = qt.make_per_channel_quantized_tensor(w, rng.uniform(0.01, 0.1, n), zeros, axis)
    real = w.astype(np.int64) - zeros.reshape([-1 if a == axis else 1 for a in range(w.ndim)])
    if back:
        op = TRANSPOSED[dims](weight, None, stride, padding, extra, groups, dilation)
        sums = transposed(x.astype(np.int64) - x_zero, real, stride, padding, extra, dilation, groups)
    else:
        op = CONVS[dims](weight, None, stride, padding, dilation, groups)
        sides = [(p, p) for p in padding]
        sums = convolved(x.astype(np.int64) - x_zero, real, stride, sides, dilation, groups)
    return op, q, weight, sums


@given(problems())
def test_sums_are_those_of_the_definition(problem):
    op, q, weight, sums = problem
    made = op(q, dtype=qt.qint32)
    assert_array_equal(made.int_repr(), sums)
    per_output = np.resize(weight.q_per_channel_scales(), sums.shape[1]) * np.float64(np.float32(q.q_scale()))
    assert_allclose(made.q_per_channel_scales(), per_output, rtol=1e-12)
    assert made.q_per_channel_axis() == 1
    assert_allclose(op(q), made.dequantize(), rtol=1e-5, atol=1e-6)
    again = pickle.loads(pickle.dumps(op))
    assert repr(again) == repr(op)
    assert_array_equal(again.weight().int_repr(), weight.int_repr())
    assert_array_equal(again(q, dtype=qt.qint32).int_repr(), sums)


def test_layouts_and_outputs(rng):
    w = qt.quantize_per_tensor(rng.normal(size=(6, 4, 3, 3)), 0.02, 0, qt.qint8)
    conv = qt.ops.PackedConv2d(w, rng.normal(size=6), padding=1)
    x = qt.quantize_per_tensor(rng.normal(size=(2, 4, 10, 9)), 0.03, 3, qt.qint8)
    want = conv(x, 0.1, 5).int_repr()
    assert want.shape == (2, 6, 10, 9)
    assert want.strides[1] == 1
    wide = qt.make_per_tensor_quantized_tensor(np.repeat(x.int_repr(), 2, -1)[..., ::2], 0.03, 3)
    back = qt.make_per_tensor_quantized_tensor(x.int_repr()[:, :, ::-1].copy()[:, :, ::-1], 0.03, 3)
    for other in (wide, back, conv_layout(x)):
        assert_array_equal(conv(other, 0.1, 5).int_repr(), want)
    assert_array_equal(conv(x[0], 0.1, 5).int_repr(), want[0])
    for out in np.empty((2, 6, 10, 9), np.int8), np.moveaxis(np.empty((2, 10, 9, 6), np.int8), -1, 1):
        made = conv(x, 0.1, 5, out=out)
        assert_array_equal(out, want)
        assert np.shares_memory(made.int_repr(), out)
    floats = np.empty((2, 6, 10, 9), np.float32)
    assert conv(x, out=floats) is floats
    assert_allclose(floats, conv(x))
    real = x.dequantize()
    q = qt.quantize_per_tensor_dynamic(real, qt.quint8)
    assert_array_equal(conv.dynamic(real), conv(q), strict=True)
    assert_array_equal(conv.dynamic(real, relu=True), np.maximum(conv(q), 0))


def conv_layout(q):
    """The same tensor, channels last in memory."""
    codes = np.moveaxis(np.ascontiguousarray(np.moveaxis(q.int_repr(), 1, -1)), -1, 1)
    return qt.make_per_tensor_quantized_tensor(codes, q.q_scale(), q.q_zero_point())


@pytest.mark.parametrize(("kernel", "dilation"), [((3, 2), (1, 1)), ((4, 1), (2, 3))])
def test_same_keeps_the_lengths(rng, kernel, dilation):
    w = rng.integers(-128, 128, (2, 3, *kernel)).astype(np.int8)
    x = rng.integers(-128, 128, (1, 3, 7, 8)).astype(np.int8)
    conv = qt.ops.PackedConv2d(
        qt.make_per_tensor_quantized_tensor(w, 0.1, 0), padding="same", dilation=dilation
    )
    made = conv(qt.make_per_tensor_quantized_tensor(x, 0.1, 0), dtype=qt.qint32)
    # The odd zero of an even kernel lies behind.
    sides = [((d * (k - 1)) // 2, (d * (k - 1) + 1) // 2) for k, d in zip(kernel, dilation, strict=True)]
    assert_array_equal(made.int_repr(), convolved(x, w, (1, 1), sides, dilation, 1))
    assert made.shape == (1, 2, 7, 8)
    assert conv.padding == "same"


def test_codes_are_the_contracts(rng):
    w = rng.integers(-128, 128, (40, 1, 3, 3)).astype(np.int8)
    x = rng.integers(0, 256, (1, 40, 12, 12)).astype(np.uint8)
    scales, bias = rng.uniform(0.001, 0.01, 40).astype(np.float32), rng.normal(size=40).astype(np.float32)
    weight = qt.make_per_channel_quantized_tensor(w, scales, 0, 0)
    conv = qt.ops.PackedConv2d(weight, bias, padding=1, groups=40)
    assert "depthwise" in repr(conv)
    y = conv(qt.make_per_tensor_quantized_tensor(x, 0.1, 128), 0.7, 100, relu=True)
    sums = convolved(x.astype(np.int64) - 128, w, (1, 1), [(1, 1), (1, 1)], (1, 1), 40)
    product = (np.float32(0.1) * scales)[None, :, None, None]
    real = (sums.astype(np.float32) + bias[None, :, None, None] / product) * (product / np.float32(0.7))
    want = np.clip(np.rint(real) + 100, 100, 255)
    assert_array_equal(y.int_repr(), want.astype(np.uint8))


W = qt.quantize_per_tensor(np.ones((4, 2, 3, 3)), 0.1, 0, qt.qint8)
X = qt.quantize_per_tensor(np.ones((1, 2, 5, 5)), 0.1, 0, qt.qint8)


@pytest.mark.parametrize(
    ("make", "error", "words"),
    [
        (lambda: qt.ops.PackedConv1d(W), ValueError, "weight (4, 2, 3, 3) out_channels"),
        (lambda: qt.ops.PackedConv2d(W[:0]), ValueError, "weight (0, 2, 3, 3) none of them 0"),
        (lambda: qt.ops.PackedConv2d(W, stride=0), ValueError, "stride 0 from 1"),
        (lambda: qt.ops.PackedConv2d(W, stride=(1, 2, 3)), ValueError, "stride (1, 2, 3) 2 of them"),
        (lambda: qt.ops.PackedConv2d(W, stride="a"), ValueError, "stride 'a' from 1"),
        (lambda: qt.ops.PackedConv2d(W, dilation=1.5), TypeError, "dilation 1.5 from 1"),
        (lambda: qt.ops.PackedConv2d(W, padding=-1), ValueError, "padding -1 from 0"),
        (lambda: qt.ops.PackedConv2d(W, padding=10**30), ValueError, "padding from 0"),
        (lambda: qt.ops.PackedConv2d(W, padding="full"), ValueError, 'padding "full" "same" or "valid"'),
        (
            lambda: qt.ops.PackedConv2d(W, padding="same", stride=2),
            ValueError,
            "stride (2, 2) 1 with padding",
        ),
        (lambda: qt.ops.PackedConv2d(W, groups=3), ValueError, "groups 3 divisor of 4"),
        (lambda: qt.ops.PackedConv2d(W, groups=0), ValueError, "groups 0 at least 1"),
        (lambda: qt.ops.PackedConv2d(W, bias=[1.0]), ValueError, "bias (1,) (4,)"),
        (lambda: qt.ops.PackedConvTranspose2d(W, padding="same"), ValueError, 'padding "same" an integer'),
        (lambda: qt.ops.PackedConvTranspose2d(W, output_padding=1), ValueError, "output_padding 1 less than"),
        (
            lambda: qt.ops.PackedConv2d(
                qt.quantize_per_channel(np.ones((4, 2, 3, 3)), [0.1] * 2, 0, 1, qt.qint8)
            ),
            ValueError,
            "weight axis 1 axis 0",
        ),
        (lambda: qt.ops.PackedConv2d(W)(X[:, :1]), ValueError, "input (1, 1, 5, 5) 2 channels"),
        (lambda: qt.ops.PackedConv2d(W)(X[0, 0]), ValueError, "input (5, 5) (N, 2, and 2 more)"),
        (lambda: qt.ops.PackedConv2d(W)(X[:, :, :2]), ValueError, "input 2 long kernel reaches there: 3"),
        (lambda: qt.ops.PackedConv2d(W)(X, 0.1, 300), ValueError, "zero_point 300"),
        (
            lambda: qt.ops.PackedConv2d(W)(X, out=np.empty((1, 4, 3, 2), np.float32)),
            ValueError,
            "out (1, 4, 3, 3)",
        ),
        (lambda: qt.ops.PackedConv2d(W).dynamic(np.ones((2, 2, 2, 2))), ValueError, "input 2 long"),
        (lambda: qt.ops.PackedConv2d(W).dynamic(np.full((1, 2, 5, 5), np.nan)), ValueError, "NaN"),
    ],
)
def test_bad_input_is_named(make, error, words):
    with pytest.raises(error) as caught:
        make()
    text = str(caught.value)
    for word in words.split(" "):
        assert word in text, (word, text)
