"""What a graph takes for granted is checked; lengths stay free; where it does not hold another graph is
captured.
"""

import numpy as np
import pytest
from programs import Program, captured
from quantray import graph, nn
from quantray import quantization as tq


def rows(rng, n, d=6):
    return rng.standard_normal((n, d)).astype(np.float32)


class Watched(Program):
    """Counts how often its forward has run."""

    calls = 0

    def forward(self, *args, **kwargs):
        type(self).calls += 1
        return super().forward(*args, **kwargs)


def prepared(function):
    return tq.prepare(Program(function))


def test_lengths_are_named(rng):
    found = graph.capture(lambda x, y: x.reshape(x.shape[0] * 2, 3) @ y.T, (rows(rng, 4), rows(rng, 4, 3)))
    shapes = [node.facts[0].shape for node in found]
    assert shapes[0] == ("n", 6)
    assert ("2*n", 3) in shapes
    assert shapes[-1] == ("2*n", "n")


@pytest.mark.parametrize(
    "forward",
    [
        lambda x: x.reshape(x.shape[0], -1),
        lambda x: x.reshape(len(x), 2, 3),
        lambda x: x.reshape((x.shape[0], x.shape[1] // 2, 2)),
        lambda x: x / x.shape[0],
        lambda x: x[: x.shape[0] // 2],
        lambda x: x[:, : x.shape[1] // 2],
        lambda x: np.zeros((x.shape[0], 2), np.float32) + x[:, :2],
        lambda x: np.ones(x.shape, x.dtype) * x,
        lambda x: np.concatenate([np.zeros((len(x), 1), np.float32), x], axis=1),
        lambda x: x.sum() / x.size,
        lambda x: x.reshape(np.prod(x.shape)),
        lambda x: np.broadcast_to(x[:1], x.shape),
        lambda x: x.reshape(-1, int(x.shape[1] / 2)),
        lambda x: x * (x.shape[0] * 2 + 1) % 7,
        lambda x: np.repeat(x, x.shape[1], axis=0),
        lambda x: np.full((x.shape[0], 3), -np.inf, np.float32),
        lambda x: x[np.arange(len(x)), np.argmax(x, axis=1)],
    ],
)
def test_numbers_of_rows_are_free(rng, forward):
    captured(forward, rows(rng, 4), sizes=[(rows(rng, n),) for n in (1, 2, 3, 9)])


@pytest.mark.parametrize(
    "forward",
    [
        lambda x: x * 2 if len(x) > 3 else x,
        lambda x: x * 2 if x.shape[0] > 3 else x,
        lambda x: x[1:] if x.shape[0] % 2 else x,
        lambda x: np.stack([row * i for i, row in enumerate(x)]),
        lambda x: x * np.linspace(0, 1, x.shape[0], dtype=np.float32)[:, None],
        lambda x: x * np.hanning(len(x)).astype(np.float32)[:, None],
        lambda x: sum(x[i] for i in range(len(x))),
        lambda x: {1: x, 2: x * 2}.get(x.shape[0], x * 3),
        lambda x: x * max(x.shape[0], 3),
        lambda x: x * float(x.shape[0]),
        lambda x: x + [5, 6, 7, 8, 9, 10][len(x) - 1],
    ],
)
def test_what_is_decided_by_rows_is_right_for_each_number_of_them(rng, forward):
    captured(forward, rows(rng, 4), sizes=[(rows(rng, n),) for n in (1, 2, 3, 5)], free=False)
    model = tq.prepare(Program(forward))
    for n in (4, 1, 5, 2, 3, 4, 1, 6):
        x = rows(rng, n)
        np.testing.assert_array_equal(model(x), forward(x))
    # Nothing is captured again for what was captured before.
    count = len(model._runner.graphs)
    for n in (1, 2, 3, 4, 5, 6):
        model(rows(rng, n))
    assert len(model._runner.graphs) == count


def test_lengths_of_sequences_are_free_where_positions_are_made_of_them(rng):
    table = rng.standard_normal((32, 6)).astype(np.float32)

    class Positions(nn.Module):
        def __init__(self):
            super().__init__()
            self.positions, self.words = nn.Embedding(32, 6), nn.Embedding(20, 6)
            self.positions.weight = table

        def forward(self, ids):
            h = self.words(ids) + self.positions(np.arange(ids.shape[1]))
            scores = h @ h.swapaxes(-1, -2)
            scores = np.where(np.tri(ids.shape[1], dtype=bool), scores, -np.inf)
            return np.exp(scores - scores.max(-1, keepdims=True)) @ h

    sizes = [(rng.integers(0, 20, (n, length)),) for n in (1, 3) for length in (1, 5, 9, 32)]
    captured(Positions(), rng.integers(0, 20, (4, 7)), sizes=sizes)


def test_a_decision_on_integers_is_a_guard(rng):
    def forward(x, mask):
        return x if mask.all() else np.where(mask[:, None], x, 0)

    model = prepared(forward)
    every, some = np.ones(5, bool), np.array([True, False, True, True, False])
    for _ in range(2):
        for mask in (every, some, ~every):
            x = rows(rng, 5)
            np.testing.assert_array_equal(model(x, mask), forward(x, mask))
    assert len(model._runner.graphs) == 2
    assert all("test_guards.py" in str(g.guards[0].at) for g in model._runner.graphs)


def test_dtypes_axes_and_plain_values_choose_graphs(rng):
    def forward(x, times=1):
        return x * times + (1 if x.ndim == 2 else 2)

    model = prepared(forward)
    ids = rng.integers(0, 5, (3, 6))
    for args in (
        (rows(rng, 3),),
        (ids,),
        (ids[0],),
        (rows(rng, 3), 2),
        (rows(rng, 3), 2.0),
        (rows(rng, 3), True),
    ):
        want = forward(*args)
        for _ in range(2):
            np.testing.assert_array_equal(model(*args), want)
    assert len(model._runner.graphs) == 6


def test_changed_settings_capture_again(rng):
    class Scaled(nn.Module):
        def __init__(self):
            super().__init__()
            self.fc, self.factor = nn.Linear(6, 6), 2.0

        def forward(self, x):
            return self.fc(x) * self.factor

    model, x = Scaled(), rows(rng, 4)
    ready = tq.prepare(model, example_inputs=x)
    first = ready(x)
    ready.factor = 4.0
    np.testing.assert_allclose(ready(x), first * 2, rtol=1e-6)
    ready.fc = nn.Identity()
    np.testing.assert_array_equal(ready(x), x * 4)


def test_forward_does_not_run_again(rng):
    Watched.calls = 0
    model = tq.prepare(Watched(lambda x: x * 2), example_inputs=rows(rng, 4))
    after = Watched.calls
    for n in (4, 2, 9):
        model(rows(rng, n))
    assert Watched.calls == after <= 3


def test_decisions_by_lengths_of_inner_wires_choose_graphs(rng):
    """One step is done otherwise than several: two graphs, which are asked of the inputs, and stay."""

    class Steps(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.Linear(4, 4)

        def forward(self, x):
            h = np.swapaxes(self.layer(x), 1, 2)
            return h[..., 0] if h.shape[2] == 1 else h[..., 1:].mean(axis=2)

    model = Steps().eval()
    many, one = rng.standard_normal((2, 6, 4), np.float32), rng.standard_normal((2, 1, 4), np.float32)
    plain = model.copy()
    small = tq.quantize(model, [many, one], verbose=False)
    for steps in (6, 1, 3, 1, 9):
        x = rng.standard_normal((2, steps, 4), np.float32)
        h = np.swapaxes(plain.layer(x), 1, 2)
        want = h[..., 0] if steps == 1 else h[..., 1:].mean(axis=2)
        np.testing.assert_allclose(small(x), want, atol=0.5)
        # Node by node the first time, by the program the second.
        np.testing.assert_array_equal(small(x), small(x))
    assert len(small._runner.graphs) == 2
