"""What a node between codes becomes: integers of codes, or floats in between."""

from __future__ import annotations

from collections.abc import Callable

from quantray.graph import Graph, Node, Ref, kind_of
from quantray.nn.quantized._means import MEANS
from quantray.quantization._integers import MEAN, SUMS, TABLE


def is_mean(node: Node) -> bool:
    """Whether a node gives means, by pooling or of whole axes."""
    return node.kind in MEANS or node.kind == "mean"


def integer_kind(node: Node, graph: Graph, has_codes: Callable[[Ref], bool]) -> str | None:
    """The kind of integer node that a node whose output has a grid becomes; None where floats are in between.

    Parameters
    ----------
    node : Node
    graph : Graph
        Its own.
    has_codes : callable
        Whether there are codes on a wire.
    """
    floats = [ref for ref in node.inputs if graph.fact(ref).is_float]
    if is_mean(node):
        return MEAN if len(node.inputs) == 1 and has_codes(floats[0]) else None
    if node.kind in SUMS:
        return SUMS[node.kind] if _are_terms(node, graph, has_codes) else None
    return TABLE if _is_table(node, floats, has_codes) else None


def _are_terms(node: Node, graph: Graph, has_codes: Callable[[Ref], bool]) -> bool:
    """Whether what is added, multiplied or joined is codes, but for one term of floats in a sum."""
    if node.kind == "concat":
        return all(map(has_codes, node.args[0]))
    refs = [arg for arg in node.args[:2] if isinstance(arg, Ref)]
    limits = node.get("limits")
    if len(refs) != 2 or (limits is not None and limits[0] != 0):
        return False
    # Codes may be broadcast to codes; a term of floats may not.
    is_even = node.kind == "add" and len({graph.fact(ref).shape for ref in refs}) == 1
    return all(map(has_codes, refs)) or (is_even and any(map(has_codes, refs)))


def _is_table(node: Node, floats: list[Ref], has_codes: Callable[[Ref], bool]) -> bool:
    """Whether all codes that it gives depend on one code each."""
    if len(set(floats)) != 1 or not has_codes(floats[0]):
        return False
    if node.kind == "formula":
        return True
    if node.kind == "module":
        return False
    return kind_of(node.kind).elementwise and all(not isinstance(v, Ref) for v in node.kwargs.values())
