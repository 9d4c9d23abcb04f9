"""Products with weights, and of two arrays."""

# Arrays and stand-ins of them are of any dtype and shape: what NumPy's stubs make of them says nothing here.
# pyright: reportUnknownVariableType=false, reportUnknownMemberType=false, reportUnknownArgumentType=false

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, cast

import numpy as np

from quantray import graph, nn
from quantray._typing import Tensor
from quantray.nn import functional as F
from quantray.nn._init import rebuilding
from quantray.onnx._lengths import fixed_shape, shape_of
from quantray.onnx._rows import rows_of
from quantray.onnx._windows import Window
from quantray.onnx.operators._padding import pad
from quantray.onnx.operators._registry import Array, Call, Given, layer, operator

if TYPE_CHECKING:
    from quantray.nn._module import Module


_CONV = (F.conv1d, F.conv2d, F.conv3d)
_CONV_LAYERS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
_TRANSPOSED = (F.conv_transpose1d, F.conv_transpose2d, F.conv_transpose3d)
_TRANSPOSED_LAYERS = (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)


def placed(module: nn.Module, **parameters: Given) -> Module:
    """A layer with parameters that a file has, in the place of those that it was made with."""
    for name, value in parameters.items():
        if value is not None:
            module._parameters[name] = np.ascontiguousarray(value, np.float32)
    return module


@operator("MatMul")
def _matmul(call: Call, a: Array, b: Array) -> Array:
    return np.matmul(a, b)


@layer("MatMul")
def _linear(call: Call, constants: Sequence[Given]) -> nn.Module | None:
    """A product with a matrix of weights."""
    weight = constants[1]
    if constants[0] is not None or weight is None or weight.ndim != 2 or weight.dtype.kind != "f":
        return None
    return linear(weight.T, None)


def linear(weight: Array, bias: Given) -> nn.Module:
    """A linear layer of a weight of shape (outputs, inputs)."""
    with rebuilding(2 * weight.size + len(weight)):
        made = nn.Linear(weight.shape[1], weight.shape[0], bias is not None)
    return placed(made, weight=weight, bias=bias)


@operator("DynamicLinear", domain="quantray")
def _dynamic_linear(call: Call, *inputs: Array) -> Array:
    raise call.error("its weights are no constants")


@layer("DynamicLinear", domain="quantray")
def _dynamic_linear_layer(call: Call, constants: Sequence[Given]) -> nn.Module | None:
    """A layer of integer weights, whose input is quantized by its own range."""
    # A pass has made the node, of constants.
    weight, steps, offsets = cast("Sequence[Array]", constants[1:4])
    bias = constants[4] if len(constants) > 4 else None
    depth, rows = weight.shape
    with rebuilding(2 * weight.size + 2 * rows):
        made = nn.quantized.dynamic.Linear(depth, rows, bias is not None, per_row=False, onnx=True)
    made.set_weight_bias(rows_of(weight.T, steps, offsets), bias)
    return made


@operator("Padded", domain="quantray")
def _padded_images(call: Call, x: Array) -> Array:
    """What a window pads, as an array: where it differs by side, or depends on lengths."""
    sides = Window.of(call).sides(shape_of(x)[2:])
    return pad(call, x, [(0, 0), (0, 0), *sides], "constant")


@operator("DynamicConv", domain="quantray")
def _dynamic_conv(call: Call, *inputs: Array) -> Array:
    raise call.error("its weights are no constants")


_DYNAMIC = (nn.quantized.dynamic.Conv1d, nn.quantized.dynamic.Conv2d, nn.quantized.dynamic.Conv3d)


@layer("DynamicConv", domain="quantray")
def _dynamic_conv_layer(call: Call, constants: Sequence[Given]) -> nn.Module | None:
    """A convolution with integer weights, whose images are quantized by the range of all of them."""
    # A pass has made the node, of constants.
    weight, steps, offsets = cast("Sequence[Array]", constants[1:4])
    bias = constants[4] if len(constants) > 4 else None
    window, groups, outputs = Window.of(call, weight.shape[2:]), int(call.get("group", 1)), len(weight)
    padding = tuple(a for a, _ in window.fixed_sides() or [(0, 0)] * len(window.kernel))
    with rebuilding(2 * weight.size + outputs * groups):
        made = _DYNAMIC[weight.ndim - 3](
            weight.shape[1] * groups,
            outputs,
            window.kernel,
            window.strides,
            padding,
            window.dilations,
            groups,
            bias is not None,
            per_row=False,
            onnx=True,
        )
    made.set_weight_bias(rows_of(weight, steps, offsets), bias)
    return made


