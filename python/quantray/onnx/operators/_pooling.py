"""Pools."""

# Arrays and stand-ins of them are of any dtype and shape: what NumPy's stubs make of them says nothing here.
# pyright: reportUnknownVariableType=false, reportUnknownMemberType=false, reportUnknownArgumentType=false

from __future__ import annotations

import numpy as np

from quantray import graph
from quantray._typing import Tensor
from quantray.nn import functional as F
from quantray.onnx._lengths import integers, shape_of
from quantray.onnx._windows import Window
from quantray.onnx.operators._padding import pad
from quantray.onnx.operators._registry import Array, Call, operator

_MAX = (F.max_pool1d, F.max_pool2d, F.max_pool3d)
_MEAN = (F.avg_pool1d, F.avg_pool2d, F.avg_pool3d)
_ALL_MEAN = (F.adaptive_avg_pool1d, F.adaptive_avg_pool2d, F.adaptive_avg_pool3d)
_ALL_MAX = (F.adaptive_max_pool1d, F.adaptive_max_pool2d, F.adaptive_max_pool3d)


def _is_even(window: Window, sides: list[tuple[int, int]]) -> bool:
    """Whether padding is the same on both sides, and none of the windows lies in it alone."""
    return all(
        type(a) is int and type(b) is int and a == b and 0 <= 2 * a <= k
        for (a, b), k in zip(sides, window.kernel, strict=True)
    )


@operator("MaxPool")
def _max_pool(call: Call, x: Array) -> object:
    window = Window.of(call)
    sides = window.sides(shape_of(x)[2:])
    ceil = bool(call.get("ceil_mode", 0))
    has_places = len(call.wanted) > 1 and call.wanted[1]
    if has_places:
        order = int(call.get("storage_order", 0))
        geometry = (window.kernel, window.strides, tuple(sides), window.dilations)
        return graph.apply("onnx.max_pool", x, *geometry, ceil, order)
    function = _MAX[len(window.kernel) - 1]
    if x.dtype == np.float32 and _is_even(window, sides):
        padding = tuple(a for a, _ in sides)
        return function(x, window.kernel, window.strides, padding, window.dilations, ceil)
    if x.dtype == np.float32 and not ceil:
        x = pad(call, x, [(0, 0), (0, 0), *sides], "constant", -np.inf)
        return function(x, window.kernel, window.strides, 0, window.dilations, ceil)
    geometry = (window.kernel, window.strides, tuple(sides), window.dilations)
    return graph.apply("onnx.max_pool", x, *geometry, ceil, 0)[0]


@operator("AveragePool")
def _average_pool(call: Call, x: Array) -> Tensor:
    window = Window.of(call)
    ceil, whole = bool(call.get("ceil_mode", 0)), bool(call.get("count_include_pad", 0))
    sides = window.sides(shape_of(x)[2:])
    function = _MEAN[len(window.kernel) - 1]
    is_plain = all(d == 1 for d in window.dilations) and x.dtype == np.float32
    if _is_even(window, sides) and is_plain:
        return function(x, window.kernel, window.strides, tuple(a for a, _ in sides), ceil, whole)
    if whole and is_plain and not ceil:
        x = pad(call, x, [(0, 0), (0, 0), *sides], "constant")
        return function(x, window.kernel, window.strides, 0, ceil, True)
    # The mean of what is there: sums over windows by how many elements these have.
    geometry = (window.kernel, window.strides, tuple(sides), window.dilations)
    return graph.apply("onnx.average_pool", x, *geometry, ceil, whole)


@operator("LpPool")
def _lp_pool(call: Call, x: Array) -> Array:
    window, ceil = Window.of(call), bool(call.get("ceil_mode", 0))
    geometry = (window.kernel, window.strides, tuple(window.sides(shape_of(x)[2:])), window.dilations)
    return graph.apply("onnx.lp_pool", x, *geometry, ceil, int(call.get("p", 2)))


@operator("GlobalAveragePool")
def _global_average_pool(call: Call, x: Array) -> Tensor:
    dims = np.ndim(x) - 2
    if not 1 <= dims <= 3:
        return np.mean(x, axis=tuple(range(2, np.ndim(x))), keepdims=True)
    return _ALL_MEAN[dims - 1](x, (1,) * dims)


@operator("GlobalMaxPool")
def _global_max_pool(call: Call, x: Array) -> Tensor:
    dims = np.ndim(x) - 2
    if not 1 <= dims <= 3:
        return np.max(x, axis=tuple(range(2, np.ndim(x))), keepdims=True)
    return _ALL_MAX[dims - 1](x, (1,) * dims)


@operator("GlobalLpPool")
def _global_lp_pool(call: Call, x: Array) -> Array:
    p = int(call.get("p", 2))
    sums = np.sum(np.power(np.absolute(x), p), axis=tuple(range(2, np.ndim(x))), keepdims=True)
    return np.power(sums, 1.0 / p)


@operator("MaxUnpool")
def _max_unpool(call: Call, x: Array, indices: Array, shape: Array | None = None) -> Array:
    window = Window.of(call)
    sides = window.pads or ((0, 0),) * len(window.kernel)
    lengths = [
        (n - 1) * s + k - a - b
        for n, s, k, (a, b) in zip(shape_of(x)[2:], window.strides, window.kernel, sides, strict=True)
    ]
    own = (*shape_of(x)[:2], *lengths)
    wanted = own if shape is None else integers(shape, "output_shape")
    return graph.apply("onnx.max_unpool", x, indices, tuple(wanted), tuple(own))


@operator("RoiAlign")
def _roi_align(call: Call, x: Array, boxes: Array, images: Array) -> Array:
    # Before opset 16 points were at corners of pixels.
    default = "half_pixel" if call.version >= 16 else "output_half_pixel"
    transform = call.choice("coordinate_transformation_mode", ("half_pixel", "output_half_pixel"), default)
    return graph.apply(
        "onnx.roi_align",
        x,
        boxes,
        images,
        (int(call.get("output_height", 1)), int(call.get("output_width", 1))),
        int(call.get("sampling_ratio", 0)),
        float(call.get("spatial_scale", 1.0)),
        call.choice("mode", ("avg", "max")),
        transform == "half_pixel",
    )


@operator("MaxRoiPool")
def _max_roi_pool(call: Call, x: Array, boxes: Array) -> Tensor:
    shape = call.integers("pooled_shape")
    if shape is None or len(shape) != 2:
        raise call.error(f"pooled_shape must be two integers, got {shape}")
    return graph.apply("onnx.max_roi_pool", x, boxes, shape, float(call.get("spatial_scale", 1.0)))
