"""Models that run by programs: what a graph has become for a module as it is now."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

from quantray import nn
from quantray._typing import Tensor
from quantray.graph import Graph, Ref
from quantray.graph._fitting import is_of_inputs
from quantray.nn.quantized._grid import Grid
from quantray.quantization._lowering import Lowered, lower
from quantray.quantization._routes import Routes
from quantray.quantization._shown import Shown


class Shapes(Protocol):
    """A set of what `shapes_of` gives."""

    def __contains__(self, item: object, /) -> bool: ...
    def add(self, item: object, /) -> None: ...


class Made:
    """What a graph has become for a module."""

    def __init__(self, graph: Graph, grids: dict[Ref, Grid], lowered: Lowered) -> None:
        self.graph, self.grids, self.lowered = graph, grids, lowered
        #: Shapes that what the graph took for granted was looked at for, node by node.
        self.checked: Shapes = set()


class Programmed(Shown):
    """A runner whose graphs are programs, made when they are first run and anew when the module has
    changed.
    """

    #: Whether sums of floats may be added up in another order than the nodes' own.
    is_near = False

    def __init__(self, prefix: str = "") -> None:
        super().__init__(prefix)
        #: By the graph's identity, as long as it holds the graph.
        self._made: dict[int, Made] = {}
        self._routes = Routes()

    def __getstate__(self) -> dict[str, object]:
        # Programs are made anew for the CPU that they run on.
        return {**super().__getstate__(), "_made": {}, "_routes": Routes()}

    def grids(self, module: nn.Module, graph: Graph) -> dict[Ref, Grid]:
        """The grid of each wire of codes."""
        return {}

    def made(self, module: nn.Module, graph: Graph) -> Made:
        """The grids and the program of a graph."""
        made = self._made.get(id(graph))
        if made is None:
            with self._lock:
                grids = self.grids(module, graph)
                made = Made(graph, grids, lower(graph, module, grids, is_near=self.is_near))
                if any(node.kind == "python" and not node.value for node in graph):
                    # It may give back anything, and not arrays alone.
                    made.checked = _Nothing()
                elif all(isinstance(g.subject, Ref) or is_of_inputs(g.subject, graph) for g in graph.guards):
                    made.checked = _Everything()
                self._made[id(graph)] = made
        return made

    def renew(self) -> None:
        """Forgets programs, which hold the weights that were there when they were made."""
        self._made.clear()
        self._routes.clear()

    def forget(self, module: nn.Module) -> None:
        super().forget(module)
        self.renew()


class _Everything:
    """A set that has all."""

    def __contains__(self, item: object) -> bool:
        return True

    def add(self, item: object) -> None:
        """It is there already."""


class _Nothing:
    """A set that stays empty."""

    def __contains__(self, item: object) -> bool:
        return False

    def add(self, item: object) -> None:
        """It is not kept."""


def shapes_of(arrays: Iterable[Tensor]) -> tuple[object, ...]:
    """What tells inputs apart for a program."""
    return tuple((array.shape, array.dtype) for array in arrays)
