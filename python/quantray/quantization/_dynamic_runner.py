"""A model with dynamically quantized layers: it runs by graphs, each of which is one program.

Sums of floats may be added up in another order there: layers take the range of what they are given.
"""

from __future__ import annotations

from typing import Any

from quantray import nn
from quantray.graph import Graph
from quantray.quantization._converted import why_none_fits
from quantray.quantization._floating import FloatProgram


class Dynamic(FloatProgram):
    """Runs a model from `quantize_dynamic`; what it is called with shows which graphs there are."""

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

    def forget(self, module: nn.Module) -> None:
        if self.is_fixed:
            self._mark.changed = self._mark.touched = False
            self._made.clear()
        else:
            super().forget(module)
