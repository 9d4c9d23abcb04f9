"""Integers of 1 to 16 bits, signed or not."""

from __future__ import annotations

import numpy as np

from quantray._typing import Array, ArrayLike, DType, Floats
from quantray.grids._grid import NAMED
from quantray.grids._rounding import RoundingFunction


class Integers:
    """Whole numbers; with zero points, any range of them.

    Parameters
    ----------
    bits : int
        From 1 to 16.
    signed : bool
        Whether codes are from `-2**(bits - 1)`, or from 0.

    >>> import quantray as qt
    >>> qt.grids.int4, qt.grids.int4.qmin, qt.grids.int4.qmax
    (int4, -8, 7)
    >>> qt.grids.Integers(5).qmax
    15
    """

    def __init__(self, bits: int, signed: bool = True) -> None:
        if isinstance(bits, bool) or not isinstance(bits, (int, np.integer)) or not 1 <= bits <= 16:  # pyright: ignore
            raise ValueError(f"bits must be a whole number from 1 to 16, got {bits!r}")
        self.bits, self.is_signed = int(bits), bool(signed)

    @property
    def name(self) -> str:
        """Its name: "int4"."""
        return f"{'' if self.is_signed else 'u'}int{self.bits}"

    @property
    def qmin(self) -> int:
        """The smallest code."""
        return -(2 ** (self.bits - 1)) if self.is_signed else 0

    @property
    def qmax(self) -> int:
        """The largest code."""
        return self.qmin + 2**self.bits - 1

    @property
    def largest(self) -> float:
        """Half of the range: what the largest magnitude becomes where there are no zero points."""
        return (self.qmax - self.qmin) / 2

    @property
    def numpy_dtype(self) -> DType:
        """NumPy's dtype of unpacked codes."""
        return np.dtype(f"{'' if self.is_signed else 'u'}int{8 if self.bits <= 8 else 16}")

    def encode(self, x: Array, rounding: RoundingFunction) -> Array:
        """Codes, counted from the smallest one."""
        return np.clip(rounding(x), self.qmin, self.qmax) - self.qmin

    def decode(self, codes: ArrayLike) -> Floats:
        """What codes stand for."""
        return np.asarray(codes, np.float32) + np.float32(self.qmin)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Integers) and self.name == other.name

    def __hash__(self) -> int:
        return hash(self.name)

    def __repr__(self) -> str:
        return self.name


for _bits in range(1, 17):
    for _signed in (True, False):
        _made = Integers(_bits, _signed)
        NAMED[_made.name] = _made

int2, int3, int4 = Integers(2), Integers(3), Integers(4)
int8, int16 = Integers(8), Integers(16)
uint2, uint3, uint4 = Integers(2, False), Integers(3, False), Integers(4, False)
uint8, uint16 = Integers(8, False), Integers(16, False)
for _made in (int2, int3, int4, int8, int16, uint2, uint3, uint4, uint8, uint16):
    NAMED[_made.name] = _made
