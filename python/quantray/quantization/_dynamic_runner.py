"""A model with dynamically quantized layers: it runs by graphs, each of which is one program."""

from __future__ import annotations

from typing import Any

import numpy as np

from quantray import nn
from quantray.graph import Graph, Node, normalize
from quantray.graph._run import call
from quantray.quantization._lowering import Lowered, lower
from quantray.quantization._shown import Shown


class Dynamic(Shown):
    """Runs a model from `quantize_dynamic`; what it is called with shows which graphs there are."""

    keeps_forward = True

    def __init__(self, prefix: str = "") -> None:
        super().__init__(prefix)
        self._lowered: dict[int, tuple[Graph, Lowered]] = {}

    def __getstate__(self) -> dict[str, Any]:
        # Programs are made anew for the CPU that they run on.
        return {**super().__getstate__(), "_lowered": {}}

    def passes(self, graph: Graph, module: nn.Module) -> Graph:
        return normalize(graph)

    def compute(self, module: nn.Module, node: Node, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        return call(node, args, kwargs, module)

    def __call__(self, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        # Training, and gradients, are what modules do without a graph.
        if module.training:
            return module._call(args, kwargs)
        if self._mark.touched:
            self._lowered.clear()
            self._mark.touched = False
        return super().__call__(module, args, kwargs)

    def run(self, module: nn.Module, graph: Graph, inputs: Any) -> Any:
        if any(not isinstance(value, (np.ndarray, np.generic)) for value in inputs.values()):
            return super().run(module, graph, inputs)
        return self.lowered(module, graph)(list(inputs.values()))

    def lowered(self, module: nn.Module, graph: Graph) -> Lowered:
        """A graph's program."""
        known = self._lowered.get(id(graph))
        if known is None:
            known = self._lowered[id(graph)] = graph, lower(graph, module, {})
        return known[1]

    def forget(self, module: nn.Module) -> None:
        super().forget(module)
        self._lowered.clear()
