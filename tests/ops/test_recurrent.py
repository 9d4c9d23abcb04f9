"""Recurrent layers: torch's dynamic modules and its float layers, the formulas, and what is refused."""

import copy
import pickle

import numpy as np
import pytest
import quantray as qt
from golden import cases

GATES = {"LSTM": 4, "GRU": 3}


def symmetric(w):
    """As torch's default dynamic configuration quantizes weights."""
    return qt.quantize_per_tensor(w, float(np.abs(w).max()) / 127.5, 0, qt.qint8)


def parameters(case):
    """Weights and biases of a golden module, layer by layer."""
    ends = [
        f"_l{i}{way}"
        for i in range(case["num_layers"])
        for way in ("", "_reverse")[: 1 + case["bidirectional"]]
    ]
    pick = lambda kind: [tuple(case[f"{kind}_{part}{end}"] for part in ("ih", "hh")) for end in ends]  # noqa: E731
    return pick("weight"), pick("bias")


def recurrent(case):
    return case["module"] in GATES


@cases("dynamic_modules", recurrent)
def test_floats_as_torch(kernels, case):
    how = {"batch_first": case.get("batch_first", False), "bidirectional": case["bidirectional"]}
    y, _ = getattr(qt.ops, case["module"].lower())(case["x"], *parameters(case), **how)
    assert y.dtype == np.float32
    np.testing.assert_allclose(y, case["y_float"], atol=1e-6, rtol=1e-5)


@cases("dynamic_modules", recurrent)
def test_dynamic_as_torch_and_nearer_to_the_floats(kernels, case):
    """torch leaves out one bit of activations: ours are at least as near to the float layer."""
    weights, biases = parameters(case)
    packed = [tuple(symmetric(w) for w in pair) for pair in weights]
    op = getattr(qt.ops, f"Packed{case['module']}")(
        packed, biases, case.get("batch_first", False), case["bidirectional"]
    )
    y, _ = op(case["x"])
    np.testing.assert_allclose(y, case["y"], atol=0.02)
    ours, torch = (np.abs(got - case["y_float"]).mean() for got in (y, case["y"]))
    assert ours <= torch


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def dynamic(x, w, bias):
    """The contract's product of floats with a quantized weight: exact integers, then float32."""
    q = qt.quantize_per_tensor_dynamic(x, qt.quint8)
    sums = (q.int_repr().astype(np.int64) - q.q_zero_point()) @ w.int_repr().astype(np.int64).T
    return sums.astype(np.float32) * (np.float32(q.q_scale()) * np.float32(w.q_scale())) + bias


def cell(kind, w, b, x, h, c=None):
    """One step, in float64 after the products."""
    x, old = (p.astype(np.float64) for p in (dynamic(x, w[0], b[0]), dynamic(h, w[1], b[1])))
    if kind == "LSTM":
        i, f, g, o = np.split(x + old, 4, axis=1)
        c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
        return sigmoid(o) * np.tanh(c), c
    if kind == "GRU":
        (xr, xz, xn), (hr, hz, hn) = np.split(x, 3, axis=1), np.split(old, 3, axis=1)
        new, z = np.tanh(xn + sigmoid(xr + hr) * hn), sigmoid(xz + hz)
        return ((1 - z) * new + z * h,)
    return (np.tanh(x + old) if kind == "tanh" else np.maximum(x + old, 0),)


def make_cell(kind, rng, inputs=20, units=70):
    rows = GATES.get(kind, 1) * units
    w = [symmetric(rng.uniform(-0.3, 0.3, (rows, n)).astype(np.float32)) for n in (inputs, units)]
    b = [rng.uniform(-0.3, 0.3, rows).astype(np.float32) for _ in range(2)]
    if kind in GATES:
        return w, b, getattr(qt.ops, f"Packed{kind}Cell")(*w, *b)
    return w, b, qt.ops.PackedRNNCell(*w, *b, nonlinearity=kind)


@pytest.mark.parametrize("kind", ["LSTM", "GRU", "tanh", "relu"])
@pytest.mark.parametrize("batch", [1, 5, 14])
def test_cells_are_their_formulas(kernels, rng, kind, batch):
    w, b, op = make_cell(kind, rng)
    x = rng.standard_normal((batch, 20), dtype=np.float32)
    state = [rng.uniform(-1, 1, (batch, 70)).astype(np.float32) for _ in range(1 + (kind == "LSTM"))]
    got = op(x, tuple(state) if kind == "LSTM" else state[0])
    for new, want in zip(got if kind == "LSTM" else [got], cell(kind, w, b, x, *state), strict=True):
        np.testing.assert_allclose(new, want, atol=1e-6, rtol=1e-6)
        assert new.dtype == np.float32


