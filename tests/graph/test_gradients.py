"""Gradients through graphs: each function's beside differences of the function itself, in float64."""

import numpy as np
import pytest
import test_numpy_functions as calls
from quantray import nn
from quantray import quantization as tq
from quantray.graph._graph import leaves

#: What the graph knows no gradient of, and says so.
WITHOUT = [
    "modf",
    "frexp",
    "divmod",
    "ldexp",
    "quantile",
    "percentile",
    "svdvals",
    "qr",
    "interp",
    "polyval",
    "convolve",
    "correlate",
    "apply_along_axis",
    "reduceat",
    "spacing",
    "cov",
    "corrcoef",
    "unique",
    "trapezoid",
    "nextafter",
    "heaviside",
    "median",
    "nanstd",
    "nanvar",
    "exprel",
    "entr",
    "i0",
    "i0e",
]
#: What float64 does other work for, and what has jumps, or is written into by nothing, or is singular.
NOT_HERE = (
    ".nbytes",
    ".itemsize",
    "astype str",
    "dtype chk",
    "slogdet",
    "where= noout",
    "divmod op",
    "triu ones",
)

pytestmark = pytest.mark.filterwarnings("ignore")


def _programs():
    found = {name: call for name, call in calls.FREE.items() if name not in NOT_HERE}

    def of(name, shift=0.0, scale=1.0, **kwargs):
        return lambda x, y: getattr(np, name)(x * scale + shift, **kwargs)

    for name in calls.UNARY:
        inner = (1.0, 1.0) if name == "arccosh" else (0.0, 0.5) if name.startswith("arc") else (0.0, 1.0)
        found[f"np.{name}"] = of(name, *inner)
    for name in calls.BINARY:
        found[f"np.{name}"] = lambda x, y, name=name: getattr(np, name)(x, y)
    for name in calls.REDUCTIONS:
        found[f"np.{name} of all"] = of(name)
        found[f"np.{name} of rows"] = of(name, axis=1)
    for name in calls.METHODS:
        found[f".{name}"] = lambda x, y, name=name: getattr(x, name)(axis=1)
    return found


PROGRAMS = _programs()


class Function(nn.Module):
    """A function of two parameters."""

    def __init__(self, function, rng):
        super().__init__()
        self.function = function
        self.v, self.w = (nn.Parameter(rng.uniform(0.3, 1.7, (4, 6))) for _ in range(2))

    def forward(self, ones):
        return self.function(self.v * ones, self.w * ones)


def floats(tree):
    return [leaf for leaf in leaves(tree) if hasattr(leaf, "dtype") and leaf.dtype.kind == "f"]


def hold(function, rng):
    """Gradients by a graph of floats, beside central differences."""
    model = Function(function, rng)
    outputs = floats(function(model.v.copy(), model.w.copy()))
    if not outputs:
        return
    weights = [rng.standard_normal(np.shape(each)) for each in outputs]
    ready = tq.prepare_qat(model, tq.QConfigMapping().set_global(None))

    def loss(model, ones):
        pairs = zip(floats(model(ones)), weights, strict=True)
        return sum((each * weight.astype(np.float32)).sum() for each, weight in pairs)

    ones = np.ones((4, 6), np.float32)
    _, grads = nn.value_and_grad(ready, loss)(ready, ones)
    start = {"v": model.v.astype(np.float64), "w": model.w.astype(np.float64)}

    def plain(arrays):
        made = floats(function(arrays["v"].copy(), arrays["w"].copy()))
        return sum((each * weight).sum() for each, weight in zip(made, weights, strict=True))

    for name, grad in grads.items():
        assert grad.dtype == np.float32
        for place in [(0, 0), (1, 3), (3, 5), (2, 2)]:
            ends = []
            for step in (1e-5, -1e-5):
                moved = {key: array.copy() for key, array in start.items()}
                moved[name][place] += step
                ends.append(plain(moved))
            want = (ends[0] - ends[1]) / 2e-5
            assert grad[place] == pytest.approx(want, rel=3e-3, abs=3e-3), (name, place)


@pytest.mark.parametrize("name", PROGRAMS)
def test_gradient(rng, name):
    known = name.removeprefix("np.").partition(" of ")[0]
    if known in WITHOUT:
        with pytest.raises(TypeError, match="has no gradient"):
            hold(PROGRAMS[name], rng)
    else:
        hold(PROGRAMS[name], rng)


@pytest.mark.parametrize("name", calls.SPECIAL)
def test_gradient_of_scipys(rng, name):
    special = pytest.importorskip("scipy.special")

    def function(x, y):
        return getattr(special, name)(x * 0.5)

    if name in WITHOUT:
        with pytest.raises(TypeError, match="has no gradient"):
            hold(function, rng)
    else:
        hold(function, rng)
