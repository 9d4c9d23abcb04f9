"""onnxruntime's functions of quantized elements: sums, products, tables, pools."""

# Arrays are of any dtype and shape: what NumPy's stubs make of them says nothing here.
# pyright: reportUnknownVariableType=false, reportUnknownMemberType=false, reportUnknownArgumentType=false

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from quantray._typing import Array, ArrayLike
from quantray.onnx.functions._pooling import average_pool, output_lengths
from quantray.onnx.functions._quantize import RANGES, dequantize_linear, quantize_linear, requantize


def _one(x: ArrayLike | None, default: int = 0) -> Array:
    """A scale or a zero point that is one number."""
    return np.asarray(default) if x is None else np.asarray(x).reshape(())


def qlinear_add(
    a: ArrayLike,
    a_scale: ArrayLike,
    a_zero: ArrayLike,
    b: ArrayLike,
    b_scale: ArrayLike,
    b_zero: ArrayLike,
    c_scale: ArrayLike,
    c_zero: ArrayLike | None = None,
    *,
    kind: str = "uint8",
) -> Array:
    """The sum of two quantized arrays, quantized; zero points are in the sum before it is rounded.

    Source: onnxruntime's operator QLinearAdd.
    """
    low, high, dtype = RANGES[kind]
    first = np.float32(_one(a_scale)) / np.float32(_one(c_scale))
    second = np.float32(_one(b_scale)) / np.float32(_one(c_scale))
    za, zb, zc = (np.float32(_one(z)) for z in (a_zero, b_zero, c_zero))
    fixed = zc - (first * za + second * zb)
    a, b = np.asarray(a), np.asarray(b)
    # The machine multiplies and adds with one rounding, which float64 shows.
    made = (a.astype(np.float64) * np.float64(first) + np.float64(fixed)).astype(np.float32)
    made = (b.astype(np.float64) * np.float64(second) + made.astype(np.float64)).astype(np.float32)
    return np.clip(np.rint(made), low, high).astype(dtype)


def qlinear_mul(
    a: ArrayLike,
    a_scale: ArrayLike,
    a_zero: ArrayLike,
    b: ArrayLike,
    b_scale: ArrayLike,
    b_zero: ArrayLike,
    c_scale: ArrayLike,
    c_zero: ArrayLike | None = None,
    *,
    kind: str = "uint8",
) -> Array:
    """The product of two quantized arrays, quantized.

    Source: onnxruntime's operator QLinearMul.
    """
    scale = np.float32(_one(a_scale)) * np.float32(_one(b_scale)) / np.float32(_one(c_scale))
    one = np.asarray(a).astype(np.int32) - _one(a_zero).astype(np.int32)
    two = np.asarray(b).astype(np.int32) - _one(b_zero).astype(np.int32)
    low, high, dtype = RANGES[kind]
    zero = np.float64(_one(c_zero))
    made = ((one * two).astype(np.float64) * np.float64(scale) + zero).astype(np.float32)
    return np.clip(np.rint(made), low, high).astype(dtype)


def _through_table(
    function: Callable[[Array], Array],
    x: Array,
    x_scale: ArrayLike,
    x_zero: ArrayLike | None,
    y_scale: ArrayLike,
    y_zero: ArrayLike | None,
    kind: str,
) -> Array:
    """A function of floats, of quantized elements."""
    values = function(dequantize_linear(x, _one(x_scale), _one(x_zero)))
    return quantize_linear(values, _one(y_scale), _one(y_zero), kind)


def qlinear_sigmoid(
    x: Array,
    x_scale: ArrayLike,
    x_zero: ArrayLike | None,
    y_scale: ArrayLike,
    y_zero: ArrayLike | None = None,
    *,
    kind: str = "uint8",
) -> Array:
    """The sigmoid of quantized elements, quantized.

    Source: onnxruntime's operator QLinearSigmoid.
    """
    return _through_table(_sigmoid, x, x_scale, x_zero, y_scale, y_zero, kind)


def _sigmoid(x: Array) -> Array:
    return (1 / (1 + np.exp(-x.astype(np.float64)))).astype(np.float32)


def qlinear_leaky_relu(
    x: Array,
    x_scale: Array,
    x_zero: Array,
    y_scale: Array,
    y_zero: ArrayLike | None = None,
    *,
    alpha: float = 0.01,
    kind: str = "uint8",
) -> Array:
    """Leaky ReLU of quantized elements, quantized.

    Source: onnxruntime's operator QLinearLeakyRelu.
    """

    def function(v: Array) -> Array:
        return np.where(v >= 0, v, np.float32(alpha) * v).astype(np.float32)

    return _through_table(function, x, x_scale, x_zero, y_scale, y_zero, kind)


def qlinear_concat(
    scale: ArrayLike, zero: ArrayLike, *parts: Array, axis: int = 0, kind: str = "uint8"
) -> Array:
    """Quantized arrays behind each other, on one grid.

    `parts` are arrays, each with its scale and its zero point.

    Source: onnxruntime's operator QLinearConcat.
    """
    each = zip(parts[::3], parts[1::3], parts[2::3], strict=True)
    return np.concatenate([_on_grid(*part, scale, zero, kind) for part in each], axis)


