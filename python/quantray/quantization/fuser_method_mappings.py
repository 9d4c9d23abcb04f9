"""Fusing modules that are at hand: torch's functions, and where its own are put in.

Source: `torch.ao.quantization.fuser_method_mappings`.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence

from quantray import nn
from quantray.nn.intrinsic._fused import BATCH_NORMS, PATTERNS
from quantray.quantization.fuse import fold


def _check_alike(*modules: nn.Module) -> None:
    modes = {module.training for module in modules}
    if len(modes) > 1:
        names = ", ".join(type(module).__name__ for module in modules)
        raise ValueError(f"modules must all be in training mode or all in evaluation mode: {names}")


def _fused(is_qat: bool, *modules: nn.Module) -> nn.Module:
    """Modules in a row as one; in evaluation mode a batch normalization goes into the weights of a copy."""
    for module in modules:
        if not isinstance(module, nn.Module):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise TypeError(f"modules to fuse must be Modules, got {type(module).__name__}")
    _check_alike(*modules)
    types = tuple(type(module) for module in modules)
    if types not in PATTERNS:
        raise ValueError(f"{' + '.join(kind.__name__ for kind in types)} cannot be fused")
    layer, *rest = modules
    norm = rest[0] if isinstance(rest[0], BATCH_NORMS) else None
    if norm is not None:
        channels = getattr(layer, "out_channels", getattr(layer, "out_features", None))
        if norm.num_features != channels:
            raise ValueError(f"num_features must be the layer's outputs, {channels}, got {norm.num_features}")
    if is_qat or norm is None:
        return PATTERNS[types](*modules)
    if layer.training:
        raise ValueError("modules must be in evaluation mode where is_qat is False: call eval() first")
    layer = layer.copy()
    fold(layer, norm)
    return layer if len(rest) == 1 else PATTERNS[type(layer), type(rest[1])](layer, rest[1])


def fuse_conv_bn(is_qat: bool, conv: nn.Module, bn: nn.Module) -> nn.Module:
    """A convolution and its batch normalization as one.

    Parameters
    ----------
    is_qat : bool
        Whether it is to be trained: then both stay; else the normalization goes into the weights of a copy.
    conv : Conv1d, Conv2d or Conv3d
    bn : BatchNorm1d, BatchNorm2d or BatchNorm3d

    >>> from quantray import nn, quantization as tq
    >>> tq.fuse_conv_bn(False, nn.Conv2d(1, 4, 3).eval(), nn.BatchNorm2d(4).eval())
    Conv2d(1, 4, kernel_size=(3, 3), stride=(1, 1))

    Source: `torch.ao.quantization.fuse_conv_bn`.
    """
    return _fused(is_qat, conv, bn)


def fuse_conv_bn_relu(is_qat: bool, conv: nn.Module, bn: nn.Module, relu: nn.Module) -> nn.Module:
    """A convolution, its batch normalization and ReLU as one; see `fuse_conv_bn`."""
    return _fused(is_qat, conv, bn, relu)


def fuse_linear_bn(is_qat: bool, linear: nn.Module, bn: nn.Module) -> nn.Module:
    """A linear layer and its batch normalization as one; see `fuse_conv_bn`."""
    return _fused(is_qat, linear, bn)


def fuse_convtranspose_bn(is_qat: bool, convt: nn.Module, bn: nn.Module) -> nn.Module:
    """A transposed convolution and its batch normalization as one; see `fuse_conv_bn`."""
    return _fused(is_qat, convt, bn)


def _methods() -> dict[tuple[type[nn.Module], ...], Callable[..., nn.Module]]:
    return {types: functools.partial(_call, fused=kind) for types, kind in PATTERNS.items()}


def _call(is_qat: bool, *modules: nn.Module, fused: type[nn.Module]) -> nn.Module:
    return _fused(is_qat, *modules)


def get_fuser_method(
    op_list: Sequence[type[nn.Module]],
    additional_fuser_method_mapping: Mapping[tuple[type[nn.Module], ...], Callable[..., nn.Module]]
    | None = None,
) -> Callable[..., nn.Module]:
    """What fuses modules of some classes in a row: a function of `is_qat` and the modules.

    Parameters
    ----------
    op_list : sequence of types
    additional_fuser_method_mapping : mapping, optional
        Tuples of classes to functions, looked at first.

    Raises
    ------
    ValueError
        They cannot be fused.

    >>> from quantray import nn, quantization as tq
    >>> fuse = tq.get_fuser_method((nn.Linear, nn.ReLU))
    >>> type(fuse(False, nn.Linear(2, 3), nn.ReLU())).__name__
    'LinearReLU'
    """
    types = tuple(op_list)
    found = {**_methods(), **(additional_fuser_method_mapping or {})}.get(types)
    if found is None:
        names = " + ".join(getattr(kind, "__name__", str(kind)) for kind in types)
        raise ValueError(f"op_list must be classes that can be fused, got {names}")
    return found


def fuse_known_modules(
    mod_list: Sequence[nn.Module],
    is_qat: bool,
    additional_fuser_method_mapping: Mapping[tuple[type[nn.Module], ...], Callable[..., nn.Module]]
    | None = None,
) -> list[nn.Module]:
    """Modules in a row, fused: the first one is all of them, the others are `Identity`.

    The default of `fuse_modules`' `fuser_func`. Hooks before the first and after the last module move to the
    fused one.

    Source: `torch.ao.quantization.fuse_modules.fuse_known_modules`.
    """
    types = tuple(type(module) for module in mod_list)
    fused = get_fuser_method(types, additional_fuser_method_mapping)(is_qat, *mod_list)
    for hook in mod_list[0]._pre_hooks.values():
        fused.register_forward_pre_hook(hook)
    for hook in mod_list[-1]._hooks.values():
        fused.register_forward_hook(hook)
    fused.training = mod_list[0].training
    rest = [nn.Identity().train(mod_list[0].training) for _ in mod_list[1:]]
    return [fused, *rest]
