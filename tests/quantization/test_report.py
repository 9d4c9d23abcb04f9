"""What is said of a model: what each node computes in, and why."""

import re

import numpy as np
import pytest
from quantray import nn
from quantray import quantization as tq
from quantray.quantization._lines import Line, collapsed

F = nn.functional


@pytest.fixture
def rows():
    return np.random.default_rng(0).standard_normal((16, 8)).astype(np.float32)


def lines(model):
    return {line.name: line for line in tq.report(model).lines}


class Mixed(nn.Module):
    """Layers, a formula, a normalization that is followed by floats, and a softmax at the end."""

    def __init__(self):
        super().__init__()
        self.a, self.b, self.c = nn.Linear(8, 8), nn.Linear(8, 8), nn.Linear(8, 4)
        self.norm = nn.LayerNorm(8)

    def forward(self, x):
        h = self.a(x)
        h = h * np.tanh(np.log1p(np.exp(h)))
        h = np.fft.fft(self.norm(self.b(h))).real.astype(np.float32)
        return F.softmax(self.c(h), dim=-1)


def test_each_float_node_has_a_reason_and_what_would_change_it(rows):
    int8 = tq.quantize(Mixed(), rows, verbose=False)
    found = lines(int8)
    assert found["multiply"].kind == "exp, log1p, tanh, multiply"
    assert found["fft"].reason == "no integer version"
    assert "register_layer" in found["fft"].cure
    assert found["norm"].reason == "floats for fft"
    assert found["norm"].is_consequence
    assert found["softmax"].reason == "the model returns it"
    assert "DeQuantStub" in found["softmax"].cure
    assert found["b"].in_integers
    text = str(tq.report(int8))
    assert "softmax: the model returns it; what would change it: a DeQuantStub after it" in text
    last = repr(int8).splitlines()[-1]
    assert re.match(r"# 4 of \d+ nodes in integers; float: fft.* \(no integer version\), softmax", last)


def test_a_qconfig_of_none_is_the_reason(rows):
    model = nn.Sequential(nn.Linear(8, 8), nn.Sigmoid(), nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 2))
    mapping = tq.get_default_qconfig_mapping().set_module_name("2", None).set_module_name("1", None)
    for made in (tq.prepare(model, mapping, rows), tq.quantize(model, rows, mapping, verbose=False)):
        found = lines(made)
        assert (found["2"].reason, found["2"].cure) == ("no qconfig", "give it one")
        assert found["2"].bits == "w32 a32"
        assert not found["2"].in_integers
        assert found["0"].in_integers
    prepared = lines(tq.prepare(model, tq.get_default_qconfig_mapping().set_module_name("1", None), rows))
    assert prepared["1"].reason == "no qconfig"
    alone = tq.get_default_qconfig_mapping().set_module_name("1", None)
    assert lines(tq.quantize(model, rows, alone, verbose=False))["1"].reason == "no qconfig"


def test_what_runs_as_python_says_where_and_has_rows_for_what_is_inside(rows):
    class Decides(nn.Module):
        def __init__(self):
            super().__init__()
            self.one, self.two = nn.Linear(8, 8), nn.Linear(8, 8)

        def forward(self, x):
            return self.two(self.one(x)) if x.sum() > -1e9 else self.one(x)

    class Model(nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.inner, self.last = nn.Linear(8, 8), Decides(), nn.Linear(8, 2)

        def forward(self, x):
            return self.last(self.inner(self.first(x)))

    model = Model()
    ready = tq.prepare(model)
    tq.calibrate(ready, [rows, -rows], show_progress=False)
    for made in (ready, tq.convert(ready)):
        found = lines(made)
        assert found["inner"].kind == "Decides (Python)"
        assert re.match(r"runs as Python: test_report\.py:\d+: a decision on values", found["inner"].reason)
        assert found["inner.one"].computes == "qint8 -> float32"
        assert found["first"].reason == "floats for inner"
    int8 = tq.convert(ready)
    assert tq.report(int8).total == int8.summary().nbytes


def test_a_hook_that_changes_a_value_is_the_reason(rows):
    model = nn.Sequential(nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 2))
    model[1].register_forward_hook(lambda module, args, output: output * 2)
    int8 = tq.quantize(model, rows, verbose=False)
    hooks = [line for line in tq.report(int8).lines if line.kind.startswith("hook")]
    assert [line.reason for line in hooks] == ["a hook gives another value"]
    assert hooks[0].cure == "let it return None"


