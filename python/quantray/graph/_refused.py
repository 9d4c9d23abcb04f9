"""Code that cannot become nodes, and where it stands."""

from __future__ import annotations

import os
import sys

import numpy as np

import quantray
from quantray.graph._graph import Place

#: Code that is not the model's own: lines are looked for beyond it.
_NOT_THE_MODELS = tuple(
    os.path.dirname(os.path.abspath(module.__file__ or "")) + os.sep for module in (quantray, np)
)
_SCIPY = f"{os.sep}site-packages{os.sep}scipy{os.sep}"


class Refused(TypeError):
    """Code that cannot become nodes, with file and line."""

    def __init__(self, reason: str, at: Place) -> None:
        super().__init__(f"{at}: {reason}")
        self.reason, self.at = reason, at


def where() -> Place:
    """The line of the model's code that is running."""
    frame = sys._getframe(1)
    while frame is not None:
        file = frame.f_code.co_filename
        if not file.startswith((*_NOT_THE_MODELS, "<__array_function__", "<frozen")) and _SCIPY not in file:
            return Place(file, frame.f_lineno)
        frame = frame.f_back  # type: ignore[assignment]
    return Place("?", 0)
