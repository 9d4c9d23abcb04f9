"""Gradients of functions that are not `nn.functional`'s: autograd's, each in the dtype of its argument.

autograd promotes float32 through means, maxima and `where`; here each node is a primitive of its own, whose
gradients are cast back.
"""

# autograd has no types, and neither have lambdas' arguments.
# pyright: reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportUnknownMemberType=false, reportUnknownLambdaType=false

from __future__ import annotations

import importlib
import operator
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias, cast

import numpy as np

from quantray._typing import Args, Array
from quantray.graph._functions import Function, function_of
from quantray.graph._graph import Settings, leaves, map_tree
from quantray.graph._trees import Call, is_array
from quantray.graph.kinds._composed import composed
from quantray.graph.kinds._moves import gradient, moves
from quantray.nn._gradients import is_traced, untraced


def differentiable_of(name: str) -> Function | None:
    """A function of arrays that autograd traces, for a function of a name; None where it is one already."""
    if name.startswith("functional."):
        return None
    return Primitive(name)


class Primitive:
    """A node's function with a gradient for every array among its arguments, nested ones too."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __call__(self, *args: object, **kwargs: object) -> Any:
        arrays: list[Array] = []

        def take(leaf: object) -> object:
            if not is_traced(leaf):
                return leaf
            arrays.append(cast("Array", leaf))
            return _Hole(len(arrays) - 1)

        tree = map_tree(take, (args, kwargs))

        def filled(values: Sequence[Array]) -> Call[str]:
            return map_tree(lambda leaf: values[leaf.index] if type(leaf) is _Hole else leaf, tree)

        plain = [untraced(v) for v in arrays]
        args, kwargs = filled(plain)
        result = function_of(self.name)(*args, **kwargs)
        number = iter(range(len(leaves(result))))

        def output(value: object) -> object:
            out = next(number)
            if not is_array(value) or value.dtype.kind not in "fc":
                # Nothing is differentiated through what has no slope.
                return value
            return self._primitive(value, out, arrays, filled)

        return map_tree(output, result)

    def _primitive(self, value: Array, out: int, arrays: list[Array], filled: Filled) -> Array:
        """One output, which autograd traces back to the arrays."""
        name, extend = self.name, importlib.import_module("autograd.extend")

        def vjp(wanted: Sequence[int], _: object, values: tuple[Array, ...], __: object) -> Pull:
            plain = [untraced(v) for v in values]
            sloped = [i for i in wanted if np.asarray(plain[i]).dtype.kind in "fc"]

            def pull(g: Array) -> tuple[Array, ...]:
                own = _gradients(name, plain, filled, g, sloped, out)
                found = dict(zip(sloped, own, strict=True))
                return tuple(_like(found.get(i), plain[i]) for i in wanted)

            return pull

        primitive = extend.primitive(lambda *values: value)
        extend.defvjp_argnums(primitive, vjp)
        return primitive(*arrays)


#: Puts arrays in their places among a call's arguments.
Filled: TypeAlias = Callable[[Sequence[Array]], tuple[Args, Settings]]
#: From the gradient of an output to those of the arrays that it is made of.
Pull: TypeAlias = Callable[[Array], tuple[Array, ...]]


def _like(gradient: Array | None, value: Array) -> Array:
    """A gradient in the shape and dtype of its array."""
    value = np.asarray(value)
    if gradient is None:
        return np.zeros(value.shape, value.dtype)
    gradient = np.asarray(gradient)
    gradient = np.real(gradient) if value.dtype.kind != "c" else gradient
    return gradient.astype(value.dtype, copy=False).reshape(value.shape)


def _gradients(
    name: str, plain: Sequence[Array], filled: Filled, g: Array, wanted: Sequence[int], out: int
) -> list[Array]:
    """The gradient for each wanted array: by what is known here, by moving places, or by autograd."""
    args, kwargs = filled(plain)
    own = _own_gradient(name, plain, filled, g, wanted)
    if own is not None:
        return own
    if moves(name, args, kwargs):
        return gradient(function_of(name), filled, plain, wanted, out, g)
    return _autograd_gradient(name, plain, filled, g, wanted, out)


class _Hole:
    """Where an array was among arguments."""

    __slots__ = ("index",)

    def __init__(self, index: int) -> None:
        self.index = index


def _traced_function(name: str) -> Function:
    """autograd's function of a name."""
    if name == "array.getitem":
        return operator.getitem
    if name == "array.identity":
        return lambda x: x
    home, _, last = name.rpartition(".")
    if home == "ndarray":
        numpy = importlib.import_module("autograd.numpy")
        if last == "astype":
            return lambda x, *args, **kwargs: x
        if last == "copy":
            return lambda x, *args, **kwargs: x
        if last == "flatten":
            return lambda x, *args, **kwargs: numpy.ravel(x)
        if last == "dot":
            return numpy.dot
        if last == "view":
            return lambda x, *args: x
        # A method of autograd's boxes has NumPy's signature but for reshape's and transpose's loose lengths.
        if last == "reshape":
            return lambda x, *shape, **kwargs: numpy.reshape(x, shape[0] if len(shape) == 1 else shape)
        if last == "transpose":
            return lambda x, *axes: numpy.transpose(x, (axes[0] if len(axes) == 1 else axes) or None)
        return getattr(numpy, last)
    module = importlib.import_module("autograd." + (home if home.startswith(("numpy", "scipy")) else "numpy"))
    return getattr(module, last)


