"""Products and convolutions that were quantized dynamically: inputs by their own range, integer weights."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from quantray.onnx._file import NodeFile
from quantray.onnx._passes._draft import Draft
from quantray.onnx.operators import Array


def dynamic_product(draft: Draft, node: NodeFile) -> NodeFile | Sequence[NodeFile] | None:
    """`cast(integers(x) @ weights) * (scale * scales)`: one dynamic layer; of convolutions likewise.

    As onnxruntime's `quantize_dynamic` writes it.
    """
    if node.op != "Mul":
        return None
    for sums, factor in draft.terms(node):
        cast, scale = draft.producer(sums, "Cast"), draft.producer(factor, "Mul")
        if cast is None or scale is None:
            continue
        product, bias = _sums(draft, cast.inputs[0], scale)
        if product is None:
            continue
        given = [*product.inputs, "", ""]
        source = draft.producer(given[0], "DynamicQuantizeLinear")
        weight = draft.constant(given[1])
        if source is None or weight is None or given[2] not in ("", source.outputs[2]):
            continue
        is_conv = product.op == "ConvInteger"
        if weight.ndim != 2 and not is_conv:
            continue
        zeros = draft.constant(given[3]) if given[3] else np.zeros(1, weight.dtype)
        for own, other in draft.terms(scale):
            scales = draft.constant(other)
            if own != source.outputs[1] or scales is None or zeros is None:
                continue
            if given[2] == "":
                return None
            if is_conv:
                return _convolution(draft, node, product, source.inputs[0], (scales, zeros, bias))
            if bias is not None or not _are_columns(scales, zeros, weight):
                return None
            return _layer(draft, node, product.name, source.inputs[0], (given[1], scales, zeros))
    return None


def _sums(draft: Draft, name: str, scale: NodeFile) -> tuple[NodeFile | None, Array | None]:
    """The product that makes sums, and the bias of a convolution that is added to them.

    onnxruntime wrote it so before 1.5: as integers, `floor(bias / scale)`. A layer adds the bias itself to
    the result, which is less than one step of a sum away.
    """
    added = draft.producer(name, "Add")
    if added is None:
        return draft.producer(name, "MatMulInteger", "ConvInteger"), None
    for one, other in draft.terms(added):
        product = draft.producer(one, "ConvInteger")
        found = draft.producer(other, "Reshape", "Unsqueeze")
        for op in ("Cast", "Floor", "Div"):
            found = None if found is None else draft.producer(found.inputs[0], op)
        if product is None or found is None:
            continue
        bias, steps = draft.constant(found.inputs[0]), draft.producer(found.inputs[1], "Mul")
        weight = draft.constant(product.inputs[1])
        if bias is None or steps is None or weight is None or bias.shape != weight.shape[:1]:
            continue
        if _numbers(draft, steps) == _numbers(draft, scale):
            return product, bias
    return None, None


def _numbers(draft: Draft, node: NodeFile) -> list[str]:
    """Its inputs in one order; a constant by its numbers, whatever its shape."""
    known = [(name, draft.constant(name)) for name in node.inputs]
    return sorted(name if value is None else str(value.reshape(-1).tolist()) for name, value in known)


def fused_dynamic(draft: Draft, node: NodeFile) -> NodeFile | None:
    """The same as one node, as onnxruntime has it: DynamicQuantizeMatMul, MatMulIntegerToFloat."""
    if node.domain != "com.microsoft" or node.op not in ("DynamicQuantizeMatMul", "MatMulIntegerToFloat"):
        return None
    given = [*node.inputs, *[""] * (7 - len(node.inputs))]
    x, weight_name, scale_name, zero_name, bias = given[:5]
    if node.op == "MatMulIntegerToFloat":
        codes, weight_name, own_scale, scale_name, own_zero, zero_name, bias = given
        source = draft.producer(codes, "DynamicQuantizeLinear")
        if source is None or (own_scale, own_zero) != source.outputs[1:3]:
            return None
        x = source.inputs[0]
    weight, scales = draft.constant(weight_name), draft.constant(scale_name)
    if weight is None or scales is None or weight.ndim != 2 or (bias and draft.constant(bias) is None):
        return None
    zeros = draft.constant(zero_name) if zero_name else np.zeros(1, weight.dtype)
    if zeros is None or not _are_columns(scales, zeros, weight):
        return None
    made = _layer(draft, node, node.name, x, (weight_name, scales, zeros))
    return replace(made, inputs=(*made.inputs, bias)) if bias else made


def _layer(draft: Draft, node: NodeFile, name: str, x: str, weight: tuple[str, Array, Array]) -> NodeFile:
    """A dynamic linear layer in the place of a node, with the name of the product that it is."""
    own, scales, zeros = weight
    names = own, draft.add(f"{own}.scales", scales.reshape(-1)), draft.add(f"{own}.zeros", zeros.reshape(-1))
    scope = name.rpartition("/")[0]
    return replace(
        node,
        name=f"{scope}/DynamicLinear" if scope else name.removesuffix("_quant"),
        op="DynamicLinear",
        domain="quantray",
        inputs=(x, *names),
        attributes={},
    )


def _convolution(
    draft: Draft, node: NodeFile, product: NodeFile, x: str, params: tuple[Array, Array, Array | None]
) -> Sequence[NodeFile] | None:
    """A dynamic convolution in the place of a node, and what pads its images where that differs by side."""
    scales, zeros, bias = params
    weight = draft.constants[product.inputs[1]]
    outputs = (len(weight), *[1] * (weight.ndim - 2))
    if not 3 <= weight.ndim <= 5 or zeros.size not in (1, len(weight)):
        return None
    if scales.size != 1 and scales.shape not in (outputs, (1, *outputs)):
        return None
    own = product.inputs[1]
    names = [
        own,
        draft.add(f"{own}.scales", scales.reshape(-1)),
        draft.add(f"{own}.zeros", zeros.reshape(-1)),
    ]
    if bias is not None:
        names.append(draft.add(f"{own}.bias", bias))
    scope, attributes = product.name.rpartition("/")[0], dict(product.attributes)
    padding: list[NodeFile] = []
    if not _is_even(product):
        # Zeros are in every range, and have a code: they may as well come before images become codes.
        kernel: Any = list(weight.shape[2:])
        sides, padded = {**attributes, "kernel_shape": kernel}, draft.new(x)
        given = {"domain": "quantray", "inputs": (x,), "outputs": (padded,), "attributes": sides}
        padding = [replace(node, name="", op="Padded", **given)]
        attributes |= {"auto_pad": "VALID"}
        x = padded
    convolution = replace(
        node,
        name=f"{scope}/DynamicConv" if scope else product.name.removesuffix("_quant"),
        op="DynamicConv",
        domain="quantray",
        inputs=(x, *names),
        attributes=attributes,
    )
    return [*padding, convolution]


def _is_even(node: NodeFile) -> bool:
    """Whether a convolution pads both ends of each axis by the same known number."""
    if node.attributes.get("auto_pad", "NOTSET") not in ("NOTSET", "VALID", b"NOTSET", b"VALID"):
        return False
    pads: Any = node.attributes.get("pads", [])
    half = len(pads) // 2
    return list(pads[:half]) == list(pads[half:]) and all(n >= 0 for n in pads)


def _are_columns(scales: Array, zeros: Array, weight: Array) -> bool:
    """Whether there is one scale and one zero point for all weights, or one for each column."""
    return all(value.size in (1, weight.shape[1]) and value.ndim <= 2 for value in (scales, zeros))


def bias_of_dynamic(draft: Draft, node: NodeFile) -> NodeFile | None:
    """A dynamic layer, and what is added to each of its outputs."""
    if node.op != "Add":
        return None
    for product, bias in draft.terms(node):
        known, found = draft.constant(bias), draft.maker(product)
        if known is None or found is None or found.domain != "quantray" or len(found.inputs) != 4:
            continue
        if not draft.is_used_once(product):
            continue
        weight = draft.constants[found.inputs[1]]
        if found.op == "DynamicLinear" and known.shape == weight.shape[1:]:
            return replace(found, inputs=(*found.inputs, bias), outputs=node.outputs)
        outputs = (len(weight), *[1] * (weight.ndim - 2))
        if found.op == "DynamicConv" and known.shape in (outputs, (1, *outputs)):
            flat = draft.add(f"{bias}.flat", known.reshape(-1))
            return replace(found, inputs=(*found.inputs, flat), outputs=node.outputs)
    return None
