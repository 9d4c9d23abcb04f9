"""Gradients of functions that are not `nn.functional`'s: autograd's, each in the dtype of its argument.

autograd promotes float32 through means, maxima and `where`; here each node is a primitive of its own, whose
gradients are cast back.
"""

from __future__ import annotations

import importlib
import operator
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from quantray.graph._functions import function_of
from quantray.graph._graph import leaves, map_tree
from quantray.nn._gradients import is_traced, untraced

Vjp = Callable[[Any], Any]


def differentiable_of(name: str) -> Callable[..., Any] | None:
    """A function of arrays that autograd traces, for a function of a name; None where it is one already."""
    if name.startswith("functional."):
        return None
    return _Primitive(name)


class _Primitive:
    """A node's function with a gradient for every array among its arguments, nested ones too."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        extend = importlib.import_module("autograd.extend")
        arrays: list[Any] = []

        def take(leaf: Any) -> Any:
            if not is_traced(leaf):
                return leaf
            arrays.append(leaf)
            return _Hole(len(arrays) - 1)

        tree = map_tree(take, (args, kwargs))

        def filled(values: Sequence[Any]) -> tuple[Any, Any]:
            return map_tree(lambda leaf: values[leaf.index] if type(leaf) is _Hole else leaf, tree)

        function = function_of(self.name)

        def forward(*values: Any) -> Any:
            own_args, own_kwargs = filled(values)
            return function(*own_args, **own_kwargs)

        name = self.name

        def vjp(wanted: Sequence[int], out: Any, values: tuple[Any, ...], _: Any) -> Callable[[Any], Any]:
            plain = [untraced(v) for v in values]
            if not np.issubdtype(np.asarray(leaves(untraced(out))[0]).dtype, np.floating):
                return lambda g: tuple(np.zeros(np.shape(plain[i]), plain[i].dtype) for i in wanted)

            def pull(g: Any) -> tuple[Any, ...]:
                own = _own_gradient(name, plain, filled, g, wanted)
                if own is None:
                    own = _autograd_gradient(name, plain, filled, g, wanted)
                return tuple(
                    np.asarray(d, plain[i].dtype).reshape(np.shape(plain[i]))
                    for i, d in zip(wanted, own, strict=True)
                )

            return pull

        primitive = extend.primitive(forward)
        extend.defvjp_argnums(primitive, vjp)
        return primitive(*arrays)


class _Hole:
    """Where an array was among arguments."""

    __slots__ = ("index",)

    def __init__(self, index: int) -> None:
        self.index = index


def _traced_function(name: str) -> Callable[..., Any]:
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


def _autograd_gradient(name: str, plain: Any, filled: Any, g: Any, wanted: Sequence[int]) -> list[Any]:
    core = importlib.import_module("autograd.core")
    try:
        function = _traced_function(name)
    except (AttributeError, ImportError):
        raise TypeError(f"{name} has no gradient: autograd does not know it") from None

    def of(*values: Any) -> Any:
        args, kwargs = filled(values)
        return function(*args, **kwargs)

    made = []
    for i in wanted:

        def one(value: Any, i: int = i) -> Any:
            values = list(plain)
            values[i] = value
            return of(*values)

        pull, _ = core.make_vjp(one, plain[i])
        made.append(pull(g))
    return made


def _own_gradient(name: str, plain: Any, filled: Any, g: Any, wanted: Sequence[int]) -> list[Any] | None:
    """Gradients of what autograd does not have."""
    args, kwargs = filled(list(range(len(plain))))
    position = {
        leaf: i for i, leaf in enumerate(args) if isinstance(leaf, int) and not isinstance(leaf, bool)
    }
    args, kwargs = filled(plain)
    if name == "array.setitem":
        _, index, value = args

        def each(i: int) -> Any:
            if plain[i] is args[0]:
                made = np.array(g)
                made[index] = 0
                return made
            return unbroadcast(np.asarray(g)[index], np.shape(value))

        return [each(i) for i in wanted]
    del position
    if name.startswith("array.unview:"):
        base, _new, *rest = args
        view = function_of(name.removeprefix("array.unview:"))

        def part(i: int) -> Any:
            if plain[i] is base:
                made = np.array(g)
                view(made, *rest, **kwargs)[...] = 0
                return made
            return view(np.asarray(g), *rest, **kwargs)

        return [part(i) for i in wanted]
    if name in ("numpy.take", "ndarray.take"):
        x, index, *more = args
        axis = kwargs.get("axis", more[0] if more else None)
        made = np.zeros(np.shape(x), np.asarray(g).dtype)
        if axis is None:
            np.add.at(made.reshape(-1), np.asarray(index), g)
        else:
            np.add.at(
                np.moveaxis(made, axis, 0),
                np.asarray(index),
                np.moveaxis(g, range(axis, axis + np.ndim(index)), range(np.ndim(index))),
            )
        return [made for _ in wanted]
    if name in ("numpy.sort",):
        x = args[0]
        axis = kwargs.get("axis", args[1] if len(args) > 1 else -1)
        if axis is None:
            return None
        order = np.argsort(x, axis, kind="stable")
        made = np.zeros(np.shape(x), np.asarray(g).dtype)
        np.put_along_axis(made, order, g, axis)
        return [made]
    if name == "numpy.pad":
        x, widths = args[0], args[1]
        mode = kwargs.get("mode", args[2] if len(args) > 2 else "constant")
        if mode != "constant":
            return None
        pairs = np.broadcast_to(np.asarray(widths), (np.ndim(x), 2))
        inner = tuple(slice(int(a), int(a) + n) for (a, _), n in zip(pairs, np.shape(x), strict=True))
        return [np.asarray(g)[inner]]
    if name == "numpy.broadcast_to":
        return [unbroadcast(g, np.shape(args[0]))]
    if name.startswith("scipy.special."):
        return _special(name, args, g)
    return None


def _special(name: str, args: Any, g: Any) -> list[Any] | None:
    x = np.asarray(args[0], np.float64)
    slopes: dict[str, Callable[[], Any]] = {
        "erf": lambda: 2 / np.sqrt(np.pi) * np.exp(-x * x),
        "erfc": lambda: -2 / np.sqrt(np.pi) * np.exp(-x * x),
        "expit": lambda: np.exp(-np.abs(x)) / (1 + np.exp(-np.abs(x))) ** 2,
        "log_expit": lambda: 1 / (1 + np.exp(np.clip(x, -500, 500))),
        "exprel": None,  # type: ignore[dict-item]
        "ndtr": lambda: np.exp(-x * x / 2) / np.sqrt(2 * np.pi),
    }
    slope = slopes.get(name.rpartition(".")[2])
    return None if slope is None or len(args) != 1 else [g * slope()]


def unbroadcast(g: Any, shape: tuple[int, ...]) -> Any:
    """The sum of a gradient over the axes along which its array was repeated."""
    g = np.asarray(g)
    g = g.sum(tuple(range(g.ndim - len(shape))))
    return g.sum(tuple(i for i, n in enumerate(shape) if n == 1 and g.shape[i] != 1), keepdims=True)
