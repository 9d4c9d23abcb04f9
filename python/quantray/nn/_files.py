"""Models in files: arrays in safetensors, and beside them, as JSON, which modules they belong to, and what runs these.

The JSON has `modules`, a list, and `model`, which one of them the model is. Each module stands there once, whatever
names it has, with the numbers of those inside it as `children`:

- one of quantray's own by its `type`, with the arguments of its constructor, `config`, where it has some;
- one of another class without `type`, by the name of its `class`; only an instance of that takes the file;
- one of another class inside a model that runs by graphs as "GraphModule", with the names of its own arrays.

What runs a module is its `runner`: see `quantization/_files.py`. `same` names what is stored under another name:
arrays of modules that have two names, and arrays that two modules share. Version 1 had a tree of types and configs.
"""

from __future__ import annotations

import functools
import importlib
import json
import os
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, cast

import numpy as np

from quantray import _core
from quantray._core import QTensor
from quantray._files import MODEL
from quantray.nn import _init
from quantray.nn._containers import ModuleDict, ModuleList, Sequential
from quantray.nn._file_versions import as_version_2, with_grids
from quantray.nn._graph_module import GraphModule
from quantray.nn._module import Incompatible, Module

#: Of what stands under `MODEL`.
VERSION = 2

#: What names of tensors of graphs begin with: no module's name can be empty.
CONSTANTS = ".constants."

#: Where a file's modules may come from, and what their names begin with there.
_SPACES = {"": "nn", "intrinsic.": "nn.intrinsic", "quantized.": "nn.quantized"}
_SPACES["quantized.dynamic."] = "nn.quantized.dynamic"


@functools.cache
def _known() -> dict[str, type[Module]]:
    """The modules that a file may name: quantray's own, and no others."""
    found: dict[str, type[Module]] = {}
    for prefix, path in _SPACES.items():
        space = importlib.import_module(f"quantray.{path}")
        for name in space.__all__:
            value = getattr(space, name)
            if isinstance(value, type) and issubclass(value, Module) and value is not GraphModule:
                found[prefix + name] = value
    return found


@functools.cache
def _names() -> dict[type[Module], str]:
    return {kind: name for name, kind in _known().items()}


def _is_container(kind: Any) -> bool:
    return kind in (ModuleList, ModuleDict) or (isinstance(kind, type) and issubclass(kind, Sequential))


# Writing


class _Describer:
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
            whole = frozenset(_joined(path, name) for name in runner.pop("called"))
            self.python += [_joined(path, name) for name in runner["hooked"]]
        name, config = _names().get(type(module)), getattr(module, "_config", None)
        is_called = whole is None or path in whole or (name or "").startswith("quantized.")
        entry: dict[str, Any] = {}
        if name is not None and _is_container(type(module)):
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
                key: None if child is None else self.number(child, _joined(path, key), whole)
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


def _joined(path: str, name: str) -> str:
    """The dotted name of what has a name inside a module."""
    return f"{path}.{name}" if path and name else path or name


def _state(model: Module) -> tuple[dict[str, Any], dict[str, str]]:
    """A model's arrays, each once, and which other names they have."""
    state: dict[str, Any] = {}
    same: dict[str, str] = {}
    first: dict[int, str] = {}
    #: By the id of an array that a module holds, which the model keeps alive.
    names: dict[int, str] = {}
    for path, module in model.named_modules(remove_duplicate=False):
        home = first.setdefault(id(module), path)
        found = module._file_state() | module._more_state()
        if module._runner is not None:
            found = found | module._runner.own_state(module)
        for name, value in found.items():
            key, original = _joined(path, name), _joined(home, name)
            held = module._parameters.get(name, module._buffers.get(name))
            if key != original:
                same[key] = same.get(original, original)
            elif held is not None and id(held) in names:
                same[key] = names[id(held)]
            else:
                state[key] = value
                if held is not None:
                    names[id(held)] = key
    return state, same


def save(model: Module, path: str | os.PathLike[str]) -> None:
    """Writes a model's state, and what it is built of, to a file."""
    state, same = _state(model)
    if "__metadata__" in state:
        raise ValueError("a parameter must not be named __metadata__: the format has that name for itself")
    about: dict[str, Any] = {"version": VERSION}
    constants: dict[str, Any] = {}
    if not any(map(_is_prepared, model.modules())):
        describer = _Describer()
        about["model"] = describer.number(model)
        about["modules"] = describer.entries
        constants = describer.writer.tensors
        if describer.python:
            parts = ", ".join(dict.fromkeys(part or "the model" for part in describer.python))
            warnings.warn(
                f"{parts} runs as Python: quantray.load gives the file's tensors alone, and "
                "load_state_dict(path) of an instance of the model's class takes the file",
                stacklevel=3,
            )
    if same:
        about["same"] = same
    _core.save({**state, **constants}, path, metadata={MODEL: json.dumps(about)})


