"""Nodes that compute each element by itself, as steps of a program."""

from __future__ import annotations

import numpy as np

from quantray.graph import Node, Ref
from quantray.graph._trees import is_array
from quantray.quantization._lowering import DTYPES, Lowering, step_of
from quantray.quantization._operands import (
    BOOL,
    FLOAT,
    arguments,
    common,
    constant,
    dtype_of,
    made_dtype,
    near,
    need,
    rank,
    typed,
    wire,
)

#: Functions whose bits are NumPy's, by the step.
_EXACT = {
    "negative": "negative", "absolute": "absolute", "abs": "absolute", "fabs": "absolute", "sqrt": "sqrt",
    "square": "square", "sign": "sign", "reciprocal": "reciprocal", "floor": "floor", "ceil": "ceil",
    "rint": "rint", "trunc": "trunc", "fix": "trunc",
}  # fmt: skip
#: Functions within some units in the last place.
_NEAR = (
    "exp", "expm1", "log", "log1p", "sin", "cos", "tanh", "tan", "arcsin", "arccos", "arctan", "sinh", "cosh",
    "arcsinh", "arccosh", "arctanh", "log2", "log10", "exp2", "cbrt",
)  # fmt: skip
#: The array API's names of some of these.
_ALIASES = {
    "acos": "arccos", "asin": "arcsin", "atan": "arctan", "acosh": "arccosh", "asinh": "arcsinh",
    "atanh": "arctanh",
}  # fmt: skip


@step_of(*(f"numpy.{name}" for name in _EXACT))
def _exact(to: Lowering, node: Node) -> None:
    x = arguments(node, "x")["x"]
    dtype = made_dtype(node)
    name = _EXACT[node.kind.removeprefix("numpy.")]
    need(dtype == FLOAT or (dtype.kind == "i" and name not in ("sqrt", "reciprocal")))
    to.put(node, to.step(name, (typed(to, x, dtype, node),), node))


@step_of(
    *(f"numpy.{name}" for name in (*_NEAR, *_ALIASES)), "scipy.special.erf", "scipy.special.expit", "erf"
)
def _inexact(to: Lowering, node: Node) -> None:
    near(to)
    x = arguments(node, "x")["x"]
    name = node.kind.rpartition(".")[2]
    name = {"expit": "sigmoid", **_ALIASES}.get(name, name)
    need(made_dtype(node) == FLOAT)
    to.put(node, to.step(name, (typed(to, x, FLOAT, node),), node))


@step_of(
    "relu", "gelu", "silu", "sigmoid", "tanh", "hardsigmoid", "hardswish", "leaky_relu", "elu", "softplus",
    "softsign", "mish", "functional.celu",
)  # fmt: skip
def _activation(to: Lowering, node: Node) -> None:
    name = node.kind.rpartition(".")[2]
    if name in ("elu", "softplus", "mish", "celu"):
        near(to)
    if name == "celu":
        given = arguments(node, "input", "alpha", "inplace")
        x, params = given["input"], {"alpha": 1.0 if given["alpha"] is None else float(given["alpha"])}
    else:
        need(len(node.args) == 1)
        x = node.args[0]
        names = {"negative_slope": "slope", "inplace": ""}
        known = {names.get(key, key): value for key, value in node.kwargs.items()}
        known.pop("", None)
        need(all(isinstance(value, (int, float, str)) for value in known.values()))
        params = {key: float(v) if isinstance(v, (int, float)) else v for key, v in known.items()}
    to.put(node, to.step(name, (wire(to, x),), node, **params))


@step_of("selu")
def _selu(to: Lowering, node: Node) -> None:
    near(to)
    x = wire(to, node.args[0])
    alpha, scale = float(node.get("alpha", 1.6732632423543772)), float(node.get("scale", 1.0507009873554805))
    made = to.step("elu", (x,), node, alpha=alpha)
    to.put(node, to.step("mul", (made, constant(to, scale, FLOAT)), node))


@step_of("functional.threshold")
def _threshold(to: Lowering, node: Node) -> None:
    given = arguments(node, "input", "threshold", "value", "inplace")
    x = wire(to, given["input"])
    least, other = (constant(to, float(given[name]), FLOAT) for name in ("threshold", "value"))
    to.put(node, to.step("where", (to.step("greater", (x, least), node), x, other), node))


@step_of("prelu")
def _prelu(to: Lowering, node: Node) -> None:
    x, weight = node.args[0], node.get("weight")
    need(isinstance(weight, Ref) and len(to.graph.fact(weight).shape) <= 1)
    ones = max(rank(to, x) - 2, 0)
    wide = to.step("reshape", (wire(to, weight),), node, shape=(-1, *[1] * ones))
    to.put(node, to.step("prelu", (wire(to, x), wide), node))


@step_of("clip")
def _clip(to: Lowering, node: Node) -> None:
    ends = {name: float(node.get(name)) for name in ("low", "high") if node.get(name) is not None}
    to.put(node, to.step("clip", (wire(to, node.args[0]),), node, **ends))


@step_of("numpy.clip", "ndarray.clip")
def _clip_call(to: Lowering, node: Node) -> None:
    names = ("a_min", "a_max", "out", "min", "max")
    given = arguments(node, "a", *(names if node.kind == "numpy.clip" else ("min", "max")))
    low, high = (
        given[one] if given.get(one) is not None else given.get(other)
        for one, other in (("min", "a_min"), ("max", "a_max"))
    )
    need(given.get("out") is None)
    dtype = made_dtype(node)
    made = typed(to, given["a"], dtype, node)
    for name, end in (("maximum", low), ("minimum", high)):
        if end is not None:
            made = to.step(name, (made, typed(to, end, dtype, node)), node)
    to.put(node, made)


