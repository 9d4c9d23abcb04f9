"""Observers: torch's own scales and zero points, and the same answer however the data comes."""

import pickle
import statistics
from fractions import Fraction

import numpy as np
import pytest
import quantray as qt
from golden import cases
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from quantray import quantization as tq

PER_TENSOR = [
    tq.MinMaxObserver,
    tq.MeanStdObserver,
    tq.HistogramObserver,
    tq.PercentileObserver,
    tq.MSEObserver,
    tq.EntropyObserver,
]
MERGING = [*PER_TENSOR, tq.PerChannelMinMaxObserver]
MOVING = [tq.MovingAverageMinMaxObserver, tq.MovingAveragePerChannelMinMaxObserver]


@cases("observers")
def test_qparams_are_torchs(case):
    names = ("dtype", "qscheme", "reduce_range", "averaging_constant", "ch_axis")
    observer = getattr(tq, case["observer"])(**{name: case[name] for name in names if name in case})
    for i in range(case["n_batches"]):
        batch = case[f"batch{i}"]
        assert observer(batch) is batch
    scale, zero_point = observer.calculate_qparams()
    np.testing.assert_array_equal(scale, case["scale"])
    np.testing.assert_array_equal(zero_point, case["zero_point"])
    assert (scale.dtype, zero_point.dtype) == (np.float32, np.int64)


FLOATS = st.one_of(
    st.floats(-10, 10, width=32),
    st.floats(width=32, allow_nan=False),
    st.sampled_from([0.0, -0.0, 1.0, -1.0, 2.0**-149, -(2.0**-149), 2.0**-126, 0.5, 1024.0]),
)


@pytest.mark.parametrize("kind", MERGING)
@given(data=st.data())
def test_the_state_does_not_depend_on_how_data_was_split(kind, data):
    """One stream, and any batches on any machines, merged in any order."""
    # Bins join in pairs just as often where they are few.
    settings = {"bins": 64} if issubclass(kind, tq.CountingObserver) else {}
    x = data.draw(hnp.arrays(np.float32, st.tuples(st.just(2), st.integers(1, 40)), elements=FLOATS))
    whole = kind(**settings)
    whole(x)
    cuts = sorted(data.draw(st.lists(st.integers(0, x.shape[1]), max_size=4)))
    parts = np.split(x, cuts, axis=1)
    machines = [kind(**settings) for _ in range(3)]
    for part in parts:
        machines[data.draw(st.integers(0, 2))](part)
    first, second, third = (machines[i] for i in data.draw(st.permutations(range(3))))
    merged = first.merge(second.merge(third))
    for name, value in whole.state_dict().items():
        np.testing.assert_array_equal(merged.state_dict()[name], value, err_msg=name)
    if whole.has_data:
        for got, want in zip(merged.calculate_qparams(), whole.calculate_qparams(), strict=True):
            np.testing.assert_array_equal(got, want)


@given(x=hnp.arrays(np.float32, st.integers(1, 300), elements=FLOATS), bins=st.integers(1, 64))
def test_histogram_counts_every_finite_value(x, bins):
    observer = tq.HistogramObserver(bins=bins)
    observer(x)
    finite = x[np.isfinite(x)]
    assert observer.counts.sum() == finite.size
    if finite.size:
        np.testing.assert_allclose(observer.histogram.sum(), finite.size)
        assert observer.counts.size <= bins * observer.upsample_rate + 1
        edges = observer.grid.edges()
        assert edges[0] <= finite.min()
        assert finite.max() <= edges[-1]


def test_memory_does_not_grow_with_data():
    observer = tq.HistogramObserver()
    for i in range(20):
        observer(np.random.default_rng(i).standard_normal(1000).astype(np.float32) * 10.0**i)
    assert observer.counts.size <= observer.bins * observer.upsample_rate
    assert observer.counts.sum() == 20_000


