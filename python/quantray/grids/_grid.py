"""What a grid is, and which ones have names."""

from __future__ import annotations

from numbers import Real
from typing import Protocol, cast, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from quantray._typing import Array
from quantray.grids._rounding import RoundingFunction


@runtime_checkable
class Grid(Protocol):
    """The numbers that codes stand for, next to a scale; see `quantray.grids` for what each member means."""

    @property
    def bits(self) -> int:
        """How many bits a code has."""
        ...

    @property
    def largest(self) -> float:
        """The largest magnitude that a code stands for."""
        ...

    def encode(self, x: Array, rounding: RoundingFunction) -> Array:
        """Codes from 0 to `2**bits - 1` of values divided by their scale."""
        ...

    def decode(self, codes: Array) -> Array:
        """What codes stand for, float32."""
        ...


_MEMBERS = {
    "bits": "how many bits a code has, from 1 to 16",
    "largest": "the largest magnitude that a code stands for",
    "encode": "encode(x, rounding): codes of values divided by their scale",
    "decode": "decode(codes): what codes stand for",
}

#: Grids by name, in the order in which they were made.
NAMED: dict[str, Grid] = {}


def check_grid(grid: object, name: str = "grid") -> Grid:
    """A grid, which has all that one needs.

    Raises
    ------
    TypeError
        It names the member that is missing, and says what it is for.
    ValueError
        For bits that no code has, or a largest value that no scale can be made of.

    >>> import quantray as qt
    >>> qt.grids.check_grid(3)
    Traceback (most recent call last):
    TypeError: grid must have bits: how many bits a code has, from 1 to 16; int has none
    """
    for member, what in _MEMBERS.items():
        if not hasattr(grid, member) or (
            member in ("encode", "decode") and not callable(getattr(grid, member))
        ):
            raise TypeError(f"{name} must have {member}: {what}; {_kind(grid)} has none")
    found = cast("Grid", grid)
    bits = cast("object", found.bits)
    if isinstance(bits, bool) or not isinstance(bits, (int, np.integer)) or not 1 <= bits <= 16:
        raise ValueError(f"{name} must have bits from 1 to 16, got {bits!r}")
    largest = cast("object", found.largest)
    if not isinstance(largest, Real) or not 0 < float(largest) < np.inf:
        raise ValueError(f"{name} must have a largest value that is positive and finite, got {largest!r}")
    return found


def _kind(grid: object) -> str:
    return grid.__name__ if isinstance(grid, type) else type(grid).__name__


def named_grid(grid: Grid | str) -> Grid:
    """A grid from itself, or from its name.

    >>> import quantray as qt
    >>> qt.grids.named_grid("int4") is qt.grids.int4
    True

    Raises
    ------
    ValueError
        There is none of this name; the names are listed.
    """
    if isinstance(grid, str):
        if grid not in NAMED:
            raise ValueError(f"grid must be one of {', '.join(NAMED)}, or a grid of your own, got {grid!r}")
        return NAMED[grid]
    return check_grid(grid)


def checked_codes(grid: Grid, codes: Array, shape: tuple[int, ...]) -> NDArray[np.uint16]:
    """Codes that a grid gave, as uint16.

    Raises
    ------
    ValueError
        For codes of another shape, or that do not fit its bits.
    """
    found = np.asarray(codes)
    if found.shape != shape:
        raise ValueError(f"{_kind(grid)}.encode must give codes of shape {shape}, got {found.shape}")
    if found.size and not 0 <= found.min() <= found.max() < 2**grid.bits:
        raise ValueError(
            f"{_kind(grid)}.encode must give codes from 0 to {2**grid.bits - 1}, "
            f"got {found.min()} to {found.max()}"
        )
    return found.astype(np.uint16)
