"""Rows of tables, alone and added up."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Literal

import numpy as np

from quantray import ops
from quantray._core import QTensor
from quantray.nn._gradients import differentiable, untraced
from quantray.nn._tracing import traced
from quantray.nn.functional._arguments import floats, traced_or_floats

if TYPE_CHECKING:
    from quantray._typing import Array, ArrayLike, Floats, Input, Ints
    from quantray.nn._gradients import Vjp

Mode = Literal["sum", "mean", "max"]


def checked_indices(input: ArrayLike, rows: int, from_end: bool = False) -> Ints:
    """Integers that are rows of a table, counted from the first one; with `from_end` -1 was the last."""
    found, least = _integers("input", input), -rows if from_end else 0
    if found.size and (found.min() < least or found.max() >= rows):
        at = tuple(int(i) for i in np.argwhere((found < least) | (found >= rows))[0])
        raise IndexError(f"input must be from {least} to {rows - 1}, got {found[at]} at {at}")
    return np.where(found < 0, found + rows, found) if from_end else found


def _integers(name: str, values: ArrayLike) -> Ints:
    found: Array = np.asarray(values)
    # An empty list has no dtype of its own.
    if found.size and found.dtype.kind not in "iu":
        raise TypeError(f"{name} must be integers, got dtype {found.dtype}")
    return found.astype(np.int64)


def bags(indices: Array, offsets: ArrayLike | None, include_last_offset: bool) -> Ints:
    """Where each bag begins among the flat indices, and where the last one ends."""
    if indices.ndim == 2 and offsets is None:
        return np.arange(indices.shape[0] + 1, dtype=np.int64) * indices.shape[1]
    if indices.ndim != 1 or offsets is None:
        raise ValueError(
            f"input must be two-dimensional, or one-dimensional with offsets, got {indices.ndim} axes"
            f"{'' if offsets is None else ' with offsets'}"
        )
    starts = _integers("offsets", offsets)
    if starts.ndim != 1 or (include_last_offset and not len(starts)):
        raise ValueError(
            "offsets must be one-dimensional, and hold an end with include_last_offset, "
            f"got shape {starts.shape}"
        )
    if len(starts) and starts[0] != 0:
        raise ValueError(f"offsets must begin with 0, got {starts[0]}")
    ends = np.append(starts, len(indices))
    if (np.diff(ends) < 0).any():
        at = int(np.argmax(np.diff(ends) < 0))
        last = f", nor exceed {len(indices)}, the number of indices" if at == len(starts) - 1 else ""
        raise ValueError(f"offsets must not decrease{last}, got {starts[at]} at {at}")
    return starts if include_last_offset else ends


def padding_row(padding_idx: int | None, rows: int) -> int | None:
    """The padding's row, counted from the first; or none."""
    if padding_idx is None:
        return None
    if not -rows <= padding_idx < rows:
        raise ValueError(f"padding_idx must be from {-rows} to {rows - 1}, got {padding_idx}")
    return padding_idx % rows


def _shorten(weight: Input, indices: Array, max_norm: float, norm_type: float) -> None:
    """Makes the rows that are looked up no longer than `max_norm`, in the table itself, as torch does."""
    table = untraced(weight)
    if not isinstance(table, np.ndarray):
        raise TypeError(
            f"weight must be an array with max_norm, which changes it, got {type(table).__name__}"
        )
    used = np.unique(indices)
    norms: Array = np.linalg.norm(table[used], norm_type, axis=1)
    long = norms > max_norm
    table[used[long]] *= (max_norm / (norms[long] + 1e-7))[:, None].astype(np.float32)


