"""Wires whose channels may be scaled: what makes them can be divided, and all that take them multiplied.

Between both only functions may lie that pass a positive factor on: ReLU, pooling, reshaping that keeps
channels apart.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from quantray import nn
from quantray._typing import Array
from quantray.graph import Graph, Node, Part, Ref
from quantray.graph._run import parameter_of
from quantray.graph.kinds import module_kind
from quantray.quantization.remedies._rewriting import Rewriting

_POOLS = ("max_pool", "avg_pool", "adaptive_max_pool", "adaptive_avg_pool")
#: Normalizations whose weights and biases are those of channels on the last axis.
NORMS = ("layer_norm", "rms_norm")
_ELEMENTWISE = ("relu", "leaky_relu", "prelu", "identity")


class Taker(NamedTuple):
    """A layer that takes a wire: each channel of that is `repeat` inputs of it that follow each other."""

    name: str
    repeat: int


class Link(NamedTuple):
    """A wire's maker, a layer or a layer normalization, and all its takers."""

    maker: str
    channels: int
    takers: tuple[Taker, ...]


def links_of(model: Rewriting[nn.Module]) -> list[Link]:
    """The links of a model's graph, in order."""
    found: list[Link] = []
    for node in model.graph:
        axis = _axis_of(node, model)
        if axis is None:
            continue
        channels = node.facts[0].shape[axis]
        takers = _takers(Ref(node.name), axis, 1, model)
        if takers and isinstance(channels, int):
            found.append(Link(node.name, channels, tuple(takers)))
    return found


def _axis_of(node: Node, model: Rewriting[nn.Module]) -> int | None:
    """The axis of channels of what a node makes, if it can be scaled there."""
    if len(node.facts) != 1:
        return None
    size = len(node.facts[0].shape)
    if node.kind == "layer":
        # Up to 6, or any other end, is no end of what is scaled.
        if node.value.limits not in (None, (0.0, None)) or not model.is_writable(node.name):
            return None
        if "transpose" in node.value.kind and node.get("groups", 1) != 1:
            return None
        return size - 1 if node.value.kind == "linear" else 1
    if node.kind in NORMS:
        refs = [node.get(name) for name in ("weight", "bias")]
        refs = [ref for ref in refs if ref is not None]
        if not refs or any(not _is_own(ref, node, model) for ref in refs):
            return None
        return size - 1
    return None


def _is_own(ref: object, node: Node, model: Rewriting[nn.Module]) -> bool:
    """Whether an argument is a vector of parameters that no other node reads."""
    if not isinstance(ref, Ref) or model.graph.nodes[ref.node].kind != "parameter":
        return False
    return len(model.graph.fact(ref).shape) == 1 and model.users.get(ref) == [node.name]


def _takers(ref: Ref, axis: int, repeat: int, model: Rewriting[nn.Module]) -> list[Taker] | None:
    """The layers that take a wire; None where something else does, too."""
    if ref in model.graph.outputs:
        return None
    found: list[Taker] = []
    for name in model.users.get(ref, []):
        node = model.graph.nodes[name]
        if node.kind == "tap":
            return None
        if node.kind == "layer":
            size = len(model.graph.fact(ref).shape)
            wanted = size - 1 if node.value.kind == "linear" else 1
            if node.args[0] != ref or ref in node.args[1:] or wanted != axis or not model.is_writable(name):
                return None
            found.append(Taker(name, repeat))
            continue
        passed = _passed(node, ref, axis, repeat, model.graph, model)
        inner = None if passed is None else _takers(Ref(name), passed[0], passed[1], model)
        if inner is None:
            return None
        found += inner
    return found or None


def _passed(
    node: Node, ref: Ref, axis: int, repeat: int, graph: Graph, model: Rewriting[nn.Module]
) -> tuple[int, int] | None:
    """Axis and repetition of channels behind a node that passes factors on; None for others."""
    before, after = graph.fact(ref).shape, node.facts[0].shape
    if node.kind in _ELEMENTWISE:
        return axis, repeat
    if node.kind.startswith(_POOLS):
        return (axis, repeat) if axis == 1 else None
    if node.kind == "module":
        is_kept = module_kind(model.model.get_submodule(node.value)).part is Part.KEEPS
        return (axis, repeat) if is_kept and len(before) == len(after) else None
    if node.kind == "mean":
        axes = node.get("axis")
        axes = tuple(a % len(before) for a in ((axes,) if isinstance(axes, int) else axes or ()))
        if not axes or axis in axes:
            return None
        gone = 0 if node.get("keepdims") else sum(a < axis for a in axes)
        return axis - gone, repeat
    if node.kind == "reshape":
        # From channels and places to one axis: a channel's places follow each other.
        places = before[axis + 1 :]
        if len(after) == axis + 1 and before[:axis] == after[:axis]:
            if not all(isinstance(n, int) for n in places):
                return None
            return axis, repeat * math.prod(n for n in places if isinstance(n, int))
        if axis == len(before) - 1 and after[-1:] == before[-1:]:
            return len(after) - 1, repeat
    return None


