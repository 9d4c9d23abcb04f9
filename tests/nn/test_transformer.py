"""Embeddings, normalization, attention and encoder layers: torch's results and gradients."""

import numpy as np
import pytest
import quantray as qt
from golden import cases
from numpy.testing import assert_allclose
from quantray import nn
from quantray.nn import functional as F

agrees = {"rtol": 1e-5, "atol": 1e-5}


def named(case, prefix):
    return {k.removeprefix(prefix): v for k, v in case.items() if k.startswith(prefix)}


def outputs(y):
    return [each for each in (y if isinstance(y, tuple) else (y,)) if each is not None]


def loss_of(y, case):
    first, *rest = outputs(y)
    total = (first * case["g"]).sum()
    return total + (rest[0] * rest[0]).sum() if rest else total


@cases("transformer", lambda case: case["of"] == "module")
def test_modules_of_torch(case):
    from autograd import grad

    module = getattr(nn, case["name"])(**case["kwargs"])
    state = named(case, "state.")
    assert list(module.state_dict()) == list(state)
    module.load_state_dict(state)
    args = named(case, "arg.")
    wanted = [k.removeprefix("grad.arg.") for k in case if k.startswith("grad.arg.")]

    def call(module, **args):
        keywords = {k[1:]: v for k, v in args.items() if k[0] == "_"}
        return module(*(v for k, v in args.items() if k[0] != "_"), **keywords, **case["call"])

    for i, y in enumerate(outputs(call(module, **args))):
        assert_allclose(y, case[f"out.{i}"], **agrees)
        assert y.dtype == np.float32
    if state:
        step = nn.value_and_grad(module, lambda module: loss_of(call(module, **args), case))
        _, grads = step(module)
        assert set(grads) == set(state)
        for name, g in grads.items():
            assert_allclose(g, case[f"grad.state.{name}"], rtol=1e-4, atol=2e-5, err_msg=name)
            assert g.dtype == np.float32
    for name in wanted:
        g = grad(lambda x: loss_of(call(module, **{**args, name: x}), case))(args[name])  # noqa: B023
        assert_allclose(g, case[f"grad.arg.{name}"], rtol=1e-4, atol=2e-5, err_msg=name)
        assert g.dtype == np.float32
    again = type(module)(**module._config())
    again.load_state_dict(state)
    assert repr(again) == repr(module)
    assert_allclose(outputs(call(again, **args))[0], case["out.0"], **agrees)


@cases("transformer", lambda case: case["of"] == "function")
def test_functions_of_torch(case):
    from autograd import grad

    args, function = named(case, "arg."), getattr(F, case["name"])
    assert_allclose(function(*args.values(), **case["call"]), case["out.0"], **agrees)
    for name in [k.removeprefix("grad.arg.") for k in case if k.startswith("grad.arg.")]:
        call = lambda x: function(*{**args, name: x}.values(), **case["call"])  # noqa: B023, E731
        g = grad(lambda x: (call(x) * case["g"]).sum())(args[name])  # noqa: B023
        assert_allclose(g, case[f"grad.arg.{name}"], rtol=1e-4, atol=2e-5, err_msg=name)
        assert g.dtype == np.float32


def test_an_encoder_is_its_layers_and_a_norm(rng):
    layer = nn.TransformerEncoderLayer(8, 2, 12, batch_first=True, activation="gelu").eval()
    encoder = nn.TransformerEncoder(layer, 2, nn.LayerNorm(8)).eval()
    x = rng.standard_normal((3, 5, 8), dtype=np.float32)
    assert_allclose(encoder(x), encoder.norm(layer(layer(x))), **agrees)
    again = nn.TransformerEncoder(**encoder._config()).eval()
    again.load_state_dict(encoder.state_dict())
    assert repr(again) == repr(encoder)
    assert_allclose(again(x), encoder(x), **agrees)


def test_causal_attention_sees_nothing_that_comes_later(rng):
    attention = nn.MultiheadAttention(8, 2, batch_first=True)
    x = rng.standard_normal((1, 6, 8), dtype=np.float32)
    full, weights = attention(x, x, x, is_causal=True)
    assert not np.triu(weights[0], 1).any()
    short = x[:, :4]
    assert_allclose(attention(short, short, short, is_causal=True)[0], full[:, :4], **agrees)


def test_dropout_only_in_training(rng):
    layer = nn.TransformerEncoderLayer(8, 2, 12, dropout=0.5, batch_first=True)
    x = rng.standard_normal((1, 6, 8), dtype=np.float32)
    assert not np.allclose(layer(x), layer(x))
    layer.eval()
    assert_allclose(layer(x), layer(x))


def test_rows_that_are_too_long_become_shorter():
    table = nn.Embedding(3, 2, max_norm=1.0, _weight=[[3.0, 4.0], [0.3, 0.4], [6.0, 8.0]])
    assert_allclose(table([0, 1]), [[0.6, 0.8], [0.3, 0.4]], rtol=1e-6)
    assert_allclose(table.weight, [[0.6, 0.8], [0.3, 0.4], [6.0, 8.0]], rtol=1e-6)


def test_quantized_tables_give_their_own_values():
    table = qt.quantize_per_channel([[1.0, 2.0], [10.0, 20.0]], [0.5, 5.0], 0, axis=0, dtype=qt.quint8)
    assert F.embedding([1, 0], table).tolist() == [[10.0, 20.0], [1.0, 2.0]]
    bag = F.embedding_bag([[1, 0, 1]], table, mode="sum", padding_idx=0)
    assert bag.tolist() == [[20.0, 40.0]]


X = np.ones((2, 5, 8), np.float32)
WRONG = {
    "embed_dim": lambda: nn.MultiheadAttention(8, 3),
    "query": lambda: nn.MultiheadAttention(8, 2)(X[..., :7], X, X),
    "value": lambda: nn.MultiheadAttention(8, 2, batch_first=True)(X, X, X[:, :4]),
    "attn_mask": lambda: nn.MultiheadAttention(8, 2)(X, X, X, attn_mask=np.zeros((3, 3), bool)),
    "key_padding_mask": lambda: nn.MultiheadAttention(8, 2)(X, X, X, key_padding_mask=np.zeros((3, 3), bool)),
    "activation": lambda: nn.TransformerEncoderLayer(8, 2, activation="swish"),
    "num_layers": lambda: nn.TransformerEncoder(nn.TransformerEncoderLayer(8, 2), 0),
    "normalized_shape": lambda: nn.LayerNorm(7)(X),
    "weight": lambda: F.layer_norm(X, 8, np.ones(3)),
    "padding_idx": lambda: nn.Embedding(5, 2, padding_idx=5),
    "mode": lambda: nn.EmbeddingBag(5, 2, mode="median"),
    "per_sample_weights": lambda: nn.EmbeddingBag(5, 2)([[1, 2]], per_sample_weights=[[1.0, 2.0]]),
    "key": lambda: F.scaled_dot_product_attention(X, X[..., :3], X),
    "embeddings": lambda: nn.Embedding.from_pretrained([1.0]),
}


@pytest.mark.parametrize("name", WRONG)
def test_errors_name_the_argument(name):
    with pytest.raises(ValueError, match=f"^{name} must "):
        WRONG[name]()


def test_indices_outside_of_the_table():
    with pytest.raises(IndexError, match=r"^input must be from 0 to 4, got 5 at \(1,\)"):
        nn.Embedding(5, 2)([1, 5])
    with pytest.raises(TypeError, match=r"^attn_mask must be of bool or of floats, got dtype int64"):
        F.scaled_dot_product_attention(X, X, X, np.ones((5, 5), np.int64))
