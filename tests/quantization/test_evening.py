"""Channels of very different ranges are made alike before a model is quantized: the same function."""

import re

import numpy as np
import pytest
import quantray as qt
from quantray import nn
from quantray import quantization as tq
from quantray.quantization import _scalings
from quantray.quantization._evening import even_scalings

PLAIN = tq.get_default_qconfig_mapping()


def sqnr(want, got):
    want, got = np.float64(want), np.float64(got)
    return 10 * np.log10((want**2).sum() / ((got - want) ** 2).sum())


def wild(rng, count):
    return (2.0 ** rng.uniform(-6, 6, count)).astype(np.float32)


def harm(first, second, factors, axis=1, repeat=1):
    """Channels of what `first` gives times factors, and divided again where `second` takes them."""
    at = 1 if isinstance(first, nn.ConvTranspose2d) else 0
    shape = [1] * first.weight.ndim
    shape[at] = -1
    first.weight = first.weight * factors.reshape(shape)
    first.bias = first.bias * factors
    shape = [1] * second.weight.ndim
    shape[axis] = -1
    second.weight = second.weight / np.repeat(factors, repeat).reshape(shape)


def linear(rng):
    model = nn.Sequential(nn.Linear(16, 32), nn.ReLU(), nn.Linear(32, 8))
    harm(model[0], model[2], wild(rng, 32))
    return model, rng.standard_normal((256, 16), np.float32)


def images(rng):
    """Depthwise, of groups, transposed, and flattened."""
    model = nn.Sequential(
        *(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Conv2d(8, 8, 3, groups=8), nn.ReLU()),
        *(nn.Conv2d(8, 16, 1, groups=2), nn.ReLU(), nn.ConvTranspose2d(16, 6, 2), nn.ReLU()),
        *(nn.MaxPool2d(2), nn.Flatten(), nn.Linear(6 * 4, 5)),
    )
    harm(model[0], model[2], wild(rng, 8), axis=0)
    factors = wild(rng, 8)
    grouped = np.repeat(factors.reshape(2, 4), 8, axis=0).reshape(16, 4, 1, 1)
    model[2].weight, model[2].bias = model[2].weight * factors.reshape(-1, 1, 1, 1), model[2].bias * factors
    model[4].weight = model[4].weight / grouped
    harm(model[4], model[6], wild(rng, 16), axis=0)
    harm(model[6], model[10], wild(rng, 6), repeat=4)
    return model, rng.standard_normal((96, 3, 8, 8), np.float32)


def normalized(rng):
    """A batch normalization between, and a layer normalization."""
    model = nn.Sequential(
        nn.Linear(16, 32, bias=False),
        nn.BatchNorm1d(32),
        nn.ReLU(),
        nn.Linear(32, 32),
        nn.LayerNorm(32),
        nn.Linear(32, 8),
    )
    for norm, after in ((1, 3), (4, 5)):
        factors = wild(rng, 32)
        model[norm].weight, model[norm].bias = factors, factors * rng.standard_normal(32).astype(np.float32)
        model[after].weight = model[after].weight / factors
    model[1].running_mean = rng.standard_normal(32).astype(np.float32)
    return model, rng.standard_normal((256, 16), np.float32)


@pytest.mark.parametrize("make", [linear, images, normalized])
def test_the_function_stays_and_integers_are_good(rng, make):
    nn.manual_seed(1)
    model, x = make(rng)
    model.eval()
    want = model(x)
    scalings = even_scalings(model, [(x,)], PLAIN)
    np.testing.assert_array_equal(_scalings.scaled(model, scalings)(x), want)
    int8 = tq.quantize(model, x, verbose=False)
    assert sqnr(want, int8(x)) > 30 > sqnr(want, tq.quantize(model, x, PLAIN, verbose=False)(x)) + 8
    # Nothing had to be spared, and the model is as it was.
    report = tq.report(int8)
    assert not any("takes the output to" in line.reason for line in report.lines)
    assert "channels made alike beforehand, by powers of two: " in str(report)
    assert "channels made alike" in report._repr_html_()
    np.testing.assert_array_equal(model(x), want)


def test_whoever_gives_a_mapping_gets_what_it_says(rng):
    model, x = linear(rng)
    assert tq.report(tq.quantize(model, x, PLAIN, verbose=False)).evened == []
    # And so does a model that needs it not.
    good = nn.Sequential(nn.Linear(16, 32), nn.ReLU(), nn.Linear(32, 8))
    assert tq.report(tq.quantize(good, x, verbose=False)).evened == []


