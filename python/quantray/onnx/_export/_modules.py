"""Nodes that are whole modules: recurrent layers, normalizations, dynamic layers, tables."""

# Arguments of nodes are trees of whatever functions take: their leaves have no type that could be said.
# pyright: reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportUnknownMemberType=false, reportUnknownLambdaType=false

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, TypeAlias, cast

import numpy as np

from quantray import nn
from quantray._core import QTensor
from quantray._typing import Array
from quantray.graph import Node
from quantray.nn.quantized import dynamic
from quantray.nn.quantized._follows import Requantized
from quantray.onnx._export._layers import conv
from quantray.onnx._export._writing import NotExported, Writing, writes
from quantray.onnx.operators._recurrent import Recurrent

if TYPE_CHECKING:
    from quantray._typing import Tensor
    from quantray.nn._module import Module
    from quantray.nn.quantized.dynamic._conv import _Dynamic as DynamicConv

#: Normalizations of images by their channels.
BatchNorm: TypeAlias = nn.BatchNorm1d | nn.BatchNorm2d | nn.BatchNorm3d
#: Layers of steps.
OfSteps: TypeAlias = nn.LSTM | nn.GRU | nn.RNN

#: Where our gates are in a file's order: of i, f, g, o the file's i, o, f, c; of r, z, n its z, r, h.
_GATES = {"LSTM": (0, 3, 1, 2), "GRU": (1, 0, 2), "RNN": (0,)}


@writes("module")
def _module(to: Writing, node: Node) -> None:
    module: Module = to.model.get_submodule(node.value)
    if isinstance(module, Requantized):
        module = module.module
    if isinstance(module, (nn.LSTM, nn.GRU, nn.RNN)):
        _recurrent(to, node, module)
    elif isinstance(module, (nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.QuantStub, nn.DeQuantStub)):
        to.put(node, to.value(node.args[0]))
    elif isinstance(module, (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)):
        _batch_norm(to, node, module)
    elif type(module) is dynamic.Linear:
        to.put(node, _dynamic_linear(to, node, module))
    elif type(module).__module__ == dynamic.Conv2d.__module__:
        to.put(node, _dynamic_conv(to, node, cast("DynamicConv", module)))
    elif type(module) is nn.quantized.WeightOnlyLinear:
        to.put(node, _weight_only(to, node, module))
    elif type(module) is nn.quantized.Embedding:
        _table(to, node, module)
    else:
        raise NotExported(f"a module of class {type(module).__name__}")


def _batch_norm(to: Writing, node: Node, module: BatchNorm) -> None:
    if cast("object", module.running_mean) is None:
        raise NotExported("a batch normalization without statistics")
    channels = len(module.running_mean)
    one, zero = np.ones(channels, np.float32), np.zeros(channels, np.float32)
    weight = one if module.weight is None else module.weight
    bias = zero if module.bias is None else module.bias
    values = [weight, bias, module.running_mean, module.running_var]
    inputs = [to.value(node.args[0]), *(to.constant(np.asarray(value, np.float32)) for value in values)]
    to.put(node, to.op("BatchNormalization", inputs, node=node, epsilon=float(module.eps)))


# Recurrent layers


