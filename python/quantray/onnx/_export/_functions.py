"""Functions of elements, arithmetic, normalizations, reductions."""

# Arguments of nodes are trees of whatever functions take: their leaves have no type that could be said.
# pyright: reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportUnknownMemberType=false, reportUnknownLambdaType=false

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, TypeAlias, cast

import numpy as np

from quantray.graph import Expr, Node, Ref
from quantray.onnx._export._writing import NotExported, Writing, writes
from quantray.onnx._types import NAMES

if TYPE_CHECKING:
    from quantray._typing import ArrayLike, DTypeLike

#: The least and the greatest value, where there are any.
Limits: TypeAlias = tuple[float | None, float | None]

_UNARY = {
    "relu": "Relu", "sigmoid": "Sigmoid", "tanh": "Tanh", "softplus": "Softplus",
    "onnx.erf": "Erf", "numpy.exp": "Exp", "numpy.log": "Log", "numpy.sqrt": "Sqrt", "numpy.negative": "Neg",
    "numpy.absolute": "Abs", "numpy.reciprocal": "Reciprocal", "numpy.sign": "Sign", "numpy.floor": "Floor",
    "numpy.ceil": "Ceil", "numpy.rint": "Round", "numpy.sin": "Sin", "numpy.cos": "Cos", "numpy.tan": "Tan",
    "numpy.arcsin": "Asin", "numpy.arccos": "Acos", "numpy.arctan": "Atan", "numpy.sinh": "Sinh",
    "numpy.cosh": "Cosh", "numpy.tanh": "Tanh", "numpy.arcsinh": "Asinh", "numpy.arccosh": "Acosh",
    "numpy.arctanh": "Atanh",
    "numpy.isnan": "IsNaN", "numpy.isinf": "IsInf", "numpy.logical_not": "Not", "identity": "Identity",
    "array.identity": "Identity", "numpy.ascontiguousarray": "Identity", "scipy.special.erf": "Erf",
}  # fmt: skip

_BINARY = {
    "add": "Add", "sub": "Sub", "mul": "Mul", "div": "Div", "numpy.add": "Add", "numpy.subtract": "Sub",
    "numpy.multiply": "Mul", "numpy.divide": "Div", "numpy.true_divide": "Div", "numpy.power": "Pow",
    "numpy.maximum": "Max", "numpy.minimum": "Min", "numpy.equal": "Equal", "numpy.less": "Less",
    "numpy.less_equal": "LessOrEqual", "numpy.greater": "Greater", "numpy.greater_equal": "GreaterOrEqual",
    "numpy.logical_and": "And", "numpy.logical_or": "Or", "numpy.logical_xor": "Xor",
    "onnx.divide_integers": "Div",
}  # fmt: skip


@writes(*_UNARY)
def _unary(to: Writing, node: Node) -> None:
    to.put(node, to.op(_UNARY[node.kind], [to.value(node.args[0])], node=node))


def unary_name(kind: str) -> str | None:
    """The operator of one array that a kind is, if it is one without settings."""
    return _UNARY.get(kind)


@writes(*_BINARY)
def _binary(to: Writing, node: Node) -> None:
    names = same_type(to, node.args[:2], node)
    y = to.op(_BINARY[node.kind], names, node=node)
    to.put(node, limited(to, node, y, node.get("limits")))


@writes("numpy.not_equal")
def _not_equal(to: Writing, node: Node) -> None:
    to.put(node, to.op("Not", [to.op("Equal", same_type(to, node.args, node))], node=node))


def same_type(to: Writing, args: Sequence[Ref | Expr | ArrayLike], node: Node) -> list[str]:
    """Operands of one dtype, which ONNX wants and NumPy makes."""
    dtypes = [to.fact(arg).dtype for arg in args if isinstance(arg, Ref)]
    wanted = np.result_type(*dtypes) if dtypes else node.facts[0].dtype
    if wanted == np.float64:
        wanted = np.dtype(np.float32)
    names: list[str] = []
    for arg in args:
        if not isinstance(arg, (Ref, Expr)):
            names.append(to.constant(np.asarray(arg, wanted)))
            continue
        name = to.value(arg)
        own = to.fact(arg).dtype if isinstance(arg, Ref) else np.dtype(np.int64)
        names.append(name if own == wanted else to.op("Cast", [name], to=number_of(wanted)))
    return names


