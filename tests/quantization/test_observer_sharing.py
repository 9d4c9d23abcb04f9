"""Observers and fake quantizations: shared by threads, switched, given nothing, loaded."""

import pickle
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import quantray as qt
from quantray import nn
from quantray import quantization as tq
from quantray.quantization.fake_quantize._switches import as_switched

MERGING = [
    tq.MinMaxObserver,
    tq.PerChannelMinMaxObserver,
    tq.MeanStdObserver,
    tq.HistogramObserver,
    tq.PercentileObserver,
    tq.MSEObserver,
    tq.EntropyObserver,
]
MOVING = [tq.MovingAverageMinMaxObserver, tq.MovingAveragePerChannelMinMaxObserver]
OTHERS = [tq.RecordingObserver, tq.NoopObserver, tq.PlaceholderObserver, tq.ReuseInputObserver]
FAKES = {
    "moving": tq.default_fake_quant,
    "fused": tq.default_fused_act_fake_quant,
    "channels": tq.default_per_channel_weight_fake_quant,
    "histogram": tq.default_histogram_fake_quant,
    "embedding": tq.default_embedding_fake_quant,
    "learned": tq.qconfig_for_bits(4, 4, learnable=True).activation,
    "learned channels": tq.qconfig_for_bits(4, 4, learnable=True).weight,
    "fixed": tq.default_fixed_qparams_range_0to1_fake_quant,
}
X = np.random.default_rng(0).standard_normal((4, 50)).astype(np.float32)
EMPTY = [np.zeros(0, np.float32), np.zeros((0, 4), np.float32), np.zeros((4, 0), np.float32), X[:0], []]


def same_state(one, other):
    mine, theirs = one.state_dict(), other.state_dict()
    assert list(mine) == list(theirs)
    for name, value in mine.items():
        np.testing.assert_array_equal(value, theirs[name], err_msg=name)


@pytest.mark.parametrize("kind", MERGING)
def test_eight_threads_see_what_one_does(kind):
    rng = np.random.default_rng(1)
    batches = [(rng.standard_normal((4, 64)) * 2.0 ** (i % 9)).astype(np.float32) for i in range(240)]
    one, shared = kind(), kind()
    for batch in batches:
        one(batch)
    begin = threading.Barrier(8)

    def feed(part):
        begin.wait()
        for batch in part:
            shared(batch)
            shared.state_dict()

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(feed, [batches[i::8] for i in range(8)]))
    same_state(one, shared)


def test_two_that_merge_with_each_other_do_not_wait_forever():
    one, other = tq.HistogramObserver(), tq.HistogramObserver()
    one(X), other(2 * X)
    threads = [
        threading.Thread(target=lambda a=a, b=b: [a.merge(b) for _ in range(20)], daemon=True)
        for a, b in ((one, other), (other, one))
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
        assert not thread.is_alive()


def test_threads_quantize_by_a_scale_and_a_zero_point_that_belong_together():
    fake = tq.default_dynamic_fake_quant()
    arrays = [np.float32([0, 10.0**i]) for i in range(-3, 4)] + [
        np.float32([-(10.0**i), 0]) for i in range(-3, 4)
    ]

    def check(x):
        for _ in range(50):
            np.testing.assert_allclose(fake(x), x, rtol=1e-5)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(check, arrays))


@pytest.mark.parametrize("kind", [*MERGING, *MOVING])
def test_copies_have_locks_of_their_own(kind):
    observer = kind()
    observer(X)
    for other in (observer.copy(), pickle.loads(pickle.dumps(observer))):
        assert other._lock is not observer._lock
        with ThreadPoolExecutor(1) as pool, observer._lock:
            pool.submit(other, X).result(30)


@pytest.mark.parametrize("kind", [*MERGING, *MOVING, *OTHERS])
def test_an_empty_array_is_as_if_it_were_not_there(kind):
    plain, other = kind(), kind()
    plain(X), plain(2 * X)
    for empty in EMPTY:
        assert other(empty) is empty
    assert not other.has_data
    for x in (X, 2 * X):
        other(x)
        for empty in EMPTY:
            other(empty)
    same_state(plain, other)
    if kind is tq.RecordingObserver:
        assert len(other.get_tensor_value()) == 2


@pytest.mark.parametrize("name", FAKES)
def test_an_empty_array_is_not_fake_quantized(name):
    plain, other = FAKES[name](), FAKES[name]()
    for fake in (plain, other):
        fake(X), fake(2 * X)
    for empty in EMPTY:
        assert FAKES[name]()(empty) is empty
        assert other(empty) is empty
    same_state(plain, other)
    np.testing.assert_array_equal(plain(X), other(X))


@pytest.mark.parametrize("name", FAKES)
def test_evaluation_moves_no_scale(name):
    fake = FAKES[name]()
    fake(X)
    fake.eval()
    before = fake.copy()
    y = fake(X)
    assert np.abs(y).max() <= np.abs(fake(100 * X)).max()
    same_state(before, fake)
    np.testing.assert_array_equal(fake(X), y)
    if name in ("moving", "channels"):
        fake.train()(100 * X)
        assert (fake.scale > before.scale).all()


