"""How parameters begin: torch's distributions, from one generator that can be seeded.

While a file's modules are rebuilt, their parameters begin as zeros, and no more of them than the file has
numbers for: what it says of lengths is not to be trusted before it is compared to its tensors.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Generator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import numpy as np

from quantray._random import generator

if TYPE_CHECKING:
    from collections.abc import Sequence

    from quantray._typing import Array, DTypeLike, Floats


class _Rebuilding(threading.local):
    """How many numbers this thread may still make parameters of; None where modules are made as usual."""

    left: int | None = None


_rebuilding = _Rebuilding()


@contextmanager
def rebuilding(numbers: int) -> Generator[None]:
    """As long as this lasts, modules made on this thread begin as zeros, of so many numbers in all.

    More of them are a ValueError, before there is memory for them.
    """
    before, _rebuilding.left = _rebuilding.left, numbers
    try:
        yield
    finally:
        _rebuilding.left = before


def is_rebuilding() -> bool:
    """Whether modules are rebuilt, and get their parameters from a file."""
    return _rebuilding.left is not None


def sized(shape: Sequence[int]) -> tuple[int, ...]:
    """A shape that there may be a parameter of."""
    lengths = tuple(shape)
    if _rebuilding.left is not None:
        if not all(isinstance(n, int) and n >= 0 for n in lengths):  # pyright: ignore[reportUnnecessaryIsInstance] # a file's
            raise ValueError(f"lengths must be whole numbers of at least 0, got {lengths}")
        # An empty one counts by its other lengths, which scales may lie along, and at all.
        _rebuilding.left -= math.prod(max(n, 1) for n in lengths)
        if _rebuilding.left < 0:
            raise ValueError(f"a parameter of shape {lengths} is larger than all that the file holds")
    return lengths


def zeros(shape: Sequence[int], dtype: DTypeLike = np.float32) -> Array:
    """A parameter of zeros."""
    return np.zeros(sized(shape), dtype)


def full(shape: Sequence[int], value: float) -> Floats:
    """A parameter of one value."""
    if is_rebuilding():
        return zeros(shape)
    return np.full(sized(shape), value, np.float32)


def uniform(shape: Sequence[int], bound: float) -> Floats:
    """Numbers from -bound to bound."""
    if is_rebuilding():
        return zeros(shape)
    return generator().uniform(-bound, bound, tuple(shape)).astype(np.float32)


def normal(shape: Sequence[int], mean: float = 0.0, std: float = 1.0) -> Floats:
    """Normally distributed numbers."""
    if is_rebuilding():
        return zeros(shape)
    return generator().normal(mean, std, tuple(shape)).astype(np.float32)


def fan_in(weight: Array) -> int:
    """How many inputs one output of a weight has: all axes but the first."""
    return math.prod(weight.shape[1:])


def kaiming_uniform(shape: Sequence[int]) -> Floats:
    """A weight as torch's Linear and convolutions begin, from -1 / sqrt(fan_in) to 1 / sqrt(fan_in).

    Source: `torch.nn.init.kaiming_uniform_` with `a=sqrt(5)`.
    """
    return uniform(shape, 1 / math.sqrt(max(math.prod(shape[1:]), 1)))


def bias_for(weight: Array, length: int) -> Floats:
    """A bias as torch's Linear and convolutions begin."""
    return uniform((length,), 1 / math.sqrt(max(fan_in(weight), 1)))


def xavier_uniform(shape: Sequence[int]) -> Floats:
    """A matrix from -sqrt(6 / (fan_in + fan_out)) to sqrt(6 / (fan_in + fan_out)).

    Source: `torch.nn.init.xavier_uniform_`.
    """
    return uniform(shape, math.sqrt(6 / max(sum(shape), 1)))
