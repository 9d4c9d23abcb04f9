"""Nodes of integers, as QDQ: float operators between what dequantizes inputs and what quantizes outputs.

Zero points are even: runtimes that add them before rounding, and those that add them after it, agree then.
Those of a model that was loaded are as its file has them.
"""

# Arguments of nodes are trees of whatever functions take: their leaves have no type that could be said.
# pyright: reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportUnknownMemberType=false, reportUnknownLambdaType=false

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import numpy as np

from quantray.graph import Node, Ref
from quantray.nn.quantized._grid import Grid
from quantray.onnx._export._functions import limited
from quantray.onnx._export._layers import conv, linear
from quantray.onnx._export._moves import MOVES
from quantray.onnx._export._writing import NotExported, Writing, writer_of, writes
from quantray.quantization._layers import weights_of
from quantray.quantization._reading import bits_between

if TYPE_CHECKING:
    from quantray._typing import Array, Kwargs
    from quantray.nn.quantized._weighted import Weighted


_DTYPES = {"qint8": np.int8, "quint8": np.uint8}


def even(grid: Grid) -> tuple[np.float32, int]:
    """A grid's scale, and its zero point or an even one beside it: the ends of the range move by one step."""
    zero, low, high = grid.zero_point, *((-128, 127) if grid.dtype == "qint8" else (0, 255))
    if zero % 2:
        # Towards the middle, where it is inside of the range for sure.
        zero += 1 if zero < (low + high) / 2 else -1
    return np.float32(grid.scale), zero


def quantized(to: Writing, node: Node, x: str, grid: Grid) -> str:
    """Floats that were rounded to a grid."""
    if grid.dtype not in _DTYPES:
        raise NotExported(f"values of {grid.dtype}")
    scale, zero = even(grid)
    if to.keeps_zero_points:
        zero = grid.zero_point
    low, high = (-128, 127) if grid.dtype == "qint8" else (0, 255)
    if (grid.quant_min, grid.quant_max) != (low, high):
        # Fewer bits than the dtype has.
        ends = [(n - grid.zero_point) * grid.scale for n in (grid.quant_min, grid.quant_max)]
        x = to.op("Clip", [x, *(to.constant(np.float32(end)) for end in ends)], node=node)
    settings = to.constant(scale), to.constant(np.array(zero, _DTYPES[grid.dtype]))
    if to.rounded.get(x) == settings:
        # What moves nothing. OpenVINO 2026.4 ends the process where codes that were joined are rounded twice.
        return x
    codes = to.op("QuantizeLinear", [x, *settings], node=node)
    made = to.op("DequantizeLinear", [codes, *settings], node=node)
    to.rounded[made] = settings
    return made


@writes("onnx.quantize_linear")
def _codes(to: Writing, node: Node) -> None:
    """Integers that an operator takes, or the model gives, made of the floats that they stand for."""
    if len(node.args) != 3 or dict(node.kwargs).keys() != {"kind"}:
        raise NotExported("integers of several grids")
    x, *grid = node.args
    settings = [to.value(each) if isinstance(each, Ref) else to.constant(each) for each in grid]
    to.put(node, to.op("QuantizeLinear", [to.value(x), *settings], node=node))


@writes("onnx.fake_quantize")
def _fake_quantize(to: Writing, node: Node) -> None:
    """What a loaded file rounds inside of a function."""
    x, scale, zero = node.args
    kind = np.dtype(node.get("kind"))
    settings = [
        to.value(value) if isinstance(value, Ref) else to.constant(np.asarray(value, own))
        for value, own in ((scale, np.float32), (zero, kind))
    ]
    codes = to.op("QuantizeLinear", [to.value(x), *settings], node=node)
    ends = node.get("low"), node.get("high")
    if ends != (None, None):
        limits = (to.constant(np.array(end, kind)) for end in ends)
        codes = to.op("Clip", [codes, *limits], node=node)
    to.put(node, to.op("DequantizeLinear", [codes, *settings], node=node))


@writes("layer")
def _float_layer(to: Writing, node: Node) -> None:
    """A layer that stays in float, with its normalization folded into it."""
    layer = node.value
    weight, bias = layer.weight_and_bias(to.model, weights_of(node, to.graph, to.model), node.kwargs)
    x = node.args[0]
    names = [to.constant(np.asarray(weight, np.float32), name=f"{node.name}.weight")]
    if bias is not None:
        names.append(to.constant(np.asarray(bias, np.float32), name=f"{node.name}.bias"))
    ndim = len(to.fact(x).shape)
    if layer.kind == "linear":
        y = linear(to, node, to.floats(x), ndim, weight, None if bias is None else names[1])
    else:
        y = conv(to, node, [to.floats(x), *names], layer.kind, node.kwargs, np.shape(weight)[2:], ndim)
    to.put(node, limited(to, node, y, layer.limits))


