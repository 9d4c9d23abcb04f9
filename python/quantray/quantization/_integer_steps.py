"""Steps of integer nodes: layers, sums, products, tables."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from quantray import ops
from quantray._typing import Floats
from quantray.graph import Node, Ref
from quantray.graph._trees import is_array
from quantray.nn.quantized._grid import Grid
from quantray.quantization._integers import QUANTIZE, code_of
from quantray.quantization._layers import Limits
from quantray.quantization._lowering import Lowering, settings_of, step_of
from quantray.quantization._operands import FLOAT, typed

if TYPE_CHECKING:
    PackedConv: TypeAlias = ops.PackedConv1d | ops.PackedConv2d | ops.PackedConv3d

_CONVOLUTIONS = (ops.PackedConv1d, ops.PackedConv2d, ops.PackedConv3d)


@step_of("int.quantize")
def _quantize(to: Lowering, node: Node) -> None:
    grid = settings_of(to.grids[Ref(node.name)])
    divides = bool(node.get("divides"))
    # Images may come as bytes.
    x = typed(to, node.args[0], FLOAT, node)
    to.put(node, to.step("quantize", (x,), node, grid=grid, divides=divides))


@step_of("int.dequantize")
def _dequantize(to: Lowering, node: Node) -> None:
    to.put(node, to.step("dequantize", (to.number(node.args[0]),), node))


def _has_filters_of_one_channel(packed: PackedConv) -> bool:
    """Whether each channel has several filters, which are slower than as many channels of one filter each."""
    return 1 < packed.groups == packed.in_channels < packed.out_channels


def _of_single_channels(packed: PackedConv, copies: int) -> PackedConv:
    """The same filters, each over a copy of its channel."""
    zeros = packed.input_zero_points
    return type(packed)(
        packed.weight(),
        packed.bias(),
        packed.stride,
        packed.padding,
        packed.dilation,
        packed.out_channels,
        None if zeros is None else np.repeat(zeros, copies),
    )


def _layer_step(
    to: Lowering,
    layer: Node,
    node: Node,
    grid: Grid | None,
    limits: Limits,
    *more: int,
    slopes: Floats | None = None,
) -> int:
    packed, x = to.model.get_submodule(layer.value.path).packed, to.number(layer.args[0])
    op = "linear" if isinstance(packed, ops.PackedLinear) else "conv"
    if isinstance(packed, _CONVOLUTIONS) and _has_filters_of_one_channel(packed):
        shape = layer.facts[0].shape
        axis, copies = len(shape) - len(packed.kernel_size) - 1, packed.out_channels // packed.groups
        x = to.step("repeat", (x,), node, axis=axis, repeats=copies)
        packed = _of_single_channels(packed, copies)
    return to.step(
        op,
        (x, *more),
        node,
        packed=packed,
        relu=limits is not None,
        relu6=limits is not None and limits[1] == 6,
        slopes=slopes,
        to=None if grid is None else settings_of(grid),
    )


def _bent(to: Lowering, node: Node) -> bool:
    """A layer whose floats pass PReLU and are quantized then, as one step; whether it is such a layer."""
    bend = to.only_user(node)
    quantize = None if bend is None or bend.kind != "prelu" else to.only_user(bend)
    if quantize is None or quantize.kind != QUANTIZE or bend is None or node.value.limits is not None:
        return False
    slopes = to.known(bend.get("weight"))
    if not is_array(slopes):
        return False
    # A slope for each channel of the second axis: the last one of rows.
    is_linear = isinstance(to.model.get_submodule(node.value.path).packed, ops.PackedLinear)
    has_channels = not is_linear or len(node.facts[0].shape) == 2 or slopes.size == 1
    if slopes.dtype != np.float32 or slopes.ndim > 1 or not has_channels or not np.isfinite(slopes).all():
        return False
    grid = to.grids[Ref(quantize.name)]
    to.put(quantize, _layer_step(to, node, node, grid, None, slopes=slopes.reshape(-1)))
    to.absorbed.update((bend.name, quantize.name))
    return True


@step_of("int.layer")
def _layer(to: Lowering, node: Node) -> None:
    if Ref(node.name) not in to.grids and _bent(to, node):
        return
    to.put(node, _layer_step(to, node, node, to.grids.get(Ref(node.name)), node.value.limits))


@step_of("int.table")
def _table(to: Lowering, node: Node) -> None:
    source, grid = to.grids[node.inputs[0]], to.grids[Ref(node.name)]
    table = node.value.codes(source, grid, divides=bool(node.get("divides"))).tobytes()
    # The table has codes of the grid's range alone.
    full = (
        grid._replace(quant_min=-128, quant_max=127)
        if grid.dtype == "qint8"
        else grid._replace(quant_min=0, quant_max=255)
    )
    to.put(node, to.step("table", (to.number(node.args[0]),), node, table=table, grid=settings_of(full)))


@step_of("int.add")
def _sum(to: Lowering, node: Node) -> None:
    a, b = node.args[:2]
    grid, limits = to.grids[Ref(node.name)], node.get("limits")
    for term, other in ((a, b), (b, a)):
        if term.node in to.merged:
            layer = to.graph.nodes[term.node]
            to.put(node, _layer_step(to, layer, node, grid, limits, to.number(other)))
            return
    if a not in to.grids and b in to.grids:
        a, b = b, a
    sources = to.number(a), to.number(b)
    if b not in to.grids:
        # Floats and codes.
        sources = sources[::-1]
    made = to.step("add", sources, node, grid=settings_of(grid), relu=limits is not None)
    if limits is not None and limits[1] is not None:
        low = -128 if grid.dtype == "qint8" else 0
        made = to.step("clamp", (made,), node, lo=low, hi=code_of(limits[1], grid))
    to.put(node, made)


@step_of("int.sub", "int.mul")
def _difference(to: Lowering, node: Node) -> None:
    sources = tuple(to.number(ref) for ref in node.args[:2])
    grid = settings_of(to.grids[Ref(node.name)])
    to.put(node, to.step(node.kind.removeprefix("int."), sources, node, grid=grid))


@step_of("int.matmul")
def _matmul(to: Lowering, node: Node) -> None:
    sources = tuple(to.number(ref) for ref in node.args[:2])
    to.put(node, to.step("matmul", sources, node, grid=settings_of(to.grids[Ref(node.name)])))


@step_of("int.concat")
def _concat(to: Lowering, node: Node) -> None:
    sources = tuple(to.number(ref) for ref in node.args[0])
    grid = settings_of(to.grids[Ref(node.name)])
    to.put(node, to.step("cat", sources, node, axis=int(node.get("axis")), grid=grid))