def _recurrent(to: Writing, node: Node, module: OfSteps) -> None:
    """One node of the file for each layer."""
    kind = nn.LSTM if isinstance(module, nn.LSTM) else nn.GRU if isinstance(module, nn.GRU) else nn.RNN
    op = kind.__name__
    if module.proj_size:
        raise NotExported("a recurrent layer with a projection")
    x, states = node.args[0], node.args[1] if len(node.args) > 1 else node.get("hx")
    if len(to.fact(x).shape) != 3:
        raise NotExported("a recurrent layer of one sequence without its batch")
    ways, name = 1 + module.bidirectional, to.value(x)
    if module.batch_first:
        name = to.op("Transpose", [name], perm=[1, 0, 2])
    given = () if states is None else states if isinstance(states, (tuple, list)) else (states,)
    first = [to.value(state) for state in given]
    state, last = module._own_state(), list[list[str]]()
    ends = module._ends()
    for layer in range(module.num_layers):
        own = ends[layer * ways : (layer + 1) * ways]
        inputs = [name, *_weights(to, node, module, op, own, state), ""]
        if first:
            ends_of = [to.constant(np.array([n], np.int64)) for n in (layer * ways, (layer + 1) * ways, 0)]
            inputs += first if module.num_layers == 1 else [to.op("Slice", [h, *ends_of]) for h in first]
        settings: dict[str, object] = {
            "hidden_size": module.hidden_size,
            "direction": "bidirectional" if ways == 2 else "forward",
        }
        if op == "GRU":
            settings["linear_before_reset"] = 1
        if op == "RNN":
            settings["activations"] = ["Relu" if module.nonlinearity == "relu" else "Tanh"] * ways
        made = to.several(op, inputs, 3 if op == "LSTM" else 2, settings, node=node)
        # (steps, ways, batch, units) as (steps, batch, ways * units).
        turned = to.op("Transpose", [made[0]], perm=[0, 2, 1, 3])
        name = to.op("Reshape", [turned, to.constant(np.array([0, 0, -1], np.int64))])
        last.append(list(made[1:]))
    if module.batch_first:
        name = to.op("Transpose", [name], perm=[1, 0, 2])
    to.put(node, name)
    for out, each in enumerate(zip(*last, strict=True), 1):
        to.put(node, each[0] if len(each) == 1 else to.op("Concat", list(each), axis=0), out)


def recurrent_of_lengths(to: Writing, node: Node, module: Recurrent) -> None:
    """A file's own recurrent layer, whose rows have so many steps each."""
    call, layer = module.call, cast("OfSteps", module.layer)
    given = dict(zip(call.given, node.args, strict=True))
    lengths = to.value(given[4]) if 4 in given else to.constant(np.asarray(module.lengths, np.int32))
    weights = _weights(to, node, layer, call.op, layer._ends(), layer._own_state())
    inputs = [to.value(given[0]), *weights, lengths, *(to.value(given[i]) for i in (5, 6) if i in given)]
    known = ("direction", "activations", "linear_before_reset", "layout")
    settings = {name: call.get(name) for name in known if call.get(name)}
    settings["hidden_size"] = layer.hidden_size
    made = to.several(call.op, inputs, 3 if call.op == "LSTM" else 2, settings, node=node)
    for out, name in enumerate(made):
        to.put(node, name, out)


def _weights(
    to: Writing, node: Node, module: OfSteps, op: str, ends: list[str], state: Mapping[str, Tensor]
) -> list[str]:
    """The weights of a layer's directions, one over the other, gates in the file's order."""
    order, units = list(_GATES[op]), module.hidden_size

    def sorted_gates(x: Array) -> Array:
        return np.ascontiguousarray(x.reshape(len(order), units, *x.shape[1:])[order].reshape(x.shape))

    names: list[str] = []
    for kind in ("weight_ih", "weight_hh"):
        parts = [state[kind + end] for end in ends]
        if isinstance(parts[0], QTensor):
            # All of them are where one is.
            codes = cast("list[QTensor]", parts)
            wide = [_floats_of(to, part, sorted_gates) for part in codes]
            names.append(wide[0] if len(wide) == 1 else to.op("Concat", wide, axis=0))
        else:
            stacked = np.stack([sorted_gates(np.asarray(part, np.float32)) for part in parts])
            names.append(to.constant(stacked, name=f"{node.value}.{kind}"))
    if module.bias:
        rows = [
            np.concatenate(
                [sorted_gates(np.asarray(state[kind + end], np.float32)) for kind in ("bias_ih", "bias_hh")]
            )
            for end in ends
        ]
        names.append(to.constant(np.stack(rows), name=f"{node.value}.bias"))
    else:
        names.append("")
    return names


def _floats_of(to: Writing, weight: QTensor, sorted_gates: Callable[[Array], Array]) -> str:
    """The floats of a direction's weight, on an axis of their own.

    No runtime multiplies the integers of recurrent layers here. From DequantizeLinear onnxruntime would make
    floats of them in every call, and OpenVINO refuses what are no constants then; this they compute once.
    """
    codes, scales, zeros = _codes_and_scales(weight)
    floats = to.op("Cast", [to.constant(sorted_gates(codes))], to=1)
    floats = to.op("Unsqueeze", [floats, to.constant(np.array([0], np.int64))])

    def rows(each: Array) -> str:
        return to.constant(sorted_gates(each.astype(np.float32))[None, :, None] if each.ndim else each)

    if np.any(zeros):
        floats = to.op("Sub", [floats, rows(zeros.astype(np.float32))])
    return to.op("Mul", [floats, rows(scales)])


