"""Factories: a class with some of its arguments, which makes a new object at every call."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class _PartialWrapper(Generic[T]):
    """A callable with keyword arguments, compared by what they are; torch's name.

    `p` is the `functools.partial`; `callable_args` are called for every object that is made.
    """

    def __init__(self, p: functools.partial[T], callable_args: dict[str, Callable[[], object]] | None = None):
        self.p = p
        self.callable_args = callable_args or {}

    def __call__(self, *args: object, **keywords: object) -> T:
        made = {name: make() for name, make in self.callable_args.items() if name not in keywords}
        return self.p(*args, **made, **keywords)

    def with_args(self, **kwargs: object) -> _PartialWrapper[T]:
        """A factory with more arguments; those given here win."""
        later = {name: make for name, make in self.callable_args.items() if name not in kwargs}
        return _PartialWrapper(functools.partial(self.p, **kwargs), later)

    def with_callable_args(self, **kwargs: Callable[[], object]) -> _PartialWrapper[T]:
        """A factory with arguments that are called for every object."""
        return _PartialWrapper(self.p, {**self.callable_args, **kwargs})

    def _key(self) -> tuple[object, ...]:
        return self.p.func, self.p.args, self.p.keywords, self.callable_args

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _PartialWrapper) and self._key() == other._key()

    def __hash__(self) -> int:
        return hash((self.p.func, self.p.args, *sorted(self.p.keywords), *sorted(self.callable_args)))

    def __repr__(self) -> str:
        name = getattr(self.p.func, "__name__", repr(self.p.func))
        names = {**self.p.keywords, **self.callable_args}
        text = ", ".join(f"{key}={getattr(value, '__name__', repr(value))}" for key, value in names.items())
        return f"{name}.with_args({text})"


class Makes:
    """What classes have whose objects models hold many of, each made alike."""

    @classmethod
    def with_args(cls: type[T], **kwargs: object) -> _PartialWrapper[T]:
        """A factory: this class with some of its arguments.

        >>> from quantray import quantization as tq
        >>> factory = tq.MinMaxObserver.with_args(quant_max=127).with_args(quant_min=0)
        >>> factory().quant_max, factory() is factory()
        (127, False)
        """
        return _PartialWrapper(functools.partial(cls, **kwargs))

    @classmethod
    def with_callable_args(cls: type[T], **kwargs: Callable[[], object]) -> _PartialWrapper[T]:
        """A factory with arguments that are called for every object that it makes.

        >>> from quantray import quantization as tq
        >>> factory = tq.MinMaxObserver.with_callable_args(eps=lambda: 2.0**-12)
        >>> factory().eps
        array([0.00024414], dtype=float32)
        """
        return _PartialWrapper(functools.partial(cls)).with_callable_args(**kwargs)
