"""The one place where `nn` meets whoever captures what a model computes.

A capture runs `forward` on stand-ins of arrays. Functions of `nn.functional`, modules and their parameters
ask here whether one is under way on this thread, and if so hand their call over to it: `nn` knows no more of
it than the protocol below, and imports nothing for it.
"""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, ParamSpec, Protocol, TypeVar

if TYPE_CHECKING:
    from quantray._typing import Floats
    from quantray.nn._module import Module

P = ParamSpec("P")
R = TypeVar("R")
T = TypeVar("T")


class Tracer(Protocol):
    """What a capture does with the calls that are handed to it."""

    def call_function(
        self, function: Callable[..., R], args: tuple[object, ...], kwargs: Mapping[str, object]
    ) -> R:
        """A function of `nn.functional`: itself, where no argument is a stand-in."""
        ...

    def call_module(self, module: Module, args: tuple[object, ...], kwargs: dict[str, object]) -> object:
        """A module's call."""
        ...

    def attribute(self, module: Module, name: str, value: T) -> T:
        """A parameter or a buffer that `forward` asks a module for."""
        ...

    def as_floats(self, value: object) -> Floats | None:
        """A stand-in as one of float32; None for what is no stand-in."""
        ...


class _State(threading.local):
    """What this thread is in the middle of."""

    #: The capture that is under way.
    tracer: Tracer | None = None
    #: Whether models are called for what their `forward` gives.
    by_forward: bool = False


state = _State()


def traced(function: Callable[P, R]) -> Callable[P, R]:
    """Decorates a function of arrays: a capture that is under way gets its calls."""

    @functools.wraps(function)
    def call(*args: P.args, **kwargs: P.kwargs) -> R:
        tracer = state.tracer
        if tracer is None:
            return function(*args, **kwargs)
        return tracer.call_function(call, args, kwargs)

    return call


F = TypeVar("F", bound=Callable[..., object])


def whole(forward: F) -> F:
    """Decorates a `forward` with state of its own, or one that integers take the place of: a capture keeps
    its calls as they are, and does not look inside.
    """
    forward.is_whole = lambda module: True  # type: ignore[attr-defined]
    return forward


def whole_in_training(forward: F) -> F:
    """Decorates a `forward` that has state, or chance, in training alone."""
    forward.is_whole = lambda module: module.training  # type: ignore[attr-defined]
    return forward


#: Classes that somebody has said are whole.
WHOLE: set[type] = set()


def is_whole(module: Module) -> bool:
    """Whether a capture keeps a module's calls as they are. A subclass with a `forward` of its own is asked
    anew.
    """
    if type(module) in WHOLE:
        return True
    found = getattr(type(module).forward, "is_whole", None)
    return found is not None and bool(found(module))


def is_attached(name: str) -> bool:
    """Whether a module of this name was put beside others to watch or round their values: it is no layer."""
    return name.startswith("weight_fake_quant") or "_pre_process" in name or "_post_process" in name
