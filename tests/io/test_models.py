"""Files of models: what is loaded computes the same bits, with the class and without it."""

import copy
import json
import pickle
from pathlib import Path

import joblib
import models
import numpy as np
import pytest
import quantray as qt
from models import MODELS, made, static
from numpy.testing import assert_array_equal
from quantray import nn
from quantray import quantization as tq
from quantray.graph._graph import leaves

REFERENCE = Path(__file__).parents[1] / "reference"

names = pytest.mark.parametrize("name", MODELS)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "model.safetensors"


def assert_same(got, want):
    """The same arrays, and the same values beside them."""
    found, wanted = leaves(got), leaves(want)
    assert len(found) == len(wanted)
    for a, b in zip(found, wanted, strict=True):
        assert type(a) is type(b)
        assert_array_equal(a, b)


@names
def test_converted_models_run_without_their_class(name, path):
    model, x = static(name), MODELS[name][1]
    want = model(x)
    model.save(path)
    back = qt.load(path)
    assert_same(back(x), want)
    assert repr(back) == repr(model)
    assert list(back.state_dict()) == list(model.state_dict())
    # What was loaded is saved again.
    back.save(path)
    assert_same(qt.load(path)(x), want)
    # Other numbers of rows, too.
    assert_same(back(x[:1]), model(x[:1]))


@names
def test_an_instance_of_the_class_takes_the_file(name, path):
    model, x = static(name), MODELS[name][1]
    want = model(x)
    model.save(path)
    other = MODELS[name][0]() if name != "one layer" else nn.Sequential(nn.Linear(8, 3))
    if name == "one layer":
        # A model that is one layer is another module once it is converted: it has no place to put it.
        return
    kind = type(other)
    other.load_state_dict(path)
    assert type(other) is kind
    assert_same(other.eval()(x), want)


@names
@pytest.mark.parametrize("way", ["float", "dynamic"])
@pytest.mark.filterwarnings("ignore:nothing was quantized", "ignore:left in float")
def test_other_models(name, way, path):
    model = made(name) if way == "float" else tq.quantize_dynamic(made(name))
    x = MODELS[name][1]
    model.save(path)
    back = qt.load(path)
    is_own = type(model).__module__ == "models"
    assert isinstance(back, dict) == is_own
    if not is_own:
        assert_same(back(x), model(x))
    want = model(x)
    model.save(path)
    back = qt.load(path)
    if way == "dynamic":
        # It has graphs now, and needs its class no more.
        assert_same(back(x), want)
        if is_own:
            assert type(back) is nn.GraphModule
            with pytest.raises(ValueError, match=r"(?s)not captured for such an input.*before it is saved"):
                back(x[0])
    if is_own:
        back = MODELS[name][0]()
        back.load_state_dict(path)
    assert_same(back.eval()(x), want)


@names
def test_copies(name, path):
    x = MODELS[name][1]
    prepared = tq.prepare(made(name), example_inputs=(x,))
    prepared(x)
    qat = tq.prepare_qat(made(name))
    qat(x)
    for model in (prepared, qat.eval(), static(name)):
        want = model.copy()(x)
        assert_same(copy.deepcopy(model)(x), want)
        assert_same(pickle.loads(pickle.dumps(model))(x), want)
        joblib.dump(model, path)
        assert_same(joblib.load(path)(x), want)


@names
@pytest.mark.parametrize("prepare", [tq.prepare, tq.prepare_qat])
@pytest.mark.parametrize("qconfig", [None, tq.qconfig_for_bits(4, 4)], ids=["default", "W4A4"])
def test_training_goes_on_from_a_checkpoint(name, prepare, qconfig, path):
    x = MODELS[name][1]
    model = prepare(made(name), qconfig)
    for _ in range(2):
        model(x)
    model.save(path)
    # Such a file has what was observed; what it was made from is code.
    assert qt.load(path).keys() == model.state_dict().keys()
    for state in (model.state_dict(), path):
        # It was never called: it does not know yet where its observers are.
        fresh = prepare(MODELS[name][0](), qconfig)
        fresh.load_state_dict(state)
        assert fresh.state_dict().keys() == model.state_dict().keys()
        if not any(isinstance(module, nn.Dropout) for module in model.modules()):
            assert_same(fresh.copy()(x), model.copy()(x))
        one, two = fresh.eval(), model.copy().eval()
        assert_same(one(x), two(x))
        assert_same(tq.convert(one)(x), tq.convert(two)(x))


def test_learned_scales_are_learned_on():
    x = MODELS["block"][1]
    qconfig = tq.qconfig_for_bits(3, 8, learnable=True)
    model = tq.prepare_qat(made("block"), qconfig)
    model(x)
    fresh = tq.prepare_qat(models.Block(), qconfig)
    fresh.load_state_dict(model.state_dict())
    assert fresh.trainable_parameters().keys() == model.trainable_parameters().keys()
    assert_same(fresh(x), model(x))


def test_a_prepared_model_takes_no_converted_one(path):
    static("block").save(path)
    with pytest.raises(ValueError, match=r"prepared.*converted"):
        tq.prepare(models.Block()).load_state_dict(path)


