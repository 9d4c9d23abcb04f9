"""What a model returns, sample by sample: a mean of cosines hides the one that is far off."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from quantray._typing import Floats, Ints
from quantray.graph._trees import is_array
from quantray.quantization._batches import is_floats

#: So many rows are kept, to look for neighbours among.
_MOST = 4096


class Agreement(NamedTuple):
    """How alike the rows are that two models return."""

    samples: int
    mean_cosine: float
    least_cosine: float
    #: Numbers of the samples with the least cosines, worst first.
    worst: tuple[int, ...]
    #: The share of rows whose nearest other row is the same one; None for fewer than three rows.
    neighbours: float | None
    #: The share of rows whose largest element is the same one.
    top1: float


class Rows:
    """Rows of outputs while batches pass."""

    def __init__(self) -> None:
        self._exact: list[Floats] = []
        self._other: list[Floats] = []
        self._kept = self.samples = 0
        self._sum = 0.0
        self._same = 0
        self._worst: list[tuple[float, int]] = []

    def add(self, exact: object, other: object) -> None:
        """Takes in what both models return, where that is one array of rows."""
        if not (is_floats(exact) and is_array(other)) or exact.ndim < 2 or exact.shape != other.shape:
            return
        a = exact.reshape(len(exact), -1).astype(np.float64)
        b = other.reshape(len(other), -1).astype(np.float64)
        norms = np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1)
        # What has become 0 has no direction any more; two zeros agree.
        cosines = np.where(norms > 0, (a * b).sum(axis=1) / np.where(norms > 0, norms, 1), 0.0)
        cosines[(a == b).all(axis=1)] = 1.0
        self._sum += float(cosines.sum())
        self._same += int((a.argmax(axis=1) == b.argmax(axis=1)).sum())
        found = [(float(c), self.samples + i) for i, c in enumerate(cosines)]
        self._worst = sorted([*self._worst, *found])[:5]
        self.samples += len(a)
        if self._kept < _MOST and a.shape[1] <= 4096:
            room = _MOST - self._kept
            self._exact.append(a[:room].astype(np.float32))
            self._other.append(b[:room].astype(np.float32))
            self._kept += len(self._exact[-1])

    def result(self) -> Agreement | None:
        """The agreement; None where there are no rows."""
        if not self.samples:
            return None
        return Agreement(
            self.samples,
            self._sum / self.samples,
            self._worst[0][0],
            tuple(i for _, i in self._worst),
            self._neighbours(),
            self._same / self.samples,
        )

    def _neighbours(self) -> float | None:
        if self._kept < 3:
            return None
        found: list[Ints] = []
        for rows in (self._exact, self._other):
            all_ = np.concatenate(rows)
            all_ = all_ / np.maximum(np.linalg.norm(all_, axis=1, keepdims=True), 1e-30)
            nearest: list[Ints] = []
            for start in range(0, len(all_), 512):
                near = all_[start : start + 512] @ all_.T
                near[np.arange(len(near)), start + np.arange(len(near))] = -np.inf
                nearest.append(near.argmax(axis=1))
            found.append(np.concatenate(nearest))
        return float((found[0] == found[1]).mean())
