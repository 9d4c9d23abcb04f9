"""Where values are quantized: on which wires of a graph, and by which observers.

Each layer's input is quantized once: on the wire of whoever made it, or, where floats come in, on a wire of
its own. A node's output is quantized if another one takes it in integers; so a last layer gives floats,
unless a DeQuantStub follows it, and so does a layer whose output a sum alone takes.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from quantray import nn
from quantray.graph import Graph, Node, Part, Ref, Rewriter, kind_of
from quantray.quantization._integers import SUMS
from quantray.quantization._settings import Settings, home_of, is_by_rows, part_of
from quantray.quantization._spectra import front_ends
from quantray.quantization.qconfig import Factory

#: Kinds that make values which no code of their input's grid stands for: they are rounded to it again.
_BETWEEN = ("avg_pool", "interpolate", "clip")
#: Kinds that even out roundings.
_MEANS = ("adaptive_avg_pool", "mean")


@dataclass(frozen=True)
class Point:
    """Where a wire is quantized: an `observe` node's setting."""

    #: The path of the observer.
    path: str
    #: What makes it; None where it is there already, read out of a file.
    factory: Factory | None
    #: Whether it belongs to what goes into a layer, not to what comes out of a node.
    before: bool = False


class Placement:
    """A graph's wires and what becomes of them."""

    def __init__(self, graph: Graph, model: nn.Module, settings: Settings) -> None:
        self.graph, self.model = graph, model
        self.qconfigs = {
            node.name: settings.of(node, model) for node in graph if part_of(node, model) is not None
        }
        for name in front_ends(graph):
            if name in self.qconfigs and not settings.is_named(graph.nodes[name], model):
                self.qconfigs[name] = None
        #: Linear layers that take floats and quantize them by rows: nothing of theirs is observed.
        self.by_rows = {node.name for node in graph if is_by_rows(node, self.qconfigs.get(node.name))}
        self.qconfigs |= dict.fromkeys(self.by_rows)
        self.parts = {node.name: part_of(node, model) for node in graph}
        self._users = graph.users()
        self._outputs = set(graph.outputs)
        self.unrounded = self._unrounded()
        self.quantized = self._quantized()

    def is_active(self, node: Node) -> bool:
        """Whether a node is to be quantized."""
        return self.qconfigs.get(node.name) is not None

    def _takers(self, node: Node) -> list[Node]:
        return [self.graph.nodes[name] for name in self._users.get(Ref(node.name), [])]

    def _unrounded(self) -> set[str]:
        """Layers whose output goes into a sum as it is: one term of each sum, taken by it alone."""
        found: set[str] = set()
        for node in self.graph:
            if node.kind != "add" or not self.is_active(node):
                continue
            terms = node.inputs
            if len(set(terms)) != 2 or len({self.graph.fact(ref).shape for ref in terms}) != 1:
                continue
            for ref in terms:
                term = self.graph.nodes[ref.node]
                if (
                    term.kind == "layer"
                    and self.is_active(term)
                    and self._users.get(ref) == [node.name]
                    and ref not in self._outputs
                ):
                    found.add(term.name)
                    break
        return found

    def _can(self) -> dict[Ref, bool]:
        """Wires that may be quantized."""
        can: dict[Ref, bool] = {}
        for node in self.graph:
            part, ref = self.parts[node.name], Ref(node.name)
            if len(node.facts) != 1 or not node.facts[0].is_float:
                continue
            # A formula may pass float64 on the way; quantized it is as any other.
            if node.facts[0].dtype != np.float32 and node.kind != "formula":
                continue
            floats = [r for r in node.inputs if self.graph.fact(r).is_float]
            if part in (Part.WEIGHTED, Part.BEGINS):
                can[ref] = self.is_active(node)
            elif part is Part.KEEPS:
                can[ref] = bool(floats) and all(can.get(r, False) for r in floats)
            elif part is Part.FOLLOWS:
                first = floats[:1] if self._is_function_of_first(node) else floats
                can[ref] = self.is_active(node) and bool(first) and all(can.get(r, False) for r in first)
        return can

    def _is_function_of_first(self, node: Node) -> bool:
        """Whether the other arrays of a node are weights: of normalizations, PReLU."""
        return node.kind in ("layer_norm", "group_norm", "instance_norm", "prelu", "softmax")

    def _takes_codes(self, node: Node) -> bool:
        """Whether a node computes on codes; one that needs floats anyway is given what was not rounded. Means
        are as good of codes, whose roundings they even out.
        """
        if node.kind in SUMS or node.kind == "formula" or node.kind.startswith(_MEANS):
            return True
        floats = {ref for ref in node.inputs if self.graph.fact(ref).is_float}
        return node.kind != "module" and kind_of(node.kind).elementwise and len(floats) == 1

    def _quantized(self) -> set[Ref]:
        can = self._can()
        wanted: set[Ref] = set()
        for node in reversed(list(self.graph)):
            ref = Ref(node.name)
            if not can.get(ref) or node.name in self.unrounded:
                continue
            for taker in self._takers(node):
                part = self.parts[taker.name]
                if part is Part.WEIGHTED:
                    takes = self.is_active(taker) and taker.args[0] == ref
                elif part in (Part.KEEPS, Part.FOLLOWS):
                    takes = Ref(taker.name) in wanted and (part is Part.KEEPS or self._takes_codes(taker))
                else:
                    takes = part is Part.ENDS
                if takes:
                    wanted.add(ref)
        begins = {
            Ref(n.name) for n in self.graph if self.parts[n.name] is Part.BEGINS and can.get(Ref(n.name))
        }
        return wanted | begins


