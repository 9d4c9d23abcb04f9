"""What attention needs beside products: biases of masks, softmax of rows that may be masked as a whole."""

# Arrays are of any dtype and shape: what NumPy's stubs make of them says nothing here.
# pyright: reportUnknownVariableType=false, reportUnknownMemberType=false, reportUnknownArgumentType=false

from __future__ import annotations

import numpy as np

from quantray._typing import Array, ArrayLike


def attention_bias(
    queries: int,
    keys: int,
    mask: Array | None = None,
    past: int = 0,
    valid: ArrayLike | None = None,
    causal: bool = False,
    left: int = -1,
    right: int = -1,
) -> Array:
    """What is added to scores: 0 where a query looks at a key, -inf where it does not, or a mask of numbers.

    Parameters
    ----------
    queries, keys : int
        How many there are; `past` of the keys were there before.
    mask : array, optional
        Of truth values, or of numbers to add; keys beyond it are not looked at.
    valid : array of integers, optional
        For each row of the batch, how many keys there are.
    causal : bool
        Whether queries look at no later keys.
    left, right : int
        How far they look back and ahead; -1: without limit.

    Source: the ONNX operator Attention.
    """
    bias: Array = np.zeros((queries, keys), np.float32)
    if mask is not None:
        mask = np.asarray(mask)
        if mask.dtype == np.bool_:
            mask = np.where(mask, np.float32(0), np.float32(-np.inf))
        room = keys - mask.shape[-1]
        if room > 0:
            mask = np.pad(mask, [(0, 0)] * (mask.ndim - 1) + [(0, room)], constant_values=-np.inf)
        bias = bias + mask
    start: Array | int = past
    if valid is not None:
        valid = np.asarray(valid).reshape(-1, 1, 1, 1)
        start = valid - queries
    behind = np.arange(queries)[:, None] + start - np.arange(keys)
    seen = np.ones_like(behind, np.bool_)
    if causal:
        seen &= behind >= 0
    if left >= 0:
        seen &= behind <= left
    if right >= 0:
        seen &= -behind <= right
    if valid is not None:
        seen = seen & (np.arange(keys) < valid)
    return bias + np.where(seen, np.float32(0), np.float32(-np.inf))


def masked_softmax(scores: Array, bias: Array) -> Array:
    """Softmax along the last axis of scores and a bias; 0 in rows that are masked as a whole.

    Source: the ONNX operator Attention.
    """
    whole = np.isneginf(np.max(bias, axis=-1, keepdims=True))
    with np.errstate(invalid="ignore"):
        total = scores + bias
        total = np.where(whole, np.float32(0), total)
        made = np.exp(total - total.max(axis=-1, keepdims=True))
        made = made / made.sum(axis=-1, keepdims=True)
    return np.where(whole, np.float32(0), made).astype(np.float32)


def mask_of_lengths(
    mask: Array | None, batch: int, queries: int, keys: int, causal: bool, filled: float
) -> Array:
    """The bias of com.microsoft's attention: of lengths, or of truth values for each key.

    Source: onnxruntime's operator Attention.
    """
    bias: Array = np.zeros((batch, 1, queries, keys), np.float32)
    if mask is not None:
        mask = np.asarray(mask)
        places = np.arange(keys)
        if mask.ndim == 1:
            ends = mask[:batch, None]
            seen = places < ends
            if len(mask) == 2 * batch:
                seen = seen & (places >= mask[batch:, None])
            seen = seen[:, None, None, :]
        elif mask.ndim == 2:
            seen = (mask > 0)[:, None, None, :]
        elif mask.ndim == 3:
            seen = (mask > 0)[:, None]
        else:
            seen = mask[:, :, keys - queries : keys, :keys] > 0
        bias = np.where(seen, np.float32(0), np.float32(filled)) + bias
    if causal:
        later = np.arange(keys) > np.arange(queries)[:, None] + (keys - queries)
        bias = np.where(later, np.float32(np.finfo(np.float32).min), bias)
    return bias


def linear_attention(
    query: Array,
    key: Array,
    value: Array,
    state: Array | None = None,
    decay: Array | None = None,
    beta: Array | None = None,
    query_heads: int = 1,
    heads: int = 1,
    scale: float = 0.0,
    rule: str = "gated_delta",
) -> tuple[Array, Array]:
    """Attention by a state that each step changes.

    Source: the ONNX operator LinearAttention.
    """
    batch, steps = query.shape[:2]

    def split(x: Array, n: int) -> Array:
        return x.reshape(batch, steps, n, -1).transpose(0, 2, 1, 3)

    q, k, v = split(query, query_heads), split(key, heads), split(value, heads)
    now = np.zeros((batch, heads, k.shape[-1], v.shape[-1]), np.float32) if state is None else state
    fall = None if decay is None else np.exp(split(decay, heads))
    gain = None if beta is None else split(beta, beta.shape[-1])
    factor = scale or 1.0 / np.sqrt(k.shape[-1])
    outputs = np.empty((batch, query_heads, steps, v.shape[-1]), np.float32)
    for t in range(steps):
        one, new = k[:, :, t], v[:, :, t]
        if fall is not None and rule in ("gated", "gated_delta"):
            now = now * fall[:, :, t, :, None]
        if gain is not None and rule in ("delta", "gated_delta"):
            new = gain[:, :, t] * (new - np.einsum("bhdm,bhd->bhm", now, one))
        now = now + one[..., :, None] * new[..., None, :]
        read = np.repeat(now, query_heads // heads, axis=1)
        outputs[:, :, t] = factor * np.einsum("bhd,bhdm->bhm", q[:, :, t], read)
    return outputs.transpose(0, 2, 1, 3).reshape(batch, steps, -1), now
