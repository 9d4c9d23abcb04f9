"""Code of a model that does more than compute runs in every call of it; code that only computes need not."""

import copy
import types

import numpy as np
import pytest
from evaluation import by_forward, near
from quantray import nn
from quantray.graph import _purity as purity

pytestmark = pytest.mark.usefixtures("small_models_too")


def first(output):
    return output[0] if isinstance(output, tuple) else output


SEEN, FACTOR, STORE = [], 1.0, {"scale": 1.0}


class Impure(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer, self.count, self.kept, self.rng = nn.Linear(8, 4), 0, [], np.random.default_rng(0)


class Prints(Impure):
    def forward(self, x):
        print("called")
        return self.layer(x)


class Counts(Impure):
    def forward(self, x):
        self.count += 1
        return self.layer(x) + self.count


class Keeps(Impure):
    def forward(self, x):
        self.kept.append(x.shape)
        return self.layer(x) + len(self.kept)


class Appends(Impure):
    def forward(self, x):
        SEEN.append(1)
        return self.layer(x) + len(SEEN)


class Draws(Impure):
    def forward(self, x):
        return self.layer(x) + self.rng.random()


class DrawsGlobally(Impure):
    def forward(self, x):
        return self.layer(x) + np.random.rand()  # noqa: NPY002


class ReadsATable(Impure):
    def forward(self, x):
        return self.layer(x) * STORE["scale"]


class WritesItsInput(Impure):
    def forward(self, x):
        x *= 2
        return self.layer(x)


class GivesBackItsInput(Impure):
    def forward(self, x):
        return self.layer(x), x


class Rounds(Impure):
    def forward(self, x):
        with np.errstate(all="ignore"):
            return self.layer(x) / 0


class WritesItsWeight(Impure):
    def forward(self, x):
        self.layer.weight[0] += 1
        return self.layer(x)


IMPURE = [Prints, Counts, Keeps, Appends, Draws, DrawsGlobally, ReadsATable, WritesItsInput]
IMPURE += [GivesBackItsInput, Rounds, WritesItsWeight]


@pytest.mark.parametrize("kind", IMPURE, ids=lambda kind: kind.__name__)
def test_code_that_does_more_than_compute_runs_in_every_call(kind, x, capsys):
    SEEN.clear()
    STORE["scale"] = 1.0
    nn.manual_seed(0)
    model = kind().eval()
    other = copy.deepcopy(model)
    given, same = x.copy(), x.copy()
    for i in range(4):
        STORE["scale"] = 1.0 + i
        np.random.seed(i)  # noqa: NPY002
        seen, before = len(SEEN), capsys.readouterr().out
        got = model(given)
        out = capsys.readouterr().out
        del SEEN[seen:]
        np.random.seed(i)  # noqa: NPY002
        want = by_forward(other, same)
        assert out == capsys.readouterr().out, before
        near(first(got), first(want))
        np.testing.assert_array_equal(given, same)
        if kind is GivesBackItsInput:
            assert got[1] is given


def test_what_is_refused_is_said_in_plain_words():
    for kind, reason in [(Prints, "print"), (Counts, "STORE_ATTR"), (ReadsATable, "STORE"), (Keeps, "kept")]:
        with pytest.raises(purity.Impure, match=reason):
            purity.code_of(kind())


def test_code_that_changes(x):
    class Scaled(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer, self.by = nn.Linear(8, 4), 2.0

        def forward(self, x):
            return self.layer(x) * FACTOR * self.by

    model = Scaled().eval()
    for _ in range(2):
        near(model(x), by_forward(model, x))
    assert model.__dict__["_evaluation"].graphs
    try:
        globals()["FACTOR"] = 3.0
        near(model(x), by_forward(model, x))
    finally:
        globals()["FACTOR"] = 1.0
    model.by = 5.0
    near(model(x), by_forward(model, x))

    def forward(self, x):
        return self.layer(x) - 1

    # As IPython's autoreload does it.
    old = Scaled.forward.__code__
    Scaled.forward.__code__ = (lambda self, x: self.layer(x) - 1).__code__
    near(model(x), by_forward(model, x))
    Scaled.forward.__code__ = old
    Scaled.forward = forward
    near(model(x), by_forward(model, x))
    model.layer = nn.Linear(8, 2).eval()
    near(model(x), by_forward(model, x))


def test_code_for_gradients_only_computes(x):
    anp = pytest.importorskip("autograd.numpy")
    model = types.new_class("Squared", (nn.Module,))()
    model.layer = nn.Linear(8, 4)

    def forward(self, x):
        return anp.square(self.layer(x))

    type(model).forward = forward
    model.eval()
    near(model(x), by_forward(model, x))
    assert model.__dict__["_evaluation"].graphs
