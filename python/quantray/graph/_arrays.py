"""Whether a model's parameters and buffers are still what they were, though anybody may write to them."""

from __future__ import annotations

import sys
from collections import Counter
from typing import Any

import numpy as np

from quantray import _core
from quantray.nn._gradients import is_traced
from quantray.nn._module import Module

#: More references than there can be: of arrays that nobody can write to.
_ALWAYS = sys.maxsize


class Arrays:
    """The arrays of a model.

    Whoever writes to one has a reference to it: from a module, which notes that it was asked, or from before,
    which shows in their number. Only then are the elements looked at, by a fingerprint of them.
    """

    def __init__(self, module: Module) -> None:
        self._entries: list[tuple[dict[str, Any], str, Any]] = [
            (table, name, array)
            for each in module.modules()
            for table in (each._parameters, each._buffers)
            for name, array in table.items()
            if array is not None
        ]
        arrays = [array for _, _, array in self._entries]
        self.are_plain = all(type(array) is np.ndarray for array in arrays)
        self.are_traced = any(map(is_traced, arrays))
        if not self.are_plain:
            return
        # One that a table and an entry hold, as all others are held.
        probe = np.zeros(1)
        table = {"probe": probe}
        del arrays
        self._entries.append((table, "probe", probe))
        del probe
        counts = self._counts()
        places = Counter(id(array) for _, _, array in self._entries)
        # Each further place is a reference of its table, and one of the entry.
        self._most = [
            _most_of(array, counts[-1] + 2 * (places[id(array)] - 1)) for _, _, array in self._entries
        ]
        self._prints = self._fingerprints()
        self._were_alone = self._are_alone()

    def _are_alone(self) -> bool:
        return all(map(int.__le__, self._counts(), self._most))

    def _counts(self) -> list[int]:
        count = sys.getrefcount
        return [count(array) for _, _, array in self._entries]

    def _fingerprints(self) -> list[int]:
        found: dict[int, int] = {}
        for _, _, array in self._entries:
            if id(array) not in found:
                found[id(array)] = _core._fingerprint(array)
        return [found[id(array)] for _, _, array in self._entries]

    @property
    def arrays(self) -> list[Any]:
        """All of them."""
        return [array for _, _, array in self._entries]

    def are_there(self) -> bool:
        """Whether the modules have the same arrays."""
        return all(table.get(name) is array for table, name, array in self._entries)

    def are_known(self) -> bool:
        """Whether nobody can have written to one since this was asked last, as far as references tell.

        Nobody has one, and nobody had one then.
        """
        were_alone, self._were_alone = self._were_alone, self._are_alone()
        return were_alone and self._were_alone

    def are_same(self) -> bool:
        """Whether all elements are what they were."""
        return self._fingerprints() == self._prints

    def before(self) -> list[int]:
        """What `after` wants of the time before."""
        return self._counts()

    def after(self, before: list[int]) -> None:
        """What was made meanwhile holds references of its own, and writes to nothing."""
        more = [max(now - then, 0) for now, then in zip(self._counts(), before, strict=True)]
        self._most = [
            most if most == _ALWAYS or most < 0 else most + n
            for most, n in zip(self._most, more, strict=True)
        ]


def _most_of(array: Any, alone: int) -> int:
    """How many references an array may have that nobody else holds."""
    is_counted = getattr(sys, "_is_gil_enabled", lambda: True)()
    if array.base is None:
        return alone if is_counted else -1
    # A part of something that others may write to: looked at in every call, unless nobody can.
    own: Any = array
    while isinstance(own, np.ndarray):
        if own.flags.writeable:
            return -1
        own = own.base
    return _ALWAYS if isinstance(own, bytes) else -1
