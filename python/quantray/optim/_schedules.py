"""Schedules: learning rates by the number of the update, from 0. They pickle."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing import TypeAlias

    #: From the number of the update, from 0, to a learning rate.
    Schedule: TypeAlias = Callable[[int], float]


def _check_rate(name: str, value: float) -> None:
    if not (math.isfinite(value) and value >= 0):
        raise ValueError(f"{name} must be at least 0, got {value}")


def _check_steps(name: str, value: int) -> None:
    if value < 1:
        raise ValueError(f"{name} must be at least 1, got {value}")


@dataclass(frozen=True)
class _Cosine:
    init: float
    decay_steps: int
    end: float

    def __call__(self, step: int) -> float:
        part = min(step, self.decay_steps) / self.decay_steps
        return self.end + (self.init - self.end) * (1 + math.cos(math.pi * part)) / 2


@dataclass(frozen=True)
class _Steps:
    init: float
    decay_rate: float
    step_size: int

    def __call__(self, step: int) -> float:
        return self.init * self.decay_rate ** (step // self.step_size)


@dataclass(frozen=True)
class _Line:
    init: float
    end: float
    steps: int

    def __call__(self, step: int) -> float:
        return self.init + (self.end - self.init) * min(step, self.steps) / self.steps


@dataclass(frozen=True)
class _Joined:
    schedules: tuple[Schedule, ...]
    boundaries: tuple[int, ...]

    def __call__(self, step: int) -> float:
        passed = sum(step >= b for b in self.boundaries)
        return self.schedules[passed](step - self.boundaries[passed - 1] if passed else step)


def cosine_decay(init: float, decay_steps: int, end: float = 0.0) -> Schedule:
    """From `init` down to `end` along half a cosine, in `decay_steps` updates; then `end`.

    >>> from quantray import optim
    >>> rate = optim.cosine_decay(0.1, 100)
    >>> [round(rate(step), 6) for step in (0, 50, 100, 200)]
    [0.1, 0.05, 0.0, 0.0]

    Source: `mlx.optimizers.cosine_decay`; Loshchilov and Hutter 2017, equation 5.
    """
    _check_rate("init", init)
    _check_rate("end", end)
    _check_steps("decay_steps", decay_steps)
    return _Cosine(init, decay_steps, end)


def step_decay(init: float, decay_rate: float, step_size: int) -> Schedule:
    """`init`, multiplied by `decay_rate` after every `step_size` updates.

    >>> from quantray import optim
    >>> rate = optim.step_decay(1.0, 0.5, 10)
    >>> [rate(step) for step in (0, 9, 10, 20)]
    [1.0, 1.0, 0.5, 0.25]

    Source: `mlx.optimizers.step_decay`; `torch.optim.lr_scheduler.StepLR`.
    """
    _check_rate("init", init)
    _check_rate("decay_rate", decay_rate)
    _check_steps("step_size", step_size)
    return _Steps(init, decay_rate, step_size)


def linear_schedule(init: float, end: float, steps: int) -> Schedule:
    """From `init` to `end` in equal parts, in `steps` updates; then `end`. From 0 it is a warm-up.

    >>> from quantray import optim
    >>> warmup = optim.linear_schedule(0.0, 1.0, 4)
    >>> [warmup(step) for step in (0, 1, 4, 9)]
    [0.0, 0.25, 1.0, 1.0]

    Source: `mlx.optimizers.linear_schedule`.
    """
    _check_rate("init", init)
    _check_rate("end", end)
    _check_steps("steps", steps)
    return _Line(init, end, steps)


def join_schedules(schedules: Sequence[Schedule], boundaries: Sequence[int]) -> Schedule:
    """Schedules one after the other, each counting from its own boundary.

    >>> from quantray import optim
    >>> rate = optim.join_schedules([optim.linear_schedule(0.0, 1.0, 4), optim.cosine_decay(1.0, 10)], [4])
    >>> [rate(step) for step in (0, 2, 4, 14)]
    [0.0, 0.5, 1.0, 0.0]

    Source: `mlx.optimizers.join_schedules`.
    """
    if not schedules or len(boundaries) != len(schedules) - 1:
        raise ValueError(
            f"boundaries must be one fewer than schedules, {len(schedules)}, got {len(boundaries)}"
        )
    if any(a >= b for a, b in zip((0, *boundaries), boundaries, strict=False)):
        raise ValueError(f"boundaries must be above 0 and increase, got {tuple(boundaries)}")
    return _Joined(tuple(schedules), tuple(boundaries))
