"""Float nodes as steps of a program, where there is a kernel for them.

The kernels of `quantray.ops` have the bits that the nodes have by themselves. Functions of elements, sums,
and what takes elements from other places have files of their own.
"""

from __future__ import annotations

from typing import TypeAlias

import numpy as np

from quantray import nn
from quantray._typing import Tensor
from quantray.graph import Node, Ref
from quantray.graph.kinds._table import bound
from quantray.nn._recurrent_layer import RecurrentLayer
from quantray.nn.intrinsic._fused import BATCH_NORMS
from quantray.nn.quantized import dynamic
from quantray.quantization._layer_steps import put_batch_norm
from quantray.quantization._lowering import Lowering, NotLowered, step_of
from quantray.quantization._operands import need, wire
from quantray.quantization._recurrent_steps import recurrent_step

_FLOAT = np.dtype(np.float32)


@step_of("layer_norm", "rms_norm")
def _layer_norm(to: Lowering, node: Node) -> None:
    x = node.args[0]
    need(isinstance(x, Ref) and to.graph.fact(x).dtype == _FLOAT)
    params: dict[str, object] = {"normalized_shape": node.get("normalized_shape")}
    moving: list[tuple[str, Ref]] = []
    for name, op in (("weight", "mul"), ("bias", "add")):
        value = node.get(name)
        # After a weight that is computed the bias comes by itself, too.
        if isinstance(value, Ref) and (moving or value not in to.fixed):
            moving.append((op, value))
        elif isinstance(value, Ref):
            params[name] = to.fixed[value]
    if node.get("eps") is not None:
        params["eps"] = node.get("eps")
    elif node.kind == "rms_norm":
        params["eps"] = float(np.finfo(np.float32).eps)
    sources = to.terms_of_sum(x, node) or (to.number(x),)
    made = to.step(node.kind, sources, node, **params)
    for op, value in moving:
        made = to.step(op, (made, wire(to, value)), node)
    to.put(node, made)


@step_of("softmax")
def _softmax(to: Lowering, node: Node) -> None:
    axis = node.get("dim")
    need(isinstance(axis, int))
    to.put(node, to.step("softmax", (wire(to, node.args[0]),), node, axis=axis))


@step_of("functional.embedding")
def _embedding(to: Lowering, node: Node) -> None:
    (ids, table), settings = bound(nn.functional.embedding, node, ("input", "weight"))
    # Rows that are longer are made shorter; all else is for gradients.
    need(isinstance(table, Ref) and table in to.fixed and settings["max_norm"] is None)
    _look_up(to, node, ids, to.fixed[table], bool(settings["from_end"]))


def _look_up(to: Lowering, node: Node, ids: object, table: Tensor, from_end: bool) -> None:
    if not isinstance(ids, Ref) or str(to.graph.fact(ids).dtype) not in ("int64", "int32"):
        raise NotLowered("ids")
    to.put(node, to.step("embedding", (to.number(ids),), node, table=table, from_end=from_end))


@step_of("functional.self_attention")
def _attention(to: Lowering, node: Node) -> None:
    rows, heads, mask = node.args
    sources = (wire(to, rows),) if mask is None else (wire(to, rows), wire(to, mask))
    to.put(node, to.step("attention", sources, node, heads=int(heads)))


_Convolution: TypeAlias = dynamic.Conv1d | dynamic.Conv2d | dynamic.Conv3d


def _dynamic_conv(to: Lowering, node: Node, module: _Convolution) -> None:
    """A convolution that quantizes its images, with the ReLU after it."""
    (x,) = node.args
    need(module.padding_mode == "zeros" and len(to.graph.fact(x).shape) == module._dims + 2)
    after = to.only_user(node)
    relu = after is not None and after.kind == "relu"
    step = to.step(
        "conv",
        (wire(to, x),),
        node,
        packed=module._packed,
        relu=module.relu or relu,
        per_row=module.per_row,
        reduce_range=module.reduce_range,
        onnx=module.onnx,
    )
    to.put(node, step)
    if after is not None and relu:
        to.put(after, step)
        to.absorbed.add(after.name)


@step_of("module")
def _module(to: Lowering, node: Node) -> None:
    """Layers that quantize what they are given by its own range, and tables of integers."""
    module = to.model.get_submodule(node.value)
    if isinstance(module, RecurrentLayer):
        recurrent_step(to, node, module)
        return
    need(len(node.args) == 1 and not node.kwargs)
    if type(module) in BATCH_NORMS:
        put_batch_norm(to, node)
        return
    if type(module) is nn.quantized.Embedding:
        _look_up(to, node, node.args[0], module.weight, module.from_end)
        return
    if isinstance(module, _Convolution):
        _dynamic_conv(to, node, module)
        return
    if type(module) is nn.quantized.WeightOnlyLinear:
        # Zero points between codes need sums of the inputs.
        need(module._shifts is None)
        x = wire(to, node.args[0])
        to.put(node, to.step("linear", (x,), node, packed=module._packed, relu=module.relu))
        return
    need(type(module) is dynamic.Linear)
    x = wire(to, node.args[0])
    if module.input_factor is not None:
        x = to.step("mul", (x, to.constant(module.input_factor)), node)
    to.put(
        node,
        to.step(
            "linear",
            (x,),
            node,
            packed=module._packed,
            relu=module.relu,
            per_row=module.per_row,
            reduce_range=module.reduce_range,
            onnx=module.onnx,
        ),
    )
