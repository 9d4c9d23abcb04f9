"""The two graphs that are compared: of a float model, and of what became of it.

Each side answers the same questions: which graph is for these arguments, what a node computes, and which
wires carry codes. Nothing here asks for a class of module.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Generator, Mapping, Sequence
from typing import TypeVar, cast

from quantray import nn
from quantray._core import QTensor
from quantray._typing import Args, Array, Floats, Kwargs, Tensor
from quantray.graph import Graph, Node, Ref, normalize
from quantray.graph._arguments import arguments
from quantray.graph._run import Environment, call, run
from quantray.graph._runner import GraphRunner
from quantray.nn.quantized import Grid
from quantray.quantization._batches import as_arguments, check_arguments, check_model
from quantray.quantization._converted import Converted, scalings_of
from quantray.quantization._dynamic_runner import Dynamic
from quantray.quantization._fusing import collapse, make_layers
from quantray.quantization._integers import Outputs, compute, grids_of
from quantray.quantization._layers import compute_layer
from quantray.quantization._prepared import Prepared, prepared_of
from quantray.quantization._scalings import scaled
from quantray.quantization._shown import has_codes
from quantray.quantization.convert import convert

T = TypeVar("T")


class Side:
    """A model and its graphs, in evaluation mode.

    Attributes
    ----------
    model : Module
    """

    def __init__(self, model: nn.Module) -> None:
        self.model = model

    def graphs(self) -> list[Graph]:
        """The graphs that are known so far."""
        raise NotImplementedError

    def find(self, batch: object) -> tuple[Graph, dict[str, Tensor]]:
        """The graph for a batch, and its inputs by their names."""
        raise NotImplementedError

    def compute(self, graph: Graph, node: Node, args: Args, kwargs: Kwargs) -> Outputs:
        """One node's result."""
        raise NotImplementedError

    def grids(self, graph: Graph) -> Mapping[Ref, Grid]:
        """The grid of each wire of codes."""
        return {}

    def run(
        self,
        graph: Graph,
        inputs: Mapping[str, Tensor],
        each: Callable[[Node, Environment], None] | None = None,
        *,
        part: Graph | None = None,
    ) -> object:
        """What a graph, or a part of it, gives; `each` is called after each node."""
        return run(
            graph if part is None else part,
            inputs,
            self.model,
            compute=lambda node, args, kwargs: self.compute(graph, node, args, kwargs),
            each=each,
        )


class _Captured(GraphRunner):
    """Captures a model without being part of it: the model is left as it is.

    Captures of the same model by somebody else are `known`, and used where they are for the arguments.
    """

    def __init__(self, has_layers: bool, known: Sequence[Graph] = ()) -> None:
        super().__init__()
        self._has_layers, self._known = has_layers, known

    def capture(self, module: nn.Module, args: Args, kwargs: Kwargs, *, whole: bool = False) -> Graph:
        for graph in () if whole else self._known:
            made = self.passes(graph, module)
            if self.inputs_of(made, module, args, kwargs) is not None:
                return made
        return super().capture(module, args, kwargs, whole=whole)

    def passes(self, graph: Graph, module: nn.Module) -> Graph:
        found = normalize(graph)
        return collapse(make_layers(found, module)) if self._has_layers else found

    def watch(self, module: nn.Module) -> None:
        self._mark.changed = self._mark.touched = False


class Float(Side):
    """A float model, captured here.

    Parameters
    ----------
    model : Module
    has_layers : bool
        Whether layers are one node with the normalization and the ReLU after them, as converted models have
        them, and formulas one node.
    known : sequence of Graph
        What somebody has captured of it, or of a copy, already.
    """

    def __init__(self, model: nn.Module, has_layers: bool = True, known: Sequence[Graph] = ()) -> None:
        super().__init__(model)
        self._runner = _Captured(has_layers, known)

    def graphs(self) -> list[Graph]:
        return self._runner.graphs

    def find(self, batch: object) -> tuple[Graph, dict[str, Tensor]]:
        args = as_arguments(batch)
        check_arguments(self.model, args)
        with evaluated(self.model):
            return self._runner.find(self.model, *arguments(self.model, args, {}))

    def compute(self, graph: Graph, node: Node, args: Args, kwargs: Kwargs) -> Outputs:
        match node.kind:
            case "layer":
                return compute_layer(self.model, node, args, kwargs)
            case "formula":
                return node.value[0](args[0])
            case _:
                return call(node, args, kwargs, self.model)


class Trained(Side):
    """A model from `prepare_qat`: its floats pass fake quantization, as they do in training."""

    def __init__(self, model: nn.Module, runner: Prepared) -> None:
        super().__init__(model)
        self._runner = runner

    def graphs(self) -> list[Graph]:
        return [graph for graph in self._runner.graphs if not graph.training]

    def find(self, batch: object) -> tuple[Graph, dict[str, Tensor]]:
        args = as_arguments(batch)
        check_arguments(self.model, args)
        with evaluated(self.model):
            return self._runner.find(self.model, *arguments(self.model, args, {}))

    def compute(self, graph: Graph, node: Node, args: Args, kwargs: Kwargs) -> Outputs:
        with evaluated(self.model):
            return self._runner.compute(self.model, node, args, kwargs)


