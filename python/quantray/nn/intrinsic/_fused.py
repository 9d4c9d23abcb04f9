"""A layer with weights and what follows it, as one module."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

import numpy as np

from quantray.nn._containers import Sequential
from quantray.nn._conv import (
    Conv1d,
    Conv2d,
    Conv3d,
    ConvTranspose1d,
    ConvTranspose2d,
    ConvTranspose3d,
)
from quantray.nn._linear import Linear
from quantray.nn._norm import BatchNorm1d, BatchNorm2d, BatchNorm3d

if TYPE_CHECKING:
    from quantray._typing import Array
    from quantray.nn._module import Module

TRANSPOSED = (ConvTranspose1d, ConvTranspose2d, ConvTranspose3d)
BATCH_NORMS = (BatchNorm1d, BatchNorm2d, BatchNorm3d)


def along(weight: Array, values: Array, is_transposed: bool, groups: int) -> Array:
    """One value for each output, of a shape that broadcasts to a weight."""
    if not is_transposed:
        return values.reshape(-1, *[1] * (weight.ndim - 1))
    # Inputs come first there, and each group of them has outputs of its own.
    rest = [1] * (weight.ndim - 2)
    if groups == 1:
        return values.reshape(1, -1, *rest)
    each = values.reshape(groups, 1, weight.shape[1])
    return (each + np.zeros((1, weight.shape[0] // groups, 1), np.float32)).reshape(
        weight.shape[0], weight.shape[1], *rest
    )


def along_outputs(module: Module, values: Array) -> Array:
    """One value for each output, of a shape that broadcasts to the module's weight."""
    return along(module.weight, values, isinstance(module, TRANSPOSED), getattr(module, "groups", 1))


def factor_of(norm: Module) -> Array:
    """What a batch normalization multiplies each channel by, in evaluation mode."""
    deviation = np.sqrt(norm.running_var + np.float32(norm.eps))
    return norm.weight / deviation if norm.weight is not None else 1 / deviation


def folded_bias(bias: Array | None, norm: Module) -> Array:
    """The bias of a layer and its batch normalization as one."""
    moved = -norm.running_mean if bias is None else bias - norm.running_mean
    scaled = moved * factor_of(norm)
    return scaled if norm.bias is None else scaled + norm.bias


class FusedWeighted(Sequential):
    """A layer with weights, then a batch normalization or an activation or both.

    In training mode it computes what they compute one after the other; quantization folds the normalization
    into the weights.

    >>> from quantray import nn
    >>> fused = nn.intrinsic.LinearReLU(nn.Linear(2, 4), nn.ReLU())
    >>> isinstance(fused, nn.intrinsic.FusedWeighted), fused.layer, fused.norm, fused.activation
    (True, Linear(in_features=2, out_features=4, bias=True), None, ReLU())
    """

    #: Whether a batch normalization is the second one.
    has_norm: ClassVar[bool] = False
    #: Whether a ReLU, or a ReLU6, is the last one.
    has_relu: ClassVar[bool] = False

    @property
    def layer(self) -> Module:
        """The layer with weights."""
        return self[0]

    @property
    def norm(self) -> Module | None:
        """The batch normalization, if there is one."""
        return self[1] if self.has_norm else None

    @property
    def activation(self) -> Module | None:
        """The ReLU or the ReLU6, if there is one."""
        return self[len(self) - 1] if self.has_relu else None

    def weight_and_bias(self) -> tuple[Array, Array | None]:
        """The layer's, the normalization folded in: what integers will stand for."""
        layer, norm = self.layer, self.norm
        if norm is None:
            return layer.weight, layer.bias
        return layer.weight * along_outputs(layer, factor_of(norm)), folded_bias(layer.bias, norm)


class _ConvReLU(FusedWeighted):
    has_relu = True

    def __init__(self, conv: Module, relu: Module) -> None:
        super().__init__(conv, relu)


class _ConvBn(FusedWeighted):
    has_norm = True

    def __init__(self, conv: Module, bn: Module) -> None:
        super().__init__(conv, bn)