@traced
def embedding(
    input: Input,
    weight: Input,
    padding_idx: int | None = None,
    max_norm: float | None = None,
    norm_type: float = 2.0,
    scale_grad_by_freq: bool = False,
    sparse: bool = False,
    *,
    from_end: bool = False,
) -> Floats:
    """Rows of a table.

    Parameters
    ----------
    input : array of int
        Of any shape, from 0 to rows - 1.
    weight : array or QTensor
        Shape (rows, width): the table.
    padding_idx : int, optional
        A row that gets no gradient; counted from the end where negative.
    max_norm : float, optional
        Rows that are looked up and longer become as long as this, in the table itself.
    norm_type : float
        Of that length; 2 is Euclid's.
    scale_grad_by_freq : bool
        Whether a row's gradient is divided by how often it is looked up.
    sparse : bool
        Has no effect: gradients are arrays.
    from_end : bool
        Whether rows may be counted from the end, -1 being the last one, as in ONNX files. torch refuses them.

    Returns
    -------
    array of float32
        Shape (*input.shape, width).

    >>> from quantray.nn import functional as F
    >>> F.embedding([1, 0], [[1.0, 2.0], [3.0, 4.0]])
    array([[3., 4.],
           [1., 2.]], dtype=float32)

    Source: `torch.nn.functional.embedding`.
    """
    if isinstance(weight, QTensor):
        return ops.embedding(weight, input, from_end=from_end)
    rows = _rows(weight)
    indices = checked_indices(input, rows, from_end)
    padding = padding_row(padding_idx, rows)
    if max_norm is not None:
        _shorten(weight, indices, max_norm, norm_type)
    return _embedding(weight, indices, padding, scale_grad_by_freq)


def _rows(weight: Input) -> int:
    shape = np.shape(weight)
    if len(shape) != 2:
        raise ValueError(f"weight must be of shape (rows, width), got {shape}")
    return shape[0]


def scattered(g: Array, indices: Array, rows: int, padding: int | None, by_frequency: bool) -> Floats:
    """A table of zeros, to whose rows at one-dimensional `indices` those of `g` are added."""
    table = np.zeros((rows, g.shape[-1]), np.float32)
    if padding is not None:
        kept = indices != padding
        g, indices = g[kept], indices[kept]
    if len(indices):
        # Equal indices side by side: their rows are one sum each.
        order = np.argsort(indices, kind="stable")
        found, first, counts = np.unique(indices[order], return_index=True, return_counts=True)
        table[found] = np.add.reduceat(g[order], first, axis=0)
        if by_frequency:
            table[found] /= counts[:, None].astype(np.float32)
    return table


@differentiable
def _embedding(weight: Input, indices: Array, padding: int | None, by_frequency: bool) -> Floats:
    return floats(weight)[indices]


@_embedding.gradient
def _embedding_gradient(
    wanted: Sequence[int], out: Floats, weight: Input, indices: Array, padding: int | None, by_frequency: bool
) -> Vjp[Floats]:
    rows, width = np.shape(weight)
    return lambda g: [scattered(g.reshape(-1, width), indices.ravel(), rows, padding, by_frequency)]


