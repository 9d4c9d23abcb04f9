"""Which wires of a graph that is being made are codes."""

from __future__ import annotations

from dataclasses import replace
from typing import TypeVar

from quantray.graph import Expr, Graph, Node, Ref, Rewriter
from quantray.graph._called import ArrayOfLengths
from quantray.graph._graph import map_tree, map_wires
from quantray.nn.quantized import Grid
from quantray.quantization._integers import DEQUANTIZE

T = TypeVar("T")


class CodeWires:
    """A graph that takes the place of an old one, in which some wires are codes on a grid."""

    def __init__(self, old: Graph) -> None:
        self.made = Rewriter(old)
        #: For wires of the old graph, those of codes; and for these, those of floats that are there already.
        self.codes: dict[Ref, Ref] = {}
        self.grids: dict[Ref, Grid] = {}
        self.floats: dict[Ref, Ref] = {}

    def graph(self, old: Graph) -> Graph:
        """The whole graph: its output is floats, and its guards ask what they asked."""
        output = self.made.map(self.as_floats(old.output))
        guards = tuple(replace(guard, subject=self.now(guard.subject)) for guard in old.guards)
        args = [self.made.map(self.as_floats(call.args)) for call in old.calls]
        made = self.made.graph()
        calls = tuple(replace(call, args=given) for call, given in zip(made.calls, args, strict=True))
        return made.but(output=output, guards=guards, calls=calls).pruned()

    def now(self, tree: T) -> T:
        """Arguments with what takes the place of old wires, codes or floats."""
        return map_wires(self._now, tree)

    def _now(self, ref: Ref) -> Ref:
        return self.codes.get(ref, self.made.find(ref))

    def as_floats(self, tree: T) -> T:
        """Arguments with floats in the place of codes; lengths are those of the codes."""

        def leaf(value: object) -> object:
            if isinstance(value, Ref):
                return self.as_float(value)
            return self.now(value) if isinstance(value, (Expr, ArrayOfLengths)) else value

        return map_tree(leaf, tree)

    def as_float(self, ref: Ref) -> Ref:
        """The wire of floats for an old wire: where it became codes, what these stand for."""
        code = self.codes.get(ref)
        if code is None:
            return ref
        if code not in self.floats:
            source, name = self.made.nodes[code.node], self.made.name(f"{code.node}.dequantize")
            self.made.nodes[name] = source.become(DEQUANTIZE, (code,), {}, name=name)
            self.floats[code] = Ref(name)
        return self.floats[code]

    def put(self, node: Node, old: Ref, grid: Grid | None) -> None:
        """A node of integers in the place of an old wire; what has no grid gives floats."""
        if node.name in self.made.nodes:
            node = node.but(name=self.made.name(node.name))
        self.made.nodes[node.name] = node
        new = Ref(node.name)
        if grid is None:
            self.made.replace(old, new)
        else:
            self.codes[old] = new
            self.grids[new] = grid

    def alias(self, new: Ref, old: Ref) -> None:
        """What one wire became, another one becomes too."""
        if old in self.codes:
            self.codes[new] = self.codes[old]
        else:
            self.made.replace(new, old)