# The state of converted models


def test_state_has_the_names_of_torch():
    state = static("block").state_dict()
    assert {"conv1.weight", "conv1.bias", "conv1.scale", "conv1.zero_point"} <= state.keys()
    assert state["conv1.scale"].dtype == np.float32
    assert state["conv1.scale"].shape == state["conv1.zero_point"].shape == ()
    assert state["conv1.zero_point"].dtype == np.int64


@names
def test_every_entry_of_the_state_counts(name):
    model, x = static(name), MODELS[name][1]
    state = dict(model.state_dict())
    want = model(x)
    # Of layers that take the same floats, the first one's scale of these counts; of names of one, the last.
    others = {"down.input_scale", "conv2.input_scale"} | ({"0.scale", "0.input_scale"} & state.keys())
    scales = [key for key in state if key.endswith("scale") and state[key].shape == ()]
    for key in [key for key in scales if key not in others or (name != "shared" and key[0] == "0")]:
        changed = model.copy()
        changed.load_state_dict({**state, key: state[key] * np.float32(1.75)})
        assert changed.state_dict()[key] == state[key] * np.float32(1.75)
        found = zip(leaves(changed(x)), leaves(want), strict=True)
        assert not all(np.array_equal(a, b) for a, b in found), key
        # And back again.
        changed.load_state_dict(state)
        assert_same(changed(x), want)
    for key in [key for key in state if not key.endswith("num_batches_tracked")]:
        rest = {name: value for name, value in state.items() if name != key}
        with pytest.raises(KeyError, match="missing: "):
            model.load_state_dict(rest)
    with pytest.raises(KeyError, match=r"unexpected: more\.scale"):
        model.load_state_dict({**state, "more.scale": 1.0})


@pytest.mark.parametrize(
    ("key", "value", "says"),
    [
        ("scale", 0.0, "positive finite float32, got 0.0"),
        ("scale", -1.0, "positive finite float32, got -1.0"),
        ("scale", np.nan, "positive finite float32, got nan"),
        ("scale", np.inf, "positive finite float32, got inf"),
        ("scale", [0.1, 0.2], r"one number, got shape \(2,\)"),
        ("zero_point", 256, "from 0 to 255 for quint8, got 256"),
        ("zero_point", 0.5, "from 0 to 255 for quint8, got 0.5"),
    ],
)
def test_what_is_no_scale_is_refused(key, value, says):
    model, x = static("block"), MODELS["block"][1]
    state, want = dict(model.state_dict()), model(x)
    with pytest.raises(ValueError, match=f"conv1.{key} must be a? ?.*{says}"):
        model.load_state_dict({**state, f"conv1.{key}": value})
    assert_same(model(x), want)


def test_two_graphs_share_what_they_both_quantize(path):
    x = MODELS["attention"][1]
    mask = np.arange(5) < np.array([[5], [3], [4], [5], [1], [2]])
    prepared = tq.prepare(made("attention"))
    prepared(x), prepared(x, mask)
    model = tq.convert(prepared)
    want = model(x), model(x[:3], mask[:3])
    model.save(path)
    back = qt.load(path)
    assert_same((back(x), back(x[:3], mask[:3])), want)
    # What both take is kept once.
    assert sum("norm" in key and key.endswith("scale") for key in model.state_dict()) == 0
    with pytest.raises(ValueError, match=r"(?s)not captured for such an input.*float32 \(n, 5, 8\)"):
        back(x[0])