_ARITHMETIC = {
    "add": "add", "subtract": "sub", "multiply": "mul", "divide": "div", "true_divide": "div",
    "maximum": "maximum", "minimum": "minimum", "floor_divide": "floor_divide", "remainder": "remainder",
    "mod": "remainder", "fmod": "fmod", "bitwise_and": "bitwise_and", "bitwise_or": "bitwise_or",
    "bitwise_xor": "bitwise_xor", "left_shift": "left_shift", "right_shift": "right_shift",
    "bitwise_left_shift": "left_shift", "bitwise_right_shift": "right_shift",
}  # fmt: skip


@step_of("add", "sub", "mul", "div", "trunc_divide", *(f"numpy.{name}" for name in _ARITHMETIC))
def _arithmetic(to: Lowering, node: Node) -> None:
    limits = node.get("limits")
    need(set(node.kwargs) <= {"limits"} and len(node.args) == 2)
    name = node.kind.removeprefix("numpy.")
    name = _ARITHMETIC.get(name, name)
    dtype = made_dtype(node)
    need(dtype != BOOL or name.startswith("bitwise"))
    need(dtype == FLOAT or name != "div")
    sources = tuple(typed(to, value, dtype, node) for value in node.args)
    made = to.step(name, sources, node)
    if limits is not None:
        low, high = limits
        if low == 0:
            made = to.step("relu", (made,), node)
        elif low is not None:
            made = to.step("clip", (made,), node, low=float(low))
        if high is not None:
            made = to.step("clip", (made,), node, high=float(high))
    to.put(node, made)


@step_of("numpy.power", "numpy.pow")
def _power(to: Lowering, node: Node) -> None:
    given = arguments(node, "x", "y")
    dtype = made_dtype(node)
    x, y = given["x"], given["y"]
    number = _number(to, y)
    base = typed(to, x, dtype, node)
    if number is not None and dtype == FLOAT:
        step = {2.0: "square", 0.5: "sqrt", -1.0: "reciprocal", -0.5: "rsqrt"}.get(number)
        if step is not None:
            if number != 2.0:
                near(to)
            to.put(node, to.step(step, (base,), node))
            return
        if number == 3.0:
            near(to)
            to.put(node, to.step("mul", (to.step("square", (base,), node), base), node))
            return
    if dtype == FLOAT:
        near(to)
    else:
        # NumPy raises for negative powers of integers.
        need(number is not None and number >= 0)
    to.put(node, to.step("pow", (base, typed(to, y, dtype, node)), node))


def _number(to: Lowering, value: object) -> float | None:
    """The number that an argument always is."""
    known = to.known(value)
    if is_array(known):
        return float(known) if known.ndim == 0 else None
    return float(known) if isinstance(known, (int, float)) else None


_COMPARE = ("equal", "not_equal", "less", "less_equal", "greater", "greater_equal")


@step_of(*(f"numpy.{name}" for name in _COMPARE))
def _compare(to: Lowering, node: Node) -> None:
    given = arguments(node, "x", "y")
    dtype = common(to, given.values())
    sources = tuple(typed(to, value, dtype, node) for value in given.values())
    to.put(node, to.step(node.kind.removeprefix("numpy."), sources, node))


@step_of("numpy.logical_and", "numpy.logical_or", "numpy.logical_xor")
def _logic(to: Lowering, node: Node) -> None:
    given = arguments(node, "x", "y")
    sources = tuple(typed(to, value, BOOL, node) for value in given.values())
    to.put(node, to.step(node.kind.removeprefix("numpy."), sources, node))


@step_of("numpy.logical_not", "numpy.invert", "numpy.bitwise_not", "numpy.bitwise_invert")
def _not(to: Lowering, node: Node) -> None:
    x = arguments(node, "x")["x"]
    dtype = made_dtype(node)
    if node.kind == "numpy.logical_not" or dtype == BOOL:
        to.put(node, to.step("logical_not", (typed(to, x, BOOL, node),), node))
        return
    ones = constant(to, np.invert(np.zeros((), dtype)), dtype)
    to.put(node, to.step("bitwise_xor", (typed(to, x, dtype, node), ones), node))


@step_of("numpy.isnan", "numpy.isinf", "numpy.isfinite")
def _test(to: Lowering, node: Node) -> None:
    to.put(node, to.step(node.kind.removeprefix("numpy."), (wire(to, arguments(node, "x")["x"]),), node))


@step_of("numpy.where")
def _where(to: Lowering, node: Node) -> None:
    need(len(node.args) == 3 and not node.kwargs)
    condition, a, b = node.args
    dtype = made_dtype(node)
    sources = (typed(to, condition, BOOL, node), typed(to, a, dtype, node), typed(to, b, dtype, node))
    to.put(node, to.step("where", sources, node))


@step_of("ndarray.astype", "numpy.astype")
def _cast(to: Lowering, node: Node) -> None:
    given = arguments(node, "x", "dtype", "order", "casting", "subok", "copy")
    need(given["casting"] in (None, "unsafe"))
    dtype = made_dtype(node)
    need(str(dtype_of(to, given["x"])) in DTYPES)
    to.put(node, typed(to, given["x"], dtype, node))


@step_of("numpy.round", "numpy.around", "ndarray.round")
def _round(to: Lowering, node: Node) -> None:
    given = arguments(node, "a", "decimals")
    need(given["decimals"] in (None, 0))
    dtype = made_dtype(node)
    to.put(node, to.step("rint", (typed(to, given["a"], dtype, node),), node))


@step_of("identity", "array.identity", "ndarray.copy", "numpy.copy", "numpy.positive")
def _identity(to: Lowering, node: Node) -> None:
    to.put(node, wire(to, node.args[0], None))
