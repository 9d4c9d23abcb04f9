"""What a user wants to know of each node of a prepared or converted graph, found in the graph and its model.

Graphs of both have nodes that only stand between others: observers, what quantizes, what gives floats back. Looking
through these, both are read by the same words.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np

from quantray import nn
from quantray.graph import Graph, Node, Part, Ref
from quantray.graph._graph import About, ordered
from quantray.graph._show import FOLDED, function_word
from quantray.graph.kinds import LAYERS, is_weight
from quantray.nn import quantized
from quantray.nn.quantized import Grid
from quantray.nn.quantized._follows import Requantized
from quantray.quantization._integers import DEQUANTIZE, LAYER, MOVE, QUANTIZE, SUMS, TABLE, grids_of
from quantray.quantization._layers import Layer
from quantray.quantization._settings import Settings, part_of
from quantray.quantization.fake_quantize import FakeQuantizeBase
from quantray.quantization.observer import ObserverBase

_UNSEEN = "nothing seen yet"
#: Functions that formulas are full of, and that say nothing of them.
_PLAIN = ("input", "constant", "identity", "array.identity", "ndarray.astype")


class Reading:
    """A graph, read for people."""

    #: Kinds that only stand between others.
    plumbing: tuple[str, ...] = ()

    def __init__(self, graph: Graph, model: nn.Module) -> None:
        self.graph, self.model = graph, model
        self._users = graph.users()
        self.outputs = {ref for ref in graph.outputs}

    # Nodes

    def steps(self) -> Iterator[Node]:
        """The nodes that compute something, in order."""
        for node in self.graph:
            if node.kind not in (*FOLDED, *self.plumbing, "input", "tap") and not self.is_hidden(node):
                yield node

    def is_hidden(self, node: Node) -> bool:
        """Whether a node is part of another one's row, or computes a weight."""
        return bool(node.inputs) and is_weight(Ref(node.name), self.graph)

    def source(self, ref: Ref) -> Ref:
        """The wire of the node that computed what is on a wire."""
        node = self.graph.nodes[ref.node]
        while node.kind in self.plumbing and node.inputs:
            ref = node.inputs[0]
            node = self.graph.nodes[ref.node]
        return ref

    def takers(self, node: Node) -> list[Node]:
        """The nodes that compute with what a node gives."""
        found: list[Node] = []
        waiting = [Ref(node.name, out) for out in range(max(len(node.facts), 1))]
        while waiting:
            for name in self._users.get(waiting.pop(0), []):
                taker = self.graph.nodes[name]
                if taker.kind in self.plumbing:
                    waiting.append(Ref(name))
                elif taker.kind != "tap":
                    found.append(taker)
        return found

    def floats_of(self, node: Node) -> list[Ref]:
        """The wires of real numbers that a node takes, weights aside."""
        return [r for r in node.inputs if self.graph.fact(r).is_float and not is_weight(r, self.graph)]

    def is_returned(self, node: Node) -> bool:
        """Whether the model returns what a node gives."""
        return any(self.source(ref).node == node.name for ref in self.outputs)

    def is_model(self, node: Node) -> bool:
        """Whether the model is one layer, and a node is it."""
        home = getattr(node.value, "home", getattr(node.value, "path", None))
        return node.kind in ("layer", LAYER) and home == ""

    # What there is to say

    def is_between(self, node: Node) -> bool:
        """Whether a node computes in floats what is quantized at once."""
        raise NotImplementedError

    def in_integers(self, node: Node) -> bool | None:
        """Whether a node computes in integers; None where it knows no real numbers."""
        raise NotImplementedError

    def grid(self, ref: Ref) -> Grid | None:
        """Scale and zero point of a wire of codes."""
        raise NotImplementedError

    def codes(self, ref: Ref) -> str:
        """The dtype of codes on a wire; empty for other wires."""
        raise NotImplementedError

    def bits(self, ref: Ref) -> int | None:
        """Bits of the real numbers on a wire."""
        raise NotImplementedError

    def is_without_qconfig(self, node: Node) -> bool:
        """Whether a node was left out by its settings."""
        raise NotImplementedError

    def could_be_codes(self, ref: Ref) -> bool:
        """Whether what is on a wire could have been quantized, had anybody taken it in integers."""
        ref = self.source(ref)
        node = self.graph.nodes[ref.node]
        if self.in_integers(node):
            return True
        part = part_of(node, self.model)
        floats = self.floats_of(node)
        if part not in (Part.FOLLOWS, Part.KEEPS) or not floats or self.is_without_qconfig(node):
            return False
        return all(map(self.could_be_codes, floats))

    def dtype(self, ref: Ref) -> str:
        """The dtype of what is on a wire."""
        return self.codes(ref) or str(self.graph.fact(ref).dtype)

    def computes(self, node: Node) -> str:
        """What a node computes in: the dtype of its weight or its inputs, and that of its output."""
        out = self.gives(node)
        if not self.in_integers(node):
            if self.is_between(node):
                taken = sorted({self.dtype(ref) for ref in self.floats_of(node)})
                return " -> ".join(dict.fromkeys([*taken[:1], "float32", out]))
            return out
        weight = self.weight_dtype(node)
        taken = [weight] if weight else sorted({self.dtype(ref) for ref in self.floats_of(node)})
        return out if taken == [out] or not taken else f"{'/'.join(taken)} -> {out}"

    def gives(self, node: Node) -> str:
        """The dtypes of a node's outputs."""
        refs = [Ref(node.name, out) for out in range(len(node.facts))]
        return "/".join(dict.fromkeys(map(self.dtype, refs)))

    def activation_bits(self, node: Node) -> int | None:
        """Bits of what a node takes; of what it gives, where that is where codes begin."""
        floats = self.floats_of(node)
        # Where codes and floats meet, the node computes with the codes.
        taken = [ref for ref in floats if self.codes(ref)] if self.in_integers(node) else []
        found = [bits for bits in map(self.bits, taken or floats or [Ref(node.name)]) if bits is not None]
        return max(found, default=None)

    def weight_dtype(self, node: Node) -> str:
        """The dtype of the codes of a layer's weight."""
        raise NotImplementedError

    def weight_bits(self, node: Node) -> int | None:
        """Bits of a node's weights; None where it has none."""
        return 32 if self.arrays(node) else None

    def arrays(self, node: Node) -> list[Any]:
        """The weights of a node, whatever they are held as: parameters that it reads."""
        refs = [ref for ref in node.inputs if is_weight(ref, self.graph)]
        needed = ordered(self.graph, refs).values() if refs else ()
        found: list[Any] = []
        for each in needed:
            if each.kind == "parameter":
                path, key = each.value
                home = self.model.get_submodule(path)
                array = home._parameters.get(key)
                found.append(home._buffers.get(key) if array is None else array)
        if node.kind == "module":
            found += self.model.get_submodule(node.value).state_dict().values()
        return [array for array in found if array is not None]

    def seen(self, node: Node) -> str:
        """The ranges that the observers of a node have seen."""
        return ""

    def about(self, node: Node) -> About:
        """What a table of the graph shows of a node, of one that has no row of its own, too."""
        ref = Ref(node.name)
        grid = self.grid(ref)
        settings = {} if grid is None else {"scale": grid.scale, "zero_point": grid.zero_point}
        if node.kind in (*self.plumbing, *FOLDED, "input", "tap"):
            return About(self.plumbing_words(node), dtype=self.codes(ref), **settings)
        return About(self.words(node), self.weight_words(node), self.gives(node), in_integers=self.in_integers(node), **settings)

    def plumbing_words(self, node: Node) -> str:
        """What a node is that only stands between others."""
        return function_word(node.kind)

    def weight_words(self, node: Node) -> str:
        """Weights of a node that are not among its arguments."""
        return ""

    # Words

    def words(self, node: Node) -> str:
        """What a node is: the class of its module, or its function."""
        module = self.module(node)
        name = "" if module is None else class_name(module)
        match node.kind:
            case "python":
                return f"{name} (Python)"
            case "hook":
                return f"hook {node.value[1]} {node.value[0] or 'model'}"
            case _:
                return name or self.function(node)

    def function(self, node: Node) -> str:
        """A node's function."""
        if node.kind == "formula":
            return formula_words(node)
        return function_word(node.kind) + limits_words(node.get("limits"))

    def module(self, node: Node) -> nn.Module | None:
        """The module that a node is all of, if there is one."""
        path = node.value if node.kind in ("module", "python") else node.name.partition("#")[0]
        if not path and node.kind not in ("module", "python"):
            return None
        try:
            found = self.model.get_submodule(path)
        except AttributeError:
            return None
        is_whole = node.kind in ("module", "python", QUANTIZE)
        return found if is_whole or isinstance(found, Requantized) or not has_inside(found) else None