def test_a_guard_is_named(path):
    class Odd(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.Linear(8, 4)

        def forward(self, x):
            return self.layer(x) * (2 if x.shape[1] > 3 else 1)

    x = MODELS["tied"][1].astype(np.float32)
    x = np.resize(x, (2, 5, 8))
    tq.quantize(Odd().eval(), [x], verbose=False).save(path)
    assert str(Path(__file__).parent) not in json.dumps(qt.read_metadata(path))
    with pytest.raises(ValueError, match=r"test_models\.py:\d+"):
        qt.load(path)(x[:, :2])


# Sharing


def test_a_module_in_two_places_stays_one(path):
    model = made("shared")
    model.save(path)
    back = qt.load(path)
    assert back[0] is back[2]
    assert back[1] is back[3]
    assert path.stat().st_size < 2000
    int8 = static("shared")
    int8.save(path)
    back = qt.load(path)
    assert (back[0] is back[2]) == (int8[0] is int8[2])


def test_tied_arrays_stay_tied(path):
    model = made("tied")
    model.save(path)
    assert qt.load(path).keys() == {"words.weight", "out.weight"}
    assert path.stat().st_size < 1200
    other = models.Tied()
    other.load_state_dict(path)
    assert other.words.weight is other.out.weight
    assert_array_equal(other.words.weight, model.words.weight)
    # As two of them in a state_dict of somebody else's, they part.
    other.load_state_dict({"words.weight": model.words.weight, "out.weight": model.words.weight + 1})
    assert_array_equal(other.out.weight, other.words.weight + 1)
    # Without a class.
    plain = nn.Sequential(nn.Linear(8, 8), nn.Linear(8, 8))
    plain[1]._parameters["weight"] = plain[0].weight
    plain.save(path)
    back = qt.load(path)
    assert back[0].weight is back[1].weight


# Weights of few bits


@pytest.mark.parametrize(
    ("bits", "dtype", "codes"), [(2, "quint2x4", 4), (3, "quint4x2", 2), (4, "quint4x2", 2), (8, "qint8", 1)]
)
def test_weights_of_few_bits_share_bytes_in_files(bits, dtype, codes, path, rng):
    x = rng.standard_normal((4, 64)).astype(np.float32)
    layers = nn.Linear(64, 63), nn.ReLU(), nn.Unflatten(1, (1, 63)), nn.Conv1d(1, 3, 5), nn.Conv1d(3, 5, 1)
    model = nn.Sequential(*layers).eval()
    int8 = tq.quantize(model, [x], tq.qconfig_for_bits(bits, 8), verbose=False)
    want = int8(x)
    int8.save(path)
    stored = qt._core.load(path)
    for name in ("0", "3", "4"):
        assert int8.get_submodule(name).bits == bits
        weight, held = stored[f"{name}.weight"], int8.get_submodule(name).weight()
        assert weight.dtype.name == dtype
        assert weight.nbytes == -(-held.int_repr().size // codes)
        # It stands for the same numbers, for whoever reads it.
        assert_array_equal(weight.dequantize(), held.dequantize())
    back = qt.load(path)
    assert_array_equal(back(x), want)
    assert back[0].bits == bits
    assert back[0].weight().equal(int8[0].weight())
    # The state_dict in memory has bytes, and takes both.
    int8.load_state_dict(stored)
    assert_array_equal(int8(x), want)


# What runs as Python


class Chooses(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(8, 8)

    def forward(self, x):
        return self.layer(x) if x.sum() > -1e9 else x


def choosing():
    return nn.Sequential(nn.Linear(8, 8), Chooses(), nn.Linear(8, 4))


def test_what_runs_as_python_needs_its_class(path):
    x = MODELS["block"][1][0, 0, :, :8]
    model = tq.quantize(choosing().eval(), [x], verbose=False)
    want = model(x)
    with pytest.warns(UserWarning, match=r"^1 runs as Python.*load_state_dict\(path\)"):
        model.save(path)
    assert qt.load(path).keys() == model.state_dict().keys()
    other = choosing()
    other.load_state_dict(path)
    assert type(other[1]) is Chooses
    assert_array_equal(other.eval()(x), want)


def test_hooks_that_change_something_are_asked_for(path):
    def twice(module, args, output):
        return output * 2

    x = MODELS["block"][1][0, 0, :, :8]
    layers = nn.Sequential(nn.Linear(8, 8), nn.Linear(8, 4)).eval()
    layers[0].register_forward_hook(twice)
    model = tq.quantize(layers, [x], verbose=False)
    want = model(x)
    with pytest.warns(UserWarning, match="^0 runs as Python"):
        model.save(path)
    assert isinstance(qt.load(path), dict)
    other = nn.Sequential(nn.Linear(8, 8), nn.Linear(8, 4))
    before = repr(other)
    with pytest.raises(ValueError, match="0 must have the forward hook"):
        other.load_state_dict(path)
    assert repr(other) == before
    assert other._runner is None
    handle = other[0].register_forward_hook(twice)
    other.load_state_dict(path)
    assert_array_equal(other(x), want)
    handle.remove()
    assert not np.array_equal(other(x), want)


def test_a_graph_module_says_what_it_is(path):
    static("block").save(path)
    back = qt.load(path)
    assert isinstance(back, nn.GraphModule)
    assert repr(back).startswith("Block(\n")
    with pytest.raises(RuntimeError, match="Block was read from a file"):
        back.forward(1)


# Files of before, and by others


def test_files_of_version_1():
    known = np.load(REFERENCE / "files.npz")
    back = qt.load(REFERENCE / "model-v1-static.safetensors")
    assert_array_equal(back(known["x"]), known["static"])
    assert "0.scale" in back.state_dict()

    class Words(nn.Module):
        def __init__(self):
            super().__init__()
            self.words = nn.Embedding(12, 8)
            self.encoder = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)
            self.out = nn.Linear(8, 3)

        def forward(self, ids):
            return self.out(self.encoder(self.words(ids)).mean(axis=1))

    assert isinstance(qt.load(REFERENCE / "model-v1-dynamic.safetensors"), dict)
    words = Words()
    words.load_state_dict(REFERENCE / "model-v1-dynamic.safetensors")
    assert isinstance(words.out, nn.quantized.dynamic.Linear)
    # Floats between the layers may be added up in another order than in that version.
    np.testing.assert_allclose(words.eval()(known["ids"]), known["dynamic"], rtol=0, atol=1e-4)


def test_a_parameter_that_the_format_has_no_name_for(path):
    model = nn.Sequential(nn.Linear(2, 2))
    model.register_parameter("__metadata__", [1.0])
    with pytest.raises(ValueError, match="__metadata__"):
        model.save(path)
    assert not path.exists()
