"""QuantizeLinear and DequantizeLinear as one node: floats that are rounded to a grid.

What lies between the two moves integers alone, if anything: it moves the rounded floats then. Integers that
something else takes, or that the model returns, are made of the rounded floats again.
"""

# Arguments of nodes are trees of whatever functions take: their leaves have no type that could be said.
# pyright: reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportUnknownMemberType=false

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TypeVar

import numpy as np

from quantray.graph import Fact, Graph, Node, Ref, Rewriter
from quantray.graph._called import Called
from quantray.graph._graph import map_tree
from quantray.nn.quantized._grid import Grid
from quantray.onnx._integers._grids import (
    DEQUANTIZE,
    FAKE,
    QUANTIZE,
    constant_of,
    grid_and_why,
    is_exact_move,
)

T = TypeVar("T")
_FLOAT = np.dtype(np.float32)
#: What cuts integers to fewer than their type has: torch's 7 bits.
_LIMITS = ("numpy.minimum", "numpy.maximum")


def fake(name: str, x: Ref, grid: Grid, like: Node) -> Node:
    """A node that rounds floats to a grid."""
    kind = {"qint8": "int8", "quint8": "uint8"}[grid.dtype]
    facts = (Fact(like.facts[0].shape, _FLOAT),)
    args = (x, grid.scale, grid.zero_point)
    ends = {} if grid.is_full else {"low": grid.quant_min, "high": grid.quant_max}
    return Node(name, FAKE, args, {"kind": kind, **ends}, facts, like.scope, like.at, grid)


class _Pairs:
    """The pass over one graph."""

    def __init__(self, graph: Graph) -> None:
        self.old, self.made = graph, Rewriter(graph)
        #: Wires of integers as those of the rounded floats that they stand for, and their grids.
        self.floats: dict[Ref, Ref] = {}
        self.grids: dict[Ref, Grid] = {}
        #: Wires of integers, and the floats that were quantized to them.
        self.sources: dict[Ref, Ref] = {}
        #: Wires of floats, rounded to a grid already.
        self._known: dict[tuple[Ref, Grid], Ref] = {}
        #: Nodes that stay, and why.
        self.why: dict[str, str] = {}
        #: By the names of nodes that take integers, which ones take the place of those of the file.
        self._taken: dict[str, dict[Ref, Ref]] = {}
        for node in graph:
            self._add(node)

    def _add(self, node: Node) -> None:
        source = node.args[0] if node.args and isinstance(node.args[0], Ref) else None
        if node.kind == QUANTIZE and source is not None:
            grid, why = grid_and_why(node, self.old)
            if grid is not None and self.old.fact(source).dtype == _FLOAT:
                self._note(node, self._rounded(node, source, grid), grid)
                self.sources[Ref(node.name)] = source
                return
            self.why[node.name] = why
        elif source in self.sources and node.kind in _LIMITS:
            grid = self._limited(node, self.grids[source])
            if grid is not None:
                x = self.sources[source]
                self._note(node, self._rounded(node, x, grid), grid)
                self.sources[Ref(node.name)] = x
                return
        elif node.kind == DEQUANTIZE and source is not None:
            grid, why = grid_and_why(node, self.old)
            known = self.grids.get(source)
            if grid is not None and known is not None and known[:3] == grid[:3]:
                self.made.replace(Ref(node.name), self.floats[source])
                return
            if grid is not None:
                # Integers that come from somewhere else: what they stand for is on the grid as it is.
                self._put(node)
                rounded = fake(self.made.name(f"{node.name}.codes"), Ref(node.name), grid, node)
                self.made.nodes[rounded.name] = rounded
                self.made.replace(Ref(node.name), Ref(rounded.name))
                return
            self.why[node.name] = why
        elif source in self.floats and is_exact_move(node) and not set(node.inputs[1:]) & set(self.floats):
            moved = node.but(
                args=(self.floats[source], *node.args[1:]), facts=(Fact(node.facts[0].shape, _FLOAT),)
            )
            self._note(node, self.made.add(moved), self.grids[source])
            return
        self._put(node)

    def _limited(self, node: Node, grid: Grid) -> Grid | None:
        """The grid of integers that are cut to a part of their range."""
        end = constant_of(node.args[1], self.old) if len(node.args) == 2 else None
        if end is None or end.size != 1 or node.kwargs:
            return None
        code = int(end.reshape(()))
        low, high = grid[3:]
        low, high = (max(low, code), high) if node.kind == "numpy.maximum" else (low, min(high, code))
        return grid._replace(quant_min=low, quant_max=high) if low < high else None

    def _note(self, node: Node, floats: Ref, grid: Grid) -> None:
        self.floats[Ref(node.name)], self.grids[Ref(node.name)] = floats, grid
        # Lengths of the integers are those of the floats.
        self.made.replace(Ref(node.name), floats)

    def _rounded(self, node: Node, source: Ref, grid: Grid) -> Ref:
        key = self.made.find(source), grid
        if key not in self._known:
            made = fake(node.name, key[0], grid, node)
            self.made.nodes[made.name] = made
            self._known[key] = Ref(made.name)
        return self._known[key]

    def _put(self, node: Node) -> None:
        """A node as it is; integers that it takes are made of the floats."""
        taken = {ref: self._integers(ref) for ref in dict.fromkeys(node.inputs) if ref in self.floats}
        self._taken[node.name] = taken
        args, kwargs = _with(taken, node.args), _with(taken, dict(node.kwargs))
        self.made.add(node.but(args=args, kwargs=kwargs))

    def _integers(self, ref: Ref) -> Ref:
        """The integers of rounded floats."""
        grid, source = self.grids[ref], self.floats[ref]
        fact = self.old.fact(ref)
        node = self.old.nodes[ref.node]
        made = Node(
            self.made.name(f"{ref.node}.integers"),
            QUANTIZE,
            (source, np.float32(grid.scale), fact.dtype.type(grid.zero_point)),
            {"kind": str(fact.dtype)},
            (fact,),
            node.scope,
            node.at,
        )
        self.made.nodes[made.name] = made
        return Ref(made.name)

    def graph(self) -> Graph:
        """The graph, whose outputs are integers where they were."""
        taken = {ref: self._integers(ref) for ref in dict.fromkeys(self.old.outputs) if ref in self.floats}
        output, made = _with(taken, self.old.output), self.made.graph()
        # Operators that are written as they were take integers, too.
        calls = tuple(
            replace(new, args=self.made.map(_with(self._of_call(new), old.args)))
            for old, new in zip(self.old.calls, made.calls, strict=True)
        )
        return made.but(output=self.made.map(output), calls=calls).pruned()

    def _of_call(self, call: Called) -> dict[Ref, Ref]:
        return {ref: new for name in call.nodes for ref, new in self._taken.get(name, {}).items()}


