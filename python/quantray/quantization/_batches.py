"""What workflows are given: models, and batches of data."""

from __future__ import annotations

import inspect
from collections.abc import Iterable
from typing import Any, cast

import numpy as np

from quantray import nn
from quantray.nn._foreign import check_model as check_model


def as_arguments(given: Any, model: nn.Module | None = None) -> tuple[Any, ...]:
    """What a model is called with: a tuple of arguments, or one.

    A list of arrays is a tuple of them: loaders of torch give lists.
    """
    if isinstance(given, list):
        parts = cast("list[Any]", given)
        if parts and all(hasattr(part, "shape") for part in parts):
            given = tuple(parts)
    args = cast("tuple[Any, ...]", given if isinstance(given, tuple) else (given,))
    return args if model is None else model._arranged(args)


def as_batches(data: Iterable[Any]) -> Iterable[Any]:
    """Batches: one array is one of them.

    Raises
    ------
    TypeError
        For what is no iterable of batches.
    """
    if isinstance(data, np.ndarray) or hasattr(data, "__array__"):
        return [data]
    if isinstance(data, (str, bytes)) or not hasattr(data, "__iter__"):
        raise TypeError(
            f"data must be batches: arrays, or tuples of a model's arguments, got {type(data).__name__}"
        )
    return data


def check_arguments(model: nn.Module, args: tuple[Any, ...]) -> None:
    """Raises where a batch has more parts than a model takes: labels, most often.

    Raises
    ------
    TypeError
        It says how to take the model's part of it.
    """
    if len(args) < 2:
        return
    try:
        signature = inspect.signature(type(model).forward)
    except ValueError:
        return
    try:
        signature.bind(model, *args)
    except TypeError:
        takes = sum(
            p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD) for p in signature.parameters.values()
        )
        raise TypeError(
            f"a batch is the tuple of the model's arguments, and {type(model).__name__}.forward takes "
            f"{takes - 1}, "
            f"got {len(args)}: for batches like (x, y) give transform=lambda batch: batch[0]"
        ) from None