@pytest.mark.parametrize("kind", MOVING)
def test_moving_averages_do_not_merge(kind):
    with pytest.raises(TypeError, match="depends on the order"):
        kind().merge(kind())


def test_merge_checks_what_it_merges():
    with pytest.raises(TypeError, match="other must be a MinMaxObserver, got MeanStdObserver"):
        tq.MinMaxObserver().merge(tq.MeanStdObserver())
    with pytest.raises(ValueError, match="other must have bins=2048"):
        tq.HistogramObserver().merge(tq.HistogramObserver(bins=16))


@pytest.mark.parametrize("kind", [*MERGING, *MOVING])
def test_without_data(kind):
    observer = kind()
    observer(np.zeros((3, 0), np.float32))
    with pytest.raises(RuntimeError, match=f"{kind.__name__} saw no data"):
        observer.calculate_qparams()
    observer(np.float32([[1, 2], [3, 4]]))
    observer.calculate_qparams()
    observer.reset_min_max_vals()
    assert not observer.has_data


@pytest.mark.parametrize("kind", [*MERGING, *MOVING])
def test_nan_raises_and_changes_nothing(kind):
    observer = kind()
    observer(np.float32([[1, 2], [3, 4]]))
    before = pickle.dumps(dict(observer.state_dict()))
    with pytest.raises(ValueError, match=r"found 1, the first at index \(1, 0\)"):
        observer(np.float32([[1, 2], [np.nan, 4]]))
    assert pickle.dumps(dict(observer.state_dict())) == before


@pytest.mark.parametrize("kind", [*MERGING, *MOVING])
def test_infinities_saturate(kind):
    x = np.float32([[1, -2, 3], [0.5, 4, -1]])
    plain, infinite = kind(), kind()
    plain(x)
    infinite(np.hstack([x, np.float32([[np.inf], [-np.inf]])]))
    for got, want in zip(infinite.calculate_qparams(), plain.calculate_qparams(), strict=True):
        np.testing.assert_array_equal(got, want)


@pytest.mark.parametrize("kind", [*MERGING, *MOVING])
def test_state_dict_and_pickle(kind):
    observer = kind()
    observer(np.random.default_rng(3).standard_normal((4, 50)).astype(np.float32))
    loaded = kind()
    loaded.load_state_dict(observer.state_dict())
    for other in (loaded, pickle.loads(pickle.dumps(observer)), observer.copy()):
        for got, want in zip(other.calculate_qparams(), observer.calculate_qparams(), strict=True):
            np.testing.assert_array_equal(got, want)


@given(x=st.lists(st.floats(width=32, allow_nan=False, allow_infinity=False), min_size=1, max_size=30))
def test_mean_and_standard_deviation_are_exact(x):
    observer = tq.MeanStdObserver()
    observer(np.float32(x))
    exact = [Fraction(v) for v in x]
    mean = statistics.mean(exact)
    assert observer.mean == float(mean)
    assert observer._moments()[1] == statistics.mean((v - mean) ** 2 for v in exact)


@pytest.mark.parametrize("qscheme", ["per_tensor_affine", "per_tensor_symmetric"])
def test_percentile_is_numpys(qscheme):
    x = np.random.default_rng(5).standard_t(3, 100_000).astype(np.float32)
    observer = tq.PercentileObserver(99, qscheme=qscheme)
    observer(x)
    low, high = observer._range()
    expected = np.percentile(x, [0.5, 99.5])
    if qscheme == "per_tensor_symmetric":
        expected = np.percentile(np.abs(x), 99) * np.array([-1, 1])
    # A bin, and a value's distance to the next.
    np.testing.assert_allclose([low, high], expected, atol=np.ptp(x) / 2**16 + 2e-3)