def test_a_prepared_model_says_what_its_observers_have_seen(rows):
    model = nn.Sequential(nn.Linear(8, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 2))
    bare = tq.prepare(model)
    assert "prepared" in tq.report(bare).headline()
    ready = tq.prepare(model, example_inputs=rows)
    assert lines(ready)["0"].seen == "nothing seen yet"
    tq.calibrate(ready, rows, show_progress=False)
    found = lines(ready)
    assert found["0"].kind == "Linear + BatchNorm + ReLU"
    low, high = found["0"].seen.partition(",")[0].removeprefix("in: ").split(" to ")
    np.testing.assert_allclose([float(low), float(high)], [rows.min(), rows.max()], rtol=1e-3)
    assert "out: 0 to" in found["0"].seen
    assert found["0"].computes == "qint8 -> quint8"
    assert "2 of 2 nodes will compute in integers" in repr(ready)
    # What it promises is what convert makes.
    after = lines(tq.convert(ready))
    assert {name: line.computes for name, line in found.items()} == {
        name: line.computes for name, line in after.items() if not line.is_border
    }


def test_promises_of_a_prepared_model_are_kept(rows):
    for model in (Mixed(), nn.Sequential(nn.Linear(8, 8), nn.GELU(), nn.LayerNorm(8), nn.Linear(8, 2))):
        ready = tq.prepare(model, example_inputs=rows)
        tq.calibrate(ready, rows, show_progress=False)
        before, after = lines(ready), lines(tq.convert(ready))
        for name, line in before.items():
            assert (line.in_integers, line.computes) == (after[name].in_integers, after[name].computes), name


def test_bits_are_those_of_the_qconfig(rows):
    model = nn.Sequential(nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 2))
    ready = tq.prepare_qat(model, tq.qconfig_for_bits(weight=4, activation=3), rows)
    assert [line.bits for line in tq.report(ready).lines] == ["w4 a3", "w4 a3"]
    ready(rows)
    int8 = tq.convert(ready)
    assert {line.activation_bits for line in tq.report(int8).lines} == {3}
    int8[0].__dict__["weight_bits"] = 4
    assert lines(int8)["0"].bits == "w4 a3"


def test_shared_modules_are_counted_once(rows):
    class Model(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer, self.act = nn.Linear(8, 8), nn.ReLU()

        def forward(self, x):
            return self.layer(self.act(self.layer(self.act(self.layer(x)))))

    int8 = tq.quantize(Model(), rows, verbose=False)
    report = tq.report(int8)
    layers = [line for line in report.lines if line.kind.startswith("Linear")]
    assert [line.name for line in layers] == ["layer", "layer#2", "layer#3"]
    assert [line.bytes for line in layers] == [int8.layer.weight().nbytes + int8.layer.bias().nbytes, 0, 0]
    assert report.total == layers[0].bytes


def test_float_and_dynamic_models_have_rows_of_modules(rows):
    model = nn.Sequential(nn.Linear(8, 8), nn.LayerNorm(8), nn.Linear(8, 2)).eval()
    plain = tq.report(model)
    assert [(line.name, line.computes, line.bits, line.note) for line in plain.lines] == [
        ("0", "float32", "w32", ""),
        ("1", "float32", "w32", ""),
        ("2", "float32", "w32", ""),
    ]
    assert plain.total == sum(value.nbytes for value in model.state_dict().values())
    small = tq.quantize_dynamic(model, {"0"})
    found = lines(small)
    assert (found["0"].computes, found["0"].bits) == ("qint8 -> float32", "w8 a8")
    assert found["1"].reason == "no integer version"
    assert (found["2"].reason, found["2"].cure) == ("not asked for", "name it in qconfig_spec")


def test_the_card_counts_and_compares(rows):
    int8 = tq.quantize(nn.Sequential(nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 2)), rows, verbose=False)
    report = tq.report(int8)
    assert report.float_total == 4 * (8 * 8 + 8 + 8 * 2 + 2)
    html = int8._repr_html_()
    assert "<b>Sequential</b>: 2 of 2 nodes in integers" in html
    assert f"{report.total} bytes, {100 * report.total / report.float_total:.0f} % of" in html
    assert "<script" not in html


