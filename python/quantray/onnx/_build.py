"""From what a file holds to modules: constants folded, layers recognized, the rest step by step."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from quantray.nn import Module
from quantray.onnx._body import Body, Plan, Row, with_drops
from quantray.onnx._control import CONTROLS
from quantray.onnx._file import GraphFile, ModelFile, NodeFile, Tensor
from quantray.onnx._names import Names, unique
from quantray.onnx._reference import reference
from quantray.onnx._step import Step, said_of
from quantray.onnx._element_types import ElementTypes
from quantray.onnx._types import computed, numpy_dtype
from quantray.onnx.operators import Array, Call, Operator, find

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
    names : Names
        Paths that are taken.
    around : mapping of str to array
        Constants of the graphs around this one.
    types : ElementTypes, optional
        Of the values around this graph.
    """

    def __init__(
        self,
        versions: Mapping[str, int],
        names: Names | None = None,
        around: Mapping[str, Array] | None = None,
        types: ElementTypes | None = None,
    ) -> None:
        self.versions, self.names = versions, names or Names()
        self.types = types or ElementTypes()
        self.constants: dict[str, Array] = dict(around or {})
        #: Arrays by the tensor that they are of: what two nodes share stays one array.
        self._arrays: dict[int, Array] = {}
        self.rows: list[Row] = []
        self.unknown: list[str] = []
        #: Nodes that the reference evaluator computes.
        self.referred: list[str] = []
        self.used: set[str] = set()

    def build(self, found: GraphFile, home: Module, taken: Sequence[str] = ()) -> Plan:
        """Puts the modules of a graph into `home`, and says in which order they are called.

        `taken` are values around it that it takes, beside its own inputs.
        """
        self.types.of_graph(found)
        for name, tensor in found.initializers.items():
            self.constants[name] = self.array(tensor)
        inputs = tuple(value.name for value in found.inputs if value.name not in found.initializers)
        # A name that is an input here is none of the constants around.
        for name in inputs:
            self.constants.pop(name, None)
        outputs = tuple(value.name for value in found.outputs)
        wanted = {name for node in found.nodes for name in uses(node)} | set(outputs)
        for node in found.nodes:
            self._add(node, home, wanted)
        constants = {name: self.constants[name] for name in outputs if name in self.constants}
        rows = with_drops(self.rows, outputs)
        return Plan((*inputs, *taken), outputs, rows, constants)

    def array(self, tensor: Tensor) -> Array:
        """A tensor in the dtype that it is computed in; one array, however often it is asked for."""
        known = self._arrays.get(id(tensor))
        if known is None:
            known = self._arrays[id(tensor)] = computed(tensor.array(), tensor.dtype)
        return known

    # Nodes

    def _add(self, node: NodeFile, home: Module, wanted: set[str]) -> None:
        self.types.of_node(node)
        if node.op in CONTROLS and node.domain in ("", "ai.onnx"):
            self._add_control(node, home, wanted)
            return
        row = find(node.domain, node.op)
        if row is None:
            row = reference(node, self.versions)
            if row is not None:
                self.referred.append(f"{node.name or node.outputs[0]} ({_full(node)})")
        if row is None:
            self.unknown.append(f"{node.name or node.outputs[0]} ({_full(node)})")
            self._undefined(node)
            return
        given = tuple(i for i, name in enumerate(node.inputs) if name and name not in self.constants)
        constants = [self.constants.get(name) if name else None for name in node.inputs]
        call = self._call(node, wanted, given)
        _check_inputs(call, row, node.inputs)
        if not given and self._fold(call, row, node, constants):
            return
        with said_of(call):
            module = row.builder(call, constants) if row.builder is not None else None
        if module is None:
            module = Step(call, row, constants, _parameter_names(node.inputs))
        self._put(module, node, home, [node.inputs[i] for i in given])

    def _put(self, module: Module, node: NodeFile, home: Module, inputs: Iterable[str]) -> None:
        path = self.names.path(node.name, node.op)
        put_at(home, path, module)
        self.rows.append(Row(path, tuple(inputs), node.outputs))
        # A loop's graph may give a name again that is a constant around it.
        self._undefined(node)

    def _undefined(self, node: NodeFile) -> None:
        for name in node.outputs:
            self.constants.pop(name, None)

    def _call(self, node: NodeFile, wanted: set[str], given: tuple[int, ...]) -> Call:
        domain = "" if node.domain == "ai.onnx" else node.domain
        attributes = {
            name: self.array(value) if isinstance(value, Tensor) else value
            for name, value in node.attributes.items()
            if not isinstance(value, GraphFile)
        }
        return Call(
            node.name or f"the node of {node.outputs[0]!r}",
            node.op,
            domain,
            self.versions.get(domain, 1),
            attributes,
            tuple(name in wanted and bool(name) for name in node.outputs),
            given,
            self.types.of_inputs(node),
        )

    def _fold(self, call: Call, row: Operator, node: NodeFile, constants: Sequence[Array]) -> bool:
        """Computes once what depends on no input."""
        if node.op in _CHANCE:
            return False
        with np.errstate(all="ignore"), said_of(call):
            made = row.function(call, *constants)
        found = made if isinstance(made, tuple) else (made,)
        arrays = [np.asarray(value) for value in found]
        if sum(array.nbytes for array in arrays) > _FOLDED:
            return False
        for name, array in zip(node.outputs, arrays, strict=False):
            if name:
                self.constants[name] = array
        return True

    # Graphs inside of nodes

    def _add_control(self, node: NodeFile, home: Module, wanted: set[str]) -> None:
        kind, bodies = CONTROLS[node.op]
        given = tuple(i for i, name in enumerate(node.inputs) if name and name not in self.constants)
        constants = [self.constants.get(name) if name else None for name in node.inputs]
        taken: dict[str, tuple[str, ...]] = {}
        made: dict[str, Body] = {}
        for attribute in bodies:
            inner = node.attributes.get(attribute)
            if not isinstance(inner, GraphFile):
                raise ValueError(f"{node.name} ({node.op}): it has no graph {attribute!r}")
            free = [name for name in sorted(free_names(inner)) if name not in self.constants]
            names = Names((each.name, each.op) for each in inner.nodes)
            builder = Builder(self.versions, names, self.constants, self.types.inner())
            body = Body(Plan((), (), (), {}))
            body.plan = builder.build(inner, body, free)
            self.unknown += builder.unknown
            self.referred += builder.referred
            taken[attribute], made[attribute] = tuple(free), body
        module = kind(self._call(node, wanted, given), constants, taken)
        for attribute, body in made.items():
            module.add_module(attribute, body)
        self._put(module, node, home, [*(node.inputs[i] for i in given), *module.around])


