"""Scales and zero points of nodes that no module keeps: of functions, and of second calls of a module."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, cast

from quantray import nn
from quantray.graph import Graph
from quantray.nn.quantized._grid import Grid

if TYPE_CHECKING:
    from quantray.nn._state import Accepted


class _Entry(NamedTuple):
    node: str
    part: str
    grid: Grid


def entries(graphs: Sequence[Graph], module: nn.Module) -> dict[str, _Entry]:
    """Names in the state_dict, and the nodes that they belong to.

    A name is the node's and `scale` or `zero_point`, as if it were a module's; where a module of the node's
    name has such an entry itself, it is `output_scale` or `output_zero_point`.
    """
    found: dict[str, _Entry] = {}
    for node, grid in _grids(graphs):
        taken = _names_of(module, node)
        for part in ("scale", "zero_point"):
            name = f"output_{part}" if part in taken else part
            found.setdefault(f"{node}.{name}", _Entry(node, part, grid))
    return found


def _grids(graphs: Sequence[Graph]) -> Iterator[tuple[str, Grid]]:
    """Nodes and the grids that are their own."""
    for graph in graphs:
        for node in graph:
            grid: Grid | None = node.kwargs.get("grid")
            if isinstance(grid, Grid) and node.kwargs.get("owner") is None:
                yield node.name, grid


def _names_of(module: nn.Module, path: str) -> set[str]:
    found = module._submodule(path)
    return set() if found is None else set(found._own_state())


def replaced(graphs: Sequence[Graph], module: nn.Module, state: Accepted) -> list[Graph]:
    """The graphs with other scales and zero points, by their names in the state_dict."""
    known = entries(graphs, module)
    changes: dict[str, dict[str, float]] = {}
    for key, value in state.items():
        entry = known[key]
        changes.setdefault(entry.node, {})[entry.part] = cast("float", value)
    made: list[Graph] = []
    for graph in graphs:
        nodes = dict(graph.nodes)
        for name, change in changes.items():
            node = nodes.get(name)
            grid = None if node is None else node.kwargs.get("grid")
            if node is not None and isinstance(grid, Grid):
                nodes[name] = node.but(
                    kwargs={**node.kwargs, "grid": grid._replace(**cast("dict[str, Any]", change))}
                )
        made.append(graph.but(nodes=nodes))
    return made