def test_many_rows_become_one_for_each_module_where_they_are_printed_along_the_way(rows, capsys):
    block = nn.Sequential(*(nn.Linear(8, 8) for _ in range(5)))
    model = nn.Sequential(*(block.copy() for _ in range(20)))
    tq.quantize(model, rows)
    printed = capsys.readouterr().out
    assert "1 ... (5 nodes)" in printed
    assert len(printed.splitlines()) < 60
    few = [Line(f"layer.{i}", "Linear", "float32", 1) for i in range(3)]
    assert collapsed(few, 60) == few


def test_summary_of_integers_has_shapes_and_parameters_and_nothing_for_what_is_gone():
    model = nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(144, 3))
    x = np.random.default_rng(0).random((5, 1, 8, 8), np.float32)
    int8 = tq.quantize(model, x, verbose=False)
    assert [row[:4] for row in int8.summary(x).rows] == [
        ("(model)", "Sequential", "(5, 3)", 0),
        ("0", "Conv2d", "(5, 4, 6, 6)", 4 * 9 + 4),
        ("3", "Flatten", "(5, 144)", 0),
        ("4", "Linear", "(5, 3)", 144 * 3 + 3),
    ]
    assert [row.output_shape for row in int8.summary().rows] == [
        "(n, 3)",
        "(n, 4, 6, 6)",
        "(n, 144)",
        "(n, 3)",
    ]


def test_a_prepared_model_says_what_it_becomes():
    """Means on a grid of their own, and products of broadcast codes, are integers in both."""

    class Squeeze(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b = nn.Conv2d(3, 8, 3), nn.Conv2d(8, 8, 1)

        def forward(self, x):
            h = F.relu(self.a(x))
            h = h * F.sigmoid(self.b(h.mean(axis=(2, 3), keepdims=True)))
            return F.relu(self.b(h))

    x = np.random.default_rng(0).standard_normal((4, 3, 8, 8), np.float32)
    ready = tq.prepare(Squeeze(), None, x)
    tq.calibrate(ready, x, show_progress=False)
    before, after = lines(ready), lines(tq.convert(ready))
    for name in ("mean", "sigmoid", "multiply"):
        assert before[name].computes == after[name].computes == "quint8"
        assert before[name].reason == after[name].reason == ""


def test_bits_are_those_of_the_codes(rows):
    model = nn.Sequential(nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 4))
    int8 = tq.quantize(model, rows, tq.qconfig_for_bits(3, 5, qat=False), verbose=False)
    assert lines(int8)["0"].bits == "w3 a5"
    assert lines(tq.remedies.weight_only(model, bits=4))["0"].weight_bits == 4


class Deep(nn.Module):
    """More functions one after another than Python lets calls be inside of each other."""

    def __init__(self):
        super().__init__()
        self.first, self.last = nn.Linear(8, 8), nn.Linear(8, 4)

    def forward(self, x):
        x = self.first(x)
        for _ in range(600):
            x = np.sort(x, axis=-1)
        return self.last(x)


def test_deep_models_are_reported(rows):
    made = tq.quantize(Deep(), rows, verbose=False)
    found = lines(made)
    assert found["last"].in_integers
    assert sum(line.kind == "sort" for line in found.values()) == 600
