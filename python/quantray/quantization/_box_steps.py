"""Nodes that choose boxes in images, and look at what is in them, as steps of a program."""

from __future__ import annotations

import numpy as np

from quantray.graph import Node, Ref
from quantray.graph._trees import is_array
from quantray.quantization._lowering import Lowering, step_of
from quantray.quantization._operands import (
    FLOAT,
    INT,
    arguments,
    axes,
    lengths,
    made_dtype,
    need,
    rank,
    typed,
    wire,
)


def _number(to: Lowering, value: object) -> float | None:
    """A setting that is always the same number; None where there is none."""
    value = to.fixed.get(value, value) if isinstance(value, Ref) else value
    need(value is None or isinstance(value, (int, float, np.generic)) or is_array(value))
    return None if value is None else float(np.asarray(value).reshape(-1)[0])


@step_of("onnx.non_max_suppression")
def _non_max_suppression(to: Lowering, node: Node) -> None:
    given = arguments(node, "boxes", "scores", "limit", "overlap", "least", "centred")
    limit, overlap, least = (_number(to, given[name]) for name in ("limit", "overlap", "least"))
    sources = tuple(typed(to, given[name], FLOAT, node) for name in ("boxes", "scores"))
    made = to.step(
        "non_max_suppression",
        sources,
        node,
        # Beyond 2^53 boxes there is no number of them to miss.
        limit=int(min(limit or 0, 2.0**53)),
        overlap=overlap or 0.0,
        least=least,
        centred=bool(given["centred"]),
    )
    to.put(node, made)


@step_of("onnx.roi_align")
def _roi_align(to: Lowering, node: Node) -> None:
    given = arguments(node, "x", "boxes", "images", "output", "sampling", "scale", "mode", "half_pixel")
    images = given["images"]
    own = to.graph.fact(images).dtype if isinstance(images, Ref) else np.asarray(images).dtype
    need(own.kind in "iu" and made_dtype(node) == FLOAT)
    sources = (wire(to, given["x"]), typed(to, given["boxes"], FLOAT, node), typed(to, images, INT, node))
    made = to.step(
        "roi_align",
        sources,
        node,
        output_size=axes(given["output"]),
        sampling=int(given["sampling"] or 0),
        scale=1.0 if given["scale"] is None else float(given["scale"]),
        mode=given["mode"] or "avg",
        half_pixel=given["half_pixel"] is None or bool(given["half_pixel"]),
    )
    to.put(node, made)


@step_of("onnx.max_pool")
def _max_pool(to: Lowering, node: Node) -> None:
    given = arguments(node, "x", "kernel", "strides", "pads", "dilations", "ceil", "storage_order")
    x, pads = wire(to, given["x"], None), given["pads"]
    need(str(to.graph.fact(given["x"]).dtype) != "bool" and 3 <= rank(to, given["x"]) <= 5)
    # Padding that depends on lengths is worked out by the node.
    sides = [axes(pair) for pair in pads]
    need(all(pair is not None and min(pair) >= 0 for pair in sides))
    params: dict[str, object] = {
        "kernel_size": axes(given["kernel"]),
        "stride": axes(given["strides"]),
        "pads": tuple(pair[i] for i in range(2) for pair in sides if pair is not None),
        "dilation": axes(given["dilations"]),
        "ceil_mode": bool(given["ceil"]),
    }
    column_major = bool(given["storage_order"])
    places = to.step("max_pool_places", (x,), node, column_major=column_major, **params)
    to.numbers[Ref(node.name, 1)] = places
    kernel, dilations = axes(given["kernel"]) or (), axes(given["dilations"]) or ()
    meets = all(d == 1 and max(pair or (0,)) < k for k, d, pair in zip(kernel, dilations, sides, strict=True))
    if meets and not column_major:
        # Each window has an element, which is looked up where it was found.
        flat = to.step("flatten", (x,), node, start=0, end=-1)
        to.put(node, to.step("take", (flat, places), node, axis=0))
    else:
        to.put(node, to.step("max_pool_places", (x,), node, places=False, **params))


@step_of("onnx.col2im")
def _col2im(to: Lowering, node: Node) -> None:
    given = arguments(node, "x", "image", "block", "strides", "pads", "dilations")
    made = to.step(
        "col2im",
        (wire(to, given["x"]),),
        node,
        shape=lengths(to, given["image"]),
        kernel_size=axes(given["block"]),
        stride=axes(given["strides"]),
        pads=axes(given["pads"]),
        dilation=axes(given["dilations"]),
    )
    to.put(node, made)
