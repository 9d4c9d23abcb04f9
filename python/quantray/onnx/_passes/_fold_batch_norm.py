"""A batch norm behind a convolution becomes part of its weight and bias.

Only where nothing else takes the convolution's output, and all that both hold is constant.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from quantray.onnx._file import GraphFile, NodeFile, Tensor
from quantray.onnx._passes._constants import constants_of
from quantray.onnx._passes._rename import uses

Array = Any


def fold_batch_norm(found: GraphFile) -> GraphFile:
    """A graph without batch norms behind convolutions that have constant weights.

    Source: Krishnamoorthi, "Quantizing deep convolutional networks for efficient inference",
    https://arxiv.org/abs/1806.08342, section 3.2.2.
    """
    made_by = {name: node for node in found.nodes for name in node.outputs}
    taken = uses(found.nodes, (value.name for value in found.outputs))
    known = constants_of(found)
    initializers = dict(found.initializers)
    folded: dict[int, NodeFile] = {}
    gone: set[int] = set()
    for node in found.nodes:
        before = made_by.get(node.inputs[0]) if _is_batch_norm(node) else None
        if before is None or taken[node.inputs[0]] != 1 or not _is_convolution(before):
            continue
        names = (*before.inputs[1:3], *node.inputs[1:5])
        if any(name and not isinstance(known.get(name), Tensor) for name in names):
            continue
        weight, bias = _folded(before, node, known)
        if weight is None:
            continue
        stem = node.outputs[0]
        tensors = {f"{stem}/weight": weight, f"{stem}/bias": bias}
        if any(name in known or name in made_by for name in tensors):
            continue
        for name, array in tensors.items():
            initializers[name] = Tensor.of(name, array)
        inputs = (before.inputs[0], *tensors)
        folded[id(before)] = replace(before, inputs=inputs, outputs=(node.outputs[0],))
        gone.add(id(node))
    if not gone:
        return found
    nodes = tuple(folded.get(id(node), node) for node in found.nodes if id(node) not in gone)
    used = uses(nodes, (value.name for value in found.outputs))
    kept = {name: tensor for name, tensor in initializers.items() if used[name] or not taken[name]}
    return replace(found, nodes=nodes, initializers=kept)


def _is_batch_norm(node: NodeFile) -> bool:
    """By the statistics that it holds, of channels, with no other output that anything takes."""
    attributes = node.attributes
    return (
        node.op == "BatchNormalization"
        and node.domain == ""
        and len(node.inputs) == 5
        and not any(node.outputs[1:])
        and not attributes.get("training_mode", 0)
        and bool(attributes.get("spatial", 1))
    )


def _is_convolution(node: NodeFile) -> bool:
    return node.op in ("Conv", "ConvTranspose") and node.domain == "" and len(node.inputs) >= 2


def _folded(conv: NodeFile, norm: NodeFile, known: dict[str, Any]) -> tuple[Array, Array]:
    """Weight and bias; None where they do not fit."""
    weight = known[conv.inputs[1]].array()
    if weight.dtype.kind != "f":
        return None, None
    scale, shift, mean, var = (known[name].array().astype(np.float64) for name in norm.inputs[1:5])
    group: Any = conv.attributes.get("group", 1)
    is_transposed = conv.op == "ConvTranspose"
    outputs = weight.shape[1] * group if is_transposed else weight.shape[0]
    if any(x.shape != (outputs,) for x in (scale, shift, mean, var)):
        return None, None
    epsilon: Any = norm.attributes.get("epsilon", 1e-5)
    factor = scale / np.sqrt(var + epsilon)
    if not np.isfinite(factor).all():
        return None, None
    if is_transposed:
        # Inputs come first, and each group has its own outputs.
        parts = weight.reshape(group, -1, *weight.shape[1:]).astype(np.float64)
        made = parts * factor.reshape(group, 1, -1, *(1,) * (weight.ndim - 2))
        made = made.reshape(weight.shape)
    else:
        made = weight.astype(np.float64) * factor.reshape(-1, *(1,) * (weight.ndim - 1))
    has_bias = len(conv.inputs) > 2 and conv.inputs[2]
    bias = known[conv.inputs[2]].array().astype(np.float64) if has_bias else 0.0
    return made.astype(np.float32), ((bias - mean) * factor + shift).astype(np.float32)
