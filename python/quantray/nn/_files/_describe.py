"""What a model is built of, as JSON."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, NamedTuple, cast

from quantray.nn._files._known import CONSTANTS, is_container, joined, names, strings_of
from quantray.nn._module import Module

if TYPE_CHECKING:
    from quantray._typing import Json, Tensor


class _Around(NamedTuple):
    """A model of graphs: paths of the modules that its nodes call, and whether the others are called too."""

    called: frozenset[str]
    keeps_forward: bool


class Describer:
    """The list of a model's modules."""

    def __init__(self) -> None:
        from quantray.graph._files import Writer

        self.writer = Writer(CONSTANTS)
        self.entries: list[dict[str, Json]] = []
        #: Modules that run as Python, by their paths.
        self.python: list[str] = []
        #: By a module's id, which the model keeps alive.
        self._numbers: dict[int, int] = {}

    def number(self, module: Module, path: str = "", around: _Around | None = None) -> int:
        """The number of a module; `around` is the model of graphs that it is inside of."""
        if id(module) not in self._numbers:
            # Its place is taken before its children's.
            self._numbers[id(module)] = len(self.entries)
            self.entries.append({})
            self.entries[self._numbers[id(module)]] = self._entry(module, path, around)
        return self._numbers[id(module)]

    def _entry(self, module: Module, path: str, around: _Around | None) -> dict[str, Json]:
        by = module._runner
        runner = None if by is None else by.for_file(module, self.writer)
        if by is not None and runner is not None:
            called = frozenset(joined(path, name) for name in strings_of(runner.pop("called"), "called"))
            self.python += [joined(path, name) for name in strings_of(runner["hooked"], "hooked")]
            around = _Around(called, by.keeps_forward) if runner["graphs"] else None
        name, config = names().get(type(module)), getattr(module, "_config", None)
        is_called = around is None or path in around.called
        # What has no forward any more need not be of its class.
        keeps = around is None or is_called or around.keeps_forward
        keeps = keeps or not module._modules or (name or "").startswith("quantized.")
        entry: dict[str, Json] = {}
        if name is not None and is_container(type(module)):
            entry["type"] = name
        elif name is not None and config is not None and keeps:
            entry["type"] = name
            paths = {id(each): inner for inner, each in module.named_modules(path)}
            encode = functools.partial(self._encoded, paths=paths, around=around)
            entry["config"] = {key: encode(value) for key, value in config().items()}
        elif not is_called:
            found = {**module._parameters, **module._buffers}
            own = [key for key, value in found.items() if value is not None]
            entry = {"type": "GraphModule", "class": module._get_name()}
            entry["arrays"] = [key for key in own if key not in module._unsaved]
            entry["parameters"] = [key for key in own if key in module._parameters]
            unsaved = [key for key in own if key in module._unsaved]
            entry["unsaved"] = {
                key: self.writer.tensor(cast("Tensor", module._buffers[key])) for key in unsaved
            }
        else:
            entry = {"class": module._get_name()}
            if around is not None:
                self.python.append(path)
        if module._modules:
            entry["children"] = {
                key: None if child is None else self.number(child, joined(path, key), around)
                for key, child in module._modules.items()
            }
        if runner is not None:
            entry["runner"] = runner
        return entry

    def _encoded(self, value: object, paths: dict[int, str], around: _Around | None) -> Json:
        if isinstance(value, Module):
            return {"module": self.number(value, paths.get(id(value), ""), around)}
        if isinstance(value, (tuple, list)):
            return [self._encoded(v, paths, around) for v in cast("list[object]", value)]
        return cast("Json", value)