#: Operators that give another result in each call.
_CHANCE = frozenset(
    {"RandomNormal", "RandomNormalLike", "RandomUniform", "RandomUniformLike", "Bernoulli", "Multinomial"}
)


def _check_inputs(call: Call, row: Operator, inputs: Sequence[str]) -> None:
    """Raises ValueError where an operator takes fewer inputs or more."""
    least, most = row.arity()
    # What is left out at the end is as good as not there.
    count = max((i + 1 for i, name in enumerate(inputs) if name), default=0)
    missing = [i for i in range(least) if i >= len(inputs) or not inputs[i]]
    if missing or (most is not None and count > most):
        wanted = f"{least}" if least == most else f"{least} or more" if most is None else f"{least} to {most}"
        raise call.error(f"it takes {wanted} inputs, got {count}")


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
    known = home._modules.get(last)
    if known is not None:
        # It was on the way to others.
        for name, inner in known._modules.items():
            module.add_module(name, inner)
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


def uses(node: NodeFile) -> set[str]:
    """Names that a node takes, its graphs' included."""
    found = {name for name in node.inputs if name}
    for value in node.attributes.values():
        if isinstance(value, GraphFile):
            found |= free_names(value)
    return found


def free_names(found: GraphFile) -> set[str]:
    """Names that a graph takes from around it."""
    own = {value.name for value in found.inputs} | set(found.initializers)
    free: set[str] = set()
    for node in found.nodes:
        free |= uses(node) - own
        own |= set(node.outputs)
    return free | ({value.name for value in found.outputs} - own)


def dtype_of(value: Any) -> np.dtype[Any]:
    """The dtype that an input is computed in."""
    return numpy_dtype(value.dtype)


def opsets(model: ModelFile) -> dict[str, int]:
    """The version of each domain's operators."""
    return {("" if domain == "ai.onnx" else domain): version for domain, version in model.opsets.items()}