@operator("Gemm")
def _gemm(call: Call, a: Array, b: Array, c: Array | None = None) -> Array:
    alpha, beta = float(call.get("alpha", 1.0)), float(call.get("beta", 1.0))
    if call.get("transA"):
        a = np.transpose(a)
    weight = b if call.get("transB") else np.transpose(b)
    if alpha != 1:
        y = F.linear(a, weight) * alpha
        return y if c is None else y + (c * beta if beta != 1 else c)
    if c is not None and beta != 1:
        c = c * beta
    if c is not None and np.ndim(c) == 1 and np.shape(c) == np.shape(weight)[:1]:
        return F.linear(a, weight, c)
    y = F.linear(a, weight)
    return y if c is None else y + c


@layer("Gemm")
def _gemm_layer(call: Call, constants: Sequence[Given]) -> nn.Module | None:
    weight, c = constants[1], constants[2] if len(constants) > 2 else None
    if weight is None or weight.ndim != 2 or weight.dtype.kind != "f" or call.given != (0,):
        return None
    if call.get("transA"):
        return None
    weight = weight if call.get("transB") else weight.T
    weight = weight * np.float32(call.get("alpha", 1.0))
    if c is None:
        return linear(weight, None)
    if c.size not in (1, len(weight)) or c.ndim > 2 or (c.ndim == 2 and c.shape[0] != 1):
        return None
    return linear(weight, np.broadcast_to(c.reshape(-1), len(weight)) * np.float32(call.get("beta", 1.0)))


@operator("Conv")
def _conv(call: Call, x: Array, weight: Array, bias: Array | None = None) -> Array:
    window = Window.of(call, fixed_shape(weight)[2:])
    sides = window.sides(shape_of(x)[2:])
    padding, x = _padded(call, x, sides)
    function = _CONV[len(window.kernel) - 1]
    return function(x, weight, bias, window.strides, padding, window.dilations, int(call.get("group", 1)))


def _padded(call: Call, x: Array, sides: list[tuple[int, int]]) -> tuple[tuple[int, ...], Array]:
    """Padding that is the same on both sides is the layer's own; other padding comes before it."""
    if all(type(a) is int and type(b) is int and a == b >= 0 for a, b in sides):
        return tuple(a for a, _ in sides), x
    return (0,) * len(sides), pad(call, x, [(0, 0), (0, 0), *sides], "constant")


@layer("Conv")
def _conv_layer(call: Call, constants: Sequence[Given]) -> nn.Module | None:
    weight, bias = constants[1], constants[2] if len(constants) > 2 else None
    if weight is None or not 3 <= weight.ndim <= 5 or weight.dtype.kind != "f" or call.given != (0,):
        return None
    window = Window.of(call, weight.shape[2:])
    sides = window.fixed_sides()
    if sides is None or any(a != b or a < 0 for a, b in sides):
        return None
    groups = int(call.get("group", 1))
    with rebuilding(2 * weight.size + sum(weight.shape[:2]) * groups):
        made = _CONV_LAYERS[weight.ndim - 3](
            weight.shape[1] * groups,
            weight.shape[0],
            window.kernel,
            window.strides,
            tuple(a for a, _ in sides),
            window.dilations,
            groups,
            bias is not None,
        )
    return placed(made, weight=weight, bias=bias)


@operator("ConvTranspose")
def _conv_transpose(call: Call, x: Array, weight: Array, bias: Array | None = None) -> Tensor:
    """Sides that differ are cut off of the output."""
    window = Window.of(call, fixed_shape(weight)[2:])
    sides, more = window.transposed_sides(call, shape_of(x)[2:])
    function = _TRANSPOSED[len(window.kernel) - 1]
    group = int(call.get("group", 1))
    low = tuple(max(min(a, b), 0) for a, b in sides)
    rest = [(a - n, b - n) for (a, b), n in zip(sides, low, strict=True)]
    fits = all(m < max(s, d) for m, s, d in zip(more, window.strides, window.dilations, strict=True))
    if not fits:
        rest = [(a, b - m) for (a, b), m in zip(rest, more, strict=True)]
        more = (0,) * len(more)
    y = function(x, weight, bias, window.strides, low, more, group, window.dilations)
    if not any(n for pair in rest for n in pair):
        return y
    return pad(call, y, [(0, 0), (0, 0), *((-a, -b) for a, b in rest)], "constant")


