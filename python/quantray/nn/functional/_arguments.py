"""What functions take: arrays of floats, and one setting for all axes or one for each."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, SupportsIndex, cast

import numpy as np

from quantray.nn._gradients import is_traced
from quantray.nn._tracing import state

if TYPE_CHECKING:
    from typing import TypeAlias

    import numpy.typing as npt

    Floats: TypeAlias = npt.NDArray[np.float32]
    #: One integer for all axes, or one for each.
    PerAxis: TypeAlias = SupportsIndex | Sequence[SupportsIndex]


def floats(value: Any) -> Floats:
    """An array of float32; a QTensor is dequantized. Complex numbers would lose a part, and raise."""
    if state.tracer is not None:
        traced = state.tracer.as_floats(value)
        if traced is not None:
            return traced
    found: npt.NDArray[Any] = value if isinstance(value, np.ndarray) else np.asarray(value)
    if found.dtype.kind == "c":
        raise TypeError(f"input must be made of real numbers, got {found.dtype}")
    return np.asarray(found, np.float32)


def traced_or_floats(value: Any) -> Any:
    """An array of float32, or what autograd traces, as it is: both can be computed with."""
    return value if is_traced(value) else floats(value)


def per_axis(value: PerAxis, dims: int, name: str, least: int = 1) -> tuple[int, ...]:
    """One integer for each axis, from one for all or from one for each."""
    given: Any = value if np.ndim(cast("Any", value)) else [value] * dims
    try:
        numbers: tuple[int, ...] = tuple(n.__index__() for n in given)
    except AttributeError:
        numbers = ()
    if len(numbers) != dims or min(numbers) < least:
        wanted = "an integer" if dims == 1 else f"an integer or {dims} of them"
        raise ValueError(f"{name} must be {wanted}, at least {least}, got {value!r}")
    return numbers


def axis_of(dim: SupportsIndex, ndim: int, name: str = "dim") -> int:
    """An axis counted from the first."""
    axis = dim.__index__()
    if not -max(ndim, 1) <= axis < max(ndim, 1):
        raise ValueError(f"{name} must be from {-max(ndim, 1)} to {max(ndim, 1) - 1}, got {axis}")
    return axis % max(ndim, 1)


def check_lengths(shape: Sequence[int], dims: int, name: str = "input") -> None:
    """Raises unless a shape is (N, C, lengths), or (C, lengths) of one image, with `dims` lengths."""
    if len(shape) not in (dims + 1, dims + 2):
        lengths = ", ".join(["L"] if dims == 1 else ["D", "H", "W"][-dims:])
        raise ValueError(f"{name} must be of shape (N, C, {lengths}) or (C, {lengths}), got {tuple(shape)}")
