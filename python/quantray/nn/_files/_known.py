"""Which classes files may name, and what else all that writes or reads them agrees on."""

from __future__ import annotations

import functools
import importlib
from typing import Any

from quantray.nn._containers import ModuleDict, ModuleList, Sequential
from quantray.nn._graph_module import GraphModule
from quantray.nn._module import Module

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


def is_container(kind: Any) -> bool:
    """Whether a class has no more than what is inside it."""
    return kind in (ModuleList, ModuleDict) or (isinstance(kind, type) and issubclass(kind, Sequential))


def joined(path: str, name: str) -> str:
    """The dotted name of what has a name inside a module."""
    return f"{path}.{name}" if path and name else path or name


def is_prepared(module: Module) -> bool:
    """Whether a module's runner watches values: a file has the state of that, not what it was made from."""
    if module._runner is None:
        return False
    from quantray.quantization._prepared import Prepared

    return isinstance(module._runner, Prepared)
