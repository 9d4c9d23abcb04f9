"""Code that cannot become nodes runs as Python, said with file and line; what is around and inside is
captured.
"""

import numpy as np
import pytest
import quantray as qt
from quantray import graph, nn
from quantray import quantization as tq
from quantray.nn import functional as F


@pytest.fixture
def x(rng):
    nn.manual_seed(0)
    return rng.standard_normal((32, 8)).astype(np.float32)


class Router(nn.Module):
    """Decides by values, and has a layer of its own."""

    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(8, 8)

    def forward(self, x):
        h = self.fc(x)
        if h.sum() > 0:  # a decision
            return h
        return h - 1


class Net(nn.Module):
    """What decides lies between layers that do not."""

    def __init__(self, inner):
        super().__init__()
        self.a, self.inner, self.b = nn.Linear(8, 8), inner, nn.Linear(8, 4)

    def forward(self, x):
        return self.b(F.relu(self.inner(F.relu(self.a(x)))))


def test_that_module_alone_is_cut_out(x):
    found = graph.capture(Net(Router()), (x,))
    kinds = {node.name: node.kind for node in found}
    assert kinds["inner"] == "python"
    assert kinds["a"] == "functional.linear"
    (refusal,) = found.refusals
    assert refusal.scope == "inner"
    assert refusal.at.file == __file__
    with open(__file__) as file:
        assert "# a decision" in file.readlines()[refusal.at.line - 1]
    assert "if" in refusal.reason


def test_layers_around_and_inside_become_integers(x):
    model = Net(Router())
    made = tq.quantize(model, x, verbose=False)
    for layer in (made.a, made.inner.fc, made.b):
        assert isinstance(layer, nn.quantized.Linear)
    want = model(x)
    assert np.abs(made(x) - want).max() < 0.05 * np.abs(want).max()
    ready = tq.prepare_qat(model, example_inputs=x)
    for _ in range(3):
        ready(x)
    ready.eval()
    np.testing.assert_allclose(tq.convert(ready)(x), ready(x), atol=1e-6)


def test_the_report_says_where(x):
    text = str(tq.report(tq.quantize(Net(Router()), x, verbose=False)))
    assert "test_python_nodes.py" in text


class Counts(nn.Module):
    """Changes itself in every call."""

    def __init__(self):
        super().__init__()
        self.calls, self.last = 0, None

    def forward(self, x):
        self.calls += 1
        self.last = x
        return x * self.calls


def test_state_changes_in_every_call(x):
    model = Net(Counts())
    found = graph.capture(model, (x,))
    assert model.inner.calls == 0
    assert model.inner.last is None
    assert "calls" in found.refusals[0].reason
    ready = tq.prepare(model)
    outputs = [ready(x) for _ in range(3)]
    assert ready.inner.calls == 3
    assert not np.array_equal(outputs[0], outputs[1])


class Lazy(nn.Module):
    """Makes its table at the first call."""

    def __init__(self):
        super().__init__()
        self.table = None

    def forward(self, x):
        if self.table is None:
            self.table = np.linspace(0, 1, 8, dtype=np.float32)
        return x * self.table


def test_what_is_set_up_once_is_no_change(x):
    found = graph.capture(Net(Lazy()), (x,))
    assert not found.refusals


class Random(nn.Module):
    def forward(self, x):
        return x + np.random.default_rng().standard_normal(x.shape).astype(np.float32)


def test_chance_stays_chance(x):
    model = tq.prepare(Net(Random()), example_inputs=x)
    assert not np.array_equal(model(x), model(x))
    made = tq.convert(model)
    assert not np.array_equal(made(x), made(x))
    assert "chance" in made._runner.graphs[0].refusals[0].reason


class Swallows(nn.Module):
    """Catches what it does not know."""

    def forward(self, x):
        try:
            return x * float(x.mean())
        except Exception:
            return x * 0


def test_an_except_does_not_hide_a_refusal(x):
    model = Net(Swallows())
    ready = tq.prepare(model, example_inputs=x)
    np.testing.assert_allclose(ready(x), model(x), atol=1e-6)
    assert ready._runner.graphs[0].refusals


class ToLists(nn.Module):
    """Gives back what is no array."""

    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(8, 4)

    def forward(self, x):
        h = self.fc(x)
        return {"classes": [int(i) for i in h.argmax(axis=1)], "best": float(h.max()), "of": len(x)}


