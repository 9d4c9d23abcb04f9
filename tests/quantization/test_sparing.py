"""What 8 bits of a fixed range are too little for: found by `quantize`, and spared."""

import numpy as np
import pytest
import quantray as qt
from quantray import nn
from quantray import quantization as tq
from quantray.quantization.qconfig import per_channel_dynamic_qconfig


def sqnr(model, small, x):
    want = model(x).astype(np.float64)
    return 10 * np.log10((want**2).sum() / ((small(x) - want) ** 2).sum())


def without(model, x):
    """Quantized by the same settings, which nothing is changed of."""
    return tq.quantize(model, x, tq.get_default_qconfig_mapping(), verbose=False)


@pytest.fixture
def tokens(rng):
    """A few rows far beyond the others, in layers whose time is all in their products."""
    model = nn.Sequential(nn.Linear(64, 256), nn.ReLU(), nn.Linear(256, 64))
    x = rng.standard_normal((512, 64)).astype(np.float32)
    x[5::64] *= 50
    return model, x


class Steep(nn.Module):
    """A cheap first layer whose small outputs decide, among large ones that a fixed grid is made for."""

    def __init__(self):
        super().__init__()
        self.first, self.second = nn.Conv2d(1, 4, 1), nn.Conv2d(4, 32, 3, padding=1)
        self.third, self.last = nn.Conv2d(32, 32, 3, padding=1), nn.Conv2d(32, 2, 1)
        self.first.weight = np.float32([1000, 1, 1, 1]).reshape(4, 1, 1, 1)
        self.second.weight[:, 0] = 0
        for layer in self.children():
            layer.bias = None

    def forward(self, x):
        y = np.maximum(self.second(np.tanh(self.first(x) / 50)), 0)
        return self.last(np.maximum(self.third(y), 0))


def test_rows_of_different_sizes_get_ranges_of_their_own(tokens):
    model, x = tokens
    small = tq.quantize(model, x, verbose=False)
    rows = [line for line in tq.report(small).lines if line.reason.startswith("ranges of rows")]
    assert [line.name for line in rows] == ["0", "2"]
    assert all(line.in_integers and line.weight_bits == 8 for line in rows)
    each = np.linalg.norm(small(x) - model(x), axis=1) / np.linalg.norm(model(x), axis=1)
    plain = np.linalg.norm(without(model, x)(x) - model(x), axis=1) / np.linalg.norm(model(x), axis=1)
    assert np.median(each) < np.median(plain) / 4


def test_what_is_asked_for_is_done(tokens):
    model, x = tokens
    assert not without(model, x)._runner.spared
    model.qconfig = tq.get_default_qconfig()
    assert not tq.quantize(model, x, verbose=False)._runner.spared


def test_a_cheap_layer_that_loses_much_stays_in_floats(rng):
    qt.manual_seed(0)
    model = Steep()
    x = rng.standard_normal((32, 1, 12, 12)).astype(np.float32)
    small = tq.quantize(model, x, verbose=False)
    lines = {line.name: line for line in tq.report(small).lines}
    spared = [name for name, line in lines.items() if line.reason.startswith("8 bits are too little")]
    assert {"first", "second"} & set(spared)
    assert lines["third"].in_integers
    assert sqnr(model, small, x) > sqnr(model, without(model, x), x) + 6


def test_where_little_is_lost_nothing_changes(rng):
    model = nn.Sequential(nn.Conv2d(1, 8, 3), nn.ReLU(), nn.Conv2d(8, 8, 3), nn.ReLU(), nn.Flatten())
    x = rng.random((64, 1, 8, 8), np.float32)
    small = tq.quantize(model, x, verbose=False)
    assert sqnr(model, small, x) > 35
    assert not small._runner.spared
    np.testing.assert_array_equal(small(x), without(model, x)(x))


def test_batches_that_come_once_and_a_transform(tokens):
    model, x = tokens
    want = tq.quantize(model, [x[:256], x[256:]], verbose=False)
    pairs = [(part, 0) for part in (x[:256], x[256:])]
    got = tq.quantize(model, pairs, transform=lambda pair: pair[0], verbose=False)
    assert got._runner.spared == want._runner.spared != {}
    np.testing.assert_array_equal(got(x), want(x))
    once = tq.quantize(model, iter(pairs), transform=lambda pair: pair[0], verbose=False)
    assert once._runner.spared.keys() == want._runner.spared.keys()
    assert sqnr(model, once, x) > 30


def test_in_place_and_files(tokens, tmp_path):
    model, x = tokens
    want = tq.quantize(model, x, verbose=False)
    changed = model.copy()
    made = tq.quantize(changed, x, inplace=True, verbose=False)
    assert made is changed
    np.testing.assert_array_equal(made(x), want(x))
    want.save(tmp_path / "model.safetensors")
    back = qt.load(tmp_path / "model.safetensors")
    np.testing.assert_array_equal(back(x), want(x))
    assert str(tq.report(back)) == str(tq.report(want))


def test_code_of_the_users_is_not_called_more_often(tokens):
    model, x = tokens
    calls = []
    model[0].register_forward_hook(lambda *given: calls.append(1))
    small = tq.quantize(model, [x], verbose=False)
    assert not small._runner.spared


