"""Kinds of nodes, a file a family. `register` and `spelling` are how others are added."""

from quantray.graph.kinds import _elementwise, _movement, _norm, _pooling, _weighted
from quantray.graph.kinds._modules import ModuleKind, module_kind, register_layer, registered_layers
from quantray.graph.kinds._table import Kind, Part, kind_of, normalized, register, spelling
from quantray.graph.kinds._weighted import LAYERS, is_weight

__all__ = [
    "LAYERS",
    "Kind",
    "ModuleKind",
    "Part",
    "is_weight",
    "kind_of",
    "module_kind",
    "normalized",
    "register",
    "register_layer",
    "registered_layers",
    "spelling",
]

del _elementwise, _movement, _norm, _pooling, _weighted
