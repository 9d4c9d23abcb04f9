"""A model of integers: it runs by graphs whose nodes know their grids."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, cast

import numpy as np

from quantray import nn
from quantray._core import QTensor
from quantray._typing import Args, Array, Kwargs, Tensor
from quantray.graph import Graph, Node, Ref
from quantray.graph._arguments import arguments
from quantray.graph._fitting import fitting
from quantray.graph._run import DoesNotHold, Environment, checker, named, run
from quantray.graph._trees import is_array, is_dict, is_sequence, is_tuple, map_tree, rebuilt
from quantray.nn.quantized._grid import Grid
from quantray.quantization import _node_state, _scalings
from quantray.quantization._integers import Compute, compute, grids_of
from quantray.quantization._programmed import Programmed, shapes_of
from quantray.quantization._reading_converted import ConvertedReading
from quantray.quantization._scalings import Scaling

if TYPE_CHECKING:
    from quantray._typing import State
    from quantray.graph._files import Writer
    from quantray.nn._state import Accepted


class NotCaptured(ValueError):
    """There is no graph for an input."""


def scalings_of(model: nn.Module) -> Sequence[Scaling]:
    """What parameters were multiplied by before a model was converted."""
    runner = model._runner
    return runner.scalings if isinstance(runner, Converted) else ()


class Converted(Programmed):
    """Runs a converted model.

    Attributes
    ----------
    graphs : list of Graph
        In integers, one for each kind of input that the prepared model has seen.
    is_near : bool
        Whether nodes that were left in floats may add up in another order than NumPy does. What was trained
        keeps the bits that it was trained with.
    spared : dict of str to str
        Nodes that 8 bits of a fixed range were too little for, and what they lost.
    keeps_zero_points : bool
        Whether files of other runtimes get the zero points as they are: where these come from such a file.
    why : dict of str to str
        By the names of nodes that compute in floats, what is in the way, where that is known.
    """

    def __init__(
        self,
        graphs: list[Graph],
        prefix: str = "",
        is_near: bool = False,
        spared: Mapping[str, str] | None = None,
        *,
        keeps_zero_points: bool = False,
    ) -> None:
        super().__init__(prefix)
        self.graphs, self.is_near, self.keeps_zero_points = graphs, is_near, keeps_zero_points
        self.spared = dict(spared or {})
        self.why: dict[str, str] = {}
        #: What parameters of the float model were multiplied by before it was converted.
        self.scalings: list[Scaling] = []
        #: Hooks that came after the conversion, by the node whose result they see.
        self._late: dict[str, list[tuple[str, str, int]]] = {}

    def reading(self, module: nn.Module, graph: Graph) -> ConvertedReading:
        if self._mark.changed:
            self.refresh(module)
        why, called = self.why if self.keeps_zero_points else None, self.made(module, graph).lowered.called
        return ConvertedReading(graph, module, called, self.spared, why)

    def __call__(self, module: nn.Module, args: Args, kwargs: Kwargs) -> object:
        if self._mark.changed or self._mark.touched:
            self.refresh(module)
        route = None if kwargs else self._routes.find(args)
        if route is not None:
            try:
                return route.lowered(args)
            except ValueError as error:
                raise _placed(error, self.graphs) from None
        args, kwargs = arguments(module, args, kwargs)
        while True:
            graph, inputs = self.find(module, args, kwargs)
            made = self.made(module, graph)
            arrays = list(inputs.values())
            key = shapes_of(arrays)
            if not self._late and key in made.checked:
                break
            try:
                output = floats(self.run(module, graph, inputs))
            except DoesNotHold:
                # Another one may be for such inputs; where there is none, that is said.
                self.refuse(graph, inputs)
                continue
            if self._late:
                return output
            made.checked.add(key)
            # What Python gives back as a whole, which may be anything, is never noted.
            if not self.is_near or key not in made.checked:
                return output
            # What the program gives from now on: last bits are the same in all calls.
            break
        self._routes.add(graph, module, inputs, made.lowered, made.grids)
        try:
            return made.lowered(arrays)
        except ValueError as error:
            raise _placed(error, [graph]) from None

    def refresh(self, module: nn.Module) -> None:
        """Looks anew at scales, weights and hooks."""
        with self._lock:
            self.renew()
            self._late = _late_hooks(self.graphs, module)
            self.watch(module)

    def grids(self, module: nn.Module, graph: Graph) -> dict[Ref, Grid]:
        return grids_of(graph, module)

    def find(
        self, module: nn.Module, args: Args, kwargs: Kwargs, *, whole: bool = False
    ) -> tuple[Graph, dict[str, Tensor]]:
        for at, graph in enumerate(self.graphs):
            args_now, kwargs_now = _cast(args, kwargs, graph)
            inputs = fitting(
                graph, args_now, kwargs_now, graph.training, module, self.deciding(module, graph)
            )
            if inputs is not None and not self.is_refused(at, inputs):
                return graph, inputs
        raise NotCaptured(
            why_none_fits(
                self.graphs,
                args,
                kwargs,
                "calibrate with such inputs too, so that another graph is there for them",
            )
        )

    def deciding(self, module: nn.Module, graph: Graph) -> Compute:
        # The grids are looked up where something is decided by values, and for graphs that may fit alone.
        return lambda module, node, args, kwargs: compute(
            module, node, args, kwargs, self.made(module, graph).grids
        )

    def run(self, module: nn.Module, graph: Graph, inputs: Mapping[str, Tensor]) -> object:
        grids = self.made(module, graph).grids
        check = checker(graph.guards, graph)

        def each(node: Node, environment: Environment) -> None:
            if check is not None:
                check(node, environment)
            for path, when, key in self._late.get(node.name, ()):
                _call_late(module, path, when, key, environment, node)

        return run(
            graph,
            inputs,
            module,
            compute=lambda node, args, kwargs: compute(module, node, args, kwargs, grids),
            each=each,
        )

    # State

    def own_state(self, module: nn.Module) -> State:
        """Scales and zero points that no module keeps, by the names of their nodes."""
        found = _node_state.entries(self.graphs, module)
        return {name: entry.grid.state[entry.part] for name, entry in found.items()}

    def accept(self, module: nn.Module, name: str, value: object) -> float | int:
        """A scale or a zero point of a node."""
        entry = _node_state.entries(self.graphs, module)[name]
        return entry.grid.accept(entry.part, value)

    def assign(self, module: nn.Module, state: Accepted) -> None:
        """Takes scales and zero points of nodes; looks anew at weights, too."""
        if state:
            self.graphs = _node_state.replaced(self.graphs, module, state)
        self._mark.changed = True

    def for_file(self, module: nn.Module, writer: Writer) -> dict[str, object]:
        """The graphs, as JSON."""
        from quantray.quantization._files import described

        about: dict[str, object] = {"is_near": self.is_near, "spared": self.spared}
        if self.keeps_zero_points:
            about["keeps_zero_points"] = True
        if self.scalings:
            about["scalings"] = _scalings.described(self.scalings)
        return described("converted", self.graphs, self.prefix, writer) | about


def _placed(error: ValueError, graphs: list[Graph]) -> ValueError:
    """An error of the program, which begins with a node's name, and where that stands in the model's code."""
    name, colon, rest = str(error).partition(": ")
    for graph in graphs:
        if colon and name in graph:
            return ValueError(f"{named(graph[name])}: {rest}").with_traceback(error.__traceback__)
    return error


def floats(tree: object) -> object:
    """What a model returns: floats in the place of codes."""
    return map_tree(lambda leaf: leaf.dequantize() if isinstance(leaf, QTensor) else leaf, tree)


def _cast(args: Args, kwargs: Kwargs, graph: Graph) -> tuple[Args, Kwargs]:
    """Arguments in the dtypes that a graph was captured with, where nothing is lost."""
    facts = {name: graph.nodes[name].facts[0] for name in graph.inputs}

    def walk(pattern: object, value: object) -> object:
        if isinstance(pattern, Ref) and is_array(value):
            dtype = facts[pattern.node].dtype
            if value.dtype.kind == "U" == dtype.kind:
                # Shorter texts would be other ones.
                return value
            if value.dtype != dtype and np.can_cast(value.dtype, dtype, "same_kind"):
                return np.asarray(value, dtype)
            if value.dtype.kind in "iu" and dtype.kind in "f":
                return np.asarray(value, dtype)
            return value
        if is_sequence(pattern) and is_sequence(value) and len(pattern) == len(value):
            items = [walk(p, v) for p, v in zip(pattern, value, strict=True)]
            return rebuilt(value, items) if is_tuple(value) else items
        if is_dict(pattern) and is_dict(value):
            return {key: walk(pattern.get(key), v) for key, v in value.items()}
        return value

    return cast("tuple[Args, Kwargs]", (walk(graph.args, args), walk(dict(graph.kwargs), kwargs)))


def why_none_fits(graphs: list[Graph], args: Args, kwargs: Kwargs, cure: str) -> str:
    """What a model was called with, what there are graphs for, and what to do."""
    got = _said(args, kwargs, None)
    lines = [f"the model was not captured for such an input ({got}); it was for:"]
    for graph in graphs:
        guards = "".join(f", where {guard}" for guard in graph.guards)
        lines.append(f"  {_said(graph.args, dict(graph.kwargs), graph)}{guards}")
    lines.append(cure)
    return "\n".join(dict.fromkeys(lines))


def _said(args: Args, kwargs: Kwargs, graph: Graph | None) -> str:
    """What a model is called with, in a line: arrays, or the wires of a graph."""

    def leaf(value: object) -> str:
        if isinstance(value, Ref) and graph is not None:
            known = graph.nodes[value.node].facts[0]
            return f"{known.dtype} ({', '.join(map(str, known.shape))}{',' * (len(known.shape) == 1)})"
        if hasattr(value, "dtype"):
            array = cast("Array", value)
            return f"{array.dtype} {tuple(array.shape)}"
        return repr(value)

    def said(tree: object) -> str:
        if is_sequence(tree):
            return f"({', '.join(map(said, tree))})"
        if is_dict(tree):
            return "{" + ", ".join(f"{key!r}: {said(item)}" for key, item in tree.items()) + "}"
        return leaf(tree)

    return ", ".join([*map(said, args), *(f"{key}={said(value)}" for key, value in kwargs.items())])


def _late_hooks(graphs: list[Graph], module: nn.Module) -> dict[str, list[tuple[str, str, int]]]:
    """Hooks that the graphs do not have: each with the last node of its module's forward."""
    known = {node.value for graph in graphs for node in graph if node.kind in ("tap", "hook")}
    found: dict[str, list[tuple[str, str, int]]] = {}
    for path, each in module.named_modules():
        if each._runner is not None and each is not module:
            continue
        for when, hooks in (("pre", each._pre_hooks), ("post", each._hooks)):
            for key in hooks:
                if (path, when, key) in known:
                    continue
                last = _last_node(graphs, path)
                if last is not None:
                    found.setdefault(last, []).append((path, when, key))
    return found


#: Kinds of nodes that are no result of a module's forward.
_NO_RESULTS = ("parameter", "constant", "int.quantize", "int.dequantize", "input", "tap")


def _last_node(graphs: list[Graph], path: str) -> str | None:
    last = None
    for graph in graphs:
        for node in graph:
            owner = node.kwargs.get("owner")
            names = {node.name.partition("#")[0], node.scope, getattr(owner, "path", None)}
            is_inside = not path or path in names or node.scope.startswith(f"{path}.")
            if is_inside and node.kind not in _NO_RESULTS:
                last = node.name
    return last


def _call_late(
    module: nn.Module, path: str, when: str, key: int, environment: Environment, node: Node
) -> None:
    each = module.get_submodule(path)
    output = environment.values[Ref(node.name)]
    args = tuple(environment.values.get(ref) for ref in node.inputs)
    if isinstance(each, nn.FloatFunctional):
        args = (node.kind.rpartition(".")[2], *args)
    if when == "pre":
        each._pre_hooks[key](each, args)
        return
    changed = each._hooks[key](each, args, output)
    if changed is not None:
        environment.values[Ref(node.name)] = changed
