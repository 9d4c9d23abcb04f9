"""Layers whose outputs are amplitudes: a spectrum is made of their squares, by a root or a logarithm.

The filters of a Fourier transform are a convolution to every tool. Their amplitudes span many powers of ten,
and what follows looks at small ones as closely as at great ones: a grid of 256 even steps loses all but the
loudest. Such front ends stay in float by default.
"""

from __future__ import annotations

from quantray.graph import Graph, Node, Part, Ref, kind_of

#: What is taken of a sum of squares.
_LEVELS = frozenset({"numpy.sqrt", "numpy.log", "numpy.log10", "numpy.log2", "numpy.log1p"})
#: Kinds that are no rows of the table.
_WITHOUT = frozenset(
    {
        "input",
        "parameter",
        "constant",
        "module",
        "python",
        "tap",
        "hook",
        "layer",
        "formula",
        "observe",
        "snap",
    }
)
#: What may stand between amplitudes, squares and levels.
_BETWEEN = frozenset(
    {"add", "clip", "numpy.maximum", "numpy.sum", "ndarray.sum", "mul", "linear", "layer", "matmul"}
)


def amplitudes(graph: Graph) -> frozenset[str]:
    """Names of the layers of a graph whose outputs are squared on the way to a root or a logarithm."""
    users = graph.users()
    found: set[str] = set()
    for node in graph:
        if _is_square(node) and _leads_to_level(node, graph, users):
            source = _layer_before(graph.nodes[node.inputs[0].node], graph)
            if source is not None:
                found.add(source.name)
    return frozenset(found)


def _is_square(node: Node) -> bool:
    if node.kind == "formula":
        return any(map(_is_square, node.value[0].graph))
    if node.kind == "numpy.square":
        return True
    if node.kind in ("numpy.power", "pow"):
        return len(node.args) == 2 and node.args[1] in (2, 2.0)
    is_product = node.kind in ("mul", "numpy.multiply") and len(node.args) == 2
    return is_product and isinstance(node.args[0], Ref) and node.args[0] == node.args[1]


def _kinds(node: Node) -> list[str]:
    """The kinds of functions that a node is made of."""
    return [each.kind for each in node.value[0].graph] if node.kind == "formula" else [node.kind]


def _layer_before(node: Node, graph: Graph) -> Node | None:
    """The layer that makes a value, which may have been moved since."""
    while node.kind not in ("layer", "linear") and not node.kind.startswith("conv"):
        is_moved = node.kind != "input" and node.inputs and kind_of_part(node) is Part.KEEPS
        if not is_moved:
            return None
        node = graph.nodes[node.inputs[0].node]
    return node


def kind_of_part(node: Node) -> Part | None:
    """The part that a kind of node has; None for those that are no functions of arrays."""
    if node.kind in _WITHOUT or node.kind.startswith("int."):
        return None
    return kind_of(node.kind).part


def _leads_to_level(node: Node, graph: Graph, users: dict[Ref, list[str]]) -> bool:
    """Whether a root or a logarithm is taken of squares, of their sum, or of what filters make of it."""
    todo, seen = [node.name], set[str]()
    while todo:
        name = todo.pop()
        if name in seen:
            continue
        seen.add(name)
        for taker in (graph.nodes[user] for user in users.get(Ref(name), ())):
            if _LEVELS.intersection(_kinds(taker)):
                return True
            if taker.kind in _BETWEEN or taker.kind == "formula" or kind_of_part(taker) is Part.KEEPS:
                todo.append(taker.name)
    return False
