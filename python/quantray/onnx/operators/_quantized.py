"""Quantized operators: as onnxruntime computes them, integer for integer."""

# Arrays and stand-ins of them are of any dtype and shape: what NumPy's stubs make of them says nothing here.
# pyright: reportUnknownVariableType=false, reportUnknownMemberType=false, reportUnknownArgumentType=false

from __future__ import annotations

import numpy as np

from quantray import graph
from quantray.onnx._lengths import shape_of
from quantray.onnx._types import NAMES
from quantray.onnx._windows import Window
from quantray.onnx.operators._registry import Array, Call, Given, Outputs, filled, operator

_MICROSOFT = "com.microsoft"


def _kind(call: Call, at: int, zero: Given) -> str:
    """The type of integers: that of the zero point."""
    return "uint8" if zero is None else call.type_of(at, zero)


@operator("QuantizeLinear", has_parameters=False)
@operator("QuantizeLinear", domain=_MICROSOFT, has_parameters=False)
def _quantize(call: Call, x: Array, scale: Array, zero: Array | None = None) -> Array:
    said = call.get("output_dtype", 0)
    kind = NAMES.get(said, str(said)) if said else _kind(call, 2, zero)
    if zero is not None and said and kind != _kind(call, 2, zero):
        raise call.error(f"output_dtype is {kind}, and the zero point is of {_kind(call, 2, zero)}")
    return graph.apply(
        "onnx.quantize_linear",
        x,
        scale,
        zero,
        kind=kind,
        axis=int(call.get("axis", 1)),
        block_size=int(call.get("block_size", 0)),
        saturate=bool(call.get("saturate", 1)),
    )


@operator("DequantizeLinear", has_parameters=False)
@operator("DequantizeLinear", domain=_MICROSOFT, has_parameters=False)
def _dequantize(call: Call, x: Array, scale: Array, zero: Array | None = None) -> Array:
    axis, block = int(call.get("axis", 1)), int(call.get("block_size", 0))
    return graph.apply("onnx.dequantize_linear", x, scale, zero, axis=axis, block_size=block)


@operator("Rounded", domain="quantray")
def _rounded(call: Call, x: Array, scale: Array, zero: Array) -> Array:
    kind = call.get("kind")
    scale, zero = (np.reshape(value, ()) for value in (scale, zero))
    return graph.apply("onnx.fake_quantize", x, scale, zero, kind=kind)


@operator("DynamicQuantizeLinear")
def _dynamic_quantize(call: Call, x: Array) -> Outputs:
    return graph.apply("onnx.dynamic_quantize_linear", x)


@operator("MatMulInteger")
def _matmul_integer(
    call: Call, a: Array, b: Array, a_zero: Array | None = None, b_zero: Array | None = None
) -> Array:
    return graph.apply("onnx.matmul_integer", a, b, a_zero, b_zero)


@operator("QLinearMatMul")
def _qlinear_matmul(call: Call, *inputs: Given) -> Array:
    if len(inputs) != 8 or any(x is None for x in inputs):
        raise call.error("it takes 8 inputs: both arrays and the result, with a scale and a zero point each")
    return graph.apply("onnx.qlinear_matmul", *inputs, kind=_kind(call, 7, inputs[7]))


def _geometry(call: Call, x: Array, weight: Array) -> dict[str, object]:
    """The settings of a convolution."""
    window = Window.of(call, np.shape(weight)[2:])
    return {
        "strides": window.strides,
        "pads": tuple(window.sides(shape_of(x)[2:])),
        "dilations": window.dilations,
        "groups": int(call.get("group", 1)),
    }


@operator("ConvInteger")
def _conv_integer(
    call: Call, x: Array, w: Array, x_zero: Array | None = None, w_zero: Array | None = None
) -> Array:
    return graph.apply("onnx.conv_integer", x, w, x_zero, w_zero, **_geometry(call, x, w))


@operator("QLinearConv")
@operator("QLinearConv", domain=_MICROSOFT)
def _qlinear_conv(call: Call, *inputs: Array) -> Array:
    given = filled(inputs, 9)
    x, weight = given[0], given[3]
    if len(inputs) > 9 or any(x is None for x in given[:8]) or x is None or weight is None:
        raise call.error("it takes images, weight and result, with a scale and a zero point each, and a bias")
    if call.get("channels_last"):
        raise call.error("channels_last must be 0: channels are the second axis")
    settings = _geometry(call, x, weight)
    return graph.apply("onnx.qlinear_conv", *given, kind=_kind(call, 7, given[7]), **settings)


# onnxruntime's own


