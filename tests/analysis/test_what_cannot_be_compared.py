"""What cannot be compared is said by name."""

import inspect
import sys

import numpy as np
import pytest
import quantray as qt
from faulty_models import mlp
from quantray import nn
from quantray import quantization as tq

compare, sensitivity = qt.analysis.compare, qt.analysis.sensitivity


@pytest.fixture
def models(rng):
    model, x = mlp(rng)
    return model, tq.quantize(model, x, verbose=False), x


def test_models_that_do_not_correspond(models, rng):
    _model, int8, x = models

    class Named(nn.Module):
        def __init__(self):
            super().__init__()
            self.one = nn.Linear(16, 6)

        def forward(self, x):
            return self.one(x)

    other = Named().eval()
    for made in (int8, tq.quantize_dynamic(_model)):
        with pytest.raises(
            ValueError, match=r"do not correspond: 3 of 3 layers of int8 have the name of none"
        ):
            compare(other, made, x)
        with pytest.raises(
            ValueError, match=r"do not correspond: 3 of 3 layers of int8 have the name of none"
        ):
            sensitivity(other, x, int8=made)
    other, _ = mlp(rng)
    with pytest.raises(ValueError, match=r"do not correspond: the weights of 0 are other ones"):
        compare(other, int8, x)
    other, _ = mlp(rng, hidden=24)
    with pytest.raises(ValueError, match="do not correspond: 0 gives shape"):
        compare(other, int8, x)


def test_most_layers_of_other_names_are_no_other_model(rng):
    class Blocks(nn.Module):
        def __init__(self, name, count):
            super().__init__()
            self.name = name
            self.blocks = nn.ModuleList([nn.Module() for _ in range(count)])
            for block in self.blocks:
                setattr(block, name, nn.Linear(8, 8))
            self.head = nn.Linear(8, 2)

        def forward(self, x):
            for block in self.blocks:
                x = x + nn.functional.relu(getattr(block, self.name)(x))
            return self.head(x)

    x = rng.standard_normal((16, 8), np.float32)
    model, other = Blocks("a", 12).eval(), Blocks("b", 12).eval()
    for mine, theirs in zip(model.blocks, other.blocks, strict=True):
        theirs.b = mine.a
    other.head = model.head
    with pytest.raises(ValueError, match=r"do not correspond: 12 of 13 layers of int8"):
        compare(other, tq.quantize_dynamic(model), x)


def test_layers_that_the_float_model_lacks_are_listed(rng):
    class Renamed(nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.other = nn.Linear(8, 8), nn.Linear(8, 2)

        def forward(self, x):
            return self.other(nn.functional.relu(self.first(x)))

    class Original(nn.Module):
        def __init__(self, renamed):
            super().__init__()
            self.first, self.last = renamed.first, renamed.other

        def forward(self, x):
            return self.last(nn.functional.relu(self.first(x)))

    renamed, x = Renamed().eval(), rng.standard_normal((16, 8), np.float32)
    result = compare(renamed, tq.quantize_dynamic(Original(renamed).eval()), x)
    assert result.unpaired == ["last"]
    assert "not in the float model: last" in str(result)
    assert [row.name for row in result.depth] == ["first", "relu"]


@pytest.fixture
def few_calls():
    """A Python in which calls may be 300 deep below the test."""
    before = sys.getrecursionlimit()
    sys.setrecursionlimit(len(inspect.stack(0)) + 300)
    yield
    sys.setrecursionlimit(before)


def test_models_deeper_than_python_calls(rng, few_calls):
    layers = [nn.Sequential(nn.Linear(4, 4), nn.ReLU()) for _ in range(150)]
    model, x = nn.Sequential(*layers).eval(), rng.standard_normal((4, 4), np.float32)
    int8 = tq.quantize(model, x, tq.get_default_qconfig_mapping(), verbose=False)
    assert len(compare(model, int8, x)) == 151
    assert len(tq.report(int8).lines) == 151


def test_what_is_no_pair_of_a_float_and_a_quantized_model(models):
    model, int8, x = models
    with pytest.raises(ValueError, match="int8 must be quantized"):
        compare(model, model, x)
    with pytest.raises(ValueError, match="model must be the float model"):
        compare(int8, int8, x)
    with pytest.raises(TypeError, match=r"model must be a quantray\.nn\.Module"):
        compare(lambda x: x, int8, x)
    with pytest.raises(ValueError, match="seen data"):
        compare(model, tq.prepare(model), x)


def test_no_data(models):
    model, int8, _ = models
    with pytest.raises(ValueError, match="batches must hold at least one batch"):
        compare(model, int8, [])
    with pytest.raises(ValueError, match="batches must hold at least one batch"):
        sensitivity(model, [])


def test_batches_without_samples(models):
    model, int8, x = models
    with pytest.raises(ValueError, match="batch 1: it holds no samples"):
        compare(model, int8, [x, x[:0]])


def test_batches_that_do_not_fit_are_counted(models):
    model, int8, x = models
    with pytest.raises(ValueError, match="batch 1: "):
        compare(model, int8, [x, x[:, :3]])
    with pytest.raises(TypeError, match="transform"):
        compare(model, int8, [(x, np.zeros(len(x)))])


def test_metrics(models):
    model, int8, x = models
    with pytest.raises(ValueError, match="metric must give a finite number, got nan for: model"):
        sensitivity(model, x, lambda model: np.nan)
    with pytest.raises(ValueError, match="metric must give a number, got list"):
        compare(model, int8, x, metric=lambda model: [])

    def broken(model):
        raise RuntimeError("no labels")

    with pytest.raises(RuntimeError, match="no labels") as caught:
        sensitivity(model, x, broken)
    assert any("metric raised this for: model" in note for note in caught.value.__notes__)


def test_nodes_that_never_ran_are_listed(rng):
    class Two(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b = nn.Linear(4, 4), nn.Linear(4, 4)

        def forward(self, x, deep):
            return self.b(self.a(x)) if deep else self.a(x)

    model, x = Two().eval(), rng.standard_normal((8, 4)).astype(np.float32)
    ready = tq.prepare(model)
    tq.calibrate(ready, [(x, True), (x, False)], show_progress=False)
    result = compare(model, tq.convert(ready), [(x, False)])
    assert result.unreached == ["b"]
    assert "never ran: b" in str(result)
    # Of a dynamic model no graph comes to it.
    assert compare(model, tq.quantize_dynamic(model), [(x, False)]).unreached == ["b"]
    assert compare(model, tq.quantize_dynamic(model), [(x, True)]).unreached == []


def test_models_are_left_as_they_were(models):
    model, int8, x = models
    model.train()
    before, was = model(x), int8(x)
    compare(model, int8, x)
    sensitivity(model, x)
    assert model.training
    assert all(each.training for each in model.modules())
    np.testing.assert_array_equal(model(x), before)
    np.testing.assert_array_equal(int8(x), was)


@pytest.mark.filterwarnings("ignore:nothing of the model computes in integers")
@pytest.mark.parametrize("model", [nn.Identity(), nn.Sequential(nn.Dropout(), nn.Identity()).eval()])
def test_a_model_of_no_nodes_corresponds_to_itself(model, rng):
    x = rng.standard_normal((4, 3)).astype(np.float32)
    assert "exact" in str(compare(model, tq.quantize(model, x, verbose=False), x))
