"""What workflows are told of classes, as torch's tables and dicts have it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias, cast

from quantray.nn import Module

if TYPE_CHECKING:
    from quantray.quantization.qconfig import QConfig

# Keys of mappings are invariant: no narrower type takes a table of some classes.
#: Classes of modules, or functions, and the classes that take their place.
Classes: TypeAlias = Mapping[Any, type[Module]]
#: Classes, functions and dotted names, each with its QConfig.
Choices: TypeAlias = "Mapping[Any, QConfig | None]"
#: torch's settings as a dict: what an entry holds, its key says.
Config: TypeAlias = Mapping[str, Any]


class _FromFloat(Protocol):
    @property
    def from_float(self) -> Callable[..., Module]: ...


class _FromObserved(Protocol):
    @property
    def from_observed(self) -> Callable[..., Module]: ...


def from_float(kind: type[Module]) -> Callable[..., Module]:
    """What makes a module of a class of a float one: classes in tables have it."""
    return cast("_FromFloat", kind).from_float


def from_observed(kind: type[Module]) -> Callable[..., Module]:
    """What makes a module of a class of an observed one."""
    return cast("_FromObserved", kind).from_observed
