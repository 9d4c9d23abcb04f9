"""Self-attention that was found in a graph."""

# Arrays and stand-ins of them are of any dtype and shape: what NumPy's stubs make of them says nothing here.
# pyright: reportUnknownVariableType=false, reportUnknownMemberType=false, reportUnknownArgumentType=false

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import numpy as np

from quantray import nn
from quantray.nn._init import rebuilding
from quantray.onnx._lengths import shape_of
from quantray.onnx.operators._products import placed
from quantray.onnx.operators._registry import Array, Call, Given, layer, operator


class SelfAttention(nn.Module):
    """Attention of one array to itself, with a mask that is added to the scores.

    Attributes
    ----------
    attention : nn.MultiheadAttention
    bias : array, optional
        What is added to all scores, where it does not depend on the input: of places relative to each other.
    """

    def __init__(self, attention: nn.MultiheadAttention, bias: Array | None = None) -> None:
        super().__init__()
        self.attention = attention
        self.register_buffer("bias", bias)

    def forward(self, x: Array, mask: Array | None = None) -> Array:
        """Of shape (batch, steps, width); the mask's broadcasts to (batch, heads, steps, steps)."""
        padding: Array | None = None
        mask = self.bias if mask is None else mask
        if mask is not None:
            lengths = (1,) * (4 - np.ndim(mask)) + tuple(shape_of(mask))
            batch, steps, _ = shape_of(x)
            if lengths[1] == 1 and lengths[2] == 1:
                mask, padding = None, np.reshape(mask, (lengths[0], lengths[3]))
                padding = padding if lengths[0] == batch else np.broadcast_to(padding, (batch, lengths[3]))
            elif lengths[0] == 1 and lengths[1] == 1:
                mask = np.reshape(mask, (lengths[2], lengths[3]))
                mask = mask if lengths[2] == steps else np.broadcast_to(mask, (steps, lengths[3]))
            else:
                heads = self.attention.num_heads
                mask = np.reshape(
                    np.broadcast_to(mask, (batch, heads, steps, lengths[3])), (-1, steps, lengths[3])
                )
        found, _ = self.attention(x, x, x, padding, False, mask)
        return found


@operator("SelfAttention", domain="quantray")
def _self_attention(call: Call, *inputs: Array) -> Array:
    raise call.error("its weights are no constants")


@layer("SelfAttention", domain="quantray")
def _self_attention_layer(call: Call, constants: Sequence[Given]) -> nn.Module | None:
    # A pass has made the node, of constants.
    in_weight, in_bias, out_weight, out_bias = cast("Sequence[Array]", constants[2:])
    width = len(out_weight)
    with rebuilding(16 * width * width + 16 * width):
        made = nn.MultiheadAttention(width, call.get("num_heads"), batch_first=True)
    placed(made, in_proj_weight=in_weight, in_proj_bias=in_bias)
    placed(made.out_proj, weight=out_weight, bias=out_bias)
    return SelfAttention(made, constants[1])
