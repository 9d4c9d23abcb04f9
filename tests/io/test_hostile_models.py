"""Damaged and hostile files of models: OSError that says what is wrong, in little time and memory."""

import json
import random
import time
import tracemalloc
import warnings

import numpy as np
import pytest
import quantray as qt
from damage import MODEL, damaged, with_model
from models import MODELS, made, static
from quantray import quantization as tq
from quantray.graph._functions import function_of, may_be_in_file

SEEDS = range(12)
LARGE = 2**31


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """A file of each kind of model."""
    path = tmp_path_factory.mktemp("files") / "model"
    found = {}
    for name in MODELS:
        found[name] = _content(static(name), path)
        found[f"{name}, float"] = _content(made(name), path)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found[f"{name}, dynamic"] = _content(tq.quantize_dynamic(made(name)), path)
    return found


def _content(model, path):
    model.save(path)
    return path.read_bytes()


@pytest.mark.parametrize("seed", SEEDS)
def test_damaged_files(files, seed, tmp_path):
    rng, path = random.Random(seed), tmp_path / "damaged"
    refused = 0
    for _ in range(40):
        name = rng.choice(list(files))
        path.write_bytes(damaged(files[name], rng))
        start = time.process_time()
        try:
            qt.load(path)
        except OSError:
            refused += 1
        assert time.process_time() - start < 1
    assert refused > 15


@pytest.mark.parametrize("seed", SEEDS)
def test_damaged_files_leave_a_model_as_it_was(files, seed, tmp_path):
    rng, path = random.Random(100 + seed), tmp_path / "damaged"
    name = rng.choice([name for name in MODELS if name != "one layer"])
    model, x = made(name), MODELS[name][1]
    before, text = model.state_dict(), repr(model)
    for _ in range(20):
        path.write_bytes(damaged(files[name], rng))
        other = model.copy()
        try:
            other.load_state_dict(path)
        except (OSError, KeyError, ValueError, TypeError):
            assert repr(other) == text
            assert other._runner is None
            assert other.state_dict().keys() == before.keys()
            other(x)


def _of(*entries, **about):
    return {"version": 2, "model": 0, "modules": list(entries), **about}


def _module(kind, **config):
    return {"type": kind, "config": config}


NOT_FOUND = {"nodes": [], "args": {"tuple": []}, "kwargs": {"dict": []}, "guards": [], "refusals": []}


def _graph(*nodes, **about):
    graph = {**NOT_FOUND, "nodes": list(nodes), **about}
    return _of(
        {
            "type": "GraphModule",
            "class": "Net",
            "runner": {"kind": "converted", "prefix": "", "graphs": [graph]},
        }
    )


