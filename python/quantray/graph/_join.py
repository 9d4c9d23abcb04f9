"""The one graph that two runs of a capture are cases of."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import NamedTuple

from quantray.graph._called import Called
from quantray.graph._free_lengths import Differ, Lengths, Once
from quantray.graph._graph import Expr, Graph, Guard, Node, Ref, Refusal, map_wires
from quantray.graph._naming import named_nodes
from quantray.graph._trees import is_dict, is_sequence, is_slice, is_tuple, rebuilt

#: Kinds that arrays become which lengths make.
_MADE = frozenset({"array.ramp", "array.triangle", "array.diagonal", "array.full"})


class Joined(NamedTuple):
    """What two runs have shown."""

    graph: Graph
    #: What arrays were taken for that lengths seem to make.
    made: dict[str, tuple[str, tuple[object, ...]]]
    #: Whether one of these was so short that it may go on in another way.
    is_thin: bool
    #: Whether Python has got the number of rows: it may decide by it, unseen, for other ones.
    counts_rows: bool


def join(a: Once, b: Once, training: bool, has_differed: bool = False) -> Joined:
    """The graph that both runs are cases of; `has_differed` says that a third one is no case of it."""
    lengths = Lengths(a, b, has_differed)
    first, second = a.tracer.nodes, b.tracer.nodes
    for one, two in zip(first, second, strict=False):
        if one.kind != two.kind:
            raise Differ(one.scope, f"other work for other sizes or values ({one.kind}, {two.kind})", one.at)
    if len(first) != len(second):
        last = (first if len(first) > len(second) else second)[min(len(first), len(second))]
        raise Differ(last.scope, f"other work for other sizes or values ({last.kind})", last.at)
    nodes: list[Node] = []
    for number, (one, two) in enumerate(zip(first, second, strict=True)):
        is_counted = a.tracer.counted.is_in(Ref(str(number)))
        facts = tuple(lengths.fact(f, g, is_counted) for f, g in zip(one.facts, two.facts, strict=True))
        if one.kind == "constant":
            nodes.append(lengths.constant(one, two).but(facts=facts))
            continue
        args, kwargs = (
            _merged(one, one.args, two.args, lengths),
            _merged(one, one.kwargs, two.kwargs, lengths),
        )
        nodes.append(one.but(args=args, kwargs=kwargs, facts=facts))
    made = {str(i): (n.kind, n.args) for i, n in enumerate(nodes) if n.kind in _MADE}
    output = _merged(first[-1] if first else Node("", ""), a.output, b.output, lengths)
    named, rename = named_nodes(nodes, a.tracer.singles)
    graph = Graph(
        named,
        map_wires(rename, a.args),
        map_wires(rename, a.kwargs),
        map_wires(rename, output),
        tuple(Guard(map_wires(rename, g.subject), g.outcome, g.at) for g in lengths.guards()),
        tuple(dict.fromkeys(a.tracer.refusals)) + _from_values(a, b),
        training,
        calls=tuple(_renamed(call, numbers, list(named), rename) for call, numbers in a.tracer.calls),
    )
    kept = graph.pruned()
    needed = {node.scope for node in kept}
    graph = kept.but(unused=frozenset(node.scope for node in graph) - needed)
    return Joined(graph, made, lengths.is_thin, lengths.counts_rows())


def _renamed(call: Called, numbers: range, names: list[str], rename: Callable[[Ref], Ref]) -> Called:
    """A call with names in the place of numbers."""
    nodes = frozenset(names[number] for number in numbers)
    args, output = map_wires(rename, call.args), map_wires(rename, call.output)
    return replace(call, args=args, output=output, nodes=nodes)


def _from_values(a: Once, b: Once) -> tuple[Refusal, ...]:
    known = {r.scope for r in a.tracer.refusals}
    chosen = sorted(a.tracer.python - known)
    reason = "what it computes depends on values, or on chance"
    return tuple(Refusal(scope, reason) for scope in chosen)


def _merged(node: Node, a: object, b: object, lengths: Lengths) -> object:
    """Arguments that hold for both runs: a number that is one length in the first and in the second is that
    length.

    Raises where a plain value is not the same in both.
    """
    if is_sequence(a) and is_sequence(b) and type(a) is type(b) and len(a) == len(b):
        items = [_merged(node, x, y, lengths) for x, y in zip(a, b, strict=True)]
        return rebuilt(a, items) if is_tuple(a) else items
    if is_dict(a) and is_dict(b) and type(a) is type(b) and a.keys() == b.keys():
        return {key: _merged(node, x, b[key], lengths) for key, x in a.items()}
    if is_slice(a) and is_slice(b):
        pairs = ((a.start, b.start), (a.stop, b.stop), (a.step, b.step))
        return slice(*(_merged(node, x, y, lengths) for x, y in pairs))
    if isinstance(a, (Ref, Expr)) or isinstance(b, (Ref, Expr)):
        if a != b:
            raise Differ(node.scope, "other wires for other sizes or values", node.at)
        return lengths.of_inputs(a) if isinstance(a, Expr) else a
    if a is b or (type(a) is type(b) and (a == b or (a != a and b != b))):
        return a
    length = lengths.number(a, b)
    if length is None:
        raise Differ(node.scope, f"a value that differs with sizes or values: {a!r}, {b!r}", node.at)
    return length
