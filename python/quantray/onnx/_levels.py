"""Layers of a file whose outputs become levels of a signal: a root or a logarithm is taken of them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from quantray import nn
from quantray.nn import Module
from quantray.onnx._body import Row
from quantray.onnx._step import Step

#: Operators that take levels.
_LEVELS = frozenset({"Log", "Sqrt"})
#: What may stand before them: it leaves great values great.
_BESIDE = frozenset(
    {"Add", "Mul", "Div", "Max", "Clip", "Abs", "Relu", "Transpose", "Reshape", "Squeeze", "Unsqueeze",
     "Slice", "Identity", "Cast", "Flatten"}
)  # fmt: skip


def levels(body: Module, rows: Sequence[Row]) -> dict[str, str]:
    """Paths of the products in a graph's rows that make levels, with the reason to leave them in float."""
    takers: dict[str, list[Row]] = {}
    for row in rows:
        for name in row.inputs:
            takers.setdefault(name, []).append(row)
    found: dict[str, str] = {}
    for row in rows:
        if isinstance(body.get_submodule(row.path), nn.Linear) and _leads_to_level(body, row, takers):
            found[row.path] = "a root or a logarithm is taken of its outputs"
    return found


def _leads_to_level(body: Module, row: Row, takers: dict[str, list[Row]]) -> bool:
    todo, seen = list(row.outputs[:1]), set[str]()
    while todo:
        name = todo.pop()
        if name in seen:
            continue
        seen.add(name)
        for taker in takers.get(name, ()):
            module = body.get_submodule(taker.path)
            if isinstance(module, Step) and module.call.op in _LEVELS:
                return True
            is_beside = isinstance(module, nn.ReLU) or (
                isinstance(module, Step) and module.call.op in _BESIDE and _takes_one_value(module)
            )
            if is_beside:
                todo += taker.outputs[:1]
    return False


def _takes_one_value(step: Step) -> bool:
    """Whether its other inputs are constants."""
    return sum(not isinstance(slot, (str, np.ndarray)) for slot in step.slots) <= 1
