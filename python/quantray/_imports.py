"""Imports of torch's names that are not here say what to write instead, as attributes do.

`from quantray.quantization import prepare_fx` and `import quantray.jit` would end in "cannot import name" and
"no module named": what the module above says of the name is the answer.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence
    from importlib.machinery import ModuleSpec
    from types import ModuleType


class Advisor:
    """A finder that is asked last, of modules that nobody else has found, and finds nothing itself."""

    @staticmethod
    def find_spec(
        fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """None for a name that nothing is known of.

        Raises
        ------
        ImportError
            With what to write instead.
        """
        parent, _, name = fullname.rpartition(".")
        if parent.partition(".")[0] != "quantray" or parent not in sys.modules:
            return None
        try:
            getattr(sys.modules[parent], name)
        except AttributeError as error:
            text = str(error)
            if f"{name!r}: " in text:
                raise ImportError(text, name=fullname) from None
        return None


def advise() -> None:
    """Has imports below `quantray` answered; a second time changes nothing."""
    if Advisor not in sys.meta_path:
        sys.meta_path.append(Advisor)