@layer("ConvTranspose")
def _conv_transpose_layer(call: Call, constants: Sequence[Given]) -> nn.Module | None:
    weight, bias = constants[1], constants[2] if len(constants) > 2 else None
    if weight is None or not 3 <= weight.ndim <= 5 or weight.dtype.kind != "f" or call.given != (0,):
        return None
    window = Window.of(call, weight.shape[2:])
    sides, more = window.fixed_sides(), window.output_padding
    if sides is None or any(a != b or a < 0 for a, b in sides) or call.get("output_shape") is not None:
        return None
    if any(m >= max(s, d) for m, s, d in zip(more, window.strides, window.dilations, strict=True)):
        return None
    groups = int(call.get("group", 1))
    with rebuilding(2 * weight.size + sum(weight.shape[:2]) * groups):
        made = _TRANSPOSED_LAYERS[weight.ndim - 3](
            weight.shape[0],
            weight.shape[1] * groups,
            window.kernel,
            window.strides,
            tuple(a for a, _ in sides),
            more,
            groups,
            bias is not None,
            window.dilations,
        )
    return placed(made, weight=weight, bias=bias)


@operator("FusedConv", domain="com.microsoft")
def _fused_conv(
    call: Call, x: Array, weight: Array, bias: Array | None = None, added: Array | None = None
) -> Tensor:
    """onnxruntime's: a convolution, an array that is added, and an activation."""
    y = _conv(call, x, weight, bias)
    if added is not None:
        y = y + added
    return _activated(call, y)


@operator("FusedGemm", domain="com.microsoft")
def _fused_gemm(call: Call, a: Array, b: Array, c: Array | None = None) -> Tensor:
    return _activated(call, _gemm(call, a, b, c))


@operator("FusedMatMul", "TransposeMatMul", domain="com.microsoft")
def _fused_matmul(call: Call, a: Array, b: Array) -> Array:
    """onnxruntime's: of arrays whose axes may lie in other orders, times a number."""
    a, b = (_turned(call, x, side) for x, side in ((a, "A"), (b, "B")))
    alpha = float(call.get("alpha", 1.0))
    return np.matmul(a, b) if alpha == 1 else np.matmul(a, b) * np.float32(alpha)


def _turned(call: Call, x: Array, side: str) -> Array:
    """Rows that come before the axes of the batch go behind them; the last two axes change places."""
    if call.get(f"transBatch{side}") and np.ndim(x) > 2:
        x = np.moveaxis(x, 0, -2)
    return np.swapaxes(x, -1, -2) if call.get(f"trans{side}") and np.ndim(x) > 1 else x


@operator("GemmFastGelu", domain="com.microsoft")
def _gemm_fast_gelu(call: Call, x: Array, weight: Array, bias: Array | None = None) -> Tensor:
    y = np.matmul(x, weight)
    return F.gelu(y if bias is None else y + bias, "tanh")


def _activated(call: Call, y: Array) -> Tensor:
    """The activation of a fused layer, with its numbers."""
    numbers = [float(n) for n in call.get("activation_params", ())]
    if call.op == "FusedGemm":
        numbers = [float(call.get(f"activation_{name}", n)) for name, n in (("alpha", 0.01), ("beta", 0.5))]
    name = call.get("activation", "")
    first, second = [*numbers, 0.0, 0.0][:2]
    known: dict[str, Callable[[], Tensor]] = {
        "": lambda: y,
        "Relu": lambda: F.relu(y),
        "Tanh": lambda: F.tanh(y),
        "Sigmoid": lambda: F.sigmoid(y),
        "LeakyRelu": lambda: F.leaky_relu(y, first),
        "Clip": lambda: np.clip(y, first, second),
        "HardSigmoid": lambda: np.clip(y * first + second, 0.0, 1.0),
    }
    if name not in known:
        raise call.error(f"activation must be one of {', '.join(n for n in known if n)}, got {name!r}")
    return known[name]()


@operator("Det")
def _det(call: Call, x: Array) -> Array:
    return graph.apply("onnx.determinant", x)


@operator("Inverse", domain="com.microsoft")
def _inverse(call: Call, x: Array) -> Array:
    return graph.apply("onnx.inverse", x)
