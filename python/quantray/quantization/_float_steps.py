"""Float nodes as steps of a program, where there is a kernel for them.

Arithmetic and the kernels of `quantray.ops` have the bits that the nodes have by themselves. Sums are added
up in another order than NumPy's: they are steps only where no integers follow (`is_near`), whose codes
could differ.
"""

from __future__ import annotations

from typing import Any, cast

import numpy as np

from quantray import nn
from quantray.graph import Node, Ref
from quantray.graph._trees import is_sequence
from quantray.nn.quantized import dynamic
from quantray.quantization._lowering import DTYPES, Lowering, NotLowered, step_of

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


@step_of(
    "relu",
    "gelu",
    "silu",
    "sigmoid",
    "tanh",
    "numpy.negative",
    "numpy.absolute",
    "numpy.sqrt",
    "numpy.square",
)
def _unary(to: Lowering, node: Node) -> None:
    params = {"approximate": node.get("approximate")} if node.kind == "gelu" else {}
    x = _wire(to, node.args[0])
    _need(len(node.args) == 1 and set(node.kwargs) <= {"approximate"})
    to.put(node, to.step(node.kind.removeprefix("numpy."), (x,), node, **params))


@step_of("add", "sub", "mul", "div", "numpy.maximum", "numpy.minimum")
def _binary(to: Lowering, node: Node) -> None:
    limits = node.get("limits")
    _need(limits is None or limits == (0.0, None))
    _need(set(node.kwargs) <= {"limits"} and len(node.args) == 2)
    numbers = [_term(to, value) for value in node.args]
    to.put(node, to.step(node.kind.removeprefix("numpy."), tuple(numbers), node, relu=limits is not None))


def _term(to: Lowering, value: Any) -> int:
    """A float32 wire, or a number as one."""
    if isinstance(value, Ref):
        return _wire(to, value)
    _need(isinstance(value, (int, float, np.floating)) and not isinstance(value, bool))
    return to.constant(np.float32(cast("Any", value)))


@step_of("layer_norm", "rms_norm")
def _layer_norm(to: Lowering, node: Node) -> None:
    x = node.args[0]
    _need(isinstance(x, Ref) and to.graph.fact(x).dtype == _FLOAT)
    params: dict[str, Any] = {"normalized_shape": node.get("normalized_shape")}
    for name in ("weight", "bias"):
        value = node.get(name)
        if isinstance(value, Ref):
            _need(value in to.fixed)
            params[name] = to.fixed[value]
    if node.get("eps") is not None:
        params["eps"] = node.get("eps")
    sources = to.terms_of_sum(x, node) or (to.number(x),)
    to.put(node, to.step(node.kind, sources, node, **params))


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


@step_of("ndarray.astype")
def _cast(to: Lowering, node: Node) -> None:
    dtype = str(node.facts[0].dtype)
    _need(dtype in DTYPES and len(node.args) == 2)
    to.put(node, to.step("cast", (_wire(to, node.args[0], None),), node, dtype=dtype))


@step_of("ndarray.sum", "numpy.sum", "ndarray.mean", "numpy.mean")
def _reduction(to: Lowering, node: Node) -> None:
    given = {**dict(zip(("a", "axis"), node.args, strict=False)), **node.kwargs}
    _need(to.is_near and set(given) <= {"a", "axis", "keepdims"})
    axis = given.get("axis")
    axes = None if axis is None else tuple(axis) if is_sequence(axis) else (axis,)
    _need(axes is None or all(isinstance(a, (int, np.integer)) for a in axes))
    x = _wire(to, given["a"])
    op = node.kind.rpartition(".")[2]
    to.put(node, to.step(op, (x,), node, axes=axes, keepdims=bool(given.get("keepdims"))))


@step_of("module")
def _module(to: Lowering, node: Node) -> None:
    """Layers that quantize what they are given by its own range, and tables of integers."""
    module = to.model.get_submodule(node.value)
    _need(len(node.args) == 1 and not node.kwargs)
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
        ),
    )