def _autograd_gradient(
    name: str, plain: Sequence[Array], filled: Filled, g: Array, wanted: Sequence[int], out: int
) -> list[Array]:
    core = importlib.import_module("autograd.core")
    try:
        function = composed(name) or _traced_function(name)
    except (AttributeError, ImportError):
        raise TypeError(f"{name} has no gradient: autograd does not know it") from None

    def of(*values: Array) -> Array:
        args, kwargs = filled(values)
        found = function(*args, **kwargs)
        return found[out] if isinstance(untraced(found), (tuple, list)) else found

    made: list[Array] = []
    for i in wanted:

        def one(value: Array, i: int = i) -> Array:
            values = list(plain)
            values[i] = value
            return of(*values)

        try:
            pull, _ = core.make_vjp(one, plain[i])
            made.append(pull(g))
        except NotImplementedError as error:
            raise TypeError(f"{name} has no gradient: {error}") from None
    return made


def _own_gradient(
    name: str, plain: Sequence[Array], filled: Filled, g: Array, wanted: Sequence[int]
) -> list[Array] | None:
    """Gradients of what autograd does not have."""
    args, kwargs = filled(plain)
    if name == "array.setitem":
        _, index, value = args

        def each(i: int) -> Array:
            if plain[i] is args[0]:
                made = np.array(g)
                made[index] = 0
                return made
            return unbroadcast(np.asarray(g)[index], np.shape(value))

        return [each(i) for i in wanted]
    if name.startswith("array.unview:"):
        base, _new, *rest = args
        view = function_of(name.removeprefix("array.unview:"))

        def part(i: int) -> Array:
            if plain[i] is base:
                made = np.array(g)
                view(made, *rest, **kwargs)[...] = 0
                return made
            return view(np.asarray(g), *rest, **kwargs)

        return [part(i) for i in wanted]
    if name in ("numpy.sort", "numpy.partition"):
        x = args[0]
        place = 1 if name == "numpy.sort" else 2
        axis = kwargs.get("axis", args[place] if len(args) > place else -1)
        if axis is None:
            return None
        order = np.argsort(x, axis, kind="stable") if place == 1 else np.argpartition(x, args[1], axis)
        made = np.zeros(np.shape(x), np.asarray(g).dtype)
        np.put_along_axis(made, order, g, axis)
        return [made]
    if name == "array.at:numpy.add":
        return [
            g if plain[i] is args[0] else unbroadcast(np.asarray(g)[args[1]], np.shape(args[2]))
            for i in wanted
        ]
    if name == "numpy.broadcast_to":
        return [unbroadcast(g, np.shape(args[0]))]
    if name.startswith("scipy.special."):
        return _special(name, args, g)
    return None


def _special(name: str, args: Args, g: Array) -> list[Array] | None:
    x = np.asarray(args[0], np.float64)
    slopes: dict[str, Callable[[], Array]] = {
        "erf": lambda: 2 / np.sqrt(np.pi) * np.exp(-x * x),
        "erfc": lambda: -2 / np.sqrt(np.pi) * np.exp(-x * x),
        "expit": lambda: np.exp(-np.abs(x)) / (1 + np.exp(-np.abs(x))) ** 2,
        "log_expit": lambda: 1 / (1 + np.exp(np.clip(x, -500, 500))),
        "ndtr": lambda: np.exp(-x * x / 2) / np.sqrt(2 * np.pi),
    }
    slope = slopes.get(name.rpartition(".")[2])
    return None if slope is None or len(args) != 1 else [g * slope()]


def unbroadcast(g: Array, shape: tuple[int, ...]) -> Array:
    """The sum of a gradient over the axes along which its array was repeated."""
    g = np.asarray(g)
    g = g.sum(tuple(range(g.ndim - len(shape))))
    return g.sum(tuple(i for i, n in enumerate(shape) if n == 1 and g.shape[i] != 1), keepdims=True)
