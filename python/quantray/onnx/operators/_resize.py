"""Operators that look elements up between others: resize, grids, boxes."""

# Arrays and stand-ins of them are of any dtype and shape: what NumPy's stubs make of them says nothing here.
# pyright: reportUnknownVariableType=false, reportUnknownMemberType=false, reportUnknownArgumentType=false

from __future__ import annotations

from typing import cast

import numpy as np

from quantray import graph
from quantray._typing import Kwargs
from quantray.nn import functional as F
from quantray.onnx._lengths import are_same, integers, is_length, shape_of
from quantray.onnx.functions._resize import ROUNDINGS, TRANSFORMS
from quantray.onnx.operators._registry import Array, Call, Given, filled, operator

_LINEAR = {3: "linear", 4: "bilinear", 5: "trilinear"}


def _floats(x: Given) -> tuple[float, ...]:
    """The numbers in an array; none where it has no elements."""
    return tuple(float(n) for n in x.reshape(-1).tolist()) if x is not None else ()


@operator("Resize", takes_lengths=True, has_parameters=False)
def _resize(call: Call, x: Array, *more: Array) -> Array:
    """Opset 10 has scales alone, its second input; 11 has regions, scales and sizes."""
    if call.version < 11:
        return _resized_simply(call, x, more[0])
    roi, scales, sizes = filled(more, 3)
    settings = {
        "transform": call.choice("coordinate_transformation_mode", TRANSFORMS),
        "rounding": call.choice("nearest_mode", ROUNDINGS),
        "cubic": float(call.get("cubic_coeff_a", -0.75)),
        "exclude_outside": bool(call.get("exclude_outside", 0)),
        "outside": float(call.get("extrapolation_value", 0.0)),
        "antialias": bool(call.get("antialias", 0)),
        "policy": call.choice("keep_aspect_ratio_policy", ("stretch", "not_larger", "not_smaller")),
    }
    return _resized(call, x, roi, scales, sizes, settings)


@operator("Upsample", takes_lengths=True, has_parameters=False)
def _upsample(call: Call, x: Array, scales: Array | None = None) -> Array:
    """The scales are an attribute before opset 9."""
    if scales is None:
        scales = np.array(call.get("scales"), np.float32)
    return _resized_simply(call, x, scales)


def _resized_simply(call: Call, x: Array, scales: Array) -> Array:
    """Before opset 11: where axes grow, elements are the ones before; where they shrink, the ones after."""
    by = np.asarray(scales, np.float32)
    for rounding, part in (("ceil", np.minimum(by, 1)), ("floor", np.maximum(by, 1))):
        if (part != 1).any():
            x = _resized(call, x, None, part, None, {"transform": "asymmetric", "rounding": rounding})
    return x


def _resized(call: Call, x: Array, roi: Given, scales: Given, sizes: Given, settings: Kwargs) -> Array:
    mode = call.choice("mode", ("nearest", "linear", "cubic", "bilinear"))
    mode = "linear" if mode == "bilinear" else mode
    ndim = np.ndim(x)
    axes = tuple(call.axis(a, ndim) for a in (call.integers("axes") or range(ndim)))
    by = None if scales is None or np.size(scales) == 0 else _floats(scales)
    to = None if sizes is None or np.size(sizes) == 0 else tuple(integers(sizes, "sizes"))
    if (by is None) == (to is None):
        raise call.error("scales or sizes must be given, one of them")
    if len(by or to or ()) != len(axes):
        raise call.error(f"there must be {len(axes)} scales or sizes, got {len(by or to or ())}")
    own = shape_of(x)
    if to is not None:
        # Axes that stay as they are need no work, even where their lengths are not known yet.
        kept = [i for i, axis in enumerate(axes) if _is_same(to[i], own[axis])]
    else:
        assert by is not None
        kept = [i for i in range(len(axes)) if by[i] == 1.0]
    if settings["transform"] != "tf_crop_and_resize" and settings.get("policy", "stretch") == "stretch":
        rest = [i for i in range(len(axes)) if i not in kept]
        axes = tuple(axes[i] for i in rest)
        by = None if by is None else tuple(by[i] for i in rest)
        to = None if to is None else tuple(to[i] for i in rest)
        if not axes:
            return x
        whole = _as_interpolate(x, axes, by, to, mode, settings)
        if whole is not None:
            return whole
    regions = None if roi is None or settings["transform"] != "tf_crop_and_resize" else roi
    return graph.apply("onnx.resize", x, by, to, regions, axes, mode, **settings)


