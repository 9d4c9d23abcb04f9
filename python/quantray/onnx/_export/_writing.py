"""A graph's way to a file: nodes, constants and lengths under names of their own."""

# Arguments of nodes are trees of whatever functions take: their leaves have no type that could be said.
# pyright: reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportUnknownMemberType=false, reportUnknownLambdaType=false

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from quantray._core import QTensor
from quantray.graph import Expr, Fact, Graph, Node, Ref
from quantray.graph._run import parameter_of
from quantray.nn import Module
from quantray.onnx._file import GraphFile, NodeFile, Tensor, ValueInfo

Array = Any


class NotExported(Exception):
    """A node that ONNX has no operator for."""


class Writing:
    """The nodes of a file while a graph is written.

    Attributes
    ----------
    graph : Graph
    model : Module
        Whose parameters the graph reads.
    opset : int
        Of the standard's operators that is written for.
    grids : mapping of Ref to Grid
        Of the wires of codes.
    """

    def __init__(self, graph: Graph, model: Module, grids: Mapping[Ref, Any], opset: int) -> None:
        self.graph, self.model, self.grids, self.opset = graph, model, grids, opset
        self.nodes: list[NodeFile] = []
        self.initializers: dict[str, Tensor] = {}
        self.values: dict[Ref, str] = {}
        self.domains: dict[str, int] = {"": opset}
        self._taken: set[str] = set()
        self._constants: dict[Any, str] = {}
        self._lengths: dict[Any, str] = {}
        self._kept: list[Array] = []
        #: Nodes that cannot be written, and why.
        self.refused: list[str] = []

    # Names

    def name(self, wanted: str) -> str:
        """A value's name that there is not yet."""
        made, count = wanted, 1
        while made in self._taken:
            count += 1
            made = f"{wanted}_{count}"
        self._taken.add(made)
        return made

    def value(self, ref: Any) -> str:
        """The name of what is on a wire, in floats; of a number or an array that of a constant."""
        if isinstance(ref, Ref):
            if ref not in self.values:
                # A weight is part of the file where a node takes it as it is.
                array = self.array(ref)
                if array is None or isinstance(array, QTensor):
                    raise NotExported(f"{ref} as a constant")
                self.values[ref] = self.constant(array, name=ref.node)
            return self.values[ref]
        if isinstance(ref, Expr):
            return self.op("Squeeze", [self.length(ref), self.constant(np.array([0], np.int64))])
        return self.constant(np.asarray(ref))

    def array(self, ref: Any) -> Array | None:
        """The array on a wire that depends on no input; None for others."""
        if not isinstance(ref, Ref):
            return None if ref is None or isinstance(ref, Expr) else np.asarray(ref)
        node = self.graph.nodes[ref.node]
        if node.kind == "constant":
            return np.asarray(node.value)
        if node.kind == "parameter":
            return np.asarray(parameter_of(self.model, node))
        return None

    def fact(self, ref: Ref) -> Fact:
        """What is known of a wire."""
        return self.graph.fact(ref)

    # Constants

    def constant(self, array: Array, dtype: str | None = None, name: str = "") -> str:
        """The name of an array that is part of the file; equal small ones are one."""
        array = np.asarray(array)
        if array.dtype == np.float64:
            array = array.astype(np.float32)
        key = (dtype or str(array.dtype), array.shape, array.tobytes()) if array.nbytes <= 1024 else id(array)
        known = self._constants.get(key)
        if known is None:
            known = self._constants[key] = self.name(name or "constant")
            self.initializers[known] = Tensor.of(known, array, dtype)
            # An id means an array as long as that lives.
            self._kept.append(array)
        return known

    # Lengths

    def length(self, value: Any) -> str:
        """The name of an array of one length, of int64."""
        if not isinstance(value, Expr):
            return self.constant(np.array([int(value)], np.int64))
        if value not in self._lengths:
            self._lengths[value] = self._length(value)
        return self._lengths[value]

    def _length(self, expr: Expr) -> str:
        if expr.op == "dim":
            ref, axis = expr.args
            known = self.fact(ref).shape[axis]
            source = self.graph.nodes[ref.node]
            if isinstance(known, int) and source.kind in ("constant", "parameter"):
                return self.length(known)
            shape = self.op("Shape", [self.value(ref)])
            return self.op("Gather", [shape, self.constant(np.array([axis], np.int64))], axis=0)
        names = {"add": "Add", "sub": "Sub", "mul": "Mul", "floordiv": "Div", "mod": "Mod"}
        if expr.op not in names:
            raise NotExported(f"a length that is worked out by {expr.op}")
        return self.op(names[expr.op], [self.length(arg) for arg in expr.args])

    def shape(self, lengths: Sequence[Any]) -> str:
        """The name of an array of several lengths."""
        if not any(isinstance(n, Expr) for n in lengths):
            return self.constant(np.array([int(n) for n in lengths], np.int64))
        if len(lengths) == 1:
            return self.length(lengths[0])
        return self.op("Concat", [self.length(n) for n in lengths], axis=0)

    # Nodes

    def op(
        self,
        op: str,
        inputs: Sequence[str],
        *,
        node: Node | None = None,
        domain: str = "",
        outputs: int = 1,
        out: Sequence[str] | None = None,
        **attributes: Any,
    ) -> Any:
        """Adds a node; the name of its output, or a tuple of names where there are several."""
        base = node.name if node is not None else op.lower()
        names = tuple(out) if out is not None else tuple(self.name(base) for _ in range(outputs))
        given = {key: _attribute(value) for key, value in attributes.items() if value is not None}
        self.nodes.append(NodeFile(f"{base}/{op}_{len(self.nodes)}", op, domain, tuple(inputs), names, given))
        if domain:
            self.domains[domain] = 1
        return names[0] if len(names) == 1 else names

    def put(self, node: Node, name: str, out: int = 0) -> None:
        """Notes what the name of a node's output is."""
        self.values[Ref(node.name, out)] = name

    def file(self, name: str, inputs: Sequence[ValueInfo], outputs: Sequence[ValueInfo]) -> GraphFile:
        """The graph, whole, without what no output depends on."""
        wanted = {value.name for value in outputs}
        nodes: list[NodeFile] = []
        for node in reversed(self.nodes):
            if wanted.intersection(node.outputs):
                wanted.update(node.inputs)
                nodes.append(node)
        held = {name: tensor for name, tensor in self.initializers.items() if name in wanted}
        return GraphFile(name, tuple(reversed(nodes)), held, tuple(inputs), tuple(outputs))


def _attribute(value: Any) -> Any:
    if isinstance(value, (list, tuple)):
        return tuple(_attribute(item) for item in value)
    if isinstance(value, (bool, np.bool_, np.integer)):
        return int(value)
    return float(value) if isinstance(value, np.floating) else value


#: Writes one node.
Writer = Callable[[Writing, Node], None]
_WRITERS: dict[str, Writer] = {}


def writes(*kinds: str) -> Callable[[Writer], Writer]:
    """Decorates what writes nodes of some kinds."""

    def add(function: Writer) -> Writer:
        for kind in kinds:
            _WRITERS[kind] = function
        return function

    return add


def writer_of(kind: str) -> Writer | None:
    """What writes nodes of a kind, if there is any."""
    return _WRITERS.get(kind)
