"""Attention: sums of values, weighted by how queries match keys."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, cast

import numpy as np

from quantray import _core, ops
from quantray.nn._gradients import differentiable, is_traced, untraced
from quantray.nn._tracing import traced
from quantray.nn.functional._arguments import floats
from quantray.nn.functional._dropout import dropout

if TYPE_CHECKING:
    from quantray._typing import Array, ArrayLike, Bools, Floats, Input
    from quantray.nn._gradients import Vjp


@traced
def scaled_dot_product_attention(
    query: Input,
    key: Input,
    value: Input,
    attn_mask: Input | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> Floats:
    """`dropout(softmax(query @ key.T * scale + mask)) @ value`.

    Parameters
    ----------
    query : array
        Shape (..., L, E).
    key : array
        Shape (..., S, E); leading lengths broadcast to the query's.
    value : array
        Shape (..., S, Ev).
    attn_mask : array, optional
        Of a shape that broadcasts to (..., L, S). Of bool: True where a query may look at a key. Of floats:
        what is added to the scores. A query that may look at nothing gives zeros.
    dropout_p : float
        The probability that a weight becomes 0; not 0 only in training.
    is_causal : bool
        Whether the query i sees only the keys 0 to i; instead of a mask.
    scale : float, optional
        By default `1 / sqrt(E)`.
    enable_gqa : bool
        Whether heads, the third axis from the end, share keys and values: the query's are a multiple.

    Returns
    -------
    array of float32
        Shape (..., L, Ev).

    >>> import numpy as np
    >>> from quantray.nn import functional as F
    >>> value = np.float32([[1.0, 2.0], [3.0, 4.0]])
    >>> F.scaled_dot_product_attention(np.zeros((2, 2)), np.zeros((2, 2)), value, is_causal=True)
    array([[1., 2.],
           [2., 3.]], dtype=float32)

    Source: Vaswani et al., Attention Is All You Need (2017), equation 1;
    `torch.nn.functional.scaled_dot_product_attention`.
    """
    shapes = {"query": np.shape(query), "key": np.shape(key), "value": np.shape(value)}
    for name, shape in shapes.items():
        if len(shape) < 2:
            raise ValueError(f"{name} must have at least two axes, got shape {shape}")
    q, k, v = shapes.values()
    if k[-1] != q[-1]:
        raise ValueError(f"key must be of shape (..., S, {q[-1]}) for a query of shape {q}, got {k}")
    if v[-2] != k[-2]:
        raise ValueError(f"value must be of shape (..., {k[-2]}, Ev) for a key of shape {k}, got {v}")
    if enable_gqa:
        key, value = (_shared(each, q, name) for each, name in ((key, "key"), (value, "value")))
    scores = (*np.broadcast_shapes(q[:-2], np.shape(key)[:-2]), q[-2], k[-2])
    if is_causal:
        if attn_mask is not None:
            raise ValueError("attn_mask must be None with is_causal=True, which is a mask of its own")
        attn_mask = causal(q[-2], k[-2])
    mask = None if attn_mask is None else _additive(attn_mask, scores, "attn_mask")
    factor = 1 / math.sqrt(max(q[-1], 1)) if scale is None else scale
    weights = dropout(_weights(query, key, mask, factor, True), dropout_p)
    return _weighted(weights, value)


def _shared(each: Input, query: tuple[int, ...], name: str) -> Input:
    """Keys or values of fewer heads than the query has, each as often as it is shared."""
    shape = np.shape(each)
    if len(shape) < 3 or len(query) < 3 or query[-3] % max(shape[-3], 1):
        raise ValueError(
            f"{name} must be of shape (..., heads, S, E) with heads that divide the query's, {query}, "
            f"with enable_gqa=True, got {shape}"
        )
    times = query[-3] // max(shape[-3], 1)
    return each if times == 1 else _repeated(each, times)


@differentiable
def _repeated(x: Input, times: int) -> Floats:
    return np.repeat(floats(x), times, -3)


@_repeated.gradient
def _repeated_gradient(wanted: Sequence[int], out: Floats, x: Input, times: int) -> Vjp[Floats]:
    shape = np.shape(x)
    return lambda g: [g.reshape(*shape[:-2], times, *shape[-2:]).sum(-3)]


@traced
def causal(length: int, keys: int) -> Bools:
    """Where a query may look at a key: at those that are not after it."""
    return np.tri(length, keys, dtype=np.bool_)


def _additive(mask: Input, shape: tuple[int, ...], name: str, keep: bool = True) -> Array:
    """A mask as what is added to scores of a shape; of bool, those that are not `keep` are left out."""
    found: Array = np.asarray(untraced(mask))
    try:
        fits = np.broadcast_shapes(found.shape, shape) == shape
    except ValueError:
        fits = False
    if not fits:
        raise ValueError(f"{name} must be of a shape that broadcasts to {shape}, got {found.shape}")
    if found.dtype == np.bool_:
        return np.where(found == keep, np.float32(0), np.float32(-np.inf))
    if found.dtype.kind != "f":
        raise TypeError(f"{name} must be of bool or of floats, got dtype {found.dtype}")
    return cast("Array", mask) if is_traced(mask) else found


def _unbroadcast(g: Array, shape: tuple[int, ...]) -> Floats:
    """The sum of a gradient over the axes along which its array was repeated."""
    g = g.sum(tuple(range(g.ndim - len(shape))))
    return g.sum(tuple(i for i, n in enumerate(shape) if n == 1 and g.shape[i] != 1), keepdims=True)


@differentiable
def _weights(query: Input, key: Input, mask: Input | None, factor: float, empty_is_zero: bool) -> Floats:
    """The softmax; a row that is masked altogether is 0 or, as a softmax would be, NaN."""
    scores: Floats = np.matmul(floats(query), floats(key).swapaxes(-1, -2))
    if not scores.size:
        return scores
    if mask is None:
        return ops.softmax(scores, factor=factor, out=scores)
    mask = floats(mask)
    weights = ops.softmax(scores, factor=factor, mask=mask, out=scores)
    if empty_is_zero:
        empty = (mask == -np.inf).all(-1)
        if empty.any():
            weights[empty | np.zeros(weights.shape[:-1], np.bool_)] = 0
    return weights


@_weights.gradient
def _weights_gradient(
    wanted: Sequence[int],
    out: Floats,
    query: Input,
    key: Input,
    mask: Input | None,
    factor: float,
    empty_is_zero: bool,
) -> Vjp[Floats]:
    q, k = floats(query), floats(key)

    def vjp(g: Floats) -> list[Array]:
        scores = out * (g - np.sum(g * out, -1, keepdims=True))
        products = scores * np.float32(factor)
        each: dict[int, Callable[[], Array]] = {
            0: lambda: _unbroadcast(products @ k, q.shape),
            1: lambda: _unbroadcast(products.swapaxes(-1, -2) @ q, k.shape),
            2: lambda: _unbroadcast(scores, np.shape(cast("Array", mask))),
        }
        return [each[i]() for i in wanted]

    return vjp


@differentiable
def _weighted(weights: Input, value: Input) -> Floats:
    return np.matmul(floats(weights), floats(value))


@_weighted.gradient
def _weighted_gradient(wanted: Sequence[int], out: Floats, weights: Input, value: Input) -> Vjp[Floats]:
    w, v = floats(weights), floats(value)

    def vjp(g: Floats) -> list[Array]:
        each: dict[int, Callable[[], Array]] = {
            0: lambda: _unbroadcast(g @ v.swapaxes(-1, -2), w.shape),
            1: lambda: _unbroadcast(w.swapaxes(-1, -2) @ g, v.shape),
        }
        return [each[i]() for i in wanted]

    return vjp


@traced
def attention_mask(
    attn_mask: Input | None, key_padding_mask: Input | None, batch: int, heads: int, length: int, keys: int
) -> Array | None:
    """Both masks of multi-head attention as what is added to scores, (batch, heads, length, keys), or None.

    In both, as torch has it there, True of bool leaves a key out.
    """
    mask = None
    if attn_mask is not None:
        shape = np.shape(attn_mask)
        if shape == (batch * heads, length, keys):
            attn_mask = np.reshape(untraced(attn_mask), (batch, heads, length, keys))
        elif shape != (length, keys):
            raise ValueError(
                f"attn_mask must be of shape {(length, keys)} or {(batch * heads, length, keys)}, got {shape}"
            )
        mask = _additive(attn_mask, (batch, heads, length, keys), "attn_mask", keep=False)
    if key_padding_mask is not None:
        shape = np.shape(key_padding_mask)
        if shape != (batch, keys):
            raise ValueError(f"key_padding_mask must be of shape {(batch, keys)}, got {shape}")
        padding = _additive(untraced(key_padding_mask), (batch, keys), "key_padding_mask", keep=False)
        wide = floats(padding).reshape(batch, 1, 1, keys)
        mask = wide if mask is None else mask + wide
    return mask


@traced
def self_attention(rows: Array, num_heads: int, mask: Input | None) -> Floats:
    """Attention of rows (N, L, 3 * E) of queries, keys and values side by side, scores in 8-bit integers.

    `mask`, or None, is added to scores of shape (N, num_heads, L, L). Gives shape (N, L, E).
    """
    return _core.self_attention(rows, num_heads, mask)


@traced
def attention_of_rows(rows: Array, num_heads: int, padding: ArrayLike, in_integers: bool) -> Floats:
    """Attention of sequences of different lengths, whose rows lie one after the other.

    Parameters
    ----------
    rows : array
        Shape (R, 3 * E): queries, keys and values side by side, of the R places that are no padding.
    num_heads : int
    padding : array of bool
        Shape (N, L): True where a sequence has no row.
    in_integers : bool
        Whether scores are 8-bit integers, as `self_attention` has them.

    Returns
    -------
    array of float32
        Shape (R, E).
    """
    ends = np.cumsum((~np.asarray(padding)).sum(1))
    if int(ends[-1]) != len(rows):
        raise ValueError(f"rows must be as many as places that are no padding, {ends[-1]}, got {len(rows)}")
    out = np.empty((len(rows), rows.shape[1] // 3), np.float32)
    start = 0
    for end in map(int, ends):
        if end > start:
            one = rows[None, start:end]
            if in_integers:
                out[start:end] = _core.self_attention(one, num_heads, None)[0]
            else:
                query, key, value = np.split(one, 3, axis=-1)
                mixed, _ = multi_head_attention(query, key, value, num_heads, None, 0.0, False)
                out[start:end] = mixed[0]
        start = end
    return out


@traced
def multi_head_attention(
    query: Floats,
    key: Floats,
    value: Floats,
    num_heads: int,
    mask: Input | None,
    dropout_p: float,
    need_weights: bool,
) -> tuple[Floats, Floats | None]:
    """Attention of projected rows, (N, L, E), (N, S, E) and (N, S, Ev), whose last axes are cut into heads.

    `mask` is added to scores of shape (N, num_heads, L, S). Gives the outputs, shape (N, L, Ev), and the
    weights of each head, or None.
    """
    heads = [_split(each, num_heads) for each in (query, key, value)]
    q, k, v = heads
    weights = _weights(q, k, mask, 1 / math.sqrt(max(np.shape(q)[-1], 1)), not need_weights)
    # Dropped weights are what torch returns too.
    weights = dropout(weights, dropout_p)
    mixed = _weighted(weights, v)
    n, length = np.shape(query)[:2]
    joined = mixed.transpose((0, 2, 1, 3)).reshape((n, length, np.shape(value)[-1]))
    return joined, weights if need_weights else None


def _split(rows: Floats, heads: int) -> Floats:
    """(N, L, E) as (N, heads, L, E / heads)."""
    n, length, width = np.shape(rows)
    return rows.reshape((n, length, heads, width // heads)).transpose((0, 2, 1, 3))


@differentiable
@traced
def appended(rows: Array, row: Input) -> Floats:
    """Rows of shape (N, L, E) with one more, the same for each N: shape (N, L + 1, E)."""
    n, _, width = np.shape(rows)
    return np.concatenate([floats(rows), np.broadcast_to(floats(row), (n, 1, width))], 1)


@appended.gradient
def _appended_gradient(wanted: Sequence[int], out: Floats, rows: Array, row: Input) -> Vjp[Floats]:
    return lambda g: [g[:, :-1] if i == 0 else g[:, -1:].sum(0, keepdims=True) for i in wanted]
