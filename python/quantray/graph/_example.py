"""What a model is called with while it is captured, and the same with other values in other shapes."""

# Trees of whatever a model takes and gives: their leaves have no type that could be said.
# pyright: reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportUnknownMemberType=false, reportUnknownLambdaType=false

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from quantray.graph._graph import Ref

if TYPE_CHECKING:
    from quantray.graph._recorder import Recorder


class Example:
    """What a model is called with: its arrays apart from what else is there."""

    def __init__(self, args: tuple[Any, ...], kwargs: Mapping[str, Any], names: tuple[str, ...]) -> None:
        self.names: list[str] = []
        self.arrays: list[Any] = []
        #: Those of all runs so far.
        self.tracers: list[Recorder] = []

        def take(value: Any, name: str) -> Any:
            if not is_array(value):
                return value
            self.names.append(name)
            self.arrays.append(value)
            return Ref(name)

        self.args = tuple(
            _named(take, arg, names[i] if i < len(names) else f"arg{i}") for i, arg in enumerate(args)
        )
        self.kwargs = {key: _named(take, value, key) for key, value in kwargs.items()}


def is_array(value: Any) -> bool:
    """Whether an argument is one of a graph's inputs."""
    return isinstance(value, (np.ndarray, np.generic))


def _named(take: Callable[[Any, str], Any], tree: Any, name: str) -> Any:
    """A tree whose arrays are taken out, each named by the way to it."""
    if isinstance(tree, tuple):
        items = [_named(take, item, f"{name}.{i}") for i, item in enumerate(tree)]
        return type(tree)(*items) if hasattr(tree, "_fields") else tuple(items)
    if type(tree) is list:
        return [_named(take, item, f"{name}.{i}") for i, item in enumerate(tree)]
    if isinstance(tree, dict):
        return {key: _named(take, item, f"{name}.{key}") for key, item in tree.items()}
    return take(tree, name)


def few_rows(arrays: list[Any]) -> list[Any]:
    """At most two rows of each: a capture runs the whole model."""
    rows = next((a.shape[0] for a in arrays if np.ndim(a)), 0)
    if rows <= 2:
        return arrays
    return [a[:2] if np.ndim(a) and a.shape[0] == rows else a for a in arrays]


def other_shapes(arrays: list[Any], new: int = 1) -> list[tuple[int, ...]] | None:
    """Shapes with another number of rows, as near to a wanted one as can be; None where there are no rows."""
    rows = next((a.shape[0] for a in arrays if np.ndim(a)), None)
    if rows is None:
        return None
    new = new if new != rows else rows + 1
    return [(new, *a.shape[1:]) if np.ndim(a) and a.shape[0] == rows else a.shape for a in arrays]


def others(arrays: list[Any], shapes: list[tuple[int, ...]]) -> list[Any]:
    """Arrays of other values, but of the same kind, and of some shapes."""
    made: list[Any] = []
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
