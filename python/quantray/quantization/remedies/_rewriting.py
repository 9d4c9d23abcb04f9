"""A copy of a model whose layers are read and written through its graph, whatever its modules are."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Generic, NamedTuple, TypeVar

import numpy as np

from quantray import nn
from quantray._typing import Array
from quantray.graph import Graph, Node, Ref
from quantray.graph._run import Environment
from quantray.quantization._batches import Batch, as_batches, check_model
from quantray.quantization._layers import Layer, weights_of
from quantray.quantization._settings import Settings
from quantray.quantization._sides import Float, Side
from quantray.quantization.observer._types import PER_CHANNEL
from quantray.quantization.qconfig import QConfig
from quantray.quantization.qconfig_mapping import QConfigMapping, default_quantize_mapping

M_co = TypeVar("M_co", bound=nn.Module, covariant=True)


class Place(NamedTuple):
    """Where an array of a layer lives: a module's path and the name there; whether it lies transposed."""

    path: str
    key: str
    is_turned: bool = False


class WeightScheme(NamedTuple):
    """How the weight of a layer is to be quantized."""

    code_range: tuple[int, int]
    per_channel: bool
    qconfig: QConfig


class Rewriting(Generic[M_co]):
    """A copy of a model, its layers, and how they are quantized.

    Parameters
    ----------
    model : Module
        Of floats. It is copied.
    batches : iterable
        What it is called with; the first one shows its graph.
    qconfig_mapping : QConfigMapping or QConfig, optional
        By default what the model brings along: its `qconfig_mapping`, or the default one.
    known : sequence of Graph
        What somebody has captured of the model already.

    Raises
    ------
    TypeError, ValueError
        For what is no float model, and for no batches.
    """

    def __init__(
        self,
        model: M_co,
        batches: Iterable[Batch],
        qconfig_mapping: QConfig | QConfigMapping | None = None,
        transform: Callable[[Batch], object] | None = None,
        known: Sequence[Graph] = (),
    ) -> None:
        check_model(model)
        if model._runner is not None:
            raise ValueError("model must be a float model, got one that is prepared or quantized already")
        self.model = model.copy()
        self.model.eval()
        given = as_batches(batches)
        self._given: Iterable[object] = list(given) if iter(given) is given else given
        self._transform: Callable[..., object] | None = transform
        first = next(iter(self.batches()), None)
        if first is None:
            raise ValueError("batches must hold at least one batch, got none")
        self.first = first
        self.side: Side
        self.graph: Graph
        self._capture(known)
        self.mapping = mapping_of(self.model, qconfig_mapping)
        self.settings = Settings(self.model, self.mapping, default_quantize_mapping())
        #: Why layers were left as they are.
        self.skipped: dict[str, str] = {}

    def _capture(self, known: Sequence[Graph] = ()) -> None:
        """Reads the model anew: a bias that was not there is one more wire."""
        self.side = Float(self.model, known=known)
        self.graph = self.side.find(self.first)[0]
        self.layers = {node.name: node for node in self.graph if node.kind == "layer"}
        self.users = self.graph.users()
        self._calls = self._count_calls()

    def batches(self) -> Iterable[object]:
        """The model's arguments, batch by batch; as often as it is asked for."""
        for batch in self._given:
            yield batch if self._transform is None else self._transform(batch)

    # Weights

    def place(self, ref: object) -> Place | None:
        """Where the array of a wire lives; None where it is computed."""
        if not isinstance(ref, Ref):
            return None
        node = self.graph.nodes[ref.node]
        if node.kind == "parameter":
            path, key = node.value
            return Place(path, key)
        if node.kind == "transpose" and node.inputs:
            inner = self.graph.nodes[node.inputs[0].node]
            if inner.kind == "parameter" and len(node.facts[0].shape) == 2:
                path, key = inner.value
                return Place(path, key, True)
        return None

    def _count_calls(self) -> dict[Place, int]:
        found: dict[Place, int] = {}
        for node in self.layers.values():
            place = self.place(node.args[1])
            if place is not None:
                found[place] = found.get(place, 0) + 1
        return found

    def is_writable(self, name: str) -> bool:
        """Whether a layer's weight is its own, which nothing else reads, and can be replaced."""
        ref = self.layers[name].args[1]
        place = self.place(ref)
        if place is None or self._calls[place] > 1:
            return False
        inner = self.graph.nodes[ref.node].inputs if place.is_turned else ()
        return all(len(self.users.get(each, ())) == 1 for each in (ref, *inner))

    def weight_and_bias(self, name: str) -> tuple[Array, Array | None]:
        """A layer's weight and bias, the normalization after it folded in."""
        node = self.layers[name]
        layer: Layer = node.value
        args = weights_of(node, self.graph, self.model)
        return layer.weight_and_bias(self.model, args, dict(node.kwargs))

    def write(self, name: str, weight: Array, bias: Array | None = None) -> bool:
        """Replaces what `weight_and_bias` gives; False where that cannot be.

        A normalization after the layer multiplies by 1 and adds nothing from then on, but for a bias that
        the layer itself has no place for.
        """
        node = self.layers[name]
        place, layer = self.place(node.args[1]), node.value
        if place is None or self._calls[place] > 1:
            self.skipped[name] = "its weight is shared, or computed"
            return False
        bias_place = self.place(node.args[2]) if node.args[2] is not None else None
        home = self.model.get_submodule(place.path)
        if bias is not None and bias_place is None and layer.norm is None:
            if node.args[2] is not None or "bias" not in home._parameters:
                self.skipped[name] = "it has no bias of its own"
                return False
            home.register_parameter("bias", np.asarray(bias, np.float32))
            self._capture()
        weight = np.asarray(weight, np.float32)
        setattr(home, place.key, np.ascontiguousarray(weight.T if place.is_turned else weight))
        if bias_place is not None and bias is not None:
            target = self.model.get_submodule(bias_place.path)
            setattr(target, bias_place.key, np.asarray(bias, np.float32))
        if layer.norm is not None:
            self._neutral(layer.norm, bias if bias_place is None else None)
        return True

    def _neutral(self, path: str, bias: Array | None) -> None:
        norm = self.model.get_submodule(path)
        count = np.shape(norm.running_mean)
        norm.running_var = np.full(count, 1 - norm.eps, np.float32)
        norm.running_mean = np.zeros(count, np.float32)
        if norm._parameters.get("weight") is not None:
            norm.weight = np.ones(count, np.float32)
        if norm._parameters.get("bias") is not None:
            norm.bias = np.zeros(count, np.float32) if bias is None else np.asarray(bias, np.float32)
        elif bias is not None:
            norm.running_mean = -np.asarray(bias, np.float32)

    def weight_axis(self, name: str) -> int:
        """The axis of a layer's weight that its outputs are on."""
        return 1 if "transpose" in self.layers[name].value.kind else 0

    # Settings

    def scheme(self, name: str) -> WeightScheme | None:
        """How a layer's weight is to be quantized; None where it stays in float."""
        qconfig = self.settings.of(self.layers[name], self.model)
        if qconfig is None:
            return None
        observer = qconfig.weight()
        inner = getattr(observer, "activation_post_process", observer)
        if not hasattr(inner, "quant_min") or inner.quant_min is None:
            return None
        per_channel = inner.qscheme in PER_CHANNEL
        return WeightScheme((int(inner.quant_min), int(inner.quant_max)), per_channel, qconfig)

    def set_scales(self, name: str, scales: Array, scheme: WeightScheme) -> None:
        """From now on the layer's weight is quantized by these scales."""
        from quantray.quantization.observer import FixedScalesObserver

        weight = FixedScalesObserver.with_args(
            scales=tuple(float(s) for s in np.ravel(scales)),
            ch_axis=self.weight_axis(name) if scheme.per_channel else None,
            quant_min=scheme.code_range[0],
            quant_max=scheme.code_range[1],
        )
        activation = scheme.qconfig.activation
        self.set_qconfig(name, QConfig(activation, weight))

    def set_qconfig(self, name: str, qconfig: QConfig | None) -> None:
        """How one layer is quantized."""
        self.mapping.set_module_name(name.partition("#")[0], qconfig)

    # Values

    def values(self, look: Callable[[Node, Array, Array], None], model_side: Side | None = None) -> None:
        """Calls `look(node, x, y)` for each layer in each batch, in order."""
        side = model_side or self.side
        for batch in self.batches():
            graph, inputs = side.find(batch)

            def each(node: Node, environment: Environment) -> None:
                if node.kind == "layer":
                    look(node, environment.values[node.args[0]], environment.values[Ref(node.name)])

            side.run(graph, inputs, each)

    def result(self) -> M_co:
        """The model, which brings along how it is to be quantized."""
        self.model.__dict__["qconfig_mapping"] = self.mapping
        return self.model


def mapping_of(model: nn.Module, given: QConfig | QConfigMapping | None) -> QConfigMapping:
    """A copy of how a model is to be quantized: what is given, what it brings along, or the default."""
    if given is None:
        given = model.__dict__.get("qconfig_mapping")
    if given is None and any("qconfig" in module.__dict__ for module in model.modules()):
        # What attributes say of modules holds for all that is inside.
        found = QConfigMapping().set_global(model.__dict__.get("qconfig"))
        for path, module in model.named_modules():
            if path and "qconfig" in module.__dict__:
                found.set_module_name(path, module.__dict__["qconfig"])
        return found
    if given is None:
        return default_quantize_mapping()
    if isinstance(given, QConfig):
        return QConfigMapping().set_global(given)
    if not isinstance(given, QConfigMapping):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise TypeError(f"qconfig_mapping must be a QConfig or a QConfigMapping, got {type(given).__name__}")
    return QConfigMapping.from_dict(given.to_dict())
