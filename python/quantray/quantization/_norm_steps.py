"""Normalizations of groups and channels, and logarithms of softmax, as steps of a program."""

from __future__ import annotations

from quantray.graph import Node, Ref
from quantray.quantization._lowering import Lowering, step_of
from quantray.quantization._operands import near, need, rank, wire


@step_of("group_norm", "instance_norm")
def _group_norm(to: Lowering, node: Node) -> None:
    near(to)
    x = node.args[0]
    params: dict[str, object] = {"eps": float(node.get("eps"))}
    if node.kind == "group_norm":
        params["groups"] = int(node.get("num_groups"))
    else:
        need(node.get("running_mean") is None and node.get("running_var") is None)
        need(node.get("use_input_stats") is not False)
    made = to.step(node.kind, (wire(to, x),), node, **params)
    to.put(node, _for_each_channel(to, node, made, rank(to, x)))


def _for_each_channel(to: Lowering, node: Node, made: int, ndim: int) -> int:
    """Times the weight, plus the bias, where there are any."""
    for name, op in (("weight", "mul"), ("bias", "add")):
        value = node.get(name)
        if value is not None:
            need(isinstance(value, Ref))
            wide = to.step("reshape", (wire(to, value),), node, shape=(-1, *[1] * (ndim - 2)))
            made = to.step(op, (made, wide), node)
    return made


@step_of("log_softmax")
def _log_softmax(to: Lowering, node: Node) -> None:
    near(to)
    axis = node.get("dim")
    need(isinstance(axis, int))
    to.put(node, to.step("log_softmax", (wire(to, node.args[0]),), node, axis=axis))
