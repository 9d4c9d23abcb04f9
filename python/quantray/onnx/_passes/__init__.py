"""Rewriting of a file's graph before modules are made of it.

Constants are folded, layers made whole, and formulas that exporters write out recognized.
"""

from quantray.onnx._passes._activations import gelu, hard_sigmoid, hard_swish, silu, slopes_of_rows
from quantray.onnx._passes._attention import self_attention
from quantray.onnx._passes._blocked_channels import without_blocks
from quantray.onnx._passes._branches import sum_of_convolutions
from quantray.onnx._passes._channels_last import channels_second
from quantray.onnx._passes._draft import Draft, free_names, uses
from quantray.onnx._passes._dynamic import bias_of_dynamic, dynamic_product, fused_dynamic
from quantray.onnx._passes._inline import inline_functions
from quantray.onnx._passes._layers import (
    batch_norm_of_linear,
    bias_of_product,
    per_channel,
    scale_of_product,
)
from quantray.onnx._passes._layouts import channels_first
from quantray.onnx._passes._loops import without_unchanged
from quantray.onnx._passes._moves import drop_identities, reshapes, transpositions
from quantray.onnx._passes._normalizations import (
    channels_of_group_norm,
    group_norm,
    layer_norm,
    mean,
    rms_norm,
)
from quantray.onnx._passes._roundings import WIDE, wide_roundings
from quantray.onnx._passes._tables import table_of_codes
from quantray.onnx._passes._written_out import written_out

__all__ = [
    "WIDE",
    "Draft",
    "channels_second",
    "free_names",
    "inline_functions",
    "simplify",
    "uses",
    "without_blocks",
    "without_unchanged",
    "written_out",
]


def simplify(draft: Draft) -> None:
    """All rewriting, in place."""
    draft.prune()
    # Shapes are those of the values that the file has.
    draft.apply(mean, group_norm, channels_of_group_norm)
    draft.apply(transpositions, reshapes)
    channels_first(draft)
    draft.apply(transpositions)
    drop_identities(draft)
    draft.apply(wide_roundings)
    draft.apply(gelu, silu, hard_swish, hard_sigmoid, slopes_of_rows)
    draft.apply(layer_norm, rms_norm)
    draft.apply(scale_of_product, bias_of_product, scale_of_product, per_channel, sum_of_convolutions)
    # What scales the sum of branches.
    draft.apply(per_channel)
    draft.apply(batch_norm_of_linear, reshapes)
    draft.apply(self_attention)
    draft.apply(table_of_codes)
    draft.apply(dynamic_product, fused_dynamic, bias_of_dynamic)
