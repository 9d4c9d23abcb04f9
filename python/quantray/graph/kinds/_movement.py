"""Functions that move elements and compute nothing: they know codes as well as floats."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import SupportsIndex, cast

import numpy as np

from quantray._typing import Array, Index
from quantray.graph._functions import Function, function_of, identity
from quantray.graph._graph import Expr, Graph, Node, Ref, leaves
from quantray.graph._trees import is_sequence, is_tuple
from quantray.graph.kinds._gradients import Primitive, differentiable_of
from quantray.graph.kinds._table import Kind, Part, axes_of, bound, is_static, register, spelling
from quantray.nn import functional as F


def reshape(x: Array, shape: Iterable[SupportsIndex]) -> Array:
    """Another shape for the same elements."""
    lengths = tuple(shape)
    return np.reshape(x, lengths if np.size(x) else _of_none(np.shape(x), lengths))


def _of_none(shape: Sequence[int], lengths: tuple[SupportsIndex, ...]) -> tuple[SupportsIndex, ...]:
    """A shape for no elements: NumPy cannot tell what -1 is then, the axes between those that stay can."""
    if lengths.count(-1) != 1:
        return lengths
    at = lengths.index(-1)
    before, after = lengths[:at], lengths[at + 1 :]
    end = len(shape) - len(after)
    if at > end or before != tuple(shape[:at]) or after != tuple(shape[end:]):
        return lengths
    return (*before, math.prod(shape[at:end]), *after)


def transpose(x: Array, axes: Sequence[int] | None) -> Array:
    """Axes in another order."""
    return np.transpose(x, axes)


def getitem(x: Array, index: Index) -> Array:
    """Some of the elements."""
    return x[index]


def concat(arrays: Sequence[Array], axis: int) -> Array:
    """Arrays one after the other along an axis."""
    return np.concatenate(arrays, axis)


def _of_traced(name: str, *order: str) -> Function:
    """The gradient's version of a function of an array and settings, which autograd's has by position."""
    primitive = Primitive(name)

    def call(x: Array, **settings: object) -> Array:
        return primitive(x, *(settings[key] for key in order))

    return call


register(
    Kind("reshape", reshape, _of_traced("numpy.reshape", "shape"), part=Part.KEEPS, class_name="reshape")
)
register(
    Kind(
        "transpose", transpose, _of_traced("numpy.transpose", "axes"), part=Part.KEEPS, class_name="transpose"
    )
)
register(
    Kind("getitem", getitem, _of_traced("array.getitem", "index"), part=Part.KEEPS, class_name="getitem")
)
register(Kind("identity", identity, part=Part.KEEPS, class_name="Identity"))
register(
    Kind(
        "concat",
        concat,
        _of_traced("numpy.concatenate", "axis"),
        part=Part.FOLLOWS,
        class_name="FloatFunctional",
    )
)
register(Kind("pad", F.pad, part=Part.KEEPS, class_name="pad"))
register(Kind("interpolate", F.interpolate, part=Part.KEEPS, class_name="Upsample"))
for _function, _class in (
    (F.pixel_shuffle, "PixelShuffle"),
    (F.pixel_unshuffle, "PixelUnshuffle"),
    (F.channel_shuffle, "ChannelShuffle"),
    (F.native_channel_shuffle, "ChannelShuffle"),
):
    register(Kind(f"functional.{_function.__name__}", _function, part=Part.KEEPS, class_name=_class))
#: Of NumPy, as they are: elements are chosen, in an order that does not depend on their grid.
for _name in (
    "numpy.flip", "numpy.roll", "numpy.repeat", "ndarray.repeat", "numpy.tile", "numpy.take", "ndarray.take",
    "numpy.broadcast_to", "numpy.sort", "numpy.diagonal", "ndarray.diagonal", "numpy.rot90", "numpy.fliplr",
    "numpy.flipud", "numpy.compress", "ndarray.compress", "numpy.take_along_axis", "numpy.max", "numpy.min",
    "numpy.amax", "numpy.amin", "ndarray.max", "ndarray.min",
):  # fmt: skip
    register(Kind(_name, function_of(_name), differentiable_of(_name), part=Part.KEEPS, class_name=_name))


def _dim(x: Ref, axis: int, graph: Graph) -> int | Expr:
    """One length of a wire: a number where it is always that one, else an expression.

    A length of an input that two runs have in common may still be another one in a later call.
    """
    length = graph.fact(x).shape[axis]
    if isinstance(length, int) and graph.nodes[x.node].kind in ("constant", "parameter"):
        return length
    return Expr("dim", (x, axis))


def _reshaped(node: Node, x: object, shape: object) -> Node | None:
    lengths = tuple(shape) if is_sequence(shape) else (shape,)
    if any(isinstance(leaf, Ref) for leaf in leaves(lengths)):
        return None
    return node.but(kind="reshape", args=(x,), kwargs={"shape": lengths})


@spelling("ndarray.reshape")
def _reshape_method(node: Node, graph: Graph) -> Node | None:
    if node.kwargs or len(node.args) < 2:
        return None
    shape = node.args[1] if len(node.args) == 2 else node.args[1:]
    return _reshaped(node, node.args[0], shape)


@spelling("numpy.reshape")
def _reshape_function(node: Node, graph: Graph) -> Node | None:
    given = {**dict(zip(("a", "shape", "order"), node.args, strict=False)), **node.kwargs}
    shape = given.get("shape", given.get("newshape"))
    if given.get("order", "C") != "C" or shape is None or given.get("copy"):
        return None
    return _reshaped(node, given["a"], shape)


@spelling("ndarray.ravel", "ndarray.flatten", "numpy.ravel")
def _ravel(node: Node, graph: Graph) -> Node | None:
    if node.kwargs or len(node.args) != 1:
        return None
    (x,) = node.args
    return _reshaped(node, x, (-1,))


@spelling("functional.flatten")
def _flatten(node: Node, graph: Graph) -> Node | None:
    (x,), settings = bound(F.flatten, node, ("input",))
    ndim = len(graph.fact(x).shape)
    if not ndim:
        return _reshaped(node, x, (1,))
    start, end = (int(settings[name]) % ndim for name in ("start_dim", "end_dim"))
    before = [_dim(x, axis, graph) for axis in range(start)]
    after = [_dim(x, axis, graph) for axis in range(end + 1, ndim)]
    return _reshaped(node, x, (*before, -1, *after))


@spelling("functional.unflatten")
def _unflatten(node: Node, graph: Graph) -> Node | None:
    (x,), settings = bound(F.unflatten, node, ("input",))
    ndim = len(graph.fact(x).shape)
    axis = int(settings["dim"]) % ndim
    before = [_dim(x, a, graph) for a in range(axis)]
    after = [_dim(x, a, graph) for a in range(axis + 1, ndim)]
    return _reshaped(node, x, (*before, *settings["sizes"], *after))


@spelling("numpy.expand_dims")
def _expand_dims(node: Node, graph: Graph) -> Node | None:
    given = {**dict(zip(("a", "axis"), node.args, strict=False)), **node.kwargs}
    x = given["a"]
    ndim = len(graph.fact(x).shape)
    many = len(given["axis"]) if is_sequence(given["axis"]) else 1
    axes = axes_of(given["axis"], ndim + many)
    if axes is None:
        return None
    own = iter([_dim(x, axis, graph) for axis in range(ndim)])
    return _reshaped(node, x, tuple(1 if a in axes else next(own) for a in range(ndim + many)))


@spelling("numpy.squeeze", "ndarray.squeeze")
def _squeeze(node: Node, graph: Graph) -> Node | None:
    given = {**dict(zip(("a", "axis"), node.args, strict=False)), **node.kwargs}
    x = given["a"]
    shape = graph.fact(x).shape
    axes = axes_of(given.get("axis"), len(shape))
    if axes is None or given.get("axis") is None:
        # Which axes go depends on lengths.
        return None
    return _reshaped(node, x, tuple(_dim(x, a, graph) for a in range(len(shape)) if a not in axes))


def _transposed(node: Node, x: object, axes: Sequence[int]) -> Node | None:
    return node.but(kind="transpose", args=(x,), kwargs={"axes": tuple(axes)}) if is_static(axes) else None


@spelling("ndarray.transpose", "numpy.transpose", "numpy.permute_dims")
def _transpose(node: Node, graph: Graph) -> Node | None:
    x: Ref = node.args[0] if node.args else node.kwargs["a"]
    ndim = len(graph.fact(x).shape)
    axes = node.args[1:] or (node.kwargs.get("axes"),)
    given = axes[0] if len(axes) == 1 and not isinstance(axes[0], (int, np.integer)) else axes
    found = tuple(reversed(range(ndim))) if given is None else axes_of(tuple(given), ndim)
    return None if found is None else _transposed(node, x, found)


@spelling("ndarray.swapaxes", "numpy.swapaxes")
def _swapaxes(node: Node, graph: Graph) -> Node | None:
    if node.kwargs or len(node.args) != 3:
        return None
    x, a, b = node.args
    order = list(range(len(graph.fact(x).shape)))
    order[a], order[b] = order[b], order[a]
    return _transposed(node, x, order)


@spelling("numpy.matrix_transpose")
def _matrix_transpose(node: Node, graph: Graph) -> Node | None:
    (x,) = node.args
    order = list(range(len(graph.fact(x).shape)))
    order[-1], order[-2] = order[-2], order[-1]
    return _transposed(node, x, order)


@spelling("numpy.moveaxis")
def _moveaxis(node: Node, graph: Graph) -> Node | None:
    given = {**dict(zip(("a", "source", "destination"), node.args, strict=False)), **node.kwargs}
    x = given["a"]
    ndim = len(graph.fact(x).shape)
    order = np.moveaxis(
        np.empty((1,) * 0 + tuple(range(1, ndim + 1)), np.bool_), given["source"], given["destination"]
    )
    return _transposed(node, x, [n - 1 for n in order.shape])


@spelling("array.getitem")
def _getitem(node: Node, graph: Graph) -> Node | None:
    """Slices, single places, new axes: what a view would be; looked-up places stay as they are."""
    x, index = node.args
    items = index if is_tuple(index) else (index,)
    for item in items:
        plain = item is None or item is Ellipsis or isinstance(item, (int, np.integer, slice, Expr))
        if not plain or isinstance(item, bool):
            return None
    return node.but(kind="getitem", args=(x,), kwargs={"index": items})


@spelling("array.identity", "ndarray.copy", "numpy.copy", "numpy.ascontiguousarray", "numpy.asarray")
def _identity(node: Node, graph: Graph) -> Node | None:
    return node.but(kind="identity", args=node.args[:1], kwargs={})


@spelling("ndarray.astype", "numpy.astype")
def _astype(node: Node, graph: Graph) -> Node | None:
    """To the dtype that it has."""
    x = node.args[0]
    if isinstance(x, Ref) and graph.fact(x).dtype == node.facts[0].dtype:
        return node.but(kind="identity", args=(x,), kwargs={})
    return None


def _joined(node: Node, arrays: object, axis: object, graph: Graph) -> Node | None:
    given = tuple(arrays) if is_sequence(arrays) else ()
    if not given or not all(isinstance(a, Ref) for a in given) or not isinstance(axis, (int, np.integer)):
        return None
    if node.facts[0].dtype != np.float32:
        return None
    place = int(cast("int", axis)) % len(node.facts[0].shape)
    return node.but(kind="concat", args=(given,), kwargs={"axis": place})


@spelling("numpy.concatenate", "numpy.concat")
def _concatenate(node: Node, graph: Graph) -> Node | None:
    given = {**dict(zip(("arrays", "axis"), node.args, strict=False)), **node.kwargs}
    if set(given) - {"arrays", "axis"}:
        return None
    return _joined(node, given["arrays"], given.get("axis", 0), graph)


@spelling("numpy.hstack", "numpy.vstack")
def _stacked(node: Node, graph: Graph) -> Node | None:
    if node.kwargs or len(node.args) != 1:
        return None
    arrays = node.args[0]
    ndims = {len(graph.fact(a).shape) for a in arrays if isinstance(a, Ref)}
    if min(ndims, default=0) < 2:
        return None
    return _joined(node, arrays, 1 if node.kind.endswith("hstack") else 0, graph)


@spelling("functional.cat")
def _cat(node: Node, graph: Graph) -> Node | None:
    (tensors,), settings = bound(F.cat, node, ("tensors",))
    return _joined(node, tensors, settings["dim"], graph)


@spelling("functional.pad")
def _pad(node: Node, graph: Graph) -> Node | None:
    args, settings = bound(F.pad, node, ("input",))
    return node.but(kind="pad", args=args, kwargs=settings)


@spelling("functional.interpolate")
def _interpolate(node: Node, graph: Graph) -> Node | None:
    args, settings = bound(F.interpolate, node, ("input",))
    return node.but(kind="interpolate", args=args, kwargs=settings)


@spelling("array.unview:ndarray.reshape", "array.unview:ndarray.ravel", "array.unview:numpy.reshape")
def _unview_reshape(node: Node, graph: Graph) -> Node | None:
    """A base whose reshaped view has other elements is these elements in the base's shape."""
    base, new = node.args[:2]
    if graph.fact(base).dtype != graph.fact(new).dtype:
        return None
    return _reshaped(node, new, tuple(_dim(base, axis, graph) for axis in range(len(graph.fact(base).shape))))


@spelling("array.unview:ndarray.transpose", "array.unview:numpy.transpose")
def _unview_transpose(node: Node, graph: Graph) -> Node | None:
    base, new, *axes = node.args
    ndim = len(graph.fact(base).shape)
    given = axes[0] if len(axes) == 1 and not isinstance(axes[0], (int, np.integer)) else tuple(axes)
    found = tuple(reversed(range(ndim))) if not given else axes_of(tuple(given), ndim)
    if node.kwargs or found is None or graph.fact(base).dtype != graph.fact(new).dtype:
        return None
    return _transposed(node, new, tuple(int(a) for a in np.argsort(found)))


@spelling(
    *(f"functional.{name}" for name in ("dropout", "dropout1d", "dropout2d", "dropout3d")),
    *(f"functional.{name}" for name in ("feature_dropout", "alpha_dropout", "feature_alpha_dropout")),
)
def _dropout(node: Node, graph: Graph) -> Node | None:
    """What drops nothing outside of training."""
    args, settings = bound(getattr(F, node.kind.rpartition(".")[2]), node, ("input",))
    drops = settings["p"] and settings.get("training", settings.get("train"))
    return None if drops else node.but(kind="identity", args=args, kwargs={})
