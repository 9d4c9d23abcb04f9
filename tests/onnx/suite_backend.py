"""quantray as a backend of `onnx.backend.test`: what runs the node cases of the standard."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
from onnx.backend.base import Backend, BackendRep
from onnx.helper import tensor_dtype_to_np_dtype
from quantray import graph
from quantray.onnx import Model, load


class Loaded(BackendRep):
    """A model, and the types that its file says its outputs have.

    Floats of all types are computed in float32; the cases compare the file's types.
    """

    def __init__(self, model: Model, found: onnx.ModelProto, *, captured: bool = False) -> None:
        self.model, self.captured = model, captured
        self.dtypes = [_dtype(value.type) for value in found.graph.output]

    def run(self, inputs: Any, **_: Any) -> tuple[Any, ...]:
        """The outputs, as arrays of the file's types."""
        arrays = self.model.arranged(tuple(inputs), {})
        made = self._run_captured(arrays) if self.captured and arrays else self.model(*inputs)
        found = made if isinstance(made, tuple) else (made,)
        return tuple(_as(value, dtype) for value, dtype in zip(found, self.dtypes, strict=True))

    def _run_captured(self, arrays: tuple[Any, ...]) -> Any:
        found = graph.capture(self.model, arrays, whole=True)
        given = dict(zip(found.inputs, leaves(arrays), strict=True))
        return graph.run(found, given, self.model)


class QuantrayBackend(Backend):
    """Loads models of the test suite, for the CPU."""

    captured = False

    @classmethod
    def prepare(cls, model: onnx.ModelProto, device: str = "CPU", **_: Any) -> Loaded:
        """A model that is ready to run."""
        return Loaded(load(model.SerializeToString()), model, captured=cls.captured)

    @classmethod
    def supports_device(cls, device: str) -> bool:
        """The CPU alone."""
        return device == "CPU"


class CapturedBackend(QuantrayBackend):
    """The same, whose models are captured, and run as graphs: what workflows see."""

    captured = True


def leaves(given: Any) -> list[Any]:
    """The arrays of sequences and of inputs that are there, in order."""
    if isinstance(given, (list, tuple)):
        return [leaf for item in given for leaf in leaves(item)]
    return [] if given is None else [given]


def _dtype(type_: onnx.TypeProto) -> np.dtype[Any]:
    """The type of a value's elements: of a sequence's items, of an optional value's."""
    while not type_.HasField("tensor_type"):
        inner = "optional_type" if type_.HasField("optional_type") else "sequence_type"
        type_ = getattr(type_, inner).elem_type
    return tensor_dtype_to_np_dtype(type_.tensor_type.elem_type)


def _as(value: Any, dtype: np.dtype[Any]) -> Any:
    if value is None or isinstance(value, list):
        return value if value is None else [_as(item, dtype) for item in value]
    array = np.asarray(value)
    return array if array.dtype == dtype else array.astype(dtype)