def test_a_layer_by_rows_among_others(rng):
    """By a mapping, with each of the limits that layers have."""
    model = nn.Sequential(nn.Linear(16, 32), nn.ReLU6(), nn.Linear(32, 32), nn.ReLU(), nn.Linear(32, 8))
    x = 4 * rng.standard_normal((64, 16)).astype(np.float32)
    for names in (["0"], ["2"], ["4"], ["0", "2", "4"]):
        mapping = tq.get_default_qconfig_mapping()
        for name in names:
            mapping.set_module_name(name, per_channel_dynamic_qconfig)
        small = tq.quantize(model, x, mapping, verbose=False)
        found = [name for name, each in small.named_modules() if "Dynamic" in each._get_name()]
        assert found == names
        assert sqnr(model, small, x) > 30
        first = tq.get_default_qconfig_mapping().set_module_name("0", per_channel_dynamic_qconfig)
        hidden = tq.quantize(model[:2], x, first, verbose=False)(x) if "0" in names else np.zeros(1)
        assert hidden.min() >= 0
        assert hidden.max() <= 6


def test_a_layer_in_floats_takes_what_another_one_takes_as_codes(rng):
    class Two(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b, self.c = nn.Linear(8, 8), nn.Linear(8, 8), nn.Linear(8, 8)

        def forward(self, x):
            y = np.maximum(self.a(x), 0)
            return self.b(y) + self.c(y)

    model, x = Two(), rng.standard_normal((64, 8)).astype(np.float32)
    mapping = tq.get_default_qconfig_mapping().set_module_name("b", None)
    small = tq.quantize(model, x, mapping, verbose=False)
    lines = {line.name: line for line in tq.report(small).lines}
    assert not lines["b"].in_integers
    assert lines["c"].in_integers
    assert sqnr(model, small, x) > 30


def test_functions_in_floats_take_what_was_not_rounded(rng):
    """A PReLU has no integer version: what goes into it stays as the layer gives it."""
    model = nn.Sequential(nn.Linear(16, 32), nn.PReLU(32), nn.Linear(32, 8))
    x = rng.standard_normal((64, 16)).astype(np.float32)
    lines = {line.name: line for line in tq.report(without(model, x)).lines}
    assert lines["0"].computes == "qint8 -> float32"
    assert lines["2"].in_integers


def test_a_mean_over_an_image_has_a_grid_of_its_own(rng):
    """It lies in a small part of its pixels' range: on their grid it would have a few codes."""
    model = nn.Sequential(
        nn.Conv2d(1, 8, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 4)
    )
    x = rng.standard_normal((64, 1, 16, 16)).astype(np.float32)
    x[:, :, 0, 0] = 100
    small = without(model, x)
    graph = small._runner.graphs[0]
    grids = small._runner.grids(small, graph)
    found = {ref.node: grid.scale for ref, grid in grids.items()}
    assert found["2"] < found["0"] / 8
    assert sqnr(model, small, x) > 30


def test_a_search_is_no_worse_than_one_call(tokens):
    """What the default spares is a step of the search, too."""
    model, x = tokens[0], tokens[1][:128]

    def near(found):
        want = model(x)
        return -float(np.median(np.linalg.norm(found(x) - want, axis=1) / np.linalg.norm(want, axis=1)))

    budget = -1.01 * near(tq.quantize(model, x, verbose=False))
    best = tq.quantize(model, x, metric=near, max_drop=budget, verbose=False)
    assert best.plan.is_within
    assert [step.name for step in best.plan] == ["as it is"]


def test_few_weights_may_all_stay_in_floats(rng):
    """Columns of very different scales, as tables have them, before the only layer, or the first one."""
    columns = (10.0 ** rng.uniform(-3, 3, 12)).astype(np.float32)
    x = rng.standard_normal((256, 12), np.float32) * columns + columns
    one, two = nn.Linear(12, 3), nn.Sequential(nn.Linear(12, 4), nn.Linear(4, 3))
    for model, first in ((one, one), (two, two[0])):
        first.weight = first.weight / columns
        small = tq.quantize(model.eval(), x)
        assert sqnr(model, without(model, x), x) < 20
        assert sqnr(model, small, x) > 35
        assert any("8 bits are too little" in line.reason for line in tq.report(small).lines)


def test_rows_next_to_nothing_are_not_taken_as_they_come(rng):
    """The smallest scale of a row leaves nothing of values of 1e-9."""
    rows = rng.standard_normal((64, 7)).astype(np.float32)
    model = nn.Sequential(nn.Linear(7, 5, bias=False), nn.Linear(5, 3, bias=False)).eval()
    want = model(rows)
    for layer, power in ((model[0], -30), (model[1], 30)):
        layer.weight = layer.weight * np.float32(2.0**power)
    with pytest.warns(UserWarning, match="nothing of the model computes in integers"):
        small = tq.quantize(model, rows, verbose=False)
    assert np.abs(small(rows) - want).max() < 0.05 * np.abs(want).max()
