"""Names for nodes that were written down by number."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from quantray.graph._graph import Node, Ref, map_wires


def named_nodes(
    nodes: list[Node], singles: Mapping[int, str]
) -> tuple[dict[str, Node], Callable[[Ref], Ref]]:
    """Nodes with names of their own, and what puts a name in the place of a wire's number.

    `singles` are the names that calls of modules gave their only nodes, by the nodes' numbers.
    """
    names: list[str] = []
    taken: dict[str, int] = {}
    for number, node in enumerate(nodes):
        wanted = singles.get(number, node.name)
        taken[wanted] = taken.get(wanted, 0) + 1
        name = wanted if taken[wanted] == 1 else f"{wanted}#{taken[wanted]}"
        while name in taken and taken[wanted] > 1:
            taken[wanted] += 1
            name = f"{wanted}#{taken[wanted]}"
        taken.setdefault(name, 1)
        names.append(name)

    def renamed(ref: Ref) -> Ref:
        return Ref(names[int(ref.node)], ref.out)

    made = {
        name: node.but(
            name=name, args=map_wires(renamed, node.args), kwargs=map_wires(renamed, dict(node.kwargs))
        )
        for name, node in zip(names, nodes, strict=True)
    }
    return made, renamed
