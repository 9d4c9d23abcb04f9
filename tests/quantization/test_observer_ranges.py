"""The ranges that observers find: with few codes, outliers, spikes, huge and tiny values."""

import json
import warnings

import numpy as np
import pytest
import quantray as qt
from golden import REFERENCE
from hypothesis import given
from hypothesis import strategies as st
from quantray import nn
from quantray import quantization as tq
from quantray.quantization.observer._grid import Grid
from quantray.quantization.observer._loss import squared_error
from quantray.quantization.observer._zeros import warn_of_zeros
from ranges import distributions, with_outliers

PEERS = json.loads((REFERENCE / "observer_ranges.json").read_text())
LARGEST = float(np.finfo(np.float32).max)
RANGES = [
    tq.MinMaxObserver,
    tq.HistogramObserver,
    tq.MSEObserver,
    tq.EntropyObserver,
    tq.PercentileObserver,
    tq.MeanStdObserver,
    tq.MovingAverageMinMaxObserver,
]


def observed(kind, *batches, **kwargs):
    observer = kind(**kwargs)
    for batch in batches:
        observer(batch)
    return observer


def error(x, scale, zero_point, quant_min, quant_max):
    y = qt.fake_quantize_per_tensor_affine(x, float(scale), int(zero_point), quant_min, quant_max)
    return np.square(y - x, dtype=np.float64).mean()


def decibels(x, low, high):
    scale, zero_point = tq.qparams(
        low, high, dtype=qt.quint8, qscheme=qt.per_tensor_affine, quant_min=0, quant_max=255
    )
    return 10 * np.log10(np.square(x, dtype=np.float64).mean() / error(x, scale[0], zero_point[0], 0, 255))


@pytest.mark.parametrize("bits", range(2, 8))
def test_histogram_of_few_codes_loses_no_more_than_torch_or_the_whole_range(bits):
    codes = 0, 2**bits - 1
    for name, x in with_outliers().items():
        kwargs = {"quant_min": codes[0], "quant_max": codes[1]}
        found = observed(tq.HistogramObserver, x, **kwargs).calculate_qparams()
        whole = observed(tq.MinMaxObserver, x, **kwargs).calculate_qparams()
        lost = error(x, *(v[0] for v in found), *codes)
        # What values within one of the 65,536 bins differ by.
        assert lost <= 1.002 * error(x, *PEERS["torch"][name][str(bits)], *codes), name
        assert lost <= 1.002 * error(x, *(v[0] for v in whole), *codes), name


def test_histogram_of_2_bits_loses_less_than_torch_where_there_are_no_outliers():
    for name, x in distributions().items():
        found = observed(tq.HistogramObserver, x, quant_min=0, quant_max=3).calculate_qparams()
        lost = error(x, *(v[0] for v in found), 0, 3)
        if name in ("normal", "relu"):
            assert lost < 0.85 * error(x, *PEERS["torch"][name]["2"], 0, 3), name


@given(
    data=st.lists(st.floats(-100, 100, width=32), min_size=1, max_size=50),
    scale=st.floats(0.01, 50),
    zero_point=st.integers(0, 15),
)
def test_squared_error_is_that_of_values_spread_over_their_bins(data, scale, zero_point):
    """Against the middle of 10,001 values in each bin."""
    counts = np.histogram(data, np.arange(-104, 105, 8))[0]
    grid = Grid(3, -13, counts)
    parts = (np.arange(10_001) + 0.5) / 10_001
    values = (grid.edges()[:-1, None] + parts * 8).clip(-100, 100)
    codes = np.clip(np.rint(values / scale) + zero_point, 0, 15)
    expected = (((codes - zero_point) * scale - values) ** 2).mean(axis=1) @ counts
    got = squared_error(grid, -104, 104, scale, zero_point, 0, 15)
    if not counts[0] and not counts[-1]:
        np.testing.assert_allclose(got, expected, rtol=1e-4)


@pytest.mark.parametrize("name", PEERS["onnxruntime"])
def test_entropy_is_as_good_as_onnxruntimes(name):
    x = distributions()[name]
    low, high = observed(tq.EntropyObserver, x)._range()
    assert decibels(x, low, high) > decibels(x, *PEERS["onnxruntime"][name]) - 1


@pytest.mark.parametrize("batches", [1, 20])
@pytest.mark.parametrize("name", PEERS["onnxruntime"])
def test_entropy_of_the_same_values_again(name, batches):
    """How often all values came changes nothing but what chance may have done."""
    x = distributions()[name]
    low, high = observed(tq.EntropyObserver, *[x] * batches)._range()
    assert decibels(x, low, high) > 30


