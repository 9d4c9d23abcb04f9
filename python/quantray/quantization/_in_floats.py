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
    made = {module: float_layer(module) for module in model.modules()}
    # A layer under several names is one layer afterwards, too.
    places = model.named_modules(remove_duplicate=False)
    found = {path: layer for path, module in places if (layer := made[module]) is not None}
    if not found:
        return model
    model = model if inplace else model.copy()
    for path, layer in found.items():
        model.set_submodule(path, layer)
    return model