def _is_same(a: int, b: int) -> bool:
    """Whether two lengths are one: the same number, or the same length that is not known yet."""
    return are_same(a, b) if is_length(a) or is_length(b) else int(a) == int(b)


def _as_interpolate(
    x: Array,
    axes: tuple[int, ...],
    by: tuple[float, ...] | None,
    to: tuple[int, ...] | None,
    mode: str,
    settings: Kwargs,
) -> Array | None:
    """`nn.functional.interpolate`, which workflows know, where it computes the same."""
    ndim = np.ndim(x)
    if axes != tuple(range(2, ndim)) or not 3 <= ndim <= 5 or x.dtype != np.float32:
        return None
    if mode == "cubic" or settings.get("antialias") or settings.get("exclude_outside"):
        return None
    transform = settings["transform"]
    if mode == "nearest":
        times = _whole_times(by)
        plain = transform == "asymmetric" and settings["rounding"] == "floor"
        centred = transform in ("half_pixel", "pytorch_half_pixel") and settings["rounding"].startswith(
            "round"
        )
        if times is None or not (plain or centred):
            return None
        return cast("Array", F.interpolate(x, scale_factor=times, mode="nearest"))
    aligned = transform == "align_corners"
    if not aligned and transform not in ("half_pixel", "pytorch_half_pixel"):
        return None
    if transform == "pytorch_half_pixel" and to is not None and any(not is_length(n) and n == 1 for n in to):
        return None
    if to is not None:
        return cast("Array", F.interpolate(x, to, mode=_LINEAR[ndim], align_corners=aligned))
    times = _whole_times(by)
    return (
        None
        if times is None
        else cast("Array", F.interpolate(x, scale_factor=times, mode=_LINEAR[ndim], align_corners=aligned))
    )


def _whole_times(by: tuple[float, ...] | None) -> tuple[float, ...] | None:
    """Scales that are integers."""
    return by if by is not None and all(n >= 1 and n.is_integer() for n in by) else None


@operator("GridSample")
@operator("GridSample", domain="com.microsoft")
def _grid_sample(call: Call, x: Array, grid: Array) -> Array:
    modes = {
        "linear": "bilinear",
        "bilinear": "bilinear",
        "nearest": "nearest",
        "cubic": "bicubic",
        "bicubic": "bicubic",
    }
    mode = call.choice("mode", tuple(modes))
    padding = call.choice("padding_mode", ("zeros", "border", "reflection"))
    corners = bool(call.get("align_corners", 0))
    return graph.apply("onnx.grid_sample", x, grid, modes[mode], padding, corners)


@operator("AffineGrid")
def _affine_grid(call: Call, theta: Array, size: Array) -> Array:
    corners = bool(call.get("align_corners", 0))
    return graph.apply("onnx.affine_grid", theta, tuple(integers(size, "size")), corners)


@operator("DeformConv")
def _deform_conv(
    call: Call, x: Array, weight: Array, offset: Array, bias: Array | None = None, mask: Array | None = None
) -> Array:
    dims = np.ndim(weight) - 2
    if dims != 2:
        raise call.error(f"images must have 2 axes, got {dims}")
    return graph.apply(
        "onnx.deform_conv",
        x,
        weight,
        offset,
        bias,
        mask,
        call.integers("strides", (1, 1)),
        call.integers("pads", (0, 0, 0, 0)),
        call.integers("dilations", (1, 1)),
        int(call.get("group", 1)),
        int(call.get("offset_group", 1)),
    )


@operator("Col2Im")
def _col2im(call: Call, x: Array, image: Array, block: Array) -> Array:
    dims = len(integers(image, "image_shape"))
    return graph.apply(
        "onnx.col2im",
        x,
        tuple(integers(image, "image_shape")),
        tuple(integers(block, "block_shape")),
        call.integers("strides", (1,) * dims),
        call.integers("pads", (0,) * 2 * dims),
        call.integers("dilations", (1,) * dims),
    )


@operator("NonMaxSuppression")
def _non_max_suppression(
    call: Call,
    boxes: Array,
    scores: Array,
    limit: Array | None = None,
    overlap: Array | None = None,
    least: Array | None = None,
) -> Array:
    centred = bool(call.get("center_point_box", 0))
    return graph.apply("onnx.non_max_suppression", boxes, scores, limit, overlap, least, centred)
