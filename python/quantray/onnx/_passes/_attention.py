"""Self-attention as exporters write it out: three products, heads, scores, softmax, a last product."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from quantray.onnx._file import NodeFile
from quantray.onnx._passes._draft import Draft
from quantray.onnx.operators import Array


class _Heads(NamedTuple):
    """Queries, keys or values: the linear layer that makes them, which third of it, and how many heads."""

    layer: NodeFile
    third: int | None
    heads: int
    width: int


def self_attention(draft: Draft, node: NodeFile) -> NodeFile | None:
    """`softmax(q @ k.T * scale + mask) @ v` of one array, between its products with weights: one layer."""
    if node.op != "Gemm" or len(node.inputs) != 3:
        return None
    mixed = _mixed(draft, node.inputs[0])
    if mixed is None:
        return None
    probabilities, values = mixed
    softmax = draft.producer(probabilities, "Softmax")
    if softmax is None or softmax.attributes.get("axis", -1) not in (-1, 3):
        return None
    for scores, mask in _masked(draft, softmax.inputs[0]):
        factor, product = _stripped(draft, scores)
        found = draft.producer(product, "MatMul")
        if found is None:
            continue
        made = _layer(draft, node, found, values, mask, factor)
        if made is not None:
            return made
    return None


def _layer(
    draft: Draft, node: NodeFile, product: NodeFile, values: str, mask: str | None, factor: float
) -> NodeFile | None:
    of_query, query = _stripped(draft, product.inputs[0])
    of_key, key = _stripped(draft, product.inputs[1])
    q, v = _heads(draft, query), _heads(draft, values)
    turned = _turned(draft, key)
    if q is None or v is None or turned is None:
        return None
    more, k = turned
    parts = (q, k, v)
    x = q.layer.inputs[0]
    if any(p.layer.inputs[0] != x or (p.heads, p.width) != (q.heads, q.width) for p in parts):
        return None
    thirds = [p.third for p in parts]
    embed = q.heads * q.width
    weights: list[Array] = []
    biases: list[Array] = []
    for i, part in enumerate(parts):
        weight, bias = _weights(draft, part.layer)
        if weight is None or bias is None:
            return None
        if thirds == [0, 1, 2]:
            weight, bias = weight[i * embed : (i + 1) * embed], bias[i * embed : (i + 1) * embed]
        elif part.third is not None:
            return None
        if weight.shape != (embed, embed):
            return None
        weights.append(weight)
        biases.append(bias)
    out_weight, out_bias = _weights(draft, node)
    if out_weight is None or out_bias is None or out_weight.shape != (embed, embed):
        return None
    # The layer divides by the root of a head's width; what is left of the factor belongs to the queries.
    left = np.float32(factor * of_query * of_key * more * math.sqrt(q.width))
    if not np.isclose(left, 1.0, rtol=1e-5):
        weights[0], biases[0] = weights[0] * left, biases[0] * left
    names = (
        draft.add(f"{node.outputs[0]}.in_weight", np.concatenate(weights)),
        draft.add(f"{node.outputs[0]}.in_bias", np.concatenate(biases)),
        draft.add(f"{node.outputs[0]}.out_weight", np.ascontiguousarray(out_weight)),
        draft.add(f"{node.outputs[0]}.out_bias", out_bias),
    )
    inputs = (x, "" if mask is None else mask, *names)
    name = f"{node.name.rpartition('/')[0].rpartition('/')[0]}/attention" if "/" in node.name else ""
    return replace(
        node,
        name=name,
        op="SelfAttention",
        domain="quantray",
        inputs=inputs,
        attributes={"num_heads": q.heads},
    )


def _mixed(draft: Draft, name: str) -> tuple[str, str] | None:
    """What is weighed with what, where heads come side by side again."""
    shaped = draft.producer(name, "Reshape")
    turned = None if shaped is None else draft.producer(shaped.inputs[0], "Transpose")
    if turned is None or list(turned.attributes.get("perm", ())) != [0, 2, 1, 3]:
        return None
    product = draft.producer(turned.inputs[0], "MatMul")
    return None if product is None else (product.inputs[0], product.inputs[1])


def _masked(draft: Draft, name: str) -> list[tuple[str, str | None]]:
    """Scores, and what is added to them."""
    total = draft.producer(name, "Add")
    if total is None:
        return [(name, None)]
    return [(a, b) for a, b in draft.terms(total)]


def _stripped(draft: Draft, name: str) -> tuple[float, str]:
    """A value without the numbers that it is multiplied with."""
    factor = 1.0
    while True:
        node = draft.producer(name, "Mul", "Div")
        if node is None or not draft.is_used_once(name):
            return factor, name
        for value, other in draft.terms(node):
            number = draft.number(other)
            if number:
                factor *= 1 / number if node.op == "Div" else number
                name = value
                break
        else:
            return factor, name


def _turned(draft: Draft, name: str) -> tuple[float, _Heads] | None:
    """Keys, whose last two axes have changed places; numbers may stand in between."""
    node = draft.producer(name, "Transpose")
    if node is None:
        return None
    order = list(node.attributes.get("perm", ()))
    if order == [0, 2, 3, 1]:
        found = _shaped(draft, node.inputs[0])
        return None if found is None else (1.0, found)
    if order != [0, 1, 3, 2]:
        return None
    factor, inner = _stripped(draft, node.inputs[0])
    found = _heads(draft, inner)
    return None if found is None else (factor, found)


def _heads(draft: Draft, name: str) -> _Heads | None:
    """Heads on an axis of their own: (batch, heads, steps, width)."""
    node = draft.producer(name, "Transpose")
    if node is not None and list(node.attributes.get("perm", ())) == [0, 2, 1, 3]:
        return _shaped(draft, node.inputs[0])
    return _third(draft, name)


def _shaped(draft: Draft, name: str) -> _Heads | None:
    """A linear layer's outputs as (batch, steps, heads, width)."""
    shaped = draft.producer(name, "Reshape")
    layer = None if shaped is None else draft.producer(shaped.inputs[0], "Gemm")
    if shaped is None or layer is None or len(shaped.inputs) < 2:
        return None
    ends = _last_lengths(draft, shaped.inputs[1], 2)
    return None if ends is None else _Heads(layer, None, *ends)


