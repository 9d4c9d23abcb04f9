"""Where a model's integers begin and end, and a wrapper that draws both borders.

Source: `torch.ao.quantization.stubs`.
"""

from __future__ import annotations

from quantray import nn
from quantray.nn import DeQuantStub, QuantStub

__all__ = ["DeQuantStub", "QuantStub", "QuantWrapper", "add_quant_dequant"]


class QuantWrapper(nn.Module):
    """A module between a `QuantStub` and a `DeQuantStub`.

    Parameters
    ----------
    module : Module
        The stubs get its `qconfig`.

    >>> from quantray import nn, quantization as tq
    >>> tq.QuantWrapper(nn.ReLU())([-1.0, 2.0])
    array([0., 2.], dtype=float32)

    Source: `torch.ao.quantization.QuantWrapper`.
    """

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        if not isinstance(module, nn.Module):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise TypeError(f"module must be a Module, got {type(module).__name__}")
        qconfig = getattr(module, "qconfig", None)
        self.add_module("quant", QuantStub(qconfig))
        self.add_module("dequant", DeQuantStub(qconfig))
        self.add_module("module", module)
        self.train(module.training)

    def forward(self, X: object) -> object:
        """The module's output."""
        return self.dequant(self.module(self.quant(X)))


def add_quant_dequant(module: nn.Module) -> nn.Module:
    """Puts a `QuantWrapper` round each module that has a `qconfig` and no modules inside.

    Parameters
    ----------
    module : Module
        It is changed.

    Returns
    -------
    Module
        The module, or, where it has none inside, its wrapper.

    >>> from quantray import nn, quantization as tq
    >>> model = nn.Sequential(nn.Linear(2, 3), nn.ReLU())
    >>> model[0].qconfig = tq.default_qconfig
    >>> [type(layer).__name__ for layer in tq.add_quant_dequant(model)]
    ['QuantWrapper', 'ReLU']

    Source: `torch.ao.quantization.add_quant_dequant`.
    """
    if not module._modules and getattr(module, "qconfig", None):
        return QuantWrapper(module)
    for name, child in module.named_children():
        module.add_module(name, add_quant_dequant(child))
    return module
