"""What is shown of a model that runs by graphs: a line below its repr, a card, words for its nodes."""

from __future__ import annotations

from collections.abc import Mapping

from quantray import nn
from quantray._core import QTensor
from quantray.graph import Graph
from quantray.graph._graph import About
from quantray.graph._runner import GraphRunner
from quantray.quantization._reading import Reading


def has_codes(module: nn.Module) -> bool:
    """Whether there are weights of integers in a module."""
    return any(isinstance(value, QTensor) for value in module.state_dict().values())


class Shown(GraphRunner):
    """A runner whose graphs can be read."""

    def reading(self, module: nn.Module, graph: Graph) -> Reading | None:
        """One of its graphs, to be read; None where the model's modules say all that there is to say."""
        return None

    def about(self, module: nn.Module, graph: Graph) -> Mapping[str, About]:
        reading = self.reading(module, graph)
        if reading is not None:
            return {node.name: reading.about(node) for node in graph}
        whole = {node.name: module.get_submodule(node.value) for node in graph if node.kind == "module"}
        return {name: About(each._get_name(), in_integers=has_codes(each)) for name, each in whole.items()}

    def line(self, module: nn.Module) -> str:
        """What stands below the module's repr."""
        from quantray.quantization.report import report

        return f"# {report(module).headline()}"

    def card(self, module: nn.Module) -> str:
        """What a notebook shows: HTML."""
        from quantray.quantization.report import report

        return report(module)._repr_html_()
