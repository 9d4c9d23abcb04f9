"""Pools."""

from __future__ import annotations

from typing import Any

import numpy as np

from quantray.nn import functional as F
from quantray.onnx._lengths import shape_of
from quantray.onnx._windows import Window
from quantray.onnx.operators._movement import pad
from quantray.onnx.operators._registry import Array, Call, operator

_MAX = (F.max_pool1d, F.max_pool2d, F.max_pool3d)
_MEAN = (F.avg_pool1d, F.avg_pool2d, F.avg_pool3d)
_ALL_MEAN = (F.adaptive_avg_pool1d, F.adaptive_avg_pool2d, F.adaptive_avg_pool3d)
_ALL_MAX = (F.adaptive_max_pool1d, F.adaptive_max_pool2d, F.adaptive_max_pool3d)


def _is_even(window: Window, sides: list[tuple[Any, Any]]) -> bool:
    """Whether padding is the same on both sides, and none of the windows lies in it alone."""
    return all(
        type(a) is int and type(b) is int and a == b and 0 <= 2 * a <= k
        for (a, b), k in zip(sides, window.kernel, strict=True)
    )


@operator("MaxPool")
def _max_pool(call: Call, x: Array) -> Array:
    if len(call.wanted) > 1 and call.wanted[1]:
        raise call.error("places of the greatest elements (the second output) are not computed")
    window = Window.of(call)
    sides = window.sides(shape_of(x)[2:])
    function = _MAX[len(window.kernel) - 1]
    ceil = bool(call.get("ceil_mode", 0))
    if _is_even(window, sides):
        padding: Any = tuple(a for a, _ in sides)
    else:
        padding = 0
        lowest = -np.inf if x.dtype.kind == "f" else int(np.iinfo(x.dtype).min)
        x = pad(call, x, [(0, 0), (0, 0), *sides], "constant", lowest)
    return function(x, window.kernel, window.strides, padding, window.dilations, ceil)


@operator("AveragePool")
def _average_pool(call: Call, x: Array) -> Array:
    window = Window.of(call)
    sides = window.sides(shape_of(x)[2:])
    function = _MEAN[len(window.kernel) - 1]
    ceil, whole = bool(call.get("ceil_mode", 0)), bool(call.get("count_include_pad", 0))
    is_plain = all(d == 1 for d in window.dilations)
    if _is_even(window, sides) and is_plain:
        return function(x, window.kernel, window.strides, tuple(a for a, _ in sides), ceil, whole)
    if not is_plain:
        raise call.error(f"dilations of an average must be 1, got {list(window.dilations)}")
    pairs = [(0, 0), (0, 0), *sides]
    settings = (window.kernel, window.strides, 0, ceil)
    if whole:
        return function(pad(call, x, pairs, "constant"), *settings)
    # The mean of what is there: sums over windows by how many elements these have.
    ones = pad(call, np.ones_like(x[:1, :1]), pairs, "constant")
    return function(pad(call, x, pairs, "constant"), *settings) / function(ones, *settings)


@operator("GlobalAveragePool")
def _global_average_pool(call: Call, x: Array) -> Array:
    dims = np.ndim(x) - 2
    if not 1 <= dims <= 3:
        return np.mean(x, axis=tuple(range(2, np.ndim(x))), keepdims=True)
    return _ALL_MEAN[dims - 1](x, (1,) * dims)


@operator("GlobalMaxPool")
def _global_max_pool(call: Call, x: Array) -> Array:
    dims = np.ndim(x) - 2
    return _ALL_MAX[dims - 1](x, (1,) * dims)
