"""Layers whose weight alone is quantized, in groups: against float64, and checkpoints' own layouts."""

import pickle

import numpy as np
import pytest
import quantray as qt
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_array_equal

Linear = qt.ops.PackedWeightOnlyLinear


# What rounding takes from an input at most, as a part of its group's largest, by the bits that inputs keep.
ROUNDED = {24: 2.0**-23, 16: 2.0**-15, 8: 1.01 / 254}


def bound(x, weight, group, bits=24):
    """How far an output may be from the real number: rounded inputs, float32 sums."""
    n, groups = len(weight), -(-x.shape[1] // group)
    padded = np.zeros((2, max(len(x), n), groups * group))
    padded[0, : len(x), : x.shape[1]], padded[1, :n, : x.shape[1]] = np.abs(x), np.abs(weight)
    parts = padded.reshape(2, -1, groups, group)
    inputs = parts[0, : len(x)].max(-1) @ parts[1, :n].sum(-1).T * ROUNDED[bits]
    return inputs + (groups + 4) * 2.0**-23 * (np.abs(x) @ np.abs(weight).T) + 1e-30


@st.composite
def layers(draw):
    rng = np.random.default_rng(draw(st.integers(0, 99)))
    n, k = draw(st.integers(1, 80)), draw(st.integers(1, 300))
    weight = np.float32(rng.normal(size=(n, k)) * rng.uniform(0.01, 2, (n, 1)))
    bits, group = draw(st.sampled_from([4, 8])), draw(st.sampled_from([16, 32, 64, 128, 256]))
    return rng, weight, bits, group, draw(st.booleans())


@given(layers())
def test_groups_are_quantized_from_their_own_range(layer):
    _, weight, bits, group, symmetric = layer
    linear = Linear(weight, bits=bits, group_size=group, symmetric=symmetric)
    codes, scales, zeros, top = linear.codes(), linear.scales(), linear.zero_points(), 2**bits - 1
    assert (codes.dtype, scales.dtype) == (np.uint8, np.float32)
    for g in range(scales.shape[1]):
        part = np.float64(weight[:, g * group : (g + 1) * group])
        low, high = np.minimum(part.min(1), 0), np.maximum(part.max(1), 0)
        scale = (np.maximum(high, -low) / (top / 2)) if symmetric else (high - low) / top
        np.testing.assert_allclose(scales[:, g], np.maximum(scale, 2.0**-23), rtol=1e-6)
        zero = np.full(len(weight), 2.0 ** (bits - 1)) if zeros is None else np.float64(zeros[:, g])
        assert symmetric or np.all(np.abs(zero + low / scale) < 0.51)
        real = np.clip(part / np.float64(scales[:, g, None]) + zero[:, None], 0, top)
        assert np.all(np.abs(codes[:, g * group : (g + 1) * group] - real) <= 0.501)
        value = np.float64(scales[:, g, None]) * (codes[:, g * group : (g + 1) * group] - zero[:, None])
        np.testing.assert_allclose(linear.weight()[:, g * group : (g + 1) * group], value, rtol=1e-7)


@given(
    layers(),
    st.sampled_from([(), (1,), (5,), (2, 3), (0,), (50,)]),
    st.booleans(),
    st.sampled_from([24, 16, 8]),
)
def test_results_are_as_exact_as_their_inputs(layer, leading, with_bias, input_bits):
    rng, weight, bits, group, symmetric = layer
    bias = np.float32(rng.normal(size=len(weight))) if with_bias else None
    linear = Linear(weight, bias, bits=bits, group_size=group, symmetric=symmetric, input_bits=input_bits)
    x = np.float32(rng.normal(size=(*leading, weight.shape[1])) * 10.0 ** rng.integers(-3, 4))
    rows, real = np.float64(x.reshape(-1, weight.shape[1])), np.float64(linear.weight())
    wanted = rows @ real.T + (0 if bias is None else np.float64(bias))
    y = linear(x)
    assert y.shape == (*leading, len(weight))
    assert y.dtype == np.float32
    room = bound(rows, real, group, input_bits) + np.abs(wanted) * 2.0**-23
    assert np.all(np.abs(y.reshape(wanted.shape) - wanted) <= room)
    out = np.zeros((*y.shape, 2), np.float32)[..., 0]
    assert linear(x[..., ::-1].copy()[..., ::-1], relu=True, out=out) is out
    assert_array_equal(out, np.maximum(y, 0))


def test_8_bits_round_as_q8_0():
    # llama.cpp's Q8_0 in float64: steps of max(abs(x)) / 127 in each group, the nearest integer.
    rng = np.random.default_rng(6)
    codes = rng.integers(0, 16, (20, 128)).astype(np.uint8)
    scales = np.float32(rng.uniform(0.01, 0.1, (20, 4)))
    x = np.float32(rng.normal(size=(3, 128)))
    groups = np.float64(x.reshape(3, 4, 32))
    steps = np.abs(groups).max(-1, keepdims=True) / 127
    rounded = (np.rint(groups / steps) * steps).reshape(3, 128)
    linear = Linear.from_codes(codes, scales, bits=4, group_size=32, input_bits=8)
    weight = (np.float64(codes) - 8) * np.repeat(np.float64(scales), 32, 1)
    np.testing.assert_allclose(linear(x), rounded @ weight.T, rtol=0, atol=1e-5)
    assert np.abs(linear(x) - np.float64(x) @ weight.T).max() > 1e-3


@pytest.mark.parametrize("input_bits", [24, 16])
def test_float16_inputs_are_multiplied_exactly(input_bits):
    rng = np.random.default_rng(3)
    codes = rng.integers(-8, 8, (20, 64)).astype(np.int8)
    x = rng.integers(-1024, 1024, (3, 64)).astype(np.float16)
    linear = Linear.from_codes(codes, np.ones((20, 2)), bits=4, group_size=32, input_bits=input_bits)
    assert_array_equal(linear(x), np.float64(x) @ codes.T.astype(np.float64))


def test_the_layout_of_gptq():
    # AutoGPTQ: eight codes to an int32 along the inputs, outputs along columns, zero points less one.
    rng = np.random.default_rng(1)
    codes = rng.integers(0, 16, (48, 256))
    zeros, scales = rng.integers(1, 16, (48, 2)), np.float16(rng.uniform(0.01, 0.1, (48, 2)))
    shifts = np.arange(0, 32, 4)
    qweight = (codes.T.reshape(32, 8, 48) << shifts[None, :, None]).sum(1).astype(np.uint32).view(np.int32)
    qzeros = ((zeros.T - 1).reshape(2, 6, 8) << shifts).sum(2).astype(np.uint32).view(np.int32)
    own = (qweight[:, None] >> shifts[None, :, None] & 15).reshape(256, 48).T.astype(np.uint8)
    own_zeros = ((qzeros[..., None] >> shifts & 15) + 1).reshape(2, 48).T
    linear = Linear.from_codes(own, scales, own_zeros, bits=4, group_size=128)
    weight = np.repeat(np.float64(scales), 128, 1) * (codes - np.repeat(zeros, 128, 1))
    np.testing.assert_allclose(linear.weight(), weight, rtol=1e-6)
    assert_array_equal(linear.codes(), codes)
    assert_array_equal(linear.zero_points(), zeros)


@pytest.mark.parametrize("bits", [4, 8])
def test_signed_and_unsigned_codes_mean_the_same(bits):
    rng, middle = np.random.default_rng(2), 2 ** (bits - 1)
    codes, zeros = rng.integers(0, 2 * middle, (9, 70)), rng.integers(0, 2 * middle, (9, 3))
    scales = rng.normal(size=(9, 3))
    signed, unsigned = (codes - middle).astype(np.int8), codes.astype(np.uint8)
    for a, b in ((zeros, zeros - middle), (None, None)):
        one = Linear.from_codes(unsigned, scales, a, bits=bits, group_size=32)
        other = Linear.from_codes(signed, scales, b, bits=bits, group_size=32)
        assert_array_equal(one.weight(), other.weight())
        assert_array_equal(one.codes(), codes)


@pytest.mark.parametrize(("symmetric", "input_bits"), [(True, 24), (False, 16), (False, 8)])
def test_layers_are_pickled_as_their_codes(symmetric, input_bits):
    weight = np.random.default_rng(0).normal(size=(70, 100))
    linear = Linear(weight, np.arange(70), bits=4, group_size=32, symmetric=symmetric, input_bits=input_bits)
    same = pickle.loads(pickle.dumps(linear))
    assert repr(same) == repr(linear)
    assert f"symmetric={symmetric}, input_bits={input_bits}" in repr(linear)
    assert same.input_bits == input_bits
    assert same.nbytes == linear.nbytes
    x = np.random.default_rng(1).normal(size=(3, 100))
    assert_array_equal(same(x), linear(x))
    assert_array_equal(same.bias(), np.arange(70))
    assert (same.in_features, same.out_features, same.bits, same.group_size) == (100, 70, 4, 32)


def test_explain_names_the_kernel(kernels):
    for bits in (24, 16, 8):
        linear = Linear(np.ones((2, 32)), input_bits=bits)
        text = qt.ops.explain(linear)
        assert text.startswith(linear.kernel)
        assert f"integers of {bits} bits" in text
        assert ("digits" in text) == (
            bits > (8 if "vpdpbusd" in text or "dot" in text or "mla" in text else 16)
        )
        assert ("products of float32" in text) == (bits == 24 and "16-bit products" in text)


@pytest.mark.parametrize("input_bits", [24, 16, 8])
def test_what_is_not_finite_and_what_is_empty(input_bits):
    linear = Linear(np.ones((3, 40)), [1, 2, 3], bits=8, group_size=16, input_bits=input_bits)
    x = np.ones((3, 40))
    x[0, 20], x[2, 39] = np.inf, np.nan
    y = linear(x, relu=True)
    assert_array_equal(np.isnan(y), [[True] * 3, [False] * 3, [True] * 3])
    assert_array_equal(Linear(np.ones((3, 0)), [1, 2, 3])(np.ones((2, 0))), [[1, 2, 3]] * 2)
    assert Linear(np.ones((0, 32)))(np.ones((2, 32))).shape == (2, 0)


W, C, S = np.ones((4, 64)), np.ones((4, 64), np.uint8), np.ones((4, 2))


@pytest.mark.parametrize(
    ("make", "error", "words"),
    [
        (lambda: Linear(W, bits=3), ValueError, ["bits", "3", "4 or 8"]),
        (lambda: Linear(W, group_size=48), ValueError, ["group_size", "48", "16, 32, 64, 128 or 256"]),
        (lambda: Linear(W, group_size=-1), ValueError, ["group_size", "-1", "16, 32"]),
        (lambda: Linear(W, input_bits=12), ValueError, ["input_bits", "12", "8, 16 or 24"]),
        (lambda: Linear.from_codes(C, S, input_bits=32), ValueError, ["input_bits", "32", "8, 16 or 24"]),
        (lambda: Linear(W[0]), ValueError, ["weight", "(64,)", "(out_features, in_features)"]),
        (lambda: Linear(W * np.nan), ValueError, ["weight", "NaN", "256", "(0, 0)"]),
        (lambda: Linear(W * np.inf), ValueError, ["weight[0, 0]", "inf", "finite"]),
        (lambda: Linear(W, [1]), ValueError, ["bias", "(1,)", "(4,)"]),
        (lambda: Linear(W)(np.ones((2, 63))), ValueError, ["input", "(2, 63)", "(..., 64)"]),
        (lambda: Linear(W)("a"), TypeError, ["input", "real numbers"]),
        (lambda: Linear(W)(W, out=np.ones((4, 5), np.float32)), ValueError, ["out", "(4, 5)", "(4, 4)"]),
        (lambda: Linear.from_codes(C * 16, S, group_size=32), ValueError, ["codes[0, 0]", "16", "0 to 15"]),
        (lambda: Linear.from_codes(C.astype(int), S), TypeError, ["codes", "int64", "int8 or uint8"]),
        (lambda: Linear.from_codes(C, S, group_size=64), ValueError, ["scales", "(4, 2)", "(4, 1)"]),
        (lambda: Linear.from_codes(C, S * np.inf, group_size=32), ValueError, ["scales[0, 0]", "finite"]),
        (lambda: Linear.from_codes(C, S, S, group_size=32), TypeError, ["zero_points", "float64"]),
        (
            lambda: Linear.from_codes(C, S, [[9, 99]] * 4, group_size=32),
            ValueError,
            ["zero_points[0, 1]", "99"],
        ),
    ],
)
def test_errors_say_what_would_be_valid(make, error, words):
    with pytest.raises(error) as raised:
        make()
    assert all(word in str(raised.value) for word in words), str(raised.value)
