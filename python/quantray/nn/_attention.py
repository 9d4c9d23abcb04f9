"""Multi-head attention."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

import numpy as np

from quantray.nn import _init
from quantray.nn._gradients import is_traced, untraced
from quantray.nn._linear import Linear
from quantray.nn._module import Module
from quantray.nn._registry import Parameter
from quantray.nn.functional._arguments import traced_or_floats
from quantray.nn.functional._attention import (
    appended,
    attention_mask,
    attention_of_rows,
    causal,
    multi_head_attention,
)
from quantray.nn.functional._linear import linear

if TYPE_CHECKING:
    from quantray._typing import Array, Bools, Config, Floats, Input


class MultiheadAttention(Module):
    """Attention by several heads, each on its own projection of queries, keys and values.

    Parameters
    ----------
    embed_dim, num_heads : int
        Width of queries and outputs, and how many heads share it.
    dropout : float
        The probability that a weight becomes 0, in training.
    bias : bool
        Whether projections have biases.
    add_bias_kv : bool
        Whether one more key and value are learned.
    add_zero_attn : bool
        Whether there is one more key and value of zeros.
    kdim, vdim : int, optional
        Widths of keys and values; by default `embed_dim`.
    batch_first : bool
        Whether arrays are of shape (N, L, E), not (L, N, E).

    >>> import numpy as np
    >>> from quantray import nn
    >>> attention = nn.MultiheadAttention(8, 2, batch_first=True)
    >>> x = np.ones((3, 5, 8), np.float32)
    >>> output, weights = attention(x, x, x)
    >>> output.shape, weights.shape
    ((3, 5, 8), (3, 5, 5))

    Source: Vaswani et al., Attention Is All You Need (2017), 3.2.2; `torch.nn.MultiheadAttention`.
    """

    in_proj_weight: Array
    q_proj_weight: Array
    k_proj_weight: Array
    v_proj_weight: Array
    in_proj_bias: Array | None
    out_proj: Module
    bias_k: Array | None
    bias_v: Array | None

    def __init__(
        self,
        embed_dim: int,
        num_heads: int,
        dropout: float = 0.0,
        bias: bool = True,
        add_bias_kv: bool = False,
        add_zero_attn: bool = False,
        kdim: int | None = None,
        vdim: int | None = None,
        batch_first: bool = False,
    ) -> None:
        super().__init__()
        self._set(embed_dim, num_heads, dropout, add_zero_attn, kdim, vdim, batch_first)
        third = (embed_dim, embed_dim)
        if self._qkv_same_embed_dim:
            self.in_proj_weight = Parameter(_init.xavier_uniform((3 * embed_dim, embed_dim)))
            for name in ("q_proj_weight", "k_proj_weight", "v_proj_weight"):
                self.register_parameter(name, None)
        else:
            self.q_proj_weight = Parameter(_init.xavier_uniform(third))
            self.k_proj_weight = Parameter(_init.xavier_uniform((embed_dim, self.kdim)))
            self.v_proj_weight = Parameter(_init.xavier_uniform((embed_dim, self.vdim)))
            self.register_parameter("in_proj_weight", None)
        self.register_parameter("in_proj_bias", _init.zeros((3 * embed_dim,)) if bias else None)
        self.out_proj = Linear(embed_dim, embed_dim, bias=bias)
        if bias:
            self.out_proj.bias = _init.zeros((embed_dim,))
        for name in ("bias_k", "bias_v"):
            std = (2 / (1 + embed_dim)) ** 0.5
            self.register_parameter(name, _init.normal((1, 1, embed_dim), 0, std) if add_bias_kv else None)

    def _set(
        self,
        embed_dim: int,
        num_heads: int,
        dropout: float,
        add_zero_attn: bool,
        kdim: int | None,
        vdim: int | None,
        batch_first: bool,
    ) -> None:
        if num_heads < 1 or embed_dim < 1 or embed_dim % num_heads:
            raise ValueError(
                f"embed_dim must be a multiple of num_heads, got {embed_dim} with num_heads {num_heads}"
            )
        self.embed_dim, self.num_heads, self.head_dim = embed_dim, num_heads, embed_dim // num_heads
        self.kdim = embed_dim if kdim is None else kdim
        self.vdim = embed_dim if vdim is None else vdim
        self._qkv_same_embed_dim = self.kdim == self.vdim == embed_dim
        self.dropout, self.batch_first, self.add_zero_attn = dropout, batch_first, add_zero_attn

    def _check(self, query: Array, key: Array, value: Array) -> None:
        """Shapes of a call; all (N, L, E)."""
        q, k, v = np.shape(query), np.shape(key), np.shape(value)
        for name, shape, width in (
            ("query", q, self.embed_dim),
            ("key", k, self.kdim),
            ("value", v, self.vdim),
        ):
            if len(shape) != 3 or shape[0] != q[0] or shape[2] != width:
                layout = "(N, L, {0}) or (L, {0})" if self.batch_first else "(L, N, {0}) or (L, {0})"
                raise ValueError(
                    f"{name} must be of shape {layout.format(width)}, one N for all, got {shape}"
                )
        if k[1] != v[1]:
            raise ValueError(f"value must be as long as key, {k[1]}, got {v[1]}")

    def _project(self, query: Floats, key: Floats, value: Floats) -> list[Floats]:
        """Query, key and value, each times its own weight."""
        width, bias = self.embed_dim, self.in_proj_bias
        if query is key is value and self._qkv_same_embed_dim:
            # One product instead of three.
            all_three = linear(query, self.in_proj_weight, bias)
            return [all_three[..., i * width : (i + 1) * width] for i in range(3)]
        thirds = [slice(i * width, (i + 1) * width) for i in range(3)]
        biases = [None if bias is None else bias[third] for third in thirds]
        if self._qkv_same_embed_dim:
            weights = [self.in_proj_weight[third] for third in thirds]
        else:
            weights = [self.q_proj_weight, self.k_proj_weight, self.v_proj_weight]
        return [linear(x, w, b) for x, w, b in zip((query, key, value), weights, biases, strict=True)]

    def forward(
        self,
        query: Input,
        key: Input,
        value: Input,
        key_padding_mask: Input | None = None,
        need_weights: bool = True,
        attn_mask: Input | None = None,
        average_attn_weights: bool = True,
        is_causal: bool = False,
    ) -> tuple[Floats, Floats | None]:
        """Attention of the query to the key, and what it weighs the value with.

        Parameters
        ----------
        query, key, value : array
            Shapes (L, N, embed_dim), (S, N, kdim), (S, N, vdim); with `batch_first` N comes first; or no N,
            (L, embed_dim), (S, kdim), (S, vdim).
        key_padding_mask : array, optional
            Shape (N, S) or (S,). Of bool: True leaves a key out. Of floats: added to the scores.
        need_weights : bool
            Whether the weights are wanted too.
        attn_mask : array, optional
            Shape (L, S) or (N * num_heads, L, S), of the same kinds.
        average_attn_weights : bool
            Whether weights are means over the heads.
        is_causal : bool
            Whether the query i sees only the keys 0 to i; with `attn_mask` that mask alone counts.

        Returns
        -------
        output : array
            Of the query's shape.
        weights : array or None
            Shape (N, L, S), or (N, num_heads, L, S) for each head; without N where there is no batch.
        """
        query, key, value, single = self._batched(query, key, value)
        self._check(query, key, value)
        n, length, keys = np.shape(query)[0], np.shape(query)[1], np.shape(key)[1]
        if is_causal and attn_mask is None:
            attn_mask = ~causal(length, keys)
        if single and key_padding_mask is not None:
            key_padding_mask = np.asarray(untraced(key_padding_mask))[None]
        mask = attention_mask(attn_mask, key_padding_mask, n, self.num_heads, length, keys)
        q, k, v = self._project(query, key, value)
        k, v, mask = self._longer(k, v, mask)
        dropout_p = self.dropout if self.training else 0.0
        mixed, weights = multi_head_attention(q, k, v, self.num_heads, mask, dropout_p, need_weights)
        output = self.out_proj(mixed)
        if weights is not None and average_attn_weights:
            weights = (
                weights.mean(1) if not is_traced(weights) else weights.sum(1) / np.float32(self.num_heads)
            )
        if single:
            return output[0], None if weights is None else weights[0]
        return output if self.batch_first else output.transpose((1, 0, 2)), weights

    #: Whether scores of `_attend_rows` are 8-bit integers.
    _in_integers: ClassVar[bool] = False

    def _attend_rows(self, rows: Floats, padding: Bools) -> Floats:
        """Self-attention of sequences whose rows, (R, E), lie one after the other; `padding` says which is
        where.
        """
        three = self._three(rows)
        return self.out_proj(attention_of_rows(three, self.num_heads, padding, self._in_integers))

    def _three(self, rows: Floats) -> Floats:
        """Query, key and value of each row, side by side."""
        return linear(rows, self.in_proj_weight, self.in_proj_bias)

    def _batched(self, query: Input, key: Input, value: Input) -> tuple[Floats, Floats, Floats, bool]:
        """All as (N, L, E), and whether they had no N. What is one array stays one."""
        made: dict[int, Floats] = {}
        given = (query, key, value)
        single = len(np.shape(query)) == 2
        for each in given:
            if id(each) not in made:
                x = traced_or_floats(each)
                if single and x.ndim == 2:
                    x = x.reshape((1, *x.shape))
                elif not self.batch_first and x.ndim == 3:
                    x = x.transpose((1, 0, 2))
                made[id(each)] = x
        q, k, v = (made[id(each)] for each in given)
        return q, k, v, single

    def _longer(self, k: Floats, v: Floats, mask: Array | None) -> tuple[Floats, Floats, Array | None]:
        """Keys and values with those that the module adds, which no mask leaves out."""
        n, width = np.shape(k)[0], self.embed_dim
        added = 0
        of_keys, of_values = self.bias_k, self.bias_v
        if of_keys is not None and of_values is not None:
            k, v, added = appended(k, of_keys), appended(v, of_values), 1
        if self.add_zero_attn:
            zeros = np.zeros((1, 1, width), np.float32)
            k, v, added = appended(k, zeros), appended(v, zeros), added + 1
        if added and mask is not None:
            wide = np.broadcast_to(untraced(mask), (n, self.num_heads, *np.shape(mask)[-2:]))
            mask = np.pad(wide, [(0, 0), (0, 0), (0, 0), (0, added)])
        return k, v, mask

    def _config(self) -> Config:
        return {
            "embed_dim": self.embed_dim,
            "num_heads": self.num_heads,
            "dropout": self.dropout,
            "bias": self.in_proj_bias is not None,
            "add_bias_kv": self.bias_k is not None,
            "add_zero_attn": self.add_zero_attn,
            "kdim": self.kdim,
            "vdim": self.vdim,
            "batch_first": self.batch_first,
        }
