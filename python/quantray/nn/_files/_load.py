"""Reads models: whole ones, and files into models that are there."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, TypeVar, cast

from quantray._core import QTensor
from quantray._files import Tensors, built_of
from quantray._files import read as read_file
from quantray.nn import _init
from quantray.nn._files._build import Builder
from quantray.nn._files._describe import Describer
from quantray.nn._files._known import CONSTANTS, VERSION, is_container, is_prepared, joined, names, same
from quantray.nn._files._versions import as_version_2, with_grids
from quantray.nn._module import Module
from quantray.nn._state import Incompatible

if TYPE_CHECKING:
    from quantray._typing import Array, Config, Json, Path, State


T = TypeVar("T")


class Wanting(ValueError):
    """A file is as it should be, and the model that is to take it is not."""


@contextmanager
def readable(path: Path, what: str) -> Generator[None]:
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


def parsed(text: str, path: Path) -> dict[str, Json]:
    """What stands under `MODEL`, as version 2 has it."""
    with readable(path, "its model is damaged"):
        about: Json = json.loads(text)
        version = about.get("version") if isinstance(about, dict) else None
        if not isinstance(about, dict) or not isinstance(version, int) or isinstance(version, bool):
            raise ValueError(f"its version must be a whole number, got {version!r}")
        if version > VERSION:
            raise OSError(
                f"cannot read {os.fspath(path)}: its model is of version {version}, and this quantray "
                f"knows up to {VERSION}; a later one reads it"
            )
        return about if version == VERSION else as_version_2(about)


def expanded(state: State, about: dict[str, Json]) -> State:
    """A file's tensors under all their names, without those of graphs."""
    found = {key: value for key, value in state.items() if not key.startswith(CONSTANTS)}
    found.update({key: found[original] for key, original in same(about).items()})
    return found


def _numbers_in(state: State) -> int:
    """How many numbers a file's modules may begin with, at most: a few times those of its tensors.

    A module may begin with all that is inside it, before this takes its place, and arrays that are one may
    begin as many.
    """
    return 8 * sum(math.prod(max(n, 1) for n in value.shape) + 64 for value in state.values()) + 10_000


def rebuilt(state: State, text: str, path: Path) -> Module | Tensors:
    """The model that a file describes; its tensors where that needs classes that are not quantray's."""
    about = parsed(text, path)
    with readable(path, "its model cannot be rebuilt"):
        tensors = expanded(state, about)
        builder = Builder(about, {**state, **tensors})
        root = builder.root
        if root is None or not builder.is_complete(root):
            return Tensors(tensors)
        with _init.rebuilding(_numbers_in(tensors)):
            model = builder.module(root).eval()
        _tie(model, same(about))
        if about.get("was") == 1:
            tensors = with_grids(model, tensors)
        model.load_state_dict(tensors)
        return model


def _tie(model: Module, same: Mapping[str, str]) -> None:
    """Puts one array where one array was."""
    for key, original in same.items():
        (path, _, name), (home, _, source) = key.rpartition("."), original.rpartition(".")
        module, other = model.get_submodule(path), model.get_submodule(home)
        _share(module._parameters, name, other._parameters, source)
        _share(module._buffers, name, other._buffers, source)


def _share(table: dict[str, T | None], name: str, other: dict[str, T | None], source: str) -> None:
    if table.get(name) is not None and other.get(source) is not None:
        table[name] = other[source]


def load_into(model: Module, path: str | os.PathLike[str], strict: bool) -> Incompatible:
    """Takes a file into a model of its class: arrays, layers of integers where floats are, and graphs."""
    read = read_file(path)
    if isinstance(read, QTensor):
        raise ValueError(f"state_dict must be a file of named tensors, got one tensor in {path}")
    text = built_of(path)
    if text is None:
        return model.load_state_dict(read, strict)
    about = parsed(text, path)
    if "runner" in text and any(map(is_prepared, model.modules())):
        raise Wanting("the model is prepared, and the file is of a converted one: load it into a float model")
    before = [(module, _tables(module)) for module in model.modules()]
    try:
        with readable(path, "its modules cannot be rebuilt"):
            tensors = expanded(read, about)
            builder = Builder(about, {**read, **tensors})
            if builder.root is not None:
                with _init.rebuilding(_numbers_in(tensors)):
                    _fit(model, builder.root, "", builder, is_inside=False)
        if about.get("was") == 1:
            tensors = with_grids(model, tensors)
        return model.load_state_dict(tensors, strict)
    except Exception:
        for module, tables in before:
            module.__dict__.update(tables)
        raise


def _tables(module: Module) -> dict[str, object]:
    """What of a module a file may change: copies of its tables, and what runs it."""
    found = module.__dict__
    copied = {name: dict(found[name]) for name in ("_parameters", "_buffers", "_modules")}
    return {**copied, "_runner": found["_runner"], "_marks": found["_marks"]}


def _fit(module: Module, number: int, path: str, builder: Builder, *, is_inside: bool) -> None:
    """Makes a module what a file says that it is, where it is another class's of the same names.

    `is_inside` says whether the file's one is inside of a model of graphs: its modules of integers may be
    more than those of floats are.
    """
    entry = builder.entries[number]
    runner = entry.get("runner")
    is_inside = is_inside or runner is not None
    for key, child in builder.children(number).items():
        mine, inner = module._modules.get(key), joined(path, key)
        if child is None:
            continue
        if mine is None:
            if is_inside and builder.is_complete(child):
                module.add_module(key, builder.module(child, inner).train(module.training))
        elif _is_other(mine, child, builder) and builder.is_complete(child):
            new = builder.module(child, inner).train(mine.training)
            new._take_hooks(mine)
            module._modules[key] = new
            module._changed()
        else:
            _fit(mine, child, inner, builder, is_inside=is_inside)
    if entry.get("type") == "GraphModule":
        for key in module._parameters:
            if key not in builder.arrays(number):
                # Layers of integers have taken its place.
                module._parameters[key] = None
    if runner is not None:
        from quantray.quantization._files import attach

        attach(module, runner, cast("Mapping[str, Array]", builder.tensors))


def _is_other(mine: Module, number: int, builder: Builder) -> bool:
    """Whether a file has another module in the place of one: of another class, or of other settings."""
    entry = builder.entries[number]
    name = entry.get("type")
    if name is None or name == "GraphModule":
        return False
    if names().get(type(mine)) != name:
        return True
    if is_container(type(mine)):
        return False
    describer = Describer()
    own = describer.entries[describer.number(mine)]
    return json.dumps(_plain(own.get("config"))) != json.dumps(_plain(entry.get("config")))


def _plain(config: object) -> object:
    """A config without numbers of modules, which are compared one by one as children."""
    if isinstance(config, dict):
        found = cast("Config", config)
        if set(found) == {"module"}:
            return "module"
        return {key: _plain(value) for key, value in found.items()}
    if isinstance(config, (list, tuple)):
        return [_plain(value) for value in cast("list[object]", config)]
    return config
