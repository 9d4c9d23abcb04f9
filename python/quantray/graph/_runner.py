"""What prepared and converted models have in common: graphs, one for each kind of input, instead of
`forward`.

Inputs choose a graph: by the mode of the model, dtypes, numbers of axes, values that are no arrays, and
what the capture took for granted. Where none fits, the model is captured again.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from quantray.graph._arguments import arguments
from quantray.graph._capture import capture
from quantray.graph._fitting import fitting, is_of_inputs
from quantray.graph._graph import About, Graph, HookKey, Node, Ref, map_tree
from quantray.graph._lengths import named
from quantray.graph._run import DoesNotHold, HookChanges, OfModule, checker, run
from quantray.nn._gradients import untraced
from quantray.nn._module import Module
from quantray.nn._registry import Mark

if TYPE_CHECKING:
    from quantray._typing import Scalar, State, Tensor
    from quantray.graph._files._write import Writer
    from quantray.nn._state import Accepted


class GraphRunner:
    """Runs a module by graphs of it.

    Attributes
    ----------
    graphs : list of Graph
        Those that were captured so far.
    captured : list of Graph
        The same as captures gave them, before the passes.
    prefix : str
        The dotted path of the module inside the model that was prepared; "" is the model itself.
    """

    #: Whether the module's own forward computes the same, module by module.
    keeps_forward = False

    def __init__(self, prefix: str = "") -> None:
        self.graphs: list[Graph] = []
        self.captured: list[Graph] = []
        self.prefix = prefix
        self.changing: frozenset[HookKey] = frozenset()
        self._mark = Mark()
        self._lock = threading.RLock()
        #: Places of graphs, and kinds of inputs for which what they take for granted inside does not hold.
        self._refused: set[tuple[int, tuple[object, ...]]] = set()

    def __getstate__(self) -> dict[str, object]:
        without = ("_lock", "_refused", "captured")
        return {key: value for key, value in self.__dict__.items() if key not in without}

    def __setstate__(self, state: dict[str, object]) -> None:
        self.__dict__.update(state)
        self._lock, self._refused, self.captured = threading.RLock(), set(), []

    # What subclasses say

    def passes(self, graph: Graph, module: Module) -> Graph:
        """What becomes of a captured graph."""
        return graph

    def compute(self, module: Module, node: Node, args: tuple[object, ...], kwargs: dict[str, object]) -> Any:
        """One node's result."""
        raise NotImplementedError

    def deciding(self, module: Module, graph: Graph) -> OfModule | None:
        """What computes nodes that only decide whether a graph fits; None for functions alone."""
        return None

    def about(self, module: Module, graph: Graph) -> Mapping[str, About]:
        """What tables and drawings of a graph show beside it."""
        return {}

    # Calls

    def shown(self, module: Module) -> list[Graph]:
        """The graphs as a user sees them."""
        return [graph.but(about=self.about(module, graph)) for graph in self.graphs]

    def shapes(self, module: Module, args: tuple[object, ...]) -> dict[int, str]:
        """By ids of modules their outputs' shapes, for some arguments; without any, lengths have names."""
        graph = next(iter(self.graphs), None)
        lengths: dict[str, int] = {}
        if args:
            graph, inputs = self.find(module, *arguments(module, args, {}))
            for name, array in inputs.items():
                known = graph.nodes[name].facts[0].shape
                own = zip(known, np.shape(array), strict=True)
                lengths |= {n: m for n, m in own if isinstance(n, str)}
        return {} if graph is None else shapes_of(graph, module, lengths)

    def line(self, module: Module) -> str:
        """What stands below the module's repr."""
        return ""

    def card(self, module: Module) -> str:
        """What a notebook shows of the module, as HTML; by default its summary."""
        return ""

    def __call__(self, module: Module, args: tuple[object, ...], kwargs: dict[str, object]) -> Any:
        args, kwargs = arguments(module, args, kwargs)
        failed = 0
        while True:
            if self._mark.changed:
                self.forget(module)
            graph, inputs = self.find(module, args, kwargs, whole=failed > 0)
            try:
                return self.run(module, graph, inputs)
            except HookChanges as found:
                # It was taken to look only: captured again, what it gives back is a value of the graph.
                self.changing |= {found.hook}
                self.forget(module)
            except DoesNotHold as found:
                failed += 1
                if failed > 2 + len(self.graphs):
                    raise ValueError(f"what the model decides changes from call to call: {found}") from None
                if len(self.graphs) > _MOST_GRAPHS:
                    self.forget(module)
                else:
                    self.refuse(graph, inputs)

    def find(
        self, module: Module, args: tuple[object, ...], kwargs: dict[str, object], *, whole: bool = False
    ) -> tuple[Graph, dict[str, Tensor]]:
        """The graph for some arguments, captured if need be (with all rows if `whole`), and its inputs."""
        found = self._fitting(module, args, kwargs)
        if found is not None:
            return found
        with self._lock:
            # What a few rows decide may not be what all of them do: then the model is captured with all.
            for rows in (whole, True):
                found = self._fitting(module, args, kwargs)
                if found is not None:
                    return found
                self.graphs.append(self.capture(module, args, kwargs, whole=rows))
            found = self._fitting(module, args, kwargs)
            if found is None:
                raise ValueError("what the model decides by its inputs changes from call to call")
            return found

    def _fitting(
        self, module: Module, args: tuple[object, ...], kwargs: dict[str, object]
    ) -> tuple[Graph, dict[str, Tensor]] | None:
        for at, graph in enumerate(tuple(self.graphs)):
            inputs = self.inputs_of(graph, module, args, kwargs)
            if inputs is not None and not self.is_refused(at, inputs):
                return graph, inputs
        return None

    def inputs_of(
        self, graph: Graph, module: Module, args: tuple[object, ...], kwargs: dict[str, object]
    ) -> dict[str, Tensor] | None:
        """A graph's inputs among arguments; None where it is for others."""
        inputs = fitting(graph, args, kwargs, bool(module.training), module, self.deciding(module, graph))
        return inputs if inputs is not None and _is_within(graph.rows, inputs) else None

    def is_refused(self, at: int, inputs: Mapping[str, Tensor]) -> bool:
        """Whether a graph, by its place, was found out not to be for inputs of this kind."""
        return bool(self._refused) and (at, _kinds_of(inputs)) in self._refused

    def refuse(self, graph: Graph, inputs: Mapping[str, Tensor]) -> None:
        """Notes that what a graph takes for granted inside does not hold for inputs of this kind."""
        with self._lock:
            at = next((i for i, each in enumerate(self.graphs) if each is graph), None)
            if at is not None:
                self._refused.add((at, _kinds_of(inputs)))

    def capture(
        self, module: Module, args: tuple[object, ...], kwargs: dict[str, object], *, whole: bool = False
    ) -> Graph:
        """A graph for some arguments, of which a few rows are run, or all."""
        plain_args, plain_kwargs = map_tree(untraced, args), map_tree(untraced, kwargs)
        graph = capture(module, plain_args, plain_kwargs, changing=self.changing, whole=whole)
        self.captured.append(graph)
        made = self.passes(graph, module)
        self.watch(module)
        return made

    def run(self, module: Module, graph: Graph, inputs: Mapping[str, Tensor]) -> Any:
        """A graph's output, node by node."""
        return self.run_by(self.compute, module, graph, inputs)

    def run_by(self, compute: OfModule, module: Module, graph: Graph, inputs: Mapping[str, Tensor]) -> Any:
        """A graph's output by what computes a node of a module."""
        guards = [
            g for g in graph.guards if not isinstance(g.subject, Ref) and not is_of_inputs(g.subject, graph)
        ]
        return run(
            graph,
            inputs,
            module,
            compute=lambda node, args, kwargs: compute(module, node, args, kwargs),
            each=checker(guards, graph),
        )

    # State

    def own_state(self, module: Module) -> State:
        """What belongs to the module's state_dict beside what its modules keep."""
        return {}

    def accept(self, module: Module, name: str, value: object) -> Tensor | Scalar:
        """A value for an entry of that state, converted."""
        raise KeyError(name)

    def assign(self, module: Module, state: Accepted) -> None:
        """Takes accepted entries."""

    def expect(self, module: Module, keys: Iterable[str]) -> None:
        """Makes what the keys of a state_dict that is to be loaded are the state of."""

    def for_file(self, module: Module, writer: Writer) -> dict[str, object] | None:
        """What a file has of it; None where only an instance of the class can take the file."""
        return None

    # Changes

    def watch(self, module: Module) -> None:
        """Asks all modules inside to tell when they change."""
        for each in module.modules():
            if self._mark not in each._marks:
                each.__dict__["_marks"] = (*each._marks, self._mark)
        self._mark.changed = self._mark.touched = False

    def forget(self, module: Module) -> None:
        """Graphs of what the module was before it changed."""
        with self._lock:
            self.graphs.clear()
            self.captured.clear()
            self._refused.clear()
            self._mark.changed = self._mark.touched = False

    def detach(self, module: Module) -> None:
        """Takes the runner off a module."""
        for each in module.modules():
            each.__dict__["_marks"] = tuple(mark for mark in each._marks if mark is not self._mark)
        module.__dict__["_runner"] = None


