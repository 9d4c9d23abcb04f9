"""What computes nothing leaves a graph: Identity, Dropout outside of training, moves that undo each other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from quantray.onnx._file import GraphFile, NodeFile
from quantray.onnx._passes._constants import constants_of, integers_of
from quantray.onnx._passes._rename import rename_uses, uses


def clean(found: GraphFile) -> GraphFile:
    """A graph that computes the same with fewer nodes; those inside of its nodes are cleaned, too."""
    nodes = [_cleaned_inside(node) for node in found.nodes]
    nodes = _without_identities(found, nodes)
    nodes = _merged_moves(found, nodes)
    return replace(found, nodes=tuple(nodes))


def _cleaned_inside(node: NodeFile) -> NodeFile:
    graphs = {name: clean(v) for name, v in node.attributes.items() if isinstance(v, GraphFile)}
    return replace(node, attributes={**node.attributes, **graphs}) if graphs else node


def _is_identity(node: NodeFile) -> bool:
    if node.domain or not node.inputs or not node.inputs[0]:
        return False
    if node.op == "Identity":
        return True
    is_training = len(node.inputs) > 2 and bool(node.inputs[2])
    return node.op == "Dropout" and not any(node.outputs[1:]) and not is_training


def _without_identities(found: GraphFile, nodes: Sequence[NodeFile]) -> list[NodeFile]:
    """What takes their outputs takes their inputs; a graph's own outputs keep their names."""
    results = {value.name for value in found.outputs}
    names: dict[str, str] = {}
    kept: list[NodeFile] = []
    for node in nodes:
        node = rename_uses(node, names)
        if _is_identity(node) and node.outputs[0] not in results:
            names[node.outputs[0]] = node.inputs[0]
        else:
            kept.append(node)
    return kept


def _merged_moves(found: GraphFile, nodes: list[NodeFile]) -> list[NodeFile]:
    """A transposition or a reshape of what nothing else takes, and that is one itself, becomes one with it."""
    known = constants_of(found)
    results = [value.name for value in found.outputs]
    while True:
        taken = uses(nodes, results)
        made_by = {name: i for i, node in enumerate(nodes) for name in node.outputs}
        merged = next(
            (pair for i in range(len(nodes)) if (pair := _merged(i, nodes, made_by, taken, known)) is not None), None
        )
        if merged is None:
            return nodes
        at, before, node = merged
        nodes = [node if i == at else each for i, each in enumerate(nodes) if i != before]
        if node.op == "Identity":
            nodes = _without_identities(found, nodes)


def _merged(
    at: int, nodes: Sequence[NodeFile], made_by: dict[str, int], taken: Any, known: dict[str, Any]
) -> tuple[int, int, NodeFile] | None:
    """The place of a node, that of the one before it, and what both are together."""
    node = nodes[at]
    if node.domain or node.op not in ("Transpose", "Reshape") or not node.inputs:
        return None
    before_at = made_by.get(node.inputs[0])
    if before_at is None or taken[node.inputs[0]] != 1:
        return None
    before = nodes[before_at]
    if before.op != node.op or before.domain:
        return None
    inputs = (before.inputs[0], *node.inputs[1:])
    if node.op == "Reshape":
        shape = integers_of(node, 1, "shape", known)
        # A length of 0 is that of the array before, which is another one then.
        if shape is None or 0 in shape:
            return None
        return at, before_at, replace(node, inputs=inputs)
    first, second = before.attributes.get("perm"), node.attributes.get("perm")
    if not isinstance(first, tuple) or not isinstance(second, tuple) or len(first) != len(second):
        return None
    order = tuple(int(first[int(axis)]) for axis in second)
    if order == tuple(range(len(order))):
        return at, before_at, replace(node, op="Identity", inputs=inputs, attributes={})
    return at, before_at, replace(node, inputs=inputs, attributes={"perm": order})