@writes("int.quantize")
def _quantize(to: Writing, node: Node) -> None:
    to.put(node, quantized(to, node, to.floats(node.args[0]), to.grids[Ref(node.name)]))


@writes("int.dequantize")
def _dequantize(to: Writing, node: Node) -> None:
    to.put(node, to.value(node.args[0]))


def _finished(to: Writing, node: Node, y: str, limits: tuple[float, float | None] | None = None) -> None:
    """A node's output within limits, on its grid where it has one."""
    y = limited(to, node, y, limits)
    grid = to.grids.get(Ref(node.name))
    to.put(node, y if grid is None else quantized(to, node, y, grid))


@writes("int.layer")
def _layer(to: Writing, node: Node) -> None:
    # Layers of integers are of this class, as the kind says.
    module = cast("Weighted", to.model.get_submodule(node.value.path))
    source = node.args[0]
    weight = weight_of(to, node, module)
    x_scale = np.float32(even(to.grids[source])[0])
    bias = bias_of(to, node, module, x_scale)
    kind = _kind_of(module)
    x, ndim = to.value(source), len(to.fact(source).shape)
    if kind == "linear":
        if ndim == 2:
            y = linear(to, node, x, ndim, weight, bias)
        else:
            turned = weight_of(to, node, module, turned=True)
            y = to.op("MatMul", [x, turned], node=node)
            if bias is not None:
                plain = module.bias()
                y = to.op("Add", [y, to.constant(np.asarray(plain, np.float32))], node=node)
    else:
        zeros = getattr(module.packed, "input_zero_points", None)
        if zeros is not None:
            # What its channels' own zero points stand for is added to the values of the one that they share.
            shifts = (to.grids[source].zero_point - zeros.astype(np.float32)) * x_scale
            shifts = to.constant(shifts.reshape(-1, *[1] * (ndim - 2)))
            x = to.op("Add", [x, shifts], node=node)
        inputs = [x, weight] + ([] if bias is None else [bias])
        weight_shape = module.weight().shape
        y = conv(to, node, inputs, kind, settings_of(module, kind), tuple(weight_shape[2:]), ndim)
    _finished(to, node, y, node.value.limits)


def settings_of(module: Weighted, kind: str) -> Kwargs:
    """A layer's settings, as its kind calls them."""
    names = ("stride", "padding", "dilation", "groups")
    if "transpose" in kind:
        names = ("stride", "padding", "output_padding", "groups", "dilation")
    return dict(zip(names, module._settings, strict=False))


def _kind_of(module: Weighted) -> str:
    name = type(module).__name__
    for dims in (1, 2, 3):
        if name.endswith(f"ConvTranspose{dims}d"):
            return f"conv_transpose{dims}d"
        if name.endswith((f"Conv{dims}d", f"ConvReLU{dims}d")):
            return f"conv{dims}d"
    if "Linear" in name:
        return "linear"
    raise NotExported(f"a layer of class {name}")


def weight_of(to: Writing, node: Node, module: Weighted, *, turned: bool = False) -> str:
    """A layer's weight: integers in the file, dequantized; as it lies, or turned for a product."""
    weight = module.weight()
    codes = np.asarray(weight.int_repr())
    if str(codes.dtype) not in ("int8", "uint8"):
        raise NotExported(f"weights of {weight.dtype}")
    if str(weight.qscheme()).endswith("per_channel_affine"):
        scales = np.asarray(weight.q_per_channel_scales(), np.float32)
        zeros = np.asarray(weight.q_per_channel_zero_points()).astype(codes.dtype)
        axis = int(weight.q_per_channel_axis())
    else:
        scales, zeros = (
            np.asarray(weight.q_scale(), np.float32),
            np.asarray(weight.q_zero_point(), codes.dtype),
        )
        axis = 0
    if turned:
        codes, axis = np.ascontiguousarray(codes.T), codes.ndim - 1 - axis
    kind = _type_of(to, module, codes, zeros)
    held = to.constant(codes, kind, name=f"{node.value.path}.weight")
    inputs = [held, to.constant(scales), to.constant(zeros, kind)]
    return to.op("DequantizeLinear", inputs, node=node, axis=axis if scales.ndim else None)


