"""A model with dynamically quantized layers: it runs by graphs, each of which is one program."""

from __future__ import annotations

from typing import Any

import numpy as np

from quantray import nn
from quantray.graph import Graph, Node, normalize
from quantray.graph._run import call
from quantray.quantization._programmed import Programmed, shapes_of


class Dynamic(Programmed):
    """Runs a model from `quantize_dynamic`; what it is called with shows which graphs there are."""

    keeps_forward = True
    # No integers follow whose codes could differ: layers take the range of what they are given.
    is_near = True

    def passes(self, graph: Graph, module: nn.Module) -> Graph:
        return normalize(graph)

    def compute(self, module: nn.Module, node: Node, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        return call(node, args, kwargs, module)

    def __call__(self, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        # Training, and gradients, are what modules do without a graph.
        if module.training:
            return module._call(args, kwargs)
        if self._mark.touched:
            self._made.clear()
            self._mark.touched = False
        return super().__call__(module, args, kwargs)

    def run(self, module: nn.Module, graph: Graph, inputs: Any) -> Any:
        arrays = list(inputs.values())
        if any(not isinstance(value, (np.ndarray, np.generic)) for value in arrays):
            return super().run(module, graph, inputs)
        made, key = self.made(module, graph), shapes_of(arrays)
        if key not in made.checked:
            output = super().run(module, graph, inputs)
            made.checked.add(key)
            return output
        return made.lowered(arrays)
