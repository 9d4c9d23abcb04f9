"""What recurrent layers and cells with 8-bit weights share: weights by name, packed as one operator."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, ClassVar, Self, cast

import numpy as np

from quantray._core import QTensor, qint8
from quantray.nn import _init
from quantray.nn._configured import Configured
from quantray.nn._module import Module
from quantray.nn.quantized._weights import blank_weight, check_qconfig, check_source, quantized_weight

if TYPE_CHECKING:
    from quantray._typing import Floats, Input, QDType, State
    from quantray.nn._state import Accepted


class PackedRecurrent(Configured):
    """Weights and biases under the float module's names; the operator holds them.

    A subclass says which float class it comes from, and how weights are packed and found again.
    """

    #: The float class.
    _source: ClassVar[type[Module]]
    per_channel: bool

    def _begin(self) -> None:
        """Weights are not parameters: there is nothing to begin with."""

    def _empty(self, per_channel: bool) -> None:
        """Takes weights of zeros, in whose place others are loaded."""
        self.per_channel = per_channel
        self._pack(
            {
                name: blank_weight(shape, per_channel) if len(shape) == 2 else _init.zeros(shape)
                for shapes in self._parts()
                for name, shape in shapes.items()
            }
        )

    @classmethod
    def from_float(
        cls,
        module: Module,
        use_precomputed_fake_quant: bool = False,
        *,
        dtype: QDType = qint8,
        per_channel: bool = True,
    ) -> Self:
        """The module of a float one.

        Parameters
        ----------
        module : Module
            Of the float class of the same name. Its weights must be finite.
        dtype : dtype
            Of the weights: qint8.
        per_channel : bool
            Whether each row of weights has a scale of its own.
        """
        check_source(cls, module, cls._source)
        check_qconfig(module)
        make = cast("Callable[..., Self]", cls)
        made = make(**module._config(), per_channel=per_channel)
        made._pack(
            {
                name: value if name.startswith("bias") else quantized_weight(value, dtype, per_channel, name)
                for name, value in module._own_state().items()
            }
        )
        made.training = module.training
        return made

    # Weights

    def get_weight(self) -> dict[str, QTensor]:
        """The weights by name."""
        found = {name: value for name, value in self._own_state().items() if name.startswith("weight")}
        return cast("dict[str, QTensor]", found)

    def get_bias(self) -> State:
        """The biases by name; none without them."""
        return {name: value for name, value in self._own_state().items() if name.startswith("bias")}

    def set_weight_bias(self, weight_bias: Mapping[str, Input]) -> None:
        """Takes weights, QTensors of qint8 or quint8, and biases by name; the others stay.

        Raises
        ------
        KeyError
            For a name that is not this module's.
        ValueError, TypeError
            For another shape or dtype. The module is left as it was.
        """
        shapes = {name: shape for part in self._parts() for name, shape in part.items()}
        for name, value in weight_bias.items():
            if name not in shapes:
                raise KeyError(f"weight_bias names {name}; the module has {', '.join(shapes)}")
            if np.shape(value) != shapes[name]:
                raise ValueError(f"{name} must be of shape {shapes[name]}, got {np.shape(value)}")
        self._pack({**self._own_state(), **weight_bias})

    def _parts(self) -> list[dict[str, tuple[int, ...]]]:
        """Names and shapes of weights and biases, for each direction."""
        raise NotImplementedError

    def _pack(self, state: Mapping[str, Input]) -> None:
        """Makes the operator of weights and biases by name."""
        raise NotImplementedError

    def _unpacked(self) -> list[tuple[tuple[QTensor, ...], tuple[Floats | None, ...]]]:
        """Weights and biases of each direction."""
        raise NotImplementedError

    # State

    def _own_state(self) -> State:
        own: State = {}
        for names, (weights, biases) in zip(self._parts(), self._unpacked(), strict=True):
            values = (*weights[:2], *(b for b in biases if b is not None), *weights[2:])
            own.update(zip(names, values, strict=True))
        return own

    def _assign(self, state: Accepted) -> None:
        if state:
            self.set_weight_bias(state)

    # Text

    def _get_name(self) -> str:
        return f"DynamicQuantized{type(self).__name__}"

    def extra_repr(self) -> str:
        """Sizes, and how weights are quantized."""
        return f"{super().extra_repr()}, dtype=qint8, per_channel={self.per_channel}"