def shapes_of(graph: Graph, module: Module, lengths: Mapping[str, int]) -> dict[int, str]:
    """The shape of what each module gives: of the last node that is part of it."""
    found: dict[int, str] = {}
    for node in graph:
        if node.kind in ("parameter", "constant", "input", "tap") or not node.facts:
            continue
        shapes = ", ".join(
            str(tuple(named(n, lengths) for n in fact.shape)).replace("'", "") for fact in node.facts
        )
        path = node.scope
        while True:
            with contextlib.suppress(AttributeError):
                found[id(module.get_submodule(path))] = shapes
            if not path:
                break
            path = path.rpartition(".")[0]
    return found


#: Decisions by values may want a graph each: of so many all are let go.
_MOST_GRAPHS = 64


def _kinds_of(inputs: Mapping[str, Tensor]) -> tuple[object, ...]:
    """What lengths are decided by: shapes and dtypes."""
    plain = map(untraced, inputs.values())
    return tuple((np.shape(array), np.asarray(array).dtype) for array in plain)


def _is_within(rows: tuple[int, int] | None, inputs: Mapping[str, Tensor]) -> bool:
    if rows is None:
        return True
    return all(rows[0] <= len(untraced(array)) <= rows[1] for array in inputs.values() if np.ndim(array))
