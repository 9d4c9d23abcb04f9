"""Functions of `nn.functional` that are several operators, or one of a later opset."""

# Arguments of nodes are trees of whatever functions take: their leaves have no type that could be said.
# pyright: reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportUnknownMemberType=false, reportUnknownLambdaType=false

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from quantray.graph import Expr, Node, Ref
from quantray.graph.kinds._table import bound
from quantray.nn import functional as F
from quantray.onnx._export._writing import Dim, NotExported, Writing, writes


def _lengths(to: Writing, x: Ref) -> list[int | Expr]:
    """Numbers, and lengths of wires where they are free."""
    shape = to.fact(x).shape
    return [n if isinstance(n, int) else Expr("dim", (x, axis)) for axis, n in enumerate(shape)]


def _times(length: int | Expr, by: int) -> int | Expr:
    return length * by if isinstance(length, int) else Expr("mul", (length, by))


def _part(length: int | Expr, by: int) -> int | Expr:
    return length // by if isinstance(length, int) else Expr("floordiv", (length, by))


def _channels(to: Writing, x: Ref) -> int:
    channels = to.fact(x).shape[-3]
    if not isinstance(channels, int):
        raise NotExported("channels whose number is free")
    return channels


def _turned(
    to: Writing, node: Node, x: str, shape: Sequence[Dim], perm: list[int], last: Sequence[Dim]
) -> None:
    """An array cut into other axes, which change places, and are joined."""
    cut = to.op("Reshape", [x, to.shape(shape)])
    turned = to.op("Transpose", [cut], perm=perm)
    to.put(node, to.op("Reshape", [turned, to.shape(last)], node=node))


@writes("functional.pixel_shuffle")
def _pixel_shuffle(to: Writing, node: Node) -> None:
    (x,), given = bound(F.pixel_shuffle, node, ("input",))
    r = int(given["upscale_factor"])
    if len(to.fact(x).shape) == 4:
        to.put(node, to.op("DepthToSpace", [to.value(x)], node=node, blocksize=r, mode="CRD"))
        return
    *lead, _, h, w = _lengths(to, x)
    c, k = _channels(to, x) // r**2, len(lead)
    perm = [*range(k), k, k + 3, k + 1, k + 4, k + 2]
    _turned(to, node, to.value(x), [*lead, c, r, r, h, w], perm, [*lead, c, _times(h, r), _times(w, r)])


@writes("functional.pixel_unshuffle")
def _pixel_unshuffle(to: Writing, node: Node) -> None:
    """SpaceToDepth has the channels in another order until opset 28."""
    (x,), given = bound(F.pixel_unshuffle, node, ("input",))
    r = int(given["downscale_factor"])
    *lead, _, h, w = _lengths(to, x)
    c, k, h, w = _channels(to, x), len(lead), _part(h, r), _part(w, r)
    perm = [*range(k), k, k + 2, k + 4, k + 1, k + 3]
    _turned(to, node, to.value(x), [*lead, c, h, r, w, r], perm, [*lead, c * r**2, h, w])


@writes("functional.channel_shuffle", "functional.native_channel_shuffle")
def _channel_shuffle(to: Writing, node: Node) -> None:
    (x,), given = bound(F.channel_shuffle, node, ("input",))
    groups, (n, c, *rest) = int(given["groups"]), _lengths(to, x)
    if not isinstance(c, int):
        raise NotExported("channels whose number is free")
    perm = [0, 2, 1, *range(3, 3 + len(rest))]
    _turned(to, node, to.value(x), [n, groups, c // groups, *rest], perm, [n, c, *rest])


@writes("functional.threshold")
def _threshold(to: Writing, node: Node) -> None:
    (x,), given = bound(F.threshold, node, ("input",))
    name = to.value(x)
    over = to.op("Greater", [name, to.constant(np.float32(given["threshold"]))])
    to.put(node, to.op("Where", [over, name, to.constant(np.float32(given["value"]))], node=node))


@writes("functional.celu")
def _celu(to: Writing, node: Node) -> None:
    (x,), given = bound(F.celu, node, ("input",))
    to.put(node, to.op("Celu", [to.value(x)], node=node, alpha=float(given["alpha"])))


@writes("functional.grid_sample")
def _grid_sample(to: Writing, node: Node) -> None:
    (x, grid), given = bound(F.grid_sample, node, ("input", "grid"))
    to.put(
        node,
        to.op(
            "GridSample",
            [to.value(x), to.value(grid)],
            node=node,
            version=16,
            mode=given["mode"],
            padding_mode=given["padding_mode"],
            align_corners=int(bool(given["align_corners"])),
        ),
    )


@writes("functional.scaled_dot_product_attention")
def _attention(to: Writing, node: Node) -> None:
    (query, key, value), given = bound(F.scaled_dot_product_attention, node, ("query", "key", "value"))
    mask = given["attn_mask"]
    if given["dropout_p"] or given["enable_gqa"]:
        raise NotExported("attention with dropout, or of heads that share keys")
    ndim, width = len(to.fact(key).shape), to.fact(query).shape[-1]
    if given["scale"] is not None:
        scale = float(given["scale"])
    elif isinstance(width, int):
        scale = 1 / math.sqrt(max(width, 1))
    else:
        raise NotExported("attention of rows whose width is not known")
    turned = to.op("Transpose", [to.value(key)], perm=[*range(ndim - 2), ndim - 1, ndim - 2])
    scores = to.op("MatMul", [to.value(query), turned])
    scores = to.op("Mul", [scores, to.constant(np.float32(scale))])
    if given["is_causal"]:
        square = to.shape([_lengths(to, query)[-2], _lengths(to, key)[-2]])
        ones = to.op("Expand", [to.constant(np.float32(1)), square])
        seen = to.op("Cast", [to.op("Trilu", [ones], upper=0)], to=9)
        scores = to.op("Where", [seen, scores, to.constant(np.float32(-np.inf))])
    seen_by_none: str | None = None
    if mask is not None:
        dtype = to.fact(mask).dtype if isinstance(mask, Ref) else np.asarray(mask).dtype
        if dtype == np.bool_:
            scores = to.op("Where", [to.value(mask), scores, to.constant(np.float32(-np.inf))])
        else:
            scores = to.op("Add", [scores, to.value(mask)])
        # A query that may look at nothing gives zeros.
        greatest = to.op("ReduceMax", [scores], axes=[-1], keepdims=1)
        seen_by_none = to.op("Equal", [greatest, to.constant(np.float32(-np.inf))])
    weights = to.op("Softmax", [scores], axis=-1)
    if seen_by_none is not None:
        weights = to.op("Where", [seen_by_none, to.constant(np.float32(0)), weights])
    to.put(node, to.op("MatMul", [weights, to.value(value)], node=node))
