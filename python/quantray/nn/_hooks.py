"""Functions that a module calls before and after its `forward`."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from typing import TypeAlias

    from quantray._typing import Args
    from quantray.nn._module import Module

    #: What hooks take are a call's arguments and its output, which are what their module is for.
    PreHook: TypeAlias = Callable[["Module", Args], object]
    Hook: TypeAlias = Callable[["Module", Args, Any], object]


class RemovableHandle:
    """Takes a hook away again: `handle.remove()`."""

    def __init__(self, module: Module, hooks: dict[int, PreHook] | dict[int, Hook]) -> None:
        self._module, self._hooks, self._id = module, hooks, max(hooks, default=-1) + 1

    @property
    def id(self) -> int:
        """The hook's key."""
        return self._id

    def remove(self) -> None:
        """Takes the hook away; nothing happens the second time."""
        self._hooks.pop(self._id, None)
        self._module._changed()
