"""What a user sees of a model that runs by graphs: a line below its repr, a card, and what stands beside its nodes."""

from __future__ import annotations

from collections.abc import Mapping

from quantray import nn
from quantray.graph import Graph
from quantray.graph._graph import About
from quantray.graph._runner import GraphRunner
from quantray.quantization._reading import Reading


class Shown(GraphRunner):
    """A runner whose graphs can be read."""

    def reading(self, module: nn.Module, graph: Graph) -> Reading:
        """One of its graphs, to be read."""
        raise NotImplementedError

    def about(self, module: nn.Module, graph: Graph) -> Mapping[str, About]:
        reading = self.reading(module, graph)
        return {node.name: reading.about(node) for node in graph}

    def line(self, module: nn.Module) -> str:
        """What stands below the module's repr."""
        from quantray.quantization.report import report

        return f"# {report(module).headline()}" if self.graphs else ""

    def card(self, module: nn.Module) -> str:
        """What a notebook shows: HTML."""
        from quantray.quantization.report import report

        return report(module)._repr_html_()
