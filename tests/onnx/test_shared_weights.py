"""A weight that several layers share is in a saved file once."""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime
import pytest
import quantray as qt
from onnx import TensorProto, helper, numpy_helper
from quantray import nn
from quantray import quantization as tq


class Shared(nn.Module):
    """Layers of one weight, and tables that are a product's weight, too."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(64, 64), nn.Linear(64, 64)
        self.second.weight = self.first.weight

    def forward(self, x):
        return self.first(np.maximum(self.second(np.maximum(self.first(x), 0)), 0))


def file_of_shared(rng):
    """As exporters write such a model: one initializer, which three products take."""
    weight = (rng.standard_normal((64, 64)) / 8).astype(np.float32)
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["a"]),
        helper.make_node("Relu", ["a"], ["b"]),
        helper.make_node("Gemm", ["b", "w"], ["c"], transB=1),
        helper.make_node("Relu", ["c"], ["d"]),
        helper.make_node("MatMul", ["d", "w"], ["y"]),
    ]
    x, y = (helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", 64]) for name in "xy")
    graph = helper.make_graph(nodes, "g", [x], [y], [numpy_helper.from_array(weight, "w")])
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    return qt.onnx.load(made.SerializeToString())


def large(path):
    """Tensors of a file with as many elements as a weight has."""
    return [t for t in onnx.load(path).graph.initializer if np.prod(t.dims) >= 64 * 64]


@pytest.mark.parametrize("way", ["float", "dynamic", "static"])
@pytest.mark.parametrize("of", ["module", "file"])
def test_once_each(rng, tmp_path, of, way):
    model, x = (
        Shared().eval() if of == "module" else file_of_shared(rng),
        rng.standard_normal((9, 64), np.float32),
    )
    if way == "static":
        model = tq.quantize(model, x, verbose=False)
    elif way == "dynamic":
        model = tq.quantize_dynamic(model)
    path = tmp_path / "model.onnx"
    qt.onnx.save(model, path, x)
    # The file's product with the weight turned needs another order of it, unless a layer holds that, too.
    assert len(large(path)) <= (1 if of == "module" else 2)
    want = model(x)
    theirs = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    made = theirs.run(None, {theirs.get_inputs()[0].name: x})[0]
    # Sums of two products of bytes saturate in onnxruntime on CPUs without instructions for them.
    np.testing.assert_allclose(made, want, atol=1e-5 if way == "float" else 0.3 * np.abs(want).max())
    np.testing.assert_allclose(
        qt.onnx.load(path)(x), want, atol=1e-5 if way == "float" else 0.02 * np.abs(want).max()
    )
