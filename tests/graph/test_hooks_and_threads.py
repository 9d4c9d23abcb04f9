"""Hooks that look are called, hooks that change are part of the graph; captures on two threads do not meet."""

import subprocess
import sys
import threading

import numpy as np
import pytest
from quantray import graph, nn
from quantray import quantization as tq


@pytest.fixture
def x(rng):
    nn.manual_seed(0)
    return rng.standard_normal((16, 8)).astype(np.float32)


def net():
    return nn.Sequential(nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 4))


def test_a_hook_that_looks_is_a_tap(x):
    model, seen = net(), []
    model[1].register_forward_hook(lambda module, args, output: seen.append((args[0].copy(), output.copy())))
    found = graph.capture(model, (x,))
    assert [node.value for node in found if node.kind == "tap"] == [("1", "post", 0)]
    assert not seen, "hooks are called when a graph runs, and not with examples"
    graph.run(found, {"input": x}, model)
    ((before, after),) = seen
    np.testing.assert_array_equal(np.maximum(before, 0), after)


def _in_place(module, args, output):
    output *= 2


HOOKS = {"returns": lambda module, args, output: output * 2, "in place": _in_place}


@pytest.mark.parametrize("name", HOOKS)
@pytest.mark.parametrize("prepare", [tq.prepare, tq.prepare_qat])
def test_a_hook_that_changes_what_it_is_given(x, name, prepare):
    model = net()
    model[1].register_forward_hook(HOOKS[name])
    want = model(x)
    ready = prepare(model, example_inputs=x)
    for _ in range(2):
        got = ready(x)
    np.testing.assert_allclose(got, want, atol=0.06 * np.abs(want).max())
    made = tq.convert(ready.eval())
    np.testing.assert_allclose(made(x), want, atol=0.06 * np.abs(want).max())
    np.testing.assert_array_equal(made(x), made(x))


def test_hooks_come_and_go(x):
    ready = tq.prepare(net(), example_inputs=x)
    want = ready(x)
    handle = ready[2].register_forward_hook(lambda module, args, output: output + 1)
    np.testing.assert_allclose(ready(x), want + 1, rtol=1e-6)
    handle.remove()
    np.testing.assert_array_equal(ready(x), want)
    made = tq.convert(ready)
    plain, seen = made(x), []
    handle = made[2].register_forward_hook(lambda module, args, output: seen.append(output.shape))
    np.testing.assert_array_equal(made(x), plain)
    assert seen == [(16, 4)]
    handle.remove()
    made(x)
    assert len(seen) == 1


class Slow(nn.Module):
    """Steps aside, so that others run in the middle of its capture."""

    def __init__(self, barrier, width):
        super().__init__()
        self.fc, self.barrier = nn.Linear(width, width), barrier

    def forward(self, x):
        self.barrier.wait(5)
        h = self.fc(x) + x.shape[1]
        h *= 2
        self.barrier.wait(5)
        return h


def test_two_threads_capture_at_once(rng):
    # Both captures, and the calls of the models themselves, take the same number of steps.
    barrier = threading.Barrier(2)
    found, errors = {}, []

    def work(width):
        try:
            model = Slow(barrier, width)
            x = rng.standard_normal((2, width)).astype(np.float32)
            found[width] = graph.capture(model, (x,)), model, x
        except Exception as error:
            errors.append(error)
            barrier.abort()

    threads = [threading.Thread(target=work, args=(width,)) for width in (3, 5)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert not errors
    for width, (made, model, x) in found.items():
        assert not made.refusals
        assert made["fc"].facts[0].shape == ("n", width)
        want = (model.fc(x) + width) * 2
        np.testing.assert_array_equal(graph.run(made, {"x": x}, model), want)


def test_many_threads_call_one_model(rng, x):
    ready = tq.prepare(net())
    batches = [rng.standard_normal((n, 8)).astype(np.float32) for n in (1, 2, 5, 16) * 5]
    want = [ready.copy()(batch) for batch in batches]
    made = None

    def run(model, batch, out, i):
        out[i] = model(batch)

    for _ in range(2):
        got = [None] * len(batches)
        model = ready if made is None else made
        threads = [
            threading.Thread(target=run, args=(model, batch, got, i)) for i, batch in enumerate(batches)
        ]
        for each in threads:
            each.start()
        for each in threads:
            each.join()
        for a, b in zip(got, want, strict=True):
            np.testing.assert_array_equal(a, b)
        if made is None:
            made = tq.convert(ready)
            want = [made(batch) for batch in batches]


def test_a_capture_leaves_other_threads_alone(rng, x):
    """While one thread captures, layers on another one compute as ever."""
    inside, go_on = threading.Event(), threading.Event()

    class Waits(nn.Module):
        def forward(self, x):
            inside.set()
            go_on.wait(5)
            return x * 2

    other, result = net(), []
    want = other(x)
    thread = threading.Thread(target=lambda: result.append(graph.capture(Waits(), (x,))))
    thread.start()
    assert inside.wait(5)
    got = other(x)
    go_on.set()
    thread.join()
    assert type(got) is np.ndarray
    np.testing.assert_array_equal(got, want)
    assert len(result[0]) == 2


def test_nn_imports_neither_graphs_nor_quantization():
    code = (
        "import sys, quantray.nn; "
        "print([m for m in sys.modules if m.startswith(('quantray.graph', 'quantray.quantization'))])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_what_a_forward_kept_is_not_used_later(x):
    kept = []

    class Keeps(nn.Module):
        def forward(self, x):
            kept.append(x * 2)
            return x

    graph.capture(Keeps(), (x,))
    with pytest.raises(TypeError, match="earlier call"):
        kept[0] + 1
