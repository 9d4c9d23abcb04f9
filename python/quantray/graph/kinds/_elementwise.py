"""Functions of single elements, and arithmetic of two arrays."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from quantray import ops
from quantray._core import QTensor
from quantray._typing import Array
from quantray.graph._functions import Function
from quantray.graph._graph import Graph, Node, Ref
from quantray.graph.kinds._gradients import Primitive, differentiable_of
from quantray.graph.kinds._table import Kind, Part, bound, is_wire, number, register, spelling
from quantray.nn import functional as F
from quantray.nn.functional._activation import _clip


def clip(x: Array, low: float | None = None, high: float | None = None) -> Array:
    """Elements below the first number become that, those above the second become that."""
    return _clip(x, -np.inf if low is None else low, np.inf if high is None else high)


#: Kinds of one array: function, integer operator, class.
_UNARY: dict[str, tuple[Function, Callable[..., QTensor] | None, str]] = {
    "sigmoid": (F.sigmoid, ops.sigmoid, "Sigmoid"),
    "tanh": (F.tanh, ops.tanh, "Tanh"),
    "hardsigmoid": (F.hardsigmoid, ops.hardsigmoid, "Hardsigmoid"),
    "hardswish": (F.hardswish, ops.hardswish, "Hardswish"),
    "silu": (F.silu, ops.silu, "SiLU"),
    "leaky_relu": (F.leaky_relu, ops.leaky_relu, "LeakyReLU"),
    "elu": (F.elu, ops.elu, "ELU"),
    "gelu": (F.gelu, ops.gelu, "GELU"),
    "softplus": (F.softplus, None, "Softplus"),
}
for _name, (_function, _integer, _class) in _UNARY.items():
    register(Kind(_name, _function, part=Part.FOLLOWS, elementwise=True, integer=_integer, class_name=_class))
register(Kind("relu", F.relu, part=Part.KEEPS, elementwise=True, class_name="ReLU"))
register(Kind("clip", clip, part=Part.KEEPS, elementwise=True, class_name="ReLU6"))


def add(x: Array, y: Array, limits: tuple[float | None, float | None] | None = None) -> Array:
    """The sum, within limits where there are any: (0, None) is ReLU."""
    total = np.add(x, y)
    return total if limits is None else clip(total, *limits)


def _add_of_traced(x: Array, y: Array, limits: tuple[float | None, float | None] | None = None) -> Array:
    total = _traced_add(x, y)
    return total if limits is None else clip(total, *limits)


_traced_add = Primitive("numpy.add")
register(Kind("add", add, _add_of_traced, part=Part.FOLLOWS, elementwise=True, class_name="FloatFunctional"))
for _name, _function in {"sub": np.subtract, "mul": np.multiply, "div": np.divide}.items():
    register(
        Kind(
            _name,
            _function,
            differentiable_of(f"numpy.{_function.__name__}"),
            part=None if _name == "div" else Part.FOLLOWS,
            elementwise=True,
            class_name="FloatFunctional",
        )
    )


@spelling(*(f"functional.{name}" for name in _UNARY))
def _named(node: Node, graph: Graph) -> Node | None:
    name = node.kind.rpartition(".")[2]
    args, settings = bound(getattr(F, name), node, ("input",))
    settings.pop("inplace", None)
    return node.but(kind=name, args=args, kwargs=settings)


@spelling("functional.relu")
def _relu(node: Node, graph: Graph) -> Node | None:
    args, _ = bound(F.relu, node, ("input",))
    return node.but(kind="relu", args=args, kwargs={})


@spelling("functional.relu6")
def _relu6(node: Node, graph: Graph) -> Node | None:
    args, _ = bound(F.relu6, node, ("input",))
    return node.but(kind="clip", args=args, kwargs={"low": 0.0, "high": 6.0})


@spelling("functional.hardtanh")
def _hardtanh(node: Node, graph: Graph) -> Node | None:
    args, settings = bound(F.hardtanh, node, ("input",))
    return _clipped(node, args[0], settings["min_val"], settings["max_val"], graph)


def _clipped(node: Node, x: object, low: object, high: object, graph: Graph) -> Node | None:
    """`clip`, or `relu` where that is what it does, of float32 alone: other dtypes are not changed."""
    low_number, high_number = number(low, graph), number(high, graph)
    if (
        not is_wire(x)
        or (low is not None and low_number is None)
        or (high is not None and high_number is None)
    ):
        return None
    if node.facts[0].dtype != np.float32:
        return None
    if low_number == 0 and (high_number is None or high_number == np.inf):
        return node.but(kind="relu", args=(x,), kwargs={})
    return node.but(kind="clip", args=(x,), kwargs={"low": low_number, "high": high_number})


@spelling("numpy.maximum", "numpy.fmax")
def _maximum(node: Node, graph: Graph) -> Node | None:
    if len(node.args) != 2 or node.kwargs:
        return None
    for x, other in (node.args, node.args[::-1]):
        if is_wire(x) and number(other, graph) is not None and number(x, graph) is None:
            return _clipped(node, x, other, None, graph)
    return None


@spelling("numpy.minimum", "numpy.fmin")
def _minimum(node: Node, graph: Graph) -> Node | None:
    if len(node.args) != 2 or node.kwargs:
        return None
    for x, other in (node.args, node.args[::-1]):
        if is_wire(x) and number(other, graph) is not None and number(x, graph) is None:
            return _clipped(node, x, None, other, graph)
    return None


@spelling("numpy.clip", "ndarray.clip")
def _clip_call(node: Node, graph: Graph) -> Node | None:
    names = ("a_min", "a_max") if node.kind == "numpy.clip" else ("min", "max")
    given = dict(node.kwargs)
    values = [*node.args]
    low = values[1] if len(values) > 1 else given.pop(names[0], given.pop("min", None))
    high = values[2] if len(values) > 2 else given.pop(names[1], given.pop("max", None))
    x = values[0] if values else given.pop("a", None)
    return None if given else _clipped(node, x, low, high, graph)


@spelling("numpy.where")
def _where(node: Node, graph: Graph) -> Node | None:
    """`np.where(x > 0, x, 0)`."""
    if len(node.args) != 3 or node.kwargs or not is_wire(node.args[0]):
        return None
    condition, chosen, other = node.args
    test = graph.nodes[condition.node]
    if _is_positive(test, chosen, graph) and number(other, graph) == 0:
        return _clipped(node, chosen, 0.0, None, graph)
    is_negative = test.kind in ("numpy.less", "numpy.less_equal") and test.args[:1] == (other,)
    if is_negative and number(test.args[1], graph) == 0 and number(chosen, graph) == 0:
        return _clipped(node, other, 0.0, None, graph)
    return None


def _is_positive(test: Node, x: object, graph: Graph) -> bool:
    """Whether a node says of each element of an array whether it is greater than 0, or not less."""
    is_greater = test.kind in ("numpy.greater", "numpy.greater_equal") and test.args[:1] == (x,)
    return is_greater and number(test.args[1], graph) == 0


_BINARY = {"add": "add", "subtract": "sub", "multiply": "mul", "divide": "div", "true_divide": "div"}


@spelling(*(f"numpy.{name}" for name in _BINARY), "functional.add", "functional.mul")
def _binary(node: Node, graph: Graph) -> Node | None:
    """Sums, differences and products of float32: relu(x) is also `x * (x > 0)`."""
    name = node.kind.rpartition(".")[2]
    if node.kind.startswith("functional"):
        args, rest = bound(getattr(F, name), node, tuple(node_names(getattr(F, name))))
        if rest:
            return None
    elif node.kwargs or len(node.args) != 2:
        return None
    else:
        args = node.args
    if node.facts[0].dtype != np.float32:
        return None
    if name == "multiply":
        for x, mask in (args, args[::-1]):
            if is_wire(x) and is_wire(mask):
                test = graph.nodes[mask.node]
                if _is_positive(test, x, graph):
                    return node.but(kind="relu", args=(x,), kwargs={})
    if not all(_is_float32(arg, graph) for arg in args):
        return None
    return node.but(kind=_BINARY.get(name, name), args=tuple(args), kwargs={})


def node_names(function: Function) -> list[str]:
    """Names of a function's arguments."""
    import inspect

    return list(inspect.signature(function).parameters)[:2]


def _is_float32(value: object, graph: Graph) -> bool:
    if isinstance(value, Ref):
        return graph.fact(value).dtype == np.float32
    return isinstance(value, (int, float, np.floating, np.integer))


@spelling("numpy.positive")
def _positive(node: Node, graph: Graph) -> Node | None:
    return node.but(kind="array.identity", args=node.args[:1], kwargs={})
