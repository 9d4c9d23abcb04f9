"""Saves models as ONNX files."""

# Arguments of nodes are trees of whatever functions take: their leaves have no type that could be said.
# pyright: reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportUnknownMemberType=false, reportUnknownLambdaType=false

from __future__ import annotations

import os
import re
import warnings
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from quantray import __version__
from quantray.graph import Fact, Graph, Ref, capture, normalize
from quantray.graph._runner import GraphRunner
from quantray.graph._trees import leaves
from quantray.nn import Module
from quantray.onnx._export._bodies import called_once
from quantray.onnx._export._forms import adapted
from quantray.onnx._export._nodes import taken_for_granted, write_decisions, write_node
from quantray.onnx._export._versions import GREATEST, LEAST, format_of, least, plain
from quantray.onnx._export._writing import NotExported, Writing
from quantray.onnx._file import GraphFile, ModelFile, NodeFile, ValueInfo, write
from quantray.onnx._model import Model
from quantray.onnx._passes import uses
from quantray.onnx._value import Value
from quantray.quantization._batches import as_arguments, check_model
from quantray.quantization._converted import Converted
from quantray.quantization._integers import grids_of
from quantray.quantization._prepared import Prepared

if TYPE_CHECKING:
    from quantray._typing import Tree
    from quantray.nn.quantized._grid import Grid

#: Layer normalizations are operators from this one on; other files are of the least.
_OPSET_OF_NORMS = 17
_OPSET_OF_SMALL_INTEGERS = 21


def save(
    model: Module,
    path: str | os.PathLike[str],
    example_inputs: Tree = None,
    *,
    opset: int | None = None,
    input_names: Sequence[str] | None = None,
    output_names: Sequence[str] | None = None,
) -> None:
    """Writes a model as an ONNX file, which other runtimes read.

    Integers are written as QDQ: float operators between QuantizeLinear and DequantizeLinear, weights as
    integers, biases as int32, zero points even. Layers of `quantize_dynamic` become DynamicQuantizeLinear
    and integer products; files have one range for all rows there. Lengths that may differ are named. Nodes
    of a file that the model comes from are written as they were where nothing else stands for them. Graphs
    inside of nodes (Loop, Scan, If) have their integers, too, from opset 13 on, once they were called.

    Parameters
    ----------
    model : Module
        Float, converted, or dynamic; it is written in evaluation mode.
    path : path
    example_inputs : array, or tuple or mapping of arrays, optional
        What the model is called with; a converted model, or one that has been called, needs none.
    opset : int, optional
        Of the standard's operators: by default the least one from 13 on that has all operators of the
        model, and 17 where there are layer normalizations. Weights of 4 bits lie two to a byte from 21 on,
        which they take where this is not given; below they have a byte each.
    input_names, output_names : sequence of str, optional
        By default the names of `forward`'s arguments, and those of the file that the model comes from.

    Raises
    ------
    ValueError
        Something has no operator in ONNX: all such nodes are named. `opset` is too low for one: the error
        says the least. Nothing is written.

    Warns
    -----
    UserWarning
        The model has decided something by lengths or values of its inputs, and the file does not do that
        again: it says what, and by which axis. A graph inside of a node is written in floats though layers of
        it compute in integers: it says why. Lengths are fixed that are free in the model's own file.

    >>> import tempfile, os, numpy as np
    >>> import quantray as qt
    >>> from quantray import nn, quantization as tq
    >>> model = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 2))
    >>> x = np.random.default_rng(0).standard_normal((16, 4), np.float32)
    >>> small = tq.quantize(model, x, verbose=False)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     qt.onnx.save(small, os.path.join(folder, "small.onnx"))
    ...     again = qt.onnx.load(os.path.join(folder, "small.onnx"))
    >>> bool(np.abs(again(x) - small(x)).max() < 0.05)
    True

    Source: the ONNX standard, https://onnx.ai/onnx/operators/.
    """
    check_model(model)
    if not isinstance(path, (str, os.PathLike)):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise TypeError(f"path must be a str or a path, before example_inputs, got {type(path).__name__}")
    _check_kinds(model)
    graph, grids = _graph_of(model, example_inputs)
    has_norms = any(node.kind == "layer_norm" for node in graph)
    wanted = opset or (_OPSET_OF_NORMS if has_norms else LEAST)
    if not LEAST <= wanted <= GREATEST:
        raise ValueError(f"opset must be from {LEAST} to {GREATEST}, got {wanted}")
    runner = model._runner
    keeps = isinstance(runner, Converted) and runner.keeps_zero_points
    small = opset is None or opset >= _OPSET_OF_SMALL_INTEGERS
    to = Writing(graph, model, grids, wanted, keeps_zero_points=keeps, has_small_integers=small)
    named = _names_of_lengths(model, graph)
    inputs = _inputs(to, graph, input_names, named)
    write_decisions(to)
    names = {name: value.name for name, value in zip(graph.inputs, inputs, strict=True)}
    taken = [*taken_for_granted(to, names), *_fixed(model, inputs)]
    for node in graph:
        if node.kind != "input":
            write_node(to, node)
    outputs = _outputs(to, graph, model, output_names, named) if not to.refused else []
    nodes = _settled(to, outputs, is_given=opset is not None)
    if to.refused:
        raise ValueError(f"{len(to.refused)} nodes have no operator in ONNX:\n  " + "\n  ".join(to.refused))
    needed = {name for node in nodes for name in uses(node)} | {value.name for value in outputs}
    held = {name: tensor for name, tensor in to.initializers.items() if name in needed}
    file = GraphFile(type(model).__name__, tuple(nodes), held, tuple(inputs), tuple(outputs))
    domains = {**to.domains, "": to.opset}
    write(
        ModelFile(format_of(to.opset), domains, file, producer_name="quantray", producer_version=__version__),
        path,
    )
    if taken:
        warnings.warn(
            "the file is right for inputs alone for which what the model decides comes out as it did when it "
            f"was captured; nothing in the file checks it: {'; '.join(taken)}",
            UserWarning,
            stacklevel=2,
        )


