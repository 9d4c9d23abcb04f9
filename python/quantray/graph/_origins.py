"""Where lengths come from: what an axis of a node's output is of the lengths that the node takes.

A length that is known to be another one is written as that one, and one that a reshape sets to a number is
that number: what a model then decides by lengths, and works out from them, is about its inputs alone.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import TypeAlias

import numpy as np

from quantray._typing import Args
from quantray.graph._functions import function_of
from quantray.graph._graph import Expr, Fact, Ref, Settings
from quantray.graph._trees import is_sequence, is_slice, is_tuple

#: What is known of one axis: a number for every input, or a length.
Origin: TypeAlias = int | Expr
#: The axes of an array; None of one that is not known.
Axes: TypeAlias = tuple[Origin | None, ...]
#: What is known of a node's only output, by its arguments, what it takes, and how many axes it has.
Rule: TypeAlias = Callable[[Args, Settings, "Known", int], Axes | None]


class Known:
    """What is known of the wires of one run of a model."""

    def __init__(self) -> None:
        self._axes: dict[Ref, tuple[Origin, ...]] = {}

    def of(self, value: object) -> tuple[Origin, ...] | None:
        """The axes of a wire; None of what is no wire."""
        return self._axes.get(value) if isinstance(value, Ref) else None

    def note(self, name: str, kind: str, args: Args, kwargs: Settings, facts: tuple[Fact, ...]) -> None:
        """Finds out what is known of a node's outputs."""
        rule = _RULES.get(kind, _same if kind in _SAME or _is_ufunc(kind) else None)
        found = (
            rule(args, kwargs, self, len(facts[0].shape)) if rule is not None and len(facts) == 1 else None
        )
        if found is not None and len(found) != len(facts[0].shape):
            found = None
        for out, fact in enumerate(facts):
            ref = Ref(name, out)
            if kind == "parameter":
                self._axes[ref] = tuple(n for n in fact.shape if isinstance(n, int))
                continue
            own = [Expr("dim", (ref, axis)) for axis in range(len(fact.shape))]
            self._axes[ref] = tuple(
                theirs if theirs is not None else mine
                for mine, theirs in zip(own, found or [None] * len(own), strict=True)
            )


def _same(args: Args, kwargs: Settings, known: Known, ndim: int) -> Axes | None:
    """Element by element: an axis is that of all arrays that have one which is not 1 for every input."""
    arrays = [axes for arg in args if (axes := known.of(arg)) is not None]
    if kwargs or any(not isinstance(arg, (Ref, int, float, bool, str)) for arg in args):
        return None
    made: list[Origin | None] = []
    for back in range(ndim, 0, -1):
        there = list(dict.fromkeys(axes[-back] for axes in arrays if len(axes) >= back))
        # A number that is not 1 is the length whatever the others are.
        sure = [axis for axis in there if type(axis) is int and axis != 1]
        left = sure or [axis for axis in there if axis != 1] or there
        made.append(left[0] if len(left) == 1 else None)
    return tuple(made)


def _first(args: Args, kwargs: Settings, known: Known, ndim: int) -> Axes | None:
    """The axes of the first argument."""
    return known.of(args[0]) if args else None


def _reshape(args: Args, kwargs: Settings, known: Known, ndim: int) -> Axes | None:
    wanted = args[1] if len(args) == 2 and is_sequence(args[1]) else args[1:]
    if kwargs or not is_sequence(wanted):
        return None
    return tuple(n if isinstance(n, Expr) or (type(n) is int and n >= 0) else None for n in wanted)


def _transpose(args: Args, kwargs: Settings, known: Known, ndim: int) -> Axes | None:
    axes = known.of(args[0]) if args else None
    order = args[1] if len(args) == 2 and is_sequence(args[1]) else args[1:]
    if axes is None or kwargs or not is_sequence(order):
        return None
    places = [int(n) for n in order if type(n) is int] or list(range(ndim))[::-1]
    return tuple(axes[n] for n in places) if len(places) == ndim else None


