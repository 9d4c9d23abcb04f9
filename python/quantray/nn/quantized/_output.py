"""Modules between quantized values whose output has a grid of its own, and its input's dtype."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import numpy as np

from quantray import nn
from quantray._core import QTensor, quantize_per_tensor
from quantray.nn._state import as_array
from quantray.nn.quantized._grid import is_scale

if TYPE_CHECKING:
    from quantray._typing import Array, Config, Input, Scalar, State, Tensor
    from quantray.nn._state import Accepted


def one_number(name: str, value: object) -> Scalar:
    """A number, or the only one of an array."""
    array = as_array(value)
    if array.size != 1:
        raise ValueError(f"{name} must be one number, got shape {tuple(array.shape)}")
    return cast("Scalar", array.reshape(())[()])


def checked_scale(name: str, value: object) -> float:
    """A scale, as a float."""
    number = one_number(name, value)
    if not is_scale(number):
        raise ValueError(f"{name} must be a positive finite float32, got {number}")
    return float(number)


def checked_zero_point(name: str, value: object) -> int:
    """A zero point, of one dtype or another, as an int."""
    number = one_number(name, value)
    if number != np.rint(number) or not -128 <= number <= 255:
        raise ValueError(f"{name} must be a whole number from -128 to 255, got {number}")
    return int(number)


def quantized_input(input: object, kind: object) -> QTensor:
    """The input, checked to be quantized per tensor."""
    if not isinstance(input, QTensor):
        raise TypeError(
            f"input must be a QTensor for {type(kind).__name__}, got {type(input).__name__}: "
            "quantize_per_tensor makes one"
        )
    if input.axis is not None:
        raise ValueError(f"input must be quantized per tensor, got {input.qscheme()}")
    return input


class OnOutput(nn.Module):
    """A module whose output's `scale` and `zero_point` are attributes, and part of its state."""

    def __init__(self, scale: Scalar | Array, zero_point: Scalar | Array) -> None:
        super().__init__()
        self.scale, self.zero_point = scale, zero_point

    @property
    def scale(self) -> float:
        """The output's scale."""
        return self.__dict__["_scale"]

    @scale.setter
    def scale(self, value: Scalar | Array) -> None:
        self.__dict__["_scale"] = checked_scale("scale", value)
        self._changed()

    @property
    def zero_point(self) -> int:
        """The output's zero point."""
        return self.__dict__["_zero_point"]

    @zero_point.setter
    def zero_point(self, value: Scalar | Array) -> None:
        self.__dict__["_zero_point"] = checked_zero_point("zero_point", value)
        self._changed()

    def _quantized(self, values: Input, input: QTensor) -> QTensor:
        """Floats on the output's grid."""
        return quantize_per_tensor(values, self.scale, self.zero_point, input.dtype)

    def _more_state(self) -> State:
        return {"scale": np.array(self.scale), "zero_point": np.array(self.zero_point)}

    def _accept(self, name: str, value: object) -> Tensor | Scalar:
        if name not in ("scale", "zero_point"):
            return super()._accept(name, value)
        return (checked_scale if name == "scale" else checked_zero_point)(name, value)

    def _assign(self, state: Accepted) -> None:
        rest = dict(state)
        for name in ("scale", "zero_point"):
            if name in rest:
                setattr(self, name, rest.pop(name))
        super()._assign(rest)

    def _config(self) -> Config:
        return {"scale": self.scale, "zero_point": self.zero_point}

    def _get_name(self) -> str:
        return f"Quantized{type(self).__name__}"

    def extra_repr(self) -> str:
        """Scale and zero point."""
        return f"scale={self.scale:.6g}, zero_point={self.zero_point}"