def has_inside(module: nn.Module) -> bool:
    """Whether a module has others inside, observers aside."""
    return any(not isinstance(child, (ObserverBase, FakeQuantizeBase)) for child in module.children())


def class_name(module: nn.Module) -> str:
    """A module's class; of one between integers, that of the module that it was."""
    return type(module.module if isinstance(module, Requantized) else module).__name__


def limits_words(limits: Any) -> str:
    """What cuts a layer's or a sum's output."""
    if limits is None:
        return ""
    known = {(0.0, None): "ReLU", (0.0, 6.0): "ReLU6"}
    return f" + {known.get(tuple(limits), 'clip')}"


def formula_words(node: Node) -> str:
    """The functions that a formula is written with."""
    inner = [n.kind for n in node.value[0].graph if n.kind not in _PLAIN]
    found = list(dict.fromkeys(map(function_word, inner)))
    return ", ".join(found) if len(found) <= 4 else f"{', '.join(found[:3])}, ... ({len(inner)} functions)"


def bits_between(low: int, high: int) -> int:
    """Bits that codes of a range need."""
    return max(1, math.ceil(math.log2(high - low + 1)))


class ConvertedReading(Reading):
    """A graph of integers."""

    plumbing = (DEQUANTIZE,)

    def __init__(self, graph: Graph, model: nn.Module, called: tuple[str, ...] = ()) -> None:
        super().__init__(graph, model)
        #: Nodes that are calls into NumPy, not steps of the program.
        self._called = frozenset(called)
        self._grids = grids_of(graph, model)
        #: Nodes that compute in floats between codes, by the node that quantizes what they give; both are one row.
        self.between = {
            node.name: graph.nodes[node.inputs[0].node]
            for node in graph
            if node.kind == QUANTIZE and node.inputs[0].node.startswith(f"{node.name}.float")
        }
        self._inner = {inner.name for inner in self.between.values()}

    def is_hidden(self, node: Node) -> bool:
        return super().is_hidden(node) or node.name in self._inner

    def source(self, ref: Ref) -> Ref:
        found = super().source(ref)
        node = self.graph.nodes[found.node]
        # What a layer alone takes as codes is what was floats before.
        if node.kind == QUANTIZE and node.name not in self.between and node.name.endswith(".quantize"):
            return super().source(node.inputs[0])
        return found

    def is_between(self, node: Node) -> bool:
        return node.name in self.between

    def computes(self, node: Node) -> str:
        text = super().computes(node)
        inner = self.between.get(node.name, node)
        return f"{text}, NumPy" if inner.name in self._called and inner.kind != "python" else text

    def in_integers(self, node: Node) -> bool | None:
        if self.is_between(node):
            return False
        if node.kind.startswith("int."):
            return True
        knows = [*node.facts, *(self.graph.fact(ref) for ref in node.inputs)]
        return False if any(fact.is_float for fact in knows) or node.kind in ("python", "hook") else None

    def floats_of(self, node: Node) -> list[Ref]:
        return super().floats_of(self.between.get(node.name, node))

    def arrays(self, node: Node) -> list[Any]:
        if node.kind == LAYER:
            return list(self.model.get_submodule(node.value.path)._own_state().values())
        return super().arrays(self.between.get(node.name, node))

    def grid(self, ref: Ref) -> Grid | None:
        return self._grids.get(ref)

    def codes(self, ref: Ref) -> str:
        grid = self.grid(ref)
        return "" if grid is None else grid.dtype

    def bits(self, ref: Ref) -> int | None:
        grid = self.grid(ref)
        if grid is not None:
            return bits_between(grid.quant_min, grid.quant_max)
        return self.graph.fact(ref).dtype.itemsize * 8 if self.graph.fact(ref).is_float else None

    def activation_bits(self, node: Node) -> int | None:
        return self.bits(Ref(node.name)) if node.kind == QUANTIZE else super().activation_bits(node)

    def plumbing_words(self, node: Node) -> str:
        return "dequantize" if node.kind == DEQUANTIZE else super().plumbing_words(node)

    def weight_words(self, node: Node) -> str:
        if node.kind != LAYER:
            return ""
        module: Any = self.model.get_submodule(node.value.path)
        weight, bias = module.weight(), module.bias()
        text = f"{'x'.join(map(str, weight.shape))} {weight.dtype}"
        return text if bias is None else f"{text}, {len(bias)}"

    def weight_dtype(self, node: Node) -> str:
        module: Any = self.model.get_submodule(node.value.path) if node.kind == LAYER else None
        return "" if module is None else str(module.weight().dtype)

    def weight_bits(self, node: Node) -> int | None:
        if node.kind == LAYER:
            return int(getattr(self.model.get_submodule(node.value.path), "weight_bits", 8))
        return super().weight_bits(node)

    def is_without_qconfig(self, node: Node) -> bool:
        """A layer with a qconfig is always of integers; another node would be, were it of codes for integers."""
        if node.kind == "layer":
            return True
        if self.in_integers(node) is not False or self.is_between(node) or node.facts[0].dtype != np.float32:
            return False
        if part_of(node, self.model) is not Part.FOLLOWS:
            return False
        floats = self.floats_of(node)
        if not floats or not all(self.in_integers(self.graph.nodes[self.source(r).node]) for r in floats):
            return False
        return any(taker.kind == QUANTIZE for taker in self.takers(node))

    def words(self, node: Node) -> str:
        node = self.between.get(node.name, node)
        if node.kind == LAYER:
            return class_name(self.model.get_submodule(node.value.path)) + limits_words(node.value.limits)
        if node.kind == QUANTIZE:
            return "Quantize" if isinstance(self.module(node), quantized.Quantize) else "quantize"
        return super().words(node.but(name=node.name.partition(".float")[0]))

    def function(self, node: Node) -> str:
        if node.kind == TABLE:
            return super().function(node.value.node)
        if node.kind == MOVE:
            return function_word(node.value)
        if node.kind in SUMS.values():
            return super().function(node.but(kind=node.kind.removeprefix("int.")))
        if node.kind == "layer":
            return function_word(node.value.kind) + limits_words(node.value.limits)
        return super().function(node)


