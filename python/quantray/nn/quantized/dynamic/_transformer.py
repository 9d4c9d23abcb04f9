"""An encoder layer with 8-bit weights."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self, cast

import numpy as np

from quantray import ops
from quantray._core import qint8
from quantray.nn import _transformer
from quantray.nn._dropout import Dropout
from quantray.nn._layer_norm import LayerNorm
from quantray.nn._module import Module
from quantray.nn._tracing import state
from quantray.nn.functional._activation import gelu, relu
from quantray.nn.functional._arguments import floats
from quantray.nn.quantized._weights import check_source
from quantray.nn.quantized.dynamic._attention import MultiheadAttention
from quantray.nn.quantized.dynamic._linear import Linear

if TYPE_CHECKING:
    from quantray._typing import Config, Floats, Input, QDType
    from quantray.nn._transformer import Activation

#: Rows that pass the two linear layers together: what lies between these stays in the second cache.
_AT_ONCE = 96


def _normalized(norm: Module, x: Floats, residual: Floats, out: Floats | None) -> Floats:
    """A normalization of a sum, in one pass."""
    shape, weight, bias = norm.normalized_shape, norm.weight, norm.bias
    return ops.layer_norm(x, shape, weight, bias, norm.eps, residual=residual, out=out)


class TransformerEncoderLayer(_transformer.TransformerEncoderLayer):
    """An encoder layer whose products have qint8 weights; what lies between them is float32.

    Made from a float layer by `from_float`, or empty, to load a state_dict.

    Parameters
    ----------
    d_model, nhead, dim_feedforward, dropout, activation, layer_norm_eps, batch_first, norm_first, bias
        As for `nn.TransformerEncoderLayer`.
    per_channel, per_row : bool
        As for `nn.quantized.dynamic.Linear`.

    >>> import numpy as np
    >>> from quantray import nn
    >>> layer = nn.TransformerEncoderLayer(16, 2, 32, batch_first=True).eval()
    >>> small = nn.quantized.dynamic.TransformerEncoderLayer.from_float(layer)
    >>> x = np.random.default_rng(0).normal(size=(1, 5, 16)).astype(np.float32)
    >>> bool(np.abs(small(x) - layer(x)).max() < 0.2)
    True

    Source: `torch.nn.TransformerEncoderLayer`, quantized as `torch.ao.quantization.quantize_dynamic` does.
    """

    def __init__(
        self,
        d_model: int,
        nhead: int,
        dim_feedforward: int = 2048,
        dropout: float = 0.1,
        activation: str | Activation = "relu",
        layer_norm_eps: float = 1e-5,
        batch_first: bool = False,
        norm_first: bool = False,
        bias: bool = True,
        *,
        per_channel: bool = True,
        per_row: bool = True,
    ) -> None:
        Module.__init__(self)
        self.self_attn = MultiheadAttention(
            d_model,
            nhead,
            dropout,
            bias,
            batch_first=batch_first,
            per_channel=per_channel,
            per_row=per_row,
        )
        self.linear1 = Linear(d_model, dim_feedforward, bias, per_channel=per_channel, per_row=per_row)
        self.dropout = Dropout(dropout)
        self.linear2 = Linear(dim_feedforward, d_model, bias, per_channel=per_channel, per_row=per_row)
        self.norm_first = norm_first
        self.norm1 = LayerNorm(d_model, layer_norm_eps, bias=bias)
        self.norm2 = LayerNorm(d_model, layer_norm_eps, bias=bias)
        self.dropout1 = Dropout(dropout)
        self.dropout2 = Dropout(dropout)
        self.activation = _transformer.activation_of(activation)

    @classmethod
    def from_float(
        cls, module: Module, *, dtype: QDType = qint8, per_channel: bool = True, per_row: bool = True
    ) -> Self:
        """The layer of a float `nn.TransformerEncoderLayer`."""
        check_source(cls, module, _transformer.TransformerEncoderLayer)
        made = cls.__new__(cls)
        Module.__init__(made)
        made.self_attn = MultiheadAttention.from_float(
            module.self_attn, dtype=dtype, per_channel=per_channel, per_row=per_row
        )
        made.linear1 = Linear.from_float(
            module.linear1, dtype=dtype, per_channel=per_channel, per_row=per_row
        )
        made.dropout = module.dropout.copy()
        made.linear2 = Linear.from_float(
            module.linear2, dtype=dtype, per_channel=per_channel, per_row=per_row
        )
        made.norm_first = module.norm_first
        made.norm1, made.norm2 = module.norm1.copy(), module.norm2.copy()
        made.dropout1, made.dropout2 = module.dropout1.copy(), module.dropout2.copy()
        made.activation = module.activation
        return made.train(module.training)

    def forward(
        self,
        src: Floats,
        src_mask: Input | None = None,
        src_key_padding_mask: Input | None = None,
        is_causal: bool = False,
    ) -> Floats:
        """The layer of `src`, of its shape; masks are those of `MultiheadAttention`."""
        # A capture sees the steps; they are fused by the program that runs them.
        if self.training or state.tracer is not None or len(np.shape(src)) != 3:
            return super().forward(src, src_mask, src_key_padding_mask, is_causal)
        x = floats(src)
        masks = (src_key_padding_mask, False, src_mask)
        if self.norm_first:
            h = self.norm1(x)
            x = x + self.self_attn(h, h, h, *masks, is_causal=is_causal)[0]
        else:
            h = self.self_attn(x, x, x, *masks, is_causal=is_causal)[0]
            x = _normalized(self.norm1, h, x, h if h.flags.c_contiguous else None)
        rows = x.reshape(-1, x.shape[-1])
        out = np.empty_like(rows)
        inner = np.empty((min(_AT_ONCE, len(rows)), self.linear1.out_features), np.float32)
        for first in range(0, len(rows), _AT_ONCE):
            part, to = rows[first : first + _AT_ONCE], out[first : first + _AT_ONCE]
            self._feed_forward_into(part, inner[: len(part)], to)
        return out.reshape(x.shape)

    def _feed_forward_into(self, x: Floats, inner: Floats, out: Floats) -> None:
        """The second half of the layer, of some rows."""
        h = self.norm2(x) if self.norm_first else x
        if self.activation is relu:
            self.linear1.into(h, inner, relu=True)
        elif self.activation is gelu:
            ops.gelu(self.linear1.into(h, inner), out=inner)
        else:
            inner = cast("Floats", self.activation(self.linear1(h)))
        self.linear2.into(inner, out)
        if self.norm_first:
            out += x
        else:
            _normalized(self.norm2, out, x, out)

    def _config(self) -> Config:
        return {
            "d_model": self.self_attn.embed_dim,
            "nhead": self.self_attn.num_heads,
            "dim_feedforward": self.linear1.out_features,
            "dropout": self.dropout.p,
            "activation": self._activation_name(),
            "layer_norm_eps": self.norm1.eps,
            "batch_first": self.self_attn.batch_first,
            "norm_first": self.norm_first,
            "bias": self.linear1.bias() is not None,
            "per_channel": getattr(self.linear1, "per_channel", True),
            "per_row": getattr(self.linear1, "per_row", True),
        }

    def _get_name(self) -> str:
        return "DynamicQuantizedTransformerEncoderLayer"
