"""Builds a graph from another one."""

from __future__ import annotations

import dataclasses
from typing import TypeVar

from quantray.graph._graph import Graph, Node, Ref, map_wires

T = TypeVar("T")


class Rewriter:
    """Builds a graph from another one, node by node: what a pass replaces, all later nodes take.

    >>> from quantray.graph import Graph, Node, Ref, Rewriter
    >>> nodes = {"x": Node("x", "input"), "y": Node("y", "identity", (Ref("x"),))}
    >>> old = Graph(nodes, (Ref("x"),), {}, Ref("y"))
    >>> made = Rewriter(old)
    >>> for node in old:
    ...     if node.kind == "identity":
    ...         made.replace(Ref(node.name), node.args[0])
    ...     else:
    ...         made.add(node)
    >>> made.graph().output
    Ref(node='x', out=0)
    """

    def __init__(self, graph: Graph) -> None:
        self.old = graph
        self.nodes: dict[str, Node] = {}
        self._new: dict[Ref, Ref] = {}

    def name(self, wanted: str) -> str:
        """A name that no node has, of the old graph or the new one."""
        made, count = wanted, 1
        while made in self.nodes or made in self.old.nodes:
            count += 1
            made = f"{wanted}#{count}"
        return made

    def add(self, node: Node) -> Ref:
        """A node, whose wires are those of the new graph where they were replaced; its first output."""
        mapped = node.but(args=self.map(node.args), kwargs=self.map(dict(node.kwargs)))
        if mapped.name in self.nodes:
            mapped = mapped.but(name=self.name(mapped.name))
        self.nodes[mapped.name] = mapped
        return Ref(mapped.name)

    def replace(self, old: Ref, new: Ref) -> None:
        """Whatever is added from now on takes the new wire where it has the old one."""
        self._new[old] = self.find(new)

    def find(self, ref: Ref) -> Ref:
        """What a wire of the old graph is now."""
        return self._new.get(ref, ref)

    def _made(self, ref: Ref) -> Ref:
        """What a call gave: its own node, as long as that is there, and not what others take in its place."""
        return ref if ref.node in self.nodes else self.find(ref)

    def map(self, tree: T) -> T:
        """Arguments with their wires as they are now."""
        return map_wires(self.find, tree)

    def graph(self, **changes: object) -> Graph:
        """The new graph; its output and guards follow the replacements."""
        old = self.old
        guards = tuple(dataclasses.replace(guard, subject=self.map(guard.subject)) for guard in old.guards)
        calls = tuple(
            dataclasses.replace(call, args=self.map(call.args), output=map_wires(self._made, call.output))
            for call in old.calls
        )
        return old.but(nodes=self.nodes, output=self.map(old.output), guards=guards, calls=calls, **changes)