@pytest.mark.parametrize("kind", GATES)
def test_a_layer_of_one_step_is_a_cell(rng, kind):
    w, b, op = make_cell(kind, rng)
    layer = getattr(qt.ops, f"Packed{kind}")([w], [b])
    x = rng.standard_normal((3, 20), dtype=np.float32)
    y, state = layer(x[None])
    want = op(x)
    for got, one in zip(*((state, want) if kind == "LSTM" else ([state], [want])), strict=True):
        np.testing.assert_array_equal(got[0], one)
    np.testing.assert_array_equal(y[0], want[0] if kind == "LSTM" else want)


def make_layer(kind, rng, layers=1, both=False, projected=None, first=False):
    ways, outputs, weights, biases = 1 + both, projected or 16, [], []
    rows = GATES[kind] * 16
    for i in range(layers * ways):
        shapes = [(rows, 12 if i < ways else ways * outputs), (rows, outputs)]
        shapes += [(projected, 16)] if projected else []
        weights.append([symmetric(rng.uniform(-0.5, 0.5, s).astype(np.float32)) for s in shapes])
        biases.append([rng.uniform(-0.5, 0.5, rows).astype(np.float32) for _ in range(2)])
    return getattr(qt.ops, f"Packed{kind}")(weights, biases, first, both)


VARIANTS = [
    ("LSTM", {}),
    ("GRU", {}),
    ("LSTM", {"layers": 2, "both": True}),
    ("GRU", {"layers": 3, "first": True}),
]
VARIANTS += [("LSTM", {"layers": 2, "both": True, "projected": 5})]


@pytest.mark.parametrize(("kind", "how"), VARIANTS)
def test_pickles_as_plain_weights(rng, kind, how):
    op = make_layer(kind, rng, **how)
    x = rng.standard_normal((4, 4, 12), dtype=np.float32)
    for other in (pickle.loads(pickle.dumps(op)), copy.deepcopy(op)):
        assert repr(other) == repr(op)
        np.testing.assert_array_equal(other(x)[0], op(x)[0])
        for ours, theirs in zip(op.weights(), other.weights(), strict=True):
            assert all(a.equal(b) for a, b in zip(ours, theirs, strict=True))


@pytest.mark.parametrize("kind", ["LSTM", "GRU", "tanh", "relu"])
def test_cells_pickle(rng, kind):
    w, b, op = make_cell(kind, rng)
    other = pickle.loads(pickle.dumps(op))
    assert repr(other) == repr(op)
    assert all(a.equal(b) for a, b in zip(other.weights(), w, strict=True))
    np.testing.assert_array_equal(other.biases(), b)


@pytest.mark.parametrize(("kind", "how"), VARIANTS)
def test_states_go_on_where_they_stopped(rng, kind, how):
    """Two halves of a sequence, the second from the first one's states, of one direction."""
    op = make_layer(kind, rng, **how | {"both": False})
    time = int(op.batch_first)
    x = rng.uniform(-1, 1, (6, 6, 12)).astype(np.float32)
    # Halves have the range, and so the scale, of the whole.
    x[[0, 5], [0, 5], :2] = -1, 1
    x[[0, 5], [5, 0], :2] = -1, 1
    y, last = op(x)
    one, state = op(np.take(x, range(3), axis=time))
    two, state = op(np.take(x, range(3, 6), axis=time), state)
    if op.num_layers == 1:
        np.testing.assert_array_equal(np.concatenate([one, two], axis=time), y)
        np.testing.assert_array_equal(state, last)
    else:
        np.testing.assert_allclose(np.concatenate([one, two], axis=time), y, atol=0.02)


@pytest.mark.parametrize(("kind", "how"), VARIANTS)
def test_one_sequence_and_batch_first(rng, kind, how):
    op = make_layer(kind, rng, **how)
    x = rng.standard_normal((7, 12), dtype=np.float32)
    y, state = op(x)
    axis = 0 if op.batch_first else 1
    batched, states = op(np.expand_dims(x, axis))
    np.testing.assert_array_equal(np.expand_dims(y, axis), batched)
    for one, many in zip(*((state, states) if kind == "LSTM" else ([state], [states])), strict=True):
        np.testing.assert_array_equal(one[:, None], many)
    other = getattr(qt.ops, f"Packed{kind}")(op.weights(), op.biases(), not op.batch_first, op.bidirectional)
    x = rng.standard_normal((3, 5, 12), dtype=np.float32)
    np.testing.assert_array_equal(op(x)[0], other(x.swapaxes(0, 1))[0].swapaxes(0, 1))


def test_what_it_says_of_itself(rng):
    op = make_layer("LSTM", rng, layers=2, both=True, projected=5)
    assert (op.input_size, op.hidden_size, op.proj_size, op.num_layers) == (12, 16, 5, 2)
    assert op.bidirectional
    assert not op.batch_first
    assert op.nbytes > sum(w.nbytes for part in op.weights() for w in part)
    assert op.kernel == qt.cpu_info()["isa"]
    assert repr(op).startswith(
        "PackedLSTM(12, 16, proj_size=5, num_layers=2, batch_first=False, bidirectional=True, "
    )
    assert qt.ops.explain(op).startswith(f"{op.kernel}: ")
    assert make_layer("LSTM", rng).proj_size == 0


