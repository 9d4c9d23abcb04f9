"""Gradients of functions that move elements, whatever way they move them.

Where each element of the output comes from is found by moving numbers of places instead of values, twice:
what comes from an array differs between the two, what the function puts in by itself does not.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from quantray._typing import Args, Array
from quantray.graph._functions import Function
from quantray.graph._graph import Settings, leaves

_NUMPY = (
    "dstack", "block", "insert", "delete", "hsplit", "vsplit", "dsplit", "split", "array_split",
    "unstack", "resize", "broadcast_arrays", "broadcast_to", "meshgrid", "flip", "fliplr", "flipud",
    "rot90", "roll", "repeat", "tile", "take", "take_along_axis", "compress", "extract", "concatenate",
    "concat", "stack", "vstack", "hstack", "column_stack", "append", "diagonal", "diag", "choose",
    "select", "reshape", "ravel", "expand_dims", "squeeze", "swapaxes", "moveaxis", "rollaxis",
    "transpose", "permute_dims", "matrix_transpose", "atleast_1d", "atleast_2d", "atleast_3d", "triu",
    "tril", "copy", "diagflat",
)  # fmt: skip
_METHODS = (
    "take", "repeat", "compress", "diagonal", "reshape", "ravel", "flatten", "swapaxes", "squeeze",
    "transpose", "choose", "copy",
)  # fmt: skip
_WRITES = ("put", "copyto", "putmask", "place", "fill_diagonal", "put_along_axis")
#: Functions each element of whose result is an element of an argument, or one that they put in by themselves.
MOVES = frozenset(
    {
        *(f"numpy.{name}" for name in _NUMPY),
        *(f"ndarray.{name}" for name in _METHODS),
        *(f"array.into:numpy.{name}" for name in _WRITES),
        *("array.getitem", "array.setitem", "numpy.lib.stride_tricks.sliding_window_view"),
    }
)
_PADS = ("constant", "edge", "reflect", "symmetric", "wrap", "empty")


def moves(name: str, args: tuple[object, ...], kwargs: Mapping[str, object]) -> bool:
    """Whether a call moves elements, and does nothing else."""
    if name == "numpy.pad":
        return kwargs.get("mode", args[2] if len(args) > 2 else "constant") in _PADS
    return name in MOVES


def gradient(
    function: Function,
    filled: Callable[[Sequence[Array]], tuple[Args, Settings]],
    values: Sequence[Array],
    wanted: Sequence[int],
    out: int,
    g: Array,
) -> list[Array]:
    """The gradient for each wanted one of some arrays, from that of one output.

    `filled` puts arrays into a call's arguments, of which `out` counts the outputs.
    """
    sizes = [np.size(values[i]) for i in wanted]
    total = sum(sizes)

    def placed(begin: int) -> Array:
        arrays = list(values)
        at = begin
        for i, size in zip(wanted, sizes, strict=True):
            # Numbers of places, so that the function does with them what it does with floats.
            arrays[i] = np.arange(at, at + size, dtype=np.float64).reshape(np.shape(values[i]))
            at += size
        args, kwargs = filled(arrays)
        return np.asarray(leaves(function(*args, **kwargs))[out])

    first, second = placed(0), placed(total)
    is_moved = second - first == total
    made = np.zeros(total, np.asarray(g).dtype)
    np.add.at(made, first[is_moved].astype(np.int64), np.asarray(g)[is_moved])
    ends = np.cumsum(sizes)[:-1]
    return [part.reshape(np.shape(values[i])) for part, i in zip(np.split(made, ends), wanted, strict=True)]
