"""Tensors of blocks: each has a scale, codes lie packed; grids of one's own are as good as the named ones."""

import pickle

import hypothesis
import hypothesis.strategies as st
import numpy as np
import pytest
import quantray as qt
from numpy.testing import assert_allclose, assert_array_equal
from quantray import grids, nn
from quantray.grids._packing import packed, packed_size, unpacked

NAMES = [
    "int1",
    "int2",
    "int3",
    "int4",
    "int7",
    "int8",
    "int13",
    "int16",
    "uint4",
    "uint8",
    "uint16",
    "nf4",
    "pow2_4",
]


@hypothesis.given(st.integers(1, 16), st.integers(0, 70), st.integers(0, 2**32))
def test_packing_loses_nothing(bits, count, seed):
    codes = np.random.default_rng(seed).integers(0, 2**bits, count).astype(np.uint16)
    data = packed(codes, bits)
    assert data.dtype == np.uint8
    assert data.size == packed_size(count, bits)
    assert_array_equal(unpacked(data, bits, count), codes)


def test_packed_as_quint4x2_is():
    codes = np.arange(16)[::-1].copy()
    q = qt.quantize_per_tensor(codes.astype(np.float32), 1.0, 0, qt.quint4x2)
    assert_array_equal(packed(codes, 4), q.int_repr())


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("symmetric", [True, False])
def test_errors_are_within_a_step(name, symmetric, rng):
    x = (rng.normal(size=(6, 40)) * np.geomspace(0.01, 100, 40)).astype(np.float32)
    q = qt.quantize_per_group(x, 8, grid=name, symmetric=symmetric)
    assert q.scales.shape == (6, 5)
    grid = q.grid
    # Half of the widest gap between neighbours, or what the largest code is short of the range's end.
    values = np.sort(np.asarray(grid.decode(np.arange(2**grid.bits)), np.float64))
    if name.startswith("uint") and symmetric:
        x, q = np.abs(x), qt.quantize_per_group(np.abs(x), 8, grid=name, symmetric=symmetric)
        values = values * 1.0
        # Without zero points only a half of an unsigned range is there for either side.
        gap = values[-1] - grid.largest + 1
    else:
        gap = max(np.diff(values).max() / 2, 0.5 if name.startswith("int") else 0)
    if not symmetric and isinstance(grid, grids.Integers):
        gap = 1.0  # the zero point is rounded, too
    steps = np.abs(q.dequantize() - x) / np.repeat(q.scales, 8, 1)
    assert steps.max() <= gap * 1.001 + 2.0**-8