def _is_prepared(module: Module) -> bool:
    """Whether a module's runner watches values: a file has the state of that, not what it was made from."""
    if module._runner is None:
        return False
    from quantray.quantization._prepared import Prepared

    return isinstance(module._runner, Prepared)


# Reading


class _Builder:
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
            "type" in entry and not _is_hooked(entry)
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
            kind = _known().get(name) if isinstance(name, str) else None
            if kind is None:
                raise ValueError(f"there is no module {name!r}")
            if _is_container(kind):
                made = kind.__new__(kind)
                Module.__init__(made)
            else:
                made = kind(**{key: self._decoded(value, path) for key, value in self.config(number).items()})
        for key, child in self.children(number).items():
            inner = None if child is None else self.module(child, _joined(path, key))
            if key in made._modules:
                made._modules[key] = inner
            else:
                made.add_module(key, inner)
        return made

    def _graph_module(self, entry: dict[str, Any], path: str) -> Module:
        made = GraphModule(entry.get("class"))  # type: ignore[arg-type]
        parameters = entry.get("parameters", [])
        for key in entry.get("arrays", []):
            array = self.tensors.get(_joined(path, key))
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
            return self.module(cast("dict[str, Any]", value)["module"], path)
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


def _is_hooked(entry: dict[str, Any]) -> bool:
    """Whether what runs a module needs hooks, which are code."""
    runner = entry.get("runner")
    return isinstance(runner, dict) and bool(cast("dict[str, Any]", runner).get("hooked"))


class Wanting(ValueError):
    """A file is as it should be, and the model that is to take it is not."""


@contextmanager
def _readable(path: Any, what: str) -> Iterator[None]:
    """Says of whatever goes wrong that it is the file's fault."""
    wrong = (TypeError, ValueError, LookupError, AttributeError, ArithmeticError, RuntimeError, MemoryError)
    try:
        yield
    except (OSError, Wanting):
        raise
    except (*wrong, AssertionError) as error:
        # A RecursionError is a RuntimeError, and its message is of no use.
        text = "it is nested too deeply" if isinstance(error, RecursionError) else str(error) or repr(error)
        raise OSError(f"cannot read {os.fspath(path)}: {what}: {text}") from None


def _parsed(text: str, path: Any) -> dict[str, Any]:
    """What stands under `MODEL`, as version 2 has it."""
    with _readable(path, "its model is damaged"):
        about: Any = json.loads(text)
        version = about["version"]
        if type(version) is not int:
            raise ValueError(f"its version must be a whole number, got {version!r}")
        if version > VERSION:
            raise OSError(
                f"cannot read {os.fspath(path)}: its model is of version {version}, and this quantray "
                f"knows up to {VERSION}; a later one reads it"
            )
        return about if version == VERSION else as_version_2(about)


def expanded(state: dict[str, Any], about: dict[str, Any]) -> dict[str, Any]:
    """A file's tensors under all their names, without those of graphs."""
    found = {key: value for key, value in state.items() if not key.startswith(CONSTANTS)}
    same = about.get("same", {})
    found.update({key: found[original] for key, original in same.items()})
    return found


def _numbers_in(state: Mapping[str, Any]) -> int:
    """How many numbers a file's tensors may stand for, at most."""
    # Tensors of graphs are no module's; a packed one counts as its codes. A module that others replace the inside
    # of, and one whose weight is made twice, is allowed for.
    return 4 * sum(int(np.prod(value.shape, dtype=np.int64)) + 64 for value in state.values()) + 10_000


def rebuilt(state: dict[str, Any], text: str, path: Any) -> Any:
    """The model that a file's metadata describes; its tensors where that needs a class that is not quantray's."""
    about = _parsed(text, path)
    with _readable(path, "its model cannot be rebuilt"):
        tensors = expanded(state, about)
        builder = _Builder(about, {**state, **tensors})
        root = about.get("model")
        if root is None or not builder.is_complete(root):
            return tensors
        with _init.rebuilding(_numbers_in(tensors)), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            model = builder.module(root).eval()
        _tie(model, about.get("same", {}))
        if about.get("was") == 1:
            tensors = with_grids(model, tensors)
        model.load_state_dict(tensors)
        return model


