"""Models of one node, here and in onnxruntime."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper
from quantray.onnx import Model, load

#: The newest version of operators and of files that the installed onnxruntime knows.
OPSET, IR = 21, 10


def single_node(
    op: str,
    inputs: dict[str, Any],
    outputs: list[str] | None = None,
    *,
    domain: str = "",
    opset: int = OPSET,
    version: int = 1,
    constants: frozenset[str] | set[str] = frozenset(),
    types: dict[str, int] | None = None,
    free: bool = False,
    **attributes: Any,
) -> onnx.ModelProto:
    """A model whose inputs are arrays; an input of None is left out, those in `constants` are initializers.

    `types` are element types that are not those of NumPy's arrays; `free` leaves lengths open; `version` is
    that of another domain.
    """
    types = types or {}
    given, held = [], []
    for name, array in inputs.items():
        if array is None:
            continue
        kind = types.get(name) or helper.np_dtype_to_tensor_dtype(array.dtype)
        if name in constants:
            held.append(
                helper.make_tensor(name, kind, array.shape, array.reshape(-1).tolist())
                if name in types
                else numpy_helper.from_array(array, name)
            )
        else:
            shape = [None] * array.ndim if free else array.shape
            given.append(helper.make_tensor_value_info(name, kind, shape))
    names = [name if array is not None else "" for name, array in inputs.items()]
    outputs = outputs or ["y"]
    node = helper.make_node(op, names, outputs, name="the_node", domain=domain, **attributes)
    made = [onnx.ValueInfoProto(name=name) for name in outputs if name]
    for value in made:
        if value.name in types:
            value.type.tensor_type.elem_type = types[value.name]
    graph = helper.make_graph([node], "one", given, made, held)
    opsets = [helper.make_opsetid("", opset)]
    if domain:
        opsets.append(helper.make_opsetid(domain, version))
    return helper.make_model(graph, opset_imports=opsets, ir_version=IR)


def in_onnxruntime(model: onnx.ModelProto, inputs: dict[str, Any]) -> list[Any]:
    """What onnxruntime makes of it, node by node."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = 1
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    wanted = {value.name for value in session.get_inputs()}
    return session.run(None, {name: np.asarray(array) for name, array in inputs.items() if name in wanted})


def loaded(model: onnx.ModelProto) -> Model:
    """As a model. Outputs have no types in these models, which only inference would find."""
    model = onnx.ModelProto.FromString(model.SerializeToString())
    for value in model.graph.output:
        if not value.type.tensor_type.elem_type:
            value.type.tensor_type.elem_type = TensorProto.FLOAT
    return load(model.SerializeToString())


def here(model: onnx.ModelProto, inputs: dict[str, Any]) -> list[Any]:
    """What quantray makes of it."""
    own = loaded(model)
    wanted = {value.name for value in own.inputs}
    made = own(**{name: array for name, array in inputs.items() if name in wanted})
    return [np.asarray(value) for value in (made if isinstance(made, tuple) else (made,))]
