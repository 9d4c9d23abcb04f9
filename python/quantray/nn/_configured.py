"""Modules whose constructors' arguments are their attributes."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from quantray.nn._module import Module

if TYPE_CHECKING:
    from quantray._typing import Config


class Configured(Module):
    """A module that is rebuilt from its attributes of the names in `_arguments`."""

    _arguments: ClassVar[tuple[str, ...]] = ()

    def _config(self) -> Config:
        found: Config = {name: getattr(self, name) for name in self._arguments}
        return {name: list(v) if isinstance(v, tuple) else v for name, v in found.items()}  # pyright: ignore
