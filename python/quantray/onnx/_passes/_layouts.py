"""Images whose channels are turned to the end behind each layer, and to the front before the next one.

Exporters of frameworks that have channels last (TensorFlow, JAX) write a transposition behind each
convolution. What computes element by element does the same before it: so it meets the layer, of which it
becomes a part, and the transposition meets the one that undoes it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import numpy as np

from quantray.onnx._file import GraphFile, NodeFile
from quantray.onnx._passes._draft import Draft, free_names
from quantray.onnx._shapes import ONE_BY_ONE

#: What takes two arrays, or an array and a constant.
_BINARY = frozenset(("Add", "Sub", "Mul", "Div", "Max", "Min", "Pow", "PRelu"))
_REDUCTIONS = frozenset(("ReduceMean", "ReduceMax", "ReduceMin", "ReduceSum"))
#: Layers of images, and what stands between them.
_IMAGES = frozenset(
    (
        "AveragePool",
        "BatchNormalization",
        "Concat",
        "Conv",
        "ConvTranspose",
        "DepthToSpace",
        "GlobalAveragePool",
        "GlobalMaxPool",
        "InstanceNormalization",
        "MaxPool",
        "Pad",
        "Resize",
        "SpaceToDepth",
        "Upsample",
    )
)
#: What a transposition may come behind.
_SOURCES = _IMAGES | ONE_BY_ONE | _BINARY | _REDUCTIONS


#: For each value what takes it; None for what is around the nodes: outputs, graphs inside.
_Users = Mapping[str, Sequence[NodeFile | None]]


def channels_first(draft: Draft) -> None:
    """Moves transpositions to channels last behind what can be computed before them."""
    users = _users(draft)
    made: list[NodeFile] = []
    for node in draft.nodes:
        moved = _moved(draft, node, users)
        made += [node] if moved is None else moved
        if moved is not None:
            draft.know(moved)
    draft.replace(made)


def _moved(draft: Draft, node: NodeFile, users: _Users) -> list[NodeFile] | None:
    """A node that computes with channels first, and the transposition of what it gives."""
    rule = _rule(node)
    if rule is None or len(node.outputs) != 1 or not node.outputs[0]:
        return None
    orders = {name: _order(draft, name, users) for name in node.inputs}
    order = next((found for found in orders.values() if found is not None), None)
    if order is None:
        return None
    found = rule(draft, node, order, {name for name, own in orders.items() if own == order})
    if found is None:
        return None
    inner, left = found
    if left is None:
        return [inner]
    between = draft.new(node.outputs[0])
    turned = replace(node, name="", op="Transpose", domain="", inputs=(between,), attributes={"perm": left})
    return [replace(inner, outputs=(between,)), turned]


#: What a rule gives: the node of channels first, and how its output is turned; None: not at all.
_Found = tuple[NodeFile, tuple[int, ...] | None]
_Rule = Callable[[Draft, NodeFile, tuple[int, ...], set[str]], "_Found | None"]


def _rule(node: NodeFile) -> _Rule | None:
    if node.domain not in ("", "ai.onnx"):
        return None
    if node.op in ONE_BY_ONE:
        return _unary
    if node.op in _BINARY:
        return _binary
    if node.op in _REDUCTIONS:
        return _reduction
    return {"Concat": _concat, "Pad": _pad}.get(node.op)


def _order(draft: Draft, name: str, users: _Users) -> tuple[int, ...] | None:
    """How a value turns an image's channels to the end, if all that takes it may do without."""
    node = draft.producer(name, "Transpose")
    if node is None:
        return None
    order = tuple(int(axis) for axis in node.attributes.get("perm", ()))
    if len(order) not in (3, 4, 5) or order != (0, *range(2, len(order)), 1):
        return None
    source = draft.maker(node.inputs[0])
    if source is None or source.op not in _SOURCES:
        return None
    if not all(user is not None and _may_follow(draft, user, len(order)) for user in users.get(name, ())):
        return None
    return order


