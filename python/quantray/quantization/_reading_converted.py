"""A converted graph, read for people."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from quantray import nn
from quantray._core import QTensor, dtype
from quantray._typing import Tensor
from quantray.graph import Graph, Node, Part, Ref
from quantray.graph._show import function_word
from quantray.nn import quantized
from quantray.nn.quantized import Grid
from quantray.quantization._integers import DEQUANTIZE, LAYER, MEAN, MOVE, QUANTIZE, SUMS, TABLE, grids_of
from quantray.quantization._reading import Reading, bits_between, class_name, code_bits, limits_words
from quantray.quantization._settings import part_of


class ConvertedReading(Reading):
    """A graph of integers."""

    plumbing = (DEQUANTIZE,)

    def __init__(
        self,
        graph: Graph,
        model: nn.Module,
        called: tuple[str, ...] = (),
        spared: Mapping[str, str] | None = None,
        file_why: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(graph, model, spared)
        self.file_why = file_why
        #: Nodes that are calls into NumPy, not steps of the program.
        self._called = frozenset(called)
        self._grids = grids_of(graph, model)
        self._dtypes: dict[int, dtype] = {}
        #: What computes in floats between codes, by the node that quantizes what it gives; both are one row.
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

    def meant(self, node: Node) -> Node:
        return self.between.get(node.name, node)

    def is_call(self, node: Node) -> bool:
        return self.meant(node).name in self._called

    def in_integers(self, node: Node) -> bool | None:
        if self.is_between(node):
            return False
        if node.kind.startswith("int."):
            return True
        knows = [*node.facts, *(self.graph.fact(ref) for ref in node.inputs)]
        return False if any(fact.is_float for fact in knows) or node.kind in ("python", "hook") else None

    def floats_of(self, node: Node) -> list[Ref]:
        return super().floats_of(self.meant(node))

    def arrays(self, node: Node) -> list[Tensor]:
        if node.kind == LAYER:
            return list(self.model.get_submodule(node.value.path)._own_state().values())
        return super().arrays(self.meant(node))

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
        module = self.model.get_submodule(node.value.path)
        weight, bias = module.weight(), module.bias()
        text = f"{'x'.join(map(str, weight.shape))} {weight.dtype}"
        return text if bias is None else f"{text}, {len(bias)}"

    def weight_dtype(self, node: Node) -> str:
        module = self.model.get_submodule(node.value.path) if node.kind == LAYER else None
        return "" if module is None else str(self._weight_dtype(module))

    def weight_bits(self, node: Node) -> int | None:
        if node.kind == LAYER:
            module = self.model.get_submodule(node.value.path)
            return code_bits(module, int(self._weight_dtype(module).bits))
        return super().weight_bits(node)

    def _weight_dtype(self, module: nn.Module) -> dtype:
        """That of a layer's weight, which lies packed: it is unpacked once."""
        if id(module) not in self._dtypes:
            weight: QTensor = module.weight()
            self._dtypes[id(module)] = weight.dtype
        return self._dtypes[id(module)]

    def is_without_qconfig(self, node: Node) -> bool:
        """A layer with a qconfig is always of integers; others are that stand between integers."""
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
        node = self.meant(node)
        if node.kind == LAYER:
            return class_name(self.model.get_submodule(node.value.path)) + limits_words(node.value.limits)
        if node.kind == QUANTIZE:
            return "Quantize" if isinstance(self.module(node), quantized.Quantize) else "quantize"
        return super().words(node.but(name=node.name.partition(".float")[0]))

    def function(self, node: Node) -> str:
        if node.kind == TABLE:
            return super().function(node.value.node)
        if node.kind in (MOVE, MEAN):
            return function_word(node.value)
        if node.kind in SUMS.values():
            return super().function(node.but(kind=node.kind.removeprefix("int.")))
        if node.kind == "layer":
            return function_word(node.value.kind) + limits_words(node.value.limits)
        return super().function(node)
