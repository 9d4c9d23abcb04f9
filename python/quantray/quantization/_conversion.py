"""One model's way from observers to integers: layers are quantized, graphs converted, modules replaced."""

from __future__ import annotations

from typing import cast

import numpy as np

from quantray import nn
from quantray._core import per_channel_affine_float_qparams
from quantray.graph import Graph, Node
from quantray.graph._graph import ordered
from quantray.graph.kinds import LAYERS
from quantray.nn import qat, quantized
from quantray.nn.intrinsic import FusedWeighted
from quantray.nn.qat import FusedQAT
from quantray.nn.qat._weighted import QAT
from quantray.nn.quantized import QUANTIZED_MODULES, Grid
from quantray.nn.quantized._weighted import quantize_weight
from quantray.quantization._converted import Converted
from quantray.quantization._integers import (
    Owner,
)
from quantray.quantization._layers import RELU, Layer, weights_of
from quantray.quantization._prepared import Prepared
from quantray.quantization._replacing import Kept, clean, followed, replaced
from quantray.quantization._settings import is_by_rows
from quantray.quantization._to_integers import ToIntegers
from quantray.quantization.observer._zeros import warn_of_zeros

#: What takes the place of tables that are looked up.
_TABLES: dict[type[nn.Module], type[quantized.Embedding | quantized.EmbeddingBag]] = {
    nn.Embedding: quantized.Embedding,
    nn.EmbeddingBag: quantized.EmbeddingBag,
    qat.Embedding: quantized.Embedding,
    qat.EmbeddingBag: quantized.EmbeddingBag,
}

#: What computes whole sequences, with integers of weights, where its QConfig is one of dynamic quantization.
_RECURRENT: dict[type[nn.Module], type[quantized.dynamic.LSTM | quantized.dynamic.GRU]] = {
    nn.LSTM: quantized.dynamic.LSTM,
    nn.GRU: quantized.dynamic.GRU,
}