@operator("MatMulIntegerToFloat", domain=_MICROSOFT)
def _matmul_integer_to_float(call: Call, *inputs: Array) -> Array:
    return graph.apply("onnx.matmul_integer_to_float", *inputs)


@operator("DynamicQuantizeMatMul", domain=_MICROSOFT)
def _dynamic_quantize_matmul(call: Call, *inputs: Array) -> Array:
    return graph.apply("onnx.dynamic_quantize_matmul", *inputs)


@operator("QGemm", domain=_MICROSOFT)
def _qgemm(call: Call, *inputs: Array) -> Array:
    padded = filled(inputs, 9)
    return graph.apply(
        "onnx.qgemm",
        *padded,
        kind=_kind(call, 8, padded[8]),
        alpha=float(call.get("alpha", 1.0)),
        trans_a=bool(call.get("transA", 0)),
        trans_b=bool(call.get("transB", 0)),
    )


@operator("QLinearAdd", domain=_MICROSOFT)
def _qlinear_add(call: Call, *inputs: Array) -> Array:
    return graph.apply("onnx.qlinear_add", *inputs, kind=_result_kind(call, inputs, 7))


@operator("QLinearMul", domain=_MICROSOFT)
def _qlinear_mul(call: Call, *inputs: Array) -> Array:
    return graph.apply("onnx.qlinear_mul", *inputs, kind=_result_kind(call, inputs, 7))


def _result_kind(call: Call, inputs: tuple[Array, ...], at: int) -> str:
    """The type of a result: its zero point's, else the first input's."""
    zero = inputs[at] if len(inputs) > at else None
    return call.type_of(0, inputs[0]) if zero is None else call.type_of(at, zero)


@operator("QLinearConcat", domain=_MICROSOFT)
def _qlinear_concat(call: Call, scale: Array, zero: Array, *parts: Array) -> Array:
    if not parts or len(parts) % 3:
        raise call.error(f"arrays come with a scale and a zero point each, got {len(parts)} inputs")
    kind = call.type_of(1, zero)
    return graph.apply("onnx.qlinear_concat", scale, zero, *parts, axis=int(call.get("axis", 0)), kind=kind)


@operator("QLinearWhere", domain=_MICROSOFT)
def _qlinear_where(call: Call, condition: Array, *inputs: Array) -> Array:
    if len(inputs) != 8:
        raise call.error(
            f"it takes a condition, two arrays and a result on grids, got {len(inputs) + 1} inputs"
        )
    return graph.apply("onnx.qlinear_where", condition, *inputs, kind=call.type_of(8, inputs[7]))


@operator("QLinearSigmoid", domain=_MICROSOFT)
def _qlinear_sigmoid(call: Call, *inputs: Array) -> Array:
    return graph.apply("onnx.qlinear_sigmoid", *inputs, kind=_result_kind(call, inputs, 4))


@operator("QLinearLeakyRelu", domain=_MICROSOFT)
def _qlinear_leaky_relu(call: Call, *inputs: Array) -> Array:
    kind, alpha = _result_kind(call, inputs, 4), float(call.get("alpha", 0.01))
    return graph.apply("onnx.qlinear_leaky_relu", *inputs, alpha=alpha, kind=kind)


@operator("QLinearSoftmax", domain=_MICROSOFT)
def _qlinear_softmax(call: Call, *inputs: Array) -> Array:
    version = int(call.get("opset", 13))
    axis = int(call.get("axis", -1 if version >= 13 else 1))
    kind = _result_kind(call, inputs, 4)
    return graph.apply("onnx.qlinear_softmax", *inputs, axis=axis, flat=version < 13, kind=kind)


@operator("QLinearGlobalAveragePool", domain=_MICROSOFT)
def _qlinear_global_average_pool(call: Call, *inputs: Array) -> Array:
    last, kind = bool(call.get("channels_last", 0)), _result_kind(call, inputs, 4)
    return graph.apply("onnx.qlinear_global_average_pool", *inputs, channels_last=last, kind=kind)


@operator("QLinearAveragePool", domain=_MICROSOFT)
def _qlinear_average_pool(call: Call, x: Array, *more: Array) -> Array:
    if call.get("channels_last"):
        raise call.error("channels_last must be 0: channels are the second axis")
    window = Window.of(call)
    lengths = shape_of(x)[2:]
    return graph.apply(
        "onnx.qlinear_average_pool",
        x,
        *more,
        kind=_result_kind(call, (x, *more), 4),
        kernel=window.kernel,
        strides=window.strides,
        pads=tuple(window.sides(lengths)),
        ceil=bool(call.get("ceil_mode", 0)),
        count_padding=bool(call.get("count_include_pad", 0)),
    )
