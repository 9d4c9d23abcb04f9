"""Bars for work that takes long: tqdm's in terminals, one of our own in notebooks.

What tqdm draws in notebooks needs widgets, which JupyterLab has only by a package of their own and which
leave nothing to read in a file; a line of text and HTML needs neither.
"""

from __future__ import annotations

import importlib
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sized
from html import escape
from typing import Protocol, Self, TypeVar, overload

T = TypeVar("T")

#: Seconds between two looks of a bar.
_PAUSE = 0.1


@overload
def progress(items: Iterable[T], what: str, show: bool = True) -> Iterator[T]: ...
@overload
def progress(
    items: Iterable[T], what: str, show: bool, transform: Callable[[T], object] | None
) -> Iterator[object]: ...
def progress(
    items: Iterable[T], what: str, show: bool = True, transform: Callable[[T], object] | None = None
) -> Iterator[object]:
    """The items, with a bar.

    The bar counts `items`, whose length it shows where they have one; `transform` is what becomes of each.
    """
    shown = _counted(items, what) if show else iter(items)
    return shown if transform is None else map(transform, shown)


def _counted(items: Iterable[T], what: str) -> Iterator[T]:
    total = len(items) if isinstance(items, Sized) else None
    with Bar(total, what, True) as bar:
        for item in items:
            yield item
            bar.step()


class _Drawn(Protocol):
    """What draws: tqdm's bar, or a line."""

    def set_description(self, text: str, /) -> None: ...
    def update(self, steps: int, /) -> None: ...
    def close(self) -> None: ...


class Bar:
    """A bar of steps.

    Parameters
    ----------
    total : int or None
        Steps at most; None where nobody knows.
    what : str
    show : bool
    """

    def __init__(self, total: int | None, what: str, show: bool) -> None:
        self._bar: _Drawn | None = None
        self._what = what
        if show:
            self._bar = _Line(total, what) if _in_notebook() else _in_terminal(total, what)

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


def _in_terminal(total: int | None, what: str) -> _Drawn | None:
    """A bar of tqdm's, where it is installed (the extra `train`)."""
    try:
        return importlib.import_module("tqdm.std").tqdm(total=total, desc=what, leave=False)
    except ImportError:
        return None


def _in_notebook() -> bool:
    """Whether this is the kernel of a notebook, which was imported by the time that code of cells runs."""
    shell = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
    return "ipykernel" in sys.modules and type(shell).__name__ == "ZMQInteractiveShell"


class _Line:
    """A bar as an output of a cell, drawn again as it grows; its last look stays."""

    def __init__(self, total: int | None, what: str) -> None:
        self.total, self.what, self.done = total, what, 0
        self.begun = self._drawn = time.monotonic()
        self._handle = importlib.import_module("IPython.display").display(self, display_id=True)

    def set_description(self, text: str) -> None:
        self.what = text
        self._draw(True)

    def update(self, steps: int) -> None:
        self.done += steps
        self._draw(False)

    def close(self) -> None:
        self._draw(True)

    def _draw(self, now: bool) -> None:
        if now or time.monotonic() - self._drawn >= _PAUSE:
            self._drawn = time.monotonic()
            self._handle.update(self)

    def __repr__(self) -> str:
        count = f"{self.done}" if self.total is None else f"{self.done} of {self.total}"
        return f"{self.what}: {count}, {time.monotonic() - self.begun:.1f} s"

    def _repr_html_(self) -> str:
        end = "" if self.total is None else f' max="{max(self.total, 1)}"'
        value = "" if self.total is None else f' value="{self.done}"'
        return f"<div>{escape(repr(self))} <progress{value}{end}></progress></div>"
