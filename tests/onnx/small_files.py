"""Files of a few nodes, called here and in onnxruntime."""

from __future__ import annotations

import numpy as np
import onnxruntime
from onnx import TensorProto, helper, numpy_helper
from quantray.onnx import load


def value(name, shape, dtype=TensorProto.FLOAT):
    """An input or an output of a graph."""
    return helper.make_tensor_value_info(name, dtype, shape)


def file_of(nodes, inputs, outputs, initializers=(), *, opset=17):
    """A whole model."""
    held = [numpy_helper.from_array(array, name) for name, array in initializers]
    graph = helper.make_graph(nodes, "tested", inputs, outputs, held)
    imports = [helper.make_opsetid("", opset)]
    return helper.make_model(graph, opset_imports=imports, ir_version=8, producer_name="tests")


def peer(proto, feeds, outputs=None):
    """What onnxruntime makes of it."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = 1
    data = proto if isinstance(proto, bytes) else proto.SerializeToString()
    session = onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
    return session.run(outputs, feeds)


def agrees(proto, feeds, *, rtol=1e-5, atol=1e-5):
    """The same here and there, twice: node by node, and by the program that the second call makes."""
    model = load(proto.SerializeToString())
    want = peer(proto, feeds)
    for _ in range(3):
        got = model.run(None, feeds)
        assert len(got) == len(want)
        for one, two in zip(got, want, strict=True):
            assert np.asarray(one).dtype == two.dtype
            assert np.shape(one) == np.shape(two)
            np.testing.assert_allclose(one, two, rtol=rtol, atol=atol)
    return model