# Dynamic layers: one range for all rows, as runtimes have it.


def _codes_and_scales(weight: QTensor) -> tuple[Array, Array, Array]:
    codes = np.asarray(weight.int_repr())
    if str(weight.qscheme()).endswith("per_channel_affine"):
        scales = np.asarray(weight.q_per_channel_scales(), np.float32)
        zeros = np.asarray(weight.q_per_channel_zero_points())
    else:
        scales, zeros = np.asarray(weight.q_scale(), np.float32), np.asarray(weight.q_zero_point())
    return codes, scales, zeros.astype(codes.dtype)


def _dynamic_linear(to: Writing, node: Node, module: dynamic.Linear) -> str:
    codes, scales, zeros = _codes_and_scales(module.weight())
    given = to.floats(node.args[0])
    if module.input_factor is not None:
        given = to.op("Mul", [given, to.constant(module.input_factor)], node=node)
    x, scale, zero = to.several("DynamicQuantizeLinear", [given], 3)
    weight = to.constant(np.ascontiguousarray(codes.T), name=f"{node.value}.weight")
    sums = to.op("MatMulInteger", [x, weight, zero, to.constant(zeros)], node=node)
    factor = to.op("Mul", [scale, to.constant(scales)])
    y = to.op("Mul", [to.op("Cast", [sums], to=1), factor], node=node)
    return _finished(to, node, y, module.bias(), module.relu)


def _dynamic_conv(to: Writing, node: Node, module: DynamicConv) -> str:
    if module.transposed or module.padding_mode != "zeros":
        raise NotExported("a dynamic convolution that is transposed, or padded with other values than zeros")
    codes, scales, zeros = _codes_and_scales(module.weight())
    x, scale, zero = to.several("DynamicQuantizeLinear", [to.floats(node.args[0])], 3)
    settings = {name: getattr(module, name) for name in ("stride", "padding", "dilation", "groups")}
    dims = codes.ndim - 2
    inputs = [x, to.constant(codes, name=f"{node.value}.weight"), zero]
    begin = len(to.nodes)
    sums = conv(to, node, inputs, f"conv{dims}d", settings, codes.shape[2:], len(to.fact(node.args[0]).shape))
    own_zeros = zeros.reshape(-1)
    own_zeros = own_zeros.reshape(-1)[0] if np.all(own_zeros == own_zeros[0]) else own_zeros
    more = (to.constant(np.asarray(own_zeros)),) if np.any(zeros) else ()
    at = next(i for i in range(begin, len(to.nodes)) if to.nodes[i].op == "Conv")
    conv_node = to.nodes[at]
    to.nodes[at] = replace(conv_node, op="ConvInteger", inputs=(*conv_node.inputs, *more))
    wide = scales.reshape(-1, *[1] * dims) if np.ndim(scales) else scales
    y = to.op("Mul", [to.op("Cast", [sums], to=1), to.op("Mul", [scale, to.constant(wide)])], node=node)
    bias = module.bias()
    return _finished(
        to, node, y, None if bias is None else np.asarray(bias).reshape(-1, *[1] * dims), module.relu
    )


def _weight_only(to: Writing, node: Node, module: nn.quantized.WeightOnlyLinear) -> str:
    """A product of floats with a weight that the file holds in blocks.

    That inputs may be rounded to 8 bits is said by onnxruntime's own operator alone.
    """
    codes, scales, zeros = module.blocks()
    if module.input_bits == 8:
        return _finished(to, node, _matmul_blocks(to, node, module), module.bias(), module.relu)
    if zeros is not None and not np.array_equal(zeros, np.rint(zeros)):
        # No integers stand for 0 there.
        weight = to.constant(np.ascontiguousarray(module.dequantized().T), name=f"{node.value}.weight")
    else:
        kind = "int4" if module.bits <= 4 else "int8"
        # One scale for all groups of an output needs no blocks, which files have from opset 21 on alone.
        alone = module.is_per_channel()
        if alone and kind == "int8" and zeros is not None:
            # Codes with zero points are unsigned, as compressors write them.
            kind, codes, zeros = "uint8", (codes.astype(np.int16) + 128).astype(np.uint8), zeros + 128
        grids = [scales, *([] if zeros is None else [zeros.astype(codes.dtype)])]
        own = [part[:, 0] if alone else np.ascontiguousarray(part.T) for part in grids]
        inputs = [
            to.constant(np.ascontiguousarray(codes.T), kind, name=f"{node.value}.weight"),
            to.constant(own[0]),
            *(to.constant(part, kind) for part in own[1:]),
        ]
        settings = {"axis": 1} if alone else {"axis": 0, "block_size": module.group_size}
        weight = to.op("DequantizeLinear", inputs, settings=settings)
    y = to.op("MatMul", [to.floats(node.args[0]), weight], node=node)
    return _finished(to, node, y, module.bias(), module.relu)


