"""Attention of floats as steps of a program: two products, and a softmax between them."""

from __future__ import annotations

import math

import numpy as np

from quantray.graph import Node, Ref
from quantray.quantization._lowering import Lowering, NotLowered, step_of

_FLOAT = np.dtype(np.float32)


@step_of("functional.multi_head_attention")
def _multi_head_attention(to: Lowering, node: Node) -> None:
    query, key, value, heads, mask, dropped, weights = node.args
    wires = (query, key, value) if mask is None else (query, key, value, mask)
    known = all(isinstance(ref, Ref) and to.graph.fact(ref).dtype == _FLOAT for ref in wires)
    if not (to.is_near and known and dropped == 0 and not weights) or node.kwargs:
        raise NotLowered(node.kind)
    width, wide = to.graph.fact(query).shape[-1], to.graph.fact(value).shape[-1]
    if not isinstance(width, int) or not isinstance(wide, int):
        raise NotLowered("a width that differs from call to call")
    heads = int(heads)

    def split(ref: Ref, axes: tuple[int, ...], width: int) -> int:
        number = to.number(ref)
        shape = (("dim", number, 0), ("dim", number, 1), heads, width // heads)
        cut = to.step("reshape", (number,), node, shape=shape)
        return to.step("transpose", (cut,), node, axes=axes)

    q, k = split(query, (0, 2, 1, 3), width), split(key, (0, 2, 3, 1), width)
    v = split(value, (0, 2, 1, 3), wide)
    sources = (to.step("matmul", (q, k), node),)
    if mask is not None:
        sources += (to.number(mask),)
    factor = 1 / math.sqrt(max(width // heads, 1))
    shares = to.step("softmax", sources, node, axis=-1, factor=factor)
    mixed = to.step("matmul", (shares, v), node)
    if mask is not None:
        # What may look at nothing becomes 0; a softmax gives NaN there.
        most = to.step("max", (to.number(mask),), node, axes=(-1,), keepdims=True)
        empty = to.step("equal", (most, to.constant(np.asarray(-np.inf, np.float32))), node)
        mixed = to.step("where", (empty, to.constant(np.asarray(0, np.float32)), mixed), node)
    turned = to.step("transpose", (mixed,), node, axes=(0, 2, 1, 3))
    number = to.number(query)
    shape = (("dim", number, 0), ("dim", number, 1), wide)
    to.put(node, to.step("reshape", (turned,), node, shape=shape))
