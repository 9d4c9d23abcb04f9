"""Calls of a float model that evaluates: by programs, where nobody can tell."""

from __future__ import annotations

import contextlib
import importlib
import threading
from collections.abc import Callable, Generator
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from quantray.nn._tracing import state

if TYPE_CHECKING:
    from quantray._typing import Args, Kwargs
    from quantray.nn._module import Module

#: What a call of a module goes through.
Way: TypeAlias = "Callable[[Module, Args, Kwargs], Any]"

_lock = threading.RLock()

#: So many weights, or, where there are filters, numbers that they run over, are worth a program: calls of
#: smaller models take some microseconds either way, and a capture takes as long as hundreds of them.
LEAST = 1 << 16


def by_forward(module: Module, args: Args, kwargs: Kwargs) -> Any:
    """The way of modules for which a program would do what `forward` does."""
    return module._call(args, kwargs)


def way_of(module: Module, args: Args) -> Way:
    """What a call of a module goes through, and, where that is known by now, all calls from now on."""
    if state.by_forward:
        return by_forward
    weights, has_filters = _weights(module)
    if weights < LEAST and not has_filters:
        module.__dict__["_evaluation"] = by_forward
        return by_forward
    if weights < LEAST and _size(args) < LEAST:
        return by_forward
    with _lock:
        known = module.__dict__.get("_evaluation")
        if known is None:
            # `nn` knows no graphs: what runs them is looked up when it is first wanted.
            found = importlib.import_module("quantray.quantization._evaluation")
            known = module.__dict__["_evaluation"] = found.Evaluation(module, always=weights >= LEAST)
        return known


def is_large(args: Args) -> bool:
    """Whether a call with these is worth a program, whatever the weights."""
    return _size(args) >= LEAST


def _size(args: Args) -> int:
    return max((arg.size for arg in args if isinstance(arg, np.ndarray)), default=0)


@contextlib.contextmanager
def by_forward_inside() -> Generator[None]:
    """As long as this lasts, modules that this thread calls run by their `forward`."""
    before, state.by_forward = state.by_forward, True
    try:
        yield
    finally:
        state.by_forward = before


def _weights(module: Module) -> tuple[int, bool]:
    """How many floats are in matrices and filters of a module, and whether there are filters."""
    from quantray.nn._embedding import Embedding, EmbeddingBag

    arrays = [
        array
        for each in module.modules()
        if not isinstance(each, (Embedding, EmbeddingBag))
        for array in each._parameters.values()
        if array is not None and array.ndim > 1 and array.dtype == np.float32
    ]
    return sum(array.size for array in arrays), any(array.ndim > 2 for array in arrays)


def forgotten() -> None:
    """What becomes of a way in a copy of a module: it finds its own."""
