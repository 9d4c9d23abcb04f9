"""What is kept of errors and of ranges while batches pass: no more for many batches than for one."""

from __future__ import annotations

import math

import numpy as np

from quantray._typing import Array, Floats, Ints
from quantray.nn.quantized import Grid


def decibels(signal: float, noise: float) -> float:
    """The ratio of two energies, in dB; infinite where there is no noise at all."""
    if noise == 0:
        return math.inf
    return -math.inf if signal == 0 else 10 * math.log10(signal / noise)


def rows_of(array: Array, count: int | None) -> Array:
    """An array with one row for each sample; with one row where its first axis is not that of samples."""
    if array.ndim == 0 or array.shape[0] != count:
        return array.reshape(1, -1)
    return array.reshape(array.shape[0], -1)


class Errors:
    """How far values are from exact ones: energies, added up in float64, and the worst sample.

    >>> import numpy as np
    >>> from quantray.analysis._statistics import Errors
    >>> errors = Errors()
    >>> errors.add(np.float32([[1, 0], [0, 2]]), np.float32([[1, 0.1], [0, 2]]), 2)
    >>> round(errors.sqnr, 2), round(errors.most, 2), errors.worst[1]
    (26.99, 0.1, 0)
    """

    def __init__(self) -> None:
        self.signal = self.noise = self.product = self.most = 0.0
        #: SQNR of the worst sample, and its number.
        self.worst: tuple[float, int | None] = (math.inf, None)
        self._samples = 0

    def add(self, exact: Array, other: Array, count: int | None) -> None:
        """Takes in values of `count` samples."""
        y = rows_of(np.asarray(exact, np.float32), count)
        error = rows_of(np.asarray(other, np.float32), count) - y
        signal = np.einsum("ij,ij->i", y, y, dtype=np.float64)
        noise = np.einsum("ij,ij->i", error, error, dtype=np.float64)
        self.signal += float(signal.sum())
        self.noise += float(noise.sum())
        self.product += float(np.einsum("ij,ij->", y, error, dtype=np.float64))
        if error.size:
            self.most = max(self.most, float(np.abs(error).max()))
        if len(y) == count:
            with np.errstate(divide="ignore", invalid="ignore"):
                ratio = np.where(noise > 0, signal / noise, np.inf)
            at = int(ratio.argmin())
            found = decibels(float(signal[at]), float(noise[at]))
            if found < self.worst[0]:
                self.worst = found, self._samples + at
            self._samples += len(y)

    @property
    def sqnr(self) -> float:
        """Signal to quantization noise, in dB: infinite where nothing differs."""
        return decibels(self.signal, self.noise)

    @property
    def cosine(self) -> float:
        """The cosine between exact and other values, all of them as one vector."""
        other = self.signal + 2 * self.product + self.noise
        if self.signal == 0 or other <= 0:
            return 1.0 if self.noise == 0 else 0.0
        return min(1.0, (self.signal + self.product) / math.sqrt(self.signal * other))


