"""Branches and loops: nodes that have graphs of their own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import numpy as np

from quantray.graph._tracer import Tracer
from quantray.nn import Module
from quantray.nn._tracing import state
from quantray.onnx._body import Body
from quantray.onnx._file import GraphFile
from quantray.onnx._lengths import as_array, integer, settled, shape_of
from quantray.onnx.operators import Array, Call, Given, Outputs


class Control(Module):
    """A node with graphs, which take values around it beside the node's own.

    Attributes
    ----------
    call : Call
    slots : list
        Constants among the node's own inputs.
    """

    _is_branching = True
    _stands_for_node = True

    def __init__(self, call: Call, constants: Sequence[Given], taken: dict[str, tuple[str, ...]]) -> None:
        super().__init__()
        self.call = call
        self.slots: list[Given] = list(constants)
        #: Its graphs as the file has them, and constants around them that they take.
        self.bodies: dict[str, GraphFile] = {}
        self.constants: dict[str, Array] = {}
        #: For each graph the values around the node that it takes.
        self.taken = taken
        #: All of them, once each: what the step is called with after its own inputs.
        self.around = tuple(dict.fromkeys(name for names in taken.values() for name in names))

    def forward(self, *given: Array) -> Outputs:
        """The node's outputs for those of its inputs that are no constants, and for what is around it."""
        own = len(self.call.given)
        inputs = list(self.slots)
        for at, value in zip(self.call.given, given[:own], strict=True):
            inputs[at] = value
        return self.run(inputs, dict(zip(self.around, given[own:], strict=True)))

    def run(self, inputs: list[Given], around: dict[str, Array]) -> Outputs:
        """The same, of all inputs, and of values by name."""
        raise NotImplementedError

    def call_graph(self, name: str, arrays: Sequence[Array], around: dict[str, Array]) -> tuple[Array, ...]:
        """What one of the graphs gives."""
        body = cast("Body", self.get_submodule(name))
        return tuple(body.repeated((*arrays, *(around[each] for each in self.taken[name]))))

    def _get_name(self) -> str:
        return self.call.op

    _class_name = _get_name


#: So many steps of a loop become nodes of a graph each; one of more steps is a node as a whole.
_UNROLLED = 8


def look_for_many(count: int) -> None:
    """Refuses to write down one step after the other of a long loop, while a model is captured: its graph is
    captured once instead, and its program runs as often as need be.
    """
    if count > _UNROLLED and isinstance(state.tracer, Tracer):
        state.tracer.refuse(f"a loop of more than {_UNROLLED} steps")


def _there(inputs: list[Given]) -> list[Array]:
    """Inputs that the operator does not let a node leave out."""
    return cast("list[Array]", inputs)


def truth(x: Array) -> bool:
    """Whether a condition holds: a decision that a graph takes for granted."""
    x = as_array(settled(x))
    return bool(x if np.ndim(x) == 0 else np.reshape(x, ()))


class If(Control):
    """One of two graphs."""

    def run(self, inputs: list[Given], around: dict[str, Array]) -> Outputs:
        return self.call_graph("then_branch" if truth(_there(inputs)[0]) else "else_branch", (), around)


class Loop(Control):
    """A graph that is repeated so many times, as long as a condition holds."""

    def run(self, inputs: list[Given], around: dict[str, Array]) -> Outputs:
        limit = None if inputs[0] is None else int(integer(inputs[0], "M"))
        goes = True if inputs[1] is None else truth(inputs[1])
        carried, count, scans = _there(inputs[2:]), 0, list[list[Array]]()
        while goes and (limit is None or count < limit):
            number = np.array(count, np.int64)
            made = self.call_graph("body", (number, np.array(True), *carried), around)
            goes = truth(made[0])
            carried = list(made[1 : 1 + len(carried)])
            scans.append([as_array(x) for x in made[1 + len(carried) :]])
            count += 1
            look_for_many(count)
        number_of_scans = len(self.call.wanted) - len(carried)
        if scans:
            stacked = [np.stack(each) for each in zip(*scans, strict=True)]
        else:
            stacked = [np.zeros((0,), np.float32)] * number_of_scans
        return (*carried, *stacked)


