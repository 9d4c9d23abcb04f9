"""A float model that evaluates runs by a program, and nobody can tell: what its forward would do, it does."""

import contextlib
import copy
import pickle
import subprocess
import sys
import threading

import numpy as np
import pytest
import quantray as qt
from evaluation import by_forward, mlp, near
from quantray import nn
from quantray.nn import functional as F

pytestmark = pytest.mark.usefixtures("small_models_too")


class Calls:
    """Counts the calls of `forward` of linear layers and filters, as a profiler sees them."""

    def __init__(self):
        self.count = 0
        self._codes = {kind.forward.__code__ for kind in (nn.Linear, nn.Conv2d)}

    def _look(self, frame, event, arg):
        self.count += event == "call" and frame.f_code in self._codes

    def __enter__(self):
        sys.setprofile(self._look)
        return self

    def __exit__(self, *error):
        sys.setprofile(None)


class Block(nn.Module):
    def __init__(self, width=8, scale=0.5):
        super().__init__()
        self.one, self.two = nn.Conv2d(width, width, 3, padding=1), nn.Conv2d(width, width, 1)
        self.norm, self.scale, self.names = nn.BatchNorm2d(width), scale, ("one", "two")

    def helper(self, x):
        return F.relu(self.norm(self.one(x)))

    def forward(self, x):
        out = self.helper(x)
        out += x
        return (self.two(out) * self.scale).mean(axis=(2, 3))


class Encoder(nn.Module):
    def __init__(self):
        super().__init__()
        layer = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)
        self.encoder, self.out = nn.TransformerEncoder(layer, 2), nn.Linear(8, 3)

    def forward(self, x, mask=None):
        padding = None if mask is None or mask.all() else mask == 0
        return self.out(self.encoder(x, None, padding))


MODELS = {
    "perceptron": (mlp, [(5, 8)]),
    "convolutions": (Block, [(2, 8, 6, 6)]),
    "encoder": (Encoder, [(2, 5, 8)]),
    "lstm": (lambda: nn.LSTM(8, 6), [(4, 2, 8)]),
    "one layer": (lambda: nn.Linear(8, 2), [(3, 8)]),
}


@pytest.mark.parametrize("name", MODELS)
def test_a_model_runs_by_a_program(name, rng):
    nn.manual_seed(0)
    make, shapes = MODELS[name]
    model = make().eval()
    args = [rng.standard_normal(shape, np.float32) for shape in shapes]
    want = by_forward(model, *args)
    first = model(*args)
    with Calls() as calls:
        again = model(*args)
    assert not calls.count
    with Calls() as calls:
        by_forward(model, *args)
    assert calls.count or name == "lstm"
    for got, same, wanted in zip(*map(_flat, (first, again, want)), strict=True):
        near(got, wanted)
        np.testing.assert_array_equal(got, same)


def _flat(tree):
    return [a for each in tree for a in _flat(each)] if isinstance(tree, tuple) else [tree]


def test_other_sizes_dtypes_and_arguments(rng):
    model = Encoder().eval()
    for shape in [(2, 5, 8), (3, 7, 8), (1, 1, 8)]:
        x = rng.standard_normal(shape, np.float32)
        mask = np.ones(shape[:2], np.int64)
        near(model(x), by_forward(model, x))
        near(model(x, mask), by_forward(model, x, mask))
        near(model(x, mask=mask), by_forward(model, x, mask=mask))
        mask[0, -1:] = 0
        if shape[1] > 1:
            near(model(x, mask), by_forward(model, x, mask))
    given = [x.astype(np.float64), x.tolist(), x.astype(np.float16)]
    for other in given:
        got, want = model(other), by_forward(model, other)
        assert got.dtype == want.dtype
        near(got, want)
    with Calls() as calls:
        model(x.astype(np.float64))
    assert not calls.count


# Who looks on


def test_hooks(x):
    model, seen = mlp(), []
    want = model(x)
    handle = model[1].register_forward_hook(lambda module, args, output: seen.append(output.copy()))
    near(model(x), want)
    model(x)
    assert len(seen) == 2
    handle.remove()
    near(model(x), want)
    assert len(seen) == 2
    handle = model.register_forward_hook(lambda module, args, output: output * 2)
    near(model(x), 2 * want)
    handle.remove()
    handle = model[0].register_forward_pre_hook(lambda module, args: (args[0] * 0,))
    near(model(x), by_forward(model, x))
    handle.remove()
    near(model(x), want)


def test_modules_in_training(x, rng):
    model = nn.Sequential(nn.Linear(8, 8), nn.Dropout(0.5), nn.BatchNorm1d(8)).eval()
    want = model(x)
    model[1].train()
    nn.manual_seed(1)
    got = model(x)
    nn.manual_seed(1)
    near(got, by_forward(model, x))
    assert np.abs(got - want).max() > 0.01
    model.eval()
    np.testing.assert_array_equal(model(x), want)
    before = model[2].running_mean.copy()
    model.train()(x)
    assert np.abs(model[2].running_mean - before).max() > 0
    near(model.eval()(x), by_forward(model, x))


