"""A model whose file has the grids and the integers already, as a model of integers."""

# Arguments of nodes are trees of whatever functions take: their leaves have no type that could be said.
# pyright: reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportUnknownMemberType=false

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, cast

import numpy as np

from quantray import nn
from quantray._core import QTensor
from quantray._typing import Array, Floats
from quantray.graph import Graph, Node, Ref
from quantray.graph._run import parameter_of
from quantray.graph.kinds import LAYERS
from quantray.nn.quantized import QUANTIZED_MODULES, Grid
from quantray.onnx._integers._places import Placed
from quantray.onnx._integers._runner import Loaded
from quantray.onnx._stored import Stored
from quantray.quantization._conversion import Conversion, LayerSettings
from quantray.quantization._layers import Layer
from quantray.quantization._replacing import followed, replaced

if TYPE_CHECKING:
    from quantray.quantization._prepared import Prepared


class _NoSettings:
    """Nobody has asked for anything: the file says it all."""

    prefix = ""

    @property
    def settings(self) -> _NoSettings:
        """Itself."""
        return self

    def of(self, node: Node, model: nn.Module) -> None:
        """No QConfig of a node."""

    def of_module(self, path: str, kind: object, model: nn.Module) -> None:
        """No QConfig of a module."""

    def detach(self, model: nn.Module) -> None:
        """It is on no module."""


class Weights:
    """Parameters as the integers of a file.

    Parameters
    ----------
    model : Module
    stored : mapping of str to Stored
        By the paths of parameters.
    """

    def __init__(self, model: nn.Module, stored: Mapping[str, Stored]) -> None:
        self._model, self._stored = model, stored
        self._known: dict[str, QTensor | None] = {}

    def _stored_as(self, source: Node) -> Stored | None:
        return self._stored.get(".".join(source.value)) if source.kind == "parameter" else None

    def of(self, node: Node, graph: Graph) -> QTensor | None:
        """The integers of a layer's weight; None where it is floats, or has other grids than layers have."""
        layer: Layer = node.value
        source = graph.nodes[node.args[1].node]
        stored = self._stored_as(source)
        if layer.norm is not None or layer.fake is not None or stored is None:
            return None
        bias = node.args[2] if len(node.args) > 2 else None
        if isinstance(bias, Ref) and graph.nodes[bias.node].kind != "parameter":
            return None
        if source.name not in self._known:
            weight = parameter_of(self._model, source)
            axis = QUANTIZED_MODULES[getattr(nn, LAYERS[layer.kind])].axis
            self._known[source.name] = stored.weight_for(np.asarray(weight), axis)
        return self._known[source.name]

    def array(self, node: Node) -> Array:
        """The array of a parameter."""
        return np.asarray(parameter_of(self._model, node))

    def grid_of(self, node: Node) -> Grid | None:
        """The grid that a parameter's array is on, in the file."""
        stored = self._stored_as(node)
        return None if stored is None else stored.grid_for(self.array(node))

    def range(self, node: Node, graph: Graph) -> tuple[int, int]:
        """The least and the greatest integer of the type of a layer's weight."""
        stored = self._stored_as(graph.nodes[node.args[1].node])
        assert stored is not None
        return stored.range


def is_quantized(model: nn.Module, path: str) -> bool:
    """Whether a module of integers is at some path."""
    return type(model._submodule(path)).__module__.startswith("quantray.nn.quantized")


class FileConversion(Conversion):
    """The way from a graph with a file's grids to integers.

    Parameters
    ----------
    model : Module
    weights : Weights
    found : Placed
        A graph with observed wires, and their grids.
    into : Module, optional
        A model that other graphs were put into: its layers are taken where they are there.
    """

    divides = True

    def __init__(
        self,
        model: nn.Module,
        weights: Weights,
        found: Placed,
        into: nn.Module | None = None,
    ) -> None:
        self.weights, self.found, self.into = weights, found, into
        #: By the names of nodes, why the file's grids are none for integers.
        self.why: dict[str, str] = {}
        super().__init__(model, cast("Prepared", _NoSettings()), [found.graph])

    def grid(self, path: str) -> Grid:
        return self.found.grids[path]

    def is_integer(self, node: Node) -> bool:
        return node.name in self.found.inputs

    def layer(self, node: Node, graph: Graph) -> str:
        layer: Layer = node.value
        key = layer.home, node.args[1]
        if key in self.layers:
            return self.layers[key][0]
        path = self.path_of(node, graph)
        if self.into is not None and is_quantized(self.into, path):
            made = self.into.get_submodule(path)
        else:
            weight = self.weights.of(node, graph)
            assert weight is not None
            bias = node.args[2] if len(node.args) > 2 else None
            if bias is not None:
                bias = np.asarray(parameter_of(self.model, graph.nodes[bias.node]))
            kind = QUANTIZED_MODULES[getattr(nn, LAYERS[layer.kind])]
            settings: dict[str, object] = {**dict(node.kwargs), "padding_mode": "zeros"}
            factors = self.found.factors.get(node.name)
            if factors is not None and factors.zeros is not None:
                settings["input_zero_points"] = factors.zeros
            if factors is not None:
                weight, bias = factors.folded(weight, bias, kind.axis)
            if bias is not None:
                bias = exact_bias(bias, weight, self.found.inputs[node.name])
            made = kind.of(
                cast("nn.Module", LayerSettings(settings)),
                weight,
                bias,
                grid=None,
                input_grid=None,
                weight_range=self.weights.range(node, graph),
            )
        self.layers[key] = path, made
        self.modules[path] = made
        return path

    def made_runner(self) -> Loaded:
        return Loaded(self.graphs, self.prefix)

    def join(self, model: nn.Module) -> list[Graph]:
        """Graphs for a model that other graphs of it were put into; modules that it lacks are put there."""
        more = {path: new for path, new in self.modules.items() if not is_quantized(model, path)}
        replaced(model, more)
        now = {path: model.get_submodule(path) for path in self.modules}
        return [followed(graph, now) for graph in self.graphs]


def exact_bias(bias: Array, weight: QTensor, grid: Grid) -> Floats:
    """A bias whose quotient by the scale of the products is a whole number where the file's is.

    Files add it as an integer to the sums. Layers divide it by that scale, in float32; the nearest float of
    the real quotient may be none of a whole number.
    """
    is_per_channel = str(weight.qscheme()).endswith("per_channel_affine")
    scales = np.asarray(weight.q_per_channel_scales() if is_per_channel else weight.q_scale(), np.float32)
    steps = np.broadcast_to(np.float32(grid.scale) * scales, bias.shape)
    with np.errstate(all="ignore"):
        wanted = np.rint(bias.astype(np.float64) / steps).astype(np.float32)
        is_whole = np.isclose(wanted * steps.astype(np.float64), bias, rtol=3e-7, atol=0)
        near, made = (wanted * steps.astype(np.float64)).astype(np.float32), bias
        for ends in (np.inf, -np.inf, None):
            candidate = near if ends is None else np.nextafter(near, np.float32(ends))
            made = np.where(is_whole & (candidate / steps == wanted), candidate, made)
    return np.asarray(made, np.float32)
