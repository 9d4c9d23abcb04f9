"""Functions that a file defines, put in the place of the nodes that call them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from quantray.onnx._file import FunctionFile, GraphFile, ModelFile, NodeFile, Reference, ValueInfo

#: Functions may call others: so deep, and no deeper.
_DEEPEST = 64
_Key = tuple[str, str, str]


def inline_functions(model: ModelFile) -> ModelFile:
    """A model none of whose nodes calls a function of the file.

    Raises
    ------
    ValueError
        Functions call themselves, or a node lacks an attribute that its function needs.
    """
    if not model.functions:
        return model
    functions = {(f.domain, f.name, f.overload): f for f in model.functions}
    opsets = dict(model.opsets)
    for function in model.functions:
        for domain, version in function.opsets.items():
            opsets.setdefault(domain, version)
    graph = _Inliner(functions, model.graph).graph(model.graph, 0)
    return replace(model, graph=graph, functions=(), opsets=opsets)


class _Inliner:
    """Puts functions in the place of their calls, with names that nothing else has."""

    def __init__(self, functions: Mapping[_Key, FunctionFile], found: GraphFile) -> None:
        self._functions = functions
        self._taken = _names(found)
        self._count = 0

    def graph(self, found: GraphFile, depth: int) -> GraphFile:
        nodes = tuple(made for node in found.nodes for made in self._node(node, depth))
        return replace(found, nodes=nodes)

    def _node(self, node: NodeFile, depth: int) -> list[NodeFile]:
        attributes = {
            name: self.graph(value, depth) if isinstance(value, GraphFile) else value
            for name, value in node.attributes.items()
        }
        node = replace(node, attributes=attributes)
        function = self._functions.get((node.domain, node.op, node.overload))
        if function is None:
            return [node]
        if depth >= _DEEPEST:
            raise ValueError(f"{_called(node)}: functions must not call themselves, {depth} calls deep")
        return [made for inner in self._body(node, function) for made in self._node(inner, depth + 1)]

    def _body(self, node: NodeFile, function: FunctionFile) -> list[NodeFile]:
        missing = [name for name in function.attributes if name not in node.attributes]
        if missing:
            raise ValueError(f"{_called(node)}: it lacks the attributes {', '.join(missing)}")
        if len(node.inputs) > len(function.inputs) or len(node.outputs) > len(function.outputs):
            raise ValueError(
                f"{_called(node)}: it takes {len(function.inputs)} inputs and gives {len(function.outputs)}, "
                f"got {len(node.inputs)} and {len(node.outputs)}"
            )
        names = dict.fromkeys(function.inputs, "")
        names |= dict(zip(function.inputs, node.inputs, strict=False))
        names |= {own: given for own, given in zip(function.outputs, node.outputs, strict=False) if given}
        values = {**function.defaults, **node.attributes}
        self._count += 1
        prefix = node.name or f"{node.op}_{self._count}"
        return [self._copied(inner, names, values, prefix) for inner in function.nodes]

    def _name(self, name: str, names: dict[str, str], prefix: str) -> str:
        if not name:
            return name
        if name not in names:
            wanted, count = f"{prefix}/{name}", 1
            while wanted in self._taken:
                count += 1
                wanted = f"{prefix}/{name}_{count}"
            self._taken.add(wanted)
            names[name] = wanted
        return names[name]

    def _copied(
        self, node: NodeFile, names: dict[str, str], values: Mapping[str, object], prefix: str
    ) -> NodeFile:
        attributes: dict[str, object] = {}
        for key, value in node.attributes.items():
            if isinstance(value, Reference):
                # What the call does not say, the inner node does not say either.
                if value.name in values:
                    attributes[key] = values[value.name]
            elif isinstance(value, GraphFile):
                attributes[key] = self._graph(value, names, values, prefix)
            else:
                attributes[key] = value
        return replace(
            node,
            name=f"{prefix}/{node.name or node.op}",
            inputs=tuple(self._name(name, names, prefix) for name in node.inputs),
            outputs=tuple(self._name(name, names, prefix) for name in node.outputs),
            attributes=attributes,
        )

    def _graph(
        self, found: GraphFile, names: dict[str, str], values: Mapping[str, object], prefix: str
    ) -> GraphFile:
        """A graph inside of a function's node: all its names get new ones, those from around it included."""
        inner = {**names}
        for name in (*(value.name for value in found.inputs), *found.initializers):
            inner.pop(name, None)

        def renamed(infos: tuple[ValueInfo, ...]) -> tuple[ValueInfo, ...]:
            return tuple(replace(value, name=self._name(value.name, inner, prefix)) for value in infos)

        inputs = renamed(found.inputs)
        initializers = {self._name(name, inner, prefix): t for name, t in found.initializers.items()}
        nodes = tuple(self._copied(node, inner, values, prefix) for node in found.nodes)
        return replace(
            found,
            inputs=inputs,
            initializers=initializers,
            nodes=nodes,
            outputs=renamed(found.outputs),
            values=(),
        )


def _names(value: object) -> set[str]:
    """All names that a graph and those inside of its nodes give or take."""
    if not isinstance(value, GraphFile):
        return set()
    found = {v.name for v in (*value.inputs, *value.outputs)} | set(value.initializers)
    for node in value.nodes:
        found |= {*node.inputs, *node.outputs}
        for inner in node.attributes.values():
            found |= _names(inner)
    return found


def _called(node: NodeFile) -> str:
    return f"{node.name or node.outputs[0]} ({node.domain}.{node.op})"
