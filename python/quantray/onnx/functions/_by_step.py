"""Functions that kernels say the meaning of: programs of one step."""

from __future__ import annotations

import functools
from collections.abc import Hashable, Sequence

import numpy as np

from quantray import ops
from quantray._typing import Array


def by_step(op: str, names: Sequence[str], arrays: Sequence[Array], **settings: Hashable) -> Array:
    """What a step of a program makes of some arrays, which errors call by these names."""
    dtypes = tuple(str(array.dtype) for array in arrays)
    program = _program(op, tuple(names), dtypes, tuple(settings.items()))
    (made,) = program(*arrays)
    # A program's results are arrays where no codes are asked for.
    return np.asarray(made)


@functools.lru_cache(maxsize=64)
def _program(
    op: str, names: tuple[str, ...], dtypes: tuple[str, ...], settings: tuple[tuple[str, Hashable], ...]
) -> ops.Program:
    count = len(names)
    step = (op, tuple(range(count)), count, dict(settings))
    return ops.Program(list(dtypes), [step], [count], names=list(names))
