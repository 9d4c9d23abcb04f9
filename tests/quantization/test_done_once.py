"""What `quantize` does once where it could do it often: results are those of doing it each time."""

import numpy as np
import pytest
from quantray import graph, nn
from quantray import quantization as tq
from quantray.graph import _runner
from quantray.nn.quantized import Grid
from quantray.quantization._prepared import prepared_of
from quantray.quantization._sparing import examined
from quantray.quantization._static import calibrated
from quantray.quantization.qconfig_mapping import default_quantize_mapping


@pytest.fixture
def images(rng):
    """Convolutions of each kind, one with a normalization, and a few batches."""
    model = nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1, bias=False),
        nn.BatchNorm2d(8),
        nn.ReLU(),
        nn.Conv2d(8, 16, 3, groups=8),
        nn.ConvTranspose2d(16, 4, 2, stride=2, output_padding=1),
        nn.Flatten(),
        nn.Linear(1156, 5),
    ).eval()
    model[1].running_mean = rng.standard_normal(8).astype(np.float32)
    model[1].running_var = rng.uniform(0.5, 2, 8).astype(np.float32)
    return model, [rng.standard_normal((n, 3, 10, 10)).astype(np.float32) for n in (4, 4, 2)]


@pytest.fixture
def tokens(rng):
    """Linear layers that round by rows: a few rows are far beyond the others."""
    model = nn.Sequential(nn.Linear(64, 256), nn.ReLU(), nn.Linear(256, 64))
    x = rng.standard_normal((512, 64)).astype(np.float32)
    x[5::64] *= 10
    return model, x


def test_layers_that_are_packed_once_show_observers_the_same(images):
    model, batches = images
    ready, _ = calibrated(model, batches, default_quantize_mapping())
    each = tq.prepare(model, default_quantize_mapping(), batches[0])
    for batch in batches:
        each(batch)
    want, got = each.state_dict(), ready.state_dict()
    assert any("counts" in name for name in want)
    assert want.keys() == got.keys()
    for name, value in want.items():
        np.testing.assert_array_equal(got[name], value, err_msg=name)


def test_weights_that_change_between_calls_are_seen(images):
    model, batches = images
    ready = tq.prepare(model, tq.QConfig(tq.MinMaxObserver, tq.default_weight_observer), batches[0])
    observers = [module for module in ready.modules() if isinstance(module, tq.MinMaxObserver)]
    tq.calibrate(ready, batches, show_progress=False)
    before = max(observer.max_val for observer in observers)
    weight = ready[4].weight
    weight *= 1000
    tq.calibrate(ready, batches, show_progress=False)
    assert max(observer.max_val for observer in observers) > 4 * before


def test_a_model_is_captured_once(tokens, monkeypatch):
    model, x = tokens
    calls = []

    def counted(*args, **kwargs):
        calls.append(1)
        return graph.capture(*args, **kwargs)

    monkeypatch.setattr(_runner, "capture", counted)
    small = tq.quantize(model, [x[:256], x[256:]], verbose=False)
    # It was planned anew, and the float model was read once more, for factors of inputs.
    assert small._runner.spared
    assert any(hasattr(module, "input_factor") for module in small.modules())
    assert len(calls) == 1


def test_trials_in_turns_lose_what_each_loses_by_itself(tokens):
    model, x = tokens
    ready, rows = calibrated(model, [x[:256], x[256:]], default_quantize_mapping())
    found = examined(ready, prepared_of(ready), rows).roundings
    names = list(found.candidates)
    assert len(names) > 1
    ways = [(names, ()), (names[1:], ()), (names[:1], names), ((), names), ((), ())]
    alone = [found.together([way])[0] for way in ways]
    assert found.together(ways) == alone
    assert len(set(alone)) == len(ways)


def test_exact_values_that_are_not_kept_are_the_same(tokens, monkeypatch):
    model, x = tokens
    ready, rows = calibrated(model, x, default_quantize_mapping())
    kept = examined(ready, prepared_of(ready), rows).roundings
    monkeypatch.setattr("quantray.quantization._roundings._KEPT", 0)
    anew = examined(ready, prepared_of(ready), rows).roundings
    assert kept.probes[0].values is not None
    assert anew.probes[0].values is None
    nodes = [(name, how) for name in kept.candidates for how in ("static", "rows")]
    assert kept.own() == anew.own()
    assert kept.alone(nodes) == anew.alone(nodes)
    assert kept.sizes == anew.sizes


@pytest.mark.parametrize(
    "grid",
    [
        Grid(0.1, 3),
        Grid(0.1, -7, "qint8", -128, 127),
        Grid(0.5, 0, "qint8", -8, 7),
        Grid(0.5, 9, "quint8", 0, 7),
    ],
)
def test_rounded_values_are_those_of_codes(grid, rng):
    x = (20 * rng.standard_normal((6, 5, 4))).astype(np.float32).transpose(2, 0, 1)
    low, high = grid.quant_min, grid.quant_max
    codes = np.clip(np.rint(x * (np.float32(1) / np.float32(grid.scale))) + grid.zero_point, low, high)
    want = np.float32(grid.scale) * (codes - grid.zero_point).astype(np.float32)
    np.testing.assert_array_equal(grid.rounded(x), want)


def test_a_range_is_searched_again_where_anything_has_changed(rng):
    observer = tq.HistogramObserver()
    observer(rng.standard_normal(1000).astype(np.float32))
    first = observer.calculate_qparams()[0]
    assert observer.calculate_qparams()[0] == first
    observer.counts[: observer.counts.size // 2] = 0
    assert observer.calculate_qparams()[0] != first
    observer(np.float32([100, -100]))
    second = observer.calculate_qparams()[0]
    assert second > first
    observer.quant_max = 15
    assert observer.calculate_qparams()[0] > second
