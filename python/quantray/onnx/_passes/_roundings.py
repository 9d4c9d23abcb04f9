"""Values that a file rounds to 16 bits: floats all the way, as there are no products of such integers."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from quantray.onnx._file import NodeFile
from quantray.onnx._passes._draft import Draft

#: The domain and the operator of what rounds.
WIDE = ("quantray", "Rounded")
_WIDE = (np.dtype(np.uint16), np.dtype(np.int16))


def wide_roundings(draft: Draft, node: NodeFile) -> NodeFile | None:
    """QuantizeLinear and DequantizeLinear of one grid of 16 bits, as one rounding of floats."""
    if node.op != "DequantizeLinear" or len(node.inputs) != 3:
        return None
    before = draft.maker(node.inputs[0])
    if before is None or before.op != "QuantizeLinear" or len(before.inputs) != 3:
        return None
    if before.domain != node.domain or node.domain not in ("", "ai.onnx", "com.microsoft"):
        return None
    for own, other in zip(node.inputs[1:], before.inputs[1:], strict=True):
        a, b = draft.constant(own), draft.constant(other)
        if a is None or b is None or a.size != 1 or a.dtype != b.dtype or a.reshape(()) != b.reshape(()):
            return None
    zero = draft.constants[node.inputs[2]]
    if zero.dtype not in _WIDE:
        return None
    names = before.inputs[0], *node.inputs[1:]
    return replace(node, domain=WIDE[0], op=WIDE[1], inputs=names, attributes={"kind": str(zero.dtype)})
