"""A graph as a table of its nodes, and what is said below it."""

from __future__ import annotations

import os
from collections.abc import Iterator

import numpy as np

from quantray._tables import Column, Table
from quantray.graph._graph import About, Expr, Fact, Graph, Guard, Node, Place, Ref, Refusal

#: Kinds of nodes that are no functions, in words.
_WORDS = {
    "input": "input",
    "module": "module, kept whole",
    "python": "runs as Python",
    "tap": "hook that looks",
    "hook": "hook that changes",
    "array.getitem": "index",
    "getitem": "index",
    "clip": "clip",
    "div": "divide",
    "mul": "multiply",
    "sub": "subtract",
}
#: Nodes that have no rows of their own: they are shown with those that take them.
FOLDED = ("parameter", "constant")
#: A table of no more rows is open beside the drawing.
_FEW = 30


def words(node: Node, about: About | None = None) -> str:
    """What a node is, in words."""
    if about is not None and about.words:
        return about.words
    return _WORDS.get(node.kind) or function_word(node.kind)


def function_word(kind: str) -> str:
    """The name of a kind's function, without where it is at home."""
    if kind in _WORDS:
        return _WORDS[kind]
    home, _, name = kind.rpartition(".")
    return f"{home.removeprefix('numpy.')}.{name}" if home.startswith("numpy.") else name


def shape_of(fact: Fact) -> str:
    """A shape as Python writes it, with the names of lengths that are free."""
    inside = ", ".join(map(str, fact.shape))
    return f"({inside},)" if len(fact.shape) == 1 else f"({inside})"


def dtype_of(node: Node, about: About | None) -> str:
    """The dtypes of what a node gives."""
    if about is not None and about.dtype:
        return about.dtype
    return ", ".join(dict.fromkeys(str(fact.dtype) for fact in node.facts))


def in_integers(node: Node, about: About | None) -> bool | None:
    """Whether a node computes in integers; None where it computes nothing, or no numbers."""
    if about is not None and (about.in_integers is not None or about.words):
        return about.in_integers
    if node.kind == "input" or not node.facts:
        return None
    return not any(fact.is_float for fact in node.facts)


def _arguments(node: Node, graph: Graph) -> tuple[str, str]:
    """The wires that a node takes, and the weights among them."""
    wires: list[str] = []
    weights: list[str] = []
    for ref in dict.fromkeys(node.inputs):
        source = graph.nodes.get(ref.node)
        if source is None or source.kind not in FOLDED:
            wires.append(str(ref))
        elif source.kind == "parameter":
            name = source.name.removeprefix(f"{node.name.partition('#')[0]}.")
            own = name in ("weight", "bias")
            weights.append(_lengths(source.facts[0]) if own else f"{name} {_lengths(source.facts[0])}")
        elif np.size(source.value) == 1:
            wires.append(f"{np.asarray(source.value).item():.6g}" if _is_number(source.value) else ref.node)
        else:
            weights.append(f"constant {_lengths(source.facts[0])}")
    return ", ".join(wires), ", ".join(weights)


def _is_number(value: object) -> bool:
    return getattr(np.asarray(value), "dtype", None) is not None and np.asarray(value).dtype.kind in "iuf"


def _lengths(fact: Fact) -> str:
    return "x".join(map(str, fact.shape)) or "1"


def rows(graph: Graph) -> Iterator[tuple[str, ...]]:
    """A row of texts for each node: name, kind, inputs, weights, shape, dtype, scale, zero point."""
    for node in graph:
        if node.kind in FOLDED:
            continue
        about = graph.about.get(node.name)
        wires, weights = _arguments(node, graph)
        grid = about if about is not None and about.scale is not None else None
        yield (
            node.name,
            words(node, about),
            wires,
            about.weights if about is not None and about.weights else weights,
            "; ".join(map(shape_of, node.facts)),
            dtype_of(node, about),
            "" if grid is None else f"{grid.scale:.6g}",
            "" if grid is None else str(grid.zero_point),
        )


def table(graph: Graph) -> Table:
    """A row for each node; parameters are in the rows of those that take them."""
    columns = [
        Column("name", wraps=True),
        Column("kind", wraps=True),
        Column("inputs", wraps=True),
        Column("weights", wraps=True, optional=True),
        Column("shape"),
        Column("dtype"),
        Column("scale", right=True, optional=True),
        Column("zero", right=True, optional=True),
    ]
    return Table(columns, list(rows(graph)))


def head(graph: Graph) -> str:
    """One line: what goes in, what comes out."""
    count = sum(node.kind not in FOLDED for node in graph)
    inputs = ", ".join(_wire(Ref(name), graph) for name in graph.inputs)
    outputs = ", ".join(_wire(ref, graph) for ref in dict.fromkeys(graph.outputs)) or "nothing"
    return f"Graph of {count} nodes: {inputs or 'nothing'} -> {outputs}"


def _wire(ref: Ref, graph: Graph) -> str:
    facts = graph.nodes[ref.node].facts
    fact = facts[ref.out] if ref.out < len(facts) else None
    return str(ref) if fact is None else f"{ref} {fact.dtype} {shape_of(fact)}"


def notes(graph: Graph) -> list[str]:
    """What is to be known beside the nodes, in sentences: what runs as Python, what was taken for granted."""
    return [*map(refusal_sentence, graph.refusals), *map(guard_sentence, graph.guards)]


def place(at: Place | None) -> str:
    """A file's name, without its folder, and a line."""
    return "" if at is None else f"{os.path.basename(at.file)}:{at.line}"


def refusal_sentence(refusal: Refusal) -> str:
    """Why a module runs as Python."""
    where = place(refusal.at)
    reason = refusal.reason.removesuffix(".")
    return f"{refusal.scope or 'The model'} runs as Python: {f'{where}: ' if where else ''}{reason}."


def guard_sentence(guard: Guard) -> str:
    """What the graph holds for alone."""
    where = f" ({place(guard.at)})"
    if isinstance(guard.outcome, bool):
        verb = "holds" if guard.outcome else "does not hold"
        return f"For inputs alone where {_condition(guard.subject)} {verb}{where}."
    return f"For inputs alone where {guard.subject} is {guard.outcome}{where}."


def _condition(subject: Expr | Ref) -> str:
    signs = {"eq": "==", "ne": "!=", "lt": "<", "le": "<=", "gt": ">", "ge": ">="}
    if isinstance(subject, Expr) and subject.op in signs:
        left, right = subject.args
        return f"{left} {signs[subject.op]} {right}"
    return str(subject)


def text(graph: Graph) -> str:
    """A graph where it is printed."""
    return "\n".join([head(graph), "", table(graph).text(), *(["", *n] if (n := notes(graph)) else [])])


def html(graph: Graph) -> str:
    """A graph in a notebook: a drawing, and the table beside it, or below where there is no room."""
    from html import escape

    from quantray.graph._drawing import drawing

    made = table(graph)
    below = "".join(f"<li>{escape(note)}</li>" for note in notes(graph))
    return (
        f"<div style='max-width:100%'><div>{escape(head(graph))}</div>"
        "<div style='display:flex;flex-wrap:wrap;gap:1em;align-items:flex-start'>"
        f"<div style='max-width:100%;flex:0 1 auto'>{drawing(graph)}</div>"
        "<details style='max-width:100%;min-width:0;flex:1 1 20em'"
        f"{' open' if len(made.rows) <= _FEW else ''}>"
        f"<summary>Table of all nodes</summary>{made.html()}</details></div>"
        f"{f'<ul>{below}</ul>' if below else ''}</div>"
    )
