"""Nodes that give images another size, or read them at given places, as steps of a program."""

from __future__ import annotations

from typing import TypeAlias, cast

import numpy as np

from quantray.graph import Node
from quantray.graph._trees import is_sequence
from quantray.quantization._lowering import Length, Lowering, step_of
from quantray.quantization._operands import (
    FLOAT,
    arguments,
    axes,
    lengths,
    near,
    need,
    rank,
    shape_of,
    wire,
)

Axes: TypeAlias = tuple[object, ...]


@step_of("interpolate")
def _interpolate(to: Lowering, node: Node) -> None:
    x, mode = node.args[0], node.get("mode")
    dims = rank(to, x) - 2
    size, factor = node.get("size"), node.get("scale_factor")
    params: dict[str, object] = {"axes": tuple(range(2, 2 + dims))}
    given = size if factor is None else factor
    each = list(given) if is_sequence(given) else [given] * dims
    if factor is None:
        params["size"] = lengths(to, each)
    else:
        need(all(isinstance(f, (int, float)) for f in each))
        params["scale"] = tuple(float(f) for f in each)
    if mode in ("nearest", "nearest-exact"):
        coordinates = "torch_start" if mode == "nearest" else "torch_middle"
        params |= {"mode": "nearest", "nearest_mode": "floor", "coordinates": coordinates}
    else:
        near(to)
        params |= {"mode": "linear", "coordinates": "align_corners" if node.get("align_corners") else "torch"}
    to.put(node, to.step("resize", (wire(to, x),), node, **params))


@step_of("onnx.resize")
def _resize(to: Lowering, node: Node) -> None:
    given = arguments(
        node, "x", "scales", "sizes", "roi", "axes", "mode", "transform", "rounding", "cubic",
        "exclude_outside", "outside", "antialias", "policy",
    )  # fmt: skip
    transform, mode = given["transform"] or "half_pixel", given["mode"] or "nearest"
    need(transform not in ("tf_crop_and_resize", "half_pixel_symmetric"))
    need(given["policy"] in (None, "stretch") or given["sizes"] is None)
    x = given["x"]
    dtype = to.graph.fact(x).dtype
    # Integers become floats, and means of these lose what lies behind the point: to the bit, as the function.
    are_integers = mode == "linear" and str(dtype) in ("uint8", "int8") and not given["antialias"]
    if mode != "nearest" and not are_integers:
        near(to)
        need(dtype == FLOAT)
    params: dict[str, object] = {
        "axes": axes(given["axes"]),
        "mode": mode,
        "coordinates": transform,
        "nearest_mode": given["rounding"] or "round_prefer_floor",
        "antialias": bool(given["antialias"]),
    }
    if given["sizes"] is not None:
        # Lengths of corners that stay are counted from the sizes, and from the scales where there are some.
        params["size"] = lengths(to, given["sizes"])
    else:
        need(transform != "align_corners" or all(float(s).is_integer() for s in given["scales"]))
        params["scale"] = tuple(float(np.float32(s)) for s in given["scales"])
    if mode == "cubic":
        params["cubic_coeff"] = -0.75 if given["cubic"] is None else float(given["cubic"])
        params["exclude_outside"] = bool(given["exclude_outside"])
    else:
        need(not given["exclude_outside"])
    made = wire(to, x, None)
    if not are_integers:
        to.put(node, to.step("resize", (made,), node, **params))
        return
    made = to.step("cast", (made,), node, dtype="float32")
    # Axis by axis in the function's order, which last bits depend on.
    along = "size" if "size" in params else "scale"
    for axis, length in zip(cast("Axes", params["axes"]), cast("Axes", params[along]), strict=True):
        made = to.step("resize", (made,), node, **{**params, "axes": (axis,), along: (length,)})
    to.put(node, to.step("cast", (made,), node, dtype=str(dtype)))


@step_of("functional.grid_sample", "onnx.grid_sample")
def _grid_sample(to: Lowering, node: Node) -> None:
    names = ("input", "grid", "mode", "padding_mode", "align_corners")
    if node.kind.startswith("onnx"):
        names = ("x", "grid", "mode", "padding", "align_corners")
        near(to)
    x, grid, mode, outside, corners = arguments(node, *names).values()
    need(rank(to, x) == 4 and mode in (None, "bilinear", "nearest", "bicubic"))
    made = to.step(
        "grid_sample",
        (wire(to, x), wire(to, grid)),
        node,
        mode=mode or "bilinear",
        padding_mode=outside or "zeros",
        align_corners=bool(corners),
    )
    to.put(node, made)


@step_of("functional.pixel_shuffle", "functional.pixel_unshuffle")
def _shuffle(to: Lowering, node: Node) -> None:
    x, r = arguments(
        node, "input", "downscale_factor" if "unshuffle" in node.kind else "upscale_factor"
    ).values()
    need(isinstance(r, int) and r > 0)
    *lead, c, h, w = shape_of(to, x)
    k, number = len(lead), wire(to, x)
    if node.kind.endswith("unshuffle"):
        shape: tuple[Length, ...] = (*lead, c, ("floordiv", h, r), r, ("floordiv", w, r), r)
        order = (*range(k), k, k + 2, k + 4, k + 1, k + 3)
        last: tuple[Length, ...] = (*lead, ("mul", c, r * r), ("floordiv", h, r), ("floordiv", w, r))
    else:
        shape = (*lead, ("floordiv", c, r * r), r, r, h, w)
        order = (*range(k), k, k + 3, k + 1, k + 4, k + 2)
        last = (*lead, ("floordiv", c, r * r), ("mul", h, r), ("mul", w, r))
    made = to.step("transpose", (to.step("reshape", (number,), node, shape=shape),), node, axes=order)
    to.put(node, to.step("reshape", (made,), node, shape=last))


@step_of("functional.channel_shuffle", "functional.native_channel_shuffle")
def _channel_shuffle(to: Lowering, node: Node) -> None:
    x, groups = arguments(node, "input", "groups").values()
    need(isinstance(groups, int) and groups > 0)
    n, c, *rest = shape_of(to, x)
    shape = (n, groups, ("floordiv", c, groups), *rest)
    made = to.step("reshape", (wire(to, x),), node, shape=shape)
    made = to.step("transpose", (made,), node, axes=(0, 2, 1, *range(3, len(rest) + 3)))
    to.put(node, to.step("reshape", (made,), node, shape=(n, c, *rest)))
