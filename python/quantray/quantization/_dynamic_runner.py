"""A model with dynamically quantized layers: it runs by graphs, each of which is one program."""

from __future__ import annotations

from typing import Any

import numpy as np

from quantray import nn
from quantray.graph import Graph, Node, normalize
from quantray.graph._run import call
from quantray.quantization._converted import why_none_fits
from quantray.quantization._programmed import Programmed, shapes_of


class Dynamic(Programmed):
    """Runs a model from `quantize_dynamic`; what it is called with shows which graphs there are."""

    keeps_forward = True
    # No integers follow whose codes could differ: layers take the range of what they are given.
    is_near = True

    def __init__(self, prefix: str = "", graphs: list[Graph] | None = None) -> None:
        super().__init__(prefix)
        #: Whether the model was read from a file without its class: there are no other graphs then.
        self.is_fixed = graphs is not None
        self.graphs += graphs or []

    def capture(
        self, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], **options: Any
    ) -> Graph:
        if self.is_fixed:
            raise ValueError(
                why_none_fits(
                    self.graphs,
                    args,
                    kwargs,
                    "call the model with such inputs before it is saved, or load it into its class",
                )
            )
        return super().capture(module, args, kwargs, **options)

    def for_file(self, module: nn.Module, writer: Any) -> dict[str, Any]:
        """The graphs of evaluation, as JSON."""
        from quantray.quantization._files import described

        graphs = [graph for graph in self.graphs if not graph.training]
        return described("dynamic", [] if self._mark.changed else graphs, self.prefix, writer)

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

    def forget(self, module: nn.Module) -> None:
        if self.is_fixed:
            self._mark.changed = self._mark.touched = False
            self._made.clear()
        else:
            super().forget(module)
