"""A step: one node of a file as a module, which knows its operator and its constants."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import cast

import numpy as np

from quantray.nn import Module
from quantray.onnx._errors import said_of
from quantray.onnx._lengths import as_array, of_objects
from quantray.onnx.operators import Array, Call, Given, Operator, Outputs, find


class Step(Module):
    """Computes one node.

    Its floats of more than one element are parameters, named as the file has them; other constants are
    settings.

    Attributes
    ----------
    call : Call
        The node's settings.
    """

    _stands_for_node = True

    def __init__(
        self, call: Call, operator: Operator, constants: Sequence[Given], names: Sequence[str]
    ) -> None:
        super().__init__()
        self.call, self.operator = call, operator
        #: For each input: the name of a parameter, or a constant; those that are given have None.
        self.slots: list[str | Given] = []
        for constant, name in zip(constants, names, strict=True):
            if constant is None:
                self.slots.append(None)
            elif constant.dtype == np.float32 and constant.size > 1 and operator.has_parameters:
                self._parameters[name] = constant
                self.slots.append(name)
            else:
                self.slots.append(constant)

    def forward(self, *given: Array) -> Outputs:
        """The node's outputs for those of its inputs that are no constants."""
        inputs: list[Given] = [getattr(self, slot) if isinstance(slot, str) else slot for slot in self.slots]
        for at, value in zip(self.call.given, given, strict=True):
            inputs[at] = value
        if not self.operator.takes_lengths:
            inputs = [as_array(x) if x is not None else None for x in inputs]
        # Infinities and NaN are numbers like others in files: NumPy's warnings of them say nothing here.
        with said_of(self.call.title), np.errstate(all="ignore"):
            return of_objects(self.operator.function(self.call, *inputs))

    def __getstate__(self) -> dict[str, object]:
        # Rows of the table are found again by name: what they compute may be no function of a module's own.
        return {**self.__dict__, "operator": self.operator if self.operator.is_reference else None}

    def __setstate__(self, state: dict[str, object]) -> None:
        self.__dict__.update(state)
        if state["operator"] is None:
            self.__dict__["operator"] = find(self.call.domain, self.call.op)

    def _get_name(self) -> str:
        return f"{self.call.op} (onnx's reference)" if self.operator.is_reference else self.call.op

    _class_name = _get_name

    def extra_repr(self) -> str:
        return ", ".join(
            f"{name}={value}"
            for name, value in cast("Mapping[str, object]", self.call.attributes).items()
            if isinstance(value, (int, float, str, tuple))
        )
