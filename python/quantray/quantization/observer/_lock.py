"""Locks of observers, which many threads may feed at once."""

from __future__ import annotations

import threading
from collections.abc import Generator
from contextlib import contextmanager


class Lock:
    """A lock that its holder may take again; copies and pickles of its owner get one of their own."""

    def __init__(self) -> None:
        self._lock = threading.RLock()

    def __enter__(self) -> None:
        self._lock.acquire()

    def __exit__(self, *_: object) -> None:
        self._lock.release()

    def __reduce__(self) -> tuple[type[Lock], tuple[()]]:
        return Lock, ()


@contextmanager
def both(one: Lock, other: Lock) -> Generator[None]:
    """Holds two locks, in one order for everybody: two that merge with each other do not wait forever."""
    first, second = sorted((one, other), key=id)
    with first, second:
        yield
