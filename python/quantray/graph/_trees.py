"""Trees of tuples, lists, dicts and slices: what functions take, and what models give back."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeGuard, cast

import numpy as np

if TYPE_CHECKING:
    import numpy.typing as npt


def is_tuple(value: Any) -> TypeGuard[tuple[Any, ...]]:
    """Whether it is a tuple, named ones too."""
    return isinstance(value, tuple)


def is_list(value: Any) -> TypeGuard[list[Any]]:
    """Whether it is a list itself, and no class derived from it."""
    return type(value) is list


def is_sequence(value: Any) -> TypeGuard[tuple[Any, ...] | list[Any]]:
    """Whether it is a tuple or a list."""
    return isinstance(value, (tuple, list))


def is_dict(value: Any) -> TypeGuard[dict[Any, Any]]:
    """Whether it is a dict."""
    return isinstance(value, dict)


def is_slice(value: Any) -> TypeGuard[slice[Any, Any, Any]]:
    """Whether it is a slice."""
    return type(value) is slice


def is_array(value: Any) -> TypeGuard[npt.NDArray[Any]]:
    """Whether it is one of NumPy's arrays, or one of their elements."""
    return isinstance(value, (np.ndarray, np.generic))


def rebuilt(like: tuple[Any, ...], items: list[Any]) -> Any:
    """A tuple of other items, of the same class where that has names."""
    kind: Any = type(like)
    return kind(*items) if hasattr(like, "_fields") else tuple(items)


def map_tree(function: Callable[[Any], Any], tree: Any) -> Any:
    """A tree of tuples, lists, dicts and slices with each leaf replaced by a function of it."""
    # Types are asked, and not objects: a stand-in would answer for another one, and take its time.
    kind = cast("Any", type(tree))
    if kind is tuple:
        return tuple([map_tree(function, item) for item in tree])
    if kind is list:
        return [map_tree(function, item) for item in tree]
    if kind is dict:
        return {key: map_tree(function, item) for key, item in tree.items()}
    if kind is slice:
        return slice(*[map_tree(function, end) for end in (tree.start, tree.stop, tree.step)])
    if issubclass(kind, tuple):
        return rebuilt(tree, [map_tree(function, item) for item in tree])
    if issubclass(kind, dict):
        return cast("Any", kind)((key, map_tree(function, item)) for key, item in tree.items())
    return function(tree)


def leaves(tree: Any) -> list[Any]:
    """The leaves of a tree, in order."""
    found: list[Any] = []

    def walk(tree: Any) -> None:
        kind = cast("Any", type(tree))
        if issubclass(kind, (tuple, list)):
            for item in tree:
                walk(item)
        elif issubclass(kind, dict):
            for item in tree.values():
                walk(item)
        elif kind is slice:
            walk((tree.start, tree.stop, tree.step))
        else:
            found.append(tree)

    walk(tree)
    return found