def _fixed(model: Module, inputs: Sequence[ValueInfo]) -> list[str]:
    """Lengths that are free in the file that the model comes from, and in the graph they are not.

    Of a table the columns are as many as weights take, whether a file says it or not.
    """
    own = model.inputs if isinstance(model, Model) else ()
    if len(own) != len(inputs):
        return []
    return [
        f"{made.name!r} is {n} long along axis {axis}, which may be of any length in the model's own file"
        for value, made in zip(own, inputs, strict=True)
        for axis, (known, n) in enumerate(zip(value.shape or (), made.shape or (), strict=False))
        if isinstance(n, int) and not isinstance(known, int) and not (axis == 1 and _is_table(value))
    ]


def _is_table(value: Value) -> bool:
    return len(value.shape or ()) == 2 and value.dtype.startswith(("float", "bfloat", "double"))


def _check_kinds(model: Module) -> None:
    """Sequences are unrolled inside of a model; at its ends they have no fixed number of arrays."""
    values = (*model.inputs, *model.outputs) if isinstance(model, Model) else ()
    others = [f"{value.name} ({value.kind})" for value in values if value.kind != "tensor"]
    if others:
        raise ValueError(
            f"inputs and outputs of files that are saved must be arrays, got {', '.join(others)}"
        )


def _settled(to: Writing, outputs: Sequence[ValueInfo], *, is_given: bool) -> list[NodeFile]:
    """The nodes that outputs need, all in the forms of one opset, which becomes the file's."""
    if to.refused:
        return []
    nodes, _ = to.live(outputs)
    nodes = [plain(node) for node in nodes]
    needs = [least(node, to.versions.get(node.name, LEAST), to.types) for node in nodes]
    needed = max(needs, default=LEAST)
    if is_given and needed > to.opset:
        names = sorted({node.op for node, own in zip(nodes, needs, strict=True) if own == needed})
        raise ValueError(
            f"opset must be at least {needed}, which {', '.join(names)} came with, got {to.opset}"
        )
    to.opset = max(needed, to.opset)
    made: list[NodeFile] = []
    for node in nodes:
        try:
            made += adapted(to, node, to.versions.get(node.name, LEAST), to.opset)
        except NotExported as error:
            to.refused.append(f"{node.name.partition('/')[0]}: {error}")
    return made


