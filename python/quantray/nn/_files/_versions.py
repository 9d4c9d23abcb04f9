"""Files of earlier versions as the present one has them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from quantray.nn._files._known import object_of

if TYPE_CHECKING:
    from quantray._typing import Json, State
    from quantray.nn._module import Module


def as_version_2(about: dict[str, Json]) -> dict[str, Json]:
    """Version 1 had a tree of types and configs, in which a module of two names stood once, and no graphs."""
    entries: list[Json] = []

    def number(found: Json) -> int:
        found = object_of(found, "a module")
        entry: dict[str, Json] = {}
        if found["type"] is not None:
            entry["type"] = found["type"]
        else:
            entry["class"] = "Module"
        place = len(entries)
        entries.append(entry)
        if "config" in found:
            entry["config"] = {
                key: encoded(value) for key, value in object_of(found["config"], "a config").items()
            }
        elif "children" in found:
            entry["children"] = {
                key: number(child) for key, child in object_of(found["children"], "children").items()
            }
        return place

    def encoded(value: Json) -> Json:
        if isinstance(value, dict):
            return {"module": number(value["module"])}
        if isinstance(value, list):
            return [encoded(each) for each in value]
        return value

    root = number(about["model"])
    return {"version": 2, "was": 1, "model": root, "modules": entries}


def with_grids(model: Module, tensors: State) -> State:
    """Version 1 kept scales and zero points among the settings of modules, not among their tensors."""
    found = dict(tensors)
    for path, module in model.named_modules():
        state = module._more_state()
        for name, value in state.items():
            found.setdefault(f"{path}.{name}" if path else name, value)
    return found