def place(graph: Graph, model: nn.Module, settings: Settings, *, training: bool) -> Graph:
    """The graph with an `observe` node on each wire that is quantized.

    Names of observers depend on names of nodes alone: another graph of the same model has the same ones.
    """
    settings.tell_unknown(graph, model)
    placement = Placement(graph, model, settings)
    made = Rewriter(graph)
    before: dict[tuple[Ref, object], Ref] = {}
    #: Which `observe` node a wire passed last.
    grid_of: dict[Ref, str] = {}
    names = _Names(model)
    for node in graph:
        part, ref = placement.parts[node.name], Ref(node.name)
        if part is Part.WEIGHTED and placement.is_active(node):
            node = _with_input(node, placement, made, before, names)
        added = made.add(node)
        qconfig = placement.qconfigs.get(node.name)
        if ref not in placement.quantized:
            continue
        if part is Part.KEEPS:
            source = next(r for r in graph.nodes[node.name].inputs if graph.fact(r).is_float)
            owner = grid_of[source]
            grid_of[ref] = owner
            rounds = node.kind.startswith(_BETWEEN) or (node.kind == "pad" and bool(node.get("value")))
            snap = node.become(
                "snap", (added,), {"rounds": rounds}, owner, name=made.name(f"{node.name}.snap")
            )
            made.replace(ref, made.add(snap))
            continue
        assert qconfig is not None
        point = Point(names.of(node, "post"), qconfig.activation)
        made.replace(ref, made.add(_observe(node, added, point, made)))
        grid_of[ref] = point.path
    return made.graph()


def _observe(node: Node, ref: Ref, point: Point, made: Rewriter) -> Node:
    facts = made.nodes[ref.node].facts if ref.node in made.nodes else made.old.nodes[ref.node].facts
    return Node(made.name(point.path), "observe", (ref,), {}, facts, node.scope, node.at, point)


def _with_input(
    node: Node, placement: Placement, made: Rewriter, before: dict[tuple[Ref, object], Ref], names: _Names
) -> Node:
    """A layer whose input is quantized: on its wire already, or for layers alone."""
    x = node.args[0]
    if not isinstance(x, Ref) or x in placement.quantized:
        return node
    qconfig = placement.qconfigs[node.name]
    assert qconfig is not None
    key = x, qconfig.activation
    if key not in before:
        point = Point(names.of(node, "pre"), qconfig.activation, before=True)
        before[key] = made.add(_observe(node, made.find(x), point, made))
    return node.but(args=(before[key], *node.args[1:]))


class _Names:
    """Where observers live: with a node's module, or with the module whose forward it is part of."""

    def __init__(self, model: nn.Module) -> None:
        self._model = model
        self._taken: dict[str, str] = {}

    def of(self, node: Node, which: str) -> str:
        """The path of a node's observer; it depends on the node's name alone."""
        home, (base, _, call) = home_of(node, self._model), node.name.partition("#")
        suffix = f"_{int(call) - 1}" if call.isdigit() else ""
        name = f"activation_{which}_process"
        if self._model._submodule(home) is None:
            home, _, last = home.rpartition(".")
            name = f"{last}_{which}_process"
        path = f"{home}.{name}{suffix}" if home else f"{name}{suffix}"
        if self._taken.setdefault(path, base) != base:
            # Another function of the same module.
            name = f"{base.rpartition('.')[2]}_{which}_process"
            path = f"{home}.{name}{suffix}" if home else f"{name}{suffix}"
        return path
