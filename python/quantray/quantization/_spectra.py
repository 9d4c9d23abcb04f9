"""Front ends of signals: layers whose outputs are levels, or amplitudes whose squares become levels.

The filters of a Fourier transform are a convolution to every tool, and those of the mel scale are a product.
What they give spans many powers of ten, and what follows, a root or a logarithm, looks at small values as
closely as at great ones: a grid of 256 even steps loses all but the loudest. Such front ends stay in float by
default.
"""

from __future__ import annotations

from collections.abc import Callable

from quantray.graph import Graph, Node, Part, Ref, kind_of
from quantray.quantization._fusing import NO_FUNCTIONS

#: What is taken of a sum of squares.
_LEVELS = frozenset({"numpy.sqrt", "numpy.log", "numpy.log10", "numpy.log2", "numpy.log1p"})
#: What may stand between amplitudes, squares and levels.
_BETWEEN = frozenset(
    {"add", "clip", "numpy.maximum", "numpy.sum", "ndarray.sum", "mul", "linear", "layer", "matmul"}
)
#: What leaves signals what they are, beside what moves the elements of one.
_CARRYING = frozenset(
    {
        "numpy.negative",
        "neg",
        "numpy.pad",
        "functional.pad",
        "pad",
        "concat",
        "numpy.concatenate",
        "numpy.stack",
    }
)
_FACTORS = frozenset({"mul", "numpy.multiply", "mul_scalar", "numpy.divide"})
#: What may stand between a layer and the root or logarithm of what it gives.
_BESIDE = frozenset({"add", "mul", "divide", "clip", "relu", "numpy.maximum", "numpy.divide", "numpy.abs"})


def front_ends(graph: Graph) -> dict[str, str]:
    """Names of the layers of a graph that make levels or amplitudes, with what is done with their outputs."""
    users = graph.users()
    found: dict[str, str] = {}
    for node in graph:
        if _is_square(node) and _leads_to_level(node, graph, users, _is_between, _has_level):
            if not _is_squared_alone(node.inputs[0], graph, users):
                # A norm by which the value itself is divided is no spectrum.
                continue
            for source in _layers_before(node, graph):
                found[source.name] = "its outputs are squared to a spectrum"
                for filter_ in _filters_before(source, graph):
                    found.setdefault(filter_.name, "it filters the signal of a spectrum")
        elif _is_layer(node) and _leads_to_level(node, graph, users, _is_beside, _is_level):
            found[node.name] = "a root or a logarithm is taken of its outputs"
    return found


def _is_layer(node: Node) -> bool:
    return node.kind in ("layer", "linear", "matmul", "numpy.matmul") or node.kind.startswith("conv")


def _is_between(node: Node) -> bool:
    return node.kind in _BETWEEN or node.kind == "formula" or kind_of_part(node) is Part.KEEPS


def _is_beside(node: Node) -> bool:
    """Whether it computes with one value alone, and leaves great ones great."""
    if len(node.inputs) != 1:
        return False
    if node.kind == "formula":
        return _is_plain(node, _BESIDE)
    return node.kind in _BESIDE or kind_of_part(node) is Part.KEEPS


def _is_plain(formula: Node, kinds: frozenset[str]) -> bool:
    """Whether a formula is made of functions of some kinds alone."""
    return kinds.issuperset(kind for kind in _kinds(formula) if kind not in ("input", "constant"))


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


def _is_squared_alone(ref: Ref, graph: Graph, users: dict[Ref, list[str]]) -> bool:
    """Whether nothing but squares is made of a value."""
    return all(_is_square(graph.nodes[name]) for name in users.get(ref, ()))


def _is_carried(node: Node, graph: Graph) -> bool:
    """Whether it moves the elements of signals, turns their signs, or has a factor for each."""
    if node.kind in _CARRYING or kind_of_part(node) is Part.KEEPS:
        return True
    if node.kind == "formula":
        return len(node.inputs) == 1 and not _is_square(node) and _is_plain(node, _CARRYING | _FACTORS)
    if node.kind not in _FACTORS:
        return False
    return sum(graph.nodes[ref.node].kind not in ("parameter", "constant") for ref in node.inputs) == 1


def _layers_before(square: Node, graph: Graph) -> list[Node]:
    """The layers that make the values that are squared, which may have been carried elsewhere since."""
    todo, found = [graph.nodes[ref.node] for ref in square.inputs], dict[str, Node]()
    while todo:
        node = todo.pop()
        if _is_layer(node):
            found[node.name] = node
        elif node.kind != "input" and _is_carried(node, graph):
            todo += [graph.nodes[ref.node] for ref in node.inputs]
    return list(found.values())


def _filters_before(layer: Node, graph: Graph) -> list[Node]:
    """The layers that a signal passes before one: none, where it is more than a signal."""
    todo, found = [graph.nodes[ref.node] for ref in layer.inputs], dict[str, Node]()
    while todo:
        node = todo.pop()
        if node.name in found or node.kind in ("input", "parameter", "constant"):
            continue
        if _is_layer(node) and not (node.kind == "layer" and node.value.limits is not None):
            found[node.name] = node
        elif not _is_carried(node, graph):
            return []
        todo += [graph.nodes[ref.node] for ref in node.inputs]
    return list(found.values())


def kind_of_part(node: Node) -> Part | None:
    """The part that a kind of node has; None for those that are no functions of arrays."""
    if node.kind in NO_FUNCTIONS or node.kind.startswith("int."):
        return None
    return kind_of(node.kind).part


def _has_level(node: Node) -> bool:
    """Whether a root or a logarithm is among what it computes."""
    return bool(_LEVELS.intersection(_kinds(node)))


def _is_level(node: Node) -> bool:
    """Whether it is a root or a logarithm, of a value that nothing but factors and limits have changed."""
    return _has_level(node) and (node.kind != "formula" or _is_plain(node, _BESIDE | _LEVELS))


def _leads_to_level(
    node: Node,
    graph: Graph,
    users: dict[Ref, list[str]],
    is_passed: Callable[[Node], bool],
    is_level: Callable[[Node], bool],
) -> bool:
    """Whether a root or a logarithm is taken of a value, or of what nodes that may be passed make of it."""
    todo, seen = [node.name], set[str]()
    while todo:
        name = todo.pop()
        if name in seen:
            continue
        seen.add(name)
        for taker in (graph.nodes[user] for user in users.get(Ref(name), ())):
            if is_level(taker):
                return True
            if is_passed(taker):
                todo.append(taker.name)
    return False