class _ConvBnReLU(FusedWeighted):
    has_norm = has_relu = True

    def __init__(self, conv: Module, bn: Module, relu: Module) -> None:
        super().__init__(conv, bn, relu)


class _LinearReLU(FusedWeighted):
    has_relu = True

    def __init__(self, linear: Module, relu: Module) -> None:
        super().__init__(linear, relu)


class _LinearBn(FusedWeighted):
    has_norm = True

    def __init__(self, linear: Module, bn: Module) -> None:
        super().__init__(linear, bn)


class _LinearBnReLU(FusedWeighted):
    has_norm = has_relu = True

    def __init__(self, linear: Module, bn: Module, relu: Module) -> None:
        super().__init__(linear, bn, relu)


class ConvReLU1d(_ConvReLU):
    """Conv1d, then ReLU.

    >>> from quantray import nn, quantization as tq
    >>> model = nn.Sequential(nn.Conv1d(2, 4, 3), nn.ReLU())
    >>> tq.fuse_modules(model, ["0", "1"])[0]
    ConvReLU1d(
      (0): Conv1d(2, 4, kernel_size=(3,), stride=(1,))
      (1): ReLU()
    )
    """


class ConvReLU2d(_ConvReLU):
    """Conv2d, then ReLU.

    >>> from quantray import nn, quantization as tq
    >>> model = nn.Sequential(nn.Conv2d(2, 4, 3), nn.ReLU())
    >>> tq.fuse_modules(model, ["0", "1"])[0]
    ConvReLU2d(
      (0): Conv2d(2, 4, kernel_size=(3, 3), stride=(1, 1))
      (1): ReLU()
    )
    """


class ConvReLU3d(_ConvReLU):
    """Conv3d, then ReLU.

    >>> from quantray import nn, quantization as tq
    >>> model = nn.Sequential(nn.Conv3d(2, 4, 3), nn.ReLU())
    >>> tq.fuse_modules(model, ["0", "1"])[0]
    ConvReLU3d(
      (0): Conv3d(2, 4, kernel_size=(3, 3, 3), stride=(1, 1, 1))
      (1): ReLU()
    )
    """


class LinearReLU(_LinearReLU):
    """Linear, then ReLU.

    >>> from quantray import nn, quantization as tq
    >>> model = nn.Sequential(nn.Linear(2, 4), nn.ReLU())
    >>> tq.fuse_modules(model, ["0", "1"])[0]
    LinearReLU(
      (0): Linear(in_features=2, out_features=4, bias=True)
      (1): ReLU()
    )
    """


class ConvBn1d(_ConvBn):
    """Conv1d, then BatchNorm1d.

    >>> from quantray import nn, quantization as tq
    >>> model = nn.Sequential(nn.Conv1d(2, 4, 3), nn.BatchNorm1d(4))
    >>> tq.fuse_modules(model, ["0", "1"])[0]
    ConvBn1d(
      (0): Conv1d(2, 4, kernel_size=(3,), stride=(1,))
      (1): BatchNorm1d(4, eps=1e-05, momentum=0.1, affine=True, bias=True, track_running_stats=True)
    )
    """


class ConvBn2d(_ConvBn):
    """Conv2d, then BatchNorm2d.

    >>> from quantray import nn, quantization as tq
    >>> model = nn.Sequential(nn.Conv2d(2, 4, 3), nn.BatchNorm2d(4))
    >>> tq.fuse_modules(model, ["0", "1"])[0]
    ConvBn2d(
      (0): Conv2d(2, 4, kernel_size=(3, 3), stride=(1, 1))
      (1): BatchNorm2d(4, eps=1e-05, momentum=0.1, affine=True, bias=True, track_running_stats=True)
    )
    """


