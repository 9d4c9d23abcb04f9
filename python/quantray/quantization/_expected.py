"""Observers that a state_dict has the state of, for a prepared model that was not captured yet."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from quantray import nn
from quantray.graph import Node, kind_of
from quantray.quantization._settings import Settings
from quantray.quantization.qconfig import Factory

#: Names that observers, and what fake-quantizes weights, get: see `_placing` and `Prepared`.
_NAMES = re.compile(r"(?:(?P<of>.+)_(?:pre|post)_process|(?P<weight>weight_fake_quant))(?:_\d+)?")


class Expected(NamedTuple):
    """An observer that is not there yet."""

    path: str
    factory: Factory


def expected(model: nn.Module, settings: Settings, keys: Iterable[str]) -> Iterator[Expected]:
    """The observers that keys of a state_dict belong to, and that a model has not.

    The keys of a model that was saved and those of one that is to be captured agree, since names of observers
    depend on names of nodes alone. Of functions that a forward calls the name says which they are.
    """
    seen: set[str] = set()
    for key in keys:
        home, name = _first_missing(model, key)
        path = f"{home}.{name}" if home else name
        found = None if path in seen else _NAMES.fullmatch(name)
        if found is None:
            continue
        seen.add(path)
        of = found["of"]
        if found["weight"] or of == "activation":
            qconfig = settings.of_module(home, type(model.get_submodule(home)), model)
        else:
            qconfig = settings.of(_function(home, of), model)
        if qconfig is not None:
            yield Expected(path, qconfig.weight if found["weight"] else qconfig.activation)


def _function(home: str, name: str) -> Node:
    """A node of a function, as far as its name tells."""
    path = f"{home}.{name}" if home else name
    try:
        kind_of(name)
    except KeyError:
        # Functions of this name are no kind that there are settings for.
        return Node(path, "formula", scope=home, value=(None, path))
    return Node(path, name, scope=home)


def _first_missing(model: nn.Module, key: str) -> tuple[str, str]:
    """The module that a key comes to, and what that has not; "" where all of it is there."""
    module, home = model, ""
    for name in key.split(".")[:-1]:
        child = module._modules.get(name)
        if child is None:
            return home, name
        module, home = child, f"{home}.{name}" if home else name
    return home, ""
