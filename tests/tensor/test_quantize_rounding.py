"""`rounding=` of `quantize_per_tensor` and its like: NumPy's formulas, on any number of threads."""

import numpy as np
import pytest
import quantray as qt
from numpy.testing import assert_array_equal

#: Numbers of steps, halves among them.
STEPS = np.float32([-2.5, -1.5, -0.5, -0.2, 0.0, 0.2, 0.5, 1.5, 2.5, 0.49999997, 300, -300, np.inf, -np.inf])


def chances(seed, count):
    """What NumPy's generator gives for a seed, from 0 up to 1."""
    return (np.random.Philox(key=seed).random_raw(count) >> np.uint64(40)) / 2.0**24


def by_formula(steps, rounding, seed=0):
    steps = np.float64(steps)
    if rounding == "nearest":
        return np.rint(steps)
    if rounding == "floor":
        return np.floor(steps)
    if rounding == "half_away":
        return np.copysign(np.floor(np.abs(steps) + 0.5), steps)
    below = np.floor(steps)
    with np.errstate(invalid="ignore"):
        return below + (chances(seed, steps.size).reshape(steps.shape) < steps - below)


NAMES = ["nearest", "floor", "half_away", "stochastic"]


def said(rounding, seed=11):
    return {"rounding": rounding, "seed": seed} if rounding == "stochastic" else {"rounding": rounding}


@pytest.fixture
def threads():
    before = qt.get_num_threads()
    yield
    qt.set_num_threads(before)


@pytest.mark.parametrize("rounding", NAMES)
@pytest.mark.parametrize("dtype", [qt.qint8, qt.quint8, qt.qint32])
def test_a_formula(rng, threads, rounding, dtype):
    x = np.concatenate([STEPS * np.float32(0.25), rng.normal(size=1_000_003).astype(np.float32) * 9])
    steps = x * np.float32(4)
    wanted = np.clip(by_formula(steps, rounding, 11) + 3, dtype.qmin, dtype.qmax).astype(dtype.numpy_dtype)
    for count in (1, 2, 3):
        qt.set_num_threads(count)
        got = qt.quantize_per_tensor(x, 0.25, 3, dtype, **said(rounding))
        assert_array_equal(got.int_repr(), wanted)


@pytest.mark.parametrize("rounding", NAMES)
@pytest.mark.parametrize("axis", [0, 1, 2])
def test_per_channel(rng, rounding, axis):
    x = rng.normal(size=(3, 50, 7)).astype(np.float32) * 4
    n = x.shape[axis]
    scales, zeros = 2.0 ** rng.integers(-4, 0, n), rng.integers(-5, 5, n)
    shape = [n if d == axis else 1 for d in range(3)]
    steps = x / np.float32(scales).reshape(shape)
    wanted = np.clip(by_formula(steps, rounding, 11) + zeros.reshape(shape), -128, 127)
    got = qt.quantize_per_channel(x, scales, zeros, axis, qt.qint8, **said(rounding))
    assert_array_equal(got.int_repr(), wanted.astype(np.int8))


@pytest.mark.parametrize("rounding", NAMES)
def test_float_zero_points_and_packed_codes_round_after_the_zero_point(rng, rounding):
    x = rng.normal(size=(4, 11)).astype(np.float32)
    zeros = np.float32([0.3, 1.7, -0.4, 7.5])
    wanted = np.clip(by_formula(x / np.float32(0.25) + zeros[:, None], rounding, 11), 0, 15)
    for dtype in (qt.quint8, qt.quint4x2):
        options = {"qscheme": qt.per_channel_affine_float_qparams, **said(rounding)}
        got = qt.quantize_per_channel(x, [0.25] * 4, zeros, 0, dtype, **options)
        codes = np.round(got.dequantize() / np.float32(0.25) + zeros[:, None])
        assert_array_equal(np.minimum(codes, 15), wanted)


def test_functions_and_counters():
    x = np.float32([0.6, -0.6, 1.2])
    up = qt.quantize_per_tensor(x, 1.0, 0, qt.qint8, rounding=np.ceil)
    assert_array_equal(up.int_repr(), [1, 0, 2])
    rows = qt.quantize_per_channel(np.stack([x, x]), [1.0, 0.5], [0, 1], 0, qt.qint8, rounding=np.trunc)
    assert_array_equal(rows.int_repr(), [[0, 0, 1], [2, 0, 3]])
    packed = qt.quantize_per_tensor(x, 1.0, 4, qt.quint4x2, rounding=np.ceil)
    assert packed.tolist() == [1, 0, 2]
    many = np.full(4096, 0.5, np.float32)
    counted = qt.grids.Stochastic(11)
    first, second = (
        qt.quantize_per_tensor(many, 1.0, 0, qt.qint8, rounding=counted).int_repr() for _ in range(2)
    )
    said_once = qt.quantize_per_tensor(many, 1.0, 0, qt.qint8, rounding="stochastic", seed=11).int_repr()
    assert_array_equal(first, said_once)
    assert not np.array_equal(first, second)
    with pytest.raises(ValueError, match="rounding must give an array of shape"):
        qt.quantize_per_tensor(x, 1.0, 0, qt.qint8, rounding=np.sum)


def test_arrays_of_a_list_have_chances_of_their_own():
    many = np.full(4096, 0.5, np.float32)
    a, b = qt.quantize_per_tensor([many, many], [1.0, 1.0], [0, 0], qt.qint8, rounding="stochastic", seed=11)
    assert not a.equal(b)
    assert_array_equal(a.int_repr(), chances(11, 4096) < 0.5)


def test_the_seed_of_all_decides_without_one():
    many = np.full(4096, 0.5, np.float32)
    made = []
    for seed in (5, 5, 6):
        qt.manual_seed(seed)
        made.append(qt.quantize_per_tensor(many, 1.0, 0, qt.qint8, rounding="stochastic"))
    assert made[0].equal(made[1])
    assert not made[0].equal(made[2])


@pytest.mark.parametrize(
    ("options", "error", "match"),
    [
        ({"rounding": "up"}, ValueError, "rounding must be one of 'nearest', 'floor', .*got \"up\""),
        ({"rounding": 3}, ValueError, "rounding must be one of .*got 3"),
        ({"rounding": "floor", "seed": 1}, ValueError, "seed must be absent where rounding is floor"),
        ({"seed": 1}, ValueError, "seed must be absent"),
        (
            {"rounding": "stochastic", "seed": -1},
            ValueError,
            r"seed must be a whole number from 0 to 2\*\*64",
        ),
        ({"rounding": "stochastic", "seed": True}, ValueError, "seed must be a whole number"),
        ({"rounding": "stochastic", "seed": 1.0}, ValueError, "seed must be a whole number"),
    ],
)
def test_errors(options, error, match):
    out = np.full(3, 9, np.int8)
    for call in (
        lambda: qt.quantize_per_tensor([0.0, 1, 2], 1.0, 0, qt.qint8, out=out, **options),
        lambda: qt.quantize_per_channel([0.0, 1, 2], [1.0] * 3, 0, 0, qt.qint8, out=out, **options),
    ):
        with pytest.raises(error, match=match):
            call()
    assert_array_equal(out, 9)


@pytest.mark.parametrize("rounding", NAMES[1:])
def test_nan(rounding):
    with pytest.raises(ValueError, match=r"input must not hold NaN.*found 1, the first at index \(1, 0\)"):
        qt.quantize_per_tensor([[0.0], [np.nan]], 1.0, 0, qt.qint8, **said(rounding))
