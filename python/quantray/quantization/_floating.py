"""A model in floats that runs by programs: what has a kernel is a step, all else is called node by node."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from quantray import nn
from quantray._typing import Args, Kwargs, Tensor
from quantray.graph import Graph, Node, normalize
from quantray.graph._run import call
from quantray.quantization._programmed import Programmed, shapes_of


class FloatProgram(Programmed):
    """Runs a model, as long as it evaluates, by programs of float steps.

    What the model is called with shows which graphs there are; each kind of inputs is run node by node once,
    which looks at what its graph took for granted. Training and gradients are what modules do without it.
    Results are those of the nodes but for the order in which sums are added up: float32's rounding.
    """

    keeps_forward = True
    # Sums of floats may be added up in another order than the nodes' own: no integers follow.
    is_near = True

    def passes(self, graph: Graph, module: nn.Module) -> Graph:
        return normalize(graph)

    def compute(self, module: nn.Module, node: Node, args: Args, kwargs: Kwargs) -> object:
        return call(node, args, kwargs, module)

    def __call__(self, module: nn.Module, args: Args, kwargs: Kwargs) -> object:
        # Training, and gradients, are what modules do without a graph.
        if module.training:
            return module._call(args, kwargs)
        if self._mark.touched:
            self.renew()
            self._mark.touched = False
        if not kwargs and not self._mark.changed:
            route = self._routes.find(args)
            if route is not None:
                return route.lowered(args)
        return super().__call__(module, args, kwargs)

    def run(self, module: nn.Module, graph: Graph, inputs: Mapping[str, Tensor]) -> object:
        arrays = list(inputs.values())
        if any(not isinstance(value, (np.ndarray, np.generic)) for value in arrays):
            return super().run(module, graph, inputs)
        made, key = self.made(module, graph), shapes_of(arrays)
        if key not in made.checked:
            output = super().run(module, graph, inputs)
            made.checked.add(key)
            return output
        self._routes.add(graph, module, dict(inputs), made.lowered, made.grids)
        return made.lowered(arrays)
