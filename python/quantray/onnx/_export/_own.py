"""Nodes of a file written as they were: operator, attributes, constants, graphs inside.

What a module that stands for a node has computed in functions, or in Python where values decide, is that one
node again.
"""

# Arguments of nodes are trees of whatever functions take: their leaves have no type that could be said.
# pyright: reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportUnknownMemberType=false, reportUnknownLambdaType=false

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import cast

import numpy as np

from quantray._typing import Array, Kwargs
from quantray.graph import Expr, Node, Ref
from quantray.graph._called import ArrayOfLengths, Called
from quantray.graph._trees import leaves
from quantray.nn import Module
from quantray.onnx._control import Control
from quantray.onnx._export._modules import recurrent_of_lengths
from quantray.onnx._export._versions import plain
from quantray.onnx._export._writing import Dim, NotExported, Writing
from quantray.onnx._file import GraphFile, NodeFile, SparseTensor, Tensor, ValueInfo
from quantray.onnx._messages import Attribute, Attributes
from quantray.onnx._passes import free_names
from quantray.onnx._step import Step
from quantray.onnx._types import NAMES, NUMBERS, computed, is_narrow
from quantray.onnx.operators._recurrent import Recurrent

#: Attributes that name a type, and types that are computed in float32: files that are written have that.
_TYPES = ("to", "dtype", "output_dtype", "stash_type", "softmax_precision")
_FLOATS = ("float16", "float64", "bfloat16")

#: Operators that may be asked for their first output alone. Others give all that they have: files in which
#: these have no names are invalid, and where a loop leaves one out onnxruntime ends the process.
_MAY_LEAVE_OUT = frozenset(
    {
        "Attention", "BatchNormalization", "Dropout", "DynamicQuantizeLSTM", "GRU", "LSTM",
        "LayerNormalization", "MaxPool", "MultiHeadAttention", "QAttention", "RNN", "RotaryEmbedding",
        "SimplifiedLayerNormalization", "SkipLayerNormalization", "SkipSimplifiedLayerNormalization",
        "SoftmaxCrossEntropyLoss", "Unique",
    }
)  # fmt: skip

#: Operators that take an input's type for a setting. Others compute with what arrays hold.
_BY_TYPES = ("CastLike", "DequantizeLinear", "GatherBlockQuantized", "QuantizeLinear")


def calls_around(to: Writing, node: Node) -> list[Called]:
    """Calls of modules that a node is part of, the innermost first."""
    found = [call for call in to.graph.calls if node.name in call.nodes]
    if not found and node.kind == "python" and node.value:
        # A graph out of a file does not know its calls.
        outputs = tuple(Ref(node.name, out) for out in range(len(node.facts)))
        found = [Called(node.value, node.args, outputs, frozenset({node.name}))]
    return found


def write_own(to: Writing, node: Node) -> bool:
    """Writes the file's node that a node comes from; False where there is none."""
    for call in calls_around(to, node):
        module = to.model.get_submodule(call.scope)
        if isinstance(module, (Step, Control)):
            write_call(to, call, module)
            return True
        if isinstance(module, Recurrent) and node.kind == "python":
            recurrent_of_lengths(to, node, module)
            return True
    return False


def write_call(to: Writing, call: Called, module: Step | Control) -> None:
    """Writes the node that a module stands for."""
    settings = module.call
    inputs = [_slot(to, module, slot, at) for at, slot in enumerate(module.slots)]
    given = [_value(to, arg) for arg in call.args]
    for at, name in zip(settings.given, given, strict=False):
        inputs[at] = _typed(to, module, name, at)
    attributes = {name: attribute(value) for name, value in settings_of(settings.attributes).items()}
    if isinstance(module, Control):
        from quantray.onnx._export._bodies import of_integers

        around = dict(zip(module.around, given[len(settings.given) :], strict=True))
        for name, found in module.bodies.items():
            made = of_integers(to, call.scope, module, name, around)
            attributes[name] = made or _Inner(to, call.scope, around, module.constants).graph(found, {})
    refs = leaves(call.output)
    every = settings.op not in _MAY_LEAVE_OUT
    names = [
        to.name(call.scope) if wanted or every or not i else "" for i, wanted in enumerate(settings.wanted)
    ]
    made = plain(NodeFile("", settings.op, settings.domain, (), (), attributes))
    to.add(
        settings.op,
        inputs,
        names,
        made.attributes,
        settings.op.lower(),
        domain=settings.domain,
        version=settings.version,
    )
    for ref, name in zip(refs, names, strict=False):
        if isinstance(ref, Ref) and ref.node in call.nodes and ref.node in to.graph.nodes:
            name = _computed(to, name, to.fact(ref).dtype)
            to.put(to.graph.nodes[ref.node], name, ref.out)
    to.done |= call.nodes


def integers_inside(module: Module) -> list[str]:
    """Paths of layers of the graphs inside that compute in integers."""
    homes = ("quantray.nn.quantized.", "quantray.nn.intrinsic.quantized")
    return [path for path, each in module.named_modules() if type(each).__module__.startswith(homes)]


