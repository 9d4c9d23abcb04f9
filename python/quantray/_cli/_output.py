"""Where a command writes: asked before the work, and written as a whole."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from quantray import _core
from quantray._cli._errors import Usage

if TYPE_CHECKING:
    from quantray._typing import Array


def check_output(path: str, *read: str | None, ending: str = "") -> None:
    """Raises for a file that cannot be written, or that the command reads; before the work, not after it."""
    folder = os.path.dirname(os.path.abspath(path))
    if not os.path.isdir(folder) or not os.access(folder, os.W_OK):
        raise Usage(f"--output must be in a folder that can be written to, got {path}")
    if os.path.isdir(path):
        raise Usage(f"--output must be a file, got the folder {path}")
    if not path.endswith(ending):
        raise Usage(f"--output must end in {ending}, got {path}")
    for each in read:
        if each and os.path.exists(each) and os.path.exists(path) and os.path.samefile(each, path):
            raise Usage(f"--output must be another file than {each}, which is read")


def save_arrays(path: str, arrays: Mapping[str, Array]) -> None:
    """Writes an .npz, which takes its place once it is complete, with an old one's mode and through links.

    Raises
    ------
    OSError
        Where there is no room for it; what was there before is still there.
    """

    def write(part: os.PathLike[str]) -> None:
        with open(part, "wb") as file:
            # NumPy takes one name for itself, which no output has.
            np.savez(file, **arrays)  # pyright: ignore[reportArgumentType]

    _core._replace_file(path, write)
