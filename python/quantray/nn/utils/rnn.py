"""Sequences of different lengths in one batch: padded, or packed, which recurrent layers take as they are.

Source: `torch.nn.utils.rnn`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple, cast

import numpy as np

from quantray.nn._gradients import is_traced
from quantray.nn.functional._shape import joined

if TYPE_CHECKING:
    from quantray._typing import Array, ArrayLike, Ints

__all__ = [
    "PackedSequence",
    "pack_padded_sequence",
    "pack_sequence",
    "pad_packed_sequence",
    "pad_sequence",
    "unpad_sequence",
]


class PackedSequence(NamedTuple):
    """Sequences of falling length, step by step: all first elements, all second ones, and so on.

    Attributes
    ----------
    data : array
        Shape (elements of all sequences, ...).
    batch_sizes : array of int64
        How many sequences reach each step.
    sorted_indices, unsorted_indices : array of int64, or None
        The order that sequences were brought into, and the way back; None where they were in it.

    Source: `torch.nn.utils.rnn.PackedSequence`.
    """

    data: Array
    batch_sizes: Ints
    sorted_indices: Ints | None = None
    unsorted_indices: Ints | None = None


def _lengths(lengths: ArrayLike, count: int, most: int) -> Ints:
    found = np.asarray(lengths)
    if found.shape != (count,) or found.dtype.kind not in "iu":
        raise ValueError(f"lengths must be {count} whole numbers, one for each sequence, got {lengths!r:.80}")
    if count and not 1 <= found.min() <= found.max() <= most:
        raise ValueError(f"lengths must be from 1 to {most}, got {found.min()} to {found.max()}")
    return found.astype(np.int64)


def pack_padded_sequence(
    input: ArrayLike, lengths: ArrayLike, batch_first: bool = False, enforce_sorted: bool = True
) -> PackedSequence:
    """Packs a padded batch.

    Parameters
    ----------
    input : array
        Shape (steps, N, ...), with `batch_first` (N, steps, ...).
    lengths : array of int
        Of the N sequences, at least 1.
    batch_first : bool
    enforce_sorted : bool
        Whether sequences must be of falling length already; else they are sorted, and the way back is kept.

    >>> import numpy as np
    >>> from quantray.nn.utils.rnn import pack_padded_sequence
    >>> packed = pack_padded_sequence(np.arange(6).reshape(2, 3), [3, 1], batch_first=True)
    >>> packed.data.tolist(), packed.batch_sizes.tolist()
    ([0, 3, 1, 2], [2, 1, 1])

    Source: `torch.nn.utils.rnn.pack_padded_sequence`.
    """
    x = cast("Array", input) if is_traced(input) else np.asarray(input)
    if np.ndim(x) < 2:
        raise ValueError(f"input must have at least 2 axes, got shape {np.shape(x)}")
    if batch_first:
        x = x.transpose((1, 0, *range(2, np.ndim(x))))
    steps, count = np.shape(x)[:2]
    found = _lengths(lengths, count, steps)
    order = back = None
    if enforce_sorted:
        if np.any(np.diff(found) > 0):
            raise ValueError("lengths must fall with enforce_sorted=True; give enforce_sorted=False")
    else:
        order = np.argsort(-found, kind="stable")
        back = np.argsort(order, kind="stable")
        x, found = x[:, order], found[order]
    reached = (found[None] > np.arange(int(found.max(initial=0)))[:, None]).sum(1).astype(np.int64)
    rows = [x[i, :n] for i, n in enumerate(reached)]
    return PackedSequence(_joined(rows), reached, order, back)


def _joined(rows: list[Array]) -> Array:
    if any(map(is_traced, rows)):
        return joined(rows)
    return np.concatenate(rows)


def lengths_of(packed: PackedSequence) -> Ints:
    """The lengths of the sequences, in their packed, falling order."""
    sizes = np.asarray(packed.batch_sizes)
    return (np.arange(int(sizes[0]))[:, None] < sizes[None]).sum(1).astype(np.int64)


def padded(packed: PackedSequence, value: float = 0.0) -> Array:
    """Shape (steps, N, ...), in the packed order."""
    data, sizes = packed.data, [int(n) for n in packed.batch_sizes]
    starts = np.cumsum([0, *sizes])
    rest = np.shape(data)[1:]
    rows: list[Array] = []
    for start, n in zip(starts[:-1], sizes, strict=True):
        row = data[start : start + n]
        if n < sizes[0]:
            row = (
                _joined([row, np.full((sizes[0] - n, *rest), value, np.asarray(data).dtype)])
                if not (is_traced(data))
                else joined([row, np.full((sizes[0] - n, *rest), value, np.float32)])
            )
        rows.append(row.reshape((1, *np.shape(row))))
    return _joined(rows)


def pad_packed_sequence(
    sequence: PackedSequence,
    batch_first: bool = False,
    padding_value: float = 0.0,
    total_length: int | None = None,
) -> tuple[Array, Ints]:
    """A padded batch, and the sequences' lengths: the inverse of `pack_padded_sequence`.

    Parameters
    ----------
    sequence : PackedSequence
    batch_first : bool
        Whether the batch is of shape (N, steps, ...), not (steps, N, ...).
    padding_value : float
    total_length : int, optional
        How many steps; at least those of the longest sequence.

    >>> from quantray.nn.utils.rnn import pack_sequence, pad_packed_sequence
    >>> pad_packed_sequence(pack_sequence([[1, 2], [3]]), batch_first=True)[0].tolist()
    [[1, 2], [3, 0]]

    Source: `torch.nn.utils.rnn.pad_packed_sequence`.
    """
    _check(sequence, "sequence")
    x, lengths = padded(sequence, padding_value), lengths_of(sequence)
    steps = np.shape(x)[0]
    if total_length is not None:
        if total_length < steps:
            raise ValueError(f"total_length must be at least {steps}, the longest length, got {total_length}")
        more = np.full((total_length - steps, *np.shape(x)[1:]), padding_value, np.asarray(x).dtype)
        x = _joined([x, more])
    if sequence.unsorted_indices is not None:
        x, lengths = x[:, sequence.unsorted_indices], lengths[sequence.unsorted_indices]
    return (x.transpose((1, 0, *range(2, np.ndim(x)))) if batch_first else x), lengths


def _check(packed: object, name: str) -> None:
    if not isinstance(packed, PackedSequence):
        raise TypeError(f"{name} must be a PackedSequence, got {type(packed).__name__}")
    sizes = np.asarray(packed.batch_sizes)
    if sizes.ndim != 1 or not sizes.size or sizes.dtype.kind not in "iu" or np.any(np.diff(sizes) > 0):
        raise ValueError(
            f"{name}.batch_sizes must be whole numbers that never grow, got {packed.batch_sizes!r:.80}"
        )
    if sizes.min() < 1 or sizes.sum() != np.shape(packed.data)[0]:
        raise ValueError(
            f"{name}.batch_sizes must add up to the {np.shape(packed.data)[0]} elements, got {sizes.sum()}"
        )


def pad_sequence(
    sequences: Sequence[ArrayLike],
    batch_first: bool = False,
    padding_value: float = 0.0,
    padding_side: str = "right",
) -> Array:
    """Arrays of different lengths as one batch.

    >>> from quantray.nn.utils.rnn import pad_sequence
    >>> pad_sequence([[1.0, 2.0], [3.0]], batch_first=True).tolist()
    [[1.0, 2.0], [3.0, 0.0]]

    Source: `torch.nn.utils.rnn.pad_sequence`.
    """
    if padding_side not in ("left", "right"):
        raise ValueError(f'padding_side must be "left" or "right", got {padding_side!r}')
    arrays = [np.asarray(s) for s in sequences]
    if not arrays or any(a.ndim < 1 or a.shape[1:] != arrays[0].shape[1:] for a in arrays):
        raise ValueError("sequences must be arrays that differ in their first length alone, at least one")
    most = max(len(a) for a in arrays)
    made = np.full((len(arrays), most, *arrays[0].shape[1:]), padding_value, np.result_type(*arrays))
    for row, array in zip(made, arrays, strict=True):
        row[slice(len(array)) if padding_side == "right" else slice(most - len(array), most)] = array
    return made if batch_first else made.swapaxes(0, 1)


def unpad_sequence(padded_sequences: ArrayLike, lengths: ArrayLike, batch_first: bool = False) -> list[Array]:
    """The arrays of a padded batch.

    >>> from quantray.nn.utils.rnn import unpad_sequence
    >>> [a.tolist() for a in unpad_sequence([[1.0, 2.0], [3.0, 0.0]], [2, 1], batch_first=True)]
    [[1.0, 2.0], [3.0]]

    Source: `torch.nn.utils.rnn.unpad_sequence`.
    """
    x = np.asarray(padded_sequences)
    if x.ndim < 2:
        raise ValueError(f"padded_sequences must have at least 2 axes, got shape {x.shape}")
    rows = x if batch_first else x.swapaxes(0, 1)
    return [row[:n] for row, n in zip(rows, _lengths(lengths, len(rows), rows.shape[1]), strict=True)]


def pack_sequence(
    sequences: Sequence[Sequence[float] | Array], enforce_sorted: bool = True
) -> PackedSequence:
    """Packs arrays of different lengths.

    >>> from quantray.nn.utils.rnn import pack_sequence
    >>> pack_sequence([[1, 2], [3]]).data.tolist()
    [1, 3, 2]

    Source: `torch.nn.utils.rnn.pack_sequence`.
    """
    lengths = [len(s) for s in sequences]
    return pack_padded_sequence(pad_sequence(sequences), lengths, enforce_sorted=enforce_sorted)
