"""Passes that say the same in fewer words: spellings become kinds, and nodes that do nothing go."""

from __future__ import annotations

import numpy as np

from quantray.graph._graph import Fact, Graph, Node, Ref
from quantray.graph._rewriter import Rewriter
from quantray.graph.kinds import kind_of, normalized


def normalize(graph: Graph) -> Graph:
    """A graph whose nodes are of the table's kinds wherever they are spellings of one."""
    graph = unmasked(graph)
    made = Rewriter(graph)
    for node in graph:
        found = normalized(node, graph)
        if found.kind == "linear" and found.get("transposed"):
            weight = found.args[1]
            fact = graph.fact(weight)
            turned = Node(
                made.name(f"{node.name}.T"),
                "transpose",
                (weight,),
                {"axes": (1, 0)},
                (Fact(fact.shape[::-1], fact.dtype),),
                node.scope,
                node.at,
            )
            ref = made.add(turned)
            found = found.but(args=(found.args[0], ref, None), kwargs={})
        if found.kind == "identity" and isinstance(found.args[0], Ref):
            made.replace(Ref(node.name), found.args[0])
            continue
        made.add(found)
    return made.graph().pruned()


def unmasked(graph: Graph) -> Graph:
    """Assignments to the elements that a mask chooses as `where` of whole arrays.

    `h[h < 0] *= 0.1` computes on the chosen elements alone; where that is done element by element, it can
    be done with all of them, and the mask chooses afterwards.
    """
    made = Rewriter(graph)
    for node in graph:
        value = _unmasked_value(node, graph, made)
        if value is None:
            made.add(node)
            continue
        x, mask = node.args[0], node.args[1]
        made.add(node.but(kind="numpy.where", args=(mask, value, x), kwargs={}))
    return made.graph().pruned()


def _unmasked_value(node: Node, graph: Graph, made: Rewriter) -> object:
    """What a masked assignment puts where: a number, or a whole array; None where it is another thing."""
    if node.kind != "array.setitem" or not isinstance(node.args[1], Ref):
        return None
    x, mask, value = node.args
    fact = graph.fact(mask)
    if fact.dtype != np.bool_ or fact.shape != graph.fact(x).shape or not graph.fact(x).is_float:
        return None
    if isinstance(value, (int, float)):
        return value
    if not isinstance(value, Ref):
        return None
    if graph.nodes[value.node].kind == "constant" and np.ndim(graph.nodes[value.node].value) == 0:
        return value
    copies: dict[Ref, Ref] = {}

    def whole(ref: Ref) -> Ref | None:
        """What a wire of chosen elements is of all of them."""
        if ref in copies:
            return copies[ref]
        source = graph.nodes[ref.node]
        if source.kind == "array.getitem" and source.args == (x, mask):
            return x
        if source.kind == "constant" and np.size(source.value) == 1 and np.ndim(source.value) == 0:
            return ref
        if not is_elementwise(source) or not source.inputs or dict(source.kwargs):
            return None
        args = [whole(arg) if isinstance(arg, Ref) else arg for arg in source.args]
        if any(new is None and old is not None for new, old in zip(args, source.args, strict=True)):
            return None
        facts = (Fact(graph.fact(x).shape, source.facts[0].dtype),)
        copies[ref] = made.add(
            source.but(name=made.name(f"{source.name}.whole"), args=tuple(args), facts=facts)
        )
        return copies[ref]

    return whole(value)


def is_elementwise(node: Node) -> bool:
    """Whether a node computes each element from the same element of its inputs."""
    if node.kind in ("input", "parameter", "constant", "module", "python", "tap", "hook"):
        return False
    return kind_of(node.kind).elementwise
