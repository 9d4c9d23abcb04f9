"""Constants around products become part of their weights."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from quantray.onnx._file import NodeFile
from quantray.onnx._passes._draft import Draft
from quantray.onnx.operators import Array


def bias_of_product(draft: Draft, node: NodeFile) -> NodeFile | None:
    """A matrix product with weights, and what is added to each of its outputs: one linear layer."""
    if node.op != "Add":
        return None
    for product, bias in draft.terms(node):
        known, found = draft.constant(bias), draft.producer(product, "MatMul")
        if known is None or found is None or not draft.is_used_once(product):
            continue
        weight = draft.constant(found.inputs[1])
        if weight is None or weight.ndim != 2 or not _is_row(draft, known, weight, found):
            continue
        if draft.constant(found.inputs[0]) is not None or weight.dtype != np.float32:
            continue
        if known.ndim > 1:
            bias = draft.add(f"{bias}.row", known.reshape(-1))
        scope = found.name.rpartition("/")[0]
        name = f"{scope}/Gemm" if scope else found.name
        return replace(node, name=name, op="Gemm", inputs=(*found.inputs, bias), attributes={"transB": 0})
    return None


def _is_row(draft: Draft, bias: Array, weight: Array, product: NodeFile) -> bool:
    """Whether a constant has one number for each output of a product: as (N,), or, of rows, as (1, N)."""
    if bias.shape == weight.shape[1:]:
        return True
    shape = draft.shape(product.inputs[0])
    return bias.shape == (1, weight.shape[1]) and shape is not None and len(shape) > 1


def scale_of_product(draft: Draft, node: NodeFile) -> NodeFile | None:
    """A matrix product with weights, and what multiplies each of its outputs: one product."""
    if node.op not in ("Mul", "Div"):
        return None
    for product, other in draft.terms(node):
        scale, found = draft.constant(other), draft.producer(product, "MatMul", "Gemm")
        if scale is None or scale.dtype != np.float32 or found is None or not draft.is_used_once(product):
            continue
        names = [name for name in found.inputs[1:] if name]
        known = [draft.constant(name) for name in names]
        weight = known[0]
        if draft.constant(found.inputs[0]) is not None or weight is None or weight.dtype != np.float32:
            continue
        if weight.ndim != 2 or names[0] in draft.stored or names[0] in draft.blocks:
            # Codes of a file are not those of another weight.
            continue
        turned = bool(found.attributes.get("transB"))
        count = weight.shape[0 if turned else -1]
        if scale.shape != (count,) or not all(map(draft.is_used_once, names)):
            continue
        if any(value is None or value.shape != (count,) for value in known[1:]):
            continue
        if node.op == "Div" and not np.all(scale):
            continue
        by = scale if node.op == "Mul" else 1 / scale
        made = [_multiplied(draft, names[0], by, 0 if turned else 1)]
        made += [_multiplied(draft, name, by, 0) for name in names[1:]]
        return replace(found, inputs=(found.inputs[0], *made), outputs=node.outputs[:1])
    return None


def per_channel(draft: Draft, node: NodeFile) -> NodeFile | None:
    """A convolution, and what scales and shifts each of its channels: one convolution."""
    if node.op not in ("Add", "Sub", "Mul", "Div", "BatchNormalization"):
        return None
    if node.op == "BatchNormalization":
        return _batch_norm(draft, node)
    for layer, other in draft.terms(node):
        conv = foldable(draft, layer)
        value = draft.constant(other)
        if conv is None or value is None or value.dtype != np.float32:
            continue
        channels = _channels(draft, conv)
        flat = _of_channels(value, channels, draft.constants[conv.inputs[1]].ndim)
        if flat is None:
            continue
        one, zero = np.ones(channels, np.float32), np.zeros(channels, np.float32)
        scale, shift = {
            "Add": (one, flat),
            "Sub": (one, -flat),
            "Mul": (flat, zero),
            "Div": (one / flat if node.op == "Div" and np.all(flat) else one, zero),
        }[node.op]
        if node.op == "Div" and not np.all(flat):
            continue
        return _scaled(draft, node, conv, scale, shift)
    return None


def _batch_norm(draft: Draft, node: NodeFile) -> NodeFile | None:
    conv, found = foldable(draft, node.inputs[0]), normalized(draft, node)
    if conv is None or found is None or len(found[0]) != _channels(draft, conv):
        return None
    return _scaled(draft, node, conv, *found)


def batch_norm_of_linear(draft: Draft, node: NodeFile) -> Sequence[NodeFile] | None:
    """A product with weights whose rows are put together, and what scales and shifts each column: one layer.

    torch's BatchNorm1d takes rows alone, so that transformers with it (LeViT) move them there and back.
    """
    if node.op != "BatchNormalization":
        return None
    rows, values = draft.producer(node.inputs[0], "Reshape"), normalized(draft, node)
    if rows is None or values is None or not draft.is_used_once(node.inputs[0]):
        return None
    shape, found = draft.constant(rows.inputs[1]), draft.producer(rows.inputs[0], "MatMul")
    if shape is None or found is None or not draft.is_used_once(rows.inputs[0]):
        return None
    weight, (scale, shift) = draft.constant(found.inputs[1]), values
    if weight is None or weight.ndim != 2 or weight.dtype != np.float32:
        return None
    if len(shape) != 2 or int(shape[1]) != weight.shape[1] or len(scale) != weight.shape[1]:
        return None
    if draft.constant(found.inputs[0]) is not None:
        return None
    names = (
        _multiplied(draft, found.inputs[1], scale, 1),
        draft.add(f"{found.inputs[1]}.bias", shift.astype(np.float32)),
    )
    made = draft.new(found.outputs[0])
    layer = replace(
        found, op="Gemm", inputs=(found.inputs[0], *names), outputs=(made,), attributes={"transB": 0}
    )
    return [layer, replace(rows, inputs=(made, rows.inputs[1]), outputs=node.outputs[:1])]


def normalized(draft: Draft, node: NodeFile) -> tuple[Array, Array] | None:
    """What a batch normalization with known statistics multiplies channels by, and what it adds to them."""
    values = [draft.constant(name) for name in node.inputs[1:5]]
    if any(value is None for value in values) or node.attributes.get("training_mode"):
        return None
    if not node.attributes.get("spatial", 1):
        # Before opset 9: statistics of each element, not of channels.
        return None
    if any(name in draft.outputs or draft.is_used_once(name) for name in node.outputs[1:] if name):
        return None
    weight, bias, mean, var = (np.asarray(value, np.float64) for value in values)
    scale = weight / np.sqrt(var + float(node.attributes.get("epsilon", 1e-5)))
    return scale, bias - mean * scale


def foldable(draft: Draft, name: str) -> NodeFile | None:
    """The convolution that makes a value for one node alone, if its weights are constants."""
    conv = draft.producer(name, "Conv", "ConvTranspose")
    if conv is None or not draft.is_used_once(name):
        return None
    known = [draft.constant(each) for each in conv.inputs[1:] if each]
    weight = known[0] if known else None
    if weight is None or any(value is None for value in known) or weight.dtype != np.float32:
        return None
    is_plain = conv.op == "Conv" or conv.attributes.get("group", 1) == 1
    return conv if is_plain and 3 <= weight.ndim <= 5 else None


def bias_of(draft: Draft, conv: NodeFile, channels: int) -> Array:
    """The bias of a convolution that is foldable; zeros where it has none."""
    name = conv.inputs[2] if conv.inputs[2:] else ""
    return draft.constants[name] if name else np.zeros(channels, np.float32)


def _channels(draft: Draft, conv: NodeFile) -> int:
    weight = draft.constants[conv.inputs[1]]
    return int(weight.shape[0] if conv.op == "Conv" else weight.shape[1])


def _of_channels(value: Array, channels: int, ndim: int) -> Array | None:
    """One value for each channel of an image, where a constant has that form."""
    if value.size == 1 and value.ndim <= ndim:
        return np.full(channels, value.reshape(()), np.float32)
    shape = (1,) * (ndim - value.ndim) + value.shape
    if len(shape) != ndim or shape[1] != channels or value.size != channels:
        return None
    return value.reshape(-1)


def _scaled(draft: Draft, node: NodeFile, conv: NodeFile, scale: Array, shift: Array) -> NodeFile:
    source, name = conv.inputs[:2]
    bias = bias_of(draft, conv, len(scale))
    new_weight = name
    if np.any(scale != 1):
        new_weight = _multiplied(draft, name, scale, 0 if conv.op == "Conv" else 1)
    new_bias = draft.add(f"{name}.bias", (bias * scale + shift).astype(np.float32))
    return replace(conv, inputs=(source, new_weight, new_bias), outputs=node.outputs[:1])


def _multiplied(draft: Draft, name: str, by: Array, axis: int) -> str:
    """A weight, each of whose channels is multiplied by a number; its integers stay, if it has some."""
    weight, stored = draft.constants[name], draft.stored.get(name)
    found = None if stored is None else stored.scaled(by, axis)
    if found is None:
        along = [1] * weight.ndim
        along[axis] = -1
        return draft.add(name, (weight * by.reshape(along)).astype(np.float32))
    made = draft.add(name, found.values())
    draft.stored[made] = found
    return made
