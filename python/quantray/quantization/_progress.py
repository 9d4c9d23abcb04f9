"""Bars for work that takes long, in terminals and in notebooks."""

from __future__ import annotations

import contextlib
import importlib
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Self, TypeVar

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


class Bar:
    """A bar of steps that differ in what they do: tqdm's where it is installed.

    Parameters
    ----------
    total : int
        Steps at most.
    what : str
    show : bool
    """

    def __init__(self, total: int, what: str, show: bool) -> None:
        self._bar: Any = None
        self._what = what
        if show:
            with contextlib.suppress(ImportError):
                self._bar = importlib.import_module("tqdm.auto").tqdm(total=total, desc=what, leave=False)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.close()

    def say(self, text: str) -> None:
        """What is done now."""
        if self._bar is not None:
            self._bar.set_description(f"{self._what}: {text}")

    def step(self) -> None:
        """One step is done."""
        if self._bar is not None:
            self._bar.update(1)
