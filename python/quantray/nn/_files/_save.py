"""Writes models."""

from __future__ import annotations

import json
import os
import warnings
from typing import TYPE_CHECKING

from quantray import _core
from quantray._files import MODEL
from quantray.nn._files._describe import Describer
from quantray.nn._files._known import VERSION, is_prepared, joined
from quantray.nn._module import Module

if TYPE_CHECKING:
    from quantray._typing import State, Tensor


def _state(model: Module) -> tuple[State, dict[str, str]]:
    """A model's arrays, each once, and which other names they have."""
    state: State = {}
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
            key, original = joined(path, name), joined(home, name)
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
    about: dict[str, object] = {"version": VERSION}
    constants: dict[str, Tensor] = {}
    if not any(map(is_prepared, model.modules())):
        describer = Describer()
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