def reference(x, scales, zeros, block, low, high):
    """ONNX's blocked QuantizeLinear in float64, but for the product with the inverse."""
    out = np.empty(x.shape, np.int64)
    for at in np.ndindex(*x.shape):
        cell = tuple(i // n for i, n in zip(at, block, strict=True))
        inverse = np.float32(1) / scales[cell]
        out[at] = np.clip(np.rint(np.float32(x[at] * inverse)) + zeros[cell], low, high)
    return out


@pytest.mark.parametrize(
    ("shape", "block"), [((5, 7), (1, 3)), ((5, 7), (2, 1)), ((4, 6), (2, 3)), ((3, 4, 5), (3, 1, 2))]
)
def test_given_scales_along_any_axis(shape, block, rng):
    x = rng.normal(size=shape).astype(np.float32)
    blocks = tuple(-(-m // n) for m, n in zip(shape, block, strict=True))
    scales, zeros = (rng.random(blocks) / 4 + 0.05).astype(np.float32), rng.integers(-8, 8, blocks)
    q = qt.quantize_per_group(x, block, grid="int4", scales=scales, zero_points=zeros)
    codes = reference(x, scales, zeros, block, -8, 7)
    assert_array_equal(q.int_repr(), codes)
    again = qt.make_per_group_quantized_tensor(codes, scales, zeros, block, grid="int4")
    assert again == q
    want = np.float32(scales[tuple(np.ogrid[tuple(map(slice, shape))][a] // n for a, n in enumerate(block))])
    moved = zeros[tuple(np.ogrid[tuple(map(slice, shape))][a] // n for a, n in enumerate(block))]
    assert_array_equal(q.dequantize(), want * (codes - moved).astype(np.float32))


def test_qint8_per_channel_is_a_block_of_a_row(rng):
    x = rng.normal(size=(4, 9)).astype(np.float32)
    scales = rng.random(4) / 9 + 0.01
    q = qt.quantize_per_group(x, 9, grid="int8", scales=scales[:, None])
    want = qt.quantize_per_channel(x, scales.astype(np.float32), np.zeros(4), 0, qt.qint8)
    assert_array_equal(q.int_repr(), want.int_repr())
    assert_array_equal(q.dequantize(), want.dequantize())


def test_travels_and_compares(rng):
    q = qt.quantize_per_group(rng.normal(size=(3, 10)), 4, grid="nf4")
    again = pickle.loads(pickle.dumps(q))
    assert again == q
    assert_array_equal(np.asarray(again), q.dequantize())
    assert q != qt.quantize_per_group(np.zeros((3, 10)), 4, grid="nf4")
    assert np.abs(q).max() > 0
    assert q.nbytes == 15 + 9 * 4


def test_bits_of_memory(rng):
    x = rng.normal(size=(16, 64))
    for bits in range(1, 17):
        assert qt.quantize_per_group(x, 64, grid=grids.Integers(bits)).data.nbytes == 16 * 64 * bits // 8


class Halves:
    """A grid of one's own: what a user writes."""

    bits, largest = 3, 1.5

    def encode(self, x, rounding):
        return np.clip(rounding(np.asarray(x) * 2) + 4, 0, 7)

    def decode(self, codes):
        return (np.asarray(codes, np.float32) - 4) / 2


def test_a_grid_of_ones_own():
    q = qt.quantize_per_group([[3.0, -1.0, 0.9]], 3, grid=Halves())
    assert q.tolist() == [[3.0, -1.0, 1.0]]
    down = qt.quantize_per_group([[3.0, -1.0, 0.9]], 3, grid=Halves(), rounding="floor")
    assert down.tolist() == [[3.0, -1.0, 0.0]]


@pytest.mark.parametrize("member", ["bits", "largest", "encode", "decode"])
def test_the_missing_member_is_named(member):
    members = {k: v for k, v in vars(Halves).items() if not k.startswith("__") and k != member}
    with pytest.raises(TypeError, match=f"grid must have {member}: .*; Mine has none"):
        qt.quantize_per_group([1.0], 1, grid=type("Mine", (), members)())


def test_codes_that_do_not_fit_are_said():
    class Large(Halves):
        def encode(self, x, rounding):
            return np.full(np.shape(x), 9)

    with pytest.raises(ValueError, match=r"Large.encode must give codes from 0 to 7, got 9 to 9"):
        qt.quantize_per_group([1.0], 1, grid=Large())

    class Short(Halves):
        def encode(self, x, rounding):
            return np.zeros(3)

    with pytest.raises(ValueError, match=r"Short.encode must give codes of shape \(1,\), got \(3,\)"):
        qt.quantize_per_group([1.0], 1, grid=Short())


@pytest.mark.parametrize(
    ("args", "kwargs", "match"),
    [
        (([1.0, np.nan], 2), {}, "input must not hold NaN, got 1, the first at"),
        ((3.0, 2), {}, "at least one axis"),
        (("abc", 2), {}, "array of numbers"),
        (([1.0], 0), {}, "group_size must be at least 1"),
        (([1.0], 1.5), {}, "group_size must be a whole number"),
        (([1.0], (1, 2)), {}, "a length for each of 1 axes"),
        (([1.0], 1, 3), {}, "axis must be from -1 to 0"),
        (([1.0], 1, 0, "int99"), {}, "grid must be one of .*int4"),
        (([1.0], 1), {"zero_points": [1]}, "zero_points must be given with scales"),
        (([1.0], 1), {"scales": [0.0]}, "scales must be positive"),
        (([1.0], 1), {"scales": [1.0, 2.0]}, r"scales must be of shape \(1,\)"),
        (([1.0], 1), {"scales": [1.0], "zero_points": [8]}, "zero_points must be whole numbers from -8 to 7"),
        (([1.0], 1, 0, "nf4"), {"scales": [1.0], "zero_points": [0]}, "zero_points must be None"),
    ],
)
def test_wrong_arguments(args, kwargs, match):
    with pytest.raises((ValueError, TypeError), match=match):
        qt.quantize_per_group(*args, **kwargs)


def test_nf4_is_the_nearest_of_its_values(rng):
    x = rng.uniform(-1, 1, 500).astype(np.float32)
    x[0] = 1
    q = qt.quantize_per_group(x, 500, grid="nf4")
    nearest = np.abs(x[:, None].astype(np.float64) - grids.nf4.values).min(1)
    assert_allclose(np.abs(q.dequantize() - x), nearest, atol=1e-6)


@pytest.mark.parametrize("grid", ["int4", "uint4", "int8", "uint8", "int3", "nf4", "pow2_4"])
@pytest.mark.parametrize("symmetric", [True, False])
def test_layers_multiply_by_what_codes_stand_for(grid, symmetric, rng, tmp_path):
    nn.manual_seed(0)
    layer = nn.Linear(64, 8)
    x = rng.normal(size=(5, 64)).astype(np.float32)
    made = nn.quantized.WeightOnly.from_float(layer, grid, 32, symmetric=symmetric)
    want = x.astype(np.float64) @ made.weight().dequantize().T.astype(np.float64) + layer.bias
    assert_allclose(made(x), want, rtol=1e-5, atol=1e-5)
    model = nn.Sequential(made)
    model.save(tmp_path / "model")
    assert_array_equal(qt.load(tmp_path / "model")(x), model(x))
    assert_array_equal(pickle.loads(pickle.dumps(made))(x), made(x))


def test_whole_models_are_packed(rng):
    nn.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(2, 8, 3), nn.ReLU(), nn.Flatten(), nn.Linear(288, 5))
    images = rng.normal(size=(2, 2, 8, 8)).astype(np.float32)
    small = nn.quantized.pack_weights(model, "int8", 9, kinds=(nn.Linear, nn.Conv2d))
    assert_allclose(small(images), model(images), atol=0.02)
    assert type(model[0]) is nn.Conv2d
    with pytest.raises(ValueError, match="0: axis must be from"):
        nn.quantized.pack_weights(model, "int8", 9, axis=7, kinds=(nn.Conv2d,))


def test_fake_quantization_passes_gradients():
    pytest.importorskip("autograd")
    layer = nn.Linear(4, 2, bias=False)

    def loss(model, x):
        return nn.functional.linear(x, grids.fake_quantize(model.weight, "pow2_4", 2)).sum()

    value, grads = nn.value_and_grad(layer, loss)(layer, np.ones((1, 4), np.float32))
    want = qt.quantize_per_group(layer.weight, 2, grid="pow2_4").dequantize().sum()
    assert_allclose(value, want, rtol=1e-6)
    assert_array_equal(grads["weight"], np.ones((2, 4)))
