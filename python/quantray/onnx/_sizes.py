"""Sizes that files ask for, looked at before there is memory of them."""

from __future__ import annotations

import math
from collections.abc import Sequence

#: Bytes that no array has here: 1 TiB.
_MOST = 2**40


def check_size(shape: Sequence[int], itemsize: int) -> None:
    """Whether an array of a shape can be at all; what is only too much for this machine is a MemoryError.

    Raises
    ------
    ValueError
        It is beyond every machine: a mistake of the file, or an attack.
    """
    if math.prod(shape) * itemsize > _MOST:
        raise ValueError(f"an array of shape {tuple(shape)} is more than any memory holds")
