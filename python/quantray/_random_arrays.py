"""Arrays of random numbers, by torch's names."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import numpy as np

from quantray._creation import check_device, is_several, lengths_of, numpy_dtype, size_of
from quantray._random import generator

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import SupportsIndex

    from quantray._typing import Array, DTypeLike, PerAxis


def rand(
    *args: PerAxis,
    size: PerAxis | None = None,
    dtype: DTypeLike | None = None,
    device: str | None = None,
    requires_grad: bool = False,
) -> Array:
    """Random numbers from 0 to below 1, float32.

    >>> import quantray as qt
    >>> qt.rand(2, 3).dtype
    dtype('float32')

    Source: `torch.rand`; the numbers are those of `numpy.random.default_rng`.
    """
    check_device(device, requires_grad)
    return _floats(generator().random, size_of(args, size), dtype)


def randn(
    *args: PerAxis,
    size: PerAxis | None = None,
    dtype: DTypeLike | None = None,
    device: str | None = None,
    requires_grad: bool = False,
) -> Array:
    """Normally distributed random numbers, of mean 0 and variance 1, float32.

    >>> import quantray as qt
    >>> qt.randn(2, 2, 3).shape
    (2, 2, 3)

    Source: `torch.randn`; the numbers are those of `numpy.random.default_rng`.
    """
    check_device(device, requires_grad)
    return _floats(generator().standard_normal, size_of(args, size), dtype)


def _floats(draw: Callable[..., Array], size: tuple[int, ...], dtype: DTypeLike | None) -> Array:
    """Random floats: the generator has those of 32 and of 64 bits, others are made of the former."""
    wanted = numpy_dtype(dtype)
    kept = np.float64 if wanted == np.float64 else np.float32
    return draw(size, kept).astype(wanted, copy=False)


def randint(
    low: SupportsIndex,
    high: PerAxis | None = None,
    size: PerAxis | None = None,
    *,
    dtype: DTypeLike | None = None,
    device: str | None = None,
) -> Array:
    """Random integers from `low` (0, if it is left out) to below `high`, int64 by default.

    >>> import quantray as qt
    >>> qt.randint(0, 100, size=(10,), dtype=qt.uint8).dtype
    dtype('uint8')

    Source: `torch.randint`; the numbers are those of `numpy.random.default_rng`.
    """
    check_device(device)
    if high is None or (size is None and is_several(high)):
        low, high, size = 0, low, high if size is None else size
    if size is None:
        raise TypeError("size must be a tuple of lengths, got None")
    first, last = low.__index__(), cast("SupportsIndex", high).__index__()
    if first >= last:
        raise ValueError(f"high must be greater than low, {first}, got {last}")
    return (
        generator().integers(first, last, lengths_of([size])).astype(numpy_dtype(dtype, np.int64), copy=False)
    )


def randperm(n: SupportsIndex, *, dtype: DTypeLike | None = None, device: str | None = None) -> Array:
    """The numbers from 0 to below `n` in random order, int64.

    >>> import quantray as qt
    >>> sorted(qt.randperm(4).tolist())
    [0, 1, 2, 3]

    Source: `torch.randperm`.
    """
    check_device(device)
    return generator().permutation(n.__index__()).astype(numpy_dtype(dtype, np.int64), copy=False)
