"""Normalizations as exporters write them out."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from quantray.onnx._file import NodeFile
from quantray.onnx._passes._draft import Draft, made
from quantray.onnx._shapes import product


def mean(draft: Draft, node: NodeFile) -> NodeFile | None:
    """`sum(x) / n`, or `sum(x) * (1 / n)`, of n elements each: JAX has no other mean."""
    if node.op not in ("Div", "Mul"):
        return None
    for total, number in draft.terms(node):
        sums, by = draft.producer(total, "ReduceSum"), draft.number(number)
        if sums is None or by is None or not draft.is_used_once(total):
            continue
        axes, shape = draft.axes(sums), draft.shape(sums.inputs[0])
        if not axes or shape is None or not all(-len(shape) <= axis < len(shape) for axis in axes):
            continue
        count = product(shape[axis] for axis in axes)
        if not isinstance(count, int) or count < 1:
            continue
        if np.float32(by) == (np.float32(count) if node.op == "Div" else np.float32(1 / count)):
            return replace(sums, op="ReduceMean", outputs=node.outputs)
    return None


def group_norm(draft: Draft, node: NodeFile) -> NodeFile | None:
    """`reshape(instance_norm(reshape(x, (0, groups, -1))), shape(x))`, as torch writes it."""
    whole = None if node.op != "Reshape" else draft.producer(node.inputs[0], "InstanceNormalization")
    parts = None if whole is None else draft.producer(whole.inputs[0], "Reshape")
    if whole is None or parts is None:
        return None
    x, shape, wanted = parts.inputs[0], draft.shape(parts.inputs[0]), draft.constant(parts.inputs[1])
    scale, shift = (draft.constant(name) for name in whole.inputs[1:3])
    if shape is None or wanted is None or scale is None or shift is None or len(shape) < 3:
        return None
    if np.any(scale != 1) or np.any(shift) or len(wanted) != 3 or int(wanted[1]) != len(scale):
        return None
    channels, groups = shape[1], len(scale)
    if not isinstance(channels, int) or channels % groups or parts.attributes.get("allowzero"):
        return None
    # Batches stay apart: as they are, or each by its number.
    rest = product(shape[2:])
    size = channels // groups * rest if isinstance(rest, int) else None
    if not (wanted[0] == 0 or wanted[0] == shape[0]) or int(wanted[2]) not in (-1, size):
        return None
    known, made_shape = draft.producer(node.inputs[1], "Shape"), draft.shape(node.outputs[0])
    is_back = known is not None and known.inputs[0] == x and not any(known.attributes.values())
    if not is_back and (made_shape != shape or None in shape):
        return None
    names = (draft.add(f"{x}.{what}", make(channels, np.float32)) for what, make in _NONE)
    epsilon = whole.attributes.get("epsilon", 1e-5)
    return made(node, "GroupNormalization", (x, *names), whole.name, num_groups=groups, epsilon=epsilon)


#: What changes no channel.
_NONE = (("weight", np.ones), ("bias", np.zeros))


def channels_of_group_norm(draft: Draft, node: NodeFile) -> NodeFile | None:
    """A normalization of groups, and what scales, or shifts, each channel of it."""
    if node.op not in ("Mul", "Add"):
        return None
    for normal, other in draft.terms(node):
        found, array = draft.producer(normal, "GroupNormalization"), draft.constant(other)
        if found is None or array is None or not draft.is_used_once(normal):
            continue
        scale, shift = (draft.constant(name) for name in found.inputs[1:3])
        shape = draft.shape(found.inputs[0])
        if scale is None or shift is None or shape is None or scale.size != shape[1]:
            continue
        along = (len(scale), *[1] * (len(shape) - 2))
        if array.dtype != np.float32 or array.shape not in (along, (1, *along)):
            continue
        flat = array.reshape(-1)
        scale, shift = (scale * flat, shift * flat) if node.op == "Mul" else (scale, shift + flat)
        names = (draft.add(other, scale), draft.add(f"{other}.bias", shift))
        return replace(found, inputs=(found.inputs[0], *names), outputs=node.outputs)
    return None


def layer_norm(draft: Draft, node: NodeFile) -> NodeFile | None:
    """`(x - mean(x)) / sqrt(mean((x - mean(x))**2) + eps) * weight + bias` over the last axes."""
    if node.op != "Add":
        return None
    for times, bias in draft.terms(node):
        scaled = draft.producer(times, "Mul")
        if draft.constant(bias) is None or scaled is None or not draft.is_used_once(times):
            continue
        for normal, weight in draft.terms(scaled):
            scale, shift = draft.constant(weight), draft.constant(bias)
            found = _normalized(draft, normal)
            if scale is None or shift is None or found is None:
                continue
            x, count, eps = found
            if scale.ndim == shift.ndim == count and scale.shape == shift.shape:
                inputs = (x, weight, bias)
                return made(node, "LayerNormalization", inputs, axis=-count, epsilon=eps)
    return None


def _normalized(draft: Draft, name: str) -> tuple[str, int, float] | None:
    """What is centred and divided by its deviation: its name, over how many last axes, and the epsilon."""
    found = _divided(draft, name)
    if found is None:
        return None
    centred, square, count, eps = found
    centre = draft.producer(centred, "Sub")
    if centre is None or square != centred:
        return None
    x, mean = centre.inputs
    reduced = draft.producer(mean, "ReduceMean")
    if reduced is None or reduced.inputs[0] != x or _last_axes(draft, reduced) != count:
        return None
    return x, count, eps


def _divided(draft: Draft, name: str) -> tuple[str, str, int, float] | None:
    """`a / sqrt(mean(b**2) + eps)`: a, b, over how many last axes, and the epsilon."""
    node = draft.producer(name, "Div", "Mul")
    if node is None:
        return None
    a, b = node.inputs
    if node.op == "Div":
        root = _deviation(draft, b)
        return None if root is None else (a, *root)
    for value, inverse in draft.terms(node):
        one = draft.producer(inverse, "Reciprocal", "Div")
        if one is None or (one.op == "Div" and draft.number(one.inputs[0]) != 1):
            continue
        root = _deviation(draft, one.inputs[-1])
        if root is not None:
            return (value, *root)
    return None


def _deviation(draft: Draft, name: str) -> tuple[str, int, float] | None:
    root = draft.producer(name, "Sqrt")
    if root is None:
        power = draft.producer(name, "Pow")
        if power is None or draft.number(power.inputs[1]) != 0.5:
            return None
        root = power
    total = draft.producer(root.inputs[0], "Add")
    if total is None:
        return None
    for mean, small in draft.terms(total):
        eps, reduced = draft.number(small), draft.producer(mean, "ReduceMean")
        if eps is None or reduced is None:
            continue
        square, count = _squared(draft, reduced.inputs[0]), _last_axes(draft, reduced)
        if square is not None and count:
            return square, count, eps
    return None


def _squared(draft: Draft, name: str) -> str | None:
    node = draft.producer(name, "Pow", "Mul")
    if node is None:
        return None
    if node.op == "Pow":
        return node.inputs[0] if draft.number(node.inputs[1]) == 2 else None
    return node.inputs[0] if node.inputs[0] == node.inputs[1] else None


def _last_axes(draft: Draft, node: NodeFile) -> int | None:
    """How many axes it reduces, where these are the last ones and stay."""
    axes = draft.axes(node)
    if axes is None or not node.attributes.get("keepdims", 1):
        return None
    wanted = list(range(-len(axes), 0))
    return len(axes) if sorted(axes) == wanted else None


def rms_norm(draft: Draft, node: NodeFile) -> NodeFile | None:
    """`x / sqrt(mean(x**2) + eps) * weight` over the last axis."""
    if node.op != "Mul":
        return None
    for weight, normal in draft.terms(node):
        scale, found = draft.constant(weight), _divided(draft, normal)
        if scale is None or found is None:
            continue
        x, square, count, eps = found
        if x == square and count == 1 and scale.ndim == 1:
            return made(node, "RMSNormalization", (x, weight), axis=-1, epsilon=eps)
    return None
