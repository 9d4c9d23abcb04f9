"""A model of integers: it runs by graphs whose nodes know their grids."""

from __future__ import annotations

from typing import Any

import numpy as np

from quantray import nn
from quantray._core import QTensor
from quantray.graph import Graph, Node, Ref
from quantray.graph._graph import map_tree, wires
from quantray.graph._run import Environment, holds, run
from quantray.graph._runner import _is_of_inputs, as_arrays, fitting
from quantray.nn.quantized._grid import Grid
from quantray.quantization._integers import compute, grids_of
from quantray.quantization._lowering import Lowered, lower
from quantray.quantization._reading_converted import ConvertedReading
from quantray.quantization._shown import Shown


class Converted(Shown):
    """Runs a converted model.

    Attributes
    ----------
    graphs : list of Graph
        In integers, one for each kind of input that the prepared model has seen.
    """

    def __init__(self, graphs: list[Graph], prefix: str = "") -> None:
        super().__init__(prefix)
        self.graphs = graphs
        #: By the graph's place, what was made of it for the module as it is now.
        self._made: dict[int, _Made] = {}
        #: The program for one array of a shape and dtype: what most calls are.
        self._direct: dict[Any, Any] = {}
        #: Hooks that came after the conversion, by the node whose result they see.
        self._late: dict[str, list[tuple[str, str, int]]] = {}

    def reading(self, module: nn.Module, graph: Graph) -> ConvertedReading:
        if self._mark.changed:
            self.refresh(module)
        return ConvertedReading(graph, module, self.made(module, graph).lowered.called)

    def __getstate__(self) -> dict[str, Any]:
        # Programs are made anew for the CPU that they run on.
        return {**super().__getstate__(), "_made": {}, "_direct": {}}

    def __call__(self, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        if self._mark.changed or self._mark.touched:
            self.refresh(module)
        if len(args) == 1 and not kwargs and type(args[0]) is np.ndarray:
            x = args[0]
            program = self._direct.get((x.shape, x.dtype))
            if program is not None:
                return program(x)[0]
        args, kwargs = as_arrays(args), as_arrays(kwargs)
        graph, inputs = self.find(module, args, kwargs)
        made = self.made(module, graph)
        arrays = list(inputs.values())
        key = tuple((a.shape, a.dtype) for a in arrays)
        if self._late or key not in made.checked:
            output = floats(self.run(module, graph, inputs))
            if not self._late:
                made.checked.add(key)
            return output
        decides = any(isinstance(guard.subject, Ref) for guard in graph.guards)
        if len(arrays) == 1 and len(args) == 1 and not kwargs and made.lowered.is_single and not decides:
            self._direct[key[0]] = made.lowered.program
        return made.lowered(arrays)

    def refresh(self, module: nn.Module) -> None:
        """Looks anew at scales, weights and hooks."""
        with self._lock:
            self._made.clear()
            self._direct.clear()
            self._late = _late_hooks(self.graphs, module)
            self.watch(module)

    def made(self, module: nn.Module, graph: Graph) -> _Made:
        """The grids and the program of a graph, for the module as it is now."""
        at = next(i for i, each in enumerate(self.graphs) if each is graph)
        made = self._made.get(at)
        if made is None:
            with self._lock:
                grids = grids_of(graph, module)
                made = self._made[at] = _Made(grids, lower(graph, module, grids))
                if any(node.kind == "python" and not node.value for node in graph):
                    # It may give back anything, and not arrays alone.
                    made.checked = _Nothing()
                elif all(isinstance(g.subject, Ref) or _is_of_inputs(g.subject, graph) for g in graph.guards):
                    made.checked = _Everything()
        return made

    def find(
        self, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], *, whole: bool = False
    ) -> tuple[Graph, dict[str, Any]]:
        for graph in self.graphs:
            args_now, kwargs_now = _cast((args, kwargs), graph)
            inputs = fitting(graph, args_now, kwargs_now, graph.training, module)
            if inputs is not None:
                return graph, inputs
        raise ValueError(_why_none_fits(self.graphs, args, kwargs))

    def run(self, module: nn.Module, graph: Graph, inputs: Any) -> Any:
        grids = self.made(module, graph).grids

        def each(node: Node, environment: Environment) -> None:
            for guard in graph.guards:
                if (
                    wires(guard.subject)
                    and wires(guard.subject)[-1].node == node.name
                    and not holds(guard, environment)
                ):
                    raise ValueError(
                        f"the model was captured where {guard}, which does not hold for this input"
                    )
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

    def own_state(self, module: nn.Module) -> dict[str, Any]:
        """Scales and zero points that no module keeps, by the names of their nodes."""
        found: dict[str, Any] = {}
        for node in (node for graph in self.graphs for node in graph):
            grid: Grid | None = node.kwargs.get("grid")
            if grid is not None and node.kwargs.get("owner") is None:
                found[f"{node.name}.scale"] = np.float32(grid.scale).reshape(())
                found[f"{node.name}.zero_point"] = np.array(grid.zero_point)
        return found

    def assign(self, state: dict[str, Any]) -> None:
        """Takes scales and zero points of nodes."""
        made: list[Graph] = []
        for graph in self.graphs:
            nodes = dict(graph.nodes)
            for name, node in nodes.items():
                grid: Grid | None = node.kwargs.get("grid")
                if grid is not None and node.kwargs.get("owner") is None and f"{name}.scale" in state:
                    new = grid._replace(
                        scale=float(state[f"{name}.scale"]), zero_point=int(state[f"{name}.zero_point"])
                    )
                    nodes[name] = node.but(kwargs={**node.kwargs, "grid": new})
            made.append(graph.but(nodes=nodes))
        self.graphs = made
        self._mark.changed = True