@pytest.mark.parametrize(
    ("about", "says"),
    [
        (
            _of(_module("Linear", in_features=16384, out_features=16384)),
            "larger than all that the file holds",
        ),
        (_of(_module("Linear", in_features=LARGE, out_features=LARGE)), "larger than all"),
        (_of(_module("Linear", in_features=1e9, out_features=3)), "whole number"),
        (_of(_module("Linear", in_features="x", out_features=3)), "cannot be rebuilt"),
        (_of(_module("Linear", weight=3)), "unexpected keyword"),
        (_of(_module("BatchNorm2d", num_features=2**33)), "larger than all"),
        (_of(_module("LayerNorm", normalized_shape=[2**20, 2**13])), "larger than all"),
        (_of(_module("GroupNorm", num_groups=1, num_channels=2**34)), "larger than all"),
        (_of(_module("PReLU", num_parameters=2**34)), "larger than all"),
        (_of(_module("Embedding", num_embeddings=2**33, embedding_dim=8)), "larger than all"),
        (_of(_module("quantized.Embedding", num_embeddings=2**33, embedding_dim=0)), "larger than all"),
        (
            _of(_module("Conv2d", in_channels=2**15, out_channels=2**15, kernel_size=[9, 9])),
            "larger than all",
        ),
        (_of(_module("LSTM", input_size=1, hidden_size=1, num_layers=2**40)), "larger than all"),
        (
            _of(_module("quantized.dynamic.GRU", input_size=1, hidden_size=1, num_layers=2**40)),
            "larger than all",
        ),
        (_of(_module("quantized.dynamic.Linear", in_features=0, out_features=2**36)), "larger than all"),
        (
            _of(_module("quantized.Linear", shape=[2**37, 0], outputs=0, bias=False, settings=[])),
            "larger than all",
        ),
        (
            _of(_module("quantized.Linear", shape=[1, 1], outputs=2**37, bias=True, settings=[])),
            "larger than all",
        ),
        (
            _of(
                _module(
                    "quantized.Linear",
                    shape=[1, 1],
                    outputs=1,
                    bias=False,
                    settings=[],
                    weight_range=[-200, 9],
                )
            ),
            "weight_range",
        ),
        (_of(_module("MultiheadAttention", embed_dim=2**16, num_heads=1)), "larger than all"),
        (
            _of(
                _module("TransformerEncoder", encoder_layer={"module": 1}, num_layers=2**40), _module("ReLU")
            ),
            "larger than all",
        ),
        (_of(_module("Nothing")), "there is no module 'Nothing'"),
        (_of({"type": ["Linear"]}), "there is no module"),
        (_of({"type": "GraphModule", "class": "Net", "arrays": ["more"]}), "no tensor 'more'"),
        (_of({"type": "Sequential", "children": {"0": 0}}), "inside of itself"),
        (_of({"type": "Sequential", "children": {"0": 7}}), "no module of number 7"),
        (_of({"type": "Sequential", "children": {"a.b": 1}}, _module("ReLU")), "a.b"),
        (
            _of(
                *({"type": "Sequential", "children": {"0": i + 1, "1": i + 1}} for i in range(60)),
                _module("ReLU"),
            ),
            "too many names",
        ),
        (
            _of(*({"type": "Sequential", "children": {"0": i + 1}} for i in range(9999)), _module("ReLU")),
            "nested",
        ),
        (_of(_module("ReLU"), same={"a": "b"}), "'b'"),
        ({"version": 2, "model": 0, "modules": 3}, "must be a list"),
        ({"version": "2"}, "version"),
        ([], "version"),
        ("[" * 100_000, "nested"),
        (
            '{"version":1,"model":{"type":"Sequential","children":'
            + '{"0":{"type":"Sequential","children":' * 5000
            + "{}"
            + "}}" * 5000
            + "}}",
            "nested",
        ),
        ('{"version":2,"model":' + "9" * 100_000 + "}", "digits"),
        (_graph({"name": "x", "kind": "numpy.save"}), "numpy.save"),
        (_graph({"name": "x", "kind": "numpy.os.system"}), "numpy.os.system"),
        (_graph({"name": "x", "kind": "ndarray.tofile"}), "ndarray.tofile"),
        (_graph({"name": "x", "kind": "functional.np"}), "functional.np"),
        (_graph({"name": "x", "kind": "os.system"}), "os.system"),
        (_graph({"name": "x", "kind": "array.into:" * 9999 + "numpy.add"}), "array.into"),
        (
            _graph({"name": "x", "kind": "relu", "args": [{"wire": ["y", 0]}]}),
            "'y', which no node before it makes",
        ),
        (_graph({"name": "x", "kind": "relu", "args": [{"wire": ["x", 0]}]}), "no node before it"),
        (_graph({"name": "x", "kind": "relu"}, {"name": "x", "kind": "relu"}), "two nodes"),
        (_graph({"name": "x", "kind": "input", "facts": [[[1], {"dtype": "<f4"}]]}), "no arguments"),
        (_graph({"name": "x", "kind": "constant"}), "no value of its kind"),
        (_graph({"name": "x", "kind": "constant", "value": {"tensor": "none"}}), "no tensor 'none'"),
        (
            _graph({"name": "x", "kind": "parameter", "value": {"tuple": ["deep.path", "weight"]}}),
            "deep.path",
        ),
        (_graph({"name": "x", "kind": "module", "value": "layer"}), "layer"),
        (_graph({"name": "x", "kind": "int.layer"}), "no value of its kind"),
        (
            _graph(
                {
                    "name": "x",
                    "kind": "int.quantize",
                    "kwargs": {"grid": {"grid": [0.0, 0, "quint8", 0, 255]}},
                }
            ),
            "positive finite float32",
        ),
        (_graph(output={"function": "numpy.load"}), "numpy.load"),
        (_graph(output={"type": "numpy.ndarray"}), "numpy.ndarray"),
        (_graph(output={"dtype": "O"}), "'O'"),
        (_graph(output={"named": ["a", ["b", "__class__"], [1, 2]]}), "no named tuple"),
        (_graph(output={"named": ["a", ["b=print(1)"], [1]]}), "no named tuple"),
        (_graph(output={"length": ["__import__", "os"]}), "__import__"),
        (_graph(output={"dict": [[[], 1]]}), "unhashable"),
        (_graph(output={"code": "print()"}), "no kind of value 'code'"),
    ],
)
def test_hostile_files(about, says, tmp_path):
    path = tmp_path / "hostile"
    qt.save({"weight": np.zeros(3, np.float32)}, path, metadata={MODEL: "{}"})
    path.write_bytes(with_model(path.read_bytes(), about))
    tracemalloc.start()
    start = time.process_time()
    with pytest.raises(OSError, match="cannot read") as error:
        qt.load(path)
    assert time.process_time() - start < 1
    assert tracemalloc.get_traced_memory()[1] < 50_000_000
    tracemalloc.stop()
    assert says in str(error.value)


