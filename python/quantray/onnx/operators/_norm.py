"""Normalizations."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from quantray import nn
from quantray.nn import functional as F
from quantray.onnx.operators._products import placed
from quantray.onnx.operators._registry import Array, Call, layer, operator


@operator("BatchNormalization")
def _batch_norm(call: Call, x: Array, scale: Array, bias: Array, mean: Array, var: Array) -> Array:
    """By the statistics that the file has."""
    return F.batch_norm(x, mean, var, scale, bias, False, 0.1, float(call.get("epsilon", 1e-5)))


@operator("LayerNormalization")
def _layer_norm(call: Call, x: Array, scale: Array, bias: Array = None) -> Array:
    axis = call.get("axis", -1) % np.ndim(x)
    if any(call.wanted[1:]):
        raise call.error("the mean and the deviation (the second and the third output) are not computed")
    shape = tuple(int(n) for n in np.shape(x)[axis:])
    if np.shape(scale) != shape:
        scale = np.broadcast_to(scale, shape)
    if bias is not None and np.shape(bias) != shape:
        bias = np.broadcast_to(bias, shape)
    return F.layer_norm(x, shape, scale, bias, float(call.get("epsilon", 1e-5)))


@layer("LayerNormalization")
def _layer_norm_layer(call: Call, constants: Sequence[Array]) -> nn.Module | None:
    scale, bias = constants[1], constants[2] if len(constants) > 2 else None
    if scale is None or any(call.wanted[1:]) or call.given != (0,) or call.get("axis", -1) != -scale.ndim:
        return None
    made = nn.LayerNorm(scale.shape, float(call.get("epsilon", 1e-5)), True, bias is not None)
    return placed(made, weight=scale, bias=bias)


@operator("RMSNormalization")
@operator("SimplifiedLayerNormalization", domain="")
@operator("SimplifiedLayerNormalization", domain="com.microsoft")
def _rms_norm(call: Call, x: Array, scale: Array) -> Array:
    axis = call.get("axis", -1) % np.ndim(x)
    return F.rms_norm(x, tuple(int(n) for n in np.shape(x)[axis:]), scale, float(call.get("epsilon", 1e-5)))


@operator("InstanceNormalization")
def _instance_norm(call: Call, x: Array, scale: Array, bias: Array) -> Array:
    return F.instance_norm(x, None, None, scale, bias, True, 0.1, float(call.get("epsilon", 1e-5)))


@operator("GroupNormalization")
def _group_norm(call: Call, x: Array, scale: Array, bias: Array) -> Array:
    """Before opset 21 scale and bias are one for each group."""
    groups, channels = int(call.get("num_groups")), int(np.shape(x)[1])
    if np.shape(scale)[0] != channels:
        scale = np.repeat(scale, channels // groups)
        bias = np.repeat(bias, channels // groups)
    return F.group_norm(x, groups, scale, bias, float(call.get("epsilon", 1e-5)))


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
    size, alpha = int(call.get("size")), float(call.get("alpha", 1e-4))
    beta, bias = float(call.get("beta", 0.75)), float(call.get("bias", 1.0))
    before = (size - 1) // 2
    ndim = np.ndim(x)
    squares = np.pad(np.multiply(x, x), [(0, 0), (before, size - 1 - before), *[(0, 0)] * (ndim - 2)])
    channels = int(np.shape(x)[1])
    total: Any = squares[:, :channels]
    for i in range(1, size):
        total = total + squares[:, i : i + channels]
    return x / np.power(total * (alpha / size) + bias, beta)
