"""Files of signals: filters whose logarithm is taken stay in float by default, and say so."""

from __future__ import annotations

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper
from quantray import onnx
from quantray import quantization as tq


def file_of(after):
    """Powers times filters, what follows up to a level, and a classifier."""
    rng = np.random.default_rng(0)
    weights = {"filters": np.abs(rng.standard_normal((33, 8))), "head": rng.standard_normal((8, 2))}
    nodes = [
        helper.make_node("MatMul", ["x", "filters"], ["h"], name="mel"),
        *after,
        helper.make_node("MatMul", ["levels", "head"], ["y"], name="head"),
    ]
    graph = helper.make_graph(
        nodes,
        "signal",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 33])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 2])],
        [numpy_helper.from_array(value.astype(np.float32), name) for name, value in weights.items()]
        + [numpy_helper.from_array(np.float32(1e-5), "least")],
    )
    return helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8
    ).SerializeToString()


TO_LEVELS = [
    helper.make_node("Add", ["h", "least"], ["positive"]),
    helper.make_node("Log", ["positive"], ["levels"]),
]


def test_filters_stay_in_float():
    model = onnx.load(file_of(TO_LEVELS))
    power = (10 ** np.random.default_rng(1).uniform(-6, 2, (16, 33))).astype(np.float32)
    with pytest.warns(UserWarning, match=r"left in float, unless qconfig_spec names them: mel \(a root or"):
        small = tq.quantize_dynamic(model)
    bits = {line.name: line.bits for line in tq.report(small).lines}
    assert (bits["mel"], bits["head"]) == ("w32", "w8 a8")
    np.testing.assert_allclose(small(power), model(power), rtol=0.05, atol=0.2)


def test_a_name_goes_first():
    small = tq.quantize_dynamic(onnx.load(file_of(TO_LEVELS)), {"mel"})
    assert {line.name: line.bits for line in tq.report(small).lines}["mel"] == "w8 a8"


def test_other_layers_are_quantized():
    after = [helper.make_node("Tanh", ["h"], ["levels"])]
    small = tq.quantize_dynamic(onnx.load(file_of(after)))
    assert {line.bits for line in tq.report(small).lines if line.name in ("mel", "head")} == {"w8 a8"}
