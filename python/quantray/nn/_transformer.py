"""Layers of a transformer's encoder."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from quantray.nn import _init
from quantray.nn._attention import MultiheadAttention
from quantray.nn._containers import ModuleList
from quantray.nn._dropout import Dropout
from quantray.nn._factory import check_sizes
from quantray.nn._gradients import is_traced
from quantray.nn._layer_norm import LayerNorm
from quantray.nn._linear import Linear
from quantray.nn._module import Module
from quantray.nn.functional._activation import gelu, relu

if TYPE_CHECKING:
    from typing import TypeAlias

    from quantray._typing import Config, Floats, Input, Tensor

    #: A function of an array: what stands between the two linear layers.
    Activation: TypeAlias = Callable[[Floats], Tensor]

_ACTIVATIONS: dict[str, Activation] = {"relu": relu, "gelu": gelu}


def activation_of(given: str | Activation) -> Activation:
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

    self_attn: Module
    linear1: Module
    linear2: Module
    norm1: Module
    norm2: Module

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
        self,
        src: Floats,
        src_mask: Input | None = None,
        src_key_padding_mask: Input | None = None,
        is_causal: bool = False,
    ) -> Floats:
        """The layer of `src`, of its shape; masks are those of `MultiheadAttention`."""
        masks = (src_mask, src_key_padding_mask, is_causal)
        x = src
        if self.norm_first:
            x = x + self._attend(self.norm1(x), *masks)
            return x + self._feed_forward(self.norm2(x))
        x = self.norm1(x + self._attend(x, *masks))
        return self.norm2(x + self._feed_forward(x))

    def _rows(self, x: Floats, padding: Input) -> Floats:
        """The layer of rows that are no padding, (R, d_model), one sequence's after the other's, in
        evaluation.
        """
        if self.norm_first:
            x = x + self.self_attn._attend_rows(self.norm1(x), padding)
            return x + self._feed_forward(self.norm2(x))
        x = self.norm1(x + self.self_attn._attend_rows(x, padding))
        return self.norm2(x + self._feed_forward(x))

    def _attend(self, x: Floats, mask: Input | None, padding: Input | None, is_causal: bool) -> Floats:
        x = self.self_attn(x, x, x, padding, False, mask, is_causal=is_causal)[0]
        return self.dropout1(x)

    def _feed_forward(self, x: Floats) -> Floats:
        return self.dropout2(self.linear2(self.dropout(self.activation(self.linear1(x)))))

    def _activation_name(self) -> str:
        for name, function in _ACTIVATIONS.items():
            if self.activation is function:
                return name
        raise TypeError(
            f'activation must be "relu" or "gelu" for a model that is saved, got {self.activation!r}'
        )

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
    enable_nested_tensor : bool
        Whether padding is not computed, in evaluation mode and with `src_key_padding_mask` alone (and
        `batch_first` layers): the output is 0 there, as torch's is, and time follows the real tokens.
    mask_check : bool
        Has no effect: masks are always checked.

    >>> import numpy as np
    >>> from quantray import nn
    >>> encoder = nn.TransformerEncoder(nn.TransformerEncoderLayer(8, 2, 16), 3).eval()
    >>> encoder(np.ones((5, 2, 8), np.float32)).shape
    (5, 2, 8)

    Source: `torch.nn.TransformerEncoder`.
    """

    norm: Module | None

    def __init__(
        self,
        encoder_layer: Module,
        num_layers: int,
        norm: Module | None = None,
        enable_nested_tensor: bool = True,
        mask_check: bool = True,
    ) -> None:
        super().__init__()
        check_sizes(num_layers=num_layers)
        if _init.is_rebuilding():
            states = [module._own_state() for module in encoder_layer.modules()]
            _init.sized((num_layers, sum(math.prod(v.shape) for state in states for v in state.values())))
        self.layers = ModuleList(encoder_layer.copy() for _ in range(num_layers))
        self.num_layers, self.enable_nested_tensor = num_layers, enable_nested_tensor
        self.add_module("norm", norm)

    def forward(
        self,
        src: Floats,
        mask: Input | None = None,
        src_key_padding_mask: Input | None = None,
        is_causal: bool | None = None,
    ) -> Floats:
        """The encoder of `src`, of its shape; masks are those of `MultiheadAttention`."""
        if (
            src_key_padding_mask is not None
            and mask is None
            and not is_causal
            and self._skips_padding(src, src_key_padding_mask)
        ):
            keep = np.logical_not(src_key_padding_mask)
            rows = src[keep]
            for layer in self.layers:
                rows = layer._rows(rows, src_key_padding_mask)
            made = np.zeros_like(src)
            made[keep] = rows if self.norm is None else self.norm(rows)
            return made
        for layer in self.layers:
            src = layer(src, mask, src_key_padding_mask, bool(is_causal))
        return src if self.norm is None else self.norm(src)

    def _skips_padding(self, src: Floats, padding: Input) -> bool:
        """Whether rows of padding are left out."""
        if self.training or not self.enable_nested_tensor or is_traced(src) or len(np.shape(src)) != 3:
            return False
        is_mask = getattr(padding, "dtype", None) == np.bool_ and len(np.shape(padding)) == 2
        return is_mask and all(map(_has_rows, self.layers))

    def _config(self) -> Config:
        return {
            "encoder_layer": self.layers[0],
            "num_layers": self.num_layers,
            "norm": self.norm,
            "enable_nested_tensor": self.enable_nested_tensor,
        }


def _has_rows(layer: Module) -> bool:
    """Whether a layer computes rows by themselves: quantray's own, whose forward nobody has replaced."""
    if not isinstance(layer, TransformerEncoderLayer) or not type(layer).forward.__module__.startswith(
        "quantray."
    ):
        return False
    attention = layer.self_attn
    plain = attention._qkv_same_embed_dim and attention.bias_k is None and not attention.add_zero_attn
    return bool(attention.batch_first and plain)