class PreparedReading(Reading):
    """A graph whose wires are observed: what it says of integers is what `convert` will make of it."""

    plumbing = ("observe", "snap")

    def __init__(self, graph: Graph, model: nn.Module, settings: Settings) -> None:
        super().__init__(graph, model)
        self._settings = settings

    def observer(self, ref: Ref) -> Any:
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
                return bool(floats) and self.observer(node.args[0]) is not None
            case "python" | "hook":
                return False
            case _:
                pass
        if self.observer(Ref(node.name)) is not None:
            return not self.is_between(node)
        knows = [*node.facts, *(self.graph.fact(ref) for ref in node.inputs)]
        return False if any(fact.is_float for fact in knows) else None

    def is_between(self, node: Node) -> bool:
        if part_of(node, self.model) is not Part.FOLLOWS or self.observer(Ref(node.name)) is None:
            return False
        floats = self.floats_of(node)
        taken = [self.observer(ref) is not None for ref in floats]
        if node.kind in SUMS:
            alike = len({self.graph.fact(r).shape for r in floats}) == 1 or node.kind in ("matmul", "concat")
            enough = any(taken) if node.kind == "add" else all(taken)
            return not (enough and alike and len(floats) > 1)
        from quantray.graph.kinds import kind_of

        known = node.kind == "formula" or (node.kind != "module" and kind_of(node.kind).elementwise)
        return not (known and len(set(floats)) == 1 and all(taken))

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

    def weight_observer(self, node: Node) -> Any:
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

    def arrays(self, node: Node) -> list[Any]:
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
                return f"{class_name(self.observer(Ref(node.name)))}: {seen_by(self.observer(Ref(node.name)))}"
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


def _bits_of(observer: Any) -> int | None:
    low, high = getattr(observer, "quant_min", None), getattr(observer, "quant_max", None)
    if low is None or high is None:
        return getattr(getattr(observer, "dtype", None), "bits", None)
    return bits_between(int(low), int(high))


def seen_by(observer: Any) -> str:
    """The range of values that an observer has seen."""
    if not observer.has_data:
        return _UNSEEN
    inner = getattr(observer, "activation_post_process", observer)
    low, high = getattr(inner, "min_val", None), getattr(inner, "max_val", None)
    if low is None or high is None or not np.size(low) or not np.all(np.isfinite([np.min(low), np.max(high)])):
        return "fixed"
    return f"{float(np.min(low)):.4g} to {float(np.max(high)):.4g}"
