"""Grids whose numbers are not evenly spaced: lists of values, and powers of two."""

from __future__ import annotations

import numpy as np

from quantray._typing import Array, ArrayLike, Floats
from quantray.grids._grid import NAMED
from quantray.grids._rounding import RoundingFunction


class Codebook:
    """A list of values; each number becomes the nearest one.

    Parameters
    ----------
    values : array
        From 2 to 65,536 finite numbers, of which no two are equal.
    name : str, optional
        What it is printed as.

    >>> import quantray as qt
    >>> thirds = qt.grids.Codebook([-1, -1 / 3, 1 / 3, 1])
    >>> thirds.bits, qt.quantize_per_group([[0.5, 3.0]], 2, grid=thirds).tolist()
    (2, [[1.0, 3.0]])
    """

    def __init__(self, values: ArrayLike, name: str = "") -> None:
        found = np.asarray(values, np.float32)
        if found.ndim != 1 or not 2 <= found.size <= 2**16 or not np.isfinite(found).all():
            raise ValueError(
                f"values must be a list of 2 to 65536 finite numbers, got an array of shape {found.shape}"
            )
        self.values = np.unique(found)
        if self.values.size != found.size:
            raise ValueError("values must not be equal to one another, got some that are")
        if not np.abs(self.values).max() > 0:
            raise ValueError("values must not all be 0")
        self.values.flags.writeable = False
        self.bits = max(int(self.values.size - 1).bit_length(), 1)
        self.largest = float(np.abs(self.values).max())
        self.name = name or f"codebook of {self.values.size}"

    def encode(self, x: ArrayLike, rounding: RoundingFunction) -> Array:
        """Places in the list, from the least value up.

        Where a number lies between two neighbours, `rounding` decides: of the way from one to the other.
        """
        x = np.asarray(x, np.float32)
        low = np.clip(np.searchsorted(self.values, x, side="right") - 1, 0, self.values.size - 2)
        below, above = self.values[low], self.values[low + 1]
        way = np.clip((x - below) / (above - below), np.float32(0), np.float32(1))
        return low + np.clip(rounding(way), 0, 1).astype(np.int64)

    def decode(self, codes: ArrayLike) -> Floats:
        """The values at these places."""
        return self.values[np.minimum(np.asarray(codes, np.int64), self.values.size - 1)]

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Codebook) and np.array_equal(self.values, other.values)

    def __hash__(self) -> int:
        return hash(self.values.tobytes())

    def __repr__(self) -> str:
        return self.name


class PowerOfTwo(Codebook):
    """0, and powers of two of either sign: products with them are shifts.

    Parameters
    ----------
    bits : int
        From 2 to 8: the largest value is 1, and there are `2**(bits - 1) - 1` powers from it down.

    >>> import quantray as qt
    >>> qt.grids.PowerOfTwo(3).values.tolist()
    [-1.0, -0.5, -0.25, 0.0, 0.25, 0.5, 1.0]

    Source: Zhou et al., Incremental Network Quantization (2017).
    """

    def __init__(self, bits: int) -> None:
        if isinstance(bits, bool) or not isinstance(bits, (int, np.integer)) or not 2 <= bits <= 8:  # pyright: ignore
            raise ValueError(f"bits must be a whole number from 2 to 8, got {bits!r}")
        powers = np.array([2.0**-i for i in range(2 ** (int(bits) - 1) - 1)])
        super().__init__(np.concatenate([-powers, [0], powers[::-1]]), f"pow2_{int(bits)}")


#: The 16 values of which each is met equally often in normally distributed weights.
#: Source: Dettmers et al., QLoRA (2023), appendix E.
nf4 = Codebook(
    [
        -1.0,
        -0.6961928009986877,
        -0.5250730514526367,
        -0.39491748809814453,
        -0.28444138169288635,
        -0.18477343022823334,
        -0.09105003625154495,
        0.0,
        0.07958029955625534,
        0.16093020141124725,
        0.24611230194568634,
        0.33791524171829224,
        0.44070982933044434,
        0.5626170039176941,
        0.7229568362236023,
        1.0,
    ],
    "nf4",
)

NAMED["nf4"] = nf4
for _bits in range(2, 9):
    _made = PowerOfTwo(_bits)
    NAMED[_made.name] = _made
