"""What a model is built of, as JSON."""

from __future__ import annotations

import functools
from typing import Any, cast

from quantray.nn._files._known import CONSTANTS, is_container, joined, names
from quantray.nn._module import Module


class Describer:
    """The list of a model's modules."""

    def __init__(self) -> None:
        from quantray.graph._files import Writer

        self.writer = Writer(CONSTANTS)
        self.entries: list[dict[str, Any]] = []
        #: Modules that run as Python, by their paths.
        self.python: list[str] = []
        #: By a module's id, which the model keeps alive.
        self._numbers: dict[int, int] = {}

    def number(self, module: Module, path: str = "", whole: frozenset[str] | None = None) -> int:
        """The number of a module; `whole` are paths of those inside a model of graphs that are called."""
        if id(module) not in self._numbers:
            # Its place is taken before its children's.
            self._numbers[id(module)] = len(self.entries)
            self.entries.append({})
            self.entries[self._numbers[id(module)]] = self._entry(module, path, whole)
        return self._numbers[id(module)]

    def _entry(self, module: Module, path: str, whole: frozenset[str] | None) -> dict[str, Any]:
        runner = None
        if module._runner is not None:
            runner = module._runner.for_file(module, self.writer)
        if runner is not None:
            whole = frozenset(joined(path, name) for name in runner.pop("called"))
            self.python += [joined(path, name) for name in runner["hooked"]]
        name, config = names().get(type(module)), getattr(module, "_config", None)
        is_called = whole is None or path in whole or (name or "").startswith("quantized.")
        entry: dict[str, Any] = {}
        if name is not None and is_container(type(module)):
            entry["type"] = name
        elif name is not None and config is not None and (is_called or not module._modules):
            entry["type"] = name
            paths = {id(each): inner for inner, each in module.named_modules(path)}
            encode = functools.partial(self._encoded, paths=paths, whole=whole)
            entry["config"] = {key: encode(value) for key, value in config().items()}
        elif not is_called:
            found = {**module._parameters, **module._buffers}
            own = [key for key, value in found.items() if value is not None]
            entry = {"type": "GraphModule", "class": module._get_name()}
            entry["arrays"] = [key for key in own if key not in module._unsaved]
            entry["parameters"] = [key for key in own if key in module._parameters]
            unsaved = [key for key in own if key in module._unsaved]
            entry["unsaved"] = {key: self.writer.tensor(module._buffers[key]) for key in unsaved}
        else:
            entry = {"class": module._get_name()}
            if whole is not None:
                self.python.append(path)
        if module._modules:
            entry["children"] = {
                key: None if child is None else self.number(child, joined(path, key), whole)
                for key, child in module._modules.items()
            }
        if runner is not None:
            entry["runner"] = runner
        return entry

    def _encoded(self, value: Any, paths: dict[int, str], whole: frozenset[str] | None) -> Any:
        if isinstance(value, Module):
            return {"module": self.number(value, paths.get(id(value), ""), whole)}
        if isinstance(value, (tuple, list)):
            return [self._encoded(v, paths, whole) for v in cast("list[Any]", value)]
        return value
