"""Models of a few nodes, made with onnx's own helpers, and what onnxruntime makes of them."""

from __future__ import annotations

import numpy as np
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

TYPES = {np.dtype(np.float32): TensorProto.FLOAT, np.dtype(np.int64): TensorProto.INT64}


def made(nodes, inputs, outputs, constants=None, opset=17, free=()):
    """A model as bytes. `inputs` are arrays by name; lengths along the axes in `free` have names."""
    declared = [
        helper.make_tensor_value_info(
            name,
            TYPES[array.dtype],
            [f"{name}_{axis}" if axis in free else n for axis, n in enumerate(array.shape)],
        )
        for name, array in inputs.items()
    ]
    given = [numpy_helper.from_array(np.asarray(value), name) for name, value in (constants or {}).items()]
    graph = helper.make_graph(
        [
            helper.make_node(op, i.split(), o.split(), name=f"/block/{o.split()[0]}/{op}", **a)
            for op, i, o, a in nodes
        ],
        "g",
        declared,
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in outputs],
        given,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)
    return model.SerializeToString()


def session(model):
    options = onnxruntime.SessionOptions()
    options.log_severity_level, options.intra_op_num_threads = 4, 1
    return onnxruntime.InferenceSession(model, options)


def expected(model, inputs):
    """onnxruntime's outputs."""
    return session(model).run(None, inputs)


def steps(model):
    """The operators that a loaded model computes."""
    return [model.get_submodule(row.path)._get_name() for row in model.plan.rows]
