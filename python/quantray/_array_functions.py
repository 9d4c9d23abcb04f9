"""Torch's functions of tensors, of arrays: the names and the arguments are torch's, the work is NumPy's.

A model that was written for torch says `torch.flatten(x, 1)` of floats, and floats are arrays here. What
NumPy has by the same name may take other arguments (`torch.max(x, 1)` gives places, too;
`torch.transpose(x, 1, 2)` exchanges two axes), so each function is written out. Stand-ins of a capture and
arrays that autograd traces go through them as through NumPy's functions.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias, cast

import numpy as np

from quantray import _array_shapes as shapes
from quantray._array_shapes import Axes, array_of, at, axes_of, axis_of, numpy_of
from quantray._core import ValuesAndIndices
from quantray._typing import Args, Array, ArrayLike, Kwargs

#: A function of an array; the arguments behind it are its own.
Function: TypeAlias = Callable[..., Any]

# Sums and orders


def _sum(x: Array, dim: Axes = None, keepdim: bool = False) -> Array:
    return numpy_of(x).sum(x, axis=axes_of(dim), keepdims=keepdim)


def _mean(x: Array, dim: Axes = None, keepdim: bool = False) -> Array:
    return numpy_of(x).mean(x, axis=axes_of(dim), keepdims=keepdim)


def _std(x: Array, dim: Axes = None, keepdim: bool = False, *, correction: float = 1.0) -> Array:
    return numpy_of(x).std(x, axis=axes_of(dim), keepdims=keepdim, ddof=correction)


def _argmax(x: Array, dim: int | None = None, keepdim: bool = False) -> Array:
    return numpy_of(x).argmax(x, axis=dim, keepdims=keepdim)


def _argmin(x: Array, dim: int | None = None, keepdim: bool = False) -> Array:
    return numpy_of(x).argmin(x, axis=dim, keepdims=keepdim)


def _extreme(name: str, both: str, place: Function) -> Function:
    def extreme(x: Array, dim: ArrayLike | None = None, keepdim: bool = False) -> Array | ValuesAndIndices:
        numpy = numpy_of(x, dim)
        if dim is None:
            return getattr(numpy, name)(x)
        if np.ndim(dim) == 0 and hasattr(dim, "__index__"):
            axis = operator.index(cast("int", dim))
            found = getattr(numpy, name)(x, axis=axis, keepdims=keepdim)
            return ValuesAndIndices(found, place(x, axis, keepdim))
        if isinstance(dim, list | tuple):
            raise TypeError(f"dim must be one axis, got {dim!r}: numpy.{name} takes several")
        return getattr(numpy, both)(x, dim)

    return extreme


def _argsort(x: Array, dim: int = -1, descending: bool = False, stable: bool = True) -> Array:
    if not descending:
        return np.argsort(x, axis=dim, kind="stable")
    # From the far end, so that equal elements stay in their order.
    backwards = np.argsort(np.flip(x, dim), axis=dim, kind="stable")
    return x.shape[dim] - 1 - np.flip(backwards, dim)


def _sort(x: Array, dim: int = -1, descending: bool = False, stable: bool = True) -> ValuesAndIndices:
    places = _argsort(x, dim, descending)
    return ValuesAndIndices(cast("Any", np.take_along_axis(x, places, dim)), places)


def _topk(x: Array, k: int, dim: int = -1, largest: bool = True, sorted: bool = True) -> ValuesAndIndices:
    length = x.shape[axis_of(x, dim)]
    if not 0 <= k <= length:
        raise ValueError(f"k must be from 0 to the length of the axis, {length}, got {k}")
    places = at(_argsort(x, dim, largest), dim, slice(0, k))
    return ValuesAndIndices(cast("Any", np.take_along_axis(x, places, dim)), places)


def _msort(x: Array) -> Array:
    return np.sort(x, axis=0)


# Elements


def _clamp(x: Array, min: ArrayLike | None = None, max: ArrayLike | None = None) -> Array:
    return numpy_of(x, min, max).clip(x, min, max)


def _masked_fill(x: Array, mask: ArrayLike, value: ArrayLike) -> Array:
    return numpy_of(x).where(mask, value, x)


def _ufunc(name: str) -> Function:
    def compare(x: Array, other: ArrayLike) -> Array:
        return getattr(numpy_of(x, other), name)(x, other)

    return compare


def _itself(x: Array) -> Array:
    return x


def _never(x: Array) -> bool:
    return False


# What changes the array itself.


def _fill_(x: Array, value: ArrayLike) -> Array:
    x[...] = value
    return x


def _clamp_(x: Array, min: ArrayLike | None = None, max: ArrayLike | None = None) -> Array:
    x[...] = np.clip(x, min, max)
    return x


def _masked_fill_(x: Array, mask: ArrayLike, value: ArrayLike) -> Array:
    x[...] = np.where(mask, value, x)
    return x


def _index_put(x: Array, indices: Sequence[Any], values: ArrayLike, accumulate: bool = False) -> Array:
    return _index_put_(x.copy(), indices, values, accumulate)


def _index_put_(x: Array, indices: Sequence[Any], values: ArrayLike, accumulate: bool = False) -> Array:
    if accumulate:
        np.add.at(x, tuple(indices), values)
    else:
        x[tuple(indices)] = values
    return x


def _relu_(x: Array) -> Array:
    x[...] = np.maximum(x, 0)
    return x


def _plain(name: str) -> Function:
    """A function that NumPy has with the same arguments; parts are a tuple."""

    def function(x: Array, *args: object) -> Array | tuple[Array, ...]:
        made = getattr(numpy_of(x), name)(x, *args)
        return tuple(cast("list[Array]", made)) if isinstance(made, list) else made

    return function


def _adjoint(x: Array) -> Array:
    turned = numpy_of(x).swapaxes(x, -1, -2)
    return np.conj(turned) if x.dtype.kind == "c" else turned


def _clone(x: Array) -> Array:
    return x.copy()


def _numel(x: Array) -> int:
    return x.size


def _is_complex(x: Array) -> bool:
    return x.dtype.kind == "c"


def _is_floating_point(x: Array) -> bool:
    return x.dtype.kind == "f"


def _is_same_size(x: Array, other: ArrayLike) -> bool:
    return x.shape == np.shape(other)


#: By torch's names; those that are missing are of tensors of codes alone.
ARRAY_FUNCTIONS: dict[str, Function] = {
    name: function
    for names, function in {
        "adjoint": _adjoint,
        "alias resolve_conj resolve_neg detach detach_ positive": _itself,
        "argmax": _argmax,
        "argmin": _argmin,
        "argsort": _argsort,
        "broadcast_to": shapes.broadcast_to,
        "chunk unsafe_chunk": shapes.chunk,
        "clamp clip": _clamp,
        "clamp_ clip_": _clamp_,
        "clone": _clone,
        "diagonal": shapes.diagonal,
        "eq": _ufunc("equal"),
        "fill_": _fill_,
        "flatten": shapes.flatten,
        "flip": shapes.flip,
        "ge greater_equal": _ufunc("greater_equal"),
        "gt greater": _ufunc("greater"),
        "index_put": _index_put,
        "index_put_": _index_put_,
        "index_select": shapes.index_select,
        "is_complex": _is_complex,
        "is_conj is_neg": _never,
        "is_floating_point": _is_floating_point,
        "is_same_size": _is_same_size,
        "le less_equal": _ufunc("less_equal"),
        "lt less": _ufunc("less"),
        "masked_fill": _masked_fill,
        "masked_fill_": _masked_fill_,
        "masked_select": shapes.masked_select,
        "max": _extreme("max", "maximum", _argmax),
        "mean": _mean,
        "min": _extreme("min", "minimum", _argmin),
        "moveaxis movedim": shapes.moveaxis,
        "msort": _msort,
        "narrow": shapes.narrow,
        "ne not_equal": _ufunc("not_equal"),
        "numel": _numel,
        "permute": shapes.permute,
        "relu_": _relu_,
        "repeat_interleave": shapes.repeat_interleave,
        "reshape": shapes.reshape,
        "roll": shapes.roll,
        "rot90": shapes.rot90,
        "select": shapes.select,
        "select_scatter": shapes.select_scatter,
        "slice": shapes.slice_of,
        "slice_scatter": shapes.slice_scatter,
        "sort": _sort,
        "split split_with_sizes unsafe_split": shapes.split,
        "squeeze": shapes.squeeze,
        "std": _std,
        "sum": _sum,
        "swapaxes swapdims transpose": shapes.transpose,
        "t": shapes.t,
        "take": shapes.take,
        "take_along_dim": shapes.take_along_dim,
        "tensor_split": shapes.tensor_split,
        "tile": shapes.tile,
        "topk": _topk,
        "unbind": shapes.unbind,
        "unflatten": shapes.unflatten,
        "unsqueeze": shapes.unsqueeze,
    }.items()
    for name in names.split()
} | {
    name: _plain(name) for name in ("conj", "diag", "fliplr", "flipud", "ravel", "hsplit", "vsplit", "dsplit")
}

#: What NumPy calls the arguments that torch calls otherwise; both are taken, as methods of QTensor do.
_NUMPYS = {"axis": "dim", "keepdims": "keepdim"}


def of_array(name: str, input: object, args: Args, kwargs: Kwargs) -> Any:
    """One of the functions, of an array.

    Raises
    ------
    TypeError
        For what is no array, and for functions of tensors of codes alone.
    """
    if name not in ARRAY_FUNCTIONS:
        raise TypeError(f"input must be a QTensor, got {type(input).__name__}: quantize it first")
    if name != "take":
        kwargs = {_NUMPYS.get(key, key): value for key, value in kwargs.items()}
    return ARRAY_FUNCTIONS[name](array_of(input), *args, **kwargs)


def joined(name: str, arrays: Sequence[object], axis: int | None) -> Any:
    """`concatenate`, `stack` or another of NumPy's functions of several arrays."""
    all_ = [array_of(a) for a in arrays]
    function = getattr(numpy_of(*all_), name)
    return function(all_) if axis is None else function(all_, axis)
