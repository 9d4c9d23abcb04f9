"""What runs a model whose file has the grids: it finds further graphs by itself."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, TypeAlias

from quantray import nn
from quantray.graph import Graph
from quantray.quantization._converted import Converted, NotCaptured

if TYPE_CHECKING:
    from quantray._typing import Tensor

#: A further graph of a model, for what it is called with.
Capture: TypeAlias = Callable[[nn.Module, tuple[object, ...]], Graph]


class Loaded(Converted):
    """Runs a model of integers that a file has been.

    Parameters
    ----------
    graphs : list of Graph

    Attributes
    ----------
    capture_graph : callable or None
        Makes a graph for inputs that no other graph is for; None where there is one for all.
    """

    def __init__(self, graphs: list[Graph], prefix: str = "") -> None:
        # The file's own sums are of no certain order either.
        super().__init__(graphs, prefix, is_near=True, keeps_zero_points=True)
        self.capture_graph: Capture | None = None

    def find(
        self, module: nn.Module, args: tuple[object, ...], kwargs: dict[str, object], *, whole: bool = False
    ) -> tuple[Graph, dict[str, Tensor]]:
        try:
            return super().find(module, args, kwargs, whole=whole)
        except NotCaptured:
            if self.capture_graph is None or kwargs:
                raise
        with self._lock:
            self.graphs = [*self.graphs, self.capture_graph(module, args)]
        return super().find(module, args, kwargs, whole=whole)
