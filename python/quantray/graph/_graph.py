"""A graph: what a model computes, as nodes with names and the wires between them.

Nothing here knows modules, quantization or files. A graph is never changed: a pass takes one and gives
another.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias, TypeVar

from quantray._typing import Args, DType
from quantray.graph._called import ArrayOfLengths, Called
from quantray.graph._trees import leaves as leaves
from quantray.graph._trees import map_tree as map_tree

#: A hook: the path of its module, "pre" or "post", and its key there.
HookKey: TypeAlias = tuple[str, str, int]


@dataclass(frozen=True, slots=True)
class Ref:
    """A wire: one output of a node."""

    node: str
    out: int = 0

    def __str__(self) -> str:
        return self.node if self.out == 0 else f"{self.node}:{self.out}"


#: What a node takes by name. As for `Args`, its kind says what there is: wires (`Ref`), lengths (`Expr`),
#: plain values, and tuples, lists, dicts and slices of these.
Settings: TypeAlias = Mapping[str, Any]

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Expr:
    """A length that is known when the graph runs: an axis of a wire, or what is worked out from lengths.

    `op` is "dim", with a `Ref` and an axis, or the name of a function of `operator`, "min" or "max", with its
    arguments.
    """

    op: str
    args: Args

    def __str__(self) -> str:
        if self.op == "dim":
            return f"{self.args[0]}.shape[{self.args[1]}]"
        signs = {"add": "+", "sub": "-", "mul": "*", "floordiv": "//", "mod": "%", "truediv": "/"}
        if self.op in signs and len(self.args) == 2:
            return f"({self.args[0]} {signs[self.op]} {self.args[1]})"
        return f"{self.op}({', '.join(map(str, self.args))})"


@dataclass(frozen=True, slots=True)
class Fact:
    """What is known of a wire: lengths (numbers, or names of lengths that may differ) and dtype."""

    shape: tuple[int | str, ...]
    dtype: DType

    @property
    def is_float(self) -> bool:
        """Whether its elements are real numbers."""
        return self.dtype.kind == "f"


@dataclass(frozen=True, slots=True)
class Place:
    """Where code stands: a file and a line; for a model that is no code, its file and a node, and line 0."""

    file: str
    line: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line}" if self.line else self.file


@dataclass(frozen=True)
class Node:
    """One step of what a model computes.

    Attributes
    ----------
    name : str
        Its own in the graph: the path of the module that it belongs to, and of what.
    kind : str
        Which function it is: a name of the table of kinds.
    args, kwargs : tuple, dict
        What the function takes: wires (`Ref`), lengths (`Expr`), plain values, and tuples, lists, dicts and
        slices of these.
    facts : tuple of Fact
        One for each output.
    scope : str
        The dotted path of the module whose `forward` it is part of.
    at : Place
        Where it stands in the code of the model.
    value : object
        What belongs to the node itself: a constant's array, the path and name of a parameter, a setting of
        a pass.
    """

    name: str
    kind: str
    args: Args = ()
    kwargs: Settings = field(default_factory=dict[str, object])
    facts: tuple[Fact, ...] = ()
    scope: str = ""
    at: Place | None = None
    value: Any = None

    @functools.cached_property
    def inputs(self) -> tuple[Ref, ...]:
        """The wires that it takes, lengths of wires aside, in order."""
        return tuple(leaf for leaf in leaves((self.args, dict(self.kwargs))) if isinstance(leaf, Ref))

    def but(self, **changes: object) -> Node:
        """The node with some of its attributes changed."""
        return dataclasses.replace(self, **changes)

    def become(
        self, kind: str, args: Args, kwargs: Settings, value: object = None, *, name: str | None = None
    ) -> Node:
        """Another node in its place: its facts, its scope, its line of code; unless said, its name."""
        return Node(name or self.name, kind, args, kwargs, self.facts, self.scope, self.at, value)

    def get(self, name: str, default: Any = None) -> Any:
        """An argument of a normalized node, by its name."""
        return self.kwargs.get(name, default)


@dataclass(frozen=True, slots=True)
class Guard:
    """What a graph takes for granted: a comparison of lengths, or the truth of a wire, with its outcome."""

    subject: Expr | Ref
    outcome: object
    at: Place

    def __str__(self) -> str:
        return f"{self.subject} is {self.outcome} ({self.at})"


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why some of a model could not become nodes: which module runs as Python, and what is in the way."""

    scope: str
    reason: str
    at: Place | None = None

    def __str__(self) -> str:
        where = f"{self.at}: " if self.at else ""
        return f"{self.scope or 'model'}: {where}{self.reason}"


@dataclass(frozen=True, slots=True)
class About:
    """What is known of a node beside what it computes: tables and drawings show it, nothing is computed by
    it.
    """

    #: What it is, in words; by default those of its kind.
    words: str = ""
    #: Weights that are not among its arguments.
    weights: str = ""
    #: What its output is, where that is not what `Fact` says: the dtype of codes.
    dtype: str = ""
    #: Scale and zero point of its output.
    scale: float | None = None
    zero_point: int | None = None
    #: Whether it computes in integers; None for what computes nothing.
    in_integers: bool | None = None


