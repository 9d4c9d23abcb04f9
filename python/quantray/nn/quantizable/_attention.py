"""Multi-head attention, built of linear layers that can be observed."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Self

import numpy as np

from quantray import nn
from quantray._core import QTensor
from quantray.nn._factory import check_factory

if TYPE_CHECKING:
    from quantray._typing import Config, Floats


class MultiheadAttention(nn.MultiheadAttention):
    """Attention whose projections are linear layers of their own; called as `nn.MultiheadAttention` is.

    Scores and weights are floats; what the projections give is dequantized for them.

    Parameters
    ----------
    embed_dim, num_heads, dropout, bias, add_bias_kv, add_zero_attn, kdim, vdim, batch_first
        As for `nn.MultiheadAttention`.
    device, dtype
        For torch's sake: "cpu" and float32, or None.

    >>> import numpy as np
    >>> from quantray import nn, quantization as tq
    >>> attention = nn.MultiheadAttention(8, 2)
    >>> attention.qconfig = tq.get_default_qconfig()
    >>> made = nn.quantizable.MultiheadAttention.from_float(attention)
    >>> x = np.random.default_rng(0).normal(size=(5, 1, 8)).astype(np.float32)
    >>> bool(np.allclose(made(x, x, x)[0], attention(x, x, x)[0], atol=1e-6))
    True

    Source: `torch.ao.nn.quantizable.MultiheadAttention`.
    """

    float_module: ClassVar[type[nn.Module]] = nn.MultiheadAttention
    linear_Q: nn.Module
    linear_K: nn.Module
    linear_V: nn.Module

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
        device: object = None,
        dtype: object = None,
    ) -> None:
        check_factory(device, dtype)
        sizes = (embed_dim, num_heads, dropout, bias, add_bias_kv, add_zero_attn, kdim, vdim, batch_first)
        super().__init__(*sizes)
        for name in ("in_proj_weight", "in_proj_bias", "q_proj_weight", "k_proj_weight", "v_proj_weight"):
            self._parameters.pop(name, None)
        self.linear_Q = nn.Linear(embed_dim, embed_dim, bias)
        self.linear_K = nn.Linear(self.kdim, embed_dim, bias)
        self.linear_V = nn.Linear(self.vdim, embed_dim, bias)
        self.dequant_q, self.dequant_k, self.dequant_v = (nn.DeQuantStub() for _ in range(3))
        self.quant_attn_output = nn.QuantStub()

    @classmethod
    def from_float(cls, other: nn.Module) -> Self:
        """Of an `nn.MultiheadAttention` with a `qconfig`."""
        if type(other) is not cls.float_module:
            raise TypeError(f"other must be a {cls.float_module.__name__}, got {type(other).__name__}")
        if getattr(other, "qconfig", None) is None:
            raise ValueError(
                "other must have a qconfig: set other.qconfig = quantization.get_default_qconfig()"
            )
        made = cls(**other._config())
        made.qconfig = other.qconfig
        made.bias_k, made.bias_v = other.bias_k, other.bias_v
        width, bias = other.embed_dim, other.in_proj_bias
        if other._qkv_same_embed_dim:
            weights = [other.in_proj_weight[i * width : (i + 1) * width] for i in range(3)]
        else:
            weights = [other.q_proj_weight, other.k_proj_weight, other.v_proj_weight]
        for i, (layer, weight) in enumerate(
            zip((made.linear_Q, made.linear_K, made.linear_V), weights, strict=True)
        ):
            layer.weight = np.array(weight, np.float32)
            if bias is not None:
                layer.bias = np.array(bias[i * width : (i + 1) * width], np.float32)
        made.out_proj = other.out_proj.copy()
        return made.train(other.training)

    @classmethod
    def from_observed(cls, other: nn.Module) -> Self:
        """Not here: `nn.quantized.MultiheadAttention.from_observed` makes integers of an observed one."""
        raise NotImplementedError("nn.quantized.MultiheadAttention.from_observed(other) makes integers")

    def _project(self, query: Floats, key: Floats, value: Floats) -> list[Floats]:
        made = [self.linear_Q(query), self.linear_K(key), self.linear_V(value)]
        stubs = (self.dequant_q, self.dequant_k, self.dequant_v)
        # Converted, the stubs give floats; a layer that gives floats is left as it is.
        return [
            stub(x) if not isinstance(x, QTensor) else x.dequantize()
            for stub, x in zip(stubs, made, strict=True)
        ]

    def _config(self) -> Config:
        return {
            "embed_dim": self.embed_dim,
            "num_heads": self.num_heads,
            "dropout": self.dropout,
            "bias": self.linear_Q.bias is not None,
            "add_bias_kv": self.bias_k is not None,
            "add_zero_attn": self.add_zero_attn,
            "kdim": self.kdim,
            "vdim": self.vdim,
            "batch_first": self.batch_first,
        }

    def _get_name(self) -> str:
        return "QuantizableMultiheadAttention"
