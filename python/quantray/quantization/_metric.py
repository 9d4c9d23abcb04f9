"""What a user's metric says of a model: one finite number, or an error that names the model."""

from __future__ import annotations

import inspect
import math
import warnings
from collections.abc import Callable, Sized
from itertools import zip_longest

import numpy as np

from quantray.graph._graph import leaves
from quantray.graph._trees import is_array, is_sequence

#: `metric(model, data)`, or `metric(model)`: larger is better.
Metric = Callable[..., float]


def measured(metric: Metric, model: object, data: object, what: str) -> float:
    """What a metric says of a model: a finite number.

    Raises
    ------
    ValueError
        It is none. An error that the metric itself raises is told which model it was for.
    """
    try:
        value = metric(model, data) if takes_data(metric) else metric(model)
    except Exception as error:
        error.add_note(f"metric raised this for: {what}")
        raise
    try:
        number = float(value)
    except (TypeError, ValueError):
        raise ValueError(f"metric must give a number, got {type(value).__name__} for: {what}") from None
    if not math.isfinite(number):
        raise ValueError(f"metric must give a finite number, got {number} for: {what}")
    return number


def takes_data(metric: Metric) -> bool:
    """Whether a metric wants data beside the model."""
    try:
        parameters = inspect.signature(metric).parameters.values()
    except (TypeError, ValueError):
        return True
    places = [p for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    needed = [p for p in places if p.default is p.empty]
    return len(needed) >= 2 or any(p.kind is p.VAR_POSITIONAL for p in parameters)


def check_held_out(data: object, held_out: object, metric: Metric) -> None:
    """Raises where a metric has no data of its own: none, no batch, or those that are calibrated with."""
    if not takes_data(metric):
        return
    if held_out is None:
        raise ValueError("data_held_out must be what metric(model, data) is measured on, got None")
    if isinstance(held_out, Sized) and len(held_out) == 0:
        raise ValueError("data_held_out must hold at least one batch, got none")
    seen, held = _samples(data), _samples(held_out)
    shared = max(seen.keys() & held.keys(), key=lambda kind: math.prod(kind[0]), default=None)
    both = 0 if shared is None else len(seen[shared] & held[shared])
    if _are_same(data, held_out) or (shared is not None and seen[shared] == held[shared]):
        raise ValueError(
            "data_held_out must be other data than data: what is calibrated with says nothing of what a "
            "model does with data that it has not seen"
        )
    if shared is not None and 2 * both > len(held[shared]):
        warnings.warn(
            f"{both} of {len(held[shared])} samples of data_held_out are in data, too: what is calibrated "
            "with says nothing of what a model does with data that it has not seen",
            stacklevel=4,
        )


def _samples(data: object) -> dict[tuple[tuple[int, ...], str], set[int]]:
    """The samples that data are made of, by shape and type, as hashes. Data that pass once are left alone."""
    found: dict[tuple[tuple[int, ...], str], set[int]] = {}
    if not (is_array(data) or is_sequence(data)):
        return found
    for array in leaves(data):
        if is_array(array) and np.ndim(array) > 1:
            kind = np.shape(array)[1:], str(array.dtype)
            found.setdefault(kind, set()).update(hash(sample.tobytes()) for sample in array)
    return found


def _are_same(a: object, b: object) -> bool:
    if a is b:
        return True
    if is_array(a) and is_array(b):
        return a.shape == b.shape and (np.shares_memory(a, b) or bool(np.array_equal(a, b)))
    if not is_sequence(a) or not is_sequence(b) or len(a) != len(b):
        return False
    missing = object()
    pairs = zip_longest(leaves(list(a)), leaves(list(b)), fillvalue=missing)
    return all(x is y or (x is not missing and y is not missing and _leaf_same(x, y)) for x, y in pairs)


def _leaf_same(x: object, y: object) -> bool:
    try:
        return bool(np.array_equal(np.asarray(x), np.asarray(y)))
    except (TypeError, ValueError):
        return False
