"""Trees of tuples, lists, dicts and slices: what functions take, and what models give back."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias, TypeGuard, TypeVar, cast

import numpy as np

if TYPE_CHECKING:
    from quantray._typing import Args, Array

K = TypeVar("K")
T = TypeVar("T")
#: What a function is called with: by position, and by name.
Call: TypeAlias = tuple[tuple[object, ...], dict[K, object]]


def is_tuple(value: object) -> TypeGuard[Args]:
    """Whether it is a tuple, named ones too."""
    return isinstance(value, tuple)


def is_list(value: object) -> TypeGuard[list[Any]]:
    """Whether it is a list itself, and no class derived from it."""
    return type(value) is list


def is_sequence(value: object) -> TypeGuard[Args | list[Any]]:
    """Whether it is a tuple or a list."""
    return isinstance(value, (tuple, list))


def is_dict(value: object) -> TypeGuard[dict[Any, Any]]:
    """Whether it is a dict."""
    return isinstance(value, dict)


def is_slice(value: object) -> TypeGuard[slice[object, object, object]]:
    """Whether it is a slice."""
    return type(value) is slice


def is_array(value: object) -> TypeGuard[Array]:
    """Whether it is one of NumPy's arrays, or one of their elements."""
    return isinstance(value, (np.ndarray, np.generic))


def rebuilt(like: tuple[object, ...], items: list[object]) -> tuple[object, ...]:
    """A tuple of other items, of the same class where that has names."""
    kind = cast("Callable[..., tuple[object, ...]]", type(like))
    return kind(*items) if hasattr(like, "_fields") else tuple(items)


def map_tree(function: Callable[[Any], object], tree: T) -> T:
    """A tree of tuples, lists, dicts and slices with each leaf replaced by a function of it.

    What is made has the tree's form, and so its type: that of leaves is `object`, whatever they are.
    """
    return cast("T", _mapped(function, tree))


def _mapped(function: Callable[[Any], object], tree: Any) -> object:
    # Types are asked, and not objects: a stand-in would answer for another one, and take its time.
    kind = cast("type[object]", type(tree))
    if kind is tuple:
        return tuple([_mapped(function, item) for item in tree])
    if kind is list:
        return [_mapped(function, item) for item in tree]
    if kind is dict:
        return {key: _mapped(function, item) for key, item in tree.items()}
    if kind is slice:
        return slice(*[_mapped(function, end) for end in (tree.start, tree.stop, tree.step)])
    if issubclass(kind, tuple):
        return rebuilt(tree, [_mapped(function, item) for item in tree])
    if issubclass(kind, dict):
        make = cast("Callable[..., object]", kind)
        return make((key, _mapped(function, item)) for key, item in tree.items())
    return function(tree)


def leaves(tree: object) -> list[Any]:
    """The leaves of a tree, in order."""
    found: list[Any] = []

    def walk(tree: Any) -> None:
        kind = cast("type[object]", type(tree))
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


def kinds_of(args: Sequence[object]) -> tuple[object, ...] | None:
    """What tells arrays apart for a program; None where something else is among them."""
    found: list[object] = []
    for arg in args:
        if type(arg) is not np.ndarray:
            return None
        found += (arg.shape, arg.dtype)
    return tuple(found)