def _tie(model: Module, same: Mapping[str, str]) -> None:
    """Puts one array where one array was."""
    for key, original in same.items():
        (path, _, name), (home, _, source) = key.rpartition("."), original.rpartition(".")
        module, other = model.get_submodule(path), model.get_submodule(home)
        for table, theirs in ((module._parameters, other._parameters), (module._buffers, other._buffers)):
            if table.get(name) is not None and theirs.get(source) is not None:
                table[name] = theirs[source]


def load_into(model: Module, path: str | os.PathLike[str], strict: bool) -> Incompatible:
    """Takes a file into a model of its class: arrays, layers of integers where floats are, and graphs."""
    read = _core.load(path)
    if isinstance(read, QTensor):
        raise ValueError(f"state_dict must be a file of named tensors, got one tensor in {path}")
    text = _core.read_metadata(path).get(MODEL)
    if text is None:
        return model.load_state_dict(read, strict)
    about = _parsed(text, path)
    if "runner" in text and any(map(_is_prepared, model.modules())):
        raise Wanting(
            "the model is prepared, and the file is of a converted one: load it into a float model"
        )
    before = [(module, _tables(module)) for module in model.modules()]
    try:
        with _readable(path, "its modules cannot be rebuilt"), _init.rebuilding(_numbers_in(read)):
            tensors = expanded(read, about)
            builder = _Builder(about, {**read, **tensors})
            if about.get("model") is not None:
                _fit(model, about["model"], "", builder, bool(about.get("was") == 1))
        if about.get("was") == 1:
            tensors = with_grids(model, tensors)
        return model.load_state_dict(tensors, strict)
    except Exception:
        for module, tables in before:
            module.__dict__.update(tables)
        raise


def _tables(module: Module) -> dict[str, Any]:
    """What of a module a file may change: copies of its tables, and what runs it."""
    found = module.__dict__
    copied = {name: dict(found[name]) for name in ("_parameters", "_buffers", "_modules")}
    return {**copied, "_runner": found["_runner"], "_marks": found["_marks"]}


def _fit(module: Module, number: int, path: str, builder: _Builder, is_old: bool) -> None:
    """Makes a module what a file says that it is, where it is another class's of the same names."""
    entry = builder.entries[number]
    runner = entry.get("runner")
    for key, child in builder.children(number).items():
        if child is None:
            continue
        mine, inner = module._modules.get(key), _joined(path, key)
        if mine is not None and not _is_other(mine, child, builder):
            _fit(mine, child, inner, builder, is_old)
        elif mine is not None and builder.is_complete(child):
            new = builder.module(child, inner).train(mine.training)
            new._pre_hooks, new._hooks = mine._pre_hooks, mine._hooks
            module._modules[key] = new
            module._changed()
        elif (
            mine is None
            and runner is None
            and entry.get("type") == "GraphModule"
            and builder.is_complete(child)
        ):
            module.add_module(key, builder.module(child, inner).train(module.training))
        elif mine is None and builder.is_complete(child) and not is_old:
            module.add_module(key, builder.module(child, inner).train(module.training))
        elif mine is not None:
            _fit(mine, child, inner, builder, is_old)
    if entry.get("type") == "GraphModule":
        for key in module._parameters:
            if key not in entry.get("arrays", []):
                # Layers of integers have taken its place.
                module._parameters[key] = None
    if runner is not None:
        from quantray.quantization._files import attach

        attach(module, runner, builder.tensors)


def _is_other(mine: Module, number: int, builder: _Builder) -> bool:
    """Whether a file has another module in the place of one: of another class, or of other settings."""
    entry = builder.entries[number]
    name = entry.get("type")
    if name is None or name == "GraphModule" or _is_container(_known().get(name)):
        return False
    if _names().get(type(mine)) != name:
        return True
    describer = _Describer()
    own = describer.entries[describer.number(mine)]
    return json.dumps(_plain(own.get("config"))) != json.dumps(_plain(entry.get("config")))


def _plain(config: Any) -> Any:
    """A config without numbers of modules, which are compared one by one as children."""
    if isinstance(config, dict):
        found = cast("dict[str, Any]", config)
        if set(found) == {"module"}:
            return "module"
        return {key: _plain(value) for key, value in found.items()}
    if isinstance(config, (list, tuple)):
        return [_plain(value) for value in cast("list[Any]", config)]
    return config
