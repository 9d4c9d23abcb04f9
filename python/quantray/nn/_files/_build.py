"""Makes modules of what a file says of them, which is not trusted."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, cast

import numpy as np

from quantray.nn._files._known import is_container, joined, known, object_of, strings_of
from quantray.nn._graph_module import GraphModule
from quantray.nn._module import Module

if TYPE_CHECKING:
    from quantray._typing import Array, Json, Tensor


class Builder:
    """Makes modules of a file's list.

    Parameters
    ----------
    about : dict
        What stands under `MODEL`, of version 2.
    tensors : mapping
        The file's.
    """

    def __init__(self, about: dict[str, Json], tensors: Mapping[str, Tensor]) -> None:
        entries = about.get("modules", [])
        if not isinstance(entries, list) or not all(isinstance(e, dict) for e in entries):
            raise ValueError("its modules must be a list of objects")
        self.entries = cast("list[dict[str, Json]]", entries)
        self.tensors = tensors
        self._made: dict[int, Module] = {}
        #: The number of the model itself.
        self.root = self._checked_tree(about.get("model"))

    def _checked_tree(self, root: Json) -> int | None:
        """Each module is inside others only, and their names are no more than can be walked."""
        paths: dict[int, int] = {}
        open_: set[int] = set()

        def count(number: int) -> int:
            if number in open_:
                raise ValueError(f"module {number} is inside of itself")
            if number not in paths:
                open_.add(number)
                paths[number] = 1 + sum(count(child) for child in self._inside(number))
                open_.discard(number)
            return paths[number]

        if root is None:
            return None
        number = self._number(root)
        if count(number) > 20 * len(self.entries) + 20_000:
            raise ValueError("its modules have too many names")
        return number

    def _number(self, found: Json) -> int:
        """What must be the number of a module."""
        if not isinstance(found, int) or isinstance(found, bool) or not 0 <= found < len(self.entries):
            raise ValueError(f"there is no module of number {found!r}")
        return found

    def _inside(self, number: int) -> list[int]:
        children = [child for child in self.children(number).values() if child is not None]
        return children + list(map(self._number, _modules_of(self.config(number))))

    def children(self, number: int) -> dict[str, int | None]:
        """Names and numbers of the modules inside one."""
        found = object_of(self.entries[number].get("children", {}), f"the children of module {number}")
        return {name: None if each is None else self._number(each) for name, each in found.items()}

    def config(self, number: int) -> dict[str, Json]:
        """The arguments of a module's constructor."""
        return object_of(self.entries[number].get("config", {}), f"the config of module {number}")

    def arrays(self, number: int) -> list[str]:
        """The names of the arrays that a module of graphs keeps."""
        return strings_of(self.entries[number].get("arrays", []), f"the arrays of module {number}")

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

                attach(made, runner, cast("Mapping[str, Array]", self.tensors))
        return self._made[number]

    def _build(self, number: int, path: str) -> Module:
        entry = self.entries[number]
        name = entry.get("type")
        if name == "GraphModule":
            made = self._graph_module(number, path)
        else:
            kind = known().get(name) if isinstance(name, str) else None
            if kind is None:
                raise ValueError(f"there is no module {name!r}")
            if is_container(kind):
                made = kind.__new__(kind)
                Module.__init__(made)
            else:
                make = getattr(kind, "_rebuild", kind)
                # Modules among the arguments are mostly children, too: with tensors below their own paths.
                paths = {child: joined(path, key) for key, child in self.children(number).items()}
                config = self.config(number).items()
                made = make(**{key: self._decoded(value, path, paths) for key, value in config})
        for key, child in self.children(number).items():
            inner = None if child is None else self.module(child, joined(path, key))
            if key in made._modules:
                made._modules[key] = inner
            else:
                made.add_module(key, inner)
        return made

    def _graph_module(self, number: int, path: str) -> Module:
        entry = self.entries[number]
        made = GraphModule(cast("str", entry.get("class")))
        parameters = strings_of(entry.get("parameters", []), "parameters")
        for key in self.arrays(number):
            array = self.tensors.get(joined(path, key))
            if array is None:
                raise ValueError(f"the file has no tensor {key!r} of {path or 'the model'}")
            if key in parameters and isinstance(array, np.ndarray):
                made.register_parameter(key, array)
            else:
                made.register_buffer(key, array)
        for key, value in object_of(entry.get("unsaved", {}), "unsaved arrays").items():
            name = cast("str", object_of(value, "an array")["tensor"])
            made.register_buffer(key, self.tensors[name], persistent=False)
        return made

    def _decoded(self, value: Json, path: str, paths: Mapping[int | None, str]) -> object:
        if isinstance(value, dict):
            if set(value) != {"module"}:
                raise ValueError(f"a config has values and modules, got {sorted(value)[:5]}")
            number = self._number(value["module"])
            return self.module(number, paths.get(number, path))
        if isinstance(value, list):
            return tuple(self._decoded(v, path, paths) for v in value)
        return value


def _modules_of(config: Json) -> list[Json]:
    """Numbers of modules among arguments."""
    if isinstance(config, dict):
        if set(config) == {"module"} and not isinstance(config["module"], dict | list):
            return [config["module"]]
        return [number for value in config.values() for number in _modules_of(value)]
    if isinstance(config, list):
        return [number for value in config for number in _modules_of(value)]
    return []


def is_hooked(entry: dict[str, Json]) -> bool:
    """Whether what runs a module needs hooks, which are code."""
    runner = entry.get("runner")
    return isinstance(runner, dict) and bool(runner.get("hooked"))
