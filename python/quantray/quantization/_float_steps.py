"""Float nodes as steps of a program, where there is a kernel for them.

The kernels of `quantray.ops` have the bits that the nodes have by themselves. Functions of elements, sums,
and what takes elements from other places have files of their own.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from quantray import nn
from quantray.graph import Node, Ref
from quantray.nn._recurrent_layer import RecurrentLayer
from quantray.nn.intrinsic._fused import BATCH_NORMS
from quantray.nn.quantized import dynamic
from quantray.quantization._layer_steps import put_batch_norm
from quantray.quantization._lowering import DTYPES, Lowering, NotLowered, step_of
from quantray.quantization._recurrent_steps import recurrent_step

_FLOAT = np.dtype(np.float32)


def _need(condition: object, what: str = "") -> None:
    if not condition:
        raise NotLowered(what)


def _wire(to: Lowering, value: Any, dtype: Any = _FLOAT) -> int:
    """The number of an argument that must be a wire of some dtype."""
    _need(isinstance(value, Ref))
    _need(
        to.graph.fact(value).dtype == dtype
        if dtype is not None
        else str(to.graph.fact(value).dtype) in DTYPES
    )
    return to.number(value)


@step_of("layer_norm", "rms_norm")
def _layer_norm(to: Lowering, node: Node) -> None:
    x = node.args[0]
    _need(isinstance(x, Ref) and to.graph.fact(x).dtype == _FLOAT)
    params: dict[str, Any] = {"normalized_shape": node.get("normalized_shape")}
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
        made = to.step(op, (made, _wire(to, value)), node)
    to.put(node, made)


@step_of("softmax")
def _softmax(to: Lowering, node: Node) -> None:
    axis = node.get("dim")
    _need(isinstance(axis, int))
    to.put(node, to.step("softmax", (_wire(to, node.args[0]),), node, axis=axis))


@step_of("functional.embedding")
def _embedding(to: Lowering, node: Node) -> None:
    _need(len(node.args) == 2 and not node.kwargs)
    ids, table = node.args
    _need(isinstance(table, Ref) and table in to.fixed)
    _look_up(to, node, ids, to.fixed[table])


def _look_up(to: Lowering, node: Node, ids: Any, table: Any) -> None:
    _need(isinstance(ids, Ref) and str(to.graph.fact(ids).dtype) in ("int64", "int32"))
    to.put(node, to.step("embedding", (to.number(ids),), node, table=table))


@step_of("functional.self_attention")
def _attention(to: Lowering, node: Node) -> None:
    rows, heads, mask = node.args
    sources = (_wire(to, rows),) if mask is None else (_wire(to, rows), _wire(to, mask))
    to.put(node, to.step("attention", sources, node, heads=int(heads)))


@step_of("module")
def _module(to: Lowering, node: Node) -> None:
    """Layers that quantize what they are given by its own range, and tables of integers."""
    module = to.model.get_submodule(node.value)
    if isinstance(module, RecurrentLayer):
        recurrent_step(to, node, module)
        return
    _need(len(node.args) == 1 and not node.kwargs)
    if type(module) in BATCH_NORMS:
        put_batch_norm(to, node)
        return
    if type(module) is nn.quantized.Embedding:
        _look_up(to, node, node.args[0], module.weight)
        return
    _need(type(module) is dynamic.Linear)
    x = _wire(to, node.args[0])
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
