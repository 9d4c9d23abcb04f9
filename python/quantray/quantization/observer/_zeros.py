"""Values so small that all of them become 0: torch's contract of a smallest scale, but rarely meant."""

from __future__ import annotations

import warnings

import numpy as np

from quantray._typing import Array, ArrayLike
from quantray.nn import Module


def warn_of_zeros(observer: Module, name: str, stacklevel: int = 2) -> None:
    """Warns where all values that an observer saw become 0, as its `eps` is more than twice the largest.

    Observers themselves are silent, since they do not know what they look at: who asks them for the scale of
    a tensor does, and gives its name.

    Parameters
    ----------
    observer : Module
        An observer of integer zero points, with data; any other is never warned of.
    name : str
        Of the tensor or layer, as the message begins.
    """
    low, high = getattr(observer, "min_val", None), getattr(observer, "max_val", None)
    if low is None or high is None or not observer.has_data:
        return
    warn_of_zero_values(low, high, float(observer.eps[0]), name, stacklevel + 1)


def warn_of_zero_values(low: Array, high: Array, eps: float, name: str, stacklevel: int = 2) -> None:
    """The same for a range that is known: the smallest and the largest values, of one or more channels."""
    largest = max(float(np.max(np.abs(v), initial=0)) for v in (low, high))
    # A scale above eps is made for the range, and holds it.
    if 0 < largest < eps / 2:
        warnings.warn(
            f"{name}: all values become 0: the largest is {largest:.3g}, and the smallest scale, eps, is "
            f"{eps:.3g}; give the observer a smaller eps, or scale the values",
            stacklevel=stacklevel,
        )


#: The smallest scale of what is quantized as it comes, to which a smaller one is raised (FBGEMM's
#: `SMALL_SCALE_THRESHOLD`).
SMALL_SCALE = np.float32(6.1e-5)


def warn_of_zero_inputs(x: ArrayLike, name: str, stacklevel: int = 2) -> None:
    """Warns where all values that a layer quantizes as they come become 0."""
    values = np.asarray(x)
    if values.dtype.kind != "f" or not values.size:
        return
    largest = float(np.abs(values).max())
    if 0 < largest < SMALL_SCALE / 2:
        warnings.warn(
            f"{name}: all values of the input become 0: the largest is {largest:.3g}, and the smallest scale "
            f"of what is quantized as it comes is {SMALL_SCALE:.3g}; scale them, or leave the layer in float",
            stacklevel=stacklevel,
        )
