"""Attention of decoders as onnxruntime has it: a growing cache, turned positions, few heads of keys."""

# Arrays are of any dtype and shape: what NumPy's stubs make of them says nothing here.
# pyright: reportUnknownVariableType=false, reportUnknownMemberType=false, reportUnknownArgumentType=false

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from quantray._typing import Array


class Rotary(NamedTuple):
    """Tables of angles: (positions, half of what is turned)."""

    cos: Array
    sin: Array
    interleaved: bool

    def turned(self, x: Array, positions: Array) -> Array:
        """(heads, steps, width), each step by the angle of its position."""
        cos, sin = self.cos[positions], self.sin[positions]
        half = cos.shape[-1]
        made = x.copy()
        if self.interleaved:
            one, two = x[..., 0 : 2 * half : 2], x[..., 1 : 2 * half : 2]
            made[..., 0 : 2 * half : 2] = cos * one - sin * two
            made[..., 1 : 2 * half : 2] = sin * one + cos * two
        else:
            one, two = x[..., :half], x[..., half : 2 * half]
            made[..., :half] = cos * one - sin * two
            made[..., half : 2 * half] = sin * one + cos * two
        return made


def group_query_attention(
    query: Array,
    key: Array | None,
    value: Array | None,
    past_key: Array | None,
    past_value: Array | None,
    lengths: Array,
    total: Array,
    cos: Array | None = None,
    sin: Array | None = None,
    positions: Array | None = None,
    bias: Array | None = None,
    sinks: Array | None = None,
    counts: Array | None = None,
    heads: int = 1,
    own: int = 1,
    scale: float = 0.0,
    softcap: float = 0.0,
    window: int = -1,
    interleaved: bool = False,
    causal: bool = True,
) -> tuple[Array, Array, Array]:
    """Attention to what a cache holds and to what is new, for which the cache has room or becomes longer.

    Parameters
    ----------
    query : array of float32
        Shape (batch, steps, heads * width); without key and value it holds those, too, behind the queries.
    key, value : array of float32, optional
        Shape (batch, steps, own * width): keys and values have as many heads, each for some of the queries.
    past_key, past_value : array of float32, optional
        Shape (batch, own, room, width).
    lengths : array of integers
        For each row of the batch how many keys there are with the new ones, less one.
    total : integer
        The most that any row has.
    cos, sin : array, optional
        Angles of positions; without them nothing is turned.
    positions : array of integers, optional
        Shape (batch, steps), in the place of those that `lengths` say.
    bias : array, optional
        Added to scores: (batch or 1, heads or 1, steps, keys).
    sinks : array, optional
        For each head a score that takes a share and gives nothing.
    counts : array of integers, optional
        For each row how many of the steps are not padding.
    window : int
        How many keys a query sees, itself included; -1: all of them.

    Returns
    -------
    tuple of array
        Shape (batch, steps, heads * width), and the cache, (batch, own, room, width).

    Source: onnxruntime's operator GroupQueryAttention.
    """
    q, k, v = _split(query, key, value, heads, own)
    batch, _, steps, width = q.shape
    ends = np.broadcast_to(np.asarray(lengths, np.int64).reshape(-1) + 1, (batch,))
    most = int(np.asarray(total).reshape(-1)[0])
    room = max(0 if past_key is None else past_key.shape[2], most, int(ends.max(initial=0)))
    keys, values = _longer(past_key, k, room), _longer(past_value, v, room)
    rotary = None if cos is None or sin is None else Rotary(cos, sin, interleaved)
    factor = np.float32(scale or 1 / math.sqrt(width))
    out = np.zeros((batch, heads, steps, width), np.float32)
    for row in range(batch):
        end = int(ends[row])
        new = min(steps, end) if counts is None else int(np.asarray(counts).reshape(-1)[row])
        past = end - new
        if past < 0 or not 0 <= new <= steps:
            raise ValueError(
                f"row {row} must have its {new} new keys among {steps} steps and {end} keys in all"
            )
        place = past + np.arange(new)
        own_q, own_k = q[row, :, :new], k[row, :, :new]
        if rotary is not None:
            at = place if positions is None else _given_positions(positions, row, new, steps == most)
            own_q, own_k = rotary.turned(own_q, at), rotary.turned(own_k, at)
        keys[row, :, past:end], values[row, :, past:end] = own_k, v[row, :, :new]
        # Heads that share their keys are one product.
        grouped = own_q.reshape(own, -1, width)
        scores = (grouped @ keys[row, :, :end].swapaxes(-1, -2)).reshape(heads, new, end) * factor
        if softcap:
            scores = np.tanh(scores / np.float32(softcap)) * np.float32(softcap)
        if bias is not None:
            scores = scores + bias[row % len(bias), :, :new, :end]
        hidden = _hidden(place, end, window, causal)
        if hidden.any():
            scores = np.where(hidden, np.float32(-np.inf), scores)
        weights = _shares(scores, sinks).reshape(own, -1, end)
        out[row, :, :new] = (weights @ values[row, :, :end]).reshape(heads, new, width)
    return out.transpose(0, 2, 1, 3).reshape(batch, steps, heads * width), keys, values


def _split(
    query: Array, key: Array | None, value: Array | None, heads: int, own: int
) -> tuple[Array, Array, Array]:
    """Queries, keys and values with an axis of heads: (batch, heads, steps, width)."""
    if key is None or value is None:
        width = query.shape[2] // (heads + 2 * own)
        ends = (heads * width, (heads + own) * width)
        query, key, value = query[..., : ends[0]], query[..., ends[0] : ends[1]], query[..., ends[1] :]

    def split(x: Array, count: int) -> Array:
        return x.reshape(*x.shape[:2], count, -1).transpose(0, 2, 1, 3)

    return split(query, heads), split(key, own), split(value, own)


def _longer(past: Array | None, new: Array, room: int) -> Array:
    """A cache of its own with so much room, which begins as the one before."""
    made = np.zeros((*new.shape[:2], room, new.shape[3]), np.float32)
    if past is not None:
        made[:, :, : past.shape[2]] = past
    return made


def _given_positions(positions: Array, row: int, new: int, is_first: bool) -> Array:
    """The positions of a row's steps; of a prompt, where it begins alone is looked at."""
    if is_first:
        return np.asarray(positions).reshape(-1)[0] + np.arange(new)
    return np.asarray(positions)[row, :new]


def _hidden(place: Array, end: int, window: int, causal: bool) -> Array:
    """Which keys a query does not see: later ones, and those before its window."""
    behind = place[:, None] - np.arange(end)
    hidden = behind < 0 if causal else np.zeros_like(behind, np.bool_)
    return hidden | (behind >= window) if causal and window > 0 else hidden


def _shares(scores: Array, sinks: Array | None) -> Array:
    """Softmax along the last axis; sinks, a number for each head, are among what is summed."""
    most = scores.max(axis=-1, keepdims=True, initial=-np.inf)
    if sinks is not None:
        sinks = sinks.reshape(-1, 1, 1)
        most = np.maximum(most, sinks)
    most = np.where(np.isfinite(most), most, np.float32(0))
    powers = np.exp(scores - most)
    total = powers.sum(axis=-1, keepdims=True)
    if sinks is not None:
        total = total + np.exp(sinks - most)
    return (powers / np.where(total == 0, np.float32(1), total)).astype(np.float32)