def test_channels_that_nothing_comes_by_set_no_range(rng):
    """Dead in all of the data: their weights may be anything."""
    model, x = linear(rng)
    model[0].bias = model[0].bias - np.where(np.arange(32) % 4 == 0, 1e6, 0).astype(np.float32)
    model[2].weight = model[2].weight * np.where(np.arange(32) % 4 == 0, 1e5, 1).astype(np.float32)
    want = model(x)
    int8 = tq.quantize(model, x, verbose=False)
    assert sqnr(want, int8(x)) > 34
    assert all(line.in_integers for line in tq.report(int8).counted)


def test_of_data_that_pass_once_the_first_samples_stay(rng):
    model, x = linear(rng)
    want = model(x)
    int8 = tq.quantize(model, (each for each in np.split(x, 8)), verbose=False)
    assert sqnr(want, int8(x)) > 30
    assert tq.report(int8).evened == tq.report(tq.quantize(model, np.split(x, 8), verbose=False)).evened != []

    def refilled():
        same = np.empty((32, 16), np.float32)
        for each in np.split(x, 8):
            same[:] = each
            yield same

    np.testing.assert_array_equal(tq.quantize(model, refilled(), verbose=False)(x), int8(x))


def test_wires_that_stay_as_they_are_keep_what_all_of_the_data_has_shown(rng):
    """The greatest input comes late, when samples are not kept any more."""
    model, x = linear(rng)
    data = np.concatenate([x, x, x, x])
    data[-1] *= 3
    once = tq.quantize(model, iter(np.split(data, 32)), verbose=False)
    listed = tq.quantize(model, np.split(data, 32), verbose=False)
    assert tq.report(once).evened == tq.report(listed).evened != []
    (mine, its) = (re.search(r"input \(scale=[^)]*\)", repr(each)) for each in (once, listed))
    assert mine[0] == its[0]


def test_in_place_it_is_the_same(rng):
    model, x = linear(rng)
    want = tq.quantize(model, x, verbose=False)
    made = tq.quantize(model, x, inplace=True, verbose=False)
    assert made is model
    np.testing.assert_array_equal(made(x), want(x))
    np.testing.assert_array_equal(made(x[:3]), want(x[:3]))
    assert str(tq.report(made)) == str(tq.report(want))
    assert repr(made) == repr(want)


def test_it_is_compared_with_the_model_that_it_was_made_of(rng, tmp_path):
    model, x = linear(rng)
    int8 = tq.quantize(model, x, verbose=False)
    result = qt.analysis.compare(model, int8, x)
    assert result.output == pytest.approx(sqnr(model(x), int8(x)), abs=0.1)
    assert min(row.own for row in result) > 30
    assert len(qt.analysis.sensitivity(model, x, int8=int8)) == 3
    better = tq.remedies.refine(model, int8, x)
    assert sqnr(model(x), better(x)) > sqnr(model(x), int8(x))

    int8.save(tmp_path / "model")
    loaded = qt.load(tmp_path / "model")
    np.testing.assert_array_equal(loaded(x), int8(x))
    assert tq.report(loaded).evened == tq.report(int8).evened != []
    assert qt.analysis.compare(model, loaded, x).output == pytest.approx(result.output)

    other = nn.Sequential(nn.Linear(16, 32), nn.Tanh(), nn.Linear(32, 8))
    with pytest.raises(ValueError, match="model and int8 do not correspond"):
        qt.analysis.compare(other, int8, x)
    with pytest.raises(ValueError, match=r"do not correspond: .* has a 0\.weight whose"):
        qt.analysis.compare(nn.Sequential(nn.Linear(16, 8)), int8, x)


@pytest.mark.parametrize(
    "wrong",
    [
        3,
        [3],
        [{}],
        [{"path": "0", "key": "weight", "shape": [2], "exponents": [1]}],
        [{"path": "0", "key": "weight", "shape": [1], "exponents": [1000]}],
        [{"path": "0", "key": "weight", "shape": [1], "exponents": [1.5]}],
        [{"path": 0, "key": "weight", "shape": [1], "exponents": [1]}],
    ],
)
def test_files_with_other_scalings_are_refused(wrong):
    with pytest.raises(ValueError, match="scaling"):
        _scalings.read(wrong)
