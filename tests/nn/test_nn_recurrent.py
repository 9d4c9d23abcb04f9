"""Recurrent layers and cells as modules: torch's results and gradients, in floats and in integers."""

import pickle

import numpy as np
import pytest
import quantray as qt
from golden import cases
from numpy.testing import assert_allclose, assert_array_equal
from quantray import nn
from quantray import quantization as tq
from quantray.nn.quantized import dynamic

agrees = {"rtol": 1e-5, "atol": 1e-5}
#: Sums over all steps.
gradients_agree = {"rtol": 1e-4, "atol": 2e-5}


def named(case, prefix):
    return {k.removeprefix(prefix): v for k, v in case.items() if k.startswith(prefix)}


def flat(y):
    """Arrays of nested tuples."""
    return [each for part in y for each in flat(part)] if isinstance(y, tuple) else [y]


def arguments(case):
    states = tuple(named(case, "hx.").values())
    if not states:
        return (case["x"],)
    return case["x"], (states if case["name"].startswith("LSTM") else states[0])


def load(case):
    module = getattr(nn, case["name"])(**case["kwargs"])
    state = named(case, "state.")
    module.load_state_dict(state)
    assert list(module.state_dict()) == list(state)
    return module


def loss_of(y, case):
    return sum((part * case[f"g.{i}"]).sum() for i, part in enumerate(flat(y)))


@cases("recurrent_nn")
def test_outputs_and_states_of_torch(case):
    module = load(case)
    outputs = named(case, "out.")
    found = flat(module(*arguments(case)))
    assert len(found) == len(outputs)
    for y, want in zip(found, outputs.values(), strict=True):
        assert y.dtype == np.float32
        assert_allclose(y, want, **agrees)
    again = type(module)(**module._config())
    assert repr(again) == repr(module)
    again.load_state_dict(module.state_dict())
    assert_array_equal(flat(again(*arguments(case)))[0], found[0])


@cases("recurrent_nn")
def test_gradients_of_torch(case):
    from autograd import grad

    module, args = load(case), arguments(case)
    value, grads = nn.value_and_grad(module, lambda module: loss_of(module(*args), case))(module)
    assert_allclose(
        value, sum((named(case, "out.")[k] * g).sum() for k, g in named(case, "g.").items()), rtol=1e-4
    )
    assert list(grads) == list(named(case, "state."))
    for name, g in grads.items():
        assert g.dtype == np.float32
        assert_allclose(g, case[f"grad.state.{name}"], **gradients_agree, err_msg=name)
    given = [k for k in case if k == "x" or k.startswith("hx.")]
    for name in given:
        g = grad(lambda value: loss_of(module(*arguments({**case, name: value})), case))(case[name])  # noqa: B023
        assert g.dtype == np.float32
        assert_allclose(g, case[f"grad.{name}"], **gradients_agree, err_msg=name)


@cases("recurrent_nn", lambda case: "int8.0" in case)
def test_dynamic_near_torch_and_nearer_to_the_floats(case):
    """torch leaves out one bit of activations, and has one scale for all rows of a weight."""
    small = getattr(dynamic, case["name"]).from_float(load(case), per_channel=False)
    theirs, floats = list(named(case, "int8.").values()), list(named(case, "out.").values())
    ours = flat(small(*arguments(case)))
    for y, want in zip(ours, theirs, strict=True):
        assert_allclose(y, want, atol=0.03)
    off = [
        sum(np.abs(y - exact).mean() for y, exact in zip(all_, floats, strict=True))
        for all_ in (ours, theirs)
    ]
    # In 16 of 17 cases they are much nearer; the smallest one has 36 numbers.
    assert off[0] <= off[1] * 1.1
    # The operator's own values: the module adds nothing.
    how = {"per_row": small.per_row} if hasattr(small, "per_row") else {}
    assert_array_equal(ours[0], flat(small._packed(*arguments(case), **how))[0])