def _slot(to: Writing, module: Step | Control, slot: object, at: int) -> str:
    """The constant that an input is."""
    if slot is None:
        return ""
    array = np.asarray(getattr(module, slot) if isinstance(slot, str) else slot)
    name = f"{module.call.name}.{slot}" if isinstance(slot, str) else ""
    if array.dtype == object:
        raise NotExported("texts")
    kind = _kind(module, at)
    if kind is not None and "int" in kind:
        # Two or four elements share a byte.
        return to.constant(array, kind, name=name)
    return _typed(to, module, to.constant(array, name=name), at)


def _typed(to: Writing, module: Step | Control, name: str, at: int) -> str:
    """An input of the type that the file had, where that decides what a node means."""
    kind = _kind(module, at)
    return name if kind is None or not name else to.op("Cast", [name], to=NUMBERS[kind])


def _kind(module: Step | Control, at: int) -> str | None:
    """The type that an input must have and that no array has, if any."""
    types = module.call.types
    kind = types[at] if at < len(types) and module.call.op in _BY_TYPES else None
    return kind if is_narrow(kind) else None


def _computed(to: Writing, name: str, dtype: object) -> str:
    """An output of a type that no array has, in the dtype that it is computed in."""
    return to.op("Cast", [name], to=NUMBERS[str(dtype)]) if is_narrow(to.types.of(name)) else name


def _value(to: Writing, arg: object) -> str:
    if arg is None:
        return ""
    if isinstance(arg, ArrayOfLengths):
        return to.lengths(cast("tuple[Dim, ...]", arg.items), arg.shape)
    if isinstance(arg, Ref) and arg.node not in to.graph.nodes:
        raise NotExported(f"it takes {arg}, of which nothing but lengths was asked")
    return to.value(arg) if isinstance(arg, (Ref, Expr)) else to.constant(np.asarray(arg))


def attribute(value: Attribute | Array) -> Attribute:
    """An attribute of floats in float32."""
    if isinstance(value, np.ndarray):
        return Tensor.of("", computed(value))
    if isinstance(value, Tensor):
        return _tensor(value)
    if isinstance(value, (SparseTensor, GraphFile, ValueInfo)):
        raise NotExported(f"an attribute of {type(value).__name__}")
    return value


def _tensor(tensor: Tensor) -> Tensor:
    return Tensor.of(tensor.name, tensor.array().astype(np.float32)) if tensor.dtype in _FLOATS else tensor


def settings_of(attributes: Attributes) -> Kwargs:
    """Attributes that name types, of floats that are computed in float32."""
    made = dict(attributes)
    for name in _TYPES:
        if NAMES.get(made.get(name, 0)) in _FLOATS:
            made[name] = 1
    return made


class _Inner:
    """A graph inside of a node, with names that nothing else in the file has."""

    def __init__(
        self, to: Writing, scope: str, around: Mapping[str, str], constants: Mapping[str, object]
    ) -> None:
        self._to, self._scope = to, scope
        self._around, self._constants = around, constants

    def graph(self, found: GraphFile, outer: Mapping[str, str]) -> GraphFile:
        """The same graph; `outer` are the names of graphs between it and the node."""
        names = dict(outer)
        own = [value.name for value in found.inputs] + list(found.initializers)
        own += [name for node in found.nodes for name in node.outputs if name]
        names.update({name: self._to.name(f"{self._scope}/{name}") for name in own})
        for name in free_names(found) - set(names):
            if name in self._around:
                names[name] = self._around[name]
            elif name in self._constants:
                names[name] = self._to.constant(np.asarray(self._constants[name]), name=name)
            else:
                raise NotExported(f"a graph that takes {name!r}, which is not written")
        initializers = {
            names[name]: self._initializer(names[name], t) for name, t in found.initializers.items()
        }
        return GraphFile(
            self._to.name(f"{self._scope}/{found.name or 'graph'}"),
            tuple(self._node(node, names) for node in found.nodes),
            initializers,
            tuple(renamed(value, names) for value in found.inputs if value.name not in found.initializers),
            tuple(renamed(value, names) for value in found.outputs),
        )

    def _initializer(self, name: str, tensor: Tensor | SparseTensor) -> Tensor:
        if tensor.dtype == "string":
            raise NotExported("texts")
        return (
            replace(_tensor(tensor), name=name)
            if isinstance(tensor, Tensor)
            else Tensor.of(name, tensor.array())
        )

    def _node(self, node: NodeFile, names: Mapping[str, str]) -> NodeFile:
        attributes = {
            name: self.graph(value, names) if isinstance(value, GraphFile) else attribute(value)
            for name, value in settings_of(node.attributes).items()
        }
        made = replace(
            node,
            name=self._to.name(f"{self._scope}/{node.name or node.op}"),
            inputs=tuple(names[name] if name else "" for name in node.inputs),
            outputs=tuple(names[name] if name else "" for name in node.outputs),
            attributes=attributes,
            metadata={},
            kept=(),
        )
        return plain(made)


def renamed(value: ValueInfo, names: Mapping[str, str]) -> ValueInfo:
    """What a graph says of a value, which has another name in the file that is written."""
    dtype = "float32" if value.dtype in _FLOATS else value.dtype
    encoded = None if dtype != value.dtype else value.encoded
    return replace(value, name=names[value.name], dtype=dtype, encoded=encoded, metadata={})
