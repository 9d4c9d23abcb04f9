"""Normalizations."""

# Arrays and stand-ins of them are of any dtype and shape: what NumPy's stubs make of them says nothing here.
# pyright: reportUnknownVariableType=false, reportUnknownMemberType=false, reportUnknownArgumentType=false

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import numpy as np

from quantray import graph, nn
from quantray.nn import functional as F
from quantray.onnx._lengths import is_length, shape_of
from quantray.onnx.operators._products import placed
from quantray.onnx.operators._registry import Array, Call, Given, Outputs, filled, layer, operator


@operator("BatchNormalization")
def _batch_norm(call: Call, x: Array, scale: Array, bias: Array, mean: Array, var: Array) -> Outputs:
    """By the statistics that the file has, or by those of the batch, which then change the file's."""
    epsilon = float(call.get("epsilon", 1e-5))
    if not call.get("spatial", 1):
        # Before opset 9: statistics of each element.
        return (x - mean) / np.sqrt(var + np.float32(epsilon)) * scale + bias
    is_training = bool(call.get("training_mode", 0)) and call.version >= 14
    if not is_training:
        return F.batch_norm(x, mean, var, scale, bias, False, 0.1, epsilon)
    keep = float(call.get("momentum", 0.9))
    axes = (0, *range(2, np.ndim(x)))
    own = np.mean(x, axis=axes)
    spread = np.mean(np.multiply(x, x), axis=axes) - own * own
    y = F.batch_norm(x, own, spread, scale, bias, False, 0.1, epsilon)
    return y, mean * keep + own * (1 - keep), var * keep + spread * (1 - keep)


@operator("LayerNormalization")
def _layer_norm(call: Call, x: Array, scale: Array, bias: Array | None = None) -> Outputs:
    axis = call.axis(call.get("axis", -1), np.ndim(x))
    epsilon = float(call.get("epsilon", 1e-5))
    axes = tuple(range(axis, np.ndim(x)))
    shape = _known_shape(x, scale, axis)
    if shape is None:
        made = _standard(x, axes, epsilon) * scale
        made = made if bias is None else made + bias
    else:
        shift = None if bias is None else _of_shape(bias, shape)
        made = F.layer_norm(x, shape, _of_shape(scale, shape), shift, epsilon)
    if not any(call.wanted[1:]):
        return made
    mean = np.mean(x, axis=axes, keepdims=True)
    return made, mean, _inverse_deviation(x - mean, axes, epsilon)


def _known_shape(x: Array, scale: Array, axis: int) -> tuple[int, ...] | None:
    """The lengths of the last axes: of an array, or of what scales all of it; None where they are free."""
    for lengths in (shape_of(x)[axis:], shape_of(scale)):
        if len(lengths) == np.ndim(x) - axis and not any(map(is_length, lengths)):
            return tuple(int(n) for n in lengths)
    return None


def _standard(x: Array, axes: tuple[int, ...], epsilon: float) -> Array:
    """An array less its means along some axes, divided by its deviations."""
    centred = x - np.mean(x, axis=axes, keepdims=True)
    return centred * _inverse_deviation(centred, axes, epsilon)


def _of_shape(x: Array, shape: tuple[int, ...]) -> Array:
    """Parameters as long as what they scale."""
    return x if tuple(np.shape(x)) == shape else np.broadcast_to(x, shape)


def _inverse_deviation(centred: Array, axes: tuple[int, ...], epsilon: float) -> Array:
    return 1 / np.sqrt(np.mean(np.multiply(centred, centred), axis=axes, keepdims=True) + np.float32(epsilon))


@operator("SkipLayerNormalization", domain="com.microsoft")
def _skip_layer_norm(
    call: Call, x: Array, skip: Array, scale: Array, shift: Array | None = None, bias: Array | None = None
) -> Outputs:
    """onnxruntime's: of a sum of two arrays, which is the fourth output."""
    total = _skipped(x, skip, bias)
    epsilon = float(call.get("epsilon", 1e-12))
    made = F.layer_norm(total, (int(np.shape(x)[-1]),), scale, shift, epsilon)
    if not any(call.wanted[1:]):
        return made
    mean = np.mean(total, axis=-1, keepdims=True)
    return made, mean, _inverse_deviation(total - mean, (-1,), epsilon), total


