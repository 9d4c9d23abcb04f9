"""From what a file holds to modules: constants folded, layers recognized, the rest step by step."""

# Attributes and values are trees of whatever a file holds: their leaves have no type that could be said.
# pyright: reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

import numpy as np

from quantray import nn
from quantray.nn import Module
from quantray.onnx._blocks import Blocks, in_blocks, table_in_blocks
from quantray.onnx._body import Body, Plan, Row, with_drops
from quantray.onnx._control import CONTROLS
from quantray.onnx._element_types import ElementTypes
from quantray.onnx._errors import said_of
from quantray.onnx._file import GraphFile, ModelFile, NodeFile, SparseTensor, Tensor
from quantray.onnx._known_lengths import KnownLengths
from quantray.onnx._names import Names, unique
from quantray.onnx._origins import ops_of, origins
from quantray.onnx._passes import WIDE, Draft, free_names, simplify, uses, without_unchanged
from quantray.onnx._reference import reference
from quantray.onnx._step import Step
from quantray.onnx._stored import Stored, followed
from quantray.onnx._types import computed
from quantray.onnx.operators import Array, Call, Given, Made, find

#: Results of constants that are larger are not kept: they are computed in each call.
_FOLDED = 1 << 28


class Unknown(ValueError):
    """Operators that there are not."""