def _expand_dims(args: Args, kwargs: Settings, known: Known, ndim: int) -> Axes | None:
    axes = known.of(args[0]) if args else None
    given = args[1] if len(args) == 2 else kwargs.get("axis")
    if axes is None or given is None:
        return None
    new = {int(n) % ndim for n in (given if is_sequence(given) else (given,)) if type(n) is int}
    if len(axes) + len(new) != ndim:
        return None
    old = iter(axes)
    return tuple(1 if n in new else next(old) for n in range(ndim))


def _full(args: Args, kwargs: Settings, known: Known, ndim: int) -> Axes | None:
    shape = args[0] if args else None
    return tuple(n if isinstance(n, (int, Expr)) else None for n in shape) if is_sequence(shape) else None


def _linear(args: Args, kwargs: Settings, known: Known, ndim: int) -> Axes | None:
    axes, weight = (known.of(arg) for arg in (*args, None, None)[:2])
    return None if axes is None or weight is None else (*axes[:-1], weight[0])


def _matmul(args: Args, kwargs: Settings, known: Known, ndim: int) -> Axes | None:
    a, b = (known.of(arg) for arg in (*args, None, None)[:2])
    if a is None or b is None or len(a) < 2 or len(b) != 2 or kwargs:
        return None
    return (*a[:-1], b[1])


def _embedding(args: Args, kwargs: Settings, known: Known, ndim: int) -> Axes | None:
    ids, table = (known.of(arg) for arg in (*args, None, None)[:2])
    return None if ids is None or table is None else (*ids, table[1])


def _concatenate(args: Args, kwargs: Settings, known: Known, ndim: int) -> Axes | None:
    parts = [known.of(arg) for arg in args[0]] if args and is_sequence(args[0]) else []
    axis = args[1] if len(args) > 1 else kwargs.get("axis", 0)
    if not parts or type(axis) is not int or set(kwargs) - {"axis"}:
        return None
    whole = [part for part in parts if part is not None]
    if len(whole) != len(parts):
        return None
    total = whole[0][axis]
    for part in whole[1:]:
        more = part[axis]
        total = total + more if type(total) is int and type(more) is int else Expr("add", (total, more))
    return tuple(total if n == axis % ndim else length for n, length in enumerate(whole[0]))


def _getitem(args: Args, kwargs: Settings, known: Known, ndim: int) -> Axes | None:
    """Numbers, whole axes, and new ones; parts of axes are not known."""
    axes = known.of(args[0])
    index = args[1] if is_tuple(args[1]) else (args[1],)
    if axes is None or any(isinstance(i, (Ref, list, bool)) or hasattr(i, "dtype") for i in index):
        return None
    taken = sum(i is not None and i is not Ellipsis for i in index)
    if not any(i is Ellipsis for i in index):
        index = (*index, Ellipsis)
    made: list[Origin | None] = []
    at = 0
    for i in index:
        if i is None:
            made.append(1)
        elif i is Ellipsis:
            rest = len(axes) - taken
            made += axes[at : at + rest]
            at += rest
        else:
            if is_slice(i):
                made.append(axes[at] if i == slice(None) else None)
            at += 1
    return tuple(made)


@functools.cache
def _is_ufunc(kind: str) -> bool:
    if not kind.startswith("numpy."):
        return False
    found = function_of(kind)
    return isinstance(found, np.ufunc) and found.signature is None and found.nout == 1


_RULES: Mapping[str, Rule] = {
    "numpy.reshape": _reshape,
    "ndarray.reshape": _reshape,
    "numpy.transpose": _transpose,
    "ndarray.transpose": _transpose,
    "numpy.expand_dims": _expand_dims,
    "array.full": _full,
    "functional.linear": _linear,
    "numpy.matmul": _matmul,
    "functional.embedding": _embedding,
    "numpy.concatenate": _concatenate,
    "array.getitem": _getitem,
    **dict.fromkeys(
        (
            "ndarray.astype", "ndarray.copy", "array.identity", "functional.softmax", "functional.layer_norm",
            "functional.gelu", "functional.relu", "functional.silu", "functional.rms_norm",
        ),
        _first,
    ),
}  # fmt: skip
_SAME = frozenset({"numpy.where"})