@pytest.mark.parametrize("name", FAKES)
def test_evaluation_begins_with_the_first_array(name):
    trained, fake = FAKES[name](), FAKES[name]()
    want = trained(X)
    np.testing.assert_array_equal(fake.eval()(X), want)
    fake(100 * X)
    same_state(trained, fake)


def test_dynamic_ranges_are_each_inputs_in_evaluation_too():
    fake = tq.default_dynamic_fake_quant().eval()
    for factor in (1, 100, 1):
        np.testing.assert_allclose(fake(factor * X), factor * X, atol=0.02 * factor)


def test_plain_observers_observe_in_evaluation():
    observer = tq.MinMaxObserver().eval()
    observer(X), observer(2 * X)
    assert observer.max_val == 2 * X.max()


def test_models_are_switched_as_a_whole():
    model = nn.Sequential(tq.default_fake_quant(), nn.Sequential(tq.default_fake_quant()))
    model(X)
    before = model.copy()
    tq.disable_observer(model)
    model(100 * X)
    same_state(before[0].activation_post_process, model[0].activation_post_process)
    tq.disable_fake_quant(model)
    assert model(X) is X
    tq.enable_fake_quant(model)
    assert model(X) is not X
    tq.enable_observer(model)
    model(100 * X)
    assert (model[0].scale > before[0].scale).all()
    assert (model[1][0].scale > before[1][0].scale).all()


@pytest.mark.parametrize("directly", [True, False])
def test_switches_hold_for_what_a_module_is_given_later(directly):
    model = nn.Sequential(nn.Linear(2, 2), nn.ReLU())
    for switch in (tq.disable_fake_quant, tq.disable_observer, tq.enable_observer):
        switch(model) if directly else model.apply(switch)
    for owner in (model, model[0], model.copy()[1]):
        fake = as_switched(owner, tq.default_fake_quant())
        assert (int(fake.fake_quant_enabled[0]), int(fake.observer_enabled[0])) == (0, 1)
    observer = tq.MinMaxObserver()
    assert as_switched(model, observer) is observer
    assert as_switched(nn.ReLU(), tq.default_fake_quant()).fake_quant_enabled[0]


def test_a_switch_before_the_first_call():
    fake = tq.default_fake_quant()
    tq.disable_fake_quant(fake)
    assert fake(X) is X
    assert fake.has_data


@pytest.mark.parametrize("make", [*MERGING, *MOVING, *FAKES.values()])
@pytest.mark.parametrize("file", [True, False])
def test_what_saw_data_loads_into_what_did_not(make, file, tmp_path):
    model = nn.Sequential(make())
    model(X), model(2 * X)
    state = model.state_dict()
    if file:
        state = tmp_path / "checkpoint.safetensors"
        model.save(state)
    fresh = nn.Sequential(make())
    fresh.load_state_dict(state)
    same_state(model, fresh)
    assert fresh[0].has_data
    model.eval(), fresh.eval()
    np.testing.assert_array_equal(model(X), fresh(X))
    for got, want in zip(fresh[0].calculate_qparams(), model[0].calculate_qparams(), strict=True):
        np.testing.assert_array_equal(got, want)


def test_torchs_shapes_load():
    """Scalars as () and (1,); without data, as older files have it, as (0,)."""
    observer = tq.MinMaxObserver()
    observer.load_state_dict({"eps": np.float32(0.5), "min_val": [-1.0], "max_val": np.float64(3)})
    assert (observer.eps.shape, observer.min_val.shape) == ((1,), ())
    assert (float(observer.min_val), float(observer.max_val)) == (-1, 3)
    observer.load_state_dict({"eps": [0.5], "min_val": [], "max_val": []})
    assert not observer.has_data
    observer(X)
    channels = tq.PerChannelMinMaxObserver()
    channels.load_state_dict({"eps": [0.5], "min_val": np.zeros(3), "max_val": np.ones(3)})
    assert channels.calculate_qparams()[0].shape == (3,)


def test_what_does_not_fit_is_refused_and_changes_nothing():
    observer = tq.MeanStdObserver()
    observer(X)
    before = observer.copy()
    for name, value in (("sums", np.zeros((4, 9))), ("min_val", np.zeros(3)), ("eps", np.ones(2))):
        with pytest.raises(ValueError, match=f"{name} must be of"):
            observer.load_state_dict({**observer.state_dict(), name: value})
    same_state(before, observer)


def test_what_observers_calculate_goes_into_quantize():
    """The two lines of every tutorial."""
    observer = tq.MinMaxObserver()
    observer(X)
    scale, zero_point = observer.calculate_qparams()
    q = qt.quantize_per_tensor(X, *observer.calculate_qparams(), qt.quint8)
    want = qt.quantize_per_tensor(X, float(scale[0]), int(zero_point[0]), qt.quint8)
    np.testing.assert_array_equal(q.int_repr(), want.int_repr())
    np.testing.assert_array_equal(
        qt.fake_quantize_per_tensor_affine(X, scale, zero_point, 0, 255), want.dequantize()
    )
    for bad in (np.ones(2, np.float32), np.array([True]), np.array(["1"])):
        with pytest.raises(TypeError, match=r"scale must be (a|one) number"):
            qt.quantize_per_tensor(X, bad, 0, qt.quint8)
