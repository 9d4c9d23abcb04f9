"""What programs for onnxruntime and NNCF do with models, readers and names, done with a model of a file."""

import importlib

import numpy as np
import onnx
import pytest
import quantray as qt
from onnx import TensorProto, helper, numpy_helper
from quantray import nn
from quantray import quantization as tq


@pytest.fixture(scope="module")
def proto():
    rng = np.random.default_rng(0)
    weights = {"w": rng.standard_normal((8, 3, 3, 3)), "v": rng.standard_normal((4, 8, 1, 1))}
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["a"], "/layer1/conv/Conv", pads=[1] * 4),
        helper.make_node("Relu", ["a"], ["b"], "/layer1/act/Relu"),
        helper.make_node("Conv", ["b", "v"], ["y"], "/head/Conv"),
    ]
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 3, 8, 8])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 4, 8, 8])],
        [numpy_helper.from_array(w.astype(np.float32), name) for name, w in weights.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


@pytest.fixture
def model(proto):
    return qt.onnx.load(proto)


def feeds():
    return ({"x": np.random.default_rng(i).standard_normal((2, 3, 8, 8), np.float32)} for i in range(4))


class Reader:
    """onnxruntime's CalibrationDataReader of before it could be iterated over."""

    def __init__(self):
        self.left = feeds()

    def get_next(self):
        return next(self.left, None)


class Dataset:
    """NNCF's: items, and what makes a model's inputs of one."""

    def get_inference_data(self, indices=None):
        return feeds()


def test_a_message_is_a_model(proto, model, tmp_path):
    onnx.save(proto, tmp_path / "model.onnx")
    x = next(feeds())["x"]
    np.testing.assert_array_equal(model(x), qt.onnx.load(tmp_path / "model.onnx")(x))


def test_a_session_is_a_model(proto, model):
    session = pytest.importorskip("onnxruntime").InferenceSession
    feed = next(feeds())
    theirs = session(proto.SerializeToString(), providers=["CPUExecutionProvider"])
    assert [value.name for value in model.get_inputs()] == [value.name for value in theirs.get_inputs()]
    assert model.get_outputs()[0].shape == tuple(theirs.get_outputs()[0].shape)
    for names in ([], None, ["y"]):
        want = theirs.run(names, feed)
        got = model.run(names, feed)
        assert len(got) == len(want) == 1
        np.testing.assert_allclose(got[0], want[0], rtol=1e-4, atol=1e-4)
    assert model.run(output_names=None, input_feed=feed)[0].shape == (2, 4, 8, 8)


@pytest.mark.parametrize("data", [Reader, Dataset])
def test_readers_of_other_tools_are_batches(data, model):
    want = tq.quantize(model, list(feeds()), verbose=False)
    got = tq.quantize(model, data(), verbose=False)
    x = next(feeds())["x"]
    np.testing.assert_array_equal(got(x), want(x))


def test_nodes_are_called_as_the_file_does(model):
    mapping = tq.get_default_qconfig_mapping().set_module_name("/layer1/conv/Conv", None)
    int8 = tq.quantize(model, list(feeds()), mapping, verbose=False)
    kinds = {node.name: node.kind for node in int8.graph}
    assert kinds["head"] == "int.layer"
    assert kinds["layer1.conv"] != "int.layer"
    assert mapping.module_name_qconfigs == {"/layer1/conv/Conv": None}
    spec = {nn.Conv2d: tq.per_channel_dynamic_qconfig, "/head/Conv": None}
    small = tq.quantize_dynamic(model, spec)
    assert type(small.get_submodule("head")) is nn.Conv2d
    assert type(small.get_submodule("layer1.conv")) is not nn.Conv2d


@pytest.mark.parametrize(
    ("module", "name", "says"),
    [
        ("quantray.onnx", "InferenceSession", "get_inputs"),
        ("quantray.onnx", "quantize_static", "quantization.quantize"),
        ("quantray.quantization", "CalibrationDataReader", "taken as they are"),
        ("quantray.quantization", "IgnoredScope", "set_module_name"),
        ("quantray", "quantize_with_accuracy_control", "max_drop"),
        ("quantray.analysis", "create_weight_matching", "compare"),
    ],
)
def test_their_names_are_answered(module, name, says):
    with pytest.raises(AttributeError, match=says):
        getattr(importlib.import_module(module), name)
    with pytest.raises(ImportError, match=says):
        exec(f"from {module} import {name}")


def test_paths_and_messages_are_no_models_yet(proto):
    for given in ("model.onnx", proto):
        with pytest.raises(TypeError, match=r"quantray\.onnx\.load"):
            tq.quantize(given, [np.zeros((1, 3, 8, 8), np.float32)])
    with pytest.raises(ValueError, match=r"'Conv'.*types are classes"):
        tq.quantize_dynamic(qt.onnx.load(proto), {"Conv"})