def number_of(dtype: DTypeLike) -> int:
    """A dtype's number in files."""
    name = str(np.dtype(dtype))
    name = "float32" if name == "float64" else name
    return next(number for number, known in NAMES.items() if known == name)


def limited(to: Writing, node: Node, x: str, limits: Limits | None) -> str:
    """A value within limits: (0, None) is ReLU."""
    if limits is None:
        return x
    low, high = limits
    if low == 0 and high is None:
        return to.op("Relu", [x], node=node)
    ends = ["" if end is None else to.constant(np.float32(end)) for end in (low, high)]
    return to.op("Clip", [x, *ends], node=node)


@writes("clip")
def _clip(to: Writing, node: Node) -> None:
    to.put(node, limited(to, node, to.value(node.args[0]), (node.get("low"), node.get("high"))))


@writes("numpy.clip", "ndarray.clip")
def _clip_call(to: Writing, node: Node) -> None:
    x, low, high, *_ = (*node.args, None, None)
    dtype = to.fact(x).dtype
    ends = ["" if end is None else to.constant(np.asarray(end, dtype)) for end in (low, high)]
    if any(isinstance(end, Ref) for end in (low, high)):
        ends = ["" if end is None else to.value(end) for end in (low, high)]
    to.put(node, to.op("Clip", [to.value(x), *ends], node=node))


@writes("numpy.square")
def _square(to: Writing, node: Node) -> None:
    x = to.value(node.args[0])
    to.put(node, to.op("Mul", [x, x], node=node))


@writes("silu")
def _silu(to: Writing, node: Node) -> None:
    x = to.value(node.args[0])
    to.put(node, to.op("Mul", [x, to.op("Sigmoid", [x])], node=node))


@writes("gelu")
def _gelu(to: Writing, node: Node) -> None:
    """Written out: Gelu is an operator from opset 20 on."""
    x = to.value(node.args[0])

    def number(value: float) -> str:
        return to.constant(np.float32(value))

    if node.get("approximate", "none") == "tanh":
        cube = to.op("Mul", [to.op("Mul", [x, x]), x])
        inner = to.op("Add", [x, to.op("Mul", [cube, number(0.044715)])])
        gate = to.op("Tanh", [to.op("Mul", [inner, number(np.sqrt(2 / np.pi))])])
    else:
        gate = to.op("Erf", [to.op("Div", [x, number(np.sqrt(2))])])
    y = to.op("Mul", [x, to.op("Add", [gate, number(1)])])
    to.put(node, to.op("Mul", [y, number(0.5)], node=node))


@writes("leaky_relu")
def _leaky_relu(to: Writing, node: Node) -> None:
    alpha = float(node.get("negative_slope", 0.01))
    to.put(node, to.op("LeakyRelu", [to.value(node.args[0])], node=node, alpha=alpha))


@writes("elu")
def _elu(to: Writing, node: Node) -> None:
    to.put(node, to.op("Elu", [to.value(node.args[0])], node=node, alpha=float(node.get("alpha", 1.0))))


@writes("hardsigmoid")
def _hardsigmoid(to: Writing, node: Node) -> None:
    to.put(node, to.op("HardSigmoid", [to.value(node.args[0])], node=node, alpha=1 / 6, beta=0.5))


@writes("hardswish")
def _hardswish(to: Writing, node: Node) -> None:
    """Written out: HardSwish is an operator from opset 14 on."""
    x = to.value(node.args[0])
    gate = to.op("HardSigmoid", [x], alpha=1 / 6, beta=0.5)
    to.put(node, to.op("Mul", [x, gate], node=node))


