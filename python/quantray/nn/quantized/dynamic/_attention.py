"""Multi-head attention with 8-bit projections."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

import numpy as np

from quantray._core import qint8
from quantray.nn import _attention
from quantray.nn._module import Module
from quantray.nn.functional._attention import attention_mask, causal, self_attention
from quantray.nn.quantized._weights import check_source
from quantray.nn.quantized.dynamic._linear import Linear

if TYPE_CHECKING:
    from quantray._typing import Config, Floats, Input, QDType


class MultiheadAttention(_attention.MultiheadAttention):
    """Attention whose projections have qint8 weights; query, key and value may be one product.

    Made from a float module by `from_float`, or empty, to load a state_dict: its projections are modules of
    their own, `in_proj` and `out_proj`. Keys and values have the query's width.

    Parameters
    ----------
    embed_dim, num_heads, dropout, bias, add_zero_attn, batch_first
        As for `nn.MultiheadAttention`.
    per_channel, per_row : bool
        As for `nn.quantized.dynamic.Linear`.

    >>> import numpy as np
    >>> from quantray import nn
    >>> attention = nn.MultiheadAttention(8, 2, batch_first=True)
    >>> small = nn.quantized.dynamic.MultiheadAttention.from_float(attention)
    >>> x = np.random.default_rng(0).normal(size=(1, 5, 8)).astype(np.float32)
    >>> bool(np.abs(small(x, x, x)[0] - attention(x, x, x)[0]).max() < 0.05)
    True

    Source: `torch.ao.nn.quantizable.MultiheadAttention`.
    """

    in_proj: Module

    def __init__(
        self,
        embed_dim: int,
        num_heads: int,
        dropout: float = 0.0,
        bias: bool = True,
        add_zero_attn: bool = False,
        batch_first: bool = False,
        *,
        per_channel: bool = True,
        per_row: bool = True,
    ) -> None:
        Module.__init__(self)
        self._set(embed_dim, num_heads, dropout, add_zero_attn, None, None, batch_first)
        self.in_proj = Linear(embed_dim, 3 * embed_dim, bias, per_channel=per_channel, per_row=per_row)
        self.out_proj = Linear(embed_dim, embed_dim, bias, per_channel=per_channel, per_row=per_row)
        self.bias_k = self.bias_v = None

    @classmethod
    def from_float(
        cls, module: Module, *, dtype: QDType = qint8, per_channel: bool = True, per_row: bool = True
    ) -> Self:
        """The module of a float `nn.MultiheadAttention`."""
        check_source(cls, module, _attention.MultiheadAttention)
        if not module._qkv_same_embed_dim or module.bias_k is not None:
            raise ValueError(
                "module must have kdim and vdim as embed_dim, and add_bias_kv=False, "
                f"got kdim {module.kdim}, vdim {module.vdim}, add_bias_kv {module.bias_k is not None}"
            )
        has_bias = module.in_proj_bias is not None
        settings = (module.embed_dim, module.num_heads, module.dropout, has_bias, module.add_zero_attn)
        made = cls(*settings, module.batch_first, per_channel=per_channel, per_row=per_row)
        weight, bias = module.in_proj_weight, module.in_proj_bias
        made.in_proj = Linear.of(weight, bias, dtype=dtype, per_channel=per_channel, per_row=per_row)
        made.out_proj = Linear.from_float(
            module.out_proj, dtype=dtype, per_channel=per_channel, per_row=per_row
        )
        return made.train(module.training)

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
        """As `nn.MultiheadAttention`; of one array and without weights, scores are 8-bit integers too."""
        plain = self.training or self.add_zero_attn or need_weights
        if plain or not query is key is value or len(np.shape(query)) != 3:
            return super().forward(
                query,
                key,
                value,
                key_padding_mask,
                need_weights,
                attn_mask,
                average_attn_weights,
                is_causal,
            )
        x, x, x, _ = self._batched(query, query, query)
        self._check(x, x, x)
        n, length, _ = x.shape
        if is_causal and attn_mask is None:
            attn_mask = ~causal(length, length)
        mask = attention_mask(attn_mask, key_padding_mask, n, self.num_heads, length, length)
        output = self.out_proj(self_attention(self.in_proj(x), self.num_heads, mask))
        return output if self.batch_first else output.transpose((1, 0, 2)), None

    _in_integers = True

    def _three(self, rows: Floats) -> Floats:
        return self.in_proj(rows)

    def _project(self, query: Floats, key: Floats, value: Floats) -> list[Floats]:
        width = self.embed_dim
        thirds = [slice(i * width, (i + 1) * width) for i in range(3)]
        if query is key is value:
            projected = self.in_proj(query)
            return [projected[..., third] for third in thirds]
        # All thirds of each, of which one is used: weights are packed together.
        return [self.in_proj(x)[..., third] for x, third in zip((query, key, value), thirds, strict=True)]

    def _config(self) -> Config:
        return {
            "embed_dim": self.embed_dim,
            "num_heads": self.num_heads,
            "dropout": self.dropout,
            "bias": self.in_proj.bias() is not None,
            "add_zero_attn": self.add_zero_attn,
            "batch_first": self.batch_first,
            "per_channel": getattr(self.in_proj, "per_channel", True),
            "per_row": getattr(self.in_proj, "per_row", True),
        }

    def _get_name(self) -> str:
        return "DynamicQuantizedMultiheadAttention"
