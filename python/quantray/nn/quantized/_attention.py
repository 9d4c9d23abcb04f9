"""The attention whose projections are of integers that an observed one becomes."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Self, cast

import numpy as np

from quantray import nn
from quantray.nn.quantizable import MultiheadAttention as QuantizableAttention
from quantray.nn.quantized._recurrent import converted_as

if TYPE_CHECKING:
    from quantray._typing import Config


class MultiheadAttention(QuantizableAttention):
    """Attention whose projections compute in integers.

    Made by `from_observed` from an `nn.quantizable.MultiheadAttention` that `prepare` and data have been
    through. `nn.quantized.dynamic.MultiheadAttention` needs no data.

    Parameters
    ----------
    embed_dim, num_heads, dropout, bias, add_bias_kv, add_zero_attn, kdim, vdim, batch_first, device, dtype
        As for `nn.quantizable.MultiheadAttention`.

    >>> import numpy as np
    >>> from quantray import nn, quantization as tq
    >>> attention = nn.MultiheadAttention(8, 2).eval()
    >>> attention.qconfig = tq.get_default_qconfig()
    >>> x = np.random.default_rng(0).normal(size=(5, 1, 8)).astype(np.float32)
    >>> ready = tq.prepare(nn.quantizable.MultiheadAttention.from_float(attention))
    >>> _ = ready(x, x, x)
    >>> small = nn.quantized.MultiheadAttention.from_observed(ready)
    >>> bool(np.abs(small(x, x, x)[0] - attention(x, x, x)[0]).max() < 0.05)
    True

    Source: `torch.ao.nn.quantized.MultiheadAttention`.
    """

    @classmethod
    def from_float(cls, other: nn.Module) -> Self:
        """Not from floats: it needs to be observed first."""
        raise NotImplementedError(
            "nn.quantized.MultiheadAttention is made from an observed nn.quantizable.MultiheadAttention: "
            "from_float of that, quantization.prepare, a call with data, then from_observed"
        )

    @classmethod
    def from_observed(cls, other: nn.Module) -> Self:
        """The module of integers of a prepared `nn.quantizable.MultiheadAttention` that has seen data."""
        return converted_as(cls, other, QuantizableAttention)

    def dequantize(self) -> nn.MultiheadAttention:
        """The float module whose weights are those that the integers stand for."""
        made = cast("Callable[..., nn.MultiheadAttention]", nn.MultiheadAttention)(**self._config())
        layers = (self.linear_Q, self.linear_K, self.linear_V)
        weights = [np.asarray(layer.weight()) for layer in layers]
        if made._qkv_same_embed_dim:
            made.in_proj_weight = np.concatenate(weights)
        else:
            for name, weight in zip(
                ("q_proj_weight", "k_proj_weight", "v_proj_weight"), weights, strict=True
            ):
                made.register_parameter(name, weight)
        if made.in_proj_bias is not None:
            made.in_proj_bias = np.concatenate([layer.bias() for layer in layers])
            made.out_proj.bias = self.out_proj.bias()
        made.out_proj.weight = np.asarray(self.out_proj.weight())
        made.bias_k, made.bias_v = self.bias_k, self.bias_v
        return made.train(self.training)

    def _config(self) -> Config:
        bias = self.linear_Q.bias
        return {**_without_bias(self), "bias": (bias() if callable(bias) else bias) is not None}

    def _get_name(self) -> str:
        return "QuantizedMultiheadAttention"


def _without_bias(module: QuantizableAttention) -> Config:
    return QuantizableAttention._config(module)