class Builder:
    """Makes the modules of one graph.

    Parameters
    ----------
    versions : mapping of str to int
        Of each domain's operators.
    around : mapping of str to array
        Constants of the graphs around this one.
    types : ElementTypes, optional
        Of the values around this graph.
    lengths : KnownLengths, optional
        Those of the values around it.
    """

    def __init__(
        self,
        versions: Mapping[str, int],
        around: Mapping[str, Array] | None = None,
        types: ElementTypes | None = None,
        lengths: KnownLengths | None = None,
    ) -> None:
        self.versions, self.names = versions, Names()
        self.types = types or ElementTypes()
        self.constants: dict[str, Array] = dict(around or {})
        self._is_inner = lengths is not None
        self.lengths = KnownLengths(self.constants) if lengths is None else lengths.inner(self.constants)
        #: Arrays by the tensor that they are of: what two nodes share stays one array.
        self._arrays: dict[int, Array] = {}
        #: Constants that the file holds as integers, by name; parameters that are such, by path.
        self.stored: dict[str, Stored] = {}
        self.weights: dict[str, Stored] = {}
        #: Constants that it holds as integers in blocks, by name.
        self.blocks: dict[str, Blocks] = {}
        #: Whether no value is rounded to integers: what has codes has them for its size alone.
        self._has_float_inputs = True
        #: Values that are rounded to 16 bits.
        self.rounded: set[str] = set()
        self.rows: list[Row] = []
        #: Operators of the file that modules stand for, by path.
        self.ops: dict[str, tuple[str, ...]] = {}
        self.unknown: list[str] = []
        #: Nodes that the reference evaluator computes.
        self.referred: list[str] = []

    def build(self, found: GraphFile, home: Module, taken: Sequence[str] = ()) -> Plan:
        """Puts the modules of a graph into `home`, and says in which order they are called.

        `taken` are values around it that it takes, beside its own inputs.
        """
        self.types.of_graph(found)
        self._has_float_inputs = not any(node.op == "QuantizeLinear" for node in found.nodes)
        for name, tensor in found.initializers.items():
            self.constants[name] = self.array(tensor)
        inputs = tuple(value.name for value in found.inputs if value.name not in found.initializers)
        # A name that is an input here is none of the constants around.
        for name in inputs:
            self.constants.pop(name, None)
        self.lengths.forget(inputs)
        if not self._is_inner:
            # What a loop hands on may have other lengths in each turn than those that it begins with.
            self.lengths.of_inputs(found.inputs)
        outputs = tuple(value.name for value in found.outputs)
        draft = self._draft(found, outputs)
        before = list(draft.nodes)
        simplify(draft)
        self.names = Names((node.name, node.op) for node in draft.nodes)
        self.constants = draft.constants
        wanted = {name for node in draft.nodes for name in uses(node)} | set(outputs)
        self.rounded = {node.outputs[0] for node in draft.nodes if (node.domain, node.op) == WIDE}
        for node in draft.nodes:
            self._add(node, home, wanted)
        self._stand_for(before, draft.nodes)
        constants = {name: self.constants[name] for name in outputs if name in self.constants}
        rows = with_drops(self.rows, outputs)
        return Plan((*inputs, *taken), outputs, rows, constants)

    def _stand_for(self, before: Sequence[NodeFile], after: Sequence[NodeFile]) -> None:
        """Remembers which nodes of the file each module stands for: settings may call it by these."""
        paths = {row.outputs: row.path for row in self.rows}
        for made, nodes in origins(before, after):
            path = paths.get(made.outputs)
            if path is not None:
                self.ops[path] = ops_of(nodes)
                for node in nodes:
                    if node.name:
                        self.names.paths.setdefault(node.name, path)

    def _draft(self, found: GraphFile, outputs: tuple[str, ...]) -> Draft:
        """The nodes that compute: what depends on no input is computed here, and what does nothing goes."""
        wanted = {name for node in found.nodes for name in uses(node)} | set(outputs)
        nodes, same = list[NodeFile](), dict[str, str]()
        for node in found.nodes:
            # A graph inside of another one may give a name again that is a constant around it.
            for name in node.outputs:
                self.constants.pop(name, None)
                self.stored.pop(name, None)
                self.blocks.pop(name, None)
            self.types.of_node(node)
            _check_inputs(node)
            node = replace(node, inputs=tuple(same.get(name, name) for name in node.inputs))
            node, around = without_unchanged(node, outputs)
            same.update(around)
            source = _source_of_nothing(node, self.constants, outputs)
            if source is not None and source not in self.constants:
                same[node.outputs[0]] = source
            elif not self._fold(node, wanted):
                known = self.lengths.of_node(node)
                if known is None:
                    nodes.append(node)
                else:
                    self.constants[node.outputs[0]] = known
        draft = Draft(nodes, self.constants, outputs, self.stored, self.lengths.shape_of, self.blocks)
        draft.rename(same)
        return draft

    def array(self, tensor: Tensor | SparseTensor) -> Array:
        """A tensor in the dtype that it is computed in; one array, however often it is asked for."""
        known = self._arrays.get(id(tensor))
        if known is None:
            known = self._arrays[id(tensor)] = computed(tensor.array(), tensor.dtype)
        return known

    # Nodes

    def _add(self, node: NodeFile, home: Module, wanted: set[str]) -> None:
        if is_control(node):
            self._add_control(node, home, wanted)
            return
        row = find(node.domain, node.op)
        if row is None:
            row = reference(node, self.versions)
            if row is not None:
                self.referred.append(f"{node.name or node.outputs[0]} ({_full(node)})")
        if row is None:
            self.unknown.append(f"{node.name or node.outputs[0]} ({_full(node)})")
            return
        call, constants = self._call(node, wanted)
        with said_of(call.title):
            module = row.builder(call, constants) if row.builder is not None else None
            # A product has its weight second, a table comes first.
            held = [self.blocks.get(name) for name in node.inputs[:2]]
            if isinstance(module, nn.Linear) and held[1] is not None:
                module = in_blocks(module, held[1])
            elif isinstance(module, nn.Embedding) and held[0] is not None:
                module = table_in_blocks(module, held[0])
            if module is not None and node.inputs[0] in self.rounded:
                module.__dict__["_takes_16_bits"] = True
        if module is None:
            module = Step(call, row, constants, _parameter_names(node.inputs))
        path = self._put(module, node, home, [node.inputs[i] for i in call.given])
        if isinstance(module, Step):
            own = [(name, f"{path}.{slot}") for name, slot in zip(node.inputs, module.slots, strict=True)]
        else:
            own = [(name, f"{path}.weight") for name in node.inputs[1:2]]
        self.weights.update((at, self.stored[name]) for name, at in own if name in self.stored)

    def _put(self, module: Module, node: NodeFile, home: Module, inputs: Iterable[str]) -> str:
        path = self.names.path(node.name, node.op)
        put_at(home, path, module)
        self.rows.append(Row(path, tuple(inputs), node.outputs))
        return path

    def _call(self, node: NodeFile, wanted: set[str]) -> tuple[Call, list[Given]]:
        """A node's settings, and for each of its inputs the constant that it is, or None."""
        given = tuple(i for i, name in enumerate(node.inputs) if name and name not in self.constants)
        constants = [self.constants.get(name) if name else None for name in node.inputs]
        domain = "" if node.domain == "ai.onnx" else node.domain
        attributes = {
            name: self.array(value) if isinstance(value, Tensor) else value
            for name, value in node.attributes.items()
            if not isinstance(value, GraphFile)
        }
        call = Call(
            node.name or f"the node of {node.outputs[0]!r}",
            node.op,
            domain,
            self.versions.get(domain, 1),
            attributes,
            tuple(name in wanted and bool(name) for name in node.outputs),
            given,
            self.types.of_inputs(node),
        )
        return call, constants

    def _fold(self, node: NodeFile, wanted: set[str]) -> bool:
        """Computes once what depends on no input."""
        row = find(node.domain, node.op)
        if row is None or node.op in _CHANCE or is_control(node):
            return False
        if any(name and name not in self.constants for name in node.inputs):
            return False
        call, constants = self._call(node, wanted)
        with np.errstate(all="ignore"), said_of(call.title):
            made = row.function(call, *constants)
        values: list[Made] = list(made) if isinstance(made, tuple) else [made]
        arrays = [np.asarray(value) for value in values if not (value is None or isinstance(value, list))]
        if len(arrays) != len(values):
            # Sequences and values that are not there are no constants.
            return False
        if sum(array.nbytes for array in arrays) > _FOLDED:
            return False
        for name, array in zip(node.outputs, arrays, strict=False):
            if name:
                self.constants[name] = array
        stored = followed(
            node, constants, arrays[0], self.stored, next(iter(self.types.of_inputs(node)), None)
        )
        if stored is not None:
            self.stored[node.outputs[0]] = stored
        blocks = self._blocks_of(node, constants)
        if blocks is not None:
            self.blocks[node.outputs[0]] = blocks
        return True

    def _blocks_of(self, node: NodeFile, constants: list[Given]) -> Blocks | None:
        """What a constant is, if it is integers in blocks."""
        if node.op == "DequantizeLinear" and (node.attributes.get("block_size") or self._has_float_inputs):
            return Blocks.of_node(node, constants, next(iter(self.types.of_inputs(node)), None) or "")
        before = self.blocks.get(node.inputs[0]) if node.inputs else None
        return None if before is None else before.turned(node)

    # Graphs inside of nodes

    def _add_control(self, node: NodeFile, home: Module, wanted: set[str]) -> None:
        kind, bodies = CONTROLS[node.op]
        taken: dict[str, tuple[str, ...]] = {}
        made: dict[str, Body] = {}
        graphs: dict[str, GraphFile] = {}
        constants_around: dict[str, Array] = {}
        for attribute in bodies:
            inner = node.attributes.get(attribute)
            if not isinstance(inner, GraphFile):
                raise ValueError(f"{node.name} ({node.op}): it has no graph {attribute!r}")
            names = sorted(free_names(inner))
            free = [name for name in names if name not in self.constants]
            graphs[attribute] = inner
            constants_around.update({name: self.constants[name] for name in names if name in self.constants})
            builder = Builder(self.versions, self.constants, self.types.inner(), self.lengths)
            body = Body(Plan((), (), (), {}))
            body.plan = builder.build(inner, body, free)
            self.unknown += builder.unknown
            self.referred += builder.referred
            taken[attribute], made[attribute] = tuple(free), body
        call, constants = self._call(node, wanted)
        module = kind(call, constants, taken)
        module.bodies, module.constants = graphs, constants_around
        for attribute, body in made.items():
            module.add_module(attribute, body)
        self._put(module, node, home, [*(node.inputs[i] for i in call.given), *module.around])


