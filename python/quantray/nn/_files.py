"""Models in files: arrays in safetensors, and beside them, as JSON, which modules they belong to."""

from __future__ import annotations

import functools
import importlib
import json
import os
from typing import TYPE_CHECKING, Any, cast

from quantray import _core
from quantray._files import MODEL
from quantray.nn._containers import ModuleDict, ModuleList, Sequential

if TYPE_CHECKING:
    from quantray.nn._module import Module

#: Of what stands under `MODEL`.
VERSION = 1

#: Where a file's modules may come from, and what their names begin with there.
_SPACES = {"": "nn", "intrinsic.": "nn.intrinsic", "quantized.": "nn.quantized"}
_SPACES["quantized.dynamic."] = "nn.quantized.dynamic"


@functools.cache
def _known() -> dict[str, type[Module]]:
    """The modules that a file may name: quantray's own, and no others."""
    from quantray.nn._module import Module

    found: dict[str, type[Module]] = {}
    for prefix, path in _SPACES.items():
        space = importlib.import_module(f"quantray.{path}")
        for name in space.__all__:
            value = getattr(space, name)
            if isinstance(value, type) and issubclass(value, Module):
                found[prefix + name] = value
    return found


@functools.cache
def _names() -> dict[type[Module], str]:
    return {kind: name for name, kind in _known().items()}


def describe(module: Module) -> dict[str, Any]:
    """What a module is built of, as JSON has it. A class that is not quantray's has no type."""
    name = _names().get(type(module))
    config = getattr(module, "_config", None)
    about: dict[str, Any] = {"type": name}
    if name is not None and config is not None:
        about["config"] = {key: _encode(value) for key, value in config().items()}
    else:
        if not isinstance(module, (Sequential, ModuleList, ModuleDict)):
            about["type"] = None
        about["children"] = {name: describe(child) for name, child in module.named_children()}
    return about


def _encode(value: Any) -> Any:
    from quantray.nn._module import Module

    if isinstance(value, Module):
        return {"module": describe(value)}
    if isinstance(value, (tuple, list)):
        return [_encode(v) for v in cast("list[Any]", value)]
    return value


def _decode(value: Any) -> Any:
    if isinstance(value, dict):
        return build(cast("dict[str, Any]", value)["module"])
    if isinstance(value, list):
        return tuple(_decode(v) for v in cast("list[Any]", value))
    return value


def is_complete(about: dict[str, Any]) -> bool:
    """Whether all of it is made of quantray's own modules."""
    return about["type"] is not None and all(map(is_complete, about.get("children", {}).values()))


def build(about: dict[str, Any]) -> Module:
    """The module, its weights yet to be loaded."""
    kind = _known().get(about["type"])
    if kind is None:
        raise ValueError(f"there is no module {about['type']!r}")
    if "config" in about:
        return kind(**{key: _decode(value) for key, value in about["config"].items()})
    children = {name: build(child) for name, child in about["children"].items()}
    if issubclass(kind, (ModuleDict, Sequential)) and kind in (ModuleDict, Sequential):
        return kind(children)  # pyright: ignore[reportArgumentType, reportCallIssue]
    return kind(*children.values()) if issubclass(kind, Sequential) else kind(children.values())  # type: ignore[call-arg] # pyright: ignore


def _parsed(text: str, path: Any) -> dict[str, Any]:
    try:
        about: Any = json.loads(text)
        version, model = about["version"], about["model"]
    except (ValueError, KeyError, TypeError) as error:
        raise OSError(f"cannot read {os.fspath(path)}: its model is damaged: {error}") from None
    if version > VERSION:
        raise OSError(
            f"cannot read {os.fspath(path)}: its model is of version {version}, and this quantray "
            f"knows up to {VERSION}; a later one reads it"
        )
    return model


def rebuilt(text: str, path: Any) -> Module | None:
    """The model that a file's metadata describes; None where it has classes that are not quantray's."""
    about = _parsed(text, path)
    try:
        if not is_complete(about):
            return None
        return build(about).eval()
    except (TypeError, ValueError, KeyError) as error:
        raise OSError(f"cannot read {os.fspath(path)}: its model cannot be rebuilt: {error}") from None


def save(model: Module, path: str | os.PathLike[str]) -> None:
    """Writes a model's state, and what it is built of, to a file."""
    state = model.state_dict()
    about = json.dumps({"version": VERSION, "model": describe(model)})
    _core.save(state, path, metadata={MODEL: about})


def adapt(model: Module, path: str | os.PathLike[str]) -> dict[str, Module]:
    """The modules inside a model that a file has others in the place of: names and new ones."""
    text = _core.read_metadata(path).get(MODEL)
    if text is None:
        return {}
    made: dict[str, Module] = {}

    def walk(prefix: str, module: Module, about: dict[str, Any]) -> None:
        for name, child in about.get("children", {}).items():
            mine = dict(module.named_children()).get(name)
            if mine is None:
                continue
            inner = f"{prefix}{name}"
            if is_complete(child) and child != describe(mine):
                made[inner] = build(child)
            else:
                walk(f"{inner}.", mine, child)

    about = _parsed(text, path)
    try:
        walk("", model, about)
    except (TypeError, ValueError, KeyError) as error:
        raise OSError(f"cannot read {os.fspath(path)}: its modules cannot be rebuilt: {error}") from None
    return made
