"""Tables of codes, whose rows are looked up as floats."""

# Arrays and stand-ins of them are of any dtype and shape: what NumPy's stubs make of them says nothing here.
# pyright: reportUnknownVariableType=false, reportUnknownMemberType=false, reportUnknownArgumentType=false

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import numpy as np

from quantray import nn
from quantray._core import (
    make_per_channel_quantized_tensor,
    make_per_tensor_quantized_tensor,
    per_channel_affine_float_qparams,
)
from quantray.graph._tracer import record
from quantray.nn._init import rebuilding
from quantray.onnx.operators._registry import Array, Call, Given, layer, operator

_MICROSOFT = "com.microsoft"


@operator("Table", domain="quantray")
def _table(call: Call, *inputs: Array) -> Array:
    raise call.error("its codes are no constants")


@layer("Table", domain="quantray")
def _table_layer(call: Call, constants: Sequence[Given]) -> nn.Module:
    """The table of a node that a pass has made."""
    # All of them are constants.
    codes, scales, zeros = cast("Sequence[Array]", constants[1:4])
    return table_of(codes, scales, zeros)


def table_of(codes: Array, scales: Array, zeros: Array) -> nn.Module:
    """A table of uint8, with a scale and a zero point for all of it, or for each row."""
    if scales.size == 1:
        table = make_per_tensor_quantized_tensor(codes, float(scales.item()), int(zeros.item()))
    else:
        scheme = per_channel_affine_float_qparams
        table = make_per_channel_quantized_tensor(codes, scales, zeros, axis=0, qscheme=scheme)
    with rebuilding(codes.size):
        return nn.quantized.Embedding(*codes.shape, _weight=table, from_end=True)


@operator("GatherBlockQuantized", domain=_MICROSOFT)
def _gather_blocks(
    call: Call, codes: Array, indices: Array, scales: Array, zeros: Array | None = None
) -> Array:
    """Some rows of a table of a few bits, as floats."""
    kind = call.type_of(0, codes)
    packed = int(call.get("bits", 4)) if kind == "uint8" else 0
    if packed not in (0, 2, 4, 8):
        raise call.error(f"bits must be 2, 4 or 8, got {packed}")
    if not packed and kind not in ("int4", "uint4"):
        raise call.error(f"data must be of uint8, int4 or uint4, got {kind}")
    size = int(call.get("block_size", 128))
    if size < 1:
        raise call.error(f"block_size must be above 0, got {size}")
    axis, along = (call.axis(call.get(name, at), np.ndim(codes)) for name, at in _AXES)
    if axis == along or (packed and (axis or along != np.ndim(codes) - 1)):
        raise call.error(
            f"gather_axis must be another axis than quantize_axis, and of uint8 the first one where blocks "
            f"lie along the last, got {axis} and {along}"
        )
    return record("onnx.gather_blocks", codes, indices, scales, zeros, axis, along, size, packed)


#: The axes of a table, and which they are where a node does not say.
_AXES = (("gather_axis", 0), ("quantize_axis", 1))