def test_lengths_are_compared_before_there_is_memory_for_them(tmp_path):
    # A module for each of the numbers that the file holds, all of which are larger than it together.
    path = tmp_path / "many"
    qt.save({"weight": np.zeros(1000, np.float32)}, path, metadata={MODEL: "{}"})
    entry = _module("Linear", in_features=30, out_features=30)
    children = {str(i): i for i in range(1, 2000)}
    about = _of({"type": "Sequential", "children": children}, *[entry] * 1999)
    path.write_bytes(with_model(path.read_bytes(), about))
    with pytest.raises(OSError, match="larger than all"):
        qt.load(path)


@pytest.mark.parametrize(
    "name",
    [
        "numpy.load",
        "numpy.save",
        "numpy.savetxt",
        "numpy.savez",
        "numpy.fromfile",
        "numpy.memmap",
        "numpy.frompyfunc",
        "numpy.vectorize",
        "numpy.lib.stride_tricks.as_strided",
        "numpy.testing.runstring",
        "numpy.ctypeslib.load_library",
        "numpy.os.system",
        "numpy.ndarray",
        "numpy.errstate",
        "scipy.special.os",
        "scipy.io.savemat",
        "ndarray.tofile",
        "ndarray.dump",
        "ndarray.__class__",
        "ndarray.ctypes",
        "functional.__builtins__",
        "functional.np",
        "os.system",
        "builtins.eval",
        "array.into:array.into:numpy.put",
        "array.at:os.system",
        "",
        ".",
        "numpy.",
        "numpy",
    ],
)
def test_names_that_find_nothing(name):
    with pytest.raises(KeyError, match="function"):
        function_of(name)


@pytest.mark.parametrize("name", ["numpy.piecewise", "numpy.apply_along_axis"])
def test_what_calls_others_is_in_no_file(name):
    assert not may_be_in_file(name)


@pytest.mark.parametrize(
    "name",
    [
        "numpy.maximum",
        "numpy.where",
        "numpy.linalg.norm",
        "numpy.fft.rfft",
        "ndarray.reshape",
        "functional.softmax",
        "array.into:numpy.put",
        "array.unview:ndarray.reshape",
        "numpy.lib.stride_tricks.sliding_window_view",
    ],
)
def test_names_that_find_a_function(name):
    assert callable(function_of(name))


def test_json_that_is_not_text(tmp_path):
    path = tmp_path / "model"
    qt.save({"x": np.zeros(1)}, path, metadata={MODEL: json.dumps(None)})
    with pytest.raises(OSError, match="version"):
        qt.load(path)
