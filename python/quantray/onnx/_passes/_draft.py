"""A graph of a file while it is rewritten: its nodes in order, and what is known of their values."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace

import numpy as np

from quantray.onnx._file import GraphFile, NodeFile
from quantray.onnx._shapes import Dims
from quantray.onnx._stored import Stored
from quantray.onnx.operators import Array

#: A node that takes the place of one, or several in order; None where the rule does not hold.
Rule = Callable[["Draft", NodeFile], "NodeFile | Sequence[NodeFile] | None"]


class Draft:
    """Nodes that compute, and constants.

    A rule looks at one node and what makes its inputs, and gives a node that makes the same outputs. What
    nothing needs any more goes.

    Attributes
    ----------
    nodes : list of NodeFile
    constants : dict of str to array
    outputs : tuple of str
        Of the graph.
    stored : dict of str to Stored
        Constants that the file holds as integers; rules may add some.
    blocks : collection of str
        Names of constants that it holds as integers in blocks.
    """

    def __init__(
        self,
        nodes: list[NodeFile],
        constants: Mapping[str, Array],
        outputs: tuple[str, ...],
        stored: dict[str, Stored] | None = None,
        shape_of: Callable[[str], Dims | None] | None = None,
        blocks: Collection[str] = (),
    ) -> None:
        self.nodes, self.constants, self.outputs = nodes, dict(constants), outputs
        self.stored = {} if stored is None else stored
        self.blocks = blocks
        self._shape_of = shape_of
        self._count = 0
        self._index()

    def _index(self) -> None:
        self._producers = {name: node for node in self.nodes for name in node.outputs if name}
        self._users: dict[str, int] = dict.fromkeys(self.outputs, 1)
        for node in self.nodes:
            for name in uses(node):
                self._users[name] = self._users.get(name, 0) + 1

    # What rules ask

    def producer(self, name: str, *ops: str) -> NodeFile | None:
        """The node that makes a value, if it is one of some operators of the standard."""
        node = self._producers.get(name)
        return node if node is not None and node.op in ops and node.domain in ("", "ai.onnx") else None

    def maker(self, name: str) -> NodeFile | None:
        """The node that makes a value, whatever it is."""
        return self._producers.get(name)

    def makes(self, name: str) -> NodeFile:
        """The same of a value that a node does make."""
        return self._producers[name]

    def axes(self, node: NodeFile) -> list[int] | None:
        """The axes that a node works along, by attribute or constant input; None where they are not said."""
        if len(node.inputs) > 1 and node.inputs[1]:
            found = self.constant(node.inputs[1])
            return None if found is None else [int(axis) for axis in found.reshape(-1)]
        axes = node.attributes.get("axes")
        return None if axes is None else [int(axis) for axis in axes]

    def is_used_once(self, name: str) -> bool:
        """Whether one node alone takes a value."""
        return self._users.get(name) == 1

    def constant(self, name: str) -> Array | None:
        """A value that depends on no input."""
        return self.constants.get(name)

    def shape(self, name: str) -> Dims | None:
        """The shape of a value of the file, as far as it is known."""
        return None if self._shape_of is None else self._shape_of(name)

    def number(self, name: str) -> float | None:
        """A constant of one element."""
        found = self.constants.get(name)
        return float(found.reshape(())) if found is not None and found.size == 1 else None

    def terms(self, node: NodeFile) -> list[tuple[str, str]]:
        """The two inputs of a node, in both orders where these mean the same."""
        a, b = node.inputs
        return [(a, b), (b, a)] if node.op in ("Add", "Mul") else [(a, b)]

    def add(self, wanted: str, value: Array) -> str:
        """A new constant; its name."""
        name = self.new(wanted)
        self.constants[name] = value
        return name

    def new(self, wanted: str) -> str:
        """A name for a new value."""
        name = f"{wanted}+"
        while name in self.constants or name in self._producers:
            name += "+"
        return name

    # Rewriting

    def apply(self, *rules: Rule) -> None:
        """Puts new nodes in the place of those that rules hold for, as long as there are any."""
        for rule in rules:
            changed = True
            while changed:
                changed = False
                for i, node in enumerate(self.nodes):
                    made = rule(self, node)
                    if made is not None:
                        several = (made,) if isinstance(made, NodeFile) else made
                        self.nodes[i : i + 1] = several
                        self.know(several)
                        changed = True
                if changed:
                    self.prune()

    def know(self, nodes: Sequence[NodeFile]) -> None:
        """What makes values from now on, before it is among the nodes."""
        self._producers.update((name, node) for node in nodes for name in node.outputs if name)

    def replace(self, nodes: list[NodeFile]) -> None:
        """Other nodes in the place of all."""
        self.nodes = nodes
        self.prune()

    def prune(self) -> None:
        """Drops what neither an output nor a node needs."""
        needed, kept = set(self.outputs), list[NodeFile]()
        for node in reversed(self.nodes):
            if any(name in needed for name in node.outputs):
                kept.append(node)
                needed |= uses(node)
        self.nodes = kept[::-1]
        self._index()

    def rename(self, names: Mapping[str, str]) -> None:
        """Whatever takes a value takes another one from now on."""

        def final(name: str) -> str:
            while name in names:
                name = names[name]
            return name

        self.nodes = [_renamed(node, final) for node in self.nodes]
        self._index()


def _renamed(node: NodeFile, final: Callable[[str], str]) -> NodeFile:
    inputs = tuple(map(final, node.inputs))
    attributes = {
        name: renamed_graph(value, final) if isinstance(value, GraphFile) else value
        for name, value in node.attributes.items()
    }
    if inputs == tuple(node.inputs) and all(attributes[k] is v for k, v in node.attributes.items()):
        return node
    return replace(node, inputs=inputs, attributes=attributes)


def renamed_graph(found: GraphFile, final: Callable[[str], str]) -> GraphFile:
    """A graph inside of a node, which takes values around it by their names."""
    own = {value.name for value in found.inputs} | set(found.initializers)
    own |= {name for node in found.nodes for name in node.outputs}

    def outer(name: str) -> str:
        return name if name in own else final(name)

    nodes = tuple(_renamed(node, outer) for node in found.nodes)
    outputs = tuple(
        value if value.name in own else replace(value, name=final(value.name)) for value in found.outputs
    )
    if all(a is b for a, b in zip(nodes, found.nodes, strict=True)) and outputs == tuple(found.outputs):
        return found
    return replace(found, nodes=nodes, outputs=outputs)


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


def made(
    node: NodeFile, op: str, inputs: tuple[str, ...], name: str = "", domain: str = "", **attributes: object
) -> NodeFile:
    """A node that makes another one's outputs."""
    return replace(
        node, name=name, op=op, domain=domain, inputs=inputs, outputs=node.outputs[:1], attributes=attributes
    )


def is_close(value: float | None, wanted: float) -> bool:
    """Whether a constant is a number, as exporters round it."""
    return value is not None and bool(np.isclose(value, wanted, rtol=2e-3, atol=0))
