"""What functions take: arrays of floats, and one setting for all axes or one for each."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, SupportsIndex, cast

import numpy as np

from quantray.nn._gradients import is_traced
from quantray.nn._tracing import state

if TYPE_CHECKING:
    from typing import TypeAlias

    from quantray._typing import Array, Floats, Input, PerAxis

    #: One length for all axes, or one for each; None for those of the input.
    OutputSize: TypeAlias = SupportsIndex | Sequence[SupportsIndex | None] | None
    #: One factor for all axes, or one for each.
    Factors: TypeAlias = float | Sequence[float]


def refuse_masked(value: object) -> None:
    """Raises for an array some of whose elements are masked: what lies behind a mask is no value."""
    if isinstance(value, np.ma.MaskedArray) and np.any(np.ma.getmaskarray(cast("Array", value))):
        raise TypeError(
            "input must be without masked elements: use its .filled(value) first, got a masked array"
        )


def floats(value: Input) -> Floats:
    """An array of float32; a QTensor is dequantized. Complex numbers would lose a part, and raise."""
    if state.tracer is not None:
        traced = state.tracer.as_floats(value)
        if traced is not None:
            return traced
    refuse_masked(value)
    found: Array = np.asarray(value)
    if found.dtype.kind == "c":
        raise TypeError(f"input must be made of real numbers, got {found.dtype}")
    return np.asarray(found, np.float32)


def traced_or_floats(value: Input) -> Floats:
    """An array of float32, or what autograd traces, as it is: both can be computed with."""
    return cast("Floats", value) if is_traced(value) else floats(value)


def per_axis(value: PerAxis, dims: int, name: str, least: int = 1) -> tuple[int, ...]:
    """One integer for each axis, from one for all or from one for each."""
    given = cast("Sequence[SupportsIndex]", value if np.ndim(cast("Array", value)) else [value] * dims)
    try:
        numbers = tuple(n.__index__() for n in given)
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