def _type_of(to: Writing, module: Weighted, codes: Array, zeros: Array) -> str | None:
    """The type of integers that lie two to a byte, where a layer's weight has 4 bits; else None."""
    if not to.has_small_integers or bits_between(*module.weight_range) > 4:
        return None
    kind, low = ("int4", -8) if codes.dtype == np.int8 else ("uint4", 0)
    fit = all(part.size == 0 or (part.min() >= low and part.max() <= low + 15) for part in (codes, zeros))
    return kind if fit else None


def bias_of(to: Writing, node: Node, module: Weighted, x_scale: np.float32) -> str | None:
    """A layer's bias as integers of the products' scale, dequantized."""
    bias = module.bias()
    if bias is None:
        return None
    weight = module.weight()
    is_per_channel = str(weight.qscheme()).endswith("per_channel_affine")
    scales = np.asarray(weight.q_per_channel_scales() if is_per_channel else weight.q_scale(), np.float32)
    scales = scales * x_scale
    values = np.asarray(bias, np.float64) / scales
    whole = np.rint(values)
    are_floats = to.keeps_zero_points and np.any(np.abs(values - whole) > 1e-3 + 1e-6 * np.abs(values))
    if are_floats or not np.all(np.abs(values) < 2**31 - 1):
        # Steps too small for this bias, or one of a file that has it in floats: it stays so.
        return to.constant(np.asarray(bias, np.float32), name=f"{node.value.path}.bias")
    codes = whole.astype(np.int32)
    zeros = np.zeros_like(scales, np.int32)
    inputs = [to.constant(codes, name=f"{node.value.path}.bias"), to.constant(scales), to.constant(zeros)]
    return to.op("DequantizeLinear", inputs, node=node, axis=0 if scales.ndim else None)


@writes("int.table")
def _table(to: Writing, node: Node) -> None:
    _finished(to, node, function(to, node.value.node, to.value(node.args[0]), node))


def function(to: Writing, inner: Node, x: str, node: Node) -> str:
    """A function of one array, written out in floats."""
    if inner.kind == "formula":
        return _formula(to, inner, x)
    source = node.args[0]
    made = inner.but(
        args=tuple(source if isinstance(arg, Ref) else arg for arg in inner.args), name=node.name
    )
    writer = writer_of(inner.kind)
    if writer is None:
        raise NotExported(inner.kind)
    before = to.values.get(source)
    to.values[source] = x
    writer(to, made)
    if before is not None:
        to.values[source] = before
    return to.values.pop(Ref(made.name))


def _formula(to: Writing, node: Node, x: str) -> str:
    """Nodes that together are a function of one array."""
    formula = node.value[0]
    outer, values = to.graph, to.values
    to.graph, to.values = formula.graph, {}
    try:
        for inner in formula.graph:
            if inner.kind == "input":
                to.values[Ref(inner.name)] = x
            elif inner.kind == "constant":
                to.values[Ref(inner.name)] = to.constant(np.asarray(inner.value))
            else:
                writer = writer_of(inner.kind)
                if writer is None:
                    raise NotExported(f"{inner.name}: {inner.kind}")
                writer(to, inner)
        return to.values[formula.graph.outputs[0]]
    finally:
        to.graph, to.values = outer, values


@writes("formula")
def _float_formula(to: Writing, node: Node) -> None:
    to.put(node, _formula(to, node, to.value(node.args[0])))


@writes("int.add", "int.sub", "int.mul", "int.matmul")
def _pair(to: Writing, node: Node) -> None:
    op = {"int.add": "Add", "int.sub": "Sub", "int.mul": "Mul", "int.matmul": "MatMul"}[node.kind]
    y = to.op(op, [to.value(ref) for ref in node.args[:2]], node=node)
    _finished(to, node, y, node.get("limits"))


@writes("int.concat")
def _concat(to: Writing, node: Node) -> None:
    axis = int(node.get("axis"))
    _finished(to, node, to.op("Concat", [to.value(ref) for ref in node.args[0]], node=node, axis=axis))


@writes("int.mean")
def _mean(to: Writing, node: Node) -> None:
    """Means on a grid of their own."""
    (source, *_) = node.inputs
    y = MOVES[node.value](to, node, to.value(source), to.fact(source).shape, node.kwargs)
    _finished(to, node, y)


@writes("int.move")
def _move(to: Writing, node: Node) -> None:
    """What passes codes on, on the grid that they came on."""
    (source, *_) = node.inputs
    move = MOVES.get(node.value)
    if move is not None:
        y = move(to, node, to.value(source), to.fact(source).shape, node.kwargs)
    else:
        writer = writer_of(node.value)
        if writer is None:
            raise NotExported(node.value)
        writer(to, node.but(kind=node.value))
        y = to.values[Ref(node.name)]
    to.put(node, quantized(to, node, y, to.grids[Ref(node.name)]))
