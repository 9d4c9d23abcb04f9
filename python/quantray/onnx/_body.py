"""A graph of a file as a module: its nodes' modules, called one after the other."""

# Attributes and values are trees of whatever a file holds: their leaves have no type that could be said.
# pyright: reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, cast

import numpy as np

from quantray.nn import Module
from quantray.nn._tracing import state
from quantray.onnx._errors import said_of
from quantray.onnx._lengths import as_array
from quantray.onnx.operators import Array, Outputs

if TYPE_CHECKING:
    from quantray.quantization._floating import FloatProgram


class Row(NamedTuple):
    """One node: its module, the values that it takes and makes, and those that nothing needs after it."""

    path: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    drop: tuple[str, ...] = ()


class Plan(NamedTuple):
    """What a graph computes.

    Attributes
    ----------
    inputs : tuple of str
        Names of its own inputs, then of the values around it that it takes.
    outputs : tuple of str
    rows : tuple of Row
    constants : mapping of str to array
        Outputs, and inputs of nodes, that depend on no input.
    """

    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    rows: tuple[Row, ...]
    constants: Mapping[str, Array]


#: So many calls of a loop's graph cost less than to capture it.
_FEW_CALLS = 4


class Body(Module):
    """Runs a plan: the model itself, a branch, or what a loop repeats."""

    def __init__(self, plan: Plan) -> None:
        super().__init__()
        self.plan = plan
        self._program: FloatProgram | None = None
        #: How often a loop has called it node by node.
        self._calls = 0
        #: Shapes and dtypes of what a loop has called it with first.
        self.seen: tuple[tuple[tuple[int, ...], np.dtype[Any]], ...] | None = None

    def forward(self, *arrays: Array) -> Outputs:
        """A tuple of the outputs, for the inputs in order."""
        return self.outputs_of(dict(zip(self.plan.inputs, arrays, strict=True)))

    def outputs_of(self, values: dict[str, Array]) -> tuple[Array, ...]:
        """The outputs, for values by name."""
        plan = self.plan
        known = plan.constants
        for row in plan.rows:
            module = self.get_submodule(row.path)
            with said_of(row.path):
                made: Outputs = module(*[values[name] for name in row.inputs])
            each = made if isinstance(made, tuple) else (made,)
            for name, value in zip(row.outputs, cast("tuple[Array, ...]", each), strict=False):
                if name:
                    values[name] = value
            for name in row.outputs[len(each) :]:
                if name and name not in row.drop:
                    raise ValueError(f"{row.path}: it gives {len(each)} outputs, {name!r} is another one")
            for name in row.drop:
                values.pop(name, None)
        return tuple(values[name] if name in values else known[name] for name in plan.outputs)

    def floats(self) -> FloatProgram:
        """What runs the graph in floats: programs, one for each kind of inputs."""
        if self._program is None:
            from quantray.quantization._floating import FloatProgram

            made = self.__dict__["_program"] = FloatProgram()
            return made
        return self._program

    def repeated(self, arrays: tuple[Array, ...]) -> tuple[Array, ...]:
        """The outputs for one of many calls: a program is made where a loop goes on beyond a few."""
        # Sequences have no shape: no graph of theirs is written with its integers.
        if self.seen is None and state.tracer is None and not any(isinstance(x, list) for x in arrays):
            arrays = tuple(map(as_array, arrays))
            self.__dict__["seen"] = tuple((np.shape(array), array.dtype) for array in arrays)
        if state.tracer is not None or self.training or self._runner is not None:
            return self(*arrays)
        if self._calls < _FEW_CALLS:
            self.__dict__["_calls"] += 1
            return self(*arrays)
        return cast("tuple[Array, ...]", self.floats()(self, arrays, {}))

    def _argument_names(self) -> tuple[str, ...]:
        return self.plan.inputs

    def stays_in_float(self) -> Mapping[str, str]:
        """Layers that `quantize_dynamic` leaves as they are unless they are named, and why."""
        from quantray.onnx._levels import levels

        return levels(self, self.plan.rows)

    def _get_name(self) -> str:
        return "Graph"


def with_drops(rows: Sequence[Row], outputs: Sequence[str]) -> tuple[Row, ...]:
    """Rows that let go of each value after the last node that takes it."""
    needed, made = set(outputs), list[Row]()
    for row in reversed(rows):
        names = [name for name in (*row.inputs, *row.outputs) if name and name not in needed]
        needed.update(names)
        made.append(row._replace(drop=tuple(dict.fromkeys(names))))
    return tuple(reversed(made))
