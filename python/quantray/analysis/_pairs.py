"""Which node of a float graph each node of a quantized one stands for: by names, which workflows keep."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from quantray import nn
from quantray._core import QTensor, per_tensor_affine, per_tensor_symmetric
from quantray._typing import Array, Floats
from quantray.graph import Graph, Node, Ref, kind_of
from quantray.graph._graph import leaves
from quantray.graph.kinds import LAYERS, is_weight
from quantray.quantization._integers import DEQUANTIZE, LAYER, QUANTIZE
from quantray.quantization._layers import Layer, limited, weights_of
from quantray.quantization._shown import has_codes
from quantray.quantization._sides import Side

#: Nodes that are no step of their own.
_NO_STEPS = ("input", "parameter", "constant", "tap", DEQUANTIZE)


class Pairs:
    """The wires of two graphs that should carry the same numbers.

    Attributes
    ----------
    exact : dict of Ref to Ref
        For wires of the quantized graph those of the float one.
    steps : dict of str to Ref
        The nodes that have a row, with the wire of the float graph that each one's output should be.
    unpaired : list of str
        Layers of the quantized graph that stand for none of the float one.

    Raises
    ------
    ValueError
        Most layers of the one stand for none of the other.
    """

    def __init__(self, graph: Graph, other: Graph, side: Side, its: Side) -> None:
        self.graph, self.other, self._side, self._its = graph, other, side, its
        self.exact: dict[Ref, Ref] = {}
        self.steps: dict[str, Ref] = {}
        #: By step the node of the float graph that it stands for.
        self.exact_names: dict[str, str] = {}
        inner = {node.name for node in other if _is_between(node, other)}
        for mine, theirs in zip(graph.inputs, other.inputs, strict=False):
            self.exact[Ref(theirs)] = Ref(mine)
        self._last = _last_of_scopes(graph)
        taken = {node.name for node in other}
        #: Nodes of the float graph that no other one has the name of.
        self._free = [node for node in graph if node.kind not in _NO_STEPS and node.name not in taken]
        has_steps = False
        for node in other:
            if node.kind in _NO_STEPS or node.name in inner or is_weight(Ref(node.name), other):
                continue
            has_steps = True
            found = self._of(node)
            if found is None:
                continue
            self.exact_names[node.name] = found.node
            for out in range(max(len(node.facts), 1)):
                self.exact[Ref(node.name, out)] = self._settled(Ref(found.node, found.out + out))
            self.steps[node.name] = self._settled(found)
        layers = [node.name for node in other if _is_layer(node, its)]
        self.unpaired = [name for name in layers if name not in self.steps]
        # A model of no nodes, as identities are, corresponds to itself.
        is_alien = 2 * len(self.unpaired) > len(layers) if layers else has_steps and not self.exact_names
        if is_alien:
            raise ValueError(
                f"model and int8 do not correspond: {len(self.unpaired)} of {len(layers)} layers of int8 "
                f"have the name of none of model's, {_names(graph)} there and {_names(other)} here"
            )

    def is_part(self, node: Node) -> bool:
        """Whether a node of the quantized graph is part of a step, or of what makes weights."""
        is_weights = is_weight(Ref(node.name), self.other)
        return node.kind == DEQUANTIZE or _is_between(node, self.other) or is_weights

    def _of(self, node: Node) -> Ref | None:
        graph = self.graph
        if node.name in graph and graph[node.name].kind not in ("input", "parameter", "constant"):
            return Ref(node.name)
        if node.kind == QUANTIZE:
            ref = node.inputs[0]
            while self.other.nodes[ref.node].kind == DEQUANTIZE:
                ref = self.other.nodes[ref.node].inputs[0]
            # What is quantized a second time is on the wire of whoever made it.
            return self.exact.get(ref)
        # A module that runs as a whole stands for all nodes that the float one has of it.
        found = self._last.get(node.value) if node.kind == "module" and "#" not in node.name else None
        if found is not None and _are_alike(found, node):
            return Ref(found.name)
        return self._of_scope(node)

    def _of_scope(self, node: Node) -> Ref | None:
        """A module that computes otherwise than its float one: by weights, or the last of such a shape."""
        if len(node.facts) != 1 or not node.scope:
            return None
        module = _submodule(self._its.model, node.value) if node.kind == "module" else None
        home = node.scope if module is None else str(node.value).rpartition(".")[0]
        inside = [n for n in self._free if n.scope == home and _are_alike(n, node)]
        if module is not None and callable(getattr(module, "weight", None)):
            inside = [n for n in inside if n.kind in LAYERS and self._has_weight(n, module)]
        if not inside:
            return None
        self._free.remove(inside[-1])
        return Ref(inside[-1].name)

    def _has_weight(self, node: Node, module: nn.Module) -> bool:
        weight = weights_of(node, self.graph, self._side.model)[1]
        grouped = getattr(module, "dequantized", None)
        found = np.asarray(module.weight().dequantize() if grouped is None else grouped())
        if np.shape(weight) != found.shape:
            return False
        a, b = np.ravel(weight), np.ravel(found)
        return float(a @ b) > 0.9 * float(np.linalg.norm(a) * np.linalg.norm(b))

    def _settled(self, ref: Ref) -> Ref:
        """A wire of a trained graph behind the fake quantization that it passes."""
        for name in self.graph.users().get(ref, ()) if _is_observed(self.graph) else ():
            node = self.graph.nodes[name]
            if node.kind == "snap" or (node.kind == "observe" and not node.value.before):
                return Ref(name)
        return ref


def _is_observed(graph: Graph) -> bool:
    return any(node.kind == "observe" for node in graph)


def _is_layer(node: Node, side: Side) -> bool:
    """Whether a node of a quantized graph is a layer of integers."""
    if node.kind == LAYER:
        return True
    return node.kind == "module" and has_codes(side.model.get_submodule(node.value))


def _names(graph: Graph) -> str:
    found = [node.name for node in graph if node.kind not in ("input", "parameter", "constant", "tap")]
    return ", ".join(found[:4]) + (", ..." if len(found) > 4 else "")


def _is_between(node: Node, graph: Graph) -> bool:
    """Whether a node only computes in floats what another one quantizes, as one row."""
    return ".float" in node.name and node.name.partition(".float")[0] in graph


def _are_alike(a: Node, b: Node) -> bool:
    """Whether two nodes give one array each, of as many axes."""
    return len(a.facts) == len(b.facts) == 1 and len(a.facts[0].shape) == len(b.facts[0].shape)


def _last_of_scopes(graph: Graph) -> dict[str, Node]:
    found: dict[str, Node] = {}
    for node in graph:
        if node.kind in _NO_STEPS:
            continue
        # All of it is in the model itself.
        found[""] = node
        path = node.scope
        while path:
            found[path] = node
            path = path.rpartition(".")[0]
    return found


class Weighted(NamedTuple):
    """A layer with weights on both sides: what it computes, of which weights."""

    #: The name that settings call it by.
    home: str
    kind: str
    weight: Array
    bias: Array | None
    #: What the integers stand for, and the integers.
    other: Array
    other_bias: Array | None
    codes: QTensor
    settings: dict[str, object]
    limits: tuple[float | None, float | None] | None
    #: The least and the greatest code of the weight.
    code_range: tuple[int, int] = (-128, 127)
    #: How many weights of a row have one scale; 0 for all of them.
    group_size: int = 0

    @property
    def is_per_channel(self) -> bool:
        """Whether each output's weights have a scale of their own."""
        return self.codes.qscheme() not in (per_tensor_affine, per_tensor_symmetric)

    @property
    def channel_axis(self) -> int:
        """The axis of channels in what goes in and comes out."""
        return -1 if self.kind == "linear" else 1

    @property
    def weight_axis(self) -> int:
        """The axis of the weight that its outputs are on."""
        return 1 if "transpose" in self.kind else 0

    def __call__(self, x: Array, weight: Array, bias: Array | None) -> Array:
        """The layer of floats, with these weights."""
        made = kind_of(self.kind).function(np.asarray(x, np.float32), weight, bias, **self.settings)
        return limited(made, self.limits)

    @property
    def ranges(self) -> Floats:
        """The largest magnitude of each output's weights."""
        axis = self.weight_axis
        return np.abs(self.weight).max(axis=tuple(i for i in range(self.weight.ndim) if i != axis))