class ConvBn3d(_ConvBn):
    """Conv3d, then BatchNorm3d.

    >>> from quantray import nn, quantization as tq
    >>> model = nn.Sequential(nn.Conv3d(2, 4, 3), nn.BatchNorm3d(4))
    >>> tq.fuse_modules(model, ["0", "1"])[0]
    ConvBn3d(
      (0): Conv3d(2, 4, kernel_size=(3, 3, 3), stride=(1, 1, 1))
      (1): BatchNorm3d(4, eps=1e-05, momentum=0.1, affine=True, bias=True, track_running_stats=True)
    )
    """


class ConvBnReLU1d(_ConvBnReLU):
    """Conv1d, BatchNorm1d, ReLU.

    >>> from quantray import nn, quantization as tq
    >>> model = nn.Sequential(nn.Conv1d(2, 4, 3), nn.BatchNorm1d(4), nn.ReLU())
    >>> tq.fuse_modules(model, ["0", "1", "2"])[0]
    ConvBnReLU1d(
      (0): Conv1d(2, 4, kernel_size=(3,), stride=(1,))
      (1): BatchNorm1d(4, eps=1e-05, momentum=0.1, affine=True, bias=True, track_running_stats=True)
      (2): ReLU()
    )
    """


class ConvBnReLU2d(_ConvBnReLU):
    """Conv2d, BatchNorm2d, ReLU.

    >>> from quantray import nn, quantization as tq
    >>> model = nn.Sequential(nn.Conv2d(2, 4, 3), nn.BatchNorm2d(4), nn.ReLU())
    >>> tq.fuse_modules(model, ["0", "1", "2"])[0]
    ConvBnReLU2d(
      (0): Conv2d(2, 4, kernel_size=(3, 3), stride=(1, 1))
      (1): BatchNorm2d(4, eps=1e-05, momentum=0.1, affine=True, bias=True, track_running_stats=True)
      (2): ReLU()
    )
    """


class ConvBnReLU3d(_ConvBnReLU):
    """Conv3d, BatchNorm3d, ReLU.

    >>> from quantray import nn, quantization as tq
    >>> model = nn.Sequential(nn.Conv3d(2, 4, 3), nn.BatchNorm3d(4), nn.ReLU())
    >>> tq.fuse_modules(model, ["0", "1", "2"])[0]
    ConvBnReLU3d(
      (0): Conv3d(2, 4, kernel_size=(3, 3, 3), stride=(1, 1, 1))
      (1): BatchNorm3d(4, eps=1e-05, momentum=0.1, affine=True, bias=True, track_running_stats=True)
      (2): ReLU()
    )
    """


class ConvTransposeBn1d(_ConvBn):
    """ConvTranspose1d, then BatchNorm1d.

    >>> from quantray import nn, quantization as tq
    >>> model = nn.Sequential(nn.ConvTranspose1d(2, 4, 3), nn.BatchNorm1d(4))
    >>> tq.fuse_modules(model, ["0", "1"])[0]
    ConvTransposeBn1d(
      (0): ConvTranspose1d(2, 4, kernel_size=(3,), stride=(1,))
      (1): BatchNorm1d(4, eps=1e-05, momentum=0.1, affine=True, bias=True, track_running_stats=True)
    )
    """


class ConvTransposeBn2d(_ConvBn):
    """ConvTranspose2d, then BatchNorm2d.

    >>> from quantray import nn, quantization as tq
    >>> model = nn.Sequential(nn.ConvTranspose2d(2, 4, 3), nn.BatchNorm2d(4))
    >>> tq.fuse_modules(model, ["0", "1"])[0]
    ConvTransposeBn2d(
      (0): ConvTranspose2d(2, 4, kernel_size=(3, 3), stride=(1, 1))
      (1): BatchNorm2d(4, eps=1e-05, momentum=0.1, affine=True, bias=True, track_running_stats=True)
    )
    """


class ConvTransposeBn3d(_ConvBn):
    """ConvTranspose3d, then BatchNorm3d.

    >>> from quantray import nn, quantization as tq
    >>> model = nn.Sequential(nn.ConvTranspose3d(2, 4, 3), nn.BatchNorm3d(4))
    >>> tq.fuse_modules(model, ["0", "1"])[0]
    ConvTransposeBn3d(
      (0): ConvTranspose3d(2, 4, kernel_size=(3, 3, 3), stride=(1, 1, 1))
      (1): BatchNorm3d(4, eps=1e-05, momentum=0.1, affine=True, bias=True, track_running_stats=True)
    )
    """


