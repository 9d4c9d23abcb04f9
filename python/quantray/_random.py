"""What random numbers are drawn from, everywhere in quantray: one generator, which can be seeded."""

from __future__ import annotations

from typing import TYPE_CHECKING, SupportsIndex

if TYPE_CHECKING:
    import numpy as np

_generator: np.random.Generator | None = None


def manual_seed(seed: SupportsIndex) -> None:
    """Makes the random numbers of tensors, parameters and dropout the same in every run.

    Parameters
    ----------
    seed : int
        At least 0.

    >>> import numpy as np, quantray as qt
    >>> qt.manual_seed(1)
    >>> first = qt.randn(3)
    >>> qt.manual_seed(1)
    >>> bool(np.array_equal(first, qt.randn(3)))
    True

    Source: `torch.manual_seed`; the numbers are those of `numpy.random.default_rng`, not torch's.
    """
    from numpy.random import default_rng

    global _generator
    _generator = default_rng(seed.__index__())


def generator() -> np.random.Generator:
    """What random numbers are drawn from."""
    from numpy.random import default_rng

    global _generator
    if _generator is None:
        _generator = default_rng()
    return _generator
