"""Files of earlier versions as the present one has them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    from quantray.nn._module import Module


def as_version_2(about: dict[str, Any]) -> dict[str, Any]:
    """Version 1 had a tree of types and configs, in which a module of two names stood once, and no graphs."""
    entries: list[dict[str, Any]] = []

    def number(found: Any) -> int:
        entry: dict[str, Any] = {}
        if found["type"] is not None:
            entry["type"] = found["type"]
        else:
            entry["class"] = "Module"
        place = len(entries)
        entries.append(entry)
        if "config" in found:
            entry["config"] = {key: encoded(value) for key, value in found["config"].items()}
        elif "children" in found:
            entry["children"] = {key: number(child) for key, child in found["children"].items()}
        return place

    def encoded(value: Any) -> Any:
        if isinstance(value, dict):
            return {"module": number(cast("dict[str, Any]", value)["module"])}
        if isinstance(value, list):
            return [encoded(each) for each in cast("list[Any]", value)]
        return value

    root = number(about["model"])
    return {"version": 2, "was": 1, "model": root, "modules": entries}


def with_grids(model: Module, tensors: dict[str, Any]) -> dict[str, Any]:
    """Version 1 kept scales and zero points among the settings of modules, not among their tensors."""
    found = dict(tensors)
    for path, module in model.named_modules():
        state = module._more_state()
        for name, value in state.items():
            found.setdefault(f"{path}.{name}" if path else name, value)
    return found
