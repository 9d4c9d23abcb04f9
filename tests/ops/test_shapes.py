"""cat, pad, interpolate and embeddings: torch's values, and NumPy's."""

import math

import numpy as np
import pytest
import quantray as qt
from contract import along, dequantize, quantize
from golden import cases
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal


def tensor(rng, shape, dtype=np.uint8, scale=0.1, zero=100):
    low = np.iinfo(dtype).min
    return qt.make_per_tensor_quantized_tensor(
        rng.integers(low, low + 256, shape).astype(dtype), scale, zero + low
    )


@cases("ops", lambda case: case["op"] == "cat")
def test_cat_of_torch(kernels, case):
    both = [
        qt.make_per_tensor_quantized_tensor(
            case[f"x{i}"].copy(), case[f"x{i}_scale"], case[f"x{i}_zero_point"]
        )
        for i in (0, 1)
    ]
    made = qt.ops.cat(both, case["dim"], case["y_scale"], case["y_zero_point"])
    inverse = np.float32(1) / np.float32(case["y_scale"])
    real = np.concatenate([q.dequantize() for q in both], case["dim"])
    info = np.iinfo(case["y"].dtype)
    want = np.clip(np.rint(real * inverse) + case["y_zero_point"], info.min, info.max)
    assert_array_equal(made.int_repr(), want.astype(case["y"].dtype), strict=True)
    assert np.abs(made.int_repr().astype(int) - case["y"]).max() <= (0 if case["exact"] else 1)


def test_cat_with_relu_and_other_dtypes(rng):
    a, b = tensor(rng, (2, 3)), tensor(rng, (2, 5), np.int8, 0.03)
    made = qt.ops.cat([a, b], -1, 0.05, 3, qt.qint8, relu=True)
    assert made.shape == (2, 8)
    assert made.dtype == qt.qint8
    plain = qt.ops.cat([a, b], -1, 0.05, 3, qt.qint8).int_repr()
    assert_array_equal(made.int_repr(), np.maximum(plain, 3))
    assert qt.equal(qt.ops.cat([a, a], 0), qt.cat([a, a], 0))


@cases("ops", lambda case: case["op"] == "interpolate_nearest")
def test_nearest_of_torch(case):
    q = qt.make_per_tensor_quantized_tensor(case["x0"].copy(), case["x0_scale"], case["x0_zero_point"])
    made = qt.ops.interpolate(q, scale_factor=case["scale_factor"])
    assert_array_equal(made.int_repr(), case["y"], strict=True)


