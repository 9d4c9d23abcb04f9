"""What a capture does with some of NumPy's functions that is not their call alone."""

# Trees of whatever a model takes and gives: their leaves have no type that could be said.
# pyright: reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportUnknownMemberType=false, reportUnknownLambdaType=false

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np

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


def split(function: Any, x: Any, sections: Any = None, axis: Any = 0) -> Any:
    """Parts as views of their own, so that writing to one after a split is no riddle."""
    axis = int(axis) % x.ndim
    before = (slice(None),) * axis
    if function is not np.split and function is not np.array_split:
        return tuple(x[(*before, i)] for i in range(np.shape(x._example)[axis]))
    if function is np.split and np.ndim(sections) == 0:
        each = x.shape[axis] // sections
        return [x[(*before, slice(i * each, (i + 1) * each))] for i in range(int(sections))]
    plain = map_tree(lambda n: n.__index__() if type(n) is Length else n, sections)
    lengths = [part.shape[axis] for part in function(x._example, plain, axis)]
    starts = np.cumsum([0, *lengths])
    return [x[(*before, slice(int(a), int(b)))] for a, b in itertools.pairwise(starts)]


def _examples(value: Any) -> Any:
    return map_tree(lambda leaf: leaf._example if type(leaf) is Value else leaf, value)


#: Functions that tell of an array without looking at its values.
ABOUT: dict[Any, Callable[..., Any]] = {
    np.shape: lambda a: a.shape if type(a) is Value else Shape(np.shape(a)),
    np.ndim: lambda a: a.ndim,
    np.size: lambda a, axis=None: a.size if axis is None else a.shape[axis],
    np.iscomplexobj: lambda a: a.dtype.kind == "c",
    np.isrealobj: lambda a: a.dtype.kind != "c",
    np.result_type: lambda *args: np.result_type(*_examples(args)),
    np.can_cast: lambda *args, **kwargs: np.can_cast(*_examples(args), **kwargs),
}
