"""What a model computes, as a graph of named nodes: which node's output is which other's input.

Quantization asks for this graph alone. A module's is found by running it once and watching its calls.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, cast

import numpy as np

from quantray._core import QTensor
from quantray.nn._gradients import untraced
from quantray.nn._module import Module, watch_calls
from quantray.nn._shape import Identity
from quantray.nn._stubs import FloatFunctional
from quantray.quantization._roles import Role, role_of

if TYPE_CHECKING:
    from collections.abc import Sequence


class Node(NamedTuple):
    """One call of a module that quantization knows."""

    #: The module's dotted name.
    name: str
    module: Module
    role: Role
    #: For each array that it is given, the node that made it; None where something else did.
    inputs: tuple[int | None, ...]
    #: Which function of a `FloatFunctional` it was.
    function: str = ""


class Graph(NamedTuple):
    """Nodes in the order of their calls."""

    nodes: list[Node]
    #: Those that made what the model returns.
    outputs: frozenset[int]

    def consumers(self, index: int) -> list[int]:
        """The nodes that are given what this one made."""
        return [i for i, node in enumerate(self.nodes) if index in node.inputs]


def memory_of(value: Any) -> tuple[int, int] | None:
    """What an array and its reshaped views share: address and size; None where there is no array."""
    value = untraced(value)
    if isinstance(value, QTensor):
        value = value.int_repr()
    if not isinstance(value, np.ndarray) or value.nbytes == 0:
        return None
    return value.ctypes.data, value.nbytes


def arrays_in(values: Any) -> list[Any]:
    """The arrays among arguments or results, in tuples, lists and dicts too."""
    if isinstance(values, dict):
        values = list(values.values())  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]
    if isinstance(values, (tuple, list)):
        return [a for value in values for a in arrays_in(value)]  # pyright: ignore[reportUnknownVariableType]
    return [values] if memory_of(values) is not None else []


def as_arguments(given: Any) -> tuple[Any, ...]:
    """What a model is called with: a tuple of arguments, or one."""
    return cast("tuple[Any, ...]", given if isinstance(given, tuple) else (given,))


def trace(model: Module, args: Sequence[Any]) -> Graph:
    """Runs a model once, in evaluation mode, and returns what it computed.

    Functions that are no modules are not seen: what they return comes from nowhere, and so counts as float.
    """
    names = {id(module): name for name, module in model.named_modules()}
    training = [(module, module.training) for module in model.modules()]
    nodes: list[Node] = []
    makers: dict[tuple[int, int], int | None] = {}
    alive: list[Any] = []

    def watch(module: Module, args: tuple[Any, ...], output: Any) -> None:
        role = role_of(module)
        # An Identity gives back the array that another node has made: fusing leaves them behind.
        if role is None or id(module) not in names or isinstance(module, Identity):
            return
        inputs = tuple(makers.get(key) for key in map(memory_of, arrays_in(args)) if key is not None)
        function = args[0] if isinstance(module, FloatFunctional) else ""
        nodes.append(Node(names[id(module)], module, role, inputs, function))
        for array in arrays_in(output):
            alive.append(array)
            key = memory_of(array)
            if key is not None:
                makers[key] = None if role is Role.ENDS else len(nodes) - 1

    model.eval()
    try:
        with watch_calls(watch):
            result = model(*args)
    finally:
        for module, mode in training:
            module.training = mode
    keys = [memory_of(array) for array in arrays_in(result)]
    found = (makers.get(key) for key in keys if key is not None)
    return Graph(nodes, frozenset(i for i in found if i is not None))