def _third(draft: Draft, name: str) -> _Heads | None:
    """One of three that a single layer makes: (batch, steps, 3, heads, width), the 3 first."""
    index, name = _taken(draft, name)
    turned = draft.producer(name, "Transpose")
    if index is None or turned is None or list(turned.attributes.get("perm", ())) != [2, 0, 3, 1, 4]:
        return None
    shaped = draft.producer(turned.inputs[0], "Reshape")
    layer = None if shaped is None else draft.producer(shaped.inputs[0], "Gemm")
    if shaped is None or layer is None or len(shaped.inputs) < 2:
        return None
    ends = _last_lengths(draft, shaped.inputs[1], 3)
    if ends is None or ends[0] != 3:
        return None
    return _Heads(layer, index, ends[1], ends[2])


def _taken(draft: Draft, name: str) -> tuple[int | None, str]:
    """Which place of the first axis a value is of another one."""
    node = draft.producer(name, "Gather", "Squeeze")
    if node is None:
        return None, name
    if node.op == "Gather":
        place = draft.number(node.inputs[1])
        is_first = node.attributes.get("axis", 0) == 0 and draft.constants.get(node.inputs[1]) is not None
        return (None if place is None or not is_first else int(place)), node.inputs[0]
    if draft.axes(node) != [0]:
        return None, name
    inner = draft.producer(node.inputs[0], "Slice", "Split")
    if inner is None:
        return None, name
    if inner.op == "Split":
        is_first = inner.attributes.get("axis", 0) == 0
        return (inner.outputs.index(node.inputs[0]) if is_first else None), inner.inputs[0]
    found = [draft.constant(each) for each in inner.inputs[1:]]
    given = [value for value in found if value is not None and value.size == 1]
    if len(given) < max(len(found), 3):
        return None, name
    start, end, axis = (int(value.reshape(())) for value in given[:3])
    return (start if axis == 0 and end == start + 1 else None), inner.inputs[0]


def _last_lengths(draft: Draft, name: str, count: int) -> tuple[int, ...] | None:
    """The last lengths of a shape, where these are constants."""
    known = draft.constant(name)
    if known is not None:
        ends: list[int] = known.reshape(-1)[-count:].tolist()
    else:
        joined = draft.producer(name, "Concat")
        if joined is None:
            return None
        ends = []
        for part in reversed(joined.inputs):
            value = draft.constant(part)
            if value is None:
                break
            ends = [*value.reshape(-1).tolist(), *ends]
        ends = ends[-count:]
    if len(ends) != count or any(n < 1 for n in ends):
        return None
    return tuple(int(n) for n in ends)


def _weights(draft: Draft, layer: NodeFile) -> tuple[Array | None, Array | None]:
    """A linear layer's weight, (outputs, inputs), and bias."""
    weight = draft.constant(layer.inputs[1])
    bias = draft.constant(layer.inputs[2]) if len(layer.inputs) > 2 and layer.inputs[2] else None
    plain = layer.attributes.get("alpha", 1.0) == 1 and layer.attributes.get("beta", 1.0) == 1
    if weight is None or weight.ndim != 2 or layer.attributes.get("transA") or not plain:
        return None, None
    weight = weight if layer.attributes.get("transB") else weight.T
    bias = np.zeros(len(weight), np.float32) if bias is None else bias
    return (weight, bias) if bias.shape == weight.shape[:1] else (None, None)
