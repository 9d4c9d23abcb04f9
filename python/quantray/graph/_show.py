"""A graph as text and as a drawing."""

from __future__ import annotations

from quantray.graph._graph import Graph


def table(graph: Graph) -> str:
    return "\n".join(f"{n.name:40} {n.kind:24} {[f.shape for f in n.facts]}" for n in graph)


def html(graph: Graph) -> str:
    return f"<pre>{table(graph)}</pre>"
