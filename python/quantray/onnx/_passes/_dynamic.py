"""Products that were quantized dynamically: inputs by their own range, and integer weights."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from quantray.onnx._file import NodeFile
from quantray.onnx._passes._draft import Draft
from quantray.onnx.operators import Array


def dynamic_product(draft: Draft, node: NodeFile) -> NodeFile | None:
    """`cast(integers(x) @ weights) * (scale * scales)`: one dynamic linear layer.

    As onnxruntime's `quantize_dynamic` writes it.
    """
    if node.op != "Mul":
        return None
    for sums, factor in draft.terms(node):
        cast, scale = draft.producer(sums, "Cast"), draft.producer(factor, "Mul")
        product = None if cast is None else draft.producer(cast.inputs[0], "MatMulInteger")
        if product is None or scale is None:
            continue
        given = [*product.inputs, "", ""]
        source = draft.producer(given[0], "DynamicQuantizeLinear")
        weight = draft.constant(given[1])
        if source is None or weight is None or weight.ndim != 2 or given[2] not in ("", source.outputs[2]):
            continue
        zeros = draft.constant(given[3]) if given[3] else np.zeros(1, weight.dtype)
        for own, other in draft.terms(scale):
            scales = draft.constant(other)
            if own != source.outputs[1] or scales is None or zeros is None:
                continue
            if given[2] == "" or not _are_columns(scales, zeros, weight):
                return None
            names = (
                given[1],
                draft.add(f"{given[1]}.scales", scales.reshape(-1)),
                draft.add(f"{given[1]}.zeros", zeros.reshape(-1)),
            )
            scope = product.name.rpartition("/")[0]
            name = f"{scope}/DynamicLinear" if scope else product.name.removesuffix("_quant")
            return replace(
                node,
                name=name,
                op="DynamicLinear",
                domain="quantray",
                inputs=(source.inputs[0], *names),
                attributes={},
            )
    return None


def _are_columns(scales: Array, zeros: Array, weight: Array) -> bool:
    """Whether there is one scale and one zero point for all weights, or one for each column."""
    return all(value.size in (1, weight.shape[1]) and value.ndim <= 2 for value in (scales, zeros))


def bias_of_dynamic(draft: Draft, node: NodeFile) -> NodeFile | None:
    """A dynamic linear layer, and what is added to each of its outputs."""
    if node.op != "Add":
        return None
    for product, bias in draft.terms(node):
        known, found = draft.constant(bias), draft.maker(product)
        if known is None or found is None or found.op != "DynamicLinear" or len(found.inputs) != 4:
            continue
        if not draft.is_used_once(product) or known.shape != draft.constants[found.inputs[1]].shape[1:]:
            continue
        return replace(found, inputs=(*found.inputs, bias), outputs=node.outputs)
    return None
