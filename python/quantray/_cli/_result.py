"""What a command gives back."""

from __future__ import annotations

from typing import NamedTuple


class Result(NamedTuple):
    """What `--json` prints, and the code that the command ends with."""

    shown: dict[str, object]
    code: int = 0
