"""Graphs inside of nodes whose layers compute in integers: written as the integers that they are."""

# Attributes and values are trees of whatever a file holds: their leaves have no type that could be said.
# pyright: reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportUnknownMemberType=false

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import TYPE_CHECKING, cast

import numpy as np

from quantray.graph import Graph, Ref, capture, normalize
from quantray.graph._runner import GraphRunner
from quantray.graph._trees import leaves
from quantray.nn import Module
from quantray.onnx._body import Body
from quantray.onnx._control import Control
from quantray.onnx._export._forms import adapted
from quantray.onnx._export._nodes import taken_for_granted, write_decisions, write_node
from quantray.onnx._export._own import integers_inside, renamed
from quantray.onnx._export._versions import LEAST, plain
from quantray.onnx._export._writing import NotExported, Writing
from quantray.onnx._file import GraphFile, NodeFile
from quantray.quantization._converted import Converted
from quantray.quantization._integers import grids_of

if TYPE_CHECKING:
    from quantray.nn.quantized._grid import Grid


def of_integers(
    to: Writing, scope: str, module: Control, name: str, around: Mapping[str, str]
) -> GraphFile | None:
    """One of a node's graphs with its integers; None where it has none, or cannot be written so.

    `around` are the names in the file of the values that graphs of the node take.

    Warns
    -----
    UserWarning
        It has integers, and is written in floats, as the file had it: it says why.
    """
    body = cast("Body", module.get_submodule(name))
    inside = integers_inside(body)
    if not inside:
        return None
    before = len(to.nodes)
    try:
        if module.call.version < LEAST:
            raise NotExported(f"it is of opset {module.call.version}, before {LEAST}")
        return _written(to, scope, module, name, body, around)
    except NotExported as error:
        del to.nodes[before:]
        warnings.warn(
            f"{scope}: its graph is written in float, as the file has it ({error}); {len(inside)} of its "
            f"layers compute in integers here ({name}.{inside[0]}, ...)",
            stacklevel=2,
        )
        return None


def _written(
    to: Writing, scope: str, module: Control, name: str, body: Body, around: Mapping[str, str]
) -> GraphFile:
    graph, grids = _graph_of(body)
    runner = body._runner
    inner = to.inside(
        graph, body, grids, keeps_zero_points=isinstance(runner, Converted) and runner.keeps_zero_points
    )
    found = module.bodies[name]
    infos = [value for value in found.inputs if value.name not in found.initializers]
    names = {value.name: to.name(f"{scope}/{value.name}") for value in infos}
    for wanted, own in zip(body.plan.inputs, graph.inputs, strict=True):
        inner.put(graph.nodes[own], names[wanted] if wanted in names else around[wanted])
    inputs = [renamed(value, names) for value in infos]
    write_decisions(inner)
    taken = taken_for_granted(inner, dict(zip(graph.inputs, body.plan.inputs, strict=True)))
    if taken:
        raise NotExported(f"it holds for some inputs alone: {'; '.join(taken)}")
    for node in graph:
        if node.kind != "input":
            write_node(inner, node)
    outputs: list[str] = []
    for value, leaf in zip(found.outputs, leaves(graph.output), strict=True):
        outputs.append(inner.name(f"{scope}/{value.name}"))
        inner.add("Identity", [inner.value(leaf)], outputs[-1:], {}, "identity")
    if inner.refused:
        raise NotExported("; ".join(inner.refused))
    infos_out = [
        renamed(value, {value.name: made}) for value, made in zip(found.outputs, outputs, strict=True)
    ]
    nodes: list[NodeFile] = []
    for node in inner.live(infos_out)[0]:
        nodes += adapted(inner, plain(node), inner.versions.get(node.name, LEAST), module.call.version)
    return GraphFile(
        to.name(f"{scope}/{found.name or 'graph'}"), tuple(nodes), {}, tuple(inputs), tuple(infos_out)
    )


def called_once(model: Module, args: tuple[object, ...]) -> None:
    """Calls a model, if it has graphs inside of nodes with integers to be written, and never ran them."""
    controls = [module for module in model.modules() if isinstance(module, Control)]
    inner = [body for control in controls for body in control.children() if isinstance(body, Body)]
    if any(body.seen is None and body._runner is None and integers_inside(body) for body in inner):
        model(*args)


def _graph_of(body: Body) -> tuple[Graph, Mapping[Ref, Grid]]:
    """The one graph of its integers; of layers that find their ranges in each call, that of such a call."""
    runner = body._runner
    if isinstance(runner, Converted):
        graphs = [graph for graph in runner.graphs if not graph.training]
        if len(graphs) != 1:
            raise NotExported(f"it has {len(graphs)} graphs of integers")
        return graphs[0], grids_of(graphs[0], body)
    program = body._program
    if isinstance(program, GraphRunner) and program.graphs:
        return program.graphs[0], {}
    if body.seen is None:
        raise NotExported("it was not called yet")
    try:
        return normalize(capture(body, tuple(np.zeros(shape, dtype) for shape, dtype in body.seen))), {}
    except (ValueError, TypeError, IndexError, ArithmeticError, RuntimeError) as error:
        raise NotExported(str(error)) from None
