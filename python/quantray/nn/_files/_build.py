"""Makes modules of what a file says of them, which is not trusted."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

import numpy as np

from quantray.nn._files._known import is_container, joined, known
from quantray.nn._graph_module import GraphModule
from quantray.nn._module import Module


class Builder:
    """Makes modules of a file's list.

    Parameters
    ----------
    about : dict
        What stands under `MODEL`, of version 2.
    tensors : mapping
        The file's.
    """

    def __init__(self, about: dict[str, Any], tensors: Mapping[str, Any]) -> None:
        entries = about.get("modules", [])
        if not isinstance(entries, list) or not all(isinstance(e, dict) for e in cast("list[Any]", entries)):
            raise ValueError("its modules must be a list of objects")
        self.entries = cast("list[dict[str, Any]]", entries)
        self.tensors = tensors
        self._made: dict[int, Module] = {}
        self._check_tree(about.get("model"))

    def _check_tree(self, root: Any) -> None:
        """Each module is inside others only, and their names are no more than can be walked."""
        paths: dict[int, int] = {}
        open_: set[int] = set()

        def count(number: Any) -> int:
            if type(number) is not int or not 0 <= number < len(self.entries):
                raise ValueError(f"there is no module of number {number!r}")
            if number in open_:
                raise ValueError(f"module {number} is inside of itself")
            if number not in paths:
                open_.add(number)
                paths[number] = 1 + sum(count(child) for child in self._inside(number))
                open_.discard(number)
            return paths[number]

        if root is not None and count(root) > 20 * len(self.entries) + 20_000:
            raise ValueError("its modules have too many names")

    def _inside(self, number: int) -> list[Any]:
        return [
            *(c for c in self.children(number).values() if c is not None),
            *_modules_of(self.config(number)),
        ]

    def children(self, number: int) -> dict[str, Any]:
        """Names and numbers of the modules inside one."""
        found = self.entries[number].get("children", {})
        if not isinstance(found, dict):
            raise ValueError(f"the children of module {number} must be an object")
        return cast("dict[str, Any]", found)

    def config(self, number: int) -> dict[str, Any]:
        """The arguments of a module's constructor."""
        found = self.entries[number].get("config", {})
        if not isinstance(found, dict):
            raise ValueError(f"the config of module {number} must be an object")
        return cast("dict[str, Any]", found)

    def is_complete(self, number: int) -> bool:
        """Whether all of a module can be made without a class that is not here."""
        return all(
            "type" in entry and not is_hooked(entry)
            for entry in map(self.entries.__getitem__, self._all(number))
        )

    def _all(self, number: int) -> set[int]:
        found: set[int] = set()
        todo = [number]
        while todo:
            each = todo.pop()
            if each not in found:
                found.add(each)
                todo += self._inside(each)
        return found

    def module(self, number: int, path: str = "") -> Module:
        """A module, its weights yet to be loaded; one of a number is always the same."""
        if number not in self._made:
            made = self._build(number, path)
            self._made[number] = made
            runner = self.entries[number].get("runner")
            if runner is not None:
                from quantray.quantization._files import attach

                attach(made, runner, self.tensors)
        return self._made[number]

    def _build(self, number: int, path: str) -> Module:
        entry = self.entries[number]
        name = entry.get("type")
        if name == "GraphModule":
            made = self._graph_module(entry, path)
        else:
            kind = known().get(name) if isinstance(name, str) else None
            if kind is None:
                raise ValueError(f"there is no module {name!r}")
            if is_container(kind):
                made = kind.__new__(kind)
                Module.__init__(made)
            else:
                make = getattr(kind, "_rebuild", kind)
                made = make(**{key: self._decoded(value, path) for key, value in self.config(number).items()})
        for key, child in self.children(number).items():
            inner = None if child is None else self.module(child, joined(path, key))
            if key in made._modules:
                made._modules[key] = inner
            else:
                made.add_module(key, inner)
        return made

    def _graph_module(self, entry: dict[str, Any], path: str) -> Module:
        made = GraphModule(entry.get("class"))  # type: ignore[arg-type]
        parameters = entry.get("parameters", [])
        for key in entry.get("arrays", []):
            array = self.tensors.get(joined(path, key))
            if array is None:
                raise ValueError(f"the file has no tensor {key!r} of {path or 'the model'}")
            if key in parameters and isinstance(array, np.ndarray):
                made.register_parameter(key, cast("Any", array))
            else:
                made.register_buffer(key, array)
        for key, value in entry.get("unsaved", {}).items():
            made.register_buffer(key, self.tensors[value["tensor"]], persistent=False)
        return made

    def _decoded(self, value: Any, path: str) -> Any:
        if isinstance(value, dict):
            found = cast("dict[str, Any]", value)
            if set(found) != {"module"}:
                raise ValueError(f"a config has values and modules, got {sorted(found)[:5]}")
            return self.module(found["module"], path)
        if isinstance(value, list):
            return tuple(self._decoded(v, path) for v in cast("list[Any]", value))
        return value


def _modules_of(config: Any) -> list[Any]:
    """Numbers of modules among arguments."""
    if isinstance(config, dict):
        found = cast("dict[str, Any]", config)
        if set(found) == {"module"} and not isinstance(found["module"], dict | list):
            return [found["module"]]
        return [number for value in found.values() for number in _modules_of(value)]
    if isinstance(config, list):
        return [number for value in cast("list[Any]", config) for number in _modules_of(value)]
    return []


def is_hooked(entry: dict[str, Any]) -> bool:
    """Whether what runs a module needs hooks, which are code."""
    runner = entry.get("runner")
    return isinstance(runner, dict) and bool(cast("dict[str, Any]", runner).get("hooked"))