class LinearBn1d(_LinearBn):
    """Linear, then BatchNorm1d.

    >>> from quantray import nn, quantization as tq
    >>> model = nn.Sequential(nn.Linear(2, 4), nn.BatchNorm1d(4))
    >>> tq.fuse_modules(model, ["0", "1"])[0]
    LinearBn1d(
      (0): Linear(in_features=2, out_features=4, bias=True)
      (1): BatchNorm1d(4, eps=1e-05, momentum=0.1, affine=True, bias=True, track_running_stats=True)
    )
    """


class LinearBnReLU1d(_LinearBnReLU):
    """Linear, BatchNorm1d, ReLU.

    >>> from quantray import nn, quantization as tq
    >>> model = nn.Sequential(nn.Linear(2, 4), nn.BatchNorm1d(4), nn.ReLU())
    >>> tq.fuse_modules(model, ["0", "1", "2"])[0]
    LinearBnReLU1d(
      (0): Linear(in_features=2, out_features=4, bias=True)
      (1): BatchNorm1d(4, eps=1e-05, momentum=0.1, affine=True, bias=True, track_running_stats=True)
      (2): ReLU()
    )
    """


class _BnReLU(Sequential):
    def __init__(self, batch_norm: Module, relu: Module) -> None:
        super().__init__(batch_norm, relu)


class BNReLU2d(_BnReLU):
    """BatchNorm2d, then ReLU.

    >>> from quantray import nn, quantization as tq
    >>> model = nn.Sequential(nn.BatchNorm2d(4), nn.ReLU())
    >>> tq.fuse_modules(model, ["0", "1"])[0]
    BNReLU2d(
      (0): BatchNorm2d(4, eps=1e-05, momentum=0.1, affine=True, bias=True, track_running_stats=True)
      (1): ReLU()
    )
    """


class BNReLU3d(_BnReLU):
    """BatchNorm3d, then ReLU.

    >>> from quantray import nn, quantization as tq
    >>> model = nn.Sequential(nn.BatchNorm3d(4), nn.ReLU())
    >>> tq.fuse_modules(model, ["0", "1"])[0]
    BNReLU3d(
      (0): BatchNorm3d(4, eps=1e-05, momentum=0.1, affine=True, bias=True, track_running_stats=True)
      (1): ReLU()
    )
    """


#: Which classes in a row become which.
PATTERNS: dict[tuple[type[Module], ...], type[Sequential]] = {}


def _patterns() -> None:
    from quantray.nn._activation import ReLU, ReLU6

    bns = BATCH_NORMS
    for i, conv in enumerate((Conv1d, Conv2d, Conv3d)):
        with_bn = (ConvBn1d, ConvBn2d, ConvBn3d)[i]
        with_relu = (ConvReLU1d, ConvReLU2d, ConvReLU3d)[i]
        with_both = (ConvBnReLU1d, ConvBnReLU2d, ConvBnReLU3d)[i]
        PATTERNS[conv, bns[i]] = with_bn
        for relu in (ReLU, ReLU6):
            PATTERNS[conv, relu] = with_relu
            PATTERNS[conv, bns[i], relu] = with_both
    for i, conv in enumerate(TRANSPOSED):
        PATTERNS[conv, bns[i]] = (ConvTransposeBn1d, ConvTransposeBn2d, ConvTransposeBn3d)[i]
    PATTERNS[Linear, BatchNorm1d] = LinearBn1d
    for relu in (ReLU, ReLU6):
        PATTERNS[Linear, relu] = LinearReLU
        PATTERNS[Linear, BatchNorm1d, relu] = LinearBnReLU1d
    PATTERNS[BatchNorm2d, ReLU] = BNReLU2d
    PATTERNS[BatchNorm3d, ReLU] = BNReLU3d


_patterns()