class Conversion:
    """One model's way from observers to integers."""

    #: Whether floats are divided by scales, as ONNX's QuantizeLinear does: else inverses multiply them.
    divides = False

    def __init__(self, model: nn.Module, runner: Prepared, graphs: list[Graph]) -> None:
        self.model, self.runner, self.prefix = model, runner, runner.prefix
        self.inner: list[tuple[str, Conversion]] = []
        #: The model of integers, once it is put together.
        self.result: nn.Module | None = None
        #: By home and weight, what the layer becomes and where it is put.
        self.layers: dict[tuple[str, object], tuple[str, nn.Module]] = {}
        self.modules: dict[str, nn.Module] = {}
        #: Layers whose first call has been placed.
        self.placed: set[str] = set()
        #: By an observer's path, which module keeps what it found: the same in all graphs.
        self.owners: dict[str, Owner | None] = {}
        self._graphs = graphs
        self.graphs = [self._converted(graph) for graph in graphs]
        self._convert_tables()
        self._convert_recurrent()

    def reached(self) -> list[nn.Module]:
        """The modules that the graphs come through."""
        found: list[nn.Module] = [self.model]
        for graph in self._graphs:
            for node in graph:
                if node.kind == "layer":
                    home = self.model.get_submodule(node.value.home)
                    found.append(home)
                    if node.scope:
                        found.append(self.model.get_submodule(node.scope))
                elif node.kind == "module":
                    found.append(self.model.get_submodule(node.value))
        return found

    # Graphs

    def _converted(self, graph: Graph) -> Graph:
        return ToIntegers(self, graph).graph

    def _convert_tables(self) -> None:
        """Embeddings whose QConfig asks for rows of integers, each on a grid of its own."""
        for path, module in self.model.named_modules():
            kind = _TABLES.get(type(module))
            if kind is None or path in self.modules:
                continue
            kind_of_float = getattr(module, "float_module", type(module))
            qconfig = self.runner.settings.of_module(path, kind_of_float, self.model)
            weight = None if qconfig is None else qconfig.weight()
            if weight is None:
                continue
            if getattr(weight, "qscheme", None) is per_channel_affine_float_qparams:
                self.modules[path] = kind.from_float(module, dtype=weight.dtype)

    def _convert_recurrent(self) -> None:
        """Recurrent layers whose QConfig has inputs quantized in each call: by the range of each frame."""
        for path, module in self.model.named_modules():
            kind = _RECURRENT.get(type(module))
            if kind is None or path in self.modules:
                continue
            qconfig = self.runner.settings.of_module(path, type(module), self.model)
            if qconfig is None or not getattr(qconfig.activation(), "is_dynamic", False):
                continue
            name = ".".join(part for part in (self.prefix, path) if part) or "model"
            try:
                per_channel = hasattr(qconfig.weight(), "ch_axis")
                self.modules[path] = kind.from_float(module, per_channel=per_channel)
            except (ValueError, TypeError) as error:
                raise type(error)(f"{name} ({module._get_name()}): {error}") from None

    def grid(self, path: str) -> Grid:
        """The grid that an observer has found."""
        observer = self.model.get_submodule(path)
        full = ".".join(part for part in (self.prefix, path) if part)
        try:
            grid = Grid.of(observer)
            warn_of_zeros(getattr(observer, "activation_post_process", observer), full, stacklevel=4)
            return grid
        except (ValueError, RuntimeError) as error:
            raise ValueError(f"{full}: {error}") from None

    def is_integer(self, node: Node) -> bool:
        """Whether a layer that takes codes becomes one of integers; others may take codes of another one."""
        return node.value.fake is not None or self.runner.settings.of(node, self.model) is not None

    def layer(self, node: Node, graph: Graph) -> str:
        """The path of the layer of integers that a layer's node becomes; its weight is quantized once."""
        layer: Layer = node.value
        key = layer.home, node.args[1]
        if key in self.layers:
            return self.layers[key][0]
        name = ".".join(part for part in (self.prefix, layer.home) if part) or "model"
        home = self.model.get_submodule(layer.home)
        weight, bias = layer.weight_and_bias(
            self.model, weights_of(node, graph, self.model), dict(node.kwargs)
        )
        kind = QUANTIZED_MODULES[getattr(nn, LAYERS[layer.kind])]
        if layer.fake is not None:
            observer = self.model.get_submodule(layer.fake)
        else:
            qconfig = self.runner.settings.of(node, self.model)
            assert qconfig is not None
            observer = qconfig.weight()
            observer(weight)
        try:
            codes = quantize_weight(weight, observer, kind.axis)
            weight_observer = getattr(observer, "activation_post_process", observer)
            warn_of_zeros(weight_observer, f"{name}.weight" if name != "model" else "weight", stacklevel=4)
            bias = None if bias is None else np.asarray(bias, np.float32)
            if is_by_rows(node, self.runner.settings.of(node, self.model)):
                made = quantized.dynamic.Linear.of(codes, bias, relu=layer.limits == RELU)
            else:
                made = kind.of(
                    cast("nn.Module", LayerSettings({**dict(node.kwargs), "padding_mode": "zeros"})),
                    codes,
                    bias,
                    grid=None,
                    input_grid=None,
                    weight_range=(int(observer.quant_min), int(observer.quant_max)),
                )
        except (ValueError, TypeError) as error:
            raise type(error)(f"{name} ({home._get_name()}): {error}") from None
        path = self.path_of(node, graph)
        self.layers[key] = path, made
        self.modules[path] = made
        return path

    def path_of(self, node: Node, graph: Graph) -> str:
        """Where a layer of integers is put: in the place of its own, or inside of what does more."""
        home: str = node.value.home
        is_only = _is_only(node, self.model.get_submodule(home))
        return home if is_only else self._beside(home, node, graph)

    def _beside(self, home: str, node: Node, graph: Graph) -> str:
        """A name inside of a module that does more than this layer: that of its parameter."""
        needed = ordered(graph, [node.args[1]])
        keys = [n.value[1] for n in needed.values() if n.kind == "parameter"]
        name = f"{(keys[0] if keys else node.value.kind)}_quantized"
        taken = {path for path, _ in self.layers.values()}
        path, count = f"{home}.{name}" if home else name, 1
        while path in taken:
            count += 1
            path = f"{home}.{name}_{count}" if home else f"{name}_{count}"
        return path

    # Modules

    def put(self) -> nn.Module:
        """Puts the modules of integers in their places, and the graphs in that of `forward`."""
        model = self.model
        self.runner.detach(model)
        for path, inner in self.inner:
            assert inner.result is not None
            self.modules[path] = inner.result
        kept = Kept(self.graphs)
        for path, module in list(model.named_modules(remove_duplicate=False)):
            if not path or path in self.modules:
                continue
            if kept.is_absorbed(path, module, self._graphs):
                self.modules[path] = nn.Identity()
        self.graphs = [followed(graph, self.modules) for graph in self.graphs]
        model = replaced(model, self.modules)
        clean(model, self.graphs)
        runner = self.made_runner()
        model.__dict__["_runner"] = runner
        runner.refresh(model)
        self.result = model
        return model

    def made_runner(self) -> Converted:
        """What runs the model by its graphs."""
        settings = self.runner.settings
        made = Converted(self.graphs, self.prefix, not self.runner.is_trained, settings.spared)
        made.scalings = settings.scalings
        return made


class LayerSettings:
    """A layer's settings as attributes, which is all that is asked of the layer of floats."""

    def __init__(self, settings: dict[str, object]) -> None:
        self.__dict__.update({"output_padding": 0, **settings})


def _is_only(node: Node, home: nn.Module) -> bool:
    """Whether a module does nothing but this layer, so that a layer of integers can take its place."""
    if isinstance(home, (FusedWeighted, FusedQAT, QAT)) or type(home) in QUANTIZED_MODULES:
        return True
    return node.name.partition("#")[0] == node.value.home
