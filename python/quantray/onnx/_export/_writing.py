"""A graph's way to a file: nodes, constants and lengths under names of their own."""

# Arguments of nodes are trees of whatever functions take: their leaves have no type that could be said.
# pyright: reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportUnknownMemberType=false, reportUnknownLambdaType=false

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from hashlib import blake2b
from typing import TYPE_CHECKING, SupportsInt, TypeAlias, cast

import numpy as np

from quantray._typing import Array as Array
from quantray.graph import Expr, Fact, Graph, Node, Ref
from quantray.graph._called import Called
from quantray.graph._lengths import evaluate
from quantray.graph._run import parameter_of
from quantray.graph._trees import is_sequence
from quantray.nn import Module
from quantray.onnx._element_types import ElementTypes
from quantray.onnx._file import GraphFile, Many, NodeFile, SparseTensor, Tensor, ValueInfo
from quantray.onnx._passes import uses

if TYPE_CHECKING:
    from quantray._typing import ArrayLike, DType
    from quantray.nn.quantized._grid import Grid
    from quantray.onnx._control import Control


#: A length: a number, or what is worked out from lengths.
Dim: TypeAlias = Expr | SupportsInt


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
        Of the standard's operators that is written for, or a later one, where an operator needs it.
    grids : mapping of Ref to Grid
        Of the wires of codes.
    keeps_zero_points : bool
        Whether odd zero points stay as they are, which come from a file.
    has_small_integers : bool
        Whether weights of 4 bits may be two to a byte, which opset 21 has.
    """

    def __init__(
        self,
        graph: Graph,
        model: Module,
        grids: Mapping[Ref, Grid],
        opset: int,
        *,
        keeps_zero_points: bool = False,
        has_small_integers: bool = True,
    ) -> None:
        self.keeps_zero_points, self.has_small_integers = keeps_zero_points, has_small_integers
        self.graph, self.model, self.grids, self.opset = graph, model, grids, opset
        #: Whether no length of an input is free but the first, so that lengths in between that were the same
        #: in two runs are so always: others may be by chance, as those of 16,000 and 15,999 samples by 160.
        self.rows_alone = all(
            isinstance(n, int) for name in graph.inputs for n in graph.nodes[name].facts[0].shape[1:]
        )
        self.nodes: list[NodeFile] = []
        #: By node, the version whose form it is in.
        self.versions: dict[str, int] = {}
        #: Types of values, as far as they are known.
        self.types = ElementTypes()
        #: Names of the graph's nodes that are written already.
        self.done: set[str] = set()
        #: Calls that are written whole, with their modules, once the first of their nodes comes.
        self.decided: list[tuple[Called, Control]] = []
        self.initializers: dict[str, Tensor] = {}
        self.values: dict[Ref, str] = {}
        self.domains: dict[str, int] = {"": opset}
        #: By the name of floats that were rounded to a grid, its scale and zero point.
        self.rounded: dict[str, tuple[str, str]] = {}
        self._taken: set[str] = set()
        #: By dtype, shape, and bytes or a digest of these.
        self._constants: dict[tuple[str, tuple[int, ...], bytes], str] = {}
        self._lengths: dict[Expr, str] = {}
        self._shapes: dict[str, str] = {}
        #: Nodes that cannot be written, and why.
        self.refused: list[str] = []

    def inside(
        self, graph: Graph, model: Module, grids: Mapping[Ref, Grid], *, keeps_zero_points: bool
    ) -> Writing:
        """For a graph inside of a node: names are those of one file, and constants lie around it."""
        made = Writing(
            graph,
            model,
            grids,
            self.opset,
            keeps_zero_points=keeps_zero_points,
            has_small_integers=self.has_small_integers,
        )
        made.types, made.initializers, made.domains = self.types, self.initializers, self.domains
        made._taken, made._constants = self._taken, self._constants
        return made

    # Names

    def name(self, wanted: str) -> str:
        """A value's name that there is not yet."""
        made, count = wanted, 1
        while made in self._taken:
            count += 1
            made = f"{wanted}_{count}"
        self._taken.add(made)
        return made

    def value(self, ref: object) -> str:
        """The name of what is on a wire, in floats; of a number or an array that of a constant."""
        if isinstance(ref, Ref):
            if ref not in self.values:
                # A weight is part of the file where a node takes it as it is.
                array = self.array(ref)
                if array is None:
                    raise NotExported(f"{ref} as a constant")
                self.values[ref] = self.constant(array, name=ref.node)
            return self.values[ref]
        if isinstance(ref, Expr):
            return self.op("Squeeze", [self.length(ref), self.constant(np.array([0], np.int64))])
        return self.constant(cast("ArrayLike", ref))

    def floats(self, ref: Ref) -> str:
        """The name of what is on a wire, made floats where it is integers: layers take bytes, too."""
        name = self.value(ref)
        return self.op("Cast", [name], to=1) if self.fact(ref).dtype.kind in "iub" else name

    def array(self, ref: object) -> Array | None:
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

    def constant(self, value: ArrayLike, dtype: str | None = None, name: str = "") -> str:
        """The name of an array that is part of the file; equal ones are one, as weights of several layers."""
        array: Array = np.asarray(value)
        if array.dtype == np.float64:
            array = array.astype(np.float32)
        key = (dtype or str(array.dtype), array.shape, _bytes_of(array))
        known = self._constants.get(key)
        if known is None:
            known = self._constants[key] = self.name(name or "constant")
            self.initializers[known] = Tensor.of(known, array, dtype)
            self.types.note(known, dtype or _type_of(array.dtype))
        return known

    # Lengths

    def length(self, value: Dim) -> str:
        """The name of an array of one length, of int64."""
        value = self.known(value)
        if not isinstance(value, Expr):
            return self.constant(np.array([int(value)], np.int64))
        if value not in self._lengths:
            self._lengths[value] = self._length(value)
        return self._lengths[value]

    def known(self, value: Dim) -> Dim:
        """A length as a number, if it is the same in every call."""
        if not isinstance(value, Expr):
            return value
        if value.op == "dim":
            ref, axis = value.args
            length = self.fact(ref).shape[axis]
            is_fixed = self.rows_alone or self.graph.nodes[ref.node].kind in ("constant", "parameter")
            return length if is_fixed and isinstance(length, int) else value
        made = Expr(value.op, tuple(map(self.known, value.args)))
        return (
            made
            if any(isinstance(arg, Expr) for arg in made.args)
            else cast("Dim", evaluate(made, lambda _: ()))
        )

    def _length(self, expr: Expr) -> str:
        if expr.op == "dim":
            ref, axis = expr.args
            name = self.value(ref)
            if name not in self._shapes:
                self._shapes[name] = self.op("Shape", [name])
            return self.op("Gather", [self._shapes[name], self.constant(np.array([axis], np.int64))], axis=0)
        names = {"add": "Add", "sub": "Sub", "mul": "Mul", "floordiv": "Div", "mod": "Mod", "neg": "Neg"}
        names |= {"min": "Min", "max": "Max"}
        if expr.op not in names:
            raise NotExported(f"a length that is worked out by {expr.op}")
        args = [self.length(arg) for arg in expr.args]
        if expr.op == "floordiv" and _may_be_negative(expr.args[0]):
            # Files divide towards zero, lengths downwards: ends of what is rounded up are negative.
            args[0] = self.op("Sub", [args[0], self.op("Mod", args)])
        return self.op(names[expr.op], args)

    def shape(self, lengths: Sequence[Dim]) -> str:
        """The name of an array of several lengths."""
        lengths = [self.known(n) for n in lengths]
        known = [int(n) for n in lengths if not isinstance(n, Expr)]
        if len(known) == len(lengths):
            return self.constant(np.array(known, np.int64))
        if len(lengths) == 1:
            return self.length(lengths[0])
        return self.op("Concat", [self.length(n) for n in lengths], axis=0)

    def lengths(self, items: Sequence[Dim], shape: Sequence[int]) -> str:
        """The name of an array of lengths of any shape; of floats where there is one among them."""
        if any(isinstance(n, float) for n in items):
            parts = [
                self.constant(np.array([n], np.float32))
                if isinstance(n, float)
                else self.op("Cast", [self.length(n)], to=1)
                for n in items
            ]
            flat = parts[0] if len(parts) == 1 else self.op("Concat", parts, axis=0)
        else:
            flat = self.shape(items)
        return (
            flat if len(shape) == 1 else self.op("Reshape", [flat, self.constant(np.array(shape, np.int64))])
        )

    # Nodes

    def op(
        self,
        op: str,
        inputs: Sequence[str],
        *,
        node: Node | None = None,
        domain: str = "",
        version: int = 13,
        settings: Mapping[str, object] | None = None,
        **attributes: object,
    ) -> str:
        """Adds a node of one output, whose name it gives; `version` as for `add`."""
        given = {**settings, **attributes} if settings else attributes
        (name,) = self.several(op, inputs, 1, given, node=node, domain=domain, version=version)
        return name

    def several(
        self,
        op: str,
        inputs: Sequence[str],
        outputs: int,
        attributes: Mapping[str, object] | None = None,
        *,
        node: Node | None = None,
        domain: str = "",
        version: int = 13,
    ) -> tuple[str, ...]:
        """Adds a node of several outputs, whose names it gives; `version` as for `add`."""
        base = node.name if node is not None else op.lower()
        names = tuple(self.name(base) for _ in range(outputs))
        self.add(op, inputs, names, attributes or {}, base, domain=domain, version=version)
        return names

    def add(
        self,
        op: str,
        inputs: Sequence[str],
        outputs: Sequence[str],
        attributes: Mapping[str, object],
        base: str,
        *,
        domain: str = "",
        version: int = 13,
    ) -> None:
        """Adds a node, whose name begins with `base`.

        `version` is that of the operator's form: of the standard's operators an opset, of others that of
        their domain.
        """
        names = tuple(outputs)
        given = {key: _attribute(value) for key, value in attributes.items() if value is not None}
        made = NodeFile(f"{base}/{op}_{len(self.nodes)}", op, domain, _trimmed(inputs), names, given)
        self.nodes.append(made)
        self.types.of_node(made)
        if domain:
            self.domains[domain] = version if domain.startswith("ai.onnx") else 1
        else:
            self.versions[made.name] = version

    def put(self, node: Node, name: str, out: int = 0) -> None:
        """Notes what the name of a node's output is."""
        self.values[Ref(node.name, out)] = name
        if out < len(node.facts):
            self.types.note(name, _type_of(node.facts[out].dtype))

    def live(self, outputs: Sequence[ValueInfo]) -> tuple[list[NodeFile], set[str]]:
        """The nodes that some outputs depend on, and all names that they take."""
        wanted = {value.name for value in outputs}
        nodes: list[NodeFile] = []
        for node in reversed(self.nodes):
            if wanted.intersection(node.outputs):
                wanted |= uses(node)
                nodes.append(node)
        return nodes[::-1], wanted


