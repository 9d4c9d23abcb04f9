"""Whether a model's names fit together, whatever its operators mean: all that does not is said at once."""

# Attributes and values are trees of whatever a file holds: their leaves have no type that could be said.
# pyright: reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import cast

from quantray.onnx._messages import FunctionFile, GraphFile, Many, ModelFile, NodeFile

#: The latest version of ONNX's own operators that is known (onnx 1.23).
LATEST_OPSET = 28
#: The latest version of the format that is known (onnx 1.23).
LATEST_IR = 14
#: From this version on, files say which versions of operators they mean.
_FIRST_WITH_OPSETS = 3
#: More problems than this are counted, not listed.
_LISTED = 20


def checked(model: ModelFile) -> ModelFile:
    """The same model, its nodes in an order in which each comes after those that it reads.

    Parameters
    ----------
    model : ModelFile

    Returns
    -------
    ModelFile
        The model itself where its nodes are in order, as the format wants them.

    Raises
    ------
    ValueError
        With all that is wrong, a line each: values that nothing makes, that several nodes make, that nodes
        make from each other; operators whose domain has no version; versions of the format or of operators
        that are unknown; functions that call themselves.

    >>> model = ModelFile(8, {"": 13}, GraphFile("g", (NodeFile("n", "Relu", "", ("x",), ("y",)),)))
    >>> checked(model)
    Traceback (most recent call last):
    ValueError: the model has 1 problem:
      node 'n' (Relu): its input 'x' is made by nothing
    """
    found: list[str] = list(_versions(model))
    opsets = model.opsets
    if not opsets and model.ir_version < _FIRST_WITH_OPSETS:
        opsets = {"": 1}
    graph = _Graph(model.graph, opsets, found).checked()
    functions = tuple(_function(f, found) for f in model.functions)
    found += _recursions(model.functions)
    if found:
        count = f"{len(found)} problem{'s' * (len(found) > 1)}"
        more = [f"and {len(found) - _LISTED} more"] * (len(found) > _LISTED)
        raise ValueError("\n  ".join([f"the model has {count}:", *found[:_LISTED], *more]))
    same = graph is model.graph and all(a is b for a, b in zip(functions, model.functions, strict=True))
    return model if same else replace(model, graph=graph, functions=functions)


def _versions(model: ModelFile) -> Iterator[str]:
    if not 1 <= model.ir_version <= LATEST_IR:
        yield f"its version of the format is {model.ir_version}; known are 1 to {LATEST_IR}"
    for domain, version in model.opsets.items():
        if version < 1:
            yield f"its operators of domain {domain!r} have version {version}; the first is 1"
        elif domain == "" and version > LATEST_OPSET:
            yield f"its operators have version {version} (opset); known are 1 to {LATEST_OPSET}"


def _named(node: NodeFile) -> str:
    """A node as errors call it."""
    if node.name:
        return f"node {node.name!r} ({node.op})"
    return f"node of output {next(filter(None, node.outputs), '')!r} ({node.op})"


def _function(function: FunctionFile, found: list[str]) -> FunctionFile:
    inner: list[str] = []
    nodes = _Nodes(function.nodes, set(function.inputs), None, function.opsets, inner)
    ordered = nodes.ordered()
    inner += [f"its output {name!r} is made by nothing" for name in function.outputs if not nodes.makes(name)]
    found += [f"function {function.name!r}: {problem}" for problem in inner]
    return function if ordered is function.nodes else replace(function, nodes=ordered)


def _recursions(functions: Sequence[FunctionFile]) -> Iterator[str]:
    """Functions that call themselves, directly or by way of others."""
    calls = {
        (f.domain, f.name, f.overload): [(n.domain, n.op, n.overload) for n in _all_nodes(f.nodes)]
        for f in functions
    }
    index = {key: i for i, key in enumerate(calls)}
    needs = [[index[c] for c in called if c in index] for called in calls.values()]
    loop = _loop(needs, _left_over(needs)[1])
    if loop:
        names = [functions[i].name for i in loop]
        yield f"functions call each other in a circle: {' -> '.join(map(repr, [*names, names[0]]))}"


def _all_nodes(nodes: Iterable[NodeFile]) -> Iterator[NodeFile]:
    for node in nodes:
        yield node
        for _, graph in _subgraphs(node):
            yield from _all_nodes(graph.nodes)


def _subgraphs(node: NodeFile) -> Iterator[tuple[str, GraphFile]]:
    for name, value in node.attributes.items():
        if isinstance(value, GraphFile):
            yield name, value
        elif isinstance(value, tuple):
            many: tuple[object, ...] = value
            yield from ((name, v) for v in many if isinstance(v, GraphFile))


class _Graph:
    """A graph, with the names of those that it lies in."""

    def __init__(
        self,
        graph: GraphFile,
        opsets: Mapping[str, int],
        found: list[str],
        outer: _Nodes | None = None,
    ) -> None:
        self._graph, self._found = graph, found
        given = {v.name for v in graph.inputs} | set(graph.initializers)
        self.nodes = _Nodes(graph.nodes, given, outer, opsets, found)

    def checked(self) -> GraphFile:
        graph, found = self._graph, self._found
        names: set[str] = set()
        for value in graph.inputs:
            if not value.name or value.name in names:
                found.append(f"two inputs are named {value.name!r}" if value.name else "an input has no name")
            names.add(value.name)
        ordered = self.nodes.ordered()
        for value in graph.outputs:
            if not self.nodes.makes(value.name):
                found.append(f"the output {value.name!r} is made by nothing")
        return graph if ordered is graph.nodes else replace(graph, nodes=ordered)


