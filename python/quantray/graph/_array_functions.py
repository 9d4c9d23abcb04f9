"""What a capture does with some of NumPy's functions that is not their call alone."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import TypeAlias, cast

import numpy as np

from quantray._typing import Array, ArrayLike
from quantray.graph._functions import Function
from quantray.graph._graph import map_tree
from quantray.graph._lengths import Length, Shape
from quantray.graph._values import Value

#: Functions that write into their first argument.
WRITE = frozenset({np.copyto, np.put, np.place, np.putmask, np.fill_diagonal, np.put_along_axis})

#: Functions whose result, for one stand-in, is a view of it wherever it can be.
VIEWS = frozenset(
    {
        *(f"array.{name}" for name in ("getitem", "identity")),
        *(
            f"ndarray.{name}"
            for name in ("reshape", "transpose", "swapaxes", "squeeze", "ravel", "diagonal", "view")
        ),
        *(
            f"numpy.{name}"
            for name in [
                "reshape",
                "transpose",
                "swapaxes",
                "moveaxis",
                "rollaxis",
                "expand_dims",
                "squeeze",
                "ravel",
                "diagonal",
                "real",
                "imag",
                "atleast_1d",
                "atleast_2d",
                "atleast_3d",
                "matrix_transpose",
                "permute_dims",
            ]
        ),
        *(f"functional.{name}" for name in ("flatten", "unflatten")),
    }
)

#: Decisions on values, which Python would take in silence.
DECISIONS = frozenset({np.allclose, np.array_equal, np.array_equiv, np.may_share_memory, np.shares_memory})


#: Where parts begin, or how many there are.
Sections: TypeAlias = Length | int | Sequence[Length | int]


def split(function: Function, x: Value, sections: Sections | None = None, axis: int = 0) -> Sequence[Value]:
    """Parts as views of their own, so that writing to one after a split is no riddle."""
    axis = int(axis) % x.ndim
    before = (slice(None),) * axis
    if function is not np.split and function is not np.array_split:
        return tuple(x[(*before, i)] for i in range(np.shape(x._example)[axis]))
    if function is np.split and np.ndim(cast("ArrayLike", sections)) == 0:
        count = cast("int", sections)
        each = x.shape[axis] // count
        return [x[(*before, slice(i * each, (i + 1) * each))] for i in range(int(count))]
    plain = map_tree(lambda n: n.__index__() if type(n) is Length else n, sections)
    parts: Sequence[Array] = function(x._example, plain, axis)
    lengths = [part.shape[axis] for part in parts]
    starts = np.cumsum([0, *lengths])
    return [x[(*before, slice(int(a), int(b)))] for a, b in itertools.pairwise(starts)]


def _example(leaf: object) -> object:
    return leaf._example if type(leaf) is Value else leaf


def _about(function: Callable[..., object]) -> Callable[..., object]:
    """A function of what its arguments are, and not of their values."""

    def call(*args: object, **kwargs: object) -> object:
        return function(*map_tree(_example, args), **kwargs)

    return call


def _array(a: object) -> Value | Array:
    """An argument that NumPy has found to be an array."""
    return cast("Value | Array", a)


def _shape(a: object) -> Shape:
    return a.shape if type(a) is Value else Shape(np.shape(_array(a)))


def _ndim(a: object) -> int:
    return _array(a).ndim


def _is_complex(a: object) -> bool:
    return _array(a).dtype.kind == "c"


def _is_real(a: object) -> bool:
    return _array(a).dtype.kind != "c"


def _size(a: object, axis: int | None = None) -> Length | int:
    return _array(a).size if axis is None else _array(a).shape[axis]


#: Functions that tell of an array without looking at its values.
ABOUT: dict[Callable[..., object], Callable[..., object]] = {
    np.shape: _shape,
    np.ndim: _ndim,
    np.size: _size,
    np.iscomplexobj: _is_complex,
    np.isrealobj: _is_real,
    np.result_type: _about(np.result_type),
    np.can_cast: _about(np.can_cast),
}