@operator("SkipSimplifiedLayerNormalization", domain="com.microsoft")
def _skip_rms_norm(call: Call, x: Array, skip: Array, scale: Array, bias: Array | None = None) -> Outputs:
    total = _skipped(x, skip, bias)
    made = F.rms_norm(total, (int(np.shape(x)[-1]),), scale, float(call.get("epsilon", 1e-12)))
    return (made, None, None, total) if any(call.wanted[1:]) else made


def _skipped(x: Array, skip: Array, bias: Given) -> Array:
    total = x + skip
    return total if bias is None else total + bias


@operator("EmbedLayerNormalization", domain="com.microsoft")
def _embed_layer_norm(
    call: Call, ids: Array, segments: Given, words: Array, places: Array, *more: Given
) -> Outputs:
    """onnxruntime's: embeddings of words, places and segments, normalized; how many words each row has."""
    kinds, scale, shift, mask, positions = filled(more, 5)
    total = F.embedding(ids, words)
    total = total + (places[: shape_of(ids)[1]] if positions is None else F.embedding(positions, places))
    if segments is not None and kinds is not None:
        total = total + F.embedding(segments, kinds)
    epsilon = float(call.get("epsilon", 1e-12))
    made = F.layer_norm(total, (int(np.shape(words)[-1]),), scale, shift, epsilon)
    if not any(call.wanted[1:]):
        return made
    rows = ids if mask is None else mask
    counts = np.sum(np.zeros_like(rows) if mask is None else rows, axis=1).astype(np.int32)
    return made, counts, total


@operator("QEmbedLayerNormalization", domain="com.microsoft")
def _quantized_embed_layer_norm(call: Call, ids: Array, segments: Given, *inputs: Given) -> Outputs:
    """The same of tables of integers; what is normalized is shifted and scaled by integers, too."""
    if len(inputs) != 16:
        raise call.error(f"it takes 18 inputs, some of which are left out, got {len(inputs) + 2}")
    mask, scales, zeros = inputs[5], inputs[6:11], inputs[11:]

    def floats(x: Given, scale: Given, zero: Given) -> Given:
        return None if x is None else graph.apply("onnx.dequantize_linear", x, scale, zero)

    words, places, kinds, scale, shift = map(floats, inputs[:5], scales, zeros)
    if words is None or places is None:
        raise call.error("it needs tables of words and of places")
    made = _embed_layer_norm(call, ids, segments, words, places, kinds, scale, shift, mask, None)
    return made[:2] if isinstance(made, tuple) else made


@layer("LayerNormalization")
def _layer_norm_layer(call: Call, constants: Sequence[Given]) -> nn.Module | None:
    scale, bias = constants[1], constants[2] if len(constants) > 2 else None
    if scale is None or any(call.wanted[1:]) or call.given != (0,) or call.get("axis", -1) != -scale.ndim:
        return None
    made = nn.LayerNorm(scale.shape, float(call.get("epsilon", 1e-5)), True, bias is not None)
    return placed(made, weight=scale, bias=bias)


@operator("RMSNormalization")
@operator("SimplifiedLayerNormalization", domain="")
@operator("SimplifiedLayerNormalization", domain="com.microsoft")
def _rms_norm(call: Call, x: Array, scale: Array) -> Array:
    axis, epsilon = call.axis(call.get("axis", -1), np.ndim(x)), float(call.get("epsilon", 1e-5))
    shape = _known_shape(x, scale, axis)
    if shape is None:
        return x * _inverse_deviation(x, tuple(range(axis, np.ndim(x))), epsilon) * scale
    return F.rms_norm(x, shape, scale, epsilon)


