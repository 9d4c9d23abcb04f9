"""What a module's attributes are: before its forward runs, and put back after it."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import numpy as np

from quantray.graph._values import has_value
from quantray.nn._gradients import untraced
from quantray.nn._module import Module

if TYPE_CHECKING:
    from quantray._typing import Array

#: What is no attribute of the module's own: who runs and who watches it.
_BESIDE = ("_runner", "_marks", "_evaluation")


def stateless_copy(module: Module) -> Module:
    """A module that shares its arrays, but whose own tables may change."""
    made = module.__class__.__new__(module.__class__)
    made.__dict__.update(module.__dict__)
    for table in ("_parameters", "_buffers"):
        plain: dict[str, object] = {k: untraced(v) for k, v in module.__dict__[table].items()}
        copies: dict[str, object] = {
            k: cast("Array", v).copy() if isinstance(v, np.ndarray) and table == "_buffers" else v
            for k, v in plain.items()
        }
        made.__dict__[table] = copies
    made.__dict__["_modules"] = {
        name: None if child is None else stateless_copy(child) for name, child in module._modules.items()
    }
    made.__dict__.pop("_evaluation", None)
    made.__dict__["_runner"], made.__dict__["_marks"] = None, ()
    return made


def attributes(module: Module) -> dict[str, object]:
    """What a module's attributes are: its tables' entries each by itself."""
    found: dict[str, object] = {}
    for name, value in module.__dict__.items():
        if name in ("_parameters", "_buffers", "_modules"):
            found.update({f"{name}.{key}": item for key, item in value.items()})
        elif name not in _BESIDE:
            found[name] = value
    return found


def changed_attributes(before: dict[str, object], module: Module) -> list[tuple[str, object]]:
    now = attributes(module)
    changed = [
        (name, value) for name, value in now.items() if name not in before or before[name] is not value
    ]
    changed += [(name, None) for name in before if name not in now]
    # What NumPy or Python may have made again as it was.
    changed = [(n, v) for n, v in changed if not (n in before and _is_equal(before[n], v))]
    return [(name.rpartition(".")[2], value) for name, value in changed]


def _is_equal(a: object, b: object) -> bool:
    return (
        type(a) is type(b)
        and isinstance(a, (int, float, str, bool, tuple))
        and not has_value((cast("object", a), b))
        and bool(cast("object", a) == b)
    )


def restore(module: Module, before: dict[str, object]) -> None:
    tables: dict[str, dict[str, object]] = {"_parameters": {}, "_buffers": {}, "_modules": {}}
    plain: dict[str, object] = {}
    for name, value in before.items():
        table, dot, key = name.partition(".")
        if dot and table in tables:
            tables[table][key] = value
        else:
            plain[name] = value
    if tables["_modules"] != module._modules:
        # Whoever captured it with what goes now, as a runner inside of an example's run did, captures again.
        for mark in module._marks:
            mark.changed = True
    kept = {name: module.__dict__[name] for name in _BESIDE if name in module.__dict__}
    module.__dict__.clear()
    module.__dict__.update({**plain, **tables, **kept})
