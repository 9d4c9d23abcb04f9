"""From floats that are rounded to grids to observed wires, as a prepared model has them.

What depends on one rounded value, element by element, becomes one function, roundings between included: a
table of 256 codes. Movements of codes stay codes.
"""

# Arguments of nodes are trees of whatever functions take: their leaves have no type that could be said.
# pyright: reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportUnknownMemberType=false

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Protocol, cast

from quantray._core import QTensor
from quantray.graph import Graph, Node, Part, Ref, Rewriter
from quantray.graph._graph import wires
from quantray.graph.kinds import kind_of
from quantray.nn.quantized._grid import Grid
from quantray.onnx._integers._channels import (
    Factors,
    channels_by,
    reads_channels_apart,
    within_factors,
    zeros_by,
)
from quantray.onnx._integers._grids import FAKE, is_exact_move, is_move
from quantray.onnx.operators import Array
from quantray.quantization._fusing import Formula, formula_of, varying
from quantray.quantization._placing import Point


def with_functions(graph: Graph) -> Graph:
    """A graph in which a rounded function of one wire of codes is one node, and its rounding an observer.

    Whatever else takes what the function computes on its way gets it as the graph had it, in floats.
    """
    tables, graph = _tables(graph)
    alive = _alive(graph, tables)
    made = Rewriter(graph)
    for node in graph:
        if node.name not in alive:
            continue
        if node.name not in tables:
            made.add(node)
            continue
        region, begin = tables[node.name]
        last = graph.nodes[node.args[0].node]
        is_single = len(region) == 1 and kind_of(last.kind).part is Part.FOLLOWS
        function = last if is_single else formula_of(last, region, begin, graph)
        if last.name in alive or last.name in made.nodes:
            function = function.but(name=made.name(f"{last.name}.rounded"))
        made.add(function)
        made.nodes[node.name] = node.but(kind="observe", args=(Ref(function.name), *node.args[1:]))
    return made.graph().pruned()


def _tables(graph: Graph) -> tuple[dict[str, tuple[frozenset[str], Ref]], Graph]:
    """By the names of roundings, what computes the function that they round, and the codes it is of.

    Other roundings become observers.
    """
    sources: dict[str, Ref] = {}
    regions: dict[str, frozenset[str]] = {}
    tables: dict[str, tuple[frozenset[str], Ref]] = {}
    known = graph
    #: Wires that integers are behind.
    codes: set[Ref] = set()
    for node in graph:
        found = varying(node, known, sources)
        if node.kind == FAKE and node.value is not None:
            source: Ref = node.args[0]
            codes.add(Ref(node.name))
            if found is None or found == source or found not in codes:
                known = known.but(nodes={**known.nodes, node.name: node.but(kind="observe")})
                continue
            tables[node.name] = regions[source.node], found
        elif node.args and node.args[0] in codes and is_exact_move(node):
            codes.add(Ref(node.name))
        if found is None:
            continue
        sources[node.name] = found
        inner: frozenset[str] = frozenset({node.name})
        for ref in node.inputs:
            if sources.get(ref.node) == found and ref != found:
                inner |= regions[ref.node]
        regions[node.name] = inner
    return tables, known


def _alive(graph: Graph, tables: dict[str, tuple[frozenset[str], Ref]]) -> set[str]:
    """Nodes that something asks for, where functions that are rounded are computed by tables."""
    subjects = [guard.subject for guard in graph.guards]
    todo = [ref.node for ref in (*graph.outputs, *wires(subjects))]
    todo += [node.name for node in graph if node.kind == "tap"]
    alive: set[str] = set(graph.inputs)
    while todo:
        name = todo.pop()
        if name in alive:
            continue
        alive.add(name)
        node = graph.nodes[name]
        taken = [tables[name][1]] if name in tables else wires((node.args, dict(node.kwargs)))
        todo += [ref.node for ref in taken]
    return alive


def _same(name: str, x: Ref, like: Node, scope: str) -> Node:
    """A function that changes nothing."""
    inner = Graph({"x": Node("x", "input", facts=like.facts)}, (Ref("x"),), {}, Ref("x"))
    return Node(name, "formula", (x,), {}, like.facts, scope, like.at, (Formula(inner), name))


@dataclass
class Placed:
    """A graph with observed wires, as `ToIntegers` takes it."""

    graph: Graph
    #: By the names of observers, the grids.
    grids: dict[str, Grid] = field(default_factory=dict[str, Grid])
    #: By the names of layers, the grid that their input is on.
    inputs: dict[str, Grid] = field(default_factory=dict[str, Grid])
    #: By the names of layers of floats between integers, what is in the way.
    why: dict[str, str] = field(default_factory=dict[str, str])
    #: By the names of layers of integers, what their weights have taken of channels' own scales.
    factors: dict[str, Factors] = field(default_factory=dict[str, Factors])


class Known(Protocol):
    """What a file knows of arrays."""

    def of(self, node: Node, graph: Graph) -> QTensor | None:
        """The integers of a layer's weight."""
        ...

    def array(self, node: Node) -> Array:
        """The array of a parameter."""
        ...

    def grid_of(self, node: Node) -> Grid | None:
        """The grid that a parameter's array is on."""
        ...