@pytest.mark.parametrize("bits", [2, 3, 4, 6])
def test_entropy_of_few_codes_after_a_relu(bits):
    """Zeros, which all ranges hold, do not push the range below what half of the whole would lose."""
    codes = 0, 2**bits - 1
    for name, x in distributions(20_000).items():
        if name.startswith("relu"):
            kwargs = {"quant_min": codes[0], "quant_max": codes[1]}
            found, whole = (
                error(x, *(v[0] for v in observed(kind, x, **kwargs).calculate_qparams()), *codes)
                for kind in (tq.EntropyObserver, tq.MinMaxObserver)
            )
            assert found < 1.5 * whole, name


def test_entropy_leaves_out_outliers():
    x = np.append(np.random.default_rng(0).standard_normal(100_000), [300, 500]).astype(np.float32)
    assert observed(tq.EntropyObserver, x)._range()[1] < 100


@pytest.mark.parametrize("kind", RANGES[:5])
def test_entropy_and_others_of_all_dtypes(kind):
    """As many codes as qint32 has fit in no memory."""
    x = distributions()["normal"]
    for kwargs in ({"dtype": "qint32"}, {"dtype": "qint32", "quant_min": -(2**15), "quant_max": 2**15 - 1}):
        scale, _ = observed(kind, x, **kwargs).calculate_qparams()
        assert 0 < scale[0] < 1


HUGE = {
    "both": [-3e38, 3e38, 1e38, 0],
    "largest": [-LARGEST, LARGEST, 0, 5],
    "positive": [3e38, LARGEST, 0],
    "negative": [-LARGEST, -1, -2],
    "one": [LARGEST],
    "far": [-LARGEST, 1, 2, 3],
}


@pytest.mark.parametrize("name", HUGE)
@pytest.mark.parametrize("kind", RANGES)
@pytest.mark.parametrize(
    "kwargs",
    [
        {},
        {"qscheme": "per_tensor_symmetric"},
        {"qscheme": "per_tensor_symmetric", "dtype": "qint8"},
        {"quant_min": 0, "quant_max": 15},
    ],
    ids=str,
)
def test_ranges_wider_than_a_float32(kind, kwargs, name):
    x = np.float32(HUGE[name])
    observer = observed(kind, x, x[::-1], **kwargs)
    scale, zero_point = observer.calculate_qparams()
    y = qt.fake_quantize_per_tensor_affine(x, scale[0], zero_point[0], observer.quant_min, observer.quant_max)
    assert np.isfinite(y).all()
    assert np.abs(y.astype(np.float64) - x).max() <= 1.001 * scale[0]
    ends = (np.array([observer.quant_min, observer.quant_max]) - zero_point[0]).astype(np.float32)
    assert np.isfinite(ends * scale[0]).all()


def test_scale_of_a_huge_range_is_the_formulas():
    for kind, axis in ((tq.MinMaxObserver, None), (tq.PerChannelMinMaxObserver, 0)):
        x = np.float32([[-3e38, 2.5e38], [-1, 3]])
        x = x if axis == 0 else x[:1]
        scale, zero_point = observed(kind, x).calculate_qparams()
        want = (x[:, 1].astype(np.float64) - x[:, 0]) / 255
        np.testing.assert_allclose(scale, want, rtol=1e-6)
        np.testing.assert_array_equal(zero_point, np.rint(-x[:, 0] / want))


def test_moving_average_of_values_further_apart_than_a_float32():
    for kind, shape in (
        (tq.MovingAverageMinMaxObserver, ()),
        (tq.MovingAveragePerChannelMinMaxObserver, (2,)),
    ):
        x = np.full((*shape, 3), 3e38, np.float32)
        observer = observed(kind, x, -x, averaging_constant=0.25)
        np.testing.assert_allclose(observer.min_val, np.full(shape, 1.5e38), rtol=1e-6)


def test_the_last_batch_alone_is_exact():
    """After one of a million times its size, too."""
    for kind in (tq.MovingAverageMinMaxObserver, tq.MovingAveragePerChannelMinMaxObserver):
        x = np.float32([[0.1, -0.3]])
        observer = observed(kind, 1e9 * x, x, averaging_constant=1)
        assert (observer.min_val.item(), observer.max_val.item()) == (x.min(), x.max())