#: Operators that give another result in each call.
_CHANCE = frozenset(
    {"RandomNormal", "RandomNormalLike", "RandomUniform", "RandomUniformLike", "Bernoulli", "Multinomial"}
)


def _check_inputs(node: NodeFile) -> None:
    """Raises ValueError where an operator takes fewer inputs or more."""
    row = find(node.domain, node.op)
    if row is None:
        return
    least, most = row.arity()
    # What is left out at the end is as good as not there.
    count = max((i + 1 for i, name in enumerate(node.inputs) if name), default=0)
    missing = [i for i in row.needed() if i >= len(node.inputs) or not node.inputs[i]]
    if missing or (most is not None and count > most):
        wanted = f"{least}" if least == most else f"{least} or more" if most is None else f"{least} to {most}"
        name = node.name or node.outputs[0]
        got = (
            f"{count}"
            if count < least or not missing
            else f"{count}, of which input {missing[0]} is left out"
        )
        raise ValueError(f"{name} ({_full(node)}): it takes {wanted} inputs, got {got}")


def is_control(node: NodeFile) -> bool:
    """Whether it has graphs of its own."""
    return node.op in CONTROLS and node.domain in ("", "ai.onnx")


def _source_of_nothing(
    node: NodeFile, constants: Mapping[str, Array], outputs: tuple[str, ...]
) -> str | None:
    """The value that a node gives back as it is, where it is no output's name."""
    if node.domain not in ("", "ai.onnx") or node.outputs[0] in outputs or any(node.outputs[1:]):
        return None
    if node.op == "Identity" or (node.op == "Dropout" and len(node.inputs) < 3):
        return next(iter(node.inputs))
    neutral = {"Add": 0, "Sub": 0, "Mul": 1, "Div": 1}.get(node.op)
    given = list(node.inputs)
    if neutral is not None and len(given) == 2:
        a, b = given
        found = constants.get(b)
        if found is not None and found.ndim == 0 and found.dtype == np.float32 and found == neutral:
            return a
    return None


def _full(node: NodeFile) -> str:
    return f"{node.domain}.{node.op}" if node.domain not in ("", "ai.onnx") else node.op


def put_at(home: Module, path: str, module: Module) -> None:
    """Puts a module at a dotted path, with empty ones on the way."""
    *parents, last = path.split(".")
    for name in parents:
        inner = home._modules.get(name)
        if inner is None:
            inner = Group()
            home.add_module(name, inner)
        home = inner
    home.add_module(last, module)


class Group(Module):
    """Modules with a common beginning of their names."""


def _parameter_names(inputs: Sequence[str]) -> list[str]:
    """Names of a step's parameters: the last part of what the file calls them."""
    taken: set[str] = {"weight"}
    made: list[str] = []
    for name in inputs:
        last = "".join(c if c.isalnum() else "_" for c in name.rpartition("/")[2].rpartition(".")[2])
        last = last if last and not last[0].isdigit() and not hasattr(Module, last) else f"value_{last}"
        made.append(unique(last, taken.__contains__, taken.add))
    return made


def opsets(model: ModelFile) -> dict[str, int]:
    """The version of each domain's operators."""
    return {("" if domain == "ai.onnx" else domain): version for domain, version in model.opsets.items()}
