"""Operators that are not here, by the reference evaluator of the `onnx` package, where that is installed.

It is slow, and it takes NumPy's arrays alone: a captured graph runs such a step as Python.
"""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Mapping
from typing import cast

import numpy as np

from quantray.onnx._file import GraphFile, NodeFile, SparseTensor, Tensor
from quantray.onnx.operators import Array, Call, Operator, Outputs


def reference(node: NodeFile, versions: Mapping[str, int]) -> Operator | None:
    """What computes a node; None where `onnx` is not installed, or has no such operator either."""
    if any(isinstance(value, GraphFile) for value in node.attributes.values()) or "Sequence" in node.op:
        # Sequences are no arrays.
        return None
    if importlib.util.find_spec("onnx") is None:
        return None
    onnx = importlib.import_module("onnx")
    evaluator = importlib.import_module("onnx.reference").ReferenceEvaluator
    helper = importlib.import_module("onnx.helper")
    domain = "" if node.domain == "ai.onnx" else node.domain
    version = versions.get(domain, 1)
    try:
        attributes = {name: _given(value) for name, value in node.attributes.items()}
        made = helper.make_node(node.op, node.inputs, node.outputs, node.name, domain=domain, **attributes)
        inputs = [
            helper.make_value_info(name, onnx.TypeProto()) for name in dict.fromkeys(node.inputs) if name
        ]
        outputs = [helper.make_value_info(name, onnx.TypeProto()) for name in node.outputs if name]
        whole = helper.make_graph([made], "node", inputs, outputs)
        opsets = [helper.make_opsetid(domain, version)]
        found = evaluator(helper.make_model(whole, opset_imports=opsets))
    except Exception:
        # It has no such operator, or not in this version, and says so in errors of many classes.
        return None

    def function(call: Call, *inputs: Array) -> Outputs:
        given = {name: np.asarray(x) for name, x in zip(node.inputs, inputs, strict=True) if name}
        made = iter(found.run(None, given))
        values = [next(made) if name else None for name in node.outputs]
        return values[0] if len(values) == 1 else tuple(values)

    return Operator(function, is_reference=True)


def _given(value: object) -> object:
    """An attribute as the helper of `onnx` takes it."""
    if isinstance(value, (Tensor, SparseTensor)):
        numpy_helper = importlib.import_module("onnx.numpy_helper")
        return numpy_helper.from_array(np.ascontiguousarray(value.array()))
    return list(cast("tuple[object, ...]", value)) if isinstance(value, tuple) else value
