"""An encoder layer with 8-bit weights."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Self

from quantray._core import qint8
from quantray.nn import _transformer
from quantray.nn._dropout import Dropout
from quantray.nn._layer_norm import LayerNorm
from quantray.nn._module import Module
from quantray.nn.quantized._weights import check_source
from quantray.nn.quantized.dynamic._attention import MultiheadAttention
from quantray.nn.quantized.dynamic._linear import Linear


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
        activation: str | Callable[[Any], Any] = "relu",
        layer_norm_eps: float = 1e-5,
        batch_first: bool = False,
        norm_first: bool = False,
        bias: bool = True,
        *,
        per_channel: bool = True,
        per_row: bool = True,
    ) -> None:
        Module.__init__(self)
        options = {"per_channel": per_channel, "per_row": per_row}
        self.self_attn = MultiheadAttention(d_model, nhead, dropout, bias, batch_first=batch_first, **options)
        self.linear1 = Linear(d_model, dim_feedforward, bias, **options)
        self.dropout = Dropout(dropout)
        self.linear2 = Linear(dim_feedforward, d_model, bias, **options)
        self.norm_first = norm_first
        self.norm1 = LayerNorm(d_model, layer_norm_eps, bias=bias)
        self.norm2 = LayerNorm(d_model, layer_norm_eps, bias=bias)
        self.dropout1 = Dropout(dropout)
        self.dropout2 = Dropout(dropout)
        self.activation = _transformer.activation_of(activation)

    @classmethod
    def from_float(
        cls, module: Module, *, dtype: Any = qint8, per_channel: bool = True, per_row: bool = True
    ) -> Self:
        """The layer of a float `nn.TransformerEncoderLayer`."""
        check_source(cls, module, _transformer.TransformerEncoderLayer)
        options: dict[str, Any] = {"dtype": dtype, "per_channel": per_channel, "per_row": per_row}
        made = cls.__new__(cls)
        Module.__init__(made)
        made.self_attn = MultiheadAttention.from_float(module.self_attn, **options)
        made.linear1 = Linear.from_float(module.linear1, **options)
        made.dropout = module.dropout.copy()
        made.linear2 = Linear.from_float(module.linear2, **options)
        made.norm_first = module.norm_first
        made.norm1, made.norm2 = module.norm1.copy(), module.norm2.copy()
        made.dropout1, made.dropout2 = module.dropout1.copy(), module.dropout2.copy()
        made.activation = module.activation
        return made.train(module.training)

    def _config(self) -> dict[str, Any]:
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
            "per_channel": self.linear1.per_channel,
            "per_row": self.linear1.per_row,
        }

    def _get_name(self) -> str:
        return "DynamicQuantizedTransformerEncoderLayer"