@cases("dynamic_modules", lambda case: case["module"] in ("LSTM", "GRU"))
def test_layers_of_the_golden_values(case):
    inputs, units = case["weight_ih_l0"].shape[1], case["weight_hh_l0"].shape[1]
    how = {"batch_first": case.get("batch_first", False), "bidirectional": case["bidirectional"]}
    layer = getattr(nn, case["module"])(inputs, units, case["num_layers"], **how)
    layer.load_state_dict({k: v for k, v in case.items() if k.startswith(("weight_", "bias_"))})
    assert_allclose(layer(case["x"])[0], case["y_float"], **agrees)
    small = tq.quantize_dynamic(nn.ModuleList([layer]), {type(layer)}, per_channel=False)[0]
    assert type(small) is getattr(dynamic, case["module"])
    y = small(case["x"])[0]
    assert_allclose(y, case["y"], atol=0.02)
    assert np.abs(y - case["y_float"]).mean() <= np.abs(case["y"] - case["y_float"]).mean()


VARIANTS = [
    ("LSTM", {}),
    ("LSTM", {"num_layers": 2, "bidirectional": True, "batch_first": True, "proj_size": 4}),
    ("LSTM", {"bias": False}),
    ("GRU", {"num_layers": 2, "bidirectional": True}),
    ("LSTMCell", {}),
    ("GRUCell", {"bias": False}),
    ("RNNCell", {"nonlinearity": "relu"}),
]


@pytest.mark.parametrize(("kind", "how"), VARIANTS)
@pytest.mark.parametrize("per_channel", [True, False])
def test_quantized_layers_travel(rng, tmp_path, kind, how, per_channel):
    layer = getattr(nn, kind)(8, 12, **how)
    small = getattr(dynamic, kind).from_float(layer, per_channel=per_channel)
    assert list(small.state_dict()) == list(layer.state_dict())
    for name, weight in small.get_weight().items():
        step = np.max(weight.q_per_channel_scales() if per_channel else weight.q_scale())
        assert np.abs(weight.dequantize() - getattr(layer, name)).max() <= step * 0.5001
    for name, bias in small.get_bias().items():
        assert_array_equal(bias, getattr(layer, name))
    x = rng.standard_normal((3, 8) if kind.endswith("Cell") else (5, 3, 8), dtype=np.float32)
    y, exact = flat(small(x))[0], flat(layer(x))[0]
    assert np.sqrt(np.mean((y - exact) ** 2)) < 0.05 * exact.std()
    model = nn.Sequential(small)
    model.save(tmp_path / "model.safetensors")
    with_floats = nn.Sequential(getattr(nn, kind)(8, 12, **how))
    with_floats.load_state_dict(tmp_path / "model.safetensors")
    loaded = qt.load(tmp_path / "model.safetensors")
    for other in (pickle.loads(pickle.dumps(small)), small.copy(), loaded[0], with_floats[0]):
        assert repr(other) == repr(small)
        assert_array_equal(flat(other(x))[0], y)


class Tagger(nn.Module):
    """A model with every kind of recurrent layer."""

    def __init__(self):
        super().__init__()
        self.embed = nn.Linear(4, 8)
        self.lstm = nn.LSTM(8, 16, batch_first=True)
        self.gru = nn.GRU(16, 16, batch_first=True)
        self.rnn = nn.RNN(16, 8, batch_first=True)
        self.cell = nn.GRUCell(8, 8)
        self.relu = nn.ReLU()
        self.out = nn.Linear(8, 3)

    def forward(self, x):
        for layer in (self.lstm, self.gru, self.rnn):
            x = layer(self.embed(x) if layer is self.lstm else x)[0]
        return self.out(self.relu(self.cell(x[:, -1])))


@pytest.fixture
def tagger():
    nn.manual_seed(0)
    return Tagger().eval()


def kinds(model):
    return {line.name: line.computes for line in tq.report(model).lines}


def test_dynamic_quantization_takes_what_has_an_operator_and_says_the_rest(tagger, rng):
    x = rng.standard_normal((6, 9, 4), dtype=np.float32)
    with pytest.warns(UserWarning, match=r"^left in float, without an integer version: rnn \(RNN\)$"):
        small = tq.quantize_dynamic(tagger)
    integers, floats = "qint8 -> float32", "float32"
    assert kinds(small) == {
        "embed": integers,
        "lstm": integers,
        "gru": integers,
        "rnn": floats,
        "cell": integers,
        "out": integers,
    }
    assert_allclose(small(x), tagger(x), atol=0.02)
    some = tq.quantize_dynamic(tagger, {nn.LSTM, "cell"})
    assert {name for name, text in kinds(some).items() if text == integers} == {"lstm", "cell"}
    with pytest.raises(ValueError, match=r"^qconfig_spec has RNN, which has no integer version.*LSTM"):
        tq.quantize_dynamic(tagger, {nn.RNN})
    # Arrays that are unpacked for the count are not taken for one another.
    assert small.summary().nbytes == tq.report(small).total
    rows = {row.name: row for row in small.summary(x).rows}
    assert (rows["lstm"].type, rows["lstm"].output_shape) == (
        "DynamicQuantizedLSTM",
        "(6, 9, 16), (1, 6, 16), (1, 6, 16)",
    )