def test_empty_batches(rng):
    op = make_layer("LSTM", rng)
    y, (h, c) = op(np.zeros((3, 0, 12)))
    assert (y.shape, h.shape, c.shape) == ((3, 0, 16), (1, 0, 16), (1, 0, 16))


W = qt.quantize_per_tensor(np.zeros((8, 2)), 0.1, 0, qt.qint8)
OP = qt.ops.PackedLSTM([(W, W)])
X = np.zeros((3, 1, 2))
COLUMNS = qt.quantize_per_channel(np.zeros((8, 2)), [0.1, 0.1], 0, axis=1, dtype=qt.qint8)
WRONG = {
    "no layers": (ValueError, "weights must be one for each layer", lambda: qt.ops.PackedLSTM([])),
    "floats": (TypeError, r"weights\[0\]\[0\].*QTensor", lambda: qt.ops.PackedLSTM([(np.eye(4), W)])),
    "one weight": (ValueError, r"weights\[0\].*1 elements", lambda: qt.ops.PackedLSTM([(W,)])),
    "three of a GRU": (ValueError, r"weights\[0\].*3 elements", lambda: qt.ops.PackedGRU([(W, W, W)])),
    "gates": (ValueError, r"weights\[0\]\[0\].*3 \* hidden_size", lambda: qt.ops.PackedGRU([(W, W)])),
    "depth": (ValueError, r"weights\[0\]\[1\].*\(8, 2\)", lambda: qt.ops.PackedLSTM([(W, W[:, :1])])),
    "axis": (ValueError, r"weights\[0\]\[0\].*axis 0", lambda: qt.ops.PackedLSTM([(COLUMNS, W)])),
    "odd": (ValueError, "two for each layer", lambda: qt.ops.PackedLSTM([(W, W)], bidirectional=True)),
    "stack": (ValueError, r"weights\[1\].*inputs", lambda: qt.ops.PackedLSTM([(W, W), (W[:, :1], W)])),
    "bias": (ValueError, r"biases\[0\]\[1\].*\(8,\)", lambda: qt.ops.PackedLSTM([(W, W)], [(None, [1.0])])),
    "biases": (ValueError, "biases must be 1 of", lambda: qt.ops.PackedLSTM([(W, W)], [])),
    "bias that is not finite": (
        ValueError,
        r"biases\[0\]\[0\].*finite",
        lambda: qt.ops.PackedLSTM([(W, W)], [([np.inf] * 8, None)]),
    ),
    "input": (ValueError, r"input must be of shape \(steps, batch, 2\)", lambda: OP(np.zeros((3, 2, 1)))),
    "steps": (ValueError, "at least one step", lambda: OP(np.zeros((0, 1, 2)))),
    "NaN": (ValueError, r"NaN.*\(1, 0, 1\)", lambda: OP([[[0, 0]], [[0, np.nan]], [[0, 0]]])),
    "infinity": (ValueError, "input must be finite", lambda: OP(np.full((1, 1, 2), np.inf))),
    "state": (
        ValueError,
        r"state\[0\] must be of shape \(1, 1, 2\)",
        lambda: OP(X, (np.zeros(2), np.zeros(2))),
    ),
    "one state": (TypeError, "state must be a tuple", lambda: OP(X, 1.0)),
    "state that is not finite": (
        ValueError,
        r"state\[1\].*finite",
        lambda: OP(X, (np.zeros((1, 1, 2)), np.full((1, 1, 2), np.nan))),
    ),
    "nonlinearity": (
        ValueError,
        "nonlinearity",
        lambda: qt.ops.PackedRNNCell(W[:2], W[:2], nonlinearity="sin"),
    ),
    "float shapes": (
        ValueError,
        r"weights\[0\]\[1\]",
        lambda: qt.ops.lstm(X, [(np.eye(8, 2), np.eye(8, 3))]),
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_is_refused(name):
    error, message, call = WRONG[name]
    with pytest.raises(error, match=message):
        call()


def test_nan_of_floats_stays(rng):
    """Floats have NaN: where it came in, and from there on."""
    w = rng.uniform(-1, 1, (16, 4)).astype(np.float32)
    x = np.zeros((4, 2, 4), np.float32)
    x[2, 1, 0] = np.nan
    for function, weight in ((qt.ops.lstm, w), (qt.ops.gru, w[:12]), (qt.ops.rnn, w[:4])):
        y, _ = function(x, [(weight, weight)])
        np.testing.assert_array_equal(np.isnan(y).all(axis=2), [[0, 0], [0, 0], [0, 1], [0, 1]])
        assert not np.isnan(y[:, 0]).any()
