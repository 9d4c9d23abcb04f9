"""The table of operators: what each one of a file's nodes means, in functions of arrays."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, SupportsInt, TypeAlias, TypeVar, cast

from quantray._typing import Array as Array
from quantray._typing import Tensor
from quantray.nn import Module
from quantray.onnx._messages import Attributes

#: What an input is: an array, an array of lengths, or None for one that a node leaves out.
Given: TypeAlias = Array | None
#: What an output is: an array, a sequence of arrays, or None for one that is not there.
Made: TypeAlias = Tensor | list[Array] | None
#: What a node gives: one output, or a tuple of them.
Outputs: TypeAlias = Made | tuple[Made, ...]
#: What a function of arrays is that gives one.
ArrayFunction: TypeAlias = Callable[..., Array]
#: What an operator computes: of the call's settings and its inputs.
Function: TypeAlias = Callable[..., Outputs]
#: What makes a module of a node whose other inputs are constants; None where the node is no such layer.
Builder: TypeAlias = Callable[["Call", Sequence[Given]], "Module | None"]

F = TypeVar("F", bound=Callable[..., object])
T = TypeVar("T")


@dataclass(frozen=True)
class Call:
    """One node of a file, as its operator sees it.

    Attributes
    ----------
    name : str
        The node's, for errors.
    op, domain : str
    version : int
        Of its domain's set of operators.
    attributes : mapping
    wanted : tuple of bool
        For each output whether something takes it.
    given : tuple of int
        Which inputs are no constants; layers are called with these alone.
    types : tuple of str or None
        What the file says that elements of the inputs are, as far as it does: "int4" for arrays of int8.
    """

    name: str
    op: str
    domain: str = ""
    version: int = 1
    attributes: Attributes = field(default_factory=dict[str, object])
    wanted: tuple[bool, ...] = (True,)
    given: tuple[int, ...] = (0,)
    types: tuple[str | None, ...] = ()

    @property
    def title(self) -> str:
        """The node and its operator."""
        return f"{self.name} ({self.op})"

    def get(self, name: str, default: object = None) -> Any:
        """An attribute, or what it is where the node does not say."""
        return self.attributes.get(name, default)

    def integers(self, name: str, default: object = None) -> tuple[int, ...] | None:
        """An attribute that is a list of integers; one integer is a list of one."""
        found = self.attributes.get(name, default)
        if found is None:
            return None
        return (int(found),) if isinstance(found, int) else tuple(map(int, found))

    def choice(self, name: str, valid: Sequence[T], default: T | None = None) -> T:
        """An attribute that is one of some values; by default the first of them."""
        found = self.attributes.get(name, valid[0] if default is None else default)
        if found not in valid:
            raise self.error(f"{name} must be one of {', '.join(map(str, valid))}, got {found!r}")
        return found

    def need(self, name: str) -> Any:
        """An attribute without which the node means nothing."""
        found = self.attributes.get(name)
        if found is None:
            raise self.error(f"it has no {name}")
        return found

    def axis(self, axis: SupportsInt, ndim: int) -> int:
        """An axis, counted from the first one."""
        at = int(axis)
        if not -ndim <= at < ndim:
            raise self.error(f"axis must be from {-ndim} to {ndim - 1}, got {at}")
        return at + ndim if at < 0 else at

    def type_of(self, at: int, x: Array) -> str:
        """What elements of an input are: by the file, else by the array."""
        known = self.types[at] if at < len(self.types) else None
        return known or str(x.dtype)

    def error(self, what: str) -> ValueError:
        """What is wrong with the node."""
        return ValueError(f"{self.title}: {what}")


@dataclass(frozen=True)
class Operator:
    """A row of the table.

    Attributes
    ----------
    function : callable
        What it computes of the inputs.
    takes_lengths : bool
        Whether it computes with arrays of lengths that are not known yet; for others they become nodes.
    builder : callable, optional
        Makes a layer where some of its inputs are constants.
    has_parameters : bool
        Whether constants of floats are parameters of its step, and not settings.
    is_reference : bool
        Whether the reference evaluator of the `onnx` package computes it.
    """

    function: Function
    takes_lengths: bool = False
    builder: Builder | None = None
    has_parameters: bool = True
    is_reference: bool = False

    def arity(self) -> tuple[int, int | None]:
        """The least and the greatest number of inputs; None where there is no greatest one."""
        least, most = 0, 0
        for parameter in self._inputs:
            if parameter.kind is parameter.VAR_POSITIONAL:
                return least, None
            most += 1
            least += parameter.default is parameter.empty
        return least, most

    def needed(self) -> list[int]:
        """Places of inputs that no node may leave out: some may, before others that it may not."""
        return [
            place
            for place, parameter in enumerate(self._inputs)
            if parameter.kind is not parameter.VAR_POSITIONAL
            and parameter.default is parameter.empty
            and parameter.annotation not in ("Given", Given)
        ]

    @functools.cached_property
    def _inputs(self) -> list[inspect.Parameter]:
        # Files have many nodes of few operators.
        parameters = list(inspect.signature(self.function).parameters.values())[1:]
        return [parameter for parameter in parameters if parameter.kind is not parameter.KEYWORD_ONLY]


_OPERATORS: dict[tuple[str, str], Operator] = {}

#: The domain of the standard's operators has two names.
_STANDARD = ("", "ai.onnx")


def operator(
    *names: str, domain: str = "", takes_lengths: bool = False, has_parameters: bool = True
) -> Callable[[F], F]:
    """Decorates what computes some operators."""

    def add(function: F) -> F:
        for name in names:
            row = Operator(cast("Function", function), takes_lengths, None, has_parameters)
            _OPERATORS[domain, name] = row
        return function

    return add


def layer(*names: str, domain: str = "") -> Callable[[Builder], Builder]:
    """Decorates what makes layers of some operators, which are in the table already."""

    def add(builder: Builder) -> Builder:
        for name in names:
            known = _OPERATORS[domain, name]
            _OPERATORS[domain, name] = replace(known, builder=builder)
        return builder

    return add


def filled(inputs: Sequence[Given], count: int) -> list[Given]:
    """Inputs, and None for those that are left out at the end."""
    return [*inputs, *[None] * count][:count]


def find(domain: str, op: str) -> Operator | None:
    """The row of an operator, if there is one."""
    return _OPERATORS.get(("" if domain in _STANDARD else domain, op))


def known() -> list[tuple[str, str]]:
    """Domain and name of all operators that there are."""
    return sorted(_OPERATORS)
