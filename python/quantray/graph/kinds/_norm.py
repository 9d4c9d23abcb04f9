"""Normalizations and softmax: floats between integers."""

from __future__ import annotations

from quantray.graph._graph import Graph, Node
from quantray.graph.kinds._table import Kind, Part, bound, register, spelling
from quantray.nn import functional as F

_KINDS = {
    "softmax": "Softmax",
    "log_softmax": "LogSoftmax",
    "layer_norm": "LayerNorm",
    "group_norm": "GroupNorm",
    "instance_norm": "InstanceNorm2d",
    "rms_norm": "RMSNorm",
    "prelu": "PReLU",
}
for _name, _class in _KINDS.items():
    part = None if _name in ("log_softmax", "rms_norm") else Part.FOLLOWS
    register(Kind(_name, getattr(F, _name), part=part, class_name=_class))


@spelling(*(f"functional.{name}" for name in _KINDS))
def _named(node: Node, graph: Graph) -> Node | None:
    name = node.kind.rpartition(".")[2]
    args, settings = bound(getattr(F, name), node, ("input",))
    return node.but(kind=name, args=args, kwargs=settings)