def placed(graph: Graph, weights: Known) -> Placed:
    """Observed wires that belong to who makes them, and movements that stay on their grid."""
    users, outputs = graph.users(), set(graph.outputs)
    made = Rewriter(graph)
    found = Placed(graph)
    #: Grids, and observers' names, of wires of codes, of the new graph.
    on: dict[Ref, tuple[Grid, str]] = {}
    #: Wires of codes whose channels have something added, and are multiplied by factors.
    apart: dict[Ref, tuple[Ref, Factors]] = {}
    for node in graph:
        ref = Ref(node.name)
        shifts, factors = (channels_by(kind, node, graph, weights) for kind in ("add", "mul"))
        before = None if shifts is None and factors is None else made.find(node.args[0])
        zeros = None if shifts is None or before not in on else zeros_by(shifts, on[before][0])
        if before is not None and zeros is not None:
            apart[ref] = before, Factors(zeros=zeros)
        elif factors is not None and (before in on or node.args[0] in apart):
            codes_of, known = apart.get(node.args[0], (before, Factors()))
            apart[ref] = cast("Ref", codes_of), replace(known, reads=factors)
        elif factors is not None and _is_finished(node, factors, graph, made, found, users, outputs):
            continue
        if node.kind == "observe":
            _place(node, graph, made, found, on, users, outputs)
            continue
        if node.kind in ("add", "sub", "mul"):
            made.add(_with_codes(node, graph, made, found, on, weights))
            continue
        if node.kind == "layer" and node.args[0] in apart and reads_channels_apart(node, graph):
            codes_of, known = apart[node.args[0]]
            if weights.of(node, graph) is not None:
                found.factors[node.name] = known
                node = node.but(args=(codes_of, *node.args[1:]))
        added = made.add(node)
        source = node.args[0] if node.args and isinstance(node.args[0], Ref) else None
        codes = None if source is None else on.get(made.find(source))
        if codes is None or source is None:
            continue
        if node.kind == "layer":
            if weights.of(node, graph) is not None:
                found.inputs[node.name] = codes[0]
            else:
                found.why[node.name] = "its weight is no integers with a scale for all, or for each output"
            continue
        others = [r for r in node.inputs[1:] if graph.fact(r).is_float]
        if others or not is_move(node):
            continue
        takers = users.get(ref, [])
        rounds = not is_exact_move(node)
        if rounds:
            # It stays on its grid where the file rounds it to that very one.
            same = [graph.nodes[name] for name in takers]
            if ref in outputs or not all(t.kind == "observe" and t.value == codes[0] for t in same):
                continue
        snap = node.become(
            "snap", (added,), {"rounds": rounds}, codes[1], name=made.name(f"{node.name}.snap")
        )
        new = made.add(snap)
        made.replace(ref, new)
        on[new] = codes
    found.graph = made.graph().pruned()
    return found


def _is_finished(
    node: Node,
    factors: Array,
    graph: Graph,
    made: Rewriter,
    found: Placed,
    users: dict[Ref, list[str]],
    outputs: set[Ref],
) -> bool:
    """Whether a layer of integers has taken the factors that its outputs are multiplied by."""
    source, takers = node.args[0], users.get(Ref(node.name), [])
    after = graph.nodes[takers[0]] if len(takers) == 1 else None
    if source.node not in found.inputs or after is None or after.kind != "observe":
        return False
    if users.get(source) != [node.name] or {source, Ref(node.name)} & outputs:
        return False
    layer = within_factors(graph.nodes[source.node], factors, after.value, graph)
    if layer is None:
        return False
    made.nodes[source.node] = made.nodes[source.node].but(value=layer.value)
    found.factors.setdefault(source.node, Factors()).makes = factors
    made.replace(Ref(node.name), source)
    return True


def _with_codes(
    node: Node,
    graph: Graph,
    made: Rewriter,
    found: Placed,
    on: dict[Ref, tuple[Grid, str]],
    weights: Known,
) -> Node:
    """A sum or a product with an array of integers: these are codes where the other term is."""
    refs = [arg for arg in node.args[:2] if isinstance(arg, Ref)]
    if len(refs) != 2 or not any(made.find(ref) in on for ref in refs):
        return node
    args = list(node.args)
    for at, ref in enumerate(refs):
        grid = weights.grid_of(graph.nodes[ref.node])
        if grid is None:
            continue
        name = f"{ref.node}.codes"
        if name not in made.nodes:
            like = graph.nodes[ref.node]
            point = Point(name, None, before=True)
            observe = Node(name, "observe", (made.find(ref),), {}, like.facts, like.scope, like.at, point)
            made.nodes[name] = observe
            found.grids[name] = grid
            on[Ref(name)] = grid, name
        args[at] = Ref(name)
    return node.but(args=tuple(args))


def _place(
    node: Node,
    graph: Graph,
    made: Rewriter,
    found: Placed,
    on: dict[Ref, tuple[Grid, str]],
    users: dict[Ref, list[str]],
    outputs: set[Ref],
) -> None:
    old, grid = node.args[0], node.value
    source = made.find(old)
    ref = Ref(node.name)
    if source in on:
        if on[source][0] == grid:
            made.replace(ref, source)
            return
        # Codes on another grid: the function that changes nothing.
        inner = graph.nodes[old.node]
        source = made.add(_same(made.name(f"{node.name}.requantized"), source, node, inner.scope))
        is_alone = True
    else:
        is_alone = users.get(old) == [node.name] and old not in outputs
    found.grids[node.name] = grid
    point = Point(node.name, None, before=not is_alone)
    observe = node.become("observe", (source,), {}, point)
    made.nodes[observe.name] = observe
    on[ref] = grid, node.name