def test_a_weight_that_is_not_finite_is_named_and_nothing_is_changed(tagger):
    tagger.gru.weight_hh_l0[2, 3] = np.inf
    with pytest.raises(ValueError, match=r"^gru \(GRU\): weight_hh_l0 must be finite, got inf at \(2, 3\)"):
        tq.quantize_dynamic(tagger, inplace=True)
    assert type(tagger.embed) is nn.Linear
    assert type(tagger.lstm) is nn.LSTM


def test_a_layer_of_two_names_is_quantized_under_both():
    layer = nn.Linear(3, 3)
    small = tq.quantize_dynamic(nn.Sequential(layer, layer))
    assert small[0] is small[1]
    assert type(small[1]) is dynamic.Linear


def test_static_quantization_has_a_range_for_each_frame_or_floats(tagger, rng):
    x = rng.standard_normal((32, 9, 4), dtype=np.float32)
    int8 = tq.quantize(tagger, [x], verbose=False)
    assert (type(int8.lstm), type(int8.gru)) == (dynamic.LSTM, dynamic.GRU)
    for name in ("rnn", "cell"):
        assert kinds(int8)[name] == "float32"
        assert type(int8.get_submodule(name)) is type(tagger.get_submodule(name))
    # Steps by hand say nothing of them: they stay as they are, as in torch.
    prepared = tq.prepare(tagger, None, (x,))
    prepared(x)
    assert type(tq.convert(prepared).lstm) is nn.LSTM
    assert type(int8.embed) is nn.quantized.Linear
    assert int8.embed.grid is None  # what takes it computes in floats
    assert_allclose(int8(x), tagger(x), atol=0.03)


def test_quantization_aware_training_trains_them_in_float(tagger, rng):
    x = rng.standard_normal((16, 9, 4), dtype=np.float32)
    qat = tq.prepare_qat(tagger, None, x)
    step = nn.value_and_grad(qat, lambda model: ((model(x) - 1) ** 2).mean())
    optimizer = qt.optim.Adam(1e-2)
    losses = []
    for _ in range(30):
        loss, grads = step(qat)
        optimizer.update(qat, grads)
        losses.append(loss)
    assert losses[-1] < 0.5 * losses[0]
    assert not np.array_equal(qat.lstm.weight_hh_l0, tagger.lstm.weight_hh_l0)
    int8 = tq.convert(qat.eval())
    assert_array_equal(int8.lstm.weight_hh_l0, qat.lstm.weight_hh_l0)
    assert_allclose(int8(x), qat(x), atol=0.05)


def test_quantized_inputs_are_taken_as_their_values(rng):
    layer = nn.LSTM(4, 6)
    q = qt.quantize_per_tensor(rng.standard_normal((5, 2, 4)), 0.05, 3, qt.qint8)
    assert_array_equal(layer(q)[0], layer(q.dequantize())[0])


def test_one_call_for_all_layers_is_layer_after_layer(rng):
    """Dropout of probability 1 leaves the second layer its biases; without it both ways are the same."""
    layer = nn.GRU(4, 6, num_layers=2, dropout=0.5)
    x = rng.standard_normal((5, 3, 4), dtype=np.float32)
    assert not np.allclose(layer(x)[0], layer(x)[0])
    whole, h = layer.eval()(x)
    layer.train().dropout = 1e-12
    each, last = layer(x)
    assert_allclose(each, whole, **agrees)
    assert_allclose(last, h, **agrees)
    layer.dropout = 1.0
    alone = nn.GRU(6, 6)
    second = {k.replace("_l1", "_l0"): v for k, v in layer.state_dict().items() if "_l1" in k}
    alone.load_state_dict(second)
    assert_allclose(layer(x)[0], alone(np.zeros((5, 3, 6)))[0], **agrees)
    with pytest.warns(UserWarning, match=r"^dropout=0\.5 has no effect with num_layers=1"):
        nn.LSTM(4, 6, dropout=0.5)


