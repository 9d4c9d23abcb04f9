"""Bars for work that takes long, in terminals and in notebooks."""

from __future__ import annotations

import importlib
from collections.abc import Iterable, Iterator
from typing import Any, TypeVar

T = TypeVar("T")


def progress(items: Iterable[T], what: str, show: bool = True) -> Iterator[T]:
    """The items, with a bar of tqdm's where it is installed (`pip install 'quantray[train]'`)."""
    if show:
        try:
            bar: Any = importlib.import_module("tqdm.auto").tqdm
        except ImportError:
            return iter(items)
        return iter(bar(items, desc=what, leave=False))
    return iter(items)
