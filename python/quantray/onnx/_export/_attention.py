"""Attention, written out in the standard's operators."""

# Arguments of nodes are trees of whatever functions take: their leaves have no type that could be said.
# pyright: reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportUnknownMemberType=false, reportUnknownLambdaType=false

from __future__ import annotations

import math

import numpy as np

from quantray._typing import Array
from quantray.graph import Node, Ref
from quantray.onnx._export._writing import NotExported, Writing, writes


def _integers(*values: int) -> Array:
    return np.array(values, np.int64)


@writes("functional.multi_head_attention")
def _multi_head(to: Writing, node: Node) -> None:
    query, key, value, heads, mask, dropout, need_weights = node.args
    if dropout or need_weights:
        raise NotExported("attention with dropout, or that gives its weights")
    width = to.fact(query).shape[-1]
    names = [to.value(each) for each in (query, key, value)]
    to.put(node, attend(to, node, names, int(heads), width, None if mask is None else to.value(mask)))


@writes("functional.self_attention")
def _of_rows(to: Writing, node: Node) -> None:
    rows, heads, mask = node.args
    width = to.fact(rows).shape[-1]
    if not isinstance(width, int):
        raise NotExported("attention of rows whose width is not known")
    third, axis = width // 3, to.constant(_integers(-1))
    x = to.value(rows)
    parts = [
        to.op("Slice", [x, *(to.constant(_integers(n)) for n in (i * third, (i + 1) * third)), axis])
        for i in range(3)
    ]
    to.put(node, attend(to, node, parts, int(heads), third, None if mask is None else to.value(mask)))


def attend(to: Writing, node: Node, parts: list[str], heads: int, width: object, mask: str | None) -> str:
    """Attention of queries, keys and values, (N, L, E), whose last axis is cut into heads."""
    if not isinstance(width, int):
        raise NotExported("attention of rows whose width is not known")
    shape = to.constant(_integers(0, 0, heads, width // heads))
    query, key, value = (to.op("Reshape", [part, shape]) for part in parts)
    query, value = (to.op("Transpose", [part], perm=[0, 2, 1, 3]) for part in (query, value))
    key = to.op("Transpose", [key], perm=[0, 2, 3, 1])
    factor = to.constant(np.float32(1 / math.sqrt(max(width // heads, 1))))
    scores = to.op("Mul", [to.op("MatMul", [query, key]), factor])
    if mask is not None:
        scores = to.op("Add", [scores, mask])
    mixed = to.op("MatMul", [to.op("Softmax", [scores], axis=-1), value])
    joined = to.op("Transpose", [mixed], perm=[0, 2, 1, 3])
    return to.op("Reshape", [joined, to.constant(_integers(0, 0, width))], node=node)


@writes("functional.attention_mask")
def _mask(to: Writing, node: Node) -> None:
    attention, padding, batch, heads, length, keys = node.args
    made: str | None = None
    if attention is not None:
        made = _added(to, attention)
        if isinstance(attention, Ref) and len(to.fact(attention).shape) == 3:
            made = to.op("Reshape", [made, to.shape([batch, heads, length, keys])])
    if padding is not None:
        wide = to.op("Unsqueeze", [_added(to, padding), to.constant(_integers(1, 2))])
        made = wide if made is None else to.op("Add", [made, wide])
    if made is None:
        raise NotExported("a mask of nothing")
    to.put(node, to.op("Identity", [made], node=node))


def _added(to: Writing, mask: object) -> str:
    """A mask as what is added to scores: True of bool leaves a key out."""
    name = to.value(mask)
    dtype = to.fact(mask).dtype if isinstance(mask, Ref) else np.asarray(mask).dtype
    if dtype != np.bool_:
        return name
    out, kept = to.constant(np.float32(np.finfo(np.float32).min)), to.constant(np.float32(0))
    return to.op("Where", [name, out, kept])