@writes("prelu")
def _prelu(to: Writing, node: Node) -> None:
    x, weight = node.args[0], node.args[1] if len(node.args) > 1 else node.get("weight")
    slope = to.array(weight)
    if slope is None:
        raise NotExported("a slope that is no constant")
    if slope.size > 1:
        slope = slope.reshape(-1, *[1] * (len(to.fact(x).shape) - 2))
    to.put(node, to.op("PRelu", [to.value(x), to.constant(slope)], node=node))


@writes("softmax", "log_softmax")
def _softmax(to: Writing, node: Node) -> None:
    op = "Softmax" if node.kind == "softmax" else "LogSoftmax"
    axis = node.get("dim")
    if axis is None:
        raise NotExported("a softmax without its axis")
    to.put(node, to.op(op, [to.value(node.args[0])], node=node, axis=int(axis)))


@writes("numpy.where")
def _where(to: Writing, node: Node) -> None:
    condition, a, b = node.args
    names = same_type(to, (a, b), node)
    to.put(node, to.op("Where", [to.value(condition), *names], node=node))


@writes("ndarray.astype", "numpy.astype")
def _cast(to: Writing, node: Node) -> None:
    x = to.value(node.args[0])
    to.put(node, to.op("Cast", [x], node=node, to=number_of(node.facts[0].dtype)))


_REDUCE = {
    "sum": "ReduceSum",
    "mean": "ReduceMean",
    "max": "ReduceMax",
    "min": "ReduceMin",
    "prod": "ReduceProd",
}


@writes(*(f"{home}.{name}" for home in ("numpy", "ndarray") for name in _REDUCE), "numpy.amax", "numpy.amin")
def _reduce(to: Writing, node: Node) -> None:
    given = {**dict(zip(("a", "axis"), node.args, strict=False)), **node.kwargs}
    if set(given) - {"a", "axis", "keepdims", "dtype"}:
        raise NotExported(
            f"settings {sorted(set(given) - {'a', 'axis', 'keepdims', 'dtype'})} of a reduction"
        )
    x, axis, keep = to.value(given["a"]), given.get("axis"), int(bool(given.get("keepdims", False)))
    axes = None if axis is None else [int(a) for a in (axis if isinstance(axis, (tuple, list)) else (axis,))]
    op = _REDUCE[node.kind.rpartition(".")[2].removeprefix("a")]
    if op == "ReduceSum":
        inputs = [x] if axes is None else [x, to.constant(np.array(axes, np.int64))]
        to.put(node, to.op(op, inputs, node=node, keepdims=keep))
    else:
        to.put(node, to.op(op, [x], node=node, axes=axes, keepdims=keep))


@writes("numpy.argmax", "numpy.argmin", "ndarray.argmax", "ndarray.argmin")
def _places(to: Writing, node: Node) -> None:
    given = {**dict(zip(("a", "axis"), node.args, strict=False)), **node.kwargs}
    axis = given.get("axis")
    if axis is None:
        raise NotExported("the place of a whole array's greatest element")
    op = "ArgMax" if "max" in node.kind else "ArgMin"
    keep = int(bool(given.get("keepdims", False)))
    to.put(node, to.op(op, [to.value(given["a"])], node=node, axis=int(axis), keepdims=keep))


@writes("layer_norm")
def _layer_norm(to: Writing, node: Node) -> None:
    """Written out below opset 17."""
    x, count = node.args[0], len(node.get("normalized_shape"))
    eps = float(node.get("eps", 1e-5))
    weight, bias = node.get("weight"), node.get("bias")
    name = to.value(x)
    if to.opset >= 17 and weight is not None:
        inputs = [name, to.value(weight)] + ([] if bias is None else [to.value(bias)])
        to.put(node, to.op("LayerNormalization", inputs, node=node, axis=-count, epsilon=eps))
        return
    axes = list(range(-count, 0))
    centred = to.op("Sub", [name, to.op("ReduceMean", [name], axes=axes, keepdims=1)])
    variance = to.op("ReduceMean", [to.op("Mul", [centred, centred])], axes=axes, keepdims=1)
    root = to.op("Sqrt", [to.op("Add", [variance, to.constant(np.float32(eps))])])
    y = to.op("Div", [centred, root], node=node)
    to.put(node, _affine(to, node, y, weight, bias))