@pytest.mark.parametrize("sign", [0, 1, -1])
@pytest.mark.parametrize("qscheme", ["per_tensor_affine", "per_tensor_symmetric"])
@pytest.mark.parametrize("kind", [tq.MSEObserver, tq.EntropyObserver])
def test_4_bits_lose_less_than_the_whole_range(kind, qscheme, sign):
    x = np.random.default_rng(7).laplace(size=20_000).astype(np.float32)
    x = np.abs(x) * sign if sign else x

    def error(kind):
        observer = kind(quant_min=-8, quant_max=7, dtype="qint8", qscheme=qscheme)
        observer(x)
        scale, zero_point = observer.calculate_qparams()
        y = qt.fake_quantize_per_tensor_affine(x, scale[0], zero_point[0], -8, 7)
        return np.square(y - x, dtype=np.float64).mean()

    assert error(kind) < error(tq.MinMaxObserver)


def test_mse_is_the_best_of_all_ranges():
    """Symmetric: no other range, in finer steps, has an error that is 1% smaller."""
    x = np.random.default_rng(9).standard_normal(20_000).astype(np.float32)
    observer = tq.MSEObserver(dtype="qint8", qscheme="per_tensor_symmetric", quant_min=-8, quant_max=7)
    observer(x)

    def error(scale):
        return np.square(np.clip(np.rint(x / scale), -8, 7) * scale - x, dtype=np.float64).mean()

    found = error(observer.calculate_qparams()[0][0])
    assert found <= 1.01 * min(error(s) for s in np.linspace(0.05, 0.7, 500))


@pytest.mark.parametrize(
    ("kwargs", "words"),
    [
        ({"dtype": "float7"}, "dtype must be one of"),
        ({"qscheme": "per_channel_affine"}, "qscheme must be one of per_tensor_affine"),
        ({"quant_min": 0}, "together"),
        ({"quant_min": -1, "quant_max": 15}, "quant_min must be an integer from 0 to 255"),
        ({"quant_min": 1, "quant_max": 15}, "hold 0"),
        ({"eps": 0.0}, "eps must be"),
        ({"qscheme": "per_tensor_symmetric", "reduce_range": True}, "reduce_range must be False"),
    ],
)
def test_bad_arguments(kwargs, words):
    with pytest.raises(ValueError, match=words):
        tq.MinMaxObserver(**kwargs)


def test_channels_must_stay_as_many():
    observer = tq.PerChannelMinMaxObserver()
    observer(np.zeros((3, 2), np.float32))
    with pytest.raises(ValueError, match="input must have 3 channels, as before, got 4"):
        observer(np.zeros((4, 2), np.float32))


def test_batches_of_differing_shapes():
    observer = tq.PerChannelMinMaxObserver(ch_axis=1)
    for shape in ((2, 3), (1, 3, 5), (4, 3, 2, 2)):
        observer(np.ones(shape, np.float32))
    assert observer.max_val.shape == (3,)


def test_fixed_and_recording():
    fixed = tq.default_fixed_qparams_range_neg1to1_observer()
    assert fixed.calculate_qparams() == (np.float32(2 / 256), 128)
    recording = tq.RecordingObserver()
    recording([1.0])
    assert len(recording.merge(recording).get_tensor_value()) == 2
    for kind in (tq.NoopObserver, tq.PlaceholderObserver, tq.RecordingObserver, tq.ReuseInputObserver):
        with pytest.raises(RuntimeError, match="makes no scale"):
            kind().calculate_qparams()


def test_factories():
    factory = tq.MinMaxObserver.with_args(dtype="qint8")
    assert factory == tq.MinMaxObserver.with_args(dtype="qint8")
    assert factory != tq.MinMaxObserver.with_args(dtype="quint8")
    assert hash(factory) == hash(pickle.loads(pickle.dumps(factory)))
    assert repr(factory) == "MinMaxObserver.with_args(dtype='qint8')"
    assert factory.with_callable_args(eps=lambda: 0.5)().eps[0] == 0.5
    assert factory(dtype="quint8").dtype == qt.quint8