def test_a_model_that_gives_back_numbers(x):
    model = ToLists()
    made = tq.quantize(model, x, verbose=False)
    assert isinstance(made.fc, nn.quantized.Linear)
    for n in (32, 3, 1):
        want, got = model(x[:n]), made(x[:n])
        assert got.keys() == want.keys()
        assert got["of"] == n
        assert type(got["best"]) is float
        assert len(got["classes"]) == n
    assert tq.prepare(model, example_inputs=x)(x) == model(x)


class Inside(nn.Module):
    """A number of Python's comes out of a module inside."""

    def __init__(self):
        super().__init__()
        self.fc, self.count = nn.Linear(8, 4), Number()

    def forward(self, x):
        return self.fc(x) * self.count(x)


class Number(nn.Module):
    def forward(self, x):
        return float(np.abs(x).mean())


def test_a_number_of_a_module_inside(x):
    model = Inside()
    ready = tq.prepare(model, example_inputs=x)
    for batch in (x, x * 2):
        np.testing.assert_allclose(ready(batch), model(batch), rtol=1e-6)
    made = tq.convert(ready)
    assert np.abs(made(x * 2) - model(x * 2)).max() < 0.1 * np.abs(model(x * 2)).max()


def test_errors_of_the_models_own_are_the_models_own(x):
    class Checks(nn.Module):
        def forward(self, x):
            if x.shape[1] != 9:
                raise KeyError("nine")
            return x

    with pytest.raises(KeyError, match="nine"):
        graph.capture(Checks(), (x,))
    with pytest.raises(KeyError, match="nine"):
        tq.quantize(Checks(), x, verbose=False)


def test_a_function_is_refused_with_file_and_line(x):
    with pytest.raises(TypeError, match=r"test_python_nodes\.py:\d+: "):
        graph.capture(lambda x: x if x.any() else x * 2, (x,))


def test_a_forward_that_makes_quantized_tensors_runs_as_python(x):
    class Own(nn.Module):
        def forward(self, x):
            return qt.quantize_per_tensor(x, 0.1, 0, qt.qint8).dequantize()

    model = Net(Own())
    made = tq.quantize(model, x, verbose=False)
    assert np.abs(made(x) - model(x)).max() < 0.1 * np.abs(model(x)).max()


class PicksByValue(nn.Module):
    def forward(self, a, b, k):
        return a if int(k) % 7 == 3 else b


class GivenBack(nn.Module):
    def __init__(self):
        super().__init__()
        self.pick, self.first, self.last = PicksByValue(), nn.Linear(4, 4), nn.Linear(4, 4)

    def forward(self, x, k):
        return self.last(self.pick(self.first(x), x, k))


def test_which_argument_python_gives_back_may_change_from_call_to_call(rng):
    model = GivenBack()
    x = rng.standard_normal((32, 4), np.float32)
    small = tq.quantize(model, [(x, np.array(k)) for k in (1, 3)], verbose=False)
    captured = graph.capture(model, (x, np.array(1)))
    for k in range(8):
        wanted = model(x, np.array(k))
        np.testing.assert_allclose(
            graph.run(captured, {"x": x, "k": np.array(k)}, model), wanted, rtol=1e-5, atol=1e-6
        )
        assert np.abs(small(x, np.array(k)) - wanted).max() < 0.1


def test_a_hook_may_give_back_its_argument_in_one_call_alone(rng):
    model = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4))
    x = rng.standard_normal((8, 4), np.float32)
    asked: list[int] = []

    def hook(module, args, output):
        asked.append(0)
        return output if float(args[0].sum()) > 0 else np.zeros_like(output)

    model[0].register_forward_hook(hook)
    small = tq.quantize_dynamic(model)
    for sign in (1, -1, 1):
        assert np.abs(small(sign * np.abs(x)) - model(sign * np.abs(x))).max() < 0.1


class MakesItsActivation(nn.Module):
    """A forward that puts a new module in the place of one that it has called."""

    def __init__(self):
        super().__init__()
        self.first, self.last, self.act = nn.Linear(5, 5), nn.Linear(5, 5), nn.ReLU()

    def forward(self, x):
        x = self.last(self.act(self.first(x)) + 5)
        self.act = nn.ReLU()
        return x


@pytest.mark.parametrize("trains", [False, True])
def test_modules_that_python_calls_stay_what_they_are(trains):
    """They were taken for parts of the layer before them, and computed nothing in the first call."""
    nn.manual_seed(0)
    model = MakesItsActivation()
    x = np.random.default_rng(0).standard_normal((8, 5), np.float32)
    want = model.eval()(x)
    ready = tq.prepare_qat(model.train()) if trains else tq.prepare(model)
    ready(x)
    int8 = tq.convert(ready.eval())
    assert np.abs(int8(x) - want).max() < 0.1
    assert np.abs(int8(x) - want).max() < 0.1
