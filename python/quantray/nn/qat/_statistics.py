"""Freezing the statistics of batch normalizations, for the last epochs of quantization aware training."""

from __future__ import annotations

from quantray import nn
from quantray.nn.intrinsic._fused import BATCH_NORMS


def freeze_bn_stats(mod: nn.Module) -> None:
    """Keeps the running statistics of batch normalizations as they are, through `train()` too.

    They are used in the place of the batch's own. Called with a model, or by `model.apply(freeze_bn_stats)`.

    >>> from quantray import nn
    >>> model = nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4))
    >>> nn.qat.freeze_bn_stats(model)
    >>> model.train()[1].training
    False

    Source: `torch.ao.nn.intrinsic.qat.freeze_bn_stats`.
    """
    _set(mod, True)


def update_bn_stats(mod: nn.Module) -> None:
    """Lets the running statistics of batch normalizations follow the data again, in training mode.

    >>> from quantray import nn
    >>> model = nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4))
    >>> nn.qat.freeze_bn_stats(model)
    >>> nn.qat.update_bn_stats(model)
    >>> model[1].training
    True

    Source: `torch.ao.nn.intrinsic.qat.update_bn_stats`.
    """
    _set(mod, False)


def _set(mod: nn.Module, frozen: bool) -> None:
    for module in mod.modules():
        if isinstance(module, BATCH_NORMS) and module._stays_in_evaluation != frozen:
            module._stays_in_evaluation = frozen
            module.training = not frozen