def weighted_of(node: Node, pairs: Pairs, side: Side, other: Side) -> Weighted | None:
    """The weights of a step on both sides; None where it is no layer."""
    name = pairs.exact_names.get(node.name, node.name)
    mine = pairs.graph.nodes.get(name)
    if mine is None or not mine.inputs:
        return None
    path = node.value.path if node.kind == LAYER else node.value if node.kind == "module" else None
    module = _submodule(other.model, path)
    if module is None or not callable(getattr(module, "weight", None)):
        return None
    found = module.weight()
    if not isinstance(found, QTensor):
        return None
    limits = None
    if mine.kind == "layer":
        layer: Layer = mine.value
        args = weights_of(mine, pairs.graph, side.model)
        weight, bias = layer.weight_and_bias(side.model, args, dict(mine.kwargs))
        kind, limits, home = layer.kind, layer.limits, layer.home
    elif mine.kind in LAYERS:
        _, weight, bias = weights_of(mine, pairs.graph, side.model)
        kind, home = mine.kind, mine.name.partition("#")[0]
        limits = (0.0, None) if getattr(module, "relu", False) else None
    else:
        return None
    settings = {key: value for key, value in mine.kwargs.items() if not list(_lengths(value))}
    if len(settings) != len(mine.kwargs):
        return None
    # Weights in groups are saved as rows of groups, which are not of the layer's shape.
    grouped = getattr(module, "dequantized", None)
    dequantized = found.dequantize() if grouped is None else grouped()
    if np.shape(weight) != dequantized.shape:
        raise ValueError(
            f"model and int8 do not correspond: {node.name} has a weight of shape {np.shape(weight)} in "
            f"model and of {dequantized.shape} in int8"
        )
    return Weighted(
        home,
        kind,
        np.asarray(weight, np.float32),
        None if bias is None else np.asarray(bias, np.float32),
        dequantized,
        module.bias(),
        found,
        settings,
        limits,
        getattr(module, "weight_range", getattr(module, "code_range", (-128, 127))),
        0 if grouped is None else int(getattr(module, "group_size", 0)),
    )


def _lengths(value: object) -> list[object]:
    return [leaf for leaf in leaves(value) if isinstance(leaf, Ref) or type(leaf).__name__ == "Expr"]


def _submodule(model: nn.Module, path: object) -> nn.Module | None:
    return model._submodule(path) if isinstance(path, str) else None
