"""From numbers to whole numbers: to the nearest, down, away from 0, or by chance."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TypeAlias, overload

import numpy as np

from quantray._random import generator
from quantray._typing import Array, ArrayLike, Floats

#: What makes whole numbers of floats.
RoundingFunction: TypeAlias = Callable[[Array], Array]


def _half_away(x: Array) -> Array:
    # Of the fraction, since adding a half would carry what is just below one.
    whole = np.trunc(x)
    return whole + np.where(np.abs(x - whole) >= 0.5, np.copysign(np.float32(1), x), np.float32(0))


_NAMED: dict[str, RoundingFunction] = {"nearest": np.rint, "floor": np.floor, "half_away": _half_away}


class Stochastic:
    """Rounding by chance: up as often as the fraction says, so that the mean is the number itself.

    Random numbers are counter-based: that of an element depends on the seed, on how many calls there were,
    and on the element's place, and on nothing else: neither on threads nor on how work is split.

    Parameters
    ----------
    seed : int
        At least 0.

    Attributes
    ----------
    calls : int
        How many arrays were rounded; set it back to repeat them.

    >>> import numpy as np, quantray as qt
    >>> rounding = qt.grids.Stochastic(0)
    >>> bool(abs(rounding(np.full(10_000, 0.25, np.float32)).mean() - 0.25) < 0.02)
    True

    Source: Gupta et al., Deep Learning with Limited Numerical Precision (2015); the numbers are Philox's,
    Salmon et al., Parallel Random Numbers: As Easy as 1, 2, 3 (2011).
    """

    def __init__(self, seed: int) -> None:
        if isinstance(seed, bool) or not isinstance(seed, (int, np.integer)) or not 0 <= seed < 2**64:  # pyright: ignore
            raise ValueError(f"seed must be a whole number from 0 to 2**64 - 1, got {seed!r}")
        self.seed, self.calls = int(seed), 0
        self._lock = threading.Lock()

    def __getstate__(self) -> dict[str, int]:
        return {"seed": self.seed, "calls": self.calls}

    def __setstate__(self, state: dict[str, int]) -> None:
        self.seed, self.calls = state["seed"], state["calls"]
        self._lock = threading.Lock()

    def __call__(self, x: ArrayLike) -> Floats:
        """Whole numbers, float32, of the input's shape."""
        values = np.asarray(x, np.float32)
        chance = self.uniform(self.take_call()[1], values.size).reshape(values.shape)
        below = np.floor(values)
        return below + (chance < values - below)

    def take_call(self) -> tuple[int, int]:
        """The seed, and the number of the call that asks: what a call's random numbers depend on."""
        with self._lock:
            call, self.calls = self.calls, self.calls + 1
        return self.seed, call

    def uniform(self, call: int, count: int) -> Floats:
        """The numbers of a call, float32, from 0 up to 1: as many as there are elements."""
        raw = np.random.Philox(key=self.seed + (call << 64)).random_raw(count)
        return (raw >> np.uint64(40)).astype(np.float32) * np.float32(2.0**-24)

    def __repr__(self) -> str:
        return f"Stochastic({self.seed})"


@overload
def rounding_function(rounding: str) -> Callable[[ArrayLike], Array]: ...
@overload
def rounding_function(rounding: RoundingFunction) -> RoundingFunction: ...
def rounding_function(rounding: str | RoundingFunction) -> RoundingFunction:
    """What rounds: from a name, or a function of one's own.

    Parameters
    ----------
    rounding : str or callable
        "nearest" (half to even), "floor", "half_away", "stochastic" (its seed from `quantray.manual_seed`);
        `Stochastic(seed)`; or a function from float32 arrays to whole numbers.

    Raises
    ------
    ValueError
        For another name.

    >>> import quantray as qt
    >>> qt.grids.rounding_function("half_away")([0.5, -0.5, 1.4]).tolist()
    [1.0, -1.0, 1.0]
    """
    if isinstance(rounding, str):
        if rounding == "stochastic":
            return Stochastic(int(generator().integers(2**63)))
        if rounding in _NAMED:
            named = _NAMED[rounding]
            return lambda x: named(np.asarray(x, np.float32))
    elif callable(rounding):
        return rounding
    valid = ", ".join(map(repr, (*_NAMED, "stochastic")))
    raise ValueError(f"rounding must be one of {valid}, Stochastic(seed), or a function, got {rounding!r}")


def whole_steps(
    rounding: RoundingFunction, x: Floats, scales: Floats, before: Floats | None, axis: int | None
) -> Array:
    """What a function of one's own makes of steps; `before` are zero points that are added before it."""
    shape = [1] * x.ndim
    if axis is not None:
        shape[axis] = -1
    with np.errstate(over="ignore"):
        steps = x * (np.float32(1) / scales.reshape(shape))
    # Beyond all codes, and finite: functions of rounding need not know of infinities.
    steps = np.clip(steps, np.float32(-(2.0**40)), np.float32(2.0**40))
    if before is not None:
        steps = steps + before.reshape(shape)
    whole = np.asarray(rounding(steps))
    if whole.shape != x.shape:
        raise ValueError(f"rounding must give an array of shape {x.shape}, got {whole.shape}")
    return whole
