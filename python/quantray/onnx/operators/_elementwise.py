"""Functions of single elements."""

# Arrays and stand-ins of them are of any dtype and shape: what NumPy's stubs make of them says nothing here.
# pyright: reportUnknownVariableType=false, reportUnknownMemberType=false, reportUnknownArgumentType=false
# pyright: reportUnknownLambdaType=false

from __future__ import annotations

import typing
from collections.abc import Callable, Sequence

import numpy as np

from quantray import graph, nn
from quantray._typing import DType, Tensor
from quantray.nn import functional as F
from quantray.onnx._fractions import truncated
from quantray.onnx._lengths import as_array, is_lengths, of_lengths, settled
from quantray.onnx._types import NAMES, numpy_dtype
from quantray.onnx.functions._small_floats import is_small
from quantray.onnx.operators._registry import Array, ArrayFunction, Call, Given, layer, operator

for _name, _function in {
    "Relu": F.relu,
    "Sigmoid": F.sigmoid,
    "Tanh": F.tanh,
    "Exp": np.exp,
    "Log": np.log,
    "Sqrt": np.sqrt,
    "Reciprocal": np.reciprocal,
    "Sign": np.sign,
    "Not": np.logical_not,
    "BitwiseNot": np.invert,
    "Sin": np.sin,
    "Cos": np.cos,
    "Tan": np.tan,
    "Asin": np.arcsin,
    "Acos": np.arccos,
    "Atan": np.arctan,
    "Sinh": np.sinh,
    "Cosh": np.cosh,
    "Asinh": np.arcsinh,
    "Acosh": np.arccosh,
    "Atanh": np.arctanh,
    "IsNaN": np.isnan,
    "HardSwish": F.hardswish,
    "Softplus": F.softplus,
}.items():

    def _unary(call: Call, x: Array, *, function: Callable[..., Tensor] = _function) -> Tensor:
        return function(x)

    operator(_name)(_unary)


def _of_lengths(function: Callable[[int], int], x: Array) -> Array:
    """A function of numbers, of each length."""
    return settled(typing.cast("Array", np.frompyfunc(function, 1, 1)(x)))


