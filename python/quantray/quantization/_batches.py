"""What workflows are given: models, and batches of data."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, cast

import numpy as np

from quantray import nn


def as_arguments(given: Any) -> tuple[Any, ...]:
    """What a model is called with: a tuple of arguments, or one."""
    return cast("tuple[Any, ...]", given if isinstance(given, tuple) else (given,))


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


def check_model(model: Any) -> None:
    """Raises where a model is none of quantray's.

    Raises
    ------
    TypeError
        It says what to do with a model of torch's.
    """
    if isinstance(model, nn.Module):
        return
    kind = f"{type(model).__module__}.{type(model).__name__}"
    if any(base.__module__.split(".")[0] == "torch" for base in type(model).__mro__):
        raise TypeError(
            f"model must be a quantray.nn.Module, got a torch module ({kind}): build the same layers of "
            "quantray.nn, whose names and state_dict keys are torch's, then load_state_dict(model.state_dict())"
        )
    raise TypeError(f"model must be a quantray.nn.Module, got {kind}")
