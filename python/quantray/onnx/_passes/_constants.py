"""Values of a graph that are known: initializers, and what Constant nodes hold."""

from __future__ import annotations

from typing import Any

import numpy as np

from quantray.onnx._file import GraphFile, NodeFile, Tensor

#: Larger arrays are not looked into by passes that only want settings.
_SMALL = 1 << 16


def constants_of(found: GraphFile) -> dict[str, Any]:
    """Tensors by name."""
    known: dict[str, Any] = dict(found.initializers)
    for node in found.nodes:
        value = node.attributes.get("value") if node.op == "Constant" and node.domain == "" else None
        if isinstance(value, Tensor):
            known[node.outputs[0]] = value
    return known


def integers_of(node: NodeFile, at: int, attribute: str, known: dict[str, Any]) -> list[int] | None:
    """A setting that is an attribute or an input; None where it is not known."""
    given = node.attributes.get(attribute)
    if given is not None:
        return [int(n) for n in given] if isinstance(given, tuple) else None
    name = node.inputs[at] if at < len(node.inputs) else ""
    tensor = known.get(name)
    if tensor is None or int(np.prod(tensor.shape)) > _SMALL:
        return None
    return [int(n) for n in tensor.array().reshape(-1)]
