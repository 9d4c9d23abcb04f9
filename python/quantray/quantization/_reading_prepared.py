"""A prepared graph, read for people: what `convert` will make of it, and what its observers have seen."""

from __future__ import annotations

import numpy as np

from quantray import nn
from quantray._typing import Tensor
from quantray.graph import Graph, Node, Part, Ref
from quantray.graph.kinds import LAYERS
from quantray.nn.quantized import Grid
from quantray.quantization._layers import Layer
from quantray.quantization._of_codes import integer_kind, is_mean
from quantray.quantization._reading import Reading, bits_between, class_name, limits_words
from quantray.quantization._settings import Settings, is_by_rows, part_of

_UNSEEN = "nothing seen yet"


class PreparedReading(Reading):
    """A graph whose wires are observed: what it says of integers is what `convert` will make of it."""

    plumbing = ("observe", "snap")

    def __init__(self, graph: Graph, model: nn.Module, settings: Settings) -> None:
        super().__init__(graph, model)
        self._settings = settings

    def observer(self, ref: Ref) -> nn.Module | None:
        """The observer of the values of a wire, in front of whoever takes it as codes."""
        node = self.graph.nodes[ref.node]
        if node.kind == "observe":
            return self.model.get_submodule(node.value.path)
        if node.kind == "snap":
            return self.model.get_submodule(node.value)
        for name in self._users.get(ref, []):
            after = self.graph.nodes[name]
            if (after.kind == "observe" and not after.value.before) or after.kind == "snap":
                return self.observer(Ref(name))
        return None

    def in_integers(self, node: Node) -> bool | None:
        floats = self.floats_of(node)
        match node.kind:
            case "layer":
                observed = bool(floats) and self.observer(node.args[0]) is not None
                return observed or is_by_rows(node, self._settings.of(node, self.model))
            case "python" | "hook":
                return False
            case _:
                pass
        if self.observer(Ref(node.name)) is not None:
            return not self.is_between(node)
        knows = [*node.facts, *(self.graph.fact(ref) for ref in node.inputs)]
        return False if any(fact.is_float for fact in knows) else None

    def is_between(self, node: Node) -> bool:
        has_grid = self.observer(Ref(node.name)) is not None
        if not has_grid or not (part_of(node, self.model) is Part.FOLLOWS or is_mean(node)):
            return False
        return integer_kind(node, self.graph, lambda ref: self.observer(ref) is not None) is None

    def grid(self, ref: Ref) -> Grid | None:
        observer = self.observer(ref)
        if observer is None or not observer.has_data:
            return None
        try:
            return Grid.of(observer)
        except (ValueError, RuntimeError):
            return None

    def codes(self, ref: Ref) -> str:
        observer = self.observer(ref)
        return "" if observer is None else str(getattr(observer.dtype, "name", observer.dtype))

    def bits(self, ref: Ref) -> int | None:
        observer = self.observer(ref)
        if observer is None:
            return self.graph.fact(ref).dtype.itemsize * 8 if self.graph.fact(ref).is_float else None
        return _bits_of(observer)

    def weight_observer(self, node: Node) -> nn.Module | None:
        """What the weight of a layer is quantized by."""
        layer: Layer = node.value
        if layer.fake is not None:
            return self.model.get_submodule(layer.fake)
        qconfig = self._settings.of(node, self.model)
        return None if qconfig is None else qconfig.weight()

    def weight_dtype(self, node: Node) -> str:
        if node.kind != "layer":
            return ""
        observer = self.weight_observer(node)
        return "" if observer is None else str(getattr(observer.dtype, "name", observer.dtype))

    def weight_bits(self, node: Node) -> int | None:
        if node.kind == "layer" and self.in_integers(node):
            return _bits_of(self.weight_observer(node))
        return super().weight_bits(node)

    def arrays(self, node: Node) -> list[Tensor]:
        found = super().arrays(node)
        if node.kind == "layer" and node.value.norm is not None:
            found += self.model.get_submodule(node.value.norm)._own_state().values()
        return found

    def is_without_qconfig(self, node: Node) -> bool:
        if part_of(node, self.model) not in (Part.WEIGHTED, Part.FOLLOWS, Part.BEGINS):
            return False
        return self._settings.of(node, self.model) is None

    def words(self, node: Node) -> str:
        if node.kind != "layer":
            return super().words(node)
        layer: Layer = node.value
        home = self.model.get_submodule(layer.home)
        inner = getattr(home, "layer", home)
        name = class_name(inner) if isinstance(inner, getattr(nn, LAYERS[layer.kind])) else layer.kind
        norm = "" if layer.norm is None else " + BatchNorm"
        return f"{name}{norm}{limits_words(layer.limits)}"

    def function(self, node: Node) -> str:
        if node.kind == "layer":
            return self.words(node)
        return super().function(node)

    def plumbing_words(self, node: Node) -> str:
        match node.kind:
            case "observe":
                observer = self.model.get_submodule(node.value.path)
                return f"{class_name(observer)}: {seen_by(observer)}"
            case "snap":
                return f"on the grid of {node.value}"
            case _:
                return super().plumbing_words(node)

    def seen(self, node: Node) -> str:
        found: list[str] = []
        before = self.graph.nodes[node.args[0].node] if node.kind == "layer" else None
        if before is not None and before.kind == "observe" and before.value.before:
            found.append(f"in: {seen_by(self.observer(Ref(before.name)))}")
        for name in self._users.get(Ref(node.name), []):
            after = self.graph.nodes[name]
            if after.kind == "observe" and not after.value.before:
                found.append(f"out: {seen_by(self.observer(Ref(name)))}")
        if found and all(text.endswith(_UNSEEN) for text in found):
            return _UNSEEN
        return ", ".join(dict.fromkeys(found))


def _bits_of(observer: nn.Module | None) -> int | None:
    low, high = getattr(observer, "quant_min", None), getattr(observer, "quant_max", None)
    if low is None or high is None:
        return getattr(getattr(observer, "dtype", None), "bits", None)
    return bits_between(int(low), int(high))


def seen_by(observer: nn.Module | None) -> str:
    """The range of values that an observer has seen."""
    if observer is None or not observer.has_data:
        return _UNSEEN
    inner = getattr(observer, "activation_post_process", observer)
    low, high = getattr(inner, "min_val", None), getattr(inner, "max_val", None)
    if (
        low is None
        or high is None
        or not np.size(low)
        or not np.all(np.isfinite([np.min(low), np.max(high)]))
    ):
        return "fixed"
    return f"{float(np.min(low)):.4g} to {float(np.max(high)):.4g}"
