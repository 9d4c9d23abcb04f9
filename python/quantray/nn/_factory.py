"""Checks of constructors' arguments: lengths, and torch's `device` and `dtype`, one of each."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import numpy as np

if TYPE_CHECKING:
    from quantray._typing import DTypeLike


def check_sizes(**sizes: object) -> None:
    """Raises for what is no length of at least 1.

    Raises
    ------
    ValueError
        It names the argument.
    """
    for name, size in sizes.items():
        if isinstance(size, bool) or not isinstance(size, (int, np.integer)) or size < 1:
            raise ValueError(f"{name} must be a whole number of at least 1, got {size!r}")


def check_factory(device: object, dtype: object) -> None:
    """Raises for another device than the CPU, and for another dtype than float32.

    Raises
    ------
    ValueError
        It names the argument and what is valid.
    """
    if device is not None and str(device).partition(":")[0] != "cpu":
        raise ValueError(f'device must be "cpu", the only one, or None, got {device!r}')
    if dtype is not None:
        try:
            is_float32 = np.dtype(cast("DTypeLike", dtype)) == np.float32
        except TypeError:
            is_float32 = str(dtype) == "torch.float32"
        if not is_float32:
            raise ValueError(f"dtype must be float32 or None, got {dtype!r}")