def _matmul_blocks(to: Writing, node: Node, module: nn.quantized.WeightOnlyLinear) -> str:
    codes, scales, zeros = module.blocks()
    bits = 4 if module.bits <= 4 else 8
    middle, size = 1 << (bits - 1), module.group_size
    outputs, inputs = codes.shape
    padded = np.full((outputs, module.groups * size), middle, np.uint8)
    padded[:, :inputs] = codes.astype(np.int16) + middle
    packed = _packed(padded, bits).reshape(outputs, module.groups, -1)
    given = [to.constant(packed, name=f"{node.value}.weight"), to.constant(scales.reshape(-1))]
    if zeros is not None:
        whole = np.array_equal(zeros, np.rint(zeros))
        shifted = zeros + np.float32(middle)
        given.append(to.constant((_packed(shifted.astype(np.uint8), bits) if whole else shifted).reshape(-1)))
    lengths = {
        "K": inputs,
        "N": outputs,
        "bits": bits,
        "block_size": size,
        "accuracy_level": 4,
    }
    names = [to.value(node.args[0]), *given]
    return to.op("MatMulNBits", names, node=node, domain="com.microsoft", settings=lengths)


def _packed(codes: Array, bits: int) -> Array:
    """Codes of 4 bits two in a byte, the first one in the low bits, each row by itself."""
    if bits == 8:
        return codes
    codes = np.pad(codes, ((0, 0), (0, codes.shape[1] % 2)))
    return codes[:, ::2] | codes[:, 1::2] << 4


def _finished(to: Writing, node: Node, y: str, bias: object, relu: bool) -> str:
    if bias is not None:
        y = to.op("Add", [y, to.constant(np.asarray(bias, np.float32))], node=node)
    return to.op("Relu", [y], node=node) if relu else y


def _table(to: Writing, node: Node, module: nn.quantized.Embedding) -> None:
    """Rows of codes with one scale, or each with its own one and its own zero point, which is a float."""
    weight = module.weight
    codes = np.asarray(weight.int_repr())
    if codes.shape != tuple(weight.shape):
        raise NotExported(f"a table of {weight.dtype}")
    if "per_tensor" in str(weight.qscheme()):
        taken = [to.constant(codes, name=f"{node.value}.weight"), to.value(node.args[0])]
        rows = to.op("Gather", taken, axis=0)
        grid = [np.float32(weight.q_scale()), np.asarray(weight.q_zero_point(), codes.dtype)]
        to.put(node, to.op("DequantizeLinear", [rows, *map(to.constant, grid)], node=node))
        return
    scales = np.asarray(weight.q_per_channel_scales(), np.float32).reshape(-1, 1)
    zeros = np.asarray(weight.q_per_channel_zero_points(), np.float32).reshape(-1, 1)
    ids = to.value(node.args[0])
    rows = to.op(
        "Cast", [to.op("Gather", [to.constant(codes, name=f"{node.value}.weight"), ids], axis=0)], to=1
    )
    own_zero = to.op("Gather", [to.constant(zeros), ids], axis=0)
    own_scale = to.op("Gather", [to.constant(scales), ids], axis=0)
    to.put(node, to.op("Mul", [to.op("Sub", [rows, own_zero]), own_scale], node=node))


@writes("tap", "constant", "parameter")
def _nothing(to: Writing, node: Node) -> None:
    """What only looks on is no part of a file; weights are written where they are taken."""
