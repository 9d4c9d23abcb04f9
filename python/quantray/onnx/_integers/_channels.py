"""Grids with a scale for each channel, as factors around a grid with one.

NNCF gives the inputs of depthwise convolutions such grids. The integers are the same as those of one grid
that values are on once each channel has been multiplied by a factor of its own; the convolution behind it,
which adds up no two channels, and the layer before it have these factors in the scales of their weights.
Zero points that differ are shifts of channels, which the convolution behind knows.
"""

# Arguments of nodes are trees of whatever functions take: their leaves have no type that could be said.
# pyright: reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportUnknownMemberType=false

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import numpy as np

from quantray._core import QTensor, make_per_channel_quantized_tensor
from quantray.graph import Fact, Graph, Node, Ref, Rewriter
from quantray.nn.quantized._grid import Grid, is_scale
from quantray.onnx._integers._grids import DEQUANTIZE, KINDS, QUANTIZE, is_exact_move
from quantray.onnx.operators import Array


class Values(Protocol):
    """What is known of a graph's parameters."""

    def array(self, node: Node) -> Array:
        """The array of a parameter."""
        ...


class Channels(NamedTuple):
    """Grids along the second axis."""

    scales: Array
    zeros: Array
    kind: str

    def of_positive(self) -> Channels:
        """Grids that share a zero point, for values that are never negative.

        No code below that of 0 is used then. What the others stand for goes from 0 to the same end in the
        finer steps of all codes: none is a step away.
        """
        _, low, high = KINDS[self.kind]
        used = (high - self.zeros).astype(np.float64)
        if np.ptp(self.zeros) == 0 or np.any(used <= 0):
            return self
        scales = (self.scales * used / (high - low)).astype(np.float32)
        return Channels(scales, np.full_like(self.zeros, low), self.kind)

    @property
    def scale(self) -> np.float32:
        """The one scale that takes the place of all."""
        return np.float32(self.scales.max())

    @property
    def zero_point(self) -> Any:
        """The zero point that takes the place of all."""
        return np.dtype(self.kind).type(np.sort(self.zeros)[len(self.zeros) // 2])

    @property
    def shifts(self) -> Array:
        """What is added to channels so that codes of the one grid have these zero points; zeros mostly."""
        return self.scale * (self.zeros - int(self.zero_point)).astype(np.float32)


def _known(value: Any, graph: Graph, values: Values) -> Array | None:
    """The array that an argument always is."""
    if not isinstance(value, Ref):
        return None if value is None else np.asarray(value)
    node = graph.nodes[value.node]
    if node.kind == "parameter":
        return values.array(node)
    return np.asarray(node.value) if node.kind == "constant" else None


def channels_of(node: Node, graph: Graph, values: Values) -> Channels | None:
    """The grids of what quantizes, or dequantizes, by channels; None where they are no such ones."""
    given = dict(zip(("x", "scale", "zero_point"), node.args, strict=False))
    fact = graph.fact(given["x"])
    kind = node.get("kind") if node.kind != DEQUANTIZE else str(fact.dtype)
    scales = _known(given["scale"], graph, values)
    if kind not in KINDS or scales is None or scales.ndim != 1 or scales.size < 2:
        return None
    zeros = given.get("zero_point")
    zeros = np.zeros(scales.shape, np.int64) if zeros is None else _known(zeros, graph, values)
    is_second = node.get("axis") == 1 and not node.get("block_size")
    if zeros is None or not is_second or fact.shape[1:2] != scales.shape or zeros.shape != scales.shape:
        return None
    scales = scales.astype(np.float32)
    return Channels(scales, zeros.astype(np.int64), kind) if all(map(is_scale, scales.tolist())) else None


def with_one_scale(graph: Graph, values: Values) -> Graph:
    """A graph in which what is quantized by channels is multiplied by factors, and has one scale.

    What dequantizes it divides by them again, and changes no integers: `placed` leaves out both where layers
    have them in their weights.
    """
    found: dict[Ref, Channels] = {}
    users, outputs = graph.users(), set(graph.outputs)
    for node in graph:
        if node.kind != QUANTIZE or not isinstance(node.args[0], Ref):
            continue
        own, takers = channels_of(node, graph, values), users.get(Ref(node.name), [])
        if own is None or Ref(node.name) in outputs or graph.fact(node.args[0]).dtype != np.float32:
            continue
        even = own.of_positive() if _is_positive(graph.nodes[node.args[0].node]) else own
        readers = [graph.nodes[name] for taker in takers for name in users.get(Ref(taker), [])]
        if not even.shifts.any():
            # Zeros around images are zeros whatever they are multiplied by.
            readers = [
                graph.nodes[name]
                for reader in readers
                for name in (users.get(Ref(reader.name), []) if _pads(reader) else [reader.name])
            ]
        if not readers or not all(_reads_apart(reader, graph) for reader in readers):
            continue
        if all(_same(graph.nodes[name], own, graph, values) for name in takers):
            found[Ref(node.name)] = even
    if not found:
        return graph
    made = Rewriter(graph)
    #: By what is dequantized, the same before it is divided by the factors.
    before: dict[Ref, Ref] = {}
    for node in graph:
        if Ref(node.name) in found:
            own = found[Ref(node.name)]
            x = _with(made, "mul", made.find(node.args[0]), own.scale / own.scales, node)
            x = _with(made, "add", x, own.shifts, node)
            made.add(node.but(args=(x, own.scale, own.zero_point)))
        elif node.kind == DEQUANTIZE and node.args[0] in found:
            own = found[node.args[0]]
            x = made.add(node.but(args=(node.args[0], own.scale, own.zero_point)))
            before[Ref(node.name)] = x
            x = _with(made, "add", x, -own.shifts, node)
            made.replace(Ref(node.name), _with(made, "mul", x, own.scales / own.scale, node))
        elif node.args and node.args[0] in before and _pads(node):
            own = found[graph.nodes[node.args[0].node].args[0]]
            made.nodes[node.name] = node.but(args=(before[node.args[0]], *node.args[1:]))
            x = _with(made, "mul", Ref(node.name), own.scales / own.scale, node)
            made.replace(Ref(node.name), x)
        else:
            made.add(node)
    return made.graph().pruned()


def _pads(node: Node) -> bool:
    """Whether a node puts zeros around each channel of images."""
    if node.kind != "pad" or not is_exact_move(node) or node.get("mode", "constant") != "constant":
        return False
    return len(node.get("pad")) <= 2 * (len(node.facts[0].shape) - 2)


def _reads_apart(node: Node, graph: Graph) -> bool:
    """Whether each output of a node is of one channel of what it takes."""
    kind = node.value.kind if node.kind == "layer" else node.kind
    if kind not in ("conv1d", "conv2d", "conv3d") or not isinstance(node.args[1], Ref):
        return False
    return graph.fact(node.args[1]).shape[1] == 1


def _is_positive(node: Node) -> bool:
    """Whether a node makes no negative values."""
    return node.kind in ("relu", "sigmoid") or (node.kind == "clip" and node.get("low") == 0)


def _same(node: Node, own: Channels, graph: Graph, values: Values) -> bool:
    if node.kind != DEQUANTIZE:
        return False
    other = channels_of(node, graph, values)
    if other is None or other.kind != own.kind:
        return False
    return np.array_equal(other.scales, own.scales) and np.array_equal(other.zeros, own.zeros)


def _with(made: Rewriter, kind: str, x: Ref, each: Array, like: Node) -> Ref:
    """A value whose channels are multiplied by numbers, or to which these are added."""
    if kind == "add" and not each.any():
        return x
    shape = like.facts[0].shape
    array = each.astype(np.float32).reshape(-1, *[1] * (len(shape) - 2))
    name = made.name(f"{like.name}.{kind}")
    constant = Node(
        made.name(f"{name}.channels"),
        "constant",
        facts=(Fact(array.shape, array.dtype),),
        value=array,
        scope=like.scope,
        at=like.at,
    )
    made.nodes[constant.name] = constant
    facts = (Fact(shape, np.dtype(np.float32)),)
    made.nodes[name] = Node(name, kind, (x, Ref(constant.name)), {}, facts, like.scope, like.at)
    return Ref(name)


def channels_by(kind: str, node: Node, graph: Graph, values: Values) -> Array | None:
    """The numbers that a node multiplies channels by, or adds to them; None for other nodes."""
    if node.kind != kind or len(node.args) != 2 or node.kwargs:
        return None
    x, other = node.args
    array, shape = _known(other, graph, values), node.facts[0].shape
    if array is None or not isinstance(x, Ref) or len(shape) < 3:
        return None
    if array.shape != (shape[1], *[1] * (len(shape) - 2)):
        return None
    return array.reshape(-1) if kind == "add" or np.all(array > 0) else None


def zeros_by(shifts: Array, grid: Grid) -> list[int] | None:
    """The zero points of channels that have these shifts on a grid; None where no code stands for 0."""
    exact = grid.zero_point - shifts.astype(np.float64) / grid.scale
    zeros = np.rint(exact)
    low, high = (-128, 127) if grid.dtype == "qint8" else (0, 255)
    if np.abs(exact - zeros).max() > 1e-3 or zeros.min() < low or zeros.max() > high:
        return None
    return zeros.astype(int).tolist()


def reads_channels_apart(node: Node, graph: Graph) -> bool:
    """Whether each output of a layer is of one channel of its input, and no two layers share the weight."""
    return _reads_apart(node, graph) and _is_alone(node, graph)


def within_factors(node: Node, factors: Array, grid: Grid, graph: Graph) -> Node | None:
    """A layer whose outputs are multiplied by factors, and then rounded to a grid, by its own finish.

    None where its limits are others for each channel then.
    """
    layer = node.value
    if "transpose" in layer.kind or layer.kind == "linear" or not _is_alone(node, graph):
        return None
    if layer.limits is None:
        return node
    low, high = layer.limits
    if low not in (None, 0):
        return None
    # Values beyond the greatest code become that one in any case.
    most = (grid.quant_max - grid.zero_point - 0.5) * np.float64(grid.scale)
    if high is not None and not np.all(high * factors.astype(np.float64) >= most):
        return None
    return node.but(value=layer._replace(limits=None if low is None else (low, None)))


def _is_alone(node: Node, graph: Graph) -> bool:
    weight = node.args[1]
    return sum(weight in other.inputs for other in graph) == 1


@dataclass
class Factors:
    """What the scales of a layer's weight are multiplied by: for its input's channels, for its outputs."""

    reads: Array | None = None
    makes: Array | None = None
    #: The zero points of the input's channels, where these have some of their own.
    zeros: list[int] | None = None

    def folded(self, weight: QTensor, bias: Array | None, axis: int) -> tuple[QTensor, Array | None]:
        """The weight with other scales, and the bias in the units of the outputs."""
        count = weight.shape[axis]
        is_per_channel = str(weight.qscheme()).endswith("per_channel_affine")
        scales = np.asarray(weight.q_per_channel_scales() if is_per_channel else weight.q_scale())
        zeros = np.asarray(weight.q_per_channel_zero_points() if is_per_channel else weight.q_zero_point())
        scales, zeros = np.broadcast_to(scales, count), np.broadcast_to(zeros, count)
        for factors in (self.reads, self.makes):
            if factors is not None:
                scales = (scales * np.repeat(factors, count // factors.size)).astype(np.float32)
        if bias is not None and self.makes is not None:
            bias = (bias * self.makes).astype(np.float32)
        codes: Any = np.ascontiguousarray(weight.int_repr())
        return make_per_channel_quantized_tensor(codes, scales.astype(np.float64), zeros, axis), bias