def test_weights_changed_in_place_are_seen(rng):
    layer = nn.LSTM(4, 6)
    x = rng.standard_normal((5, 3, 4), dtype=np.float32)
    before = layer(x)[0]
    layer.weight_hh_l0[:] = 0
    other = nn.LSTM(4, 6)
    other.load_state_dict(layer.state_dict())
    assert not np.allclose(before, layer(x)[0])
    assert_array_equal(layer(x)[0], other(x)[0])


def test_initial_weights_are_spread_as_torch_spreads_them():
    nn.manual_seed(0)
    for module in (nn.LSTM(64, 100, num_layers=2), nn.GRUCell(64, 100)):
        for weight in module.parameters():
            assert np.abs(weight).max() <= 0.1
            assert np.abs(weight).max() > 0.095
            assert abs(weight.mean()) < 0.01


def test_empty_batches():
    x = np.zeros((4, 0, 3), np.float32)
    for layer in (nn.LSTM(3, 5), nn.GRU(3, 5), nn.RNN(3, 5)):
        assert layer(x)[0].shape == (4, 0, 5)
        _, grads = nn.value_and_grad(layer, lambda m: m(x)[0].sum())(layer)
        assert all(not g.any() for g in grads.values())
    assert nn.GRUCell(3, 5)(x[0]).shape == (0, 5)


X, Q = np.zeros((4, 2, 3), np.float32), dynamic.LSTM(3, 5)
WRONG = {
    "hidden_size must be a whole number of at least 1, got 0": lambda: nn.LSTM(3, 0),
    "num_layers must be a whole number of at least 1": lambda: nn.GRU(3, 5, 0),
    "dropout must be from 0 to 1, got 2": lambda: nn.GRU(3, 5, 2, dropout=2),
    "proj_size must be from 0 to below hidden_size, 5, got 5": lambda: nn.LSTM(3, 5, proj_size=5),
    'nonlinearity must be "tanh" or "relu", got \'sin\'': lambda: nn.RNN(3, 5, nonlinearity="sin"),
    "input must be of shape (steps, batch, 3) or (steps, 3), got (4, 2, 4)": lambda: nn.GRU(3, 5)(
        np.zeros((4, 2, 4))
    ),
    "input must be of shape (batch, steps, 3)": lambda: nn.LSTM(3, 5, batch_first=True)(np.zeros(3)),
    "input must be of at least one step, got shape (0, 2, 3)": lambda: nn.RNN(3, 5)(X[:0]),
    "input must be of shape (batch, 3) or (3,), got (4, 2, 3)": lambda: nn.LSTMCell(3, 5)(X),
    "hx must be of shape (1, 2, 5), got (2, 5)": lambda: nn.GRU(3, 5)(X, np.zeros((2, 5))),
    "hx[1] must be of shape (1, 2, 5), got (1, 2, 4)": lambda: nn.LSTM(3, 5)(
        X, (np.zeros((1, 2, 5)), np.zeros((1, 2, 4)))
    ),
    "hx[0] must be of shape (2, 5)": lambda: nn.LSTMCell(3, 5)(X[0], (np.zeros(5), np.zeros((2, 5)))),
    "weight_ih_l0 must be of shape (20, 3), got (12, 4)": lambda: Q.set_weight_bias(
        {"weight_ih_l0": np.zeros((12, 4))}
    ),
}


@pytest.mark.parametrize("message", WRONG)
def test_errors_name_the_argument(message):
    with pytest.raises(ValueError) as error:  # noqa: PT011
        WRONG[message]()
    assert str(error.value).startswith(message)


def test_errors_of_other_kinds():
    with pytest.raises(TypeError, match=r"^hx must be a tuple of the hidden state and the cell"):
        nn.LSTM(3, 5)(X, np.zeros((1, 2, 5)))
    with pytest.raises(TypeError, match=r"^module must have float weights for LSTM, got Dynamic"):
        dynamic.LSTM.from_float(Q)
    with pytest.raises(TypeError, match=r"^module must be a GRU for GRU, got LSTM"):
        dynamic.GRU.from_float(nn.LSTM(3, 5))
    with pytest.raises(KeyError, match="weight_bias names weight; the module has weight_ih_l0, "):
        Q.set_weight_bias({"weight": 1})
    with pytest.raises(ValueError, match=r"^dtype must be qint8 for a weight"):
        dynamic.GRU.from_float(nn.GRU(3, 5), dtype=qt.quint8)
