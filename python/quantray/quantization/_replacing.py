"""Modules of a converted model: what takes whose place, and what goes."""

from __future__ import annotations

import numpy as np

from quantray import nn
from quantray.graph import Graph, Node
from quantray.nn import quantized
from quantray.nn._tracing import is_attached
from quantray.nn.intrinsic._fused import BATCH_NORMS

#: Classes whose work can become part of a layer's.
_ABSORBABLE = (nn.ReLU, nn.ReLU6, *BATCH_NORMS)


def replaced(model: nn.Module, modules: dict[str, nn.Module]) -> nn.Module:
    """The model with other modules in some places; a module under several names is replaced under all."""
    by_old: dict[int, nn.Module] = {}
    for path, new in modules.items():
        old = model._submodule(path)
        if old is None:
            parent, _, name = path.rpartition(".")
            model.get_submodule(parent).add_module(name, new)
            continue
        by_old[id(old)] = new
        new._take_hooks(old)
    if id(model) in by_old:
        return by_old[id(model)]

    def walk(module: nn.Module, seen: set[int]) -> None:
        if id(module) in seen:
            return
        seen.add(id(module))
        for name, child in list(module._modules.items()):
            if child is None:
                continue
            if id(child) in by_old:
                module.add_module(name, by_old[id(child)])
            else:
                walk(child, seen)

    walk(model, set())
    return model


def followed(graph: Graph, modules: dict[str, nn.Module]) -> Graph:
    """A graph whose float nodes find what is inside of a `Requantized` now."""
    inside = {path for path, new in modules.items() if isinstance(new, quantized.Requantized)}

    def moved(node: Node) -> Node:
        if node.kind == "parameter" and node.value[0] in inside:
            return node.but(value=(f"{node.value[0]}.module", node.value[1]))
        if node.kind == "module" and node.value in inside:
            return node.but(value=f"{node.value}.module")
        return node

    return graph.but(nodes={name: moved(node) for name, node in graph.nodes.items()})


def clean(model: nn.Module, graphs: list[Graph]) -> None:
    """Observers go; so do float parameters of modules whose layers are beside them now."""
    used = {node.value for graph in graphs for node in graph if node.kind == "parameter"}
    for path, module in list(model.named_modules()):
        for name in [name for name in module._modules if is_attached(name)]:
            del module._modules[name]
        module.__dict__.pop("qconfig", None)
        beside = [name for name in module._modules if "_quantized" in name]
        if not beside:
            continue
        for key in [k for k, v in module._parameters.items() if v is not None]:
            if (path, key) not in used:
                module._parameters[key] = None
                module._changed()


class Kept:
    """Which modules the integer graphs still come through."""

    def __init__(self, graphs: list[Graph]) -> None:
        self.nodes = [node for graph in graphs for node in graph]

    def is_absorbed(self, path: str, module: nn.Module, before: list[Graph]) -> bool:
        """Whether all that a plain module did has become part of other nodes."""
        if type(module) not in _ABSORBABLE:
            return False
        # What runs as Python calls its modules itself, also those that it has made since it was prepared.
        if any(node.kind == "python" and f".{path}.".startswith(_before(node.value)) for node in self.nodes):
            return False
        if any(
            path in (node.value, node.scope, node.name.partition("#")[0])
            for node in self.nodes
            if not isinstance(node.value, (np.ndarray,))
        ):
            return False
        # A layer that stays in floats computes with the normalization itself.
        if any(node.kind == "layer" and node.value.norm == path for node in self.nodes):
            return False
        norms = {node.value.norm for graph in before for node in graph if node.kind == "layer"}
        return isinstance(module, BATCH_NORMS) is (path in norms)


def _before(path: str) -> str:
    """What all paths below one begin with, where a point is before each."""
    return f".{path}." if path else "."