class _Nodes:
    """The nodes of a graph or of a function."""

    def __init__(
        self,
        nodes: tuple[NodeFile, ...],
        given: set[str],
        outer: _Nodes | None,
        opsets: Mapping[str, int],
        found: list[str],
    ) -> None:
        self._nodes, self._given, self._outer = nodes, given, outer
        self._opsets, self._found = opsets, found
        #: Names from outside that nodes read.
        self.free: set[str] = set()
        self._makers: dict[str, int] = {}
        for i, node in enumerate(nodes):
            for name in filter(None, node.outputs):
                if name in self._makers:
                    first = _named(nodes[self._makers[name]])
                    found.append(f"{_named(node)}: its output {name!r} is made by {first}, too")
                elif name in given:
                    found.append(f"{_named(node)}: its output {name!r} is an input or an initializer, too")
                self._makers.setdefault(name, i)

    def makes(self, name: str) -> bool:
        """Whether a value of this name exists here, or in a graph around."""
        if name in self._given or name in self._makers:
            return True
        if self._outer is not None and self._outer.makes(name):
            self.free.add(name)
            return True
        return False

    def ordered(self) -> tuple[NodeFile, ...]:
        """The nodes in order; what is wrong with them goes among the problems."""
        checked: list[NodeFile] = []
        needs: list[list[int]] = []
        for node in self._nodes:
            reads, made = self._checked(node)
            checked.append(made)
            needs.append(sorted({self._makers[name] for name in reads if name in self._makers}))
        order, left = _left_over(needs)
        if left:
            loop = [_named(self._nodes[i]) for i in _loop(needs, left)]
            self._found.append(f"nodes wait for each other in a circle: {' -> '.join([*loop, loop[0]])}")
            return self._nodes
        same = order == list(range(len(order))) and all(
            a is b for a, b in zip(checked, self._nodes, strict=True)
        )
        return self._nodes if same else tuple(checked[i] for i in order)

    def _checked(self, node: NodeFile) -> tuple[set[str], NodeFile]:
        """The names that a node reads, its subgraphs included, and the node with those in order."""
        found, place = self._found, _named(node)
        if not node.op:
            found.append(f"{place}: it has no operator")
        if node.domain not in self._opsets and node.domain != "com.microsoft":
            # Of that one NNCF says no version, which onnxruntime takes for its first, and only, one.
            known = ", ".join(map(repr, self._opsets)) or "none"
            found.append(
                f"{place}: the model says no version for operators of domain {node.domain!r}, only {known}"
            )
        reads = set(filter(None, node.inputs))
        found += [
            f"{place}: its input {name!r} is made by nothing"
            for name in sorted(reads)
            if not self.makes(name)
        ]
        attributes: dict[str, object] = {}
        for name, value in node.attributes.items():
            if isinstance(value, GraphFile):
                attributes[name] = self._body(value, f"{place}: {name}", reads)
            elif isinstance(value, tuple):
                many = [v for v in cast("tuple[object, ...]", value) if isinstance(v, GraphFile)]
                bodies = tuple(self._body(v, f"{place}: {name}", reads) for v in many)
                if bodies:
                    attributes[name] = Many("GRAPHS", bodies)
        same = all(made is node.attributes[name] for name, made in attributes.items())
        return reads, node if same else replace(node, attributes={**node.attributes, **attributes})

    def _body(self, graph: GraphFile, place: str, reads: set[str]) -> GraphFile:
        """A subgraph with its nodes in order; the names that it reads from outside are added."""
        inner: list[str] = []
        body = _Graph(graph, self._opsets, inner, self)
        made = body.checked()
        self._found += [f"{place}: {problem}" for problem in inner]
        reads |= body.nodes.free
        return made


def _left_over(needs: Sequence[Sequence[int]]) -> tuple[list[int], list[int]]:
    """An order in which each comes after those that it needs, early ones first; and who has no place in it.

    Kahn, Topological sorting of large networks (1962).
    """
    waiting = [len(n) for n in needs]
    users: list[list[int]] = [[] for _ in needs]
    for i, needed in enumerate(needs):
        for j in needed:
            users[j].append(i)
    ready = [i for i, n in enumerate(waiting) if n == 0]
    order: list[int] = []
    while ready:
        i = heapq.heappop(ready)
        order.append(i)
        for user in users[i]:
            waiting[user] -= 1
            if waiting[user] == 0:
                heapq.heappush(ready, user)
    return order, [i for i, n in enumerate(waiting) if n > 0]


def _loop(needs: Sequence[Sequence[int]], left: Sequence[int]) -> list[int]:
    """A circle among those that have no place in an order; empty where all have one."""
    if not left:
        return []
    stuck, path, at = set(left), dict[int, None](), left[0]
    while at not in path:
        path[at] = None
        at = next(j for j in needs[at] if j in stuck)
    walked = list(path)
    loop = walked[walked.index(at) :][::-1]  # from who makes to who reads
    first = loop.index(min(loop))
    return loop[first:] + loop[:first]
