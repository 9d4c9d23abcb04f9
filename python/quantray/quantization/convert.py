"""From prepared models to models of integers."""

from __future__ import annotations

from typing import TypeVar

import numpy as np

from quantray import nn
from quantray.nn import quantized
from quantray.nn.intrinsic import AddReLU, FusedWeighted
from quantray.nn.qat import FusedQAT
from quantray.nn.quantized import QUANTIZED_MODULES, Grid
from quantray.nn.quantized._weighted import quantize_weight
from quantray.quantization._borders import POST, PRE, BeforeWeighted, root_of, unhook
from quantray.quantization._roles import Role
from quantray.quantization.prepare import parts

M = TypeVar("M", bound=nn.Module)


def convert(model: M, inplace: bool = False) -> M:
    """The model of integers that a prepared model has come to.

    Parameters
    ----------
    model : Module
        From `prepare`, calibrated, or from `prepare_qat`, trained.
    inplace : bool
        Whether `model` itself is changed, and not a copy.

    Returns
    -------
    Module
        Its weights and scales are those that the prepared model observed or was trained with; what
        quantization does not know, and what has no qconfig, stays as it was.

    Raises
    ------
    ValueError
        For a module that has seen no data; it is named. The model is left as it was.

    Source: `torch.ao.quantization.convert`.
    """
    root = root_of(model)
    if root is None:
        raise ValueError("model must come from prepare or prepare_qat")
    if not root.planned:
        raise ValueError(
            "model must have seen data: calibrate(model, batches), or call it, before it is converted"
        )
    made = {name: _converted(name, module, role) for name, module, role in parts(model)}
    if not inplace:
        model = model.copy()
    for module in model.modules():
        unhook(module)
    for name, new in made.items():
        if new is None:
            old = model.get_submodule(name)
            for attribute in (PRE, POST, "qconfig"):
                if hasattr(old, attribute):
                    delattr(old, attribute)
        elif name:
            model.set_submodule(name, new)
        else:
            model = new  # pyright: ignore[reportAssignmentType]
    return model.eval()


def _grid(name: str, module: nn.Module, which: str) -> Grid | None:
    """The grid that an observer has found; None where there is none."""
    observer = module._modules.get(which)
    if observer is None:
        return None
    try:
        return Grid.of(observer)
    except (ValueError, RuntimeError) as error:
        raise ValueError(f"{name}.{which}: {error}") from None


def _converted(name: str, module: nn.Module, role: Role) -> nn.Module | None:
    """What takes a module's place; None where it stays."""
    if getattr(module, "qconfig", None) is None:
        return None
    grid = _grid(name, module, POST)
    match role:
        case Role.WEIGHTED:
            return _weighted(name, module, grid)
        case Role.BEGINS:
            return None if grid is None else quantized.Quantize(grid)
        case Role.ENDS:
            return quantized.DeQuantize()
        case Role.FOLLOWS if grid is not None:
            if isinstance(module, nn.FloatFunctional):
                return quantized.QFunctional(grid, isinstance(module, AddReLU))
            inner = module.copy()
            inner._pre_hooks.clear()
            inner._hooks.clear()
            del inner._modules[POST]
            del inner.qconfig
            return quantized.Requantized(inner.eval(), grid)
        case _:
            return None


def _weighted(name: str, module: nn.Module, grid: Grid | None) -> nn.Module:
    input_grid = _grid(name, module, PRE)
    if not any(isinstance(h, BeforeWeighted) and h.seen for h in module._pre_hooks.values()):
        raise ValueError(
            f"{name or 'model'} ({type(module).__name__}) has seen no data: calibrate with data that "
            "reaches it, or give it no qconfig"
        )
    layer, activation = module, None
    if isinstance(module, FusedWeighted):
        layer, activation = module.layer, module.activation
    if isinstance(module, FusedQAT) or hasattr(module, "weight_fake_quant"):
        weight, bias = module.weight_and_bias()
        observer = module.weight_fake_quant
    else:
        weight, bias = layer.weight, layer.bias
        observer = module.qconfig.weight()
        observer(weight)
    kind = next(q for f, q in QUANTIZED_MODULES.items() if isinstance(layer, f))
    try:
        codes = quantize_weight(weight, observer, kind.axis)
        return kind.of(
            layer,
            codes,
            None if bias is None else np.asarray(bias, np.float32),
            grid=grid,
            input_grid=input_grid,
            activation=activation,
        )
    except (ValueError, TypeError) as error:
        raise type(error)(f"{name or 'model'} ({type(module).__name__}): {error}") from None