class _Made:
    """What a graph has become for a module."""

    def __init__(self, grids: dict[Ref, Grid], lowered: Lowered) -> None:
        self.grids, self.lowered = grids, lowered
        #: Shapes that what the graph took for granted was looked at for, node by node.
        self.checked: Any = set()


class _Everything:
    """A set that has all."""

    def __contains__(self, item: Any) -> bool:
        return True

    def add(self, item: Any) -> None:
        """It is there already."""


class _Nothing:
    """A set that stays empty."""

    def __contains__(self, item: Any) -> bool:
        return False

    def add(self, item: Any) -> None:
        """It is not kept."""


def floats(tree: Any) -> Any:
    """What a model returns: floats in the place of codes."""
    return map_tree(lambda leaf: leaf.dequantize() if isinstance(leaf, QTensor) else leaf, tree)


def _cast(given: Any, graph: Graph) -> Any:
    """Arguments in the dtypes that a graph was captured with, where nothing is lost."""
    facts = {name: graph.nodes[name].facts[0] for name in graph.inputs}

    def walk(pattern: Any, value: Any) -> Any:
        if isinstance(pattern, Ref) and isinstance(value, (np.ndarray, np.generic)):
            dtype = facts[pattern.node].dtype
            if value.dtype != dtype and np.can_cast(value.dtype, dtype, "same_kind"):
                return np.asarray(value, dtype)
            if value.dtype.kind in "iu" and dtype.kind in "f":
                return np.asarray(value, dtype)
            return value
        if (
            isinstance(pattern, (tuple, list))
            and isinstance(value, (tuple, list))
            and len(pattern) == len(value)
        ):
            return type(value)(walk(p, v) for p, v in zip(pattern, value, strict=True))
        if isinstance(pattern, dict) and isinstance(value, dict):
            return {key: walk(pattern.get(key), v) for key, v in value.items()}
        return value

    return walk(graph.args, given[0]), walk(dict(graph.kwargs), given[1])


def _why_none_fits(graphs: list[Graph], args: Any, kwargs: Any) -> str:
    from quantray.graph._graph import leaves

    got = ", ".join(
        f"{leaf.dtype} {tuple(leaf.shape)}" if hasattr(leaf, "shape") else repr(leaf)
        for leaf in leaves((args, kwargs))
    )
    lines = [f"the model was not captured for such an input ({got}); it was for:"]
    for graph in graphs:
        facts = ", ".join(
            f"{n}: {graph.nodes[n].facts[0].dtype} {graph.nodes[n].facts[0].shape}" for n in graph.inputs
        )
        guards = "".join(f", where {guard}" for guard in graph.guards)
        lines.append(f"  {facts}{guards}")
    lines.append("calibrate with such inputs too, so that another graph is there for them")
    return "\n".join(lines)


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


def _last_node(graphs: list[Graph], path: str) -> str | None:
    last = None
    for graph in graphs:
        for node in graph:
            owner = node.kwargs.get("owner")
            names = {node.name.partition("#")[0], node.scope, getattr(owner, "path", None)}
            if path in names or (path and node.scope.startswith(f"{path}.")) or not path:
                if node.kind not in (
                    "parameter",
                    "constant",
                    "int.quantize",
                    "int.dequantize",
                    "input",
                    "tap",
                ):
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
