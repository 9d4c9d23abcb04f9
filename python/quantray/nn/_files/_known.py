"""Which classes files may name, and what else all that writes or reads them agrees on."""

from __future__ import annotations

import functools
import importlib
from typing import TYPE_CHECKING, cast

from quantray.nn._containers import ModuleDict, ModuleList, Sequential
from quantray.nn._graph_module import GraphModule
from quantray.nn._module import Module

if TYPE_CHECKING:
    from quantray._typing import Json

#: Of what stands under `MODEL`.
VERSION = 2

#: What names of tensors of graphs begin with: no module's name can be empty.
CONSTANTS = ".constants."

#: Where a file's modules may come from, and what their names begin with there.
_SPACES = {"": "nn", "intrinsic.": "nn.intrinsic", "quantized.": "nn.quantized"}
_SPACES["quantized.dynamic."] = "nn.quantized.dynamic"
#: Names that are imported when they are first asked for.
_LATE = {"quantized.": ("WeightOnly",)}
_SPACES["intrinsic.quantized."] = "nn.intrinsic.quantized"
_SPACES["intrinsic.quantized.dynamic."] = "nn.intrinsic.quantized.dynamic"


@functools.cache
def known() -> dict[str, type[Module]]:
    """The modules that a file may name: quantray's own, and no others."""
    found: dict[str, type[Module]] = {}
    for prefix, path in _SPACES.items():
        space = importlib.import_module(f"quantray.{path}")
        for name in (*space.__all__, *_LATE.get(prefix, ())):
            value = getattr(space, name)
            if isinstance(value, type) and issubclass(value, Module) and value is not GraphModule:
                found[prefix + name] = value
    return found


@functools.cache
def names() -> dict[type[Module], str]:
    """What files call them."""
    return {kind: name for name, kind in known().items()}


def is_container(kind: type[Module]) -> bool:
    """Whether a class has no more than what is inside it."""
    return kind in (ModuleList, ModuleDict) or issubclass(kind, Sequential)


def object_of(value: Json, what: str) -> dict[str, Json]:
    """What must be an object of JSON."""
    if not isinstance(value, dict):
        raise ValueError(f"{what} must be an object")
    return value


def list_of(value: Json, what: str) -> list[Json]:
    """What must be a list."""
    if not isinstance(value, list):
        raise ValueError(f"{what} must be a list")
    return value


def strings_of(value: Json, what: str) -> list[str]:
    """What must be a list of names."""
    found = list_of(value, what)
    if not all(isinstance(each, str) for each in found):
        raise ValueError(f"{what} must be names")
    return cast("list[str]", found)


def same(about: dict[str, Json]) -> dict[str, str]:
    """Names of tensors that others are, too, and those others' names."""
    found = object_of(about.get("same", {}), "names of the same tensors")
    strings_of(list(found.values()), "names of the same tensors")
    return cast("dict[str, str]", found)


def joined(path: str, name: str) -> str:
    """The dotted name of what has a name inside a module."""
    return f"{path}.{name}" if path and name else path or name


def is_prepared(module: Module) -> bool:
    """Whether a module's runner watches values: a file has the state of that, not what it was made from."""
    if module._runner is None:
        return False
    from quantray.quantization._prepared import Prepared

    return isinstance(module._runner, Prepared)