@dataclass(frozen=True)
class Graph:
    """Nodes in an order in which they can run, with what goes in and what comes out.

    Attributes
    ----------
    nodes : dict of str to Node
        By name, each after those whose wires it takes.
    args, kwargs : tuple, dict
        What the model was called with: a `Ref` where an array was, other values as they were.
    output : object
        What it returns: wires, plain values, and tuples, lists and dicts of these.
    guards : tuple of Guard
        What must hold for an input, beside dtypes and numbers of axes.
    refusals : tuple of Refusal
        Modules that run as Python.
    training : bool
        The mode that the model was in.
    about : dict of str to About
        By node, what a model that runs by this graph knows beside it.
    unused : frozenset of str
        Paths of modules that are called, but whose results nothing needs.
    rows : tuple of int, optional
        The fewest and the most rows that it was captured with, where Python has got their number: what it
        did with it for others is not known.
    calls : tuple of Called
        Calls of modules that stand for nodes of a file, each after those that are part of it.
    """

    nodes: Mapping[str, Node]
    args: tuple[object, ...]
    kwargs: Mapping[str, object]
    output: object
    guards: tuple[Guard, ...] = ()
    refusals: tuple[Refusal, ...] = ()
    training: bool = False
    about: Mapping[str, About] = field(default_factory=dict[str, About], compare=False, repr=False)
    unused: frozenset[str] = frozenset()
    rows: tuple[int, int] | None = None
    calls: tuple[Called, ...] = field(default=(), compare=False, repr=False)

    def __iter__(self) -> Iterator[Node]:
        return iter(self.nodes.values())

    def __len__(self) -> int:
        return len(self.nodes)

    def __getitem__(self, name: str) -> Node:
        if name not in self.nodes:
            import difflib

            close = difflib.get_close_matches(name, self.nodes, 1, 0.5)
            hint = f"; did you mean {close[0]!r}?" if close else ""
            raise KeyError(f"the graph has no node {name!r}{hint}")
        return self.nodes[name]

    def __contains__(self, name: object) -> bool:
        return name in self.nodes

    @property
    def inputs(self) -> tuple[str, ...]:
        """Names of the nodes that arrays come in by."""
        found = leaves((self.args, dict(self.kwargs)))
        return tuple(leaf.node for leaf in found if isinstance(leaf, Ref))

    @property
    def outputs(self) -> tuple[Ref, ...]:
        """The wires that the model returns."""
        return tuple(leaf for leaf in leaves(self.output) if isinstance(leaf, Ref))

    def fact(self, ref: Ref) -> Fact:
        """What is known of a wire."""
        return self.nodes[ref.node].facts[ref.out]

    @functools.cached_property
    def fixed(self) -> frozenset[str]:
        """Names of the nodes that depend on no input: parameters, constants, and what is made of them."""
        found: set[str] = set()
        for node in self:
            is_made = node.kind not in ("input", "module", "python", "hook", "tap") and bool(node.inputs)
            if node.kind in ("parameter", "constant") or (
                is_made and all(ref.node in found for ref in node.inputs)
            ):
                found.add(node.name)
        return frozenset(found)

    def users(self) -> dict[Ref, list[str]]:
        """For each wire the nodes that take it, in order; lengths that are read of it do not count."""
        found: dict[Ref, list[str]] = {}
        for node in self:
            for ref in dict.fromkeys(node.inputs):
                found.setdefault(ref, []).append(node.name)
        return found

    def but(self, **changes: object) -> Graph:
        """The graph with some of its attributes changed."""
        return dataclasses.replace(self, **changes)

    def pruned(self) -> Graph:
        """Without the nodes that nothing needs: neither the output, nor a guard, nor a length."""
        needed = {ref.node for ref in self.outputs} | set(self.inputs)
        for guard in self.guards:
            needed |= {ref.node for ref in wires(guard.subject)}
        kept: list[Node] = []
        for node in reversed(list(self)):
            if node.name in needed or node.kind == "tap":
                kept.append(node)
                needed |= {ref.node for ref in wires((node.args, dict(node.kwargs)))}
        return self.but(nodes={node.name: node for node in reversed(kept)})

    def __repr__(self) -> str:
        from quantray.graph._show import text

        return text(self)

    def _repr_html_(self) -> str:
        from quantray.graph._show import html

        return html(self)


# Wires in trees of arguments


def map_wires(function: Callable[[Ref], Ref], tree: T) -> T:
    """A tree with each wire replaced by a function of it, inside of lengths too."""

    def leaf(value: object) -> object:
        if isinstance(value, Ref):
            return function(value)
        if isinstance(value, Expr):
            return Expr(value.op, tuple(leaf(arg) for arg in value.args))
        if isinstance(value, ArrayOfLengths):
            return ArrayOfLengths(tuple(leaf(item) for item in value.items), value.shape)
        return value

    return map_tree(leaf, tree)


def map_lengths(function: Callable[[Ref], Ref], tree: T) -> T:
    """A tree with the wires of which it takes lengths replaced by a function of them; others stay."""

    def leaf(value: object) -> object:
        return map_wires(function, value) if isinstance(value, (Expr, ArrayOfLengths)) else value

    return map_tree(leaf, tree)


def wires(tree: object) -> list[Ref]:
    """The wires in a tree, those of lengths too."""
    found: list[Ref] = []

    def note(ref: Ref) -> Ref:
        found.append(ref)
        return ref

    map_wires(note, tree)
    return found


def ordered(nodes: Iterable[Node], roots: Sequence[Ref]) -> dict[str, Node]:
    """The nodes that some wires need, each after those whose wires it takes."""
    by_name = {node.name: node for node in nodes}
    made: dict[str, Node] = {}
    stack: list[tuple[str, bool]] = [(ref.node, False) for ref in reversed(roots)]
    while stack:
        name, ready = stack.pop()
        if name in made:
            continue
        node = by_name[name]
        if ready:
            made[name] = node
            continue
        stack.append((name, True))
        needs = wires((node.args, dict(node.kwargs)))
        stack.extend((ref.node, False) for ref in reversed(needs) if ref.node not in made)
    return made
