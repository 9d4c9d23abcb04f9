"""Moves of elements that undo each other, or that are one together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from quantray.onnx._file import NodeFile
from quantray.onnx._passes._draft import Draft


def transpositions(draft: Draft, node: NodeFile) -> NodeFile | None:
    """Of two transpositions the second one does what both do, or nothing is left of it."""
    before = None if node.op != "Transpose" else draft.producer(node.inputs[0], "Transpose")
    if before is None or node.domain not in ("", "ai.onnx"):
        return None
    first: Sequence[int] | None = before.attributes.get("perm")
    second: Sequence[int] | None = node.attributes.get("perm")
    if first is None or second is None or len(first) != len(second):
        return None
    order = tuple(int(first[int(axis)]) for axis in second)
    if order == tuple(range(len(order))):
        return replace(node, op="Identity", inputs=before.inputs, attributes={})
    return replace(node, inputs=before.inputs, attributes={"perm": order})


def reshapes(draft: Draft, node: NodeFile) -> NodeFile | None:
    """Of two reshapes the second one is enough, where its shape is known."""
    before = _before(draft, node, "Reshape")
    if before is None or len(node.inputs) != 2:
        return None
    shape = draft.constant(node.inputs[1])
    # A length of 0 is that of the array before, which is another one then.
    if shape is None or not shape.all():
        return None
    return replace(node, inputs=(before.inputs[0], node.inputs[1]))


def _before(draft: Draft, node: NodeFile, op: str) -> NodeFile | None:
    if node.op != op or node.domain not in ("", "ai.onnx"):
        return None
    found = draft.producer(node.inputs[0], op)
    return found if found is not None and draft.is_used_once(node.inputs[0]) else None


def drop_identities(draft: Draft) -> None:
    """What takes their outputs takes their inputs; those whose output is the graph's stay."""
    gone = [
        node
        for node in draft.nodes
        if node.op == "Identity" and node.domain in ("", "ai.onnx") and node.outputs[0] not in draft.outputs
    ]
    if gone:
        draft.rename({node.outputs[0]: node.inputs[0] for node in gone})
        draft.prune()
