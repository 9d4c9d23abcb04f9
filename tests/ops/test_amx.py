"""A tile configuration of AMX belongs to the thread: whoever had one before us finds it again."""

import numpy as np
import pytest
import quantray as qt
from numpy.testing import assert_array_equal

AMX = "amx" in qt.cpu_info()["available"]


def session(onnxruntime, weights):
    """onnxruntime's product of 8-bit integers, on the calling thread alone."""
    onnx = pytest.importorskip("onnx", reason="onnx, which makes the model, is not installed")
    helper, kinds = onnx.helper, onnx.TensorProto
    graph = helper.make_graph(
        [helper.make_node("MatMulInteger", ["x", "w"], ["y"])],
        "product",
        [helper.make_tensor_value_info("x", kinds.UINT8, ["m", weights.shape[0]])],
        [helper.make_tensor_value_info("y", kinds.INT32, ["m", weights.shape[1]])],
        [onnx.numpy_helper.from_array(weights, "w")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )


@pytest.mark.skipif(not AMX, reason="this CPU, or the system, has no AMX")
def test_onnxruntime_goes_on_after_us(rng):
    onnxruntime = pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")
    x = rng.integers(0, 256, (64, 256)).astype(np.uint8)
    w = rng.integers(-128, 128, (256, 96)).astype(np.int8)
    wanted = x.astype(np.int64) @ w.astype(np.int64)
    peer = session(onnxruntime, w)
    before = qt.cpu_info()
    qt.set_isa("amx")
    qt.set_num_threads(1)
    try:
        for rows in (5, 16, 17, 32, 64):
            assert_array_equal(peer.run(None, {"x": x[:rows]})[0], wanted[:rows])
            assert_array_equal(qt.ops.int_mm(x[:rows], w), wanted[:rows])
            assert_array_equal(peer.run(None, {"x": x[:rows]})[0], wanted[:rows])
    finally:
        qt.set_isa(before["isa"])
        qt.set_num_threads(before["num_threads"])