def _type_of(dtype: DType) -> str:
    """An element type by the standard's name: of texts it does not hang on how long they are."""
    return "string" if dtype.kind == "U" else str(dtype)


def _bytes_of(array: Array) -> bytes:
    """What tells an array from others: its elements, or a digest of them where they are many."""
    if array.nbytes <= 1024:
        return array.tobytes()
    return blake2b(np.ascontiguousarray(array).reshape(-1).view(np.uint8).data, digest_size=32).digest()


def _may_be_negative(length: Dim | Ref) -> bool:
    if not isinstance(length, Expr):
        return not isinstance(length, Ref) and int(length) < 0
    return length.op in ("sub", "neg") or (
        length.op != "dim" and any(_may_be_negative(arg) for arg in length.args)
    )


def _trimmed(inputs: Sequence[str]) -> tuple[str, ...]:
    """Without those that are left out at the end."""
    count = max((i + 1 for i, name in enumerate(inputs) if name), default=0)
    return tuple(inputs[:count])


def _attribute(value: object) -> object:
    if isinstance(value, (Many, Tensor, SparseTensor, GraphFile)):
        return value
    if is_sequence(value):
        return tuple(_attribute(item) for item in value)
    if isinstance(value, (bool, np.bool_, np.integer)):
        return int(value)
    return float(value) if isinstance(value, np.floating) else value


#: Writes one node.
Writer: TypeAlias = Callable[[Writing, Node], None]
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
