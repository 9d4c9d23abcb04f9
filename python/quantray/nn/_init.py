"""How parameters begin: torch's distributions, from one generator that can be seeded."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from quantray._random import generator

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt


def uniform(shape: Sequence[int], bound: float) -> npt.NDArray[np.float32]:
    """Numbers from -bound to bound."""
    return generator().uniform(-bound, bound, tuple(shape)).astype(np.float32)


def normal(shape: Sequence[int], mean: float = 0.0, std: float = 1.0) -> npt.NDArray[np.float32]:
    """Normally distributed numbers."""
    return generator().normal(mean, std, tuple(shape)).astype(np.float32)


def fan_in(weight: Any) -> int:
    """How many inputs one output of a weight has: all axes but the first."""
    return math.prod(weight.shape[1:])


def kaiming_uniform(shape: Sequence[int]) -> npt.NDArray[np.float32]:
    """A weight as torch's Linear and convolutions begin, from -1 / sqrt(fan_in) to 1 / sqrt(fan_in).

    Source: `torch.nn.init.kaiming_uniform_` with `a=sqrt(5)`.
    """
    return uniform(shape, 1 / math.sqrt(max(math.prod(shape[1:]), 1)))


def bias_for(weight: Any, length: int) -> npt.NDArray[np.float32]:
    """A bias as torch's Linear and convolutions begin."""
    return uniform((length,), 1 / math.sqrt(max(fan_in(weight), 1)))


def xavier_uniform(shape: Sequence[int]) -> npt.NDArray[np.float32]:
    """A matrix from -sqrt(6 / (fan_in + fan_out)) to sqrt(6 / (fan_in + fan_out)).

    Source: `torch.nn.init.xavier_uniform_`.
    """
    return uniform(shape, math.sqrt(6 / max(sum(shape), 1)))
