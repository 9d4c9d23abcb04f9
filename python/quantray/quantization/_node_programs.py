"""Nodes of floats one by one, each by the kernels that the whole model's program would have.

What looks at a graph node by node, and often, is as fast as the program itself.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias, cast

import numpy as np

from quantray import nn
from quantray._typing import Args, Kwargs, Tensor
from quantray.graph import Expr, Graph, Node, Part, Ref, kind_of
from quantray.graph._graph import map_tree, map_wires, ordered, wires
from quantray.graph._lengths import evaluate
from quantray.graph._run import parameter_of
from quantray.quantization._integers import Compute, Outputs
from quantray.quantization._lowering import Lowered, NotLowered, lower

#: What is on a wire.
ValueOf: TypeAlias = Callable[[Ref], Tensor]
_WITHOUT = ("python", "tap", "hook", "observe", "snap", "input", "constant", "parameter")


class NodePrograms:
    """The nodes of a graph, each as a program of its own where there is one.

    Parameters
    ----------
    graph : Graph
    model : Module
        Whose weights they have; it must not change.
    compute : callable
        What computes the other nodes.
    """

    def __init__(self, graph: Graph, model: nn.Module, compute: Compute) -> None:
        self._graph, self._model, self._compute = graph, model, compute
        self._made: dict[str, Callable[[ValueOf], list[Tensor]]] = {}
        moving: set[str] = set()
        for node in graph:
            if node.kind == "input" or any(ref.node in moving for ref in node.inputs):
                moving.add(node.name)
        self._moving = moving

    def __call__(self, node: Node, value_of: ValueOf) -> list[Tensor]:
        """What a node gives, one value for each output."""
        made = self._made.get(node.name)
        if made is None:
            made = self._made[node.name] = self._maker(node)
        return made(value_of)

    def _maker(self, node: Node) -> Callable[[ValueOf], list[Tensor]]:
        """What computes a node, with all that is the same in each call found out beforehand."""
        if node.kind == "constant":
            return lambda value_of: [node.value]
        if node.kind == "parameter":
            return lambda value_of: [parameter_of(self._model, node)]
        if node.kind in ("observe", "snap"):
            taken = node.args[0]
            return lambda value_of: [value_of(taken)]
        made = self._lowered(node) if _is_worth(node) else None
        if made is None:
            return lambda value_of: _listed(self._compute(self._model, node, *self._resolved(node, value_of)))
        lowered, sources = made
        return lambda value_of: _listed(cast("Outputs", lowered([value_of(ref) for ref in sources])))

    def _resolved(self, node: Node, value_of: ValueOf) -> tuple[Args, Kwargs]:
        def leaf(value: object) -> object:
            if type(value) is Ref:
                return value_of(value)
            if type(value) is Expr:
                return evaluate(value, lambda ref: tuple(np.shape(value_of(ref))))
            return value

        return map_tree(leaf, (node.args, dict(node.kwargs)))

    def _lowered(self, node: Node) -> tuple[Lowered, list[Ref]] | None:
        refs = list(dict.fromkeys(wires((node.args, dict(node.kwargs)))))
        sources = [ref for ref in refs if ref.node in self._moving]
        fixed = [ref for ref in refs if ref.node not in self._moving]
        # Names with a space are no node's.
        names = {ref: Ref(f"wire {i}") for i, ref in enumerate(sources)}
        nodes = {
            names[ref].node: Node(names[ref].node, "input", facts=(self._graph.fact(ref),)) for ref in sources
        }
        nodes |= ordered(self._graph, fixed)
        args, kwargs = map_wires(lambda ref: names.get(ref, ref), (node.args, dict(node.kwargs)))
        nodes[node.name] = node.but(args=args, kwargs=kwargs)
        outputs = tuple(Ref(node.name, out) for out in range(max(len(node.facts), 1)))
        output = outputs[0] if len(outputs) == 1 else outputs
        try:
            lowered = lower(Graph(nodes, tuple(names.values()), {}, output), self._model, {}, is_near=True)
        except NotLowered:
            # Its settings are lengths of what it does not take.
            return None
        return None if lowered.called else (lowered, sources)


def _listed(found: Outputs) -> list[Tensor]:
    return list(found) if isinstance(found, (tuple, list)) else [found]


def _is_worth(node: Node) -> bool:
    """Whether a node computes more than views of what it takes."""
    if node.kind in _WITHOUT:
        return False
    if node.kind in ("layer", "module", "formula"):
        return True
    return kind_of(node.kind).part is not Part.KEEPS or "pool" in node.kind or node.kind == "interpolate"