def _may_follow(draft: Draft, user: NodeFile, ndim: int) -> bool:
    """Whether a node does without channels last; reductions along them are part of a normalization."""
    if user.op in _REDUCTIONS:
        axes = draft.axes(user)
        return bool(axes) and not {-1, ndim - 1} & set(axes)
    return user.op == "Transpose" or _rule(user) is not None


def _users(draft: Draft) -> _Users:
    """What takes each value."""
    found: dict[str, list[NodeFile | None]] = {name: [None] for name in draft.outputs}
    for node in draft.nodes:
        for name in node.inputs:
            found.setdefault(name, []).append(node)
        for value in node.attributes.values():
            for name in free_names(value) if isinstance(value, GraphFile) else ():
                found.setdefault(name, []).append(None)
    return found


def _source(draft: Draft, name: str) -> str:
    """What a transposition turns."""
    return draft.makes(name).inputs[0]


def _unary(draft: Draft, node: NodeFile, order: tuple[int, ...], turned: set[str]) -> _Found | None:
    first, *more = node.inputs
    if first not in turned or any(name and draft.number(name) is None for name in more):
        return None
    if node.op in ("QuantizeLinear", "DequantizeLinear"):
        # One scale for all has no axis.
        node = replace(node, attributes={k: v for k, v in node.attributes.items() if k != "axis"})
    return replace(node, inputs=(_source(draft, first), *more)), order


def _binary(draft: Draft, node: NodeFile, order: tuple[int, ...], turned: set[str]) -> _Found | None:
    inputs: list[str] = []
    for name in node.inputs:
        known = draft.constant(name)
        if name in turned:
            inputs.append(_source(draft, name))
        elif known is None or known.ndim > len(order):
            return None
        elif known.size == 1:
            inputs.append(name if known.ndim <= 1 else draft.add(name, known.reshape(())))
        else:
            whole = known.reshape((1,) * (len(order) - known.ndim) + known.shape)
            inputs.append(draft.add(name, np.ascontiguousarray(np.transpose(whole, np.argsort(order)))))
    return replace(node, inputs=tuple(inputs)), order


def _reduction(draft: Draft, node: NodeFile, order: tuple[int, ...], turned: set[str]) -> _Found | None:
    (first, *more), axes = node.inputs, draft.axes(node)
    if first not in turned or not axes:
        return None
    places = [axis % len(order) for axis in axes]
    new = np.array([order[place] for place in places], np.int64)
    inputs = (_source(draft, first), *(draft.add(name, new) for name in more))
    attributes = {**node.attributes} | ({} if more else {"axes": tuple(new.tolist())})
    inner = replace(node, inputs=inputs, attributes=attributes)
    if node.attributes.get("keepdims", 1):
        return inner, order
    rest = [axis for place, axis in enumerate(order) if place not in places]
    left = tuple(sorted(rest).index(axis) for axis in rest)
    return inner, (None if left == tuple(range(len(left))) else left)


def _concat(draft: Draft, node: NodeFile, order: tuple[int, ...], turned: set[str]) -> _Found | None:
    if not all(name in turned for name in node.inputs):
        return None
    axis = order[int(node.attributes.get("axis", 1)) % len(order)]
    inputs = tuple(_source(draft, name) for name in node.inputs)
    return replace(node, inputs=inputs, attributes={**node.attributes, "axis": axis}), order


def _pad(draft: Draft, node: NodeFile, order: tuple[int, ...], turned: set[str]) -> _Found | None:
    first, *more = node.inputs
    given = draft.constant(more[0]) if more else None
    if first not in turned or given is None or len(given) != 2 * len(order) or len(more) > 2:
        return None
    back = np.argsort(order)
    pads = np.concatenate([given[: len(order)][back], given[len(order) :][back]])
    return replace(node, inputs=(_source(draft, first), draft.add(more[0], pads), *more[1:])), order