class Range:
    """The range of what is on a wire: of all, of each channel, and of the sample that goes furthest.

    Parameters
    ----------
    axis : int, optional
        That of the channels; None keeps the range of all alone.
    """

    def __init__(self, axis: int | None) -> None:
        self._axis = axis
        self.low, self.high = math.inf, -math.inf
        #: By channel the largest magnitude.
        self.channels: Floats | None = None
        #: The two largest magnitudes of samples, the number of the first, and a histogram of all by halves
        #: of powers of two.
        self.first, self.second, self.sample = 0.0, 0.0, None
        self._sizes = np.zeros(512, np.int64)
        self._samples = 0

    def add(self, values: Array, count: int | None) -> None:
        """Takes in values of `count` samples."""
        x = np.asarray(values, np.float32)
        if x.size == 0:
            return
        self.low, self.high = min(self.low, float(x.min())), max(self.high, float(x.max()))
        size = np.abs(x)
        if self._axis is not None and x.ndim > 1:
            axis = self._axis % x.ndim
            found = size.max(axis=tuple(i for i in range(x.ndim) if i != axis))
            if self.channels is None or len(self.channels) != len(found):
                self.channels = found
            else:
                self.channels = np.maximum(self.channels, found)
        if x.ndim and len(x) == count:
            self._add_samples(rows_of(size, count).max(axis=1))

    def _add_samples(self, most: Floats) -> None:
        for i in np.argsort(-most)[:2]:
            value = float(most[i])
            if value > self.first:
                self.second, self.first, self.sample = self.first, value, self._samples + int(i)
            else:
                self.second = max(self.second, value)
        self._samples += len(most)
        with np.errstate(divide="ignore"):
            bins = np.clip(np.nan_to_num(np.floor(2 * np.log2(most)) + 256, neginf=0), 0, 511)
        self._sizes += np.bincount(bins.astype(np.int64), minlength=512)

    @property
    def usual(self) -> float:
        """The median of the samples' largest magnitudes, to a factor of 1.2 or so."""
        if self._samples == 0:
            return 0.0
        at = int(np.searchsorted(np.cumsum(self._sizes), (self._samples + 1) // 2))
        return float(2.0 ** ((at - 256 + 0.5) / 2))

    @property
    def is_set_by_one(self) -> bool:
        """Whether one sample among many has made the range what it is."""
        return self._samples >= 8 and self.first > 3 * self.usual and self.first > 1.5 * self.second

    def outliers(self, least: float = 10.0) -> tuple[float, tuple[int, ...]]:
        """The largest channel beside the median one, and the numbers of those that are as far out."""
        if self.channels is None or len(self.channels) < 4:
            return 1.0, ()
        used = self.channels[self.channels > 0]
        if used.size < 4:
            return 1.0, ()
        middle = float(np.median(used))
        order = np.argsort(-self.channels)
        far = [int(i) for i in order if self.channels[i] > least * middle]
        return float(self.channels.max()) / middle, tuple(far)


class Codes:
    """Which codes of a grid are used, and what of an error is clipping."""

    def __init__(self, grid: Grid) -> None:
        self.grid = grid
        self._counts = np.zeros(256, np.int64)
        self.clipped = self.total = 0
        #: Energies: of what is beyond the grid, and of all.
        self.clipping = self.squares = 0.0

    def add(self, exact: Array, codes: Array) -> None:
        """Takes in exact values of a wire, and what they are on the grid."""
        grid = self.grid
        self._counts += np.bincount(np.asarray(codes).reshape(-1).view(np.uint8), minlength=256)
        y = np.asarray(exact, np.float32)
        low = grid.scale * (grid.quant_min - grid.zero_point)
        high = grid.scale * (grid.quant_max - grid.zero_point)
        inside = np.clip(y, low, high)
        # Half a step beyond the last code is rounding still.
        over = np.abs(y - inside)
        is_out = over > grid.scale / 2
        error = y - grid.scale * (np.asarray(codes, np.float32) - grid.zero_point)
        self.clipped += int(is_out.sum())
        self.total += y.size
        square = np.einsum("i,i->", error.reshape(-1), error.reshape(-1), dtype=np.float64)
        cut = error[is_out]
        self.clipping += float(np.dot(cut.astype(np.float64), cut))
        self.squares += float(square)

    @property
    def used(self) -> int:
        """How many codes were used."""
        return int((self._counts > 0).sum())

    @property
    def bulk(self) -> int:
        """How many codes the values between the 0.5th and the 99.5th percentile lie on."""
        order: Array = np.arange(256, dtype=np.uint8).view(
            np.int8 if self.grid.dtype == "qint8" else np.uint8
        )
        counts = self._counts[np.argsort(order)]
        total: Ints = np.cumsum(counts)
        if total[-1] == 0:
            return 0
        low, high = (int(np.searchsorted(total, share * float(total[-1]))) for share in (0.005, 0.995))
        return high - low + 1

    @property
    def has(self) -> int:
        """How many codes there are."""
        return self.grid.quant_max - self.grid.quant_min + 1

    @property
    def clipping_share(self) -> float:
        """The share of the error's energy that values beyond the grid have."""
        return self.clipping / self.squares if self.squares else 0.0