@pytest.mark.parametrize("size", [(1, 1), (3, 4), (7, 5), (14, 11), (20, 3)])
def test_nearest_by_its_definition(rng, size):
    q = tensor(rng, (2, 3, 7, 5))
    rows, columns = (np.arange(n) * old // n for n, old in zip(size, (7, 5), strict=True))
    want = q.int_repr()[:, :, rows[:, None], columns]
    assert_array_equal(qt.ops.interpolate(q, size).int_repr(), want)
    rows, columns = ((2 * np.arange(n) + 1) * old // (2 * n) for n, old in zip(size, (7, 5), strict=True))
    want = q.int_repr()[:, :, rows[:, None], columns]
    assert_array_equal(qt.ops.interpolate(q, size, mode="nearest-exact").int_repr(), want)


@pytest.mark.parametrize("corners", [True, False])
@pytest.mark.parametrize("size", [(1, 1), (3, 4), (14, 11), (20, 3)])
def test_bilinear_by_its_definition(rng, size, corners):
    q = tensor(rng, (2, 3, 7, 5))

    def matrix(n, old):
        """What each new element takes of each old one, in float64."""
        made = np.zeros((n, old))
        for i in range(n):
            at = i * (old - 1) / max(n - 1, 1) if corners else max((i + 0.5) * old / n - 0.5, 0)
            low = min(int(at), old - 1)
            made[i, low] += 1 - (at - low)
            made[i, min(low + 1, old - 1)] += at - low
        return made

    real = matrix(size[0], 7) @ (q.int_repr().astype(float) - 100) @ matrix(size[1], 5).T + 100
    made = qt.ops.interpolate(q, size, mode="bilinear", align_corners=corners).int_repr()
    # The nearest code, where float32 and float64 agree on which that is.
    assert np.abs(made - real).max() <= 0.5 + 1e-4


@pytest.mark.parametrize("channels", [1, 3, 16, 40, 64])
@pytest.mark.parametrize("last", [True, False])
@pytest.mark.parametrize("corners", [True, False])
@pytest.mark.parametrize("dims", [1, 2, 3])
def test_means_are_those_of_float32(kernels, rng, channels, last, corners, dims):
    lengths, size = (7, 5, 6)[:dims], (11, 33, 4)[:dims]
    x = rng.integers(0, 256, (2, channels, *lengths), np.uint8)
    if last:
        x = np.moveaxis(np.ascontiguousarray(np.moveaxis(x, 1, -1)), -1, 1)
    values = x.astype(np.float32) - np.float32(100)
    for a in reversed(range(dims)):
        n, target = lengths[a], size[a]
        at = np.arange(target, dtype=np.float32)
        half = np.float32(0.5)
        if corners:
            at = at * (np.float32(n - 1) / np.float32(target - 1))
        else:
            at = np.maximum((at + half) * (np.float32(n) / np.float32(target)) - half, np.float32(0))
        low = np.minimum(at.astype(np.int64), n - 1)
        part = (at - low.astype(np.float32)).reshape(-1, *[1] * (dims - 1 - a))
        left, right = np.take(values, low, 2 + a), np.take(values, np.minimum(low + 1, n - 1), 2 + a)
        values = left * (np.float32(1) - part) + right * part
    mode = ["linear", "bilinear", "trilinear"][dims - 1]
    q = qt.make_per_tensor_quantized_tensor(x, 0.1, 100)
    made = qt.ops.interpolate(q, size, mode=mode, align_corners=corners)
    assert_array_equal(made.int_repr(), (np.rint(values) + 100).astype(np.uint8))
    made = qt.ops.interpolate(q, size).int_repr()
    for a in range(dims):
        x = np.take(x, np.arange(size[a]) * lengths[a] // size[a], 2 + a)
    assert_array_equal(made, x)


def test_linear_modes_of_other_lengths(rng):
    q = tensor(rng, (1, 2, 4))
    assert qt.ops.interpolate(q, scale_factor=2.5, mode="linear").shape == (1, 2, 10)
    volume = tensor(rng, (1, 2, 3, 4, 5))
    same = qt.ops.interpolate(volume, (3, 4, 5), mode="trilinear")
    assert_array_equal(same.int_repr(), volume.int_repr())


@given(
    st.lists(st.integers(-2, 3), min_size=0, max_size=3),
    st.sampled_from(["constant", "reflect", "replicate", "circular"]),
)
def test_pad_is_numpys(sides, mode):
    rng = np.random.default_rng(len(sides))
    q = tensor(rng, (3, 4, 5), np.int8)
    pairs = [(n, abs(n)) for n in sides]
    flat = [n for pair in pairs for n in pair]
    if mode != "constant":
        flat, pairs = [abs(n) for n in flat], [(abs(a), b) for a, b in pairs]
    full = [(0, 0)] * (3 - len(pairs)) + pairs[::-1]
    if mode == "reflect" and any(max(p) >= n for p, n in zip(full, (3, 4, 5), strict=True)):
        with pytest.raises(ValueError, match="pad must be from 0"):
            qt.ops.pad(q, flat, mode)
        return
    made = qt.ops.pad(q, flat, mode, 0.5)
    codes = q.int_repr()[tuple(slice(max(-a, 0), None) for a, _ in full)]
    full = [(max(a, 0), b) for a, b in full]
    numpys = {"constant": "constant", "reflect": "reflect", "replicate": "edge", "circular": "wrap"}[mode]
    extra = {"constant_values": quantize(0.5, 0.1, -28, "qint8")} if mode == "constant" else {}
    assert_array_equal(made.int_repr(), np.pad(codes, full, mode=numpys, **extra))


def test_pad_keeps_channels(rng):
    q = qt.quantize_per_channel(rng.normal(size=(2, 3)), [0.1, 0.2], [1, 2], 0, qt.qint8)
    made = qt.ops.pad(q, (1, 1), value=1.0)
    assert_allclose(made.dequantize()[:, 0], 1.0, atol=1e-6)
    assert_array_equal(made.q_per_channel_scales(), q.q_per_channel_scales())


def tables(rng, width):
    w = rng.normal(size=(11, width))
    scales, zeros = rng.uniform(0.01, 0.1, 11), rng.integers(0, 15, 11)
    yield qt.quantize_per_tensor(w, 0.02, 3, qt.qint8)
    yield qt.quantize_per_channel(w, scales, zeros, 0, qt.quint8)
    yield qt.quantize_per_channel(w, np.resize(scales, width), np.resize(zeros, width), 1, qt.qint8)
    yield qt.quantize_per_channel(w, scales, zeros + 0.5, 0, qt.quint8)
    yield qt.quantize_per_channel(w, scales, zeros + 0.5, 0, qt.quint4x2)
    yield qt.quantize_per_channel(w, scales, zeros + 0.5, 0, qt.quint2x4)


@pytest.mark.parametrize("width", [1, 4, 5, 8])
def test_rows_of_tables(rng, width):
    for table in tables(rng, width):
        real = table.dequantize()
        for indices in (3, [0, 10, 3, 3], np.array([[1, 2], [3, 4]], np.int32), np.zeros((0, 2), int)):
            want = real[np.asarray(indices, int)]
            assert_array_equal(qt.ops.embedding(table, indices), want, strict=True)
        rows = np.array([5, 1, 1, 9, 0, 2])
        weights = rng.normal(size=6).astype(np.float32)
        made = qt.ops.embedding_bag(table, rows, [0, 2, 2, 5], per_sample_weights=weights)
        bags = [rows[0:2], rows[2:2], rows[2:5], rows[5:6]]
        factors = [weights[0:2], weights[2:2], weights[2:5], weights[5:6]]
        want = [(real[b].astype(float) * f[:, None]).sum(0) for b, f in zip(bags, factors, strict=True)]
        assert_allclose(made, want, rtol=1e-5, atol=1e-6)
        made = qt.ops.embedding_bag(table, rows, [0, 2, 2, 5], mode="mean", include_last_offset=True)
        want = [real[b].astype(float).mean(0) if len(b) else np.zeros(width) for b in bags[:3]]
        assert_allclose(made, want, rtol=1e-5, atol=1e-6)
        made = qt.ops.embedding_bag(table, rows.reshape(3, 2), mode="max")
        assert_array_equal(made, real[rows.reshape(3, 2)].max(1))


def test_rows_are_the_contracts(rng):
    codes = rng.integers(0, 256, (6, 4)).astype(np.uint8)
    scales, zeros = rng.uniform(0.01, 0.1, 6), rng.integers(0, 256, 6)
    table = qt.make_per_channel_quantized_tensor(codes, scales, zeros, 0)
    want = dequantize(codes, along(scales, 0, 2), along(zeros, 0, 2))
    assert_array_equal(qt.ops.embedding(table, [4, 4, 0]), want[[4, 4, 0]])
    assert math.prod(qt.ops.embedding_bag(table, [], []).shape) == 0


Q = qt.quantize_per_tensor(np.ones((1, 2, 5, 5)), 0.1, 0, qt.qint8)
T = qt.quantize_per_tensor(np.ones((3, 2)), 0.1, 0, qt.qint8)


@pytest.mark.parametrize(
    ("make", "error", "words"),
    [
        (lambda: qt.ops.cat([], scale=0.1), ValueError, "tensors none"),
        (lambda: qt.ops.cat([Q, Q], zero_point=1), ValueError, "zero_point with scale 1"),
        (lambda: qt.ops.cat([Q, T], scale=0.1), ValueError, "dimensions"),
        (lambda: qt.ops.pad(Q, (1,)), ValueError, "pad pairs (1,)"),
        (lambda: qt.ops.pad(T, (0, 0) * 3), ValueError, "pad 2 axes"),
        (lambda: qt.ops.pad(T, (-3, 0)), ValueError, "pad shorter (-3, 0)"),
        (lambda: qt.ops.pad(T, (0, 1), "mirror"), ValueError, "mode reflect 'mirror'"),
        (lambda: qt.ops.interpolate(T, 2), ValueError, "input (N, C, (3, 2)"),
        (lambda: qt.ops.interpolate(Q), ValueError, "size scale_factor None"),
        (lambda: qt.ops.interpolate(Q, 2, 2.0), ValueError, "size scale_factor 2"),
        (lambda: qt.ops.interpolate(Q, (1, 2, 3)), ValueError, "size 2 (1, 2, 3)"),
        (lambda: qt.ops.interpolate(Q, 0), ValueError, "at least 1 (0, 0)"),
        (lambda: qt.ops.interpolate(Q, scale_factor=-1.0), ValueError, "scale_factor greater -1.0"),
        (lambda: qt.ops.interpolate(Q, 2, mode="linear"), ValueError, "mode bilinear 'linear'"),
        (lambda: qt.ops.embedding(Q, [0]), ValueError, "weight (rows, (1, 2, 5, 5)"),
        (lambda: qt.ops.embedding(T, [0, 3]), IndexError, "indices 0 to 2 3 (1,)"),
        (lambda: qt.ops.embedding(T, [-1]), IndexError, "indices -1 (0,)"),
        (lambda: qt.ops.embedding(T, [0.5]), TypeError, "indices float64"),
        (lambda: qt.ops.embedding_bag(T, [0, 1]), ValueError, "indices two-dimensional offsets 1"),
        (lambda: qt.ops.embedding_bag(T, [0, 1], [1]), ValueError, "offsets begin 1"),
        (lambda: qt.ops.embedding_bag(T, [0, 1], [0, 2, 1]), ValueError, "offsets decrease 2"),
        (lambda: qt.ops.embedding_bag(T, [0, 1], [0, 3]), ValueError, "offsets exceed 2 3"),
        (lambda: qt.ops.embedding_bag(T, [0], [0], mode="min"), ValueError, "mode 'min'"),
        (
            lambda: qt.ops.embedding_bag(T, [0], [0], mode="max", per_sample_weights=[1.0]),
            ValueError,
            "per_sample_weights sum max",
        ),
    ],
)
def test_bad_input_is_named(make, error, words):
    with pytest.raises(error) as caught:
        make()
    for word in words.split(" "):
        assert word in str(caught.value), (word, str(caught.value))
