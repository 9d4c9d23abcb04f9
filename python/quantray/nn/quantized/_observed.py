"""What a module of integers is made from: a float one, its QConfig, and the observer of its output."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Self, cast

from quantray import nn
from quantray.nn.quantized._grid import Grid

if TYPE_CHECKING:
    from quantray._typing import Array
    from quantray.nn.quantized._grid import Observer


def observed_grid(cls: type, mod: nn.Module) -> Grid:
    """The grid that a module's `activation_post_process` has found.

    Raises
    ------
    ValueError
        There is no observer, or it has seen no data.
    """
    observer = getattr(mod, "activation_post_process", None)
    if not hasattr(observer, "calculate_qparams"):
        raise ValueError(
            f"mod must have an activation_post_process that has seen its outputs, for {cls.__name__}: set "
            "mod.activation_post_process = mod.qconfig.activation() and call it with them, or convert the "
            "whole model with quantization.prepare and convert"
        )
    try:
        return Grid.of(cast("Observer", observer))
    except RuntimeError as error:
        raise ValueError(f"mod.activation_post_process: {error}") from None


@dataclass
class Observed:
    """A float layer with weights, alone, fused or trained.

    Attributes
    ----------
    mod, layer : Module
        What was given, and the layer in it.
    weight, bias : array
        With a batch normalization folded in.
    activation : Module, optional
        What follows it.
    """

    cls: type
    mod: nn.Module
    layer: nn.Module
    weight: Array
    bias: Array | None
    activation: nn.Module | None

    @classmethod
    def of(cls, wanted: type, mod: nn.Module, kind: type[nn.Module]) -> Self:
        """The parts of a module; `kind` is the class that its layer must be of."""
        from quantray.nn.intrinsic import FusedWeighted

        fused = isinstance(mod, FusedWeighted)
        layer = mod.layer if fused else mod
        if not isinstance(layer, kind):
            raise TypeError(f"mod must be a {kind.__name__} for {wanted.__name__}, got {type(mod).__name__}")
        weight, bias = mod.weight_and_bias() if hasattr(mod, "weight_and_bias") else (mod.weight, mod.bias)
        return cls(wanted, mod, layer, weight, bias, mod.activation if fused else None)

    def weight_observer(self) -> Observer:
        """What has seen the weight: its fake quantization, or a new observer of the QConfig."""
        trained = getattr(self.mod, "weight_fake_quant", None)
        if trained is not None:
            if not trained.has_data:
                trained.forward(self.weight)
            return trained
        qconfig = getattr(self.mod, "qconfig", None)
        if qconfig is None:
            raise ValueError(
                f"mod must have a qconfig for {self.cls.__name__}: set mod.qconfig = "
                "quantization.get_default_qconfig()"
            )
        made = qconfig.along(getattr(self.cls, "axis", 0)).weight()
        made(self.weight)
        return made

    def grid(self) -> Grid:
        """The grid of the output."""
        return observed_grid(self.cls, self.mod)
