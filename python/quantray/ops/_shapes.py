"""Operators that move values and compute few: joining, padding, changing the size of images."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, TypeVar, cast

import numpy as np

import quantray._core as core
from quantray._core import QTensor, qint32
from quantray.ops._like import codes_of, like

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import SupportsIndex

    import numpy.typing as npt

    from quantray._typing import ArrayLike, QDType

N = TypeVar("N")


def _joined_shape(tensors: Sequence[QTensor], dim: int) -> list[int]:
    """The shape of tensors one after the other along an axis."""
    shape = list(tensors[0].shape)
    if not -len(shape) <= dim < len(shape):
        raise IndexError(f"dim must be from {-len(shape)} to {len(shape) - 1}, got {dim}")
    for i, tensor in enumerate(tensors):
        other = list(tensor.shape)
        if len(other) != len(shape) or any(
            m != n for a, (m, n) in enumerate(zip(shape, other, strict=True)) if a != dim % len(shape)
        ):
            raise ValueError(
                f"tensors[{i}] must have the first one's dimensions but for axis {dim}: {tuple(shape)}, got "
                f"{tuple(other)}"
            )
    shape[dim] = sum(tensor.shape[dim] for tensor in tensors)
    return shape


def cat(
    tensors: Sequence[QTensor],
    dim: int = 0,
    scale: float | None = None,
    zero_point: SupportsIndex | None = None,
    dtype: QDType | None = None,
    *,
    relu: bool = False,
) -> QTensor:
    """Tensors one after the other along an axis, in a scale and a zero point of their own.

    Parameters
    ----------
    tensors : sequence of QTensor
        Of the same shape but for the axis.
    dim : int
        The axis.
    scale, zero_point, dtype : optional
        Of the result, to which all are requantized; by default the first one's, as in `quantray.cat`.
    relu : bool
        Whether negative values become 0.

    >>> import quantray as qt
    >>> a = qt.quantize_per_tensor([1.0, -2.0], 0.5, 0, qt.qint8)
    >>> b = qt.quantize_per_tensor([0.25], 0.25, 0, qt.qint8)
    >>> qt.ops.cat([a, b], scale=0.25, zero_point=0, relu=True).tolist()
    [1.0, 0.0, 0.25]

    Source: `torch.ops.quantized.cat`, `torch.ops.quantized.cat_relu`.
    """
    if scale is None:
        if zero_point is not None:
            raise ValueError(f"zero_point must be given with scale, or not at all, got {zero_point}")
        joined = core.cat(tensors, dim)
    else:
        if not tensors:
            raise ValueError("tensors must be at least one QTensor, got none")
        shape = _joined_shape(tensors, dim)
        first = tensors[0].dtype if dtype is None else dtype
        offset = 0 if zero_point is None else zero_point.__index__()
        joined = core.quantize_per_tensor(np.zeros((), np.float32), scale, offset, first)
        joined = like(joined, np.empty(shape, joined.int_repr().dtype))
        at = 0
        for tensor in tensors:
            n = tensor.shape[dim]
            index = [slice(None)] * len(shape)
            index[dim] = slice(at, at + n)
            joined[tuple(index)] = tensor
            at += n
    return joined.relu() if relu else joined


_PADS = {"reflect": "reflect", "replicate": "edge", "circular": "wrap"}


def pad(
    input: QTensor,
    pad: Sequence[SupportsIndex],
    mode: Literal["constant", "reflect", "replicate", "circular"] = "constant",
    value: float = 0.0,
) -> QTensor:
    """A tensor with more elements at both ends of its last axes.

    Parameters
    ----------
    input : QTensor
        Of any shape; qint8, quint8 or qint32.
    pad : sequence of int
        How many before and after the last axis, then before and after the one before it, and so on. Negative
        numbers cut elements off, with mode "constant".
    mode : str
        What the new elements are: "constant": `value`, quantized; "reflect": the input mirrored at its ends,
        which are not repeated; "replicate": its ends; "circular": its other end.
    value : float
        A real number.

    >>> import quantray as qt
    >>> q = qt.quantize_per_tensor([1.0, 2.0], 0.5, 0, qt.qint8)
    >>> qt.ops.pad(q, (1, 2), value=-1.0).tolist()
    [-1.0, 1.0, 2.0, -1.0, -1.0]

    Source: `torch.nn.functional.pad`.
    """
    codes = codes_of(input, "input")
    sides = [int(n) for n in pad]
    if len(sides) % 2 or len(sides) > 2 * codes.ndim:
        raise ValueError(
            f"pad must be pairs of integers, one for each of up to {codes.ndim} axes, got {tuple(pad)}"
        )
    pairs = [(0, 0)] * (codes.ndim - len(sides) // 2)
    pairs += [(sides[i], sides[i + 1]) for i in range(len(sides) - 2, -1, -2)]
    if mode == "constant":
        shape = [n + sum(pair) for n, pair in zip(codes.shape, pairs, strict=True)]
        if min(shape, default=0) < 0:
            raise ValueError(
                f"pad must leave no axis shorter than 0, got {tuple(pad)} for shape {codes.shape}"
            )
        made = like(input, np.empty(shape, codes.dtype))
        made[...] = value
        inner = tuple(slice(max(a, 0), n - max(b, 0)) for n, (a, b) in zip(shape, pairs, strict=True))
        own = tuple(slice(max(-a, 0), n - max(-b, 0)) for n, (a, b) in zip(codes.shape, pairs, strict=True))
        made.int_repr()[inner] = codes[own]
        return made
    if mode not in _PADS:
        names = '"constant", "reflect", "replicate" or "circular"'
        raise ValueError(f"mode must be {names}, got {mode!r}")
    for n, pair in zip(codes.shape, pairs, strict=True):
        most = {"reflect": n - 1, "circular": n}.get(mode, max(pair) if n else 0)
        if min(pair) < 0 or max(pair) > max(most, 0):
            raise ValueError(f"pad must be from 0 to {max(most, 0)} on an axis of length {n}, got {pair}")
    return like(input, np.pad(codes, pairs, mode=_PADS[mode]))  # type: ignore[call-overload] # pyright: ignore


_LINEAR = {"linear": 1, "bilinear": 2, "trilinear": 3}


def _steps(source: int, target: int, factor: float | None) -> np.float32:
    """From one element of the result to the next, in elements of the input."""
    return np.float32(1 / factor) if factor else np.float32(source) / np.float32(target)


def _each(given: N | Sequence[N], dims: int, name: str) -> Sequence[N]:
    """One for each length, where there may be one for all."""
    several = bool(np.ndim(cast("ArrayLike", given)))
    each = cast("Sequence[N]", given) if several else [cast("N", given)] * dims
    if len(each) != dims:
        raise ValueError(f"{name} must be one number, or {dims} of them, one for each length, got {given}")
    return each


def interpolate(
    input: QTensor,
    size: SupportsIndex | Sequence[SupportsIndex] | None = None,
    scale_factor: float | Sequence[float] | None = None,
    mode: str = "nearest",
    align_corners: bool = False,
) -> QTensor:
    """Images of another size.

    Parameters
    ----------
    input : QTensor
        Shape (N, C, lengths), with one to three lengths; qint8, quint8 or qint32, quantized per tensor.
    size : int or sequence of int
        The new lengths.
    scale_factor : float or sequence of float
        Instead of `size`: the new lengths by the old ones.
    mode : str
        "nearest" (the element at or before a position), "nearest-exact" (the nearest one), or "linear",
        "bilinear" and "trilinear" for one, two and three lengths: the mean of an element's neighbours,
        weighted by distance.
    align_corners : bool
        Whether first and last elements stay where they are. For linear modes.

    Returns
    -------
    QTensor
        With the input's scale and zero point; in memory as the input is: channels first or channels last.

    >>> import quantray as qt
    >>> q = qt.quantize_per_tensor([[[1.0, 2.0]]], 0.5, 0, qt.qint8)
    >>> qt.ops.interpolate(q, scale_factor=2).tolist()
    [[[1.0, 1.0, 2.0, 2.0]]]
    >>> qt.ops.interpolate(q, size=3, mode="linear", align_corners=True).tolist()
    [[[1.0, 1.5, 2.0]]]

    Source: `torch.nn.functional.interpolate`.
    """
    codes = codes_of(input, "input")
    dims = codes.ndim - 2
    if not 1 <= dims <= 3 or 0 in codes.shape[2:]:
        raise ValueError(f"input must be of shape (N, C, 1 to 3 lengths that are not 0), got {codes.shape}")
    if mode not in ("nearest", "nearest-exact") and _LINEAR.get(mode) != dims:
        linear = next(name for name, n in _LINEAR.items() if n == dims)
        raise ValueError(
            f'mode must be "nearest", "nearest-exact" or "{linear}" for {dims} lengths, got {mode!r}'
        )
    lengths: tuple[int, ...] = codes.shape[2:]
    factors: list[float | None] = [None] * dims
    if size is not None and scale_factor is None:
        targets = [int(n) for n in _each(size, dims, "size")]
    elif scale_factor is not None and size is None:
        given = _each(scale_factor, dims, "scale_factor")
        if not all(np.isfinite(f) and f > 0 for f in given):
            raise ValueError(f"scale_factor must be finite and greater than 0, got {scale_factor}")
        factors = [float(f) for f in given]
        targets = [int(n * f) for n, f in zip(lengths, given, strict=True)]
    else:
        raise ValueError(f"size or scale_factor must be given, one of them, got {size} and {scale_factor}")
    if min(targets) < 1:
        raise ValueError(f"the result must be at least 1 long along each axis, got {tuple(targets)}")
    lows: list[npt.NDArray[np.int64]] = []
    parts: list[npt.NDArray[np.float32]] = []
    half = np.float32(0.5)
    for n, target, factor in zip(lengths, targets, factors, strict=True):
        at = np.arange(target, dtype=np.float32)
        if mode == "nearest":
            at = at * _steps(n, target, factor)
        elif mode == "nearest-exact":
            at = (at + half) * _steps(n, target, factor)
        elif align_corners:
            at = at * (np.float32(n - 1) / np.float32(max(target - 1, 1)))
        else:
            at = np.maximum((at + half) * _steps(n, target, factor) - half, np.float32(0))
        low = np.minimum(at.astype(np.int64), n - 1)
        lows.append(low)
        parts.append(at - low.astype(np.float32))
    if input.dtype is qint32:
        return _resized(input, lows, None if mode.startswith("nearest") else parts)
    return core._resize(input, lows, None if mode.startswith("nearest") else parts)


def _resized(
    q: QTensor, lows: list[npt.NDArray[np.int64]], parts: list[npt.NDArray[np.float32]] | None
) -> QTensor:
    """The same for 32-bit codes, whose means are of float64."""
    codes = codes_of(q, "input")
    if parts is None:
        for axis, low in enumerate(lows, 2):
            codes = np.take(codes, low, axis)
        return like(q, codes)
    made = codes.astype(np.float64)
    for axis in range(codes.ndim - 1, 1, -1):
        low, part = lows[axis - 2], parts[axis - 2].reshape(-1, *[1] * (codes.ndim - 1 - axis))
        after = np.minimum(low + 1, codes.shape[axis] - 1)
        made = np.take(made, low, axis) * (1.0 - part) + np.take(made, after, axis) * part
    return like(q, np.rint(made).astype(codes.dtype))
