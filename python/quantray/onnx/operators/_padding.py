"""Operators that put elements around an array, or cut them off."""

# Arrays and stand-ins of them are of any dtype and shape: what NumPy's stubs make of them says nothing here.
# pyright: reportUnknownVariableType=false, reportUnknownMemberType=false, reportUnknownArgumentType=false

from __future__ import annotations

from typing import Literal, cast

import numpy as np

from quantray import graph
from quantray.nn import functional as F
from quantray.onnx._lengths import as_array, integers, is_length, seen, shape_of
from quantray.onnx._sizes import check_size
from quantray.onnx.operators._registry import Array, Call, operator


@operator("Pad", takes_lengths=True)
@operator("Pad", domain="com.microsoft", takes_lengths=True)
def _pad(
    call: Call, x: Array, pads: Array | None = None, value: Array | None = None, axes: Array | None = None
) -> Array:
    """Attributes before opset 11, and inputs after it."""
    x = as_array(x)
    sides = call.get("pads", call.get("paddings")) if pads is None else integers(pads, "pads")
    number = call.get("value", 0.0) if value is None else as_array(value).item()
    ndim = np.ndim(x)
    given = range(ndim) if axes is None else [call.axis(a, ndim) for a in integers(axes, "axes")]
    pairs = [(0, 0)] * ndim
    half = len(sides) // 2
    for i, axis in enumerate(given):
        pairs[axis] = (sides[i], sides[half + i])
    return pad(call, x, pairs, call.get("mode", "constant"), number)


_MODES = {"constant": "constant", "reflect": "reflect", "edge": "replicate", "wrap": "circular"}


def pad(call: Call, x: Array, pairs: list[tuple[int, int]], mode: str, value: float = 0.0) -> Array:
    """An array with so many elements more before and after, axis by axis; negative numbers cut."""
    if mode not in _MODES:
        raise call.error(f"mode must be one of {', '.join(_MODES)}, got {mode!r}")
    pairs = [(_whole(a), _whole(b)) for a, b in pairs]
    if any(n < 0 for p in pairs for n in p):
        x = x[tuple(slice(-a if a < 0 else None, b if b < 0 else None) for a, b in pairs)]
        pairs = [(0 if a < 0 else a, 0 if b < 0 else b) for a, b in pairs]
    if not any(is_length(n) or n for p in pairs for n in p):
        return x
    check_size(
        [seen(n) + seen(a) + seen(b) for n, (a, b) in zip(shape_of(x), pairs, strict=True)], x.dtype.itemsize
    )
    if x.dtype == np.float32 and mode == "constant" and np.ndim(x) > 2 and pairs[:2] == [(0, 0), (0, 0)]:
        sides = [n for p in reversed(pairs[2:]) for n in p]
        return cast("Array", F.pad(x, sides, "constant", float(value)))
    if mode == "constant":
        return np.pad(x, pairs, "constant", constant_values=value)
    return np.pad(x, pairs, cast("Literal['reflect', 'edge', 'wrap']", mode))


def _whole(n: int) -> int:
    return n if is_length(n) else int(n)


@operator("CenterCropPad", takes_lengths=True)
def _center_crop_pad(call: Call, x: Array, shape: Array) -> Array:
    ndim = np.ndim(x)
    axes = tuple(call.axis(a, ndim) for a in (call.integers("axes") or range(ndim)))
    lengths = tuple(integers(shape, "shape"))
    if len(lengths) != len(axes):
        raise call.error(f"shape must be {len(axes)} lengths, got {len(lengths)}")
    return graph.apply("onnx.center_crop_pad", x, lengths, axes)
