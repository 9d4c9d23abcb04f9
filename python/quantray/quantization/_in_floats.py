"""Layers that workflows take as float layers, though their weight is held as codes."""

from __future__ import annotations

from typing import TypeVar, cast

from quantray import nn
from quantray.nn.quantized import WeightOnlyLinear

M = TypeVar("M", bound=nn.Module)


def float_layer(module: nn.Module) -> nn.Linear | None:
    """The float layer of one whose weight has 8 bits and a scale for each output; None for other modules.

    That is what integers of 8 bits have, too. Weights of fewer bits, or in groups, lose by such: they stay.
    """
    if type(module) is not WeightOnlyLinear or module.bits != 8 or module.relu or not module.is_per_channel():
        return None
    return module.to_float()


def in_floats(model: M, inplace: bool = False) -> M:
    """A model with float layers for those of 8 bits and a scale for each output; itself where it has none."""
    own = float_layer(model)
    if own is not None:
        return cast("M", own)
    found = {
        path: module
        for path, module in model.named_modules()
        if type(module) is WeightOnlyLinear and float_layer(module) is not None
    }
    if not found:
        return model
    model = model if inplace else model.copy()
    made: dict[int, nn.Module] = {}
    for path, module in found.items():
        if id(module) not in made:
            made[id(module)] = cast("nn.Module", float_layer(module))
        model.set_submodule(path, made[id(module)])
    return model
