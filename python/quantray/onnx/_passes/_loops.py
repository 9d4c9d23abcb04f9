"""What loops carry from step to step and never change."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import TypeVar

from quantray.onnx._file import GraphFile, NodeFile
from quantray.onnx._passes._draft import renamed_graph

T = TypeVar("T")


def without_unchanged(node: NodeFile, outputs: tuple[str, ...]) -> tuple[NodeFile, dict[str, str]]:
    """A loop that takes what its steps give on as it is from around it instead, and names of its outputs that
    are the values around it.

    Exporters carry weights so: from around it they are constants, whose layers are recognized and packed
    once. Outputs of the graph keep their loops.

    Parameters
    ----------
    node : NodeFile
        Any node: those that are no loops stay as they are.
    outputs : tuple of str
        Of the graph that the node is in.
    """
    body = node.attributes.get("body")
    if node.op != "Loop" or node.domain not in ("", "ai.onnx") or not isinstance(body, GraphFile):
        return node, {}
    given = set(_given(body))
    sources = {n.outputs[0]: n.inputs[0] for n in body.nodes if n.op == "Identity" and not n.domain}
    inner, around = dict[str, str](), dict[str, str]()
    dropped = set[int]()
    for i, initial in enumerate(node.inputs[2:]):
        if i + 2 >= len(body.inputs) or i + 1 >= len(body.outputs):
            break
        own, made = body.inputs[i + 2].name, body.outputs[i + 1].name
        while made in sources:
            made = sources[made]
        output = node.outputs[i] if i < len(node.outputs) else ""
        if made == own and initial and (initial == own or initial not in given) and output not in outputs:
            inner[own] = initial
            dropped.add(i)
            if output:
                around[output] = initial
    if not dropped:
        return node, {}

    def kept(values: tuple[T, ...], first: int) -> tuple[T, ...]:
        return tuple(value for i, value in enumerate(values) if i - first not in dropped)

    bare = replace(body, inputs=kept(body.inputs, 2), outputs=kept(body.outputs, 1))
    body = renamed_graph(bare, lambda name: inner.get(name, name))
    return (
        replace(
            node,
            inputs=kept(node.inputs, 2),
            outputs=kept(node.outputs, 0),
            attributes={**node.attributes, "body": body},
        ),
        around,
    )


def _given(found: GraphFile) -> Iterator[str]:
    """Names that a graph, and those inside of its nodes, give to values of their own."""
    yield from (value.name for value in found.inputs)
    yield from found.initializers
    for node in found.nodes:
        yield from node.outputs
        for value in node.attributes.values():
            if isinstance(value, GraphFile):
                yield from _given(value)