@traced
def embedding_bag(
    input: Input,
    weight: Input,
    offsets: ArrayLike | None = None,
    max_norm: float | None = None,
    norm_type: float = 2.0,
    scale_grad_by_freq: bool = False,
    mode: Mode = "mean",
    sparse: bool = False,
    per_sample_weights: Input | None = None,
    include_last_offset: bool = False,
    padding_idx: int | None = None,
) -> Floats:
    """Sums, means or maxima of some rows of a table.

    Parameters
    ----------
    input : array of int
        Shape (bags, n), or with `offsets` one-dimensional; from 0 to rows - 1.
    weight : array or QTensor
        Shape (rows, width): the table.
    offsets : array of int, optional
        Where each bag begins; the first one at 0.
    max_norm, norm_type, scale_grad_by_freq, sparse
        As for `embedding`.
    mode : str
        "sum", "mean" or "max". A bag without rows gives zeros.
    per_sample_weights : array, optional
        What each row is multiplied by, of the shape of `input`; with mode "sum".
    include_last_offset : bool
        Whether the last one of the offsets is where the last bag ends.
    padding_idx : int, optional
        A row that belongs to no bag, and gets no gradient.

    Returns
    -------
    array of float32
        Shape (bags, width).

    >>> from quantray.nn import functional as F
    >>> F.embedding_bag([0, 1, 1], [[1.0, 2.0], [3.0, 4.0]], [0, 2])
    array([[2., 3.],
           [3., 4.]], dtype=float32)

    Source: `torch.nn.functional.embedding_bag`.
    """
    rows = len(weight) if isinstance(weight, QTensor) else _rows(weight)
    padding = padding_row(padding_idx, rows)
    indices = checked_indices(input, rows)
    if mode not in ("sum", "mean", "max"):
        raise ValueError(f'mode must be "sum", "mean" or "max", got {mode!r}')
    starts = bags(indices, offsets, include_last_offset)
    factors: Floats | None = None
    if per_sample_weights is not None:
        shape = np.shape(per_sample_weights)
        if mode != "sum" or shape != indices.shape:
            raise ValueError(
                f"per_sample_weights must be of shape {indices.shape}, that of input, with mode "
                f'"sum", got {shape} with "{mode}"'
            )
        factors = traced_or_floats(per_sample_weights).reshape((-1,))
    # Each look-up's bag; those before the first bag or behind the last one have none.
    flat = indices.ravel()
    bag = np.repeat(np.arange(len(starts) - 1), np.diff(starts))
    flat, kept = flat[: len(bag)], None
    if padding is not None or len(bag) < indices.size:
        kept = np.flatnonzero(flat != padding) if padding is not None else np.arange(len(bag))
        flat, bag = flat[kept], bag[kept]
        if factors is not None:
            factors = factors[kept]
    if isinstance(weight, QTensor):
        ends = np.concatenate([[0], np.cumsum(np.bincount(bag, minlength=len(starts) - 1))])
        return ops.embedding_bag(
            weight, flat, ends, mode=mode, per_sample_weights=factors, include_last_offset=True
        )
    if max_norm is not None:
        _shorten(weight, flat, max_norm, norm_type)
    return _embedding_bag(weight, factors, flat, bag, len(starts) - 1, mode, scale_grad_by_freq)


def _reduced(rows: Array, bag: Array, count: int, mode: Mode) -> Floats:
    """Rows that belong to increasing bags, reduced."""
    out = np.zeros((count, rows.shape[1]), np.float32)
    found, first, counts = np.unique(bag, return_index=True, return_counts=True)
    if len(found):
        out[found] = (np.maximum if mode == "max" else np.add).reduceat(rows, first, axis=0)
        if mode == "mean":
            out[found] /= counts[:, None].astype(np.float32)
    return out


@differentiable
def _embedding_bag(
    weight: Input,
    factors: Floats | None,
    indices: Array,
    bag: Array,
    count: int,
    mode: Mode,
    by_frequency: bool,
) -> Floats:
    rows = floats(weight)[indices]
    if factors is not None:
        rows *= floats(factors)[:, None]
    return _reduced(rows, bag, count, mode)


@_embedding_bag.gradient
def _embedding_bag_gradient(
    wanted: Sequence[int],
    out: Floats,
    weight: Input,
    factors: Floats | None,
    indices: Array,
    bag: Array,
    count: int,
    mode: Mode,
    by_frequency: bool,
) -> Vjp[Floats]:
    table = floats(weight)

    def to_weight(g: Floats) -> Floats:
        rows = g[bag]
        if mode == "mean":
            rows /= np.bincount(bag, minlength=count)[bag, None].astype(np.float32)
        elif factors is not None:
            rows *= floats(factors)[:, None]
        elif mode == "max":
            # To the first row of a bag that has the maximum, as in torch.
            is_top = table[indices] == out[bag]
            before = np.cumsum(is_top, 0) - is_top
            starts = bag.searchsorted(bag)
            rows *= is_top & (before == before[starts])
        return scattered(rows, indices, len(table), None, by_frequency)

    def vjp(g: Floats) -> list[Array]:
        each: dict[int, Callable[[], Array]] = {
            0: lambda: to_weight(g),
            1: lambda: np.sum(g[bag] * table[indices], 1),
        }
        return [each[i]() for i in wanted]

    return vjp
