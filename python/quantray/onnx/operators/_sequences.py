"""Sequences and optional values: lists of arrays, and None where there is no value, while a model runs.

A graph knows arrays alone: how many of them a sequence holds is decided when the model is captured.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from quantray.onnx._lengths import as_array, integer, integers, shape_of
from quantray.onnx.operators._registry import Array, Call, operator


@operator("SequenceConstruct")
def _construct(call: Call, *items: Array) -> list[Array]:
    return list(items)


@operator("SequenceEmpty")
def _empty(call: Call) -> list[Array]:
    return []


@operator("SequenceLength")
def _length(call: Call, items: Sequence[Array]) -> Array:
    return np.array(len(_listed(call, items)), np.int64)


@operator("SequenceAt", takes_lengths=True)
def _at(call: Call, items: Sequence[Array], position: Array) -> Array:
    return _listed(call, items)[_place(call, position, len(items))]


@operator("SequenceInsert", takes_lengths=True)
def _insert(call: Call, items: Sequence[Array], item: Array, position: Array | None = None) -> list[Array]:
    made = list(_listed(call, items))
    # Behind the last one is a place, too.
    made.insert(len(made) if position is None else _place(call, position, len(made), 1), as_array(item))
    return made


@operator("SequenceErase", takes_lengths=True)
def _erase(call: Call, items: Sequence[Array], position: Array | None = None) -> list[Array]:
    made = list(_listed(call, items))
    if not made:
        raise call.error("nothing can be erased from a sequence that is empty")
    del made[len(made) - 1 if position is None else _place(call, position, len(made))]
    return made


@operator("SplitToSequence")
def _split(call: Call, x: Array, split: Array | None = None) -> list[Array]:
    axis = call.axis(call.get("axis", 0), np.ndim(x))
    length = int(shape_of(x)[axis])
    before = (slice(None),) * axis
    if split is None:
        keeps = bool(call.get("keepdims", 1))
        return [x[(*before, slice(i, i + 1) if keeps else i)] for i in range(length)]
    lengths = [int(n) for n in integers(split, "split")]
    if np.ndim(split) == 0:
        (each,) = lengths
        if each < 1:
            raise call.error(f"split must be positive, got {each}")
        lengths = [min(each, length - start) for start in range(0, length, each)]
    if sum(lengths) != length or min(lengths, default=0) < 0:
        raise call.error(f"split must add up to {length}, got {lengths}")
    starts = np.cumsum([0, *lengths]).tolist()
    return [x[(*before, slice(start, start + n))] for start, n in zip(starts, lengths, strict=False)]


@operator("ConcatFromSequence")
def _concat(call: Call, items: Sequence[Array]) -> Array:
    arrays = _listed(call, items)
    if not arrays:
        raise call.error("a sequence that is empty has no elements to put together")
    axis = int(call.need("axis"))
    if call.get("new_axis", 0):
        return np.stack(arrays, axis)
    return np.concatenate(arrays, axis)


@operator("Optional", "OptionalGetElement", takes_lengths=True)
def _optional(call: Call, x: object = None) -> object:
    """A value that may not be there is the value itself, where it is."""
    if x is None and call.op == "OptionalGetElement":
        raise call.error("the optional value has no element")
    return x


@operator("OptionalHasElement", takes_lengths=True)
def _has_element(call: Call, x: object = None) -> Array:
    return np.array(x is not None)


def _listed(call: Call, items: Sequence[Array]) -> Sequence[Array]:
    if not isinstance(items, (list, tuple)):
        raise call.error(f"it takes a sequence, got an array of shape {np.shape(items)}")
    return items


def _place(call: Call, position: Array, count: int, more: int = 0) -> int:
    """A position from the first one on; negative ones count from the end."""
    at = int(integer(as_array(position), "position"))
    if not -count <= at < count + more:
        raise call.error(f"the position must be from {-count} to {count + more - 1}, got {at}")
    return at + count if at < 0 else at