def _graph_of(model: Module, example: Tree) -> tuple[Graph, Mapping[Ref, Grid]]:
    """The graph that is written, in evaluation mode, and the grids of its wires of codes."""
    runner = model._runner
    if isinstance(runner, Prepared):
        raise ValueError("model is prepared: convert it before it is saved, so that it has integers")
    if isinstance(runner, Converted):
        graphs = [each for each in runner.graphs if not each.training]
        if len(graphs) != 1 and example is None:
            raise ValueError(f"example_inputs must choose one of the model's {len(graphs)} graphs, got None")
        graph = graphs[0]
        if example is not None:
            graph = runner.find(model, as_arguments(_tuple(example), model), {})[0]
        return graph, grids_of(graph, model)
    if runner is None and isinstance(model, Model):
        runner = model._program
    captured = runner.graphs if isinstance(runner, GraphRunner) else []
    graphs = [each for each in captured if not each.training]
    if graphs and example is None:
        return graphs[0], {}
    was = model.training
    try:
        model.eval()
        if example is not None:
            called_once(model, as_arguments(_tuple(example), model))
        return _captured(model, example), {}
    finally:
        model.train(was)


def _captured(model: Module, example: Tree) -> Graph:
    """The graph of a float model, by what it is called with, or else by what its file allows."""
    if example is not None:
        args = as_arguments(_tuple(example), model)
        plain = tuple(np.asarray(x, np.float32) if _is_double(x) else x for x in args)
        return normalize(capture(model, plain))
    failed: Exception | None = None
    for args in model.examples() if isinstance(model, Model) else ():
        try:
            return normalize(capture(model, args))
        except (ValueError, TypeError, IndexError, ArithmeticError, RuntimeError) as error:
            failed = failed or error
    raise failed or ValueError("example_inputs must be what the model is called with, got None")


def _tuple(example: Tree) -> Tree:
    return tuple(example) if isinstance(example, list) else example


def _is_double(x: object) -> bool:
    return getattr(x, "dtype", None) == np.float64


def _names_of_lengths(model: Module, graph: Graph) -> dict[str, str]:
    """What the file that a model comes from calls its lengths, by what the graph calls them."""
    if not isinstance(model, Model) or len(model.inputs) != len(graph.inputs):
        return {}
    found: dict[str, str] = {}
    for value, name in zip(model.inputs, graph.inputs, strict=True):
        for theirs, ours in zip(value.shape or (), graph.nodes[name].facts[0].shape, strict=False):
            if isinstance(theirs, str) and theirs and isinstance(ours, str):
                found.setdefault(ours, theirs)
    # What the file calls by one name is one length there, whatever the graph could take.
    return found


def _inputs(
    to: Writing, graph: Graph, names: Sequence[str] | None, named: Mapping[str, str]
) -> list[ValueInfo]:
    own = graph.inputs
    if names is not None and len(names) != len(own):
        raise ValueError(f"input_names must be {len(own)} names, got {list(names)}")
    made: list[ValueInfo] = []
    for name, wanted in zip(own, names or own, strict=True):
        fact = graph.nodes[name].facts[0]
        used = to.name(wanted)
        to.put(graph.nodes[name], used)
        made.append(ValueInfo(used, _dtype(fact), _lengths(fact, named)))
    return made


def _dtype(fact: Fact) -> str:
    """Files do not say how long texts are."""
    return "float32" if fact.is_float else "string" if fact.dtype.kind == "U" else str(fact.dtype)


def _lengths(fact: Fact, named: Mapping[str, str]) -> tuple[int | str | None, ...]:
    """Lengths as a file says them: a graph may call one "2*n"."""

    def name(n: int | str) -> int | str | None:
        if not isinstance(n, str):
            return n
        return None if n == "?" else re.sub(r"[a-z]\w*", lambda found: named.get(found[0], found[0]), n)

    return tuple(map(name, fact.shape))


def _outputs(
    to: Writing, graph: Graph, model: Module, names: Sequence[str] | None, named: Mapping[str, str]
) -> list[ValueInfo]:
    refs = [leaf for leaf in leaves(graph.output) if isinstance(leaf, Ref)]
    wanted = names or model._output_names() or [f"output_{i}" if i else "output" for i in range(len(refs))]
    if len(wanted) != len(refs):
        raise ValueError(f"output_names must be {len(refs)} names, got {list(wanted)}")
    made: list[ValueInfo] = []
    for ref, name in zip(refs, wanted, strict=True):
        fact = graph.fact(ref)
        used = to.name(name)
        to.add("Identity", [to.value(ref)], [used], {}, "identity")
        made.append(ValueInfo(used, _dtype(fact), _lengths(fact, named)))
    return made
