"""A graph's nodes one after the other, and what the graph has decided that its file does not decide again."""

# Attributes and values are trees of whatever a file holds: their leaves have no type that could be said.
# pyright: reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportUnknownMemberType=false, reportUnknownLambdaType=false

from __future__ import annotations

from collections.abc import Mapping

from quantray.graph import Expr, Node, Ref
from quantray.graph._graph import wires
from quantray.onnx._control import Control
from quantray.onnx._export._own import integers_inside, write_call, write_own
from quantray.onnx._export._writing import NotExported, Writing, writer_of


def write_decisions(to: Writing) -> None:
    """Branches and loops that values have decided are written whole; integers hold for what was decided."""
    if to.grids:
        return
    for call in reversed(to.graph.calls):
        module = to.model.get_submodule(call.scope)
        # The outermost one comes first, and takes those inside of it along.
        if not isinstance(module, Control) or integers_inside(module):
            continue
        if call.decides and not call.nodes <= to.done:
            to.decided.append((call, module))
            to.done |= call.nodes


def write_node(to: Writing, node: Node) -> None:
    """Writes a node, and with it what it is part of; what has no operator is refused."""
    try:
        for call, module in list(to.decided):
            if node.name in call.nodes:
                to.decided.remove((call, module))
                write_call(to, call, module)
        if node.name not in to.done:
            _write_one(to, node)
    except NotExported as error:
        to.refused.append(f"{node.name}: {error}")
        for out in range(max(len(node.facts), 1)):
            to.values.setdefault(Ref(node.name, out), "")


def _write_one(to: Writing, node: Node) -> None:
    writer = writer_of(node.kind)
    try:
        if writer is None:
            raise NotExported(f"a step {node.kind}")
        writer(to, node)
    except NotExported:
        if not write_own(to, node):
            raise


def taken_for_granted(to: Writing, names: Mapping[str, str]) -> list[str]:
    """What the graph decided that the file decides not again: lengths and values, by names of its inputs."""
    written = {ref.node for call, _ in to.decided for ref in wires(call.args)}
    written |= {name for call, _ in to.decided for name in call.nodes}
    found: list[str] = []
    for guard in to.graph.guards:
        taken = wires(guard.subject)
        if not taken or all(ref.node in written for ref in taken):
            continue
        places = _axes(guard.subject)
        if places and all(isinstance(to.fact(ref).shape[axis], int) for ref, axis in places):
            # These lengths are those of weights, or the file's inputs have them.
            continue
        axes = [f"axis {axis} of {names[ref.node]!r}" for ref, axis in places if ref.node in names]
        about = f" ({', '.join(dict.fromkeys(axes))})" if axes else ""
        found.append(f"{guard}{about}")
    return list(dict.fromkeys(found))


def _axes(subject: object) -> list[tuple[Ref, int]]:
    """The axes whose lengths an expression is of."""
    if not isinstance(subject, Expr):
        return []
    if subject.op == "dim":
        ref, axis = subject.args
        return [(ref, int(axis))]
    return [axis for arg in subject.args for axis in _axes(arg)]
