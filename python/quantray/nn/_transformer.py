"""Layers of a transformer's encoder."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from quantray.nn import _init
from quantray.nn._attention import MultiheadAttention
from quantray.nn._containers import ModuleList
from quantray.nn._dropout import Dropout
from quantray.nn._layer_norm import LayerNorm
from quantray.nn._linear import Linear
from quantray.nn._module import Module
from quantray.nn.functional._activation import gelu, relu

_ACTIVATIONS: dict[str, Callable[[Any], Any]] = {"relu": relu, "gelu": gelu}


def activation_of(given: str | Callable[[Any], Any]) -> Callable[[Any], Any]:
    """A function, from its name or as it is."""
    if callable(given):
        return given
    if given not in _ACTIVATIONS:
        raise ValueError(f'activation must be "relu", "gelu" or a function, got {given!r}')
    return _ACTIVATIONS[given]


class TransformerEncoderLayer(Module):
    """Self-attention and two linear layers, each with a residual and a layer normalization.

    Parameters
    ----------
    d_model, nhead : int
        Width of the input, and heads of the attention.
    dim_feedforward : int
        Width between the two linear layers.
    dropout : float
        The probability that an element becomes 0, in training.
    activation : str or callable
        "relu", "gelu", or a function of an array: between the two linear layers.
    layer_norm_eps : float
        What normalizations add to the variance.
    batch_first : bool
        Whether arrays are of shape (N, L, d_model), not (L, N, d_model).
    norm_first : bool
        Whether normalizations come before attention and linear layers, not after.
    bias : bool
        Whether linear layers and normalizations have biases.

    >>> import numpy as np
    >>> from quantray import nn
    >>> layer = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True).eval()
    >>> layer(np.ones((3, 5, 8), np.float32)).shape
    (3, 5, 8)

    Source: Vaswani et al., Attention Is All You Need (2017), 3.1; `torch.nn.TransformerEncoderLayer`.
    """

    self_attn: Any
    linear1: Any
    linear2: Any
    norm1: Any
    norm2: Any

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
    ) -> None:
        super().__init__()
        self.self_attn = MultiheadAttention(d_model, nhead, dropout, bias, batch_first=batch_first)
        self.linear1 = Linear(d_model, dim_feedforward, bias)
        self.dropout = Dropout(dropout)
        self.linear2 = Linear(dim_feedforward, d_model, bias)
        self.norm_first = norm_first
        self.norm1 = LayerNorm(d_model, layer_norm_eps, bias=bias)
        self.norm2 = LayerNorm(d_model, layer_norm_eps, bias=bias)
        self.dropout1 = Dropout(dropout)
        self.dropout2 = Dropout(dropout)
        self.activation = activation_of(activation)

    def forward(
        self, src: Any, src_mask: Any = None, src_key_padding_mask: Any = None, is_causal: bool = False
    ) -> Any:
        """The layer of `src`, of its shape; masks are those of `MultiheadAttention`."""
        masks = (src_mask, src_key_padding_mask, is_causal)
        x = src
        if self.norm_first:
            x = x + self._attend(self.norm1(x), *masks)
            return x + self._feed_forward(self.norm2(x))
        x = self.norm1(x + self._attend(x, *masks))
        return self.norm2(x + self._feed_forward(x))

    def _attend(self, x: Any, mask: Any, padding: Any, is_causal: bool) -> Any:
        x = self.self_attn(x, x, x, padding, False, mask, is_causal=is_causal)[0]
        return self.dropout1(x)

    def _feed_forward(self, x: Any) -> Any:
        return self.dropout2(self.linear2(self.dropout(self.activation(self.linear1(x)))))

    def _activation_name(self) -> str:
        for name, function in _ACTIVATIONS.items():
            if self.activation is function:
                return name
        raise TypeError(
            f'activation must be "relu" or "gelu" for a model that is saved, got {self.activation!r}'
        )

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
            "bias": self.linear1.bias is not None,
        }


class TransformerEncoder(Module):
    """Layers one after the other, and a normalization of the last one's output.

    Parameters
    ----------
    encoder_layer : Module
        Copied for each layer.
    num_layers : int
        How many there are.
    norm : Module, optional
        Called last.
    enable_nested_tensor, mask_check : bool
        Have no effect: padding is always computed, and masks are always checked.

    >>> import numpy as np
    >>> from quantray import nn
    >>> encoder = nn.TransformerEncoder(nn.TransformerEncoderLayer(8, 2, 16), 3).eval()
    >>> encoder(np.ones((5, 2, 8), np.float32)).shape
    (5, 2, 8)

    Source: `torch.nn.TransformerEncoder`.
    """

    norm: Any

    def __init__(
        self,
        encoder_layer: Module,
        num_layers: int,
        norm: Module | None = None,
        enable_nested_tensor: bool = True,
        mask_check: bool = True,
    ) -> None:
        super().__init__()
        if num_layers < 1:
            raise ValueError(f"num_layers must be at least 1, got {num_layers}")
        if _init.is_rebuilding():
            states = [module._own_state() for module in encoder_layer.modules()]
            _init.sized((num_layers, sum(value.size for state in states for value in state.values())))
        self.layers = ModuleList(encoder_layer.copy() for _ in range(num_layers))
        self.num_layers = num_layers
        self.add_module("norm", norm)

    def forward(
        self, src: Any, mask: Any = None, src_key_padding_mask: Any = None, is_causal: bool | None = None
    ) -> Any:
        """The encoder of `src`, of its shape; masks are those of `MultiheadAttention`."""
        for layer in self.layers:
            src = layer(src, mask, src_key_padding_mask, bool(is_causal))
        return src if self.norm is None else self.norm(src)

    def _config(self) -> dict[str, Any]:
        return {"encoder_layer": self.layers[0], "num_layers": self.num_layers, "norm": self.norm}
