"""Passes that say the same in fewer words: spellings become kinds, and nodes that do nothing go."""

from __future__ import annotations

from quantray.graph._graph import Fact, Graph, Node, Ref, Rewriter
from quantray.graph.kinds import kind_of, normalized


def normalize(graph: Graph) -> Graph:
    """A graph whose nodes are of the table's kinds wherever they are spellings of one."""
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


def is_elementwise(node: Node) -> bool:
    """Whether a node computes each element from the same element of its inputs."""
    if node.kind in ("input", "parameter", "constant", "module", "python", "tap", "hook"):
        return False
    return kind_of(node.kind).elementwise