def _on_grid(
    x: Array, own_scale: ArrayLike, own_zero: ArrayLike, scale: ArrayLike, zero: ArrayLike, kind: str
) -> Array:
    """Codes of one grid as those of another."""
    if _one(own_scale) == _one(scale) and _one(own_zero) == _one(zero):
        return x
    floats = dequantize_linear(x, _one(own_scale), _one(own_zero))
    return quantize_linear(floats, _one(scale), _one(zero), kind)


def qlinear_where(
    condition: Array,
    x: Array,
    x_scale: ArrayLike,
    x_zero: ArrayLike,
    y: Array,
    y_scale: ArrayLike,
    y_zero: ArrayLike,
    scale: ArrayLike,
    zero: ArrayLike,
    *,
    kind: str = "uint8",
) -> Array:
    """Of two quantized arrays one or the other, on one grid.

    Source: onnxruntime's operator QLinearWhere.
    """
    grid = scale, zero, kind
    return np.where(condition, _on_grid(x, x_scale, x_zero, *grid), _on_grid(y, y_scale, y_zero, *grid))


def qlinear_softmax(
    x: Array,
    x_scale: Array,
    x_zero: Array,
    y_scale: Array,
    y_zero: ArrayLike | None = None,
    *,
    axis: int = -1,
    flat: bool = False,
    kind: str = "uint8",
) -> Array:
    """Softmax of quantized elements, quantized, by a table of exponentials.

    Parameters
    ----------
    flat : bool
        Whether all axes from `axis` on are one, as before opset 13.

    Source: onnxruntime's operator QLinearSoftmax.
    """
    x = np.asarray(x)
    shape, axis = x.shape, axis % max(x.ndim, 1)
    rows = x.reshape(int(np.prod(shape[:axis])), -1) if flat else np.moveaxis(x, axis, -1)
    places = rows.astype(np.int32)
    below = places - places.max(axis=-1, keepdims=True)
    scale = np.float64(_one(x_scale))
    shift = np.log(float(np.finfo(np.float32).max) / rows.shape[-1])
    shift = max(0.0, shift - 5) / scale
    table = np.exp((below - 0 + shift) * scale).astype(np.float32)
    sums = table.sum(axis=-1, keepdims=True, dtype=np.float32)
    steps = np.floor(np.float32(1) / np.float32(_one(y_scale)))
    low, high, dtype = RANGES[kind]
    made = np.rint(table * steps / sums) + np.float32(_one(y_zero))
    made = np.clip(made, low, high).astype(dtype)
    return made.reshape(shape) if flat else np.moveaxis(made, -1, axis)


def qlinear_global_average_pool(
    x: Array,
    x_scale: Array,
    x_zero: Array,
    y_scale: Array,
    y_zero: ArrayLike | None = None,
    *,
    channels_last: bool = False,
    kind: str = "uint8",
) -> Array:
    """The mean of each quantized image, quantized.

    Source: onnxruntime's operator QLinearGlobalAveragePool.
    """
    x = np.asarray(x)
    axes = tuple(range(1, x.ndim - 1)) if channels_last else tuple(range(2, x.ndim))
    count = int(np.prod([x.shape[a] for a in axes]))
    sums = x.sum(axis=axes, keepdims=True, dtype=np.int32) - np.int32(count) * _one(x_zero).astype(np.int32)
    scale = np.float32(_one(x_scale)) / (np.float32(_one(y_scale)) * np.float32(count))
    return requantize(sums, scale, _one(y_zero), kind)


def qlinear_average_pool(
    x: Array,
    x_scale: Array,
    x_zero: Array,
    y_scale: Array,
    y_zero: ArrayLike | None = None,
    *,
    kernel: Sequence[int],
    strides: Sequence[int],
    pads: Sequence[Sequence[int]],
    ceil: bool = False,
    count_padding: bool = False,
    kind: str = "uint8",
) -> Array:
    """Means of windows of quantized images, quantized.

    Where padding counts, so does what `ceil` adds: not as in AveragePool, but as onnxruntime has it.

    Source: onnxruntime's operator QLinearAveragePool.
    """
    floats, ones = dequantize_linear(x, _one(x_scale), _one(x_zero)), (1,) * len(kernel)
    if ceil and count_padding:
        lengths = x.shape[2:]
        counts = output_lengths(lengths, kernel, strides, pads, ones, ceil)
        each = zip(lengths, kernel, strides, pads, counts, strict=True)
        pads, ceil = [(a, max((m - 1) * s + k - n - a, b)) for n, k, s, (a, b), m in each], False
    made = average_pool(floats, kernel, strides, pads, ones, ceil, count_padding)
    return quantize_linear(made, _one(y_scale), _one(y_zero), kind)
