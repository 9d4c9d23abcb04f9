"""Whether onnxruntime's products of bytes are exact on this CPU.

On one with AVX2 and without VNNI pairs of products are added in 16 bits, where 255 x 127 twice is too much:
what it makes of quantized models there is nothing to compare with.
"""

import numpy as np
import pytest

onnxruntime = pytest.importorskip("onnxruntime")
pytest.importorskip("onnx")
from onnx import TensorProto, helper  # noqa: E402


def saturates() -> bool:
    """Asked of onnxruntime itself."""
    weights = helper.make_tensor(
        "w", TensorProto.INT8, [64, 64], np.full(4096, 127, np.int8).tobytes(), raw=True
    )
    node = helper.make_node("MatMulInteger", ["x", "w"], ["y"])
    given = helper.make_tensor_value_info("x", TensorProto.UINT8, [64, 64])
    made = helper.make_tensor_value_info("y", TensorProto.INT32, [64, 64])
    graph = helper.make_graph([node], "products", [given], [made], [weights])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    (sums,) = session.run(None, {"x": np.full((64, 64), 255, np.uint8)})
    return bool((sums != 64 * 255 * 127).any())


needs_exact_onnxruntime = pytest.mark.skipif(
    saturates(), reason="onnxruntime's products saturate on this CPU"
)
