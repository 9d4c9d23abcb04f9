"""The files that the tests of the command line read, and a way to run it."""

from __future__ import annotations

import json

import numpy as np
import onnx
import pytest
import quantray as qt
from onnx import TensorProto, helper, numpy_helper
from quantray import nn
from quantray._cli import main


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Files that the tests read: two models, data that fit them, data that do not."""
    made = tmp_path_factory.mktemp("cli")
    rng = np.random.default_rng(0)
    qt.manual_seed(0)
    ours = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 4)).eval()
    x = rng.standard_normal((48, 8)).astype(np.float32)
    qt.onnx.save(ours, made / "ours.onnx", x[:2], input_names=["x"], output_names=["y"])
    onnx.save(theirs(rng), made / "theirs.onnx")
    onnx.save(fours(), made / "fours.onnx")
    np.savez(made / "data.npz", x=x)
    np.savez(made / "seven.npz", x=x[:7])
    np.savez(made / "none.npz", x=x[:0])
    np.save(made / "data.npy", x)
    np.savez(made / "other.npz", left=x, right=x)
    np.savez(made / "wide.npz", x=rng.standard_normal((48, 9)).astype(np.float32))
    np.savez(made / "words.npz", x=np.array(["a", "b"]))
    np.savez(made / "two.npz", a=x, b=x[:, :4])
    np.savez(made / "uneven.npz", a=x, b=x[:7, :4])
    (made / "no.onnx").write_bytes(b"this is no model")
    (made / "empty.onnx").write_bytes(b"")
    (made / "archive.npz").write_bytes(b"PK\x03\x04 and no more")
    whole = bytearray((made / "data.npz").read_bytes())
    whole[200:300] = bytes(100)
    (made / "half.npz").write_bytes(whole)
    (made / "half.npy").write_bytes((made / "data.npy").read_bytes()[:400])
    np.save(made / "objects.npy", np.array([{}], object), allow_pickle=True)
    (made / "no.npz").write_bytes(b"nor is this an archive")
    return made


def theirs(rng):
    """`y = a @ w + pad(b)` of two inputs, with names of their own, as other tools write it."""
    weight = rng.standard_normal((8, 4)).astype(np.float32)
    nodes = [
        helper.make_node("MatMul", ["a", "w"], ["product"], name="the_product"),
        helper.make_node("Add", ["product", "b"], ["y"], name="the_sum"),
    ]
    inputs = [
        helper.make_tensor_value_info("a", TensorProto.FLOAT, ["batch", 8]),
        helper.make_tensor_value_info("b", TensorProto.FLOAT, ["batch", 4]),
    ]
    outputs = [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", 4])]
    graph = helper.make_graph(nodes, "two", inputs, outputs, [numpy_helper.from_array(weight, "w")])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)


def fours():
    """Exponentials of four numbers at a time: a file whose batch is fixed."""
    value = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [4, 8]) for name in "xy"]
    graph = helper.make_graph([helper.make_node("Exp", ["x"], ["y"])], "fours", value[:1], value[1:])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)


@pytest.fixture
def run(folder, capsys, tmp_path, monkeypatch):
    """Runs a command in the folder of the files; its exit code, output and errors."""
    monkeypatch.chdir(folder)

    def call(*words):
        try:
            code = main([str(word) for word in words])
        except SystemExit as error:  # argparse's own way to end
            code = error.code
        said = capsys.readouterr()
        return code, said.out, said.err

    return call


@pytest.fixture
def one_object():
    """What reads the only thing that was printed: a JSON object."""

    def read(text):
        assert text.count("\n") == 1
        found = json.loads(text)
        assert isinstance(found, dict)
        return found

    return read