class Scan(Control):
    """A graph that is called for each slice of some arrays."""

    def run(self, inputs: list[Given], around: dict[str, Array]) -> Outputs:
        call = self.call
        if call.version < 9:
            return self._of_rows(inputs, around)
        count = int(call.get("num_scan_inputs"))
        carried, arrays = _there(inputs[:-count]), _there(inputs[-count:])
        axes = call.integers("scan_input_axes") or (0,) * count
        ways = call.integers("scan_input_directions") or (0,) * count
        steps = int(shape_of(arrays[0])[axes[0]])
        look_for_many(steps)
        scans: list[list[Array]] = []
        for i in range(steps):
            places = [steps - 1 - i if way else i for way in ways]
            parts = [
                x[(slice(None),) * (axis % np.ndim(x)) + (at,)]
                for x, axis, at in zip(arrays, axes, places, strict=True)
            ]
            made = self.call_graph("body", (*carried, *parts), around)
            carried = list(made[: len(carried)])
            scans.append([as_array(x) for x in made[len(carried) :]])
        number = len(call.wanted) - len(carried)
        out_axes = call.integers("scan_output_axes") or (0,) * number
        out_ways = call.integers("scan_output_directions") or (0,) * number
        stacked: list[Array] = []
        for each, axis, way in zip(zip(*scans, strict=True), out_axes, out_ways, strict=True):
            stacked.append(np.stack(each[::-1] if way else each, axis))
        return (*carried, *stacked)

    def _of_rows(self, inputs: list[Given], around: dict[str, Array]) -> Outputs:
        """Opset 8: the first axis is that of a batch, whose rows are scanned one by one along the next."""
        call, count = self.call, int(self.call.get("num_scan_inputs"))
        ways = call.integers("directions") or (0,) * count
        lengths, given = inputs[0], _there(inputs[1:])
        states, arrays = given[: len(given) - count], given[len(given) - count :]
        rows: list[list[Array]] = []
        for row in range(int(shape_of(arrays[0])[0])):
            steps = int(shape_of(arrays[0])[1] if lengths is None else lengths[row])
            look_for_many(steps)
            carried, scans = [state[row] for state in states], list[list[Array]]()
            for i in range(steps):
                parts = [x[row, steps - 1 - i if way else i] for x, way in zip(arrays, ways, strict=True)]
                made = self.call_graph("body", (*carried, *parts), around)
                carried = list(made[: len(carried)])
                scans.append([as_array(x) for x in made[len(carried) :]])
            stacked = [np.stack(each) for each in zip(*scans, strict=True)]
            rows.append([*map(as_array, carried), *stacked])
        return tuple(np.stack(each) for each in zip(*rows, strict=True))


class SequenceMap(Control):
    """A graph that is called for each item of a sequence, and with those of others beside it."""

    def run(self, inputs: list[Given], around: dict[str, Array]) -> Outputs:
        # Sequences are inputs of this operator alone.
        given = cast("list[Array | list[Array]]", inputs)
        sequences = [each for each in given if isinstance(each, list)]
        lengths = sorted(set(map(len, sequences)))
        if len(lengths) != 1:
            raise self.call.error(f"it takes sequences of one length, got {lengths}")
        made: list[tuple[Array, ...]] = []
        for i in range(lengths[0]):
            items = [each[i] if isinstance(each, list) else each for each in given]
            made.append(self.call_graph("body", items, around))
        if not made:
            return tuple([] for _ in self.call.wanted)
        return tuple([as_array(x) for x in each] for each in zip(*made, strict=True))


#: By operator: the class, and the attributes that are graphs.
CONTROLS: dict[str, tuple[type[Control], tuple[str, ...]]] = {
    "If": (If, ("then_branch", "else_branch")),
    "Loop": (Loop, ("body",)),
    "Scan": (Scan, ("body",)),
    "SequenceMap": (SequenceMap, ("body",)),
}