@operator("InstanceNormalization")
def _instance_norm(call: Call, x: Array, scale: Array, bias: Array) -> Array:
    """As groups of one channel: `F.instance_norm` refuses single elements, as torch does."""
    epsilon, (channels,) = float(call.get("epsilon", 1e-5)), shape_of(scale)
    if not is_length(channels):
        return F.group_norm(x, int(channels), scale, bias, epsilon)
    after = tuple(range(1, np.ndim(x) - 1))
    made = _standard(x, tuple(range(2, np.ndim(x))), epsilon)
    return made * np.expand_dims(scale, after) + np.expand_dims(bias, after)


@operator("GroupNormalization")
def _group_norm(call: Call, x: Array, scale: Array, bias: Array) -> Array:
    """Before opset 21 scale and bias are one for each group."""
    groups, channels = int(call.need("num_groups")), int(np.shape(x)[1])
    if np.shape(scale)[0] != channels:
        scale = np.repeat(scale, channels // groups)
        bias = np.repeat(bias, channels // groups)
    return F.group_norm(x, groups, scale, bias, float(call.get("epsilon", 1e-5)))


@operator("GroupNorm", domain="com.microsoft")
def _group_norm_of_last(call: Call, x: Array, scale: Array, bias: Array) -> Array:
    """onnxruntime's: with an activation, and channels last unless the node says otherwise."""
    is_last = bool(call.get("channels_last", 1))
    x = np.moveaxis(x, -1, 1) if is_last else x
    y = F.group_norm(x, int(call.need("groups")), scale, bias, float(call.get("epsilon", 1e-5)))
    y = cast("Array", F.silu(y) if call.choice("activation", (0, 1)) else y)
    return np.moveaxis(y, 1, -1) if is_last else y


@operator("SkipGroupNorm", domain="com.microsoft")
def _skip_group_norm(
    call: Call, x: Array, scale: Array, shift: Array, skip: Array, bias: Array | None = None
) -> Outputs:
    """The same of a sum of two arrays, which is the second output; one may be a number for each channel."""
    if np.ndim(skip) == 2:
        axes = (1, 2) if call.get("channels_last", 1) else (2, 3)
        skip = np.expand_dims(skip, axes)
    if bias is not None and not call.get("channels_last", 1):
        bias = np.reshape(bias, (-1, 1, 1))
    total = _skipped(x, skip, bias)
    made = _group_norm_of_last(call, total, scale, shift)
    return (made, total) if any(call.wanted[1:]) else made


@operator("LpNormalization")
def _lp_norm(call: Call, x: Array) -> Array:
    axis = call.get("axis", -1)
    if call.get("p", 2) == 1:
        length = np.sum(np.absolute(x), axis=axis, keepdims=True)
    else:
        length = np.sqrt(np.sum(np.multiply(x, x), axis=axis, keepdims=True))
    return np.divide(x, np.where(np.equal(length, 0.0), np.ones_like(length), length))


@operator("MeanVarianceNormalization")
def _mean_variance(call: Call, x: Array) -> Array:
    axes = call.integers("axes", (0, 2, 3))
    centred = x - np.mean(x, axis=axes, keepdims=True)
    return centred / (np.sqrt(np.mean(np.multiply(centred, centred), axis=axes, keepdims=True)) + 1e-9)


@operator("LRN")
def _local_response(call: Call, x: Array) -> Array:
    """By the squares of the channels around each one."""
    size, alpha = int(call.need("size")), float(call.get("alpha", 1e-4))
    beta, bias = float(call.get("beta", 0.75)), float(call.get("bias", 1.0))
    before = (size - 1) // 2
    ndim = np.ndim(x)
    squares = np.pad(np.multiply(x, x), [(0, 0), (before, size - 1 - before), *[(0, 0)] * (ndim - 2)])
    channels = int(np.shape(x)[1])
    total: Array = squares[:, :channels]
    for i in range(1, size):
        total = total + squares[:, i : i + channels]
    return x / np.power(total * (alpha / size) + bias, beta)