@pytest.mark.parametrize("bins", [1, 2])
def test_few_bins_hold_all_floats(bins):
    observer = observed(tq.HistogramObserver, np.float32([-LARGEST, 0, LARGEST]), bins=bins, upsample_rate=1)
    assert observer.counts.sum() == 3
    assert np.isfinite(observer.calculate_qparams()[0]).all()


@pytest.mark.parametrize("kind", RANGES)
def test_constant_values_come_back(kind):
    for value in (5.0, -5.0, 0.7, 1e-3, 3e38, 0.0):
        x = np.full((3, 4), value, np.float32)
        scale, zero_point = observed(kind, x, x).calculate_qparams()
        y = qt.fake_quantize_per_tensor_affine(x, scale[0], zero_point[0], 0, 255)
        np.testing.assert_allclose(y, x, rtol=0.01, atol=2e-7)


def test_histogram_of_a_range_that_grows_by_forty_powers_of_ten():
    for batches in (
        [np.zeros(100), np.zeros(100), np.linspace(-1, 1, 100)],
        [np.array([0, 1e-38]), np.linspace(-1e4, 1e4, 100)],
        [np.array([1e-45, -1e-45]), np.array([1e-42, 0])],
    ):
        batches = [batch.astype(np.float32) for batch in batches]
        scale, zero_point = observed(tq.HistogramObserver, *batches).calculate_qparams()
        assert np.isfinite(scale).all()
        assert (255 - zero_point[0]) * scale[0] >= 0.97 * max(batch.max() for batch in batches)
        assert -zero_point[0] * scale[0] <= 0.97 * min(batch.min() for batch in batches) + 1e-3


@pytest.mark.parametrize(
    "kind", [*RANGES, tq.PerChannelMinMaxObserver, tq.MovingAveragePerChannelMinMaxObserver]
)
def test_infinities_alone_are_no_data(kind):
    x = np.full((2, 3), np.inf, np.float32)
    observer = observed(kind, x, -x)
    with pytest.raises(RuntimeError, match=f"{kind.__name__} saw no finite value"):
        observer.calculate_qparams()
    other = observed(kind)
    if "MovingAverage" not in kind.__name__:
        with pytest.raises(RuntimeError, match="no finite value"):
            other.merge(observer).calculate_qparams()
    observer(np.ones((2, 3), np.float32))
    observer.calculate_qparams()
    fake = tq.FakeQuantize(tq.MinMaxObserver)
    fake(x)
    with pytest.raises(RuntimeError, match="FakeQuantize saw no finite value"):
        fake.calculate_qparams()


def test_tiny_values_can_be_warned_of():
    small = observed(tq.MinMaxObserver, np.float32([1e-9, -2e-9]))
    with pytest.warns(UserWarning, match=r"^head\.0: all values become 0: the largest is 2e-09") as caught:
        warn_of_zeros(small, "head.0")
    assert caught[0].filename == __file__
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for quiet in (
            observed(tq.MinMaxObserver),
            observed(tq.MinMaxObserver, np.zeros(3, np.float32)),
            observed(tq.MinMaxObserver, np.float32([1e-9]), eps=1e-12),
            observed(tq.PerChannelMinMaxObserver, np.float32([[1e-9], [1]])),
            tq.default_fixed_qparams_range_0to1_observer(),
            tq.NoopObserver(),
        ):
            warn_of_zeros(quiet, "head.0")


def test_weights_that_all_become_0_are_named_by_dynamic_quantization():
    model = nn.Sequential(nn.Linear(7, 5), nn.Linear(5, 3))
    model[0].weight = np.full((5, 7), 2e-9, np.float32)
    with pytest.warns(UserWarning, match=r"^0\.weight: all values become 0: the largest is 2e-09") as caught:
        tq.quantize_dynamic(model)
    assert len(caught) == 1


@pytest.mark.parametrize("name", PEERS["torch_16_bits"])
def test_16_bits_are_torchs(name):
    kind, dtype, qscheme = name.split()
    for named in (dtype, getattr(np, dtype), np.dtype(dtype)):
        observer = observed(getattr(tq, kind), distributions()["shifted"], dtype=named, qscheme=qscheme)
        scale, zero_point = observer.calculate_qparams()
        assert [float(scale[0]), int(zero_point[0])] == PEERS["torch_16_bits"][name]
        assert observer.dtype == qt.qint32
    with pytest.raises(ValueError, match="quant_max must be an integer from"):
        getattr(tq, kind)(dtype=dtype, quant_min=0, quant_max=70_000)
