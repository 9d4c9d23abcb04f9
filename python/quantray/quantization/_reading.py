"""What a user wants to know of each node of a prepared or converted graph, found in the graph and its model.

Graphs of both have nodes that only stand between others: observers, what quantizes, what gives floats back.
Looking through these, both are read in the same way.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Iterator, Mapping

from quantray import nn
from quantray._core import QTensor
from quantray._typing import Tensor
from quantray.graph import Graph, Node, Part, Ref
from quantray.graph._graph import About, ordered
from quantray.graph._show import FOLDED, function_word
from quantray.graph.kinds import is_weight
from quantray.nn.quantized import Grid
from quantray.nn.quantized._follows import Requantized
from quantray.quantization._integers import LAYER, QUANTIZE
from quantray.quantization._layers import Limits
from quantray.quantization._settings import part_of
from quantray.quantization._spectra import front_ends
from quantray.quantization.fake_quantize import FakeQuantizeBase
from quantray.quantization.observer import ObserverBase

#: Functions that formulas are full of, and that say nothing of them.
_PLAIN = ("input", "constant", "identity", "array.identity", "ndarray.astype")


class Reading:
    """A graph, read for people."""

    #: Kinds that only stand between others.
    plumbing: tuple[str, ...] = ()
    #: Of a model whose file was quantized, by the names of nodes in floats what is in the way.
    file_why: Mapping[str, str] | None = None

    def __init__(self, graph: Graph, model: nn.Module, spared: Mapping[str, str] | None = None) -> None:
        self.graph, self.model = graph, model
        self._spared = spared or {}
        self._users = graph.users()
        self.outputs = set(graph.outputs)

    # Nodes

    def steps(self) -> Iterator[Node]:
        """The nodes that compute something, in order."""
        for node in self.graph:
            if node.kind not in (*FOLDED, *self.plumbing, "input", "tap") and not self.is_hidden(node):
                yield node

    def spared(self, node: Node) -> str:
        """What a node loses by itself in 8 bits of a fixed range, where it is spared for that."""
        return self._spared.get(node.name.partition("#")[0], "")

    @functools.cached_property
    def front_ends(self) -> dict[str, str]:
        """Layers that make levels or amplitudes of signals, and why."""
        return front_ends(self.graph)

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

    def meant(self, node: Node) -> Node:
        """The node that computes, where the one that is shown quantizes what it gives."""
        return node

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

    def is_call(self, node: Node) -> bool:
        """Whether a node is a call out of the program that runs the others."""
        return False

    def is_without_qconfig(self, node: Node) -> bool:
        """Whether a node was left out by its settings."""
        raise NotImplementedError

    def could_be_codes(self, ref: Ref) -> bool:
        """Whether what is on a wire could have been quantized, had anybody taken it in integers."""
        return self.source(ref).node in self._possible

    @functools.cached_property
    def _possible(self) -> frozenset[str]:
        """The nodes whose outputs could have been quantized."""
        found: set[str] = set()
        for node in self.graph:
            if node.kind in self.plumbing:
                continue
            wires = [Ref(node.name, out) for out in range(max(len(node.facts), 1))]
            if self.in_integers(node) or any(map(self.codes, wires)):
                found.add(node.name)
                continue
            floats = [self.source(ref).node for ref in self.floats_of(node)]
            is_possible = part_of(node, self.model) in (Part.FOLLOWS, Part.KEEPS) and bool(floats)
            if is_possible and found.issuperset(floats) and not self.is_without_qconfig(node):
                found.add(node.name)
        return frozenset(found)

    def dtype(self, ref: Ref) -> str:
        """The dtype of what is on a wire."""
        return self.codes(ref) or str(self.graph.fact(ref).dtype)

    def computes(self, node: Node) -> str:
        """What a node computes in: the dtype of its weight or its inputs, and that of its output."""
        out = self.gives(node)
        if not self.in_integers(node):
            if self.is_between(node):
                taken = {self.dtype(self.source(ref)) for ref in self.floats_of(node)} - {"float32"}
                return " -> ".join([*sorted(taken), "float32", out])
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

    def arrays(self, node: Node) -> list[Tensor]:
        """The weights of a node, whatever they are held as: parameters that it reads."""
        refs = [ref for ref in node.inputs if is_weight(ref, self.graph)]
        needed = ordered(self.graph, refs).values() if refs else ()
        found: list[Tensor | None] = []
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
        scale, zero_point = (None, None) if grid is None else (grid.scale, grid.zero_point)
        if node.kind in (*self.plumbing, *FOLDED, "input", "tap"):
            words, dtype = self.plumbing_words(node), self.codes(ref)
            return About(words, dtype=dtype, scale=scale, zero_point=zero_point)
        words, weights, integers = self.words(node), self.weight_words(node), self.in_integers(node)
        return About(words, weights, self.gives(node), scale, zero_point, integers)

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
        path = node.value if node.kind in ("module", "python") else _home(node).partition("#")[0]
        if not path and node.kind not in ("module", "python"):
            return None
        found = self.model._submodule(path)
        if found is None:
            return None
        is_whole = node.kind in ("module", "python", QUANTIZE)
        return found if is_whole or isinstance(found, Requantized) or not has_inside(found) else None


def _home(node: Node) -> str:
    """What a node is called by: a formula that is all of a module by that."""
    formula = getattr(node.value, "node", None) if node.kind == "int.table" else node
    return formula.value[1] if isinstance(formula, Node) and formula.kind == "formula" else node.name


def has_inside(module: nn.Module) -> bool:
    """Whether a module has others inside, observers aside."""
    return any(not isinstance(child, (ObserverBase, FakeQuantizeBase)) for child in module.children())


def class_name(module: nn.Module) -> str:
    """A module's class; of one between integers, that of the module that it was."""
    return (module.module if isinstance(module, Requantized) else module)._class_name()


def limits_words(limits: Limits) -> str:
    """What cuts a layer's or a sum's output."""
    if limits is None:
        return ""
    known: dict[tuple[float | None, ...], str] = {(0.0, None): "ReLU", (0.0, 6.0): "ReLU6"}
    return f" + {known.get(tuple(limits), 'clip')}"


def formula_words(node: Node) -> str:
    """The functions that a formula is written with."""
    inner = [n.kind for n in node.value[0].graph if n.kind not in _PLAIN]
    found = list(dict.fromkeys(map(function_word, inner)))
    return ", ".join(found) if len(found) <= 4 else f"{', '.join(found[:3])}, ... ({len(inner)} functions)"


def weight_bits_of(module: nn.Module) -> int:
    """Bits that the codes of a module's weights need."""
    weights = [value for value in module._own_state().values() if isinstance(value, QTensor)]
    return code_bits(module, max((int(weight.dtype.bits) for weight in weights), default=8))


def code_bits(module: nn.Module, stored: int) -> int:
    """Bits that the codes of a module's weights need, of those that each is stored in."""
    found = getattr(module, "weight_range", getattr(module, "code_range", None))
    return stored if found is None else min(stored, bits_between(*found))


def bits_between(low: int, high: int) -> int:
    """Bits that codes of a range need."""
    return max(1, math.ceil(math.log2(high - low + 1)))
