"""What a command gives back."""

from __future__ import annotations

import math
from typing import NamedTuple, cast


class Result(NamedTuple):
    """What `--json` prints, and the code that the command ends with."""

    shown: dict[str, object]
    code: int = 0


def as_json(value: object) -> object:
    """The same for JSON, which has no infinity and no NaN: they are null."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {key: as_json(each) for key, each in cast("dict[str, object]", value).items()}
    if isinstance(value, list | tuple):
        return [as_json(each) for each in cast("list[object]", value)]
    return value