for _name, _function, _length in (
    ("Neg", np.negative, lambda n: -n),
    ("Abs", np.absolute, lambda n: n if n >= 0 else -n),
    ("Floor", np.floor, lambda n: n // 1),
    ("Ceil", np.ceil, lambda n: -(-n // 1)),
    ("Round", np.rint, None),
    ("Identity", lambda x: x, lambda n: n),
):

    def _unary_or_length(
        call: Call,
        x: Array,
        *,
        function: ArrayFunction = _function,
        length: Callable[[int], int] | None = _length,
    ) -> Array:
        if is_lengths(x):
            return function(as_array(x)) if length is None else _of_lengths(length, x)
        return function(x)

    operator(_name, takes_lengths=True)(_unary_or_length)


@operator("Erf")
def _erf(call: Call, x: Array) -> Array:
    return graph.apply("onnx.erf", x)


@operator("IsInf")
def _is_inf(call: Call, x: Array) -> Tensor:
    found = np.isinf(x)
    if not call.get("detect_negative", 1):
        return np.logical_and(found, np.greater(x, 0.0))
    return found if call.get("detect_positive", 1) else np.logical_and(found, np.less(x, 0.0))


@operator("Clip", takes_lengths=True)
def _clip(call: Call, x: Array, low: Array | None = None, high: Array | None = None) -> Tensor:
    """Limits are attributes before opset 11, and inputs after it."""
    least, most = _number(call.get("min", low)), _number(call.get("max", high))
    if is_lengths(x):
        x = x if least is None else np.maximum(x, least)
        return x if most is None else np.minimum(x, most)
    if x.dtype.kind == "f" and not hasattr(least, "dtype") and not hasattr(most, "dtype"):
        if least == 0 and (most is None or most >= float(np.finfo(np.float32).max)):
            return F.relu(x)
        if least == 0 and most == 6:
            return F.relu6(x)
        return np.clip(x, -np.inf if least is None else least, np.inf if most is None else most)
    if least is not None:
        x = np.maximum(x, least)
    return x if most is None else np.minimum(x, most)


def _number(x: Array | float | None) -> Array | float | None:
    """A limit: a number where it is known."""
    if type(x) is np.ndarray and x.size == 1 and x.dtype != object:
        return x.item()
    return x


@operator("LeakyRelu")
def _leaky_relu(call: Call, x: Array) -> Tensor:
    return F.leaky_relu(x, float(call.get("alpha", 0.01)))


@operator("Elu")
def _elu(call: Call, x: Array) -> Tensor:
    return F.elu(x, float(call.get("alpha", 1.0)))


@operator("Celu")
def _celu(call: Call, x: Array) -> Tensor:
    return F.celu(x, float(call.get("alpha", 1.0)))


@operator("Selu")
def _selu(call: Call, x: Array) -> Array:
    alpha = float(call.get("alpha", 1.67326319217681884765625))
    gamma = float(call.get("gamma", 1.05070102214813232421875))
    return F.elu(x, alpha) * gamma


@operator("PRelu")
def _prelu(call: Call, x: Array, slope: Array) -> Array:
    """The slope is broadcast to the input: one for each channel has axes of length 1 after it."""
    return np.maximum(x, 0.0) + np.minimum(x, 0.0) * slope


@layer("PRelu")
def _prelu_layer(call: Call, constants: Sequence[Given]) -> nn.Module | None:
    """A slope for all, or one for each channel."""
    slope = constants[1]
    if slope is None or slope.dtype != np.float32 or call.given != (0,):
        return None
    # Of rows, a pass says so; elsewhere channels are followed by axes of length 1.
    is_told = call.get("axis") == 1
    if slope.size > 1 and not is_told and (slope.ndim < 2 or slope.shape[0] != slope.size):
        return None
    made = nn.PReLU(slope.size)
    made._parameters["weight"] = np.ascontiguousarray(slope.reshape(-1))
    return made


@operator("HardSigmoid")
def _hard_sigmoid(call: Call, x: Array) -> Tensor:
    alpha, beta = float(call.get("alpha", 0.2)), float(call.get("beta", 0.5))
    if beta == 0.5 and abs(alpha - 1 / 6) < 1e-7:
        return F.hardsigmoid(x)
    return np.clip(x * alpha + beta, 0.0, 1.0)


@operator("ThresholdedRelu")
def _thresholded_relu(call: Call, x: Array) -> Tensor:
    return F.threshold(x, float(call.get("alpha", 1.0)), 0.0)


@operator("Shrink")
def _shrink(call: Call, x: Array) -> Array:
    bias, limit = call.get("bias", 0.0), call.get("lambd", 0.5)
    inner = np.where(np.greater(x, limit), x - bias, np.zeros_like(x))
    return np.where(np.less(x, -limit), x + bias, inner).astype(x.dtype)


@operator("Softsign")
def _softsign(call: Call, x: Array) -> Array:
    return x / (1 + np.absolute(x))


@operator("Mish")
def _mish(call: Call, x: Array) -> Array:
    return x * F.tanh(F.softplus(x))


@operator("Swish")
def _swish(call: Call, x: Array) -> Tensor:
    alpha = float(call.get("alpha", 1.0))
    return F.silu(x) if alpha == 1 else x * F.sigmoid(x * alpha)


@operator("Gelu")
@operator("Gelu", domain="com.microsoft")
def _gelu(call: Call, x: Array) -> Tensor:
    return F.gelu(x, call.get("approximate", "none"))


@operator("FastGelu", domain="com.microsoft")
def _fast_gelu(call: Call, x: Array, bias: Array | None = None) -> Tensor:
    return F.gelu(x if bias is None else x + bias, "tanh")


@operator("BiasGelu", domain="com.microsoft")
def _bias_gelu(call: Call, x: Array, bias: Array) -> Tensor:
    return F.gelu(x + bias)


@operator("QuickGelu", domain="com.microsoft")
def _quick_gelu(call: Call, x: Array) -> Array:
    return x * F.sigmoid(x * float(call.get("alpha", 1.702)))


@operator("Cast", takes_lengths=True)
def _cast(call: Call, x: Array) -> Array:
    return _cast_to(call, x, type_name(call, call.need("to")))


@operator("CastLike", takes_lengths=True)
def _cast_like(call: Call, x: Array, like: Array) -> Array:
    return _cast_to(call, x, call.type_of(1, as_array(like)))


def type_name(call: Call, number: int) -> str:
    """The name of an element type that an attribute gives by its number."""
    if number not in NAMES:
        raise call.error(f"an element type must be a number from 1 to {max(NAMES)}, got {number!r}")
    return NAMES[number]


def _cast_to(call: Call, x: Array, name: str) -> Array:
    """Types that no array has are rounded to, and stay in the dtype that they are computed in."""
    if is_small(name):
        saturate, mode = bool(call.get("saturate", 1)), call.get("round_mode", "up")
        return graph.apply("onnx.to_small", as_array(x), name, saturate, mode)
    if name in ("int4", "uint4", "int2", "uint2"):
        return graph.apply("onnx.to_few_bits", as_array(x), name)
    if name == "string" and x.dtype.kind != "U":
        return graph.apply("onnx.as_texts", as_array(x))
    return cast(x, numpy_dtype(name))


def cast(x: Array, dtype: DType) -> Array:
    """An array in another dtype; lengths stay lengths where they are numbers still."""
    if not is_lengths(x):
        return x if x.dtype == dtype else x.astype(dtype)
    if dtype.kind == "f":
        return typing.cast("Array", np.frompyfunc(lambda n: n * 1.0, 1, 1)(x))
    if dtype.kind in "iu":
        whole = [truncated(item) for item in x.ravel()]
        known = [item for item in whole if item is not None]
        if len(known) == len(whole):
            return of_lengths(known, x.shape)
    return as_array(x).astype(dtype)


@operator("Dropout")
def _dropout(call: Call, x: Array, ratio: Array | None = None, training: Array | None = None) -> object:
    """Outside of training it drops nothing; its mask says so."""
    has_mask = len(call.wanted) > 1 and call.wanted[1]
    if training is not None and bool(np.reshape(training, ())):
        part = 0.5 if ratio is None else float(np.reshape(ratio, ()))
        y, mask = graph.apply("onnx.dropout", x, part, call.get("seed"))
        return (y, mask) if has_mask else y
    return (x, np.ones_like(x, np.bool_)) if has_mask else x


@operator("BitCast")
def _bit_cast(call: Call, x: Array) -> Array:
    """The same bits as another type."""
    own, name = call.type_of(0, x), type_name(call, call.need("to"))
    if str(x.dtype) != own or str(numpy_dtype(name)) != name:
        raise call.error(f"bits of {own} cannot become {name}: one of them is computed in another dtype")
    return x.view(np.dtype(name))


@operator("SwiGLU")
def _swiglu(call: Call, a: Array, b: Array) -> Array:
    alpha = float(call.get("alpha", 1.0))
    return (F.silu(a) if alpha == 1 else a * F.sigmoid(a * alpha)) * b


@operator("BiasAdd", domain="com.microsoft")
def _bias_add(call: Call, x: Array, bias: Array, skip: Array) -> Array:
    return x + bias + skip


@operator("BiasSplitGelu", domain="com.microsoft")
def _bias_split_gelu(call: Call, x: Array, bias: Array) -> Array:
    total = x + bias
    half = int(np.shape(total)[-1]) // 2
    return total[..., :half] * F.gelu(total[..., half:])