def _with(new: Mapping[Ref, Ref], tree: T) -> T:
    """A tree with other wires, whose lengths are as before."""
    return map_tree(lambda leaf: new.get(leaf, leaf) if isinstance(leaf, Ref) else leaf, tree)


def rounded(graph: Graph) -> tuple[Graph, dict[str, str]]:
    """A graph whose pairs are one node each; and why some are not, by the names of their nodes."""
    pairs = _Pairs(graph)
    return pairs.graph(), pairs.why


def before_moves(graph: Graph) -> Graph:
    """Rounding that follows a movement goes before it: integers move then, and who computed is rounded."""
    while True:
        moved = _once(graph)
        if moved is None:
            return graph
        graph = moved


def _once(graph: Graph) -> Graph | None:
    users, outputs = graph.users(), set(graph.outputs)
    swapped: dict[str, Node] = {}
    for node in graph:
        # Values of 16 bits are floats here: their roundings have no grid of codes.
        if node.kind != FAKE or node.value is None or node.name in swapped:
            continue
        source = graph.nodes[node.args[0].node]
        if not is_exact_move(source) or source.name in swapped or source.kind == "relu":
            continue
        ref = Ref(source.name)
        if users.get(ref) != [node.name] or ref in outputs or not isinstance(source.args[0], Ref):
            continue
        before = graph.nodes[source.args[0].node]
        if before.kind == FAKE and before.value == node.value:
            continue
        swapped[source.name] = node
    if not swapped:
        return None
    made = Rewriter(graph)
    gone = {node.name for node in swapped.values()}
    for node in graph:
        if node.name in gone:
            continue
        if node.name not in swapped:
            made.add(node)
            continue
        after = swapped[node.name]
        x = made.find(node.args[0])
        rounded_x = fake(made.name(f"{after.name}.before"), x, after.value, graph.nodes[node.args[0].node])
        made.nodes[rounded_x.name] = rounded_x
        # What takes the rounded values takes the moved ones, which are rounded again to no effect.
        new = node.but(args=(Ref(rounded_x.name), *node.args[1:]))
        moved = made.add(new)
        again = after.but(args=(moved, *after.args[1:]))
        made.nodes[again.name] = again
    return made.graph()