@writes("rms_norm")
def _rms_norm(to: Writing, node: Node) -> None:
    x, count = to.value(node.args[0]), len(node.get("normalized_shape"))
    eps = node.get("eps")
    eps = float(np.finfo(np.float32).eps) if eps is None else float(eps)
    square = to.op("ReduceMean", [to.op("Mul", [x, x])], axes=list(range(-count, 0)), keepdims=1)
    root = to.op("Sqrt", [to.op("Add", [square, to.constant(np.float32(eps))])])
    to.put(node, _affine(to, node, to.op("Div", [x, root], node=node), node.get("weight"), None))


def _affine(to: Writing, node: Node, y: str, weight: object, bias: object) -> str:
    if weight is not None:
        y = to.op("Mul", [y, to.value(weight)], node=node)
    return y if bias is None else to.op("Add", [y, to.value(bias)], node=node)


@writes("instance_norm")
def _instance_norm(to: Writing, node: Node) -> None:
    if node.get("running_mean") is not None and not node.get("use_input_stats", True):
        raise NotExported("an instance normalization by running statistics")
    # Images have as many channels as weights, whose lengths are known.
    _channel_norm(to, node, cast("int", to.fact(node.args[0]).shape[1]))


def _channel_norm(to: Writing, node: Node, channels: int) -> None:
    weight, bias = node.get("weight"), node.get("bias")
    scale = to.constant(np.ones(channels, np.float32)) if weight is None else to.value(weight)
    shift = to.constant(np.zeros(channels, np.float32)) if bias is None else to.value(bias)
    inputs = [to.value(node.args[0]), scale, shift]
    to.put(node, to.op("InstanceNormalization", inputs, node=node, epsilon=float(node.get("eps", 1e-5))))


@writes("group_norm")
def _group_norm(to: Writing, node: Node) -> None:
    """An instance normalization of groups, then what scales each channel."""
    x = node.args[0]
    shape, groups = to.fact(x).shape, int(node.get("num_groups"))
    if groups == shape[1] and len(shape) > 2:
        _channel_norm(to, node, groups)
        return
    name = to.value(x)
    grouped = to.op("Reshape", [name, to.constant(np.array([0, groups, -1], np.int64))])
    one, zero = np.ones(groups, np.float32), np.zeros(groups, np.float32)
    inputs = [grouped, to.constant(one), to.constant(zero)]
    normal = to.op("InstanceNormalization", inputs, epsilon=float(node.get("eps", 1e-5)))
    y = to.op("Reshape", [normal, to.op("Shape", [name])], node=node)
    for op, value in (("Mul", node.get("weight")), ("Add", node.get("bias"))):
        if value is not None:
            known = to.array(value)
            if known is None:
                raise NotExported("a weight that is no constant")
            y = to.op(op, [y, to.constant(known.reshape(-1, *[1] * (len(shape) - 2)))], node=node)
    to.put(node, y)


@writes("functional.batch_norm")
def _batch_norm(to: Writing, node: Node) -> None:
    from quantray.graph.kinds._table import bound
    from quantray.nn import functional as F

    (x,), given = bound(F.batch_norm, node, ("input",))
    if given["training"]:
        raise NotExported("a batch normalization in training")
    channels = cast("int", to.fact(given["running_mean"]).shape[0])
    weight = (
        to.constant(np.ones(channels, np.float32)) if given["weight"] is None else to.value(given["weight"])
    )
    bias = to.constant(np.zeros(channels, np.float32)) if given["bias"] is None else to.value(given["bias"])
    inputs = [to.value(x), weight, bias, to.value(given["running_mean"]), to.value(given["running_var"])]
    to.put(node, to.op("BatchNormalization", inputs, node=node, epsilon=float(given["eps"])))
