"""Names of values in a graph, and in the graphs inside of its nodes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from quantray.onnx._file import GraphFile, NodeFile


def rename_uses(node: NodeFile, names: Mapping[str, str]) -> NodeFile:
    """A node that takes other values in the place of some, also in its graphs."""
    if not names:
        return node
    attributes = {
        name: _in_graph(value, names) if isinstance(value, GraphFile) else value
        for name, value in node.attributes.items()
    }
    inputs = tuple(names.get(name, name) for name in node.inputs)
    return replace(node, inputs=inputs, attributes=attributes)


def _in_graph(found: GraphFile, names: Mapping[str, str]) -> GraphFile:
    """A graph inside of a node, whose own names hide those around it."""
    own = {value.name for value in found.inputs} | set(found.initializers)
    own |= {name for node in found.nodes for name in node.outputs}
    rest = {old: new for old, new in names.items() if old not in own}
    if not rest:
        return found
    nodes = tuple(rename_uses(node, rest) for node in found.nodes)
    outputs = tuple(replace(value, name=rest.get(value.name, value.name)) for value in found.outputs)
    return replace(found, nodes=nodes, outputs=outputs)


def inner_names(value: Any) -> set[str]:
    """All names that a graph inside of a node gives or takes."""
    if not isinstance(value, GraphFile):
        return set()
    found = {v.name for v in (*value.inputs, *value.outputs)} | set(value.initializers)
    for node in value.nodes:
        found |= {*node.inputs, *node.outputs}
        for inner in node.attributes.values():
            found |= inner_names(inner)
    return found


def uses(nodes: Iterable[NodeFile], outputs: Iterable[str]) -> Counter[str]:
    """How often each value is taken; what a graph inside of a node may take counts more than once."""
    counts: Counter[str] = Counter(outputs)
    for node in nodes:
        counts.update(name for name in node.inputs if name)
        for value in node.attributes.values():
            for name in inner_names(value):
                counts[name] += 2
    return counts
