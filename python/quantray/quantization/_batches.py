"""What workflows are given: models, and batches of data."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Mapping
from typing import Any, TypeGuard, TypeVar, cast

import numpy as np

from quantray import nn
from quantray._typing import Args, Array
from quantray.graph._trees import is_array, is_list, is_tuple
from quantray.nn._foreign import check_model as check_model

#: What data are made of: an array, a tuple of a model's arguments, or what `transform` makes them of.
Batch = TypeVar("Batch")


def as_arguments(given: object, model: nn.Module | None = None) -> Args:
    """What a model is called with: a tuple of arguments, or one.

    A list of arrays is a tuple of them: loaders of torch give lists.
    """
    if is_tuple(given) or (is_list(given) and given and all(hasattr(part, "shape") for part in given)):
        args = tuple(given)
    else:
        args = (given,)
    return args if model is None else model._arranged(args)


def as_batches(data: Iterable[Batch]) -> Iterable[Batch]:
    """Batches: one array is one of them, and one dict by the names of inputs.

    Raises
    ------
    TypeError
        For what is no iterable of batches.
    """
    # Readers of onnxruntime, and data sets of NNCF.
    if callable(getattr(data, "get_inference_data", None)):
        return cast("Any", data).get_inference_data()
    if callable(getattr(data, "get_next", None)):
        return iter(cast("Any", data).get_next, None)
    if isinstance(data, (np.ndarray, Mapping)) or hasattr(data, "__array__"):
        return [cast("Batch", data)]
    if isinstance(data, (str, bytes)) or not hasattr(data, "__iter__"):
        raise TypeError(
            f"data must be batches: arrays, or tuples of a model's arguments, got {type(data).__name__}"
        )
    return data


def is_floats(value: object) -> TypeGuard[Array]:
    """Whether what a model gives is an array of floats."""
    return is_array(value) and not np.isscalar(value) and value.dtype.kind == "f"


def check_arguments(model: nn.Module, args: Args) -> None:
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
