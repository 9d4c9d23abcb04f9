"""What a model is called with while it is captured, and the same with other values in other shapes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING

import numpy as np

from quantray._typing import Array
from quantray.graph._graph import Ref
from quantray.graph._trees import is_array, is_dict, is_list, is_tuple, rebuilt

if TYPE_CHECKING:
    from quantray.graph._recorder import Recorder


class Example:
    """What a model is called with: its arrays apart from what else is there."""

    def __init__(
        self, args: tuple[object, ...], kwargs: Mapping[str, object], names: tuple[str, ...]
    ) -> None:
        self.names: list[str] = []
        self.arrays: list[Array] = []
        #: Those of all runs so far.
        self.tracers: list[Recorder] = []

        def take(value: object, name: str) -> object:
            if not is_array(value):
                return value
            self.names.append(name)
            self.arrays.append(value)
            return Ref(name)

        self.args = tuple(
            _named(take, arg, names[i] if i < len(names) else f"arg{i}") for i, arg in enumerate(args)
        )
        self.kwargs = {key: _named(take, value, key) for key, value in kwargs.items()}


def _named(take: Callable[[object, str], object], tree: object, name: str) -> object:
    """A tree whose arrays are taken out, each named by the way to it."""
    if is_tuple(tree):
        return rebuilt(tree, [_named(take, item, f"{name}.{i}") for i, item in enumerate(tree)])
    if is_list(tree):
        return [_named(take, item, f"{name}.{i}") for i, item in enumerate(tree)]
    if is_dict(tree):
        return {key: _named(take, item, f"{name}.{key}") for key, item in tree.items()}
    return take(tree, name)


def few_rows(arrays: list[Array]) -> list[Array]:
    """At most two rows of each: a capture runs the whole model."""
    rows = next((a.shape[0] for a in arrays if np.ndim(a)), 0)
    if rows <= 2:
        return arrays
    return [a[:2] if np.ndim(a) and a.shape[0] == rows else a for a in arrays]


def other_shapes(arrays: list[Array], new: int = 1) -> list[tuple[int, ...]] | None:
    """Shapes with another number of rows, as near to a wanted one as can be; None where there are no rows."""
    rows = next((a.shape[0] for a in arrays if np.ndim(a)), None)
    if rows is None:
        return None
    new = new if new != rows else rows + 1
    return [(new, *a.shape[1:]) if np.ndim(a) and a.shape[0] == rows else a.shape for a in arrays]


def others(arrays: list[Array], shapes: list[tuple[int, ...]]) -> list[Array]:
    """Arrays of other values, but of the same kind, and of some shapes."""
    made: list[Array] = []
    for array, shape in zip(arrays, shapes, strict=True):
        back = np.asarray(array).ravel()[::-1]
        if back.dtype.kind == "f" and back.size:
            back = back * back.dtype.type(0.75)
        if not back.size:
            back = np.zeros(1, array.dtype)
        made.append(np.resize(back, shape) if np.prod(shape, dtype=int) else np.zeros(shape, array.dtype))
    return made


def third_length(m: int, n: int) -> int:
    """Another length than two that have been tried; a shorter one, since tables may end at the longest."""
    return min(m, n) - 1 if min(m, n) > 1 else max(m, n) + 1


def rows_of(shapes: Iterable[tuple[int, ...]]) -> list[int]:
    return [shape[0] for shape in shapes if shape]
