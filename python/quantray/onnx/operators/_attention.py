"""Attention, and what belongs to it."""

# Arrays and stand-ins of them are of any dtype and shape: what NumPy's stubs make of them says nothing here.
# pyright: reportUnknownVariableType=false, reportUnknownMemberType=false, reportUnknownArgumentType=false

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import cast

import numpy as np

from quantray import graph
from quantray.nn import functional as F
from quantray.onnx._lengths import shape_of
from quantray.onnx.operators._registry import Array, Call, Given, Outputs, filled, operator

_MICROSOFT = "com.microsoft"


def _settled(lengths: Iterable[int]) -> tuple[int, ...]:
    """Lengths as Python's integers where they are known."""
    return tuple(int(n) if isinstance(n, (int, np.integer)) else n for n in lengths)  # pyright: ignore


def split_heads(x: Array, heads: int) -> Array:
    """(batch, steps, heads * width) as (batch, heads, steps, width)."""
    batch, steps, width = shape_of(x)
    return np.transpose(np.reshape(x, _settled((batch, steps, heads, width // heads))), (0, 2, 1, 3))


def join_heads(x: Array) -> Array:
    """(batch, heads, steps, width) as (batch, steps, heads * width)."""
    batch, heads, steps, width = shape_of(x)
    return np.reshape(np.transpose(x, (0, 2, 1, 3)), _settled((batch, steps, heads * width)))


@operator("Attention")
def _attention(call: Call, q: Array, k: Array, v: Array, *more: Array) -> Outputs:
    """The standard's: heads by attributes where arrays have 3 axes."""
    mask, past_key, past_value, valid = filled(more, 4)
    is_flat = np.ndim(q) == 3
    if is_flat:
        heads, own = call.get("q_num_heads"), call.get("kv_num_heads")
        if not heads or not own:
            raise call.error("arrays of 3 axes need q_num_heads and kv_num_heads")
        q, k, v = split_heads(q, heads), split_heads(k, own), split_heads(v, own)
    if past_key is not None and past_value is not None:
        k, v = np.concatenate((past_key, k), 2), np.concatenate((past_value, v), 2)
    present = (k, v)
    repeat = int(np.shape(q)[1]) // int(np.shape(k)[1])
    if repeat > 1:
        k, v = np.repeat(k, repeat, 1), np.repeat(v, repeat, 1)
    scale = call.get("scale") or 1 / math.sqrt(int(np.shape(q)[3]))
    # Both sides take a part of the scale, as the standard has it.
    part = np.float32(math.sqrt(scale))
    scores = np.matmul(q * part, np.swapaxes(k, -1, -2) * part)
    shown, mode = scores, int(call.get("qk_matmul_output_mode", 0))
    cap = float(call.get("softcap", 0.0))
    if cap:
        scores = F.tanh(scores / cap) * cap
        shown = scores if mode == 1 else shown
    causal = bool(call.get("is_causal", 0))
    left, right = int(call.get("left_window_size", -1)), int(call.get("right_window_size", -1))
    if mask is None and valid is None and not causal and left < 0 and right < 0:
        weights, total = F.softmax(scores, -1), scores
    else:
        queries, keys = (shape_of(scores)[axis] for axis in (2, 3))
        past = 0 if past_key is None else shape_of(past_key)[2]
        counts = (*_settled((queries, keys)), mask, *_settled((past,)))
        bias = graph.apply("onnx.attention_bias", *counts, valid, causal, left, right)
        weights = graph.apply("onnx.masked_softmax", scores, bias)
        total = scores + bias if mode == 2 else scores
    shown = {2: total, 3: weights}.get(mode, shown)
    made = np.matmul(weights, v)
    return (join_heads(made) if is_flat else made), *present, shown


@operator("RotaryEmbedding")
def _rotary(call: Call, x: Array, cos: Array, sin: Array, positions: Array | None = None) -> Array:
    """Pairs of elements, turned by an angle that their position gives."""
    is_flat = np.ndim(x) == 3
    if is_flat:
        heads = call.get("num_heads")
        if not heads:
            raise call.error("an array of 3 axes needs num_heads")
        x = split_heads(x, heads)
    return _rotated(call, x, cos, sin, positions, is_flat)


@operator("RotaryEmbedding", domain=_MICROSOFT)
def _rotary_of_caches(call: Call, x: Array, positions: Array, cos: Array, sin: Array) -> Array:
    """onnxruntime's: the width of a head is that of the caches, unless it says how many heads there are."""
    is_flat = np.ndim(x) == 3
    if is_flat:
        width = int(np.shape(x)[2])
        heads = call.get("num_heads") or width // (2 * int(np.shape(cos)[1]))
        x = split_heads(x, heads)
    if np.ndim(positions) == 1:
        positions = np.arange(int(np.shape(x)[2]))[None] + positions[:, None]
    return _rotated(call, x, cos, sin, positions, is_flat)


def _rotated(call: Call, x: Array, cos: Array, sin: Array, positions: Given, is_flat: bool) -> Array:
    if positions is not None:
        cos, sin = np.take(cos, positions, 0), np.take(sin, positions, 0)
    cos, sin = np.expand_dims(cos, 1), np.expand_dims(sin, 1)
    width = int(np.shape(x)[3])
    turned = int(call.get("rotary_embedding_dim", 0)) or width
    part, rest = x[..., :turned], x[..., turned:]
    if call.get("interleaved"):
        one, two = part[..., 0::2], part[..., 1::2]
    else:
        one, two = part[..., : turned // 2], part[..., turned // 2 :]
    real, imaginary = cos * one - sin * two, sin * one + cos * two
    if call.get("interleaved"):
        made = np.reshape(np.stack([real, imaginary], -1), _settled(shape_of(part)))
    else:
        made = np.concatenate([real, imaginary], -1)
    if turned < width:
        made = np.concatenate([made, rest], -1)
    return join_heads(made) if is_flat else made


@operator("LinearAttention")
def _linear_attention(call: Call, q: Array, k: Array, v: Array, *more: Array) -> Outputs:
    state, decay, beta = filled(more, 3)
    heads, own = int(call.get("q_num_heads", 0)), int(call.get("kv_num_heads", 0))
    rule = call.choice("update_rule", ("linear", "gated", "delta", "gated_delta"), "gated_delta")
    if own <= 0 or heads <= 0 or heads % own:
        raise call.error(f"q_num_heads must be a multiple of kv_num_heads, got {heads} and {own}")
    scale = float(call.get("scale", 0.0))
    return graph.apply("onnx.linear_attention", q, k, v, state, decay, beta, heads, own, scale, rule)


@operator("CausalConvWithState")
def _causal_conv(
    call: Call, x: Array, weight: Array, bias: Array | None = None, past: Array | None = None
) -> Outputs:
    """A convolution of each channel with what was before, and the end of that for the next call."""
    kernel = int(np.shape(weight)[2])
    activation = call.choice("activation", ("none", "silu", "swish"))
    padded = cast("Array", F.pad(x, (kernel - 1, 0))) if past is None else np.concatenate([past, x], 2)
    y = F.conv1d(padded, weight, bias, 1, 0, 1, int(np.shape(weight)[0]))
    after = shape_of(padded)[2] - (kernel - 1)
    return (y if activation == "none" else F.silu(y)), padded[:, :, _settled((after,))[0] :]


@operator("TensorScatter")
def _tensor_scatter(call: Call, cache: Array, update: Array, places: Array | None = None) -> Array:
    mode = call.choice("mode", ("linear", "circular"))
    return graph.apply("onnx.tensor_scatter", cache, update, places, int(call.get("axis", -2)), mode)


# onnxruntime's own


@operator("Attention", domain=_MICROSOFT)
def _attention_of_weights(
    call: Call, x: Array, weight: Array, bias: Array | None = None, *more: Array
) -> Outputs:
    mask, past, added = filled(more, 3)
    rows = np.matmul(x, weight)
    rows = rows if bias is None else rows + bias
    return _of_rows(call, rows, mask, past, added)


@operator("QAttention", domain=_MICROSOFT)
def _qattention(
    call: Call, x: Array, weight: Array, bias: Array, x_scale: Array, weight_scale: Array, *more: Array
) -> Outputs:
    mask, x_zero, weight_zero, past = filled(more, 4)
    inputs = (x, weight, x_scale, weight_scale, x_zero, weight_zero, bias)
    rows = graph.apply("onnx.matmul_integer_to_float", *inputs)
    return _of_rows(call, rows, mask, past, None)


def _of_rows(call: Call, rows: Array, mask: Given, past: Given, added: Given) -> Outputs:
    """Attention of rows that hold queries, keys and values one behind the other."""
    heads = call.get("num_heads")
    if not heads:
        raise call.error("it has no num_heads")
    width = int(np.shape(rows)[2])
    sizes = call.integers("qkv_hidden_sizes") or (width // 3,) * 3
    if sum(sizes) != width:
        raise call.error(f"qkv_hidden_sizes must add up to {width}, got {list(sizes)}")
    ends = (sizes[0], sizes[0] + sizes[1])
    q = split_heads(rows[..., : ends[0]], heads)
    k = split_heads(rows[..., ends[0] : ends[1]], heads)
    v = split_heads(rows[..., ends[1] :], heads)
    if past is not None:
        k, v = np.concatenate([past[0], k], 2), np.concatenate([past[1], v], 2)
    made = _attended(call, q, k, v, mask, added, bool(call.get("unidirectional", 0)))
    if len(call.wanted) < 2 or not call.wanted[1]:
        return made
    return made, np.stack([k, v])


def _attended(call: Call, q: Array, k: Array, v: Array, mask: Given, added: Given, causal: bool) -> Array:
    scale = call.get("scale") or 1 / math.sqrt(int(np.shape(q)[3]))
    scores = np.matmul(q, np.swapaxes(k, -1, -2)) * np.float32(scale)
    if mask is not None or causal:
        batch, _, queries, keys = _settled(shape_of(scores))
        filled = float(call.get("mask_filter_value", -10000.0))
        counts = (batch, queries, keys)
        scores = scores + graph.apply("onnx.mask_of_lengths", mask, *counts, causal, filled)
    if added is not None:
        scores = scores + added
    return join_heads(np.matmul(F.softmax(scores, -1), v))


def _apart(packed: Array, count: int) -> list[Array]:
    """(batch, steps, heads, count, width) as arrays of shape (batch, steps, heads * width)."""
    batch, steps, heads, _, width = shape_of(packed)
    shape = _settled((batch, steps, heads * width))
    return [np.reshape(packed[:, :, :, i], shape) for i in range(count)]


@operator("MultiHeadAttention", domain=_MICROSOFT)
def _multi_head_attention(
    call: Call, q: Array, k: Array | None = None, v: Array | None = None, *more: Array
) -> Outputs:
    bias, mask, added, past_key, past_value = filled(more, 5)
    heads = call.get("num_heads")
    if not heads:
        raise call.error("it has no num_heads")
    if len(call.wanted) > 3 and call.wanted[3]:
        raise call.error("its fourth output, products of queries and keys, is not computed")
    # Several of them may lie one behind the other for each head.
    if np.ndim(q) == 5 and k is None:
        q, k, v = _apart(q, 3)
    elif k is not None and np.ndim(k) == 5 and v is None:
        k, v = _apart(k, 2)
    if np.ndim(q) != 3 or k is None or v is None:
        raise call.error(
            "queries, keys and values must be three arrays, queries of 3 axes, or packed in one of 5 axes, "
            f"got queries of {np.ndim(q)} axes"
        )
    if bias is not None:
        one, two = int(np.shape(q)[2]), int(np.shape(q)[2]) * 2
        q = q + bias[:one]
        k = k + bias[one:two] if np.ndim(k) == 3 else k
        v = v + bias[two:] if np.ndim(v) == 3 else v
    q = split_heads(q, heads)
    k, v = (split_heads(x, heads) if np.ndim(x) == 3 else x for x in (k, v))
    if past_key is not None and past_value is not None:
        k, v = np.concatenate([past_key, k], 2), np.concatenate([past_value, v], 2)
    made = _attended(call, q, k, v, mask, added, bool(call.get("unidirectional", 0)))
    return (made, k, v)[: max(len(call.wanted), 1)] if len(call.wanted) > 1 else made
