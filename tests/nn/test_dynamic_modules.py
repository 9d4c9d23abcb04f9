"""Dynamically quantized layers: torch's results, near the float layer's, state and pickles."""

import pickle

import numpy as np
import pytest
import quantray as qt
from golden import cases
from numpy.testing import assert_allclose, assert_array_equal
from quantray import nn
from quantray import quantization as tq
from quantray.nn.quantized import dynamic


@cases("dynamic_modules", lambda case: case["module"] == "Linear")
def test_linear_of_torch(case):
    layer = nn.Linear(*case["weight"].shape[::-1])
    layer.load_state_dict({"weight": case["weight"], "bias": case["bias"]})
    # What torch's quantize_dynamic makes: one scale for the weight, one of 7 bits for the input.
    small = dynamic.Linear.from_float(layer, per_channel=False, per_row=False, reduce_range=True)
    assert_allclose(small(case["x"]), case["y"], rtol=1e-6, atol=1e-6)
    assert_allclose(layer(case["x"]), case["y_float"], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("per_channel", [True, False])
@pytest.mark.parametrize("per_row", [True, False])
def test_linear_is_the_float_layer_of_rounded_numbers(rng, per_channel, per_row):
    layer = nn.Linear(40, 24)
    x = rng.standard_normal((7, 40), dtype=np.float32) * np.geomspace(0.1, 10, 7, dtype=np.float32)[:, None]
    small = dynamic.Linear.from_float(layer, per_channel=per_channel, per_row=per_row)
    w = small.weight()
    steps = w.q_per_channel_scales()[:, None] if per_channel else w.q_scale()
    assert np.abs(w.dequantize() - layer.weight).max(initial=0) <= np.max(steps) * 0.5001
    quantized = [qt.quantize_per_tensor_dynamic(row, qt.quint8) for row in (x if per_row else [x])]
    rounded = np.concatenate([q.dequantize().reshape(-1, 40) for q in quantized]).astype(np.float64)
    expected = rounded @ w.dequantize().astype(np.float64).T + layer.bias
    assert_allclose(small(x), expected, rtol=1e-5, atol=1e-4)


def rebuilt(module):
    again = getattr(type(module), "_rebuild", type(module))(**module._config()).train(module.training)
    again.load_state_dict(module.state_dict())
    return again


def _layers():
    nn.manual_seed(3)
    x = np.random.default_rng(4).standard_normal((2, 6, 16), dtype=np.float32)
    attention = nn.MultiheadAttention(16, 4, batch_first=True)
    yield pytest.param(dynamic.Linear, nn.Linear(16, 8), (x,), id="Linear")
    yield pytest.param(dynamic.Linear, nn.Linear(16, 8, bias=False), (x,), id="Linear-no-bias")
    yield pytest.param(dynamic.MultiheadAttention, attention, (x, x, x), id="MultiheadAttention")
    yield pytest.param(dynamic.MultiheadAttention, attention, (x[:, :3], x, x), id="MultiheadAttention-cross")
    for norm_first in (False, True):
        for activation in ("relu", "gelu"):
            layer = nn.TransformerEncoderLayer(
                16, 4, 32, activation=activation, batch_first=True, norm_first=norm_first
            )
            yield pytest.param(
                dynamic.TransformerEncoderLayer, layer.eval(), (x,), id=f"{activation}-{norm_first}"
            )
    layer = nn.TransformerEncoderLayer(16, 4, 32).eval()
    yield pytest.param(dynamic.TransformerEncoderLayer, layer, (x,), id="sequence-first")


def first(y):
    return y[0] if isinstance(y, tuple) else y


@pytest.mark.parametrize(("kind", "module", "args"), list(_layers()))
def test_layers_are_near_and_travel(kind, module, args):
    small = kind.from_float(module)
    y, exact = first(small(*args)), first(module(*args))
    assert y.dtype == np.float32
    # Steps of 1 / 255 in weights and inputs: some hundredths of the result's own spread.
    assert np.sqrt(np.mean((y - exact) ** 2)) < 0.02 * exact.std()
    for again in (pickle.loads(pickle.dumps(small)), small.copy(), rebuilt(small)):
        assert_array_equal(first(again(*args)), y)
        assert repr(again) == repr(small)


@pytest.mark.parametrize("padded", [False, True])
def test_masks_reach_the_attention(rng, padded):
    layer = nn.TransformerEncoderLayer(16, 4, 32, batch_first=True, activation="gelu").eval()
    small = dynamic.TransformerEncoderLayer.from_float(layer)
    x = rng.standard_normal((2, 6, 16), dtype=np.float32)
    mask = ~np.tri(6, dtype=bool)
    padding = np.zeros((2, 6), bool)
    padding[1, 4:] = padded
    y, exact = small(x, mask, padding), layer(x, mask, padding)
    assert np.sqrt(np.mean((y - exact) ** 2)) < 0.02 * exact.std()
    # What is masked has no effect but on the steps in which all values are counted.
    changed = x.copy()
    changed[:, -1, ::2] += 0.3
    assert_allclose(small(changed, mask, padding)[:, :-1], y[:, :-1], atol=0.05)
    assert not np.allclose(small(changed, mask, padding)[:, -1], y[:, -1], atol=0.05)


@pytest.mark.parametrize("dtype", [qt.quint8, qt.quint4x2], ids=["quint8", "quint4x2"])
def test_tables(rng, dtype):
    table = nn.Embedding(20, 6)
    small = nn.quantized.Embedding.from_float(table, dtype=dtype)
    steps = (np.maximum(table.weight.max(1), 0) - np.minimum(table.weight.min(1), 0)) / (2**dtype.bits - 1)
    index = rng.integers(0, 20, (3, 5))
    assert (np.abs(small(index) - table(index)) <= steps[index][..., None] * 0.501).all()
    bag = nn.EmbeddingBag(20, 6, mode="sum", padding_idx=3)
    bag.weight = table.weight
    small_bag = nn.quantized.EmbeddingBag.from_float(bag, dtype=dtype)
    kept = [small(row[row != 3]).sum(0) for row in index]
    assert_allclose(small_bag(index), kept, rtol=1e-5, atol=1e-5)
    for module in (small, small_bag):
        for again in (pickle.loads(pickle.dumps(module)), rebuilt(module)):
            assert_array_equal(again(index), module(index))


def test_errors():
    with pytest.raises(TypeError, match=r"^module must be a Linear for Linear, got Embedding"):
        dynamic.Linear.from_float(nn.Embedding(2, 2))
    with pytest.raises(ValueError, match=r"^dtype must be qint8 for a weight, got "):
        dynamic.Linear.from_float(nn.Linear(2, 2), dtype=qt.quint8)
    with pytest.raises(ValueError, match=r"^reduce_range must be False with per_row=True"):
        dynamic.Linear(2, 2, reduce_range=True)
    with pytest.raises(ValueError, match=r"^weight must be of shape \(2, 3\), got \(3, 2\)"):
        dynamic.Linear(3, 2).set_weight_bias(dynamic.Linear(2, 3).weight())
    with pytest.raises(ValueError, match=r"^module must have kdim and vdim as embed_dim"):
        dynamic.MultiheadAttention.from_float(nn.MultiheadAttention(8, 2, kdim=4))
    with pytest.raises(ValueError, match=r"^dtype must be quint8 or quint4x2 for a table"):
        nn.quantized.Embedding.from_float(nn.Embedding(2, 2), dtype=qt.qint8)


@pytest.mark.parametrize(
    ("kind", "module"),
    [
        (dynamic.Linear, nn.Linear(2, 2)),
        (dynamic.Conv1d, nn.Conv1d(2, 2, 1)),
        (dynamic.MultiheadAttention, nn.MultiheadAttention(8, 2)),
        (dynamic.TransformerEncoderLayer, nn.TransformerEncoderLayer(8, 2, 16)),
    ],
)
def test_what_is_quantized_already_is_refused(kind, module):
    with pytest.raises(TypeError, match=f"^module must .*{kind.__name__}.*Dynamic"):
        kind.from_float(kind.from_float(module))


def test_states_of_several_layers_have_no_rows():
    """As torch's tutorial of a language model has it: states go from call to call, sequences differ."""

    class Language(nn.Module):
        def __init__(self):
            super().__init__()
            self.encoder = nn.Embedding(31, 8)
            self.rnn = nn.LSTM(8, 16, 5)
            self.decoder = nn.Linear(16, 31)

        def forward(self, input, hidden):
            output, hidden = self.rnn(self.encoder(input), hidden)
            return self.decoder(output), hidden

    nn.manual_seed(0)
    model = Language().eval()
    small = tq.quantize_dynamic(model, {nn.LSTM, nn.Linear})
    words = np.random.default_rng(0).integers(0, 31, (70, 1))
    state = other = (np.zeros((5, 1, 16), np.float32),) * 2
    for a, b in [(0, 1), (1, 26), (26, 51), (51, 55), (55, 60), (60, 62)]:
        want, state = model(words[a:b], state)
        got, other = small(words[a:b], other)
        assert got.shape == want.shape
        assert np.abs(got - want).max() < 0.01
