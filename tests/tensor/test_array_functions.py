"""Torch's functions of tensors, given arrays of floats: torch's values, in models and for gradients, too."""

import json
from pathlib import Path

import numpy as np
import pytest
import quantray as qt
from quantray import nn
from quantray import quantization as tq

REFERENCE = Path(__file__).resolve().parents[1] / "reference"
CASES = json.loads((REFERENCE / "array_functions.json").read_text())


def arrays():
    rng = np.random.default_rng(0)
    x = np.round(2 * rng.standard_normal((4, 6))).astype(np.float32) / 2
    y = rng.standard_normal((2, 1, 4)).astype(np.float32)
    v = rng.standard_normal(6).astype(np.float32)
    return {"x": x, "y": y, "v": v, "m": x > 0, "i": np.array([0, 3, 3])}


def leaves(value):
    if isinstance(value, tuple | list):
        return [leaf for each in value for leaf in leaves(each)]
    return [np.asarray(value)]


@pytest.mark.parametrize("case", CASES)
def test_arrays_give_torchs_arrays(case):
    name, _, rest = case.partition("(")
    got = leaves(eval(f"f({rest}", {"f": getattr(qt, name), **arrays()}))
    assert len(got) == len(CASES[case])
    for a, (dtype, shape, elements) in zip(got, CASES[case], strict=True):
        assert (str(a.dtype), list(a.shape)) == (dtype, shape)
        np.testing.assert_allclose(a.ravel(), elements, rtol=1e-6, atol=1e-7)


def test_every_function_of_arrays_is_among_the_cases():
    from quantray._array_functions import ARRAY_FUNCTIONS

    tried = {ARRAY_FUNCTIONS.get(case.partition("(")[0]) for case in CASES}
    left = {name for name, function in ARRAY_FUNCTIONS.items() if function not in tried}
    assert left <= {"conj", "is_conj", "is_neg", "index_put_", "masked_fill_", "slice"}


def test_numpys_words_and_other_arrays_are_taken():
    x = np.float32([[1, 5], [7, 3]])
    assert qt.mean(x, axis=1, keepdims=True).tolist() == [[3.0], [5.0]]
    assert qt.max([[1, 5], [7, 3]], 1).values.tolist() == [5, 7]
    assert qt.std(x, correction=0) == np.std(x)


def test_views_are_views_and_copies_are_not():
    x = np.zeros((2, 3), np.float32)
    for view in (qt.transpose(x, 0, 1), qt.flatten(x), qt.narrow(x, 1, 0, 2), *qt.chunk(x, 2), qt.detach(x)):
        assert np.shares_memory(view, x)
    for copy in (qt.clone(x), qt.t_copy(x), qt.alias_copy(x), qt.fill(x, 1.0), qt.cat([x])):
        assert not np.shares_memory(copy, x)
    assert qt.fill_(x, 2.0) is x
    assert x.max() == 2


X = np.arange(6, dtype=np.float32).reshape(2, 3)
WRONG = {
    "codes alone": (lambda: qt.int_repr(X), TypeError, "must be a QTensor, got ndarray"),
    "no numbers": (lambda: qt.mean("three"), TypeError, "array of numbers, got str"),
    "axis": (lambda: qt.flatten(X, 5), IndexError, "dim must be in -2 to 1 for 2 dimensions, got 5"),
    "order of axes": (lambda: qt.flatten(X, 1, 0), ValueError, "must not come after end_dim, got 1 and 0"),
    "k": (lambda: qt.topk(X, 4), ValueError, "k must be from 0 to the length of the axis, 3, got 4"),
    "several axes of max": (lambda: qt.max(X, (0, 1)), TypeError, "must be one axis, got .*numpy.max"),
    "chunks": (lambda: qt.chunk(X, 0), ValueError, "chunks must be at least 1, got 0"),
    "sections": (lambda: qt.split(X, [1, 1], 1), ValueError, r"add up to 3, .* got \[1, 1\]"),
    "size": (lambda: qt.split(X, 0), ValueError, "at least 1, got 0"),
    "narrow": (lambda: qt.narrow(X, 1, 2, 5), ValueError, "must lie in 0 to 3"),
    "t": (lambda: qt.t(X[None]), ValueError, "at most 2 axes"),
    "mixed": (lambda: qt.cat([X, qt.quantize_per_tensor(X, 0.1, 0, qt.qint8)]), TypeError, "QTensor"),
    "a grid for floats": (lambda: qt.add(X, X, 0.1, 0), TypeError, "got ndarray and ndarray"),
    "none": (lambda: qt.cat([]), ValueError, "at least one QTensor"),
}


@pytest.mark.parametrize("what", WRONG)
def test_what_is_wrong_is_said(what):
    call, kind, says = WRONG[what]
    with pytest.raises(kind, match=says):
        call()


class Ported(nn.Module):
    """A model as it is written for torch."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(1, 4, 3)
        self.head = nn.Linear(8 * 36, 3)

    def forward(self, x):
        a = qt.relu(self.conv(x))
        first, second = qt.chunk(a, 2, 1)
        y = qt.cat([second, first, qt.clamp(qt.mul(a, 0.5), 0.0, 1.0)], dim=1)
        y = qt.flatten(qt.transpose(y, 2, 3), 1)
        return self.head(qt.sub(y, qt.mean(y, 1, keepdim=True)))


@pytest.fixture
def model():
    nn.manual_seed(0)
    return Ported()


@pytest.fixture
def images():
    return np.random.default_rng(0).random((16, 1, 8, 8), np.float32)


def test_a_ported_model_has_gradients(model, images):
    pytest.importorskip("autograd")

    def loss(m, x):
        return (m(x) ** 2).mean()

    _, grads = nn.value_and_grad(model, loss)(model, images)
    weight = model.conv.weight
    for place in [(0, 0, 0, 0), (2, 0, 1, 2)]:
        step = np.zeros_like(weight)
        step[place] = 1e-2
        sides = []
        for sign in (1, -1):
            model.conv.weight = weight + sign * step
            sides.append(float(loss(model, images)))
        model.conv.weight = weight
        assert grads["conv.weight"][place] == pytest.approx((sides[0] - sides[1]) / 2e-2, rel=0.05, abs=1e-5)


def test_a_ported_model_is_captured_and_quantized(model, images):
    model.eval()
    int8 = tq.quantize(model, images, verbose=False)
    assert np.abs(int8(images) - model(images)).max() < 0.03
    kinds = {node.name: node.kind for node in int8.graph}
    assert kinds["conv"].startswith("int.")
    np.testing.assert_allclose(int8(images[:3]), int8(images)[:3], atol=1e-6)


def test_a_ported_model_in_floats_is_one_program(model, images):
    model.eval()
    images = np.tile(images, (80, 1, 1, 1))  # below that many elements, no program is made
    want = model.forward(images)
    for _ in range(2):
        np.testing.assert_allclose(model(images), want, rtol=1e-5, atol=1e-5)
    assert model.__dict__["_evaluation"].graphs


def test_code_that_draws_numbers_is_none():
    class Noisy(Ported):
        def forward(self, x):
            return super().forward(qt.add(x, qt.randn_like(x)))

    x = np.zeros((1100, 1, 8, 8), np.float32)
    noisy = Noisy().eval()
    assert not np.array_equal(noisy(x), noisy(x))