def test_modules_that_are_added(x):
    model = nn.Sequential(nn.ReLU()).eval()
    model(x)
    model.append(nn.Linear(8, 3).eval())
    assert model(x).shape == (5, 3)
    near(model(x), by_forward(model, x))
    model.append(nn.Linear(3, 2).eval())
    near(model(x), by_forward(model, x))


def test_gradients(x):
    pytest.importorskip("autograd")
    model = mlp()
    model(x)
    loss = lambda model, x: (model(x) ** 2).mean()  # noqa: E731
    value, grads = nn.value_and_grad(model, loss)(model, x)
    trained, wanted = nn.value_and_grad(model.train(), loss)(model, x)
    near(value, trained)
    for name in wanted:
        near(grads[name], wanted[name])
    near(model.eval()(x), by_forward(model, x))


def test_a_debugger_sees_forward(x):
    model, lines = Block().eval(), []
    image = np.ones((1, 8, 4, 4), np.float32)
    want = model(image)

    def look(frame, event, arg):
        if frame.f_code is Block.forward.__code__:
            lines.append(event)
        return look

    before = sys.gettrace()
    sys.settrace(look)
    try:
        near(model(image), want)
    finally:
        sys.settrace(before)
    assert "call" in lines


def test_a_forward_that_is_put_in_its_place(x, monkeypatch):
    model, seen = mlp(), []
    want, before = model(x), nn.Linear.forward
    model.forward = lambda x: 2 * want
    near(model(x), 2 * want)
    del model.forward
    near(model(x), want)
    monkeypatch.setattr(nn.Linear, "forward", lambda self, x: seen.append(1) or before(self, x))
    near(model(x), want)
    near(mlp()(x), want)
    assert len(seen) == 4


def test_numpy_that_is_to_raise_does(x):
    class Divides(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.Linear(8, 4)

        def forward(self, x):
            return np.log(self.layer(x) * 0 - 1)

    model = Divides().eval()
    with np.errstate(all="ignore"):
        assert np.isnan(model(x)).all()
    with np.errstate(all="raise"), pytest.raises(FloatingPointError):
        model(x)


def test_a_model_that_decides_by_numbers_gives_up(x):
    class Halves(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.Linear(8, 8)

        def forward(self, x):
            while np.abs(x).max() > 1:
                x = x / 2
            return self.layer(x)

    model = Halves().eval()
    for i in range(20):
        near(model(x * 2.0**i), by_forward(model, x * np.float32(2.0**i)))
    assert len(model.__dict__["_evaluation"].graphs) < 20


def test_errors_are_those_of_forward(x):
    model = mlp()
    model(x)
    for args in [(x[:, :3],), (x, x), (), ("text",), (x.astype(complex),)]:
        with pytest.raises((ValueError, TypeError)) as ours:
            model(*args)
        with pytest.raises(type(ours.value)) as theirs:
            by_forward(model, *args)
        assert str(ours.value) == str(theirs.value)
    near(model(x), by_forward(model, x))


def test_copies_are_models_of_their_own(x):
    model = mlp()
    want = model(x)
    for other in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        near(other(x), want)
        other[0].weight[:] = 0
        near(other(x), by_forward(other, x))
        near(model(x), want)
    shallow = copy.copy(model)
    shallow.extra = nn.Linear(4, 4)
    with contextlib.suppress(ValueError, TypeError):
        shallow(x)
    near(model(x), by_forward(model, x))


def test_threads(x):
    model, failed = mlp(), []
    want = by_forward(model, x)

    def work(i):
        try:
            for n in (5, 2, 4):
                near(model(x[:n]), want[:n])
        except BaseException as error:
            failed.append(error)

    threads = [threading.Thread(target=work, args=(i,)) for i in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failed


def test_a_loop_over_steps_makes_few_graphs(rng):
    class Loop(nn.Module):
        def __init__(self):
            super().__init__()
            self.cell = nn.Linear(4, 4)

        def forward(self, x):
            h = x[0]
            for i in range(1, len(x)):
                h = F.tanh(self.cell(h)) + x[i]
            return h

    model = Loop().eval()
    for n in range(2, 16):
        x = rng.standard_normal((n, 2, 4), np.float32)
        near(model(x), by_forward(model, x))
    assert len(model.__dict__["_evaluation"].graphs) < 12


def test_quantized_models_are_not_touched(x):
    model = mlp()
    model(x)
    small = qt.quantization.quantize_dynamic(model)
    got = small(x)
    near(got, by_forward(model, x), atol=0.1)
    np.testing.assert_array_equal(got, small(x))


SMALL = """
import sys, numpy as np
from quantray import nn
nn.Sequential(nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 2)).eval()(np.ones((1, 8), np.float32))
nn.Conv2d(3, 4, 3).eval()(np.ones((1, 3, 9, 9), np.float32))
assert "quantray.quantization" not in sys.modules
model = nn.Conv2d(3, 4, 3).eval()
model(np.ones((1, 3, 300, 300), np.float32))
model(np.ones((1, 3, 9, 9), np.float32))
assert "quantray.quantization" in sys.modules
"""


def test_small_models_run_by_their_forward():
    subprocess.run([sys.executable, "-c", SMALL], check=True)
