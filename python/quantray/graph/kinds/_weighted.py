"""Products: with weights, and of two arrays."""

from __future__ import annotations

import numpy as np

from quantray.graph._graph import Graph, Node, Ref
from quantray.graph.kinds._gradients import differentiable_of
from quantray.graph.kinds._table import Kind, Part, bound, register, spelling
from quantray.nn import functional as F

#: Kinds of layers with weights, and the class that each is at home in.
LAYERS = {
    "linear": "Linear",
    "conv1d": "Conv1d",
    "conv2d": "Conv2d",
    "conv3d": "Conv3d",
    "conv_transpose1d": "ConvTranspose1d",
    "conv_transpose2d": "ConvTranspose2d",
    "conv_transpose3d": "ConvTranspose3d",
}
for _name, _class in LAYERS.items():
    register(Kind(_name, getattr(F, _name), part=Part.WEIGHTED, class_name=_class))
register(
    Kind(
        "matmul",
        np.matmul,
        differentiable_of("numpy.matmul"),
        part=Part.FOLLOWS,
        class_name="FloatFunctional",
    )
)


@spelling(*(f"functional.{name}" for name in LAYERS))
def _layer(node: Node, graph: Graph) -> Node | None:
    name = node.kind.rpartition(".")[2]
    args, settings = bound(getattr(F, name), node, ("input", "weight", "bias"))
    return node.but(kind=name, args=args, kwargs=settings)


def is_weight(value: object, graph: Graph) -> bool:
    """Whether an array depends on no input: parameters, constants, and what is made of them."""
    return isinstance(value, Ref) and value.node in graph.fixed


@spelling("numpy.matmul", "numpy.dot", "ndarray.dot", "functional.matmul")
def _matmul(node: Node, graph: Graph) -> Node | None:
    """A product with a matrix of weights is a linear layer, whose weight is the matrix's transpose."""
    if node.kind.startswith("functional"):
        a, b = (*node.args, *node.kwargs.values())
    elif node.kwargs or len(node.args) != 2:
        return None
    else:
        a, b = node.args
    if not (isinstance(a, Ref) and isinstance(b, Ref)):
        return None
    x, y = graph.fact(a), graph.fact(b)
    if x.dtype != np.float32 or y.dtype != np.float32 or node.facts[0].dtype != np.float32:
        return None
    if len(y.shape) == 2 and len(x.shape) >= 2 and is_weight(b, graph) and not is_weight(a, graph):
        # The lowering pass adds the transpose as a node of its own.
        return node.but(kind="linear", args=(a, b, None), kwargs={"transposed": True})
    if "dot" in node.kind and (len(x.shape) > 2 or len(y.shape) > 2):
        return None
    if len(x.shape) < 2 or len(y.shape) < 2:
        return None
    return node.but(kind="matmul", args=(a, b), kwargs={})
