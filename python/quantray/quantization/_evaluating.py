"""What a trained model computes in evaluation mode: the integers that it will be converted to.

Sums of products of floats depend on their order, and a mean of codes may lie in the middle between two:
such a model and the one that it becomes would differ by a step here and there, and so more and more from
layer to layer.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from typing import TYPE_CHECKING, cast

import numpy as np

from quantray import nn
from quantray._core import QTensor
from quantray._typing import Args, Kwargs, Tensor
from quantray.graph import Graph, Node
from quantray.graph._graph import map_tree
from quantray.graph._run import call
from quantray.graph._trees import is_array
from quantray.nn._gradients import is_traced
from quantray.quantization._integers import compute, grids_of
from quantray.quantization.fake_quantize import FakeQuantizeBase

if TYPE_CHECKING:
    from quantray.quantization._prepared import Prepared


class Integers:
    """The integer graph of a graph of a prepared model, for its parameters and observers as they are."""

    def __init__(self, state: int, graph: Graph, modules: Mapping[str, nn.Module], module: nn.Module) -> None:
        self.state, self.graph, self.modules = state, graph, modules
        self.grids = grids_of(graph, _viewed(module, modules))

    def compute(self, module: nn.Module, node: Node, args: Args, kwargs: Kwargs) -> object:
        """One node's result: codes are seen by none but nodes of integers."""
        if node.kind == "tap":
            return call(node, map_tree(_as_floats, args), kwargs, module)
        if node.kind == "hook":
            return call(node, args, kwargs, module)
        return compute(_viewed(module, self.modules), node, args, kwargs, self.grids)


class _View:
    """A model with layers of integers in the place of those that it trains."""

    def __init__(self, model: nn.Module, modules: Mapping[str, nn.Module]) -> None:
        self._model, self._modules = model, modules

    def get_submodule(self, path: str) -> nn.Module:
        """A module by its path."""
        return self._modules.get(path) or self._model.get_submodule(path)


def _viewed(model: nn.Module, modules: Mapping[str, nn.Module]) -> nn.Module:
    # What computes nodes asks a model for its modules, and for nothing else.
    return cast("nn.Module", _View(model, modules))


def _as_floats(leaf: object) -> object:
    return leaf.dequantize() if isinstance(leaf, QTensor) else leaf


def integers_of(
    runner: Prepared, module: nn.Module, graph: Graph, inputs: Mapping[str, Tensor], known: Integers | None
) -> Integers | None:
    """The integer graph of a graph, `known` where that holds; None where fake quantization has to do."""
    if graph.training or any(map(is_traced, inputs.values())) or not _is_ready(module, graph):
        return None
    state = _state(module)
    if state is None or (known is not None and known.state == state):
        return known if state is not None else None
    from quantray.quantization._conversion import Conversion

    try:
        made = Conversion(module, runner, [graph])
        return Integers(state, made.graphs[0], made.modules, module)
    except (ValueError, TypeError, RuntimeError):
        # It will be said by `convert` why.
        return None


def _is_ready(module: nn.Module, graph: Graph) -> bool:
    """Whether all that a graph quantizes by has been found, and is not switched off."""
    paths: list[str] = []
    for node in graph:
        if node.kind == "observe":
            paths.append(node.value.path)
        elif node.kind == "layer":
            source = graph.nodes[node.args[0].node]
            if node.value.fake is not None:
                paths.append(node.value.fake)
            elif source.kind in ("observe", "snap"):
                return False
    for path in paths:
        quantizer = module.get_submodule(path)
        if not isinstance(quantizer, FakeQuantizeBase) or not quantizer.has_data:
            return False
        if quantizer.training or not quantizer.fake_quant_enabled[0] or quantizer.is_dynamic:
            return False
    return bool(paths)


def _state(module: nn.Module) -> int | None:
    """A number of all parameters and buffers; None where they are being differentiated by."""
    found = 0
    for each in module.modules():
        for table in (each._parameters, each._buffers):
            for value in table.values():
                if is_traced(value):
                    return None
                if is_array(value):
                    found = zlib.crc32(np.ascontiguousarray(value).reshape(-1).view(np.uint8).data, found)
    return found