class Integers(Side):
    """A model from `convert`."""

    def __init__(self, model: nn.Module, runner: Converted) -> None:
        super().__init__(model)
        self._runner = runner
        self._grids: dict[int, Mapping[Ref, Grid]] = {}

    def graphs(self) -> list[Graph]:
        return self._runner.graphs

    def find(self, batch: object) -> tuple[Graph, dict[str, Tensor]]:
        return self._runner.find(self.model, *arguments(self.model, as_arguments(batch), {}))

    def compute(self, graph: Graph, node: Node, args: Args, kwargs: Kwargs) -> Outputs:
        return compute(self.model, node, args, kwargs, self.grids(graph))

    def grids(self, graph: Graph) -> Mapping[Ref, Grid]:
        if id(graph) not in self._grids:
            self._grids[id(graph)] = grids_of(graph, self.model)
        return self._grids[id(graph)]


class InCalls(Side):
    """A model from `quantize_dynamic`: floats on all wires, integers inside of its modules."""

    def __init__(self, model: nn.Module, runner: GraphRunner) -> None:
        super().__init__(model)
        self._runner = runner

    def graphs(self) -> list[Graph]:
        return [graph for graph in self._runner.graphs if not graph.training]

    def find(self, batch: object) -> tuple[Graph, dict[str, Tensor]]:
        if self._runner._mark.changed:
            self._runner.forget(self.model)
        with evaluated(self.model):
            return self._runner.find(self.model, *arguments(self.model, as_arguments(batch), {}))

    def compute(self, graph: Graph, node: Node, args: Args, kwargs: Kwargs) -> Outputs:
        return call(node, args, kwargs, self.model)


@contextlib.contextmanager
def evaluated(model: nn.Module) -> Generator[None]:
    """A model in evaluation mode, and as it was afterwards."""
    modes = [(each, each.training) for each in model.modules() if each.training]
    for each, _ in modes:
        each.__dict__["training"] = False
    try:
        yield
    finally:
        for each, mode in modes:
            each.__dict__["training"] = mode


def quantized_side(int8: nn.Module) -> Side:
    """The side of a quantized model: a prepared one as what it would become.

    Raises
    ------
    TypeError, ValueError
        It is no quantized model, or has seen no data.
    """
    check_model(int8)
    runner = int8._runner
    if prepared_of(int8) is not None:
        int8 = convert(int8)
        runner = int8._runner
    if isinstance(runner, Converted):
        return Integers(int8, runner)
    if isinstance(runner, Dynamic):
        return InCalls(int8, runner)
    if not has_codes(int8):
        raise ValueError(
            "int8 must be quantized, from prepare, convert, quantize or quantize_dynamic; got a float model "
            f"({type(int8).__name__})"
        )
    return InCalls(int8, _Captured(False))


def float_side(model: nn.Module, other: Side, known: Sequence[Graph] = ()) -> Side:
    """The side of what a quantized model was made from; `known` is what was captured of it already.

    Raises
    ------
    TypeError, ValueError
        It is no model of floats.
    """
    check_model(model)
    runner = prepared_of(model)
    if runner is not None and runner.is_trained:
        return Trained(model, runner)
    if runner is not None or model._runner is not None or has_codes(model):
        raise ValueError(
            "model must be the float model, or the one that prepare_qat has made; got one that is "
            f"{'prepared' if runner is not None else 'quantized'} already"
        )
    scalings = scalings_of(other.model)
    if scalings:
        # Channels were made alike before it was quantized: the same function, of other weights.
        model, known = scaled(model, scalings), ()
    return Float(model, has_layers=isinstance(other, Integers), known=known)


def as_floats(value: T | QTensor) -> T | Floats:
    """What is on a wire, as floats."""
    return value.dequantize() if isinstance(value, QTensor) else value


def value_at(side: Side, graph: Graph, inputs: Mapping[str, Tensor], ref: Ref) -> Array:
    """What is on one wire, as floats: what it does not depend on is not computed."""
    part = graph.but(output=ref, guards=()).pruned()
    return as_floats(cast("Tensor", side.run(graph, inputs, part=part)))


def exact_values(
    side: Side, graph: Graph, inputs: dict[str, Tensor], wanted: set[Ref] | None
) -> tuple[dict[Ref, Array], object]:
    """The values on some wires of a float graph, or on all of them; and what it returns."""
    values: dict[Ref, Array] = {}

    def each(node: Node, environment: Environment) -> None:
        for out in range(max(len(node.facts), 1)):
            ref = Ref(node.name, out)
            if (wanted is None or ref in wanted) and ref in environment.values:
                values[ref] = environment.values[ref]

    return values, side.run(graph, inputs, each)