# Scaling


def output_ranges(model: Rewriting[nn.Module], name: str) -> Array:
    """The largest magnitude of each output's weights; of a normalization that of nearly all its values."""
    node = model.graph.nodes[name]
    if node.kind in NORMS:
        # What is normalized has a deviation of 1.
        parts = [(3.0, node.get("weight")), (1.0, node.get("bias"))]
        found = [
            w * np.abs(parameter_of(model.model, model.graph.nodes[r.node]))
            for w, r in parts
            if r is not None
        ]
        return np.asarray(sum(found), np.float32)
    weight, _ = model.weight_and_bias(name)
    axis = model.weight_axis(name)
    return np.abs(weight).max(axis=tuple(i for i in range(weight.ndim) if i != axis))


def input_ranges(model: Rewriting[nn.Module], taker: Taker) -> Array:
    """The largest magnitude of the weights that each channel of a link meets."""
    weight, _ = model.weight_and_bias(taker.name)
    return np.abs(by_channels(model, taker, weight)).max(axis=(1, 2))


def by_channels(model: Rewriting[nn.Module], taker: Taker, weight: Array) -> Array:
    """A taker's weight in the order of what it meets, shape (channels of the wire, outputs, places)."""
    node = model.layers[taker.name]
    if "transpose" in node.value.kind:
        found = weight.reshape(*weight.shape[:2], -1)
    else:
        groups = int(node.get("groups", 1))
        blocks = weight.reshape(groups, weight.shape[0] // groups, weight.shape[1], -1)
        found = blocks.swapaxes(1, 2).reshape(groups * weight.shape[1], weight.shape[0] // groups, -1)
    inputs, outputs, places = found.shape
    found = found.reshape(inputs // taker.repeat, taker.repeat, outputs, places)
    return found.swapaxes(1, 2).reshape(inputs // taker.repeat, outputs, -1)


def scale(model: Rewriting[nn.Module], link: Link, factors: Array) -> None:
    """Divides what makes a wire by factors, one for each channel, and multiplies what takes it."""
    factors = np.asarray(factors, np.float32)
    node = model.graph.nodes[link.maker]
    if node.kind == "layer":
        weight, bias = model.weight_and_bias(link.maker)
        shape = [1] * weight.ndim
        shape[model.weight_axis(link.maker)] = -1
        model.write(link.maker, weight / factors.reshape(shape), None if bias is None else bias / factors)
    else:
        for ref in (node.get("weight"), node.get("bias")):
            if isinstance(ref, Ref):
                path, key = model.graph.nodes[ref.node].value
                home = model.model.get_submodule(path)
                setattr(home, key, np.asarray(getattr(home, key) / factors, np.float32))
    for taker in link.takers:
        weight, bias = model.weight_and_bias(taker.name)
        model.write(taker.name, scaled_inputs(model, taker, weight, factors), bias)


def scaled_inputs(model: Rewriting[nn.Module], taker: Taker, weight: Array, factors: Array) -> Array:
    """A taker's weight, its inputs multiplied by factors of channels."""
    return weight * along_inputs(model, taker, np.asarray(factors, np.float32), weight.shape)


def along_inputs(
    model: Rewriting[nn.Module], taker: Taker, values: Array, shape: Sequence[int | str]
) -> Array:
    """One value for each channel of a wire, as they broadcast to a taker's weight of some shape."""
    each = np.repeat(values, taker.repeat)
    node = model.layers[taker.name]
    groups, rest = int(node.get("groups", 1)), [1] * (len(shape) - 2)
    if "transpose" in node.value.kind:
        return each.reshape(-1, 1, *rest)
    if groups == 1:
        return each.reshape(1, -1, *rest)
    outputs = int(shape[0])
    return np.repeat(each.reshape(groups, -1), outputs // groups, axis=0).reshape(outputs, -1, *rest)
