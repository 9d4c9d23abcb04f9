"""Bars for work that takes long, in terminals and in notebooks."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterable, Iterator
from typing import Any, TypeVar

T = TypeVar("T")


def progress(
    items: Iterable[T], what: str, show: bool = True, transform: Callable[[T], T] | None = None
) -> Iterator[T]:
    """The items, with a bar of tqdm's where it is installed (the extra `train`).

    The bar counts `items`, whose length it knows; `transform` is what becomes of each.
    """
    shown = _shown(items, what, show)
    return shown if transform is None else map(transform, shown)


def _shown(items: Iterable[T], what: str, show: bool) -> Iterator[T]:
    if show:
        try:
            bar: Any = importlib.import_module("tqdm.auto").tqdm
        except ImportError:
            return iter(items)
        return iter(bar(items, desc=what, leave=False))
    return iter(items)
