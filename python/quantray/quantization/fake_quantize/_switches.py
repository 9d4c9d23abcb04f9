"""Turning observers and fake quantization of whole models on and off."""

from __future__ import annotations

from typing import TypeVar

from quantray.nn import Module
from quantray.quantization.fake_quantize._fake_quantize import FakeQuantizeBase

#: Where a module keeps what was switched in it before it had a fake quantization.
_KEPT = "_fake_quantize_switches"

Quantizer = TypeVar("Quantizer", bound=Module)


def disable_fake_quant(mod: Module) -> None:
    """Lets values pass as they are, in a module and all inside it.

    Called with a model, or by `model.apply(tq.disable_fake_quant)`; before the first call of a prepared
    model, too.

    Source: `torch.ao.quantization.disable_fake_quant`, which looks at one module alone.
    """
    _switch(mod, "enable_fake_quant", False)


def enable_fake_quant(mod: Module) -> None:
    """Fake-quantizes, in a module and all inside it; see `disable_fake_quant`."""
    _switch(mod, "enable_fake_quant", True)


def disable_observer(mod: Module) -> None:
    """Keeps scales and zero points as they are, in a module and all inside it; see `disable_fake_quant`.

    >>> import numpy as np
    >>> from quantray import nn, quantization as tq
    >>> model = nn.Sequential(tq.FakeQuantize(tq.MinMaxObserver))
    >>> _ = model(np.float32([0, 2.55]))
    >>> tq.disable_observer(model)
    >>> model(np.float32([0, 9]))
    array([0.  , 2.55], dtype=float32)

    Source: `torch.ao.quantization.disable_observer`, which looks at one module alone.
    """
    _switch(mod, "enable_observer", False)


def enable_observer(mod: Module) -> None:
    """Lets scales and zero points follow the data, in a module and all inside it; see `disable_observer`."""
    _switch(mod, "enable_observer", True)


def _switch(mod: Module, name: str, enabled: bool) -> None:
    for module in mod.modules():
        if isinstance(module, FakeQuantizeBase):
            getattr(module, name)(enabled)
        else:
            # No attribute of the model's: one that is set means that its graph has changed.
            module.__dict__.setdefault(_KEPT, {})[name] = enabled


def as_switched(owner: Module, quantizer: Quantizer) -> Quantizer:
    """A fake quantization that a module was given just now, as switched in that module before; returned.

    Anything else than a fake quantization is returned as it is.
    """
    kept: dict[str, bool] = owner.__dict__.get(_KEPT, {})
    if isinstance(quantizer, FakeQuantizeBase):
        for name, enabled in kept.items():
            getattr(quantizer, name)(enabled)
    return quantizer
