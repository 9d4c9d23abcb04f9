"""What fused modules for training share: made from settings, with their parts by torch's names."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, ClassVar, cast

from quantray import nn
from quantray.nn.intrinsic._fused import FusedWeighted
from quantray.nn.qat._statistics import freeze_bn_stats, update_bn_stats
from quantray.nn.qat._weighted import FusedQAT, check_qconfig

if TYPE_CHECKING:
    from quantray._typing import Array, Floats, PerAxis
    from quantray.nn.qat._weighted import QConfig


class Trained(FusedQAT):
    #: The fused module of floats.
    fused: ClassVar[type[FusedWeighted]]
    #: The classes of its layer and its normalization.
    kinds: ClassVar[tuple[Callable[..., nn.Module], Callable[..., nn.Module] | None]]

    def _begin(
        self, layer: nn.Module, qconfig: QConfig | None, norm: nn.Module | None = None, frozen: bool = False
    ) -> None:
        parts = [layer, *([] if norm is None else [norm]), *([nn.ReLU()] if self.fused.has_relu else [])]
        fused = self.fused(*parts)
        fused.qconfig = check_qconfig(type(self), qconfig)
        FusedQAT.__init__(self, fused)
        if frozen:
            self.freeze_bn_stats()

    @property
    def weight(self) -> Array:
        """The layer's weight, before anything is folded into it."""
        return self.layer.weight

    @property
    def bias(self) -> Floats | None:
        """The layer's bias, or None."""
        return self.layer.bias

    @property
    def bn(self) -> nn.Module | None:
        """The batch normalization, if there is one."""
        return self.norm

    def freeze_bn_stats(self) -> nn.Module:
        """Keeps running statistics as they are; returns this module."""
        freeze_bn_stats(self)
        return self

    def update_bn_stats(self) -> nn.Module:
        """Lets running statistics follow the data again; returns this module."""
        update_bn_stats(self)
        return self

    def reset_running_stats(self) -> None:
        """Running statistics as in the beginning."""
        if self.norm is not None:
            self.norm.reset_running_stats()


class TrainedConv(Trained):
    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: PerAxis,
        stride: PerAxis = 1,
        padding: PerAxis | str = 0,
        dilation: PerAxis = 1,
        groups: int = 1,
        bias: bool = True,
        padding_mode: str = "zeros",
        qconfig: QConfig | None = None,
    ) -> None:
        check_qconfig(type(self), qconfig)
        sizes = (
            in_channels,
            out_channels,
            kernel_size,
            stride,
            padding,
            dilation,
            groups,
            bias,
            padding_mode,
        )
        self._begin(self.kinds[0](*sizes), qconfig)


class TrainedConvBn(Trained):
    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: PerAxis,
        stride: PerAxis = 1,
        padding: PerAxis | str = 0,
        dilation: PerAxis = 1,
        groups: int = 1,
        bias: bool | None = None,
        padding_mode: str = "zeros",
        eps: float = 1e-5,
        momentum: float = 0.1,
        freeze_bn: bool = False,
        qconfig: QConfig | None = None,
    ) -> None:
        check_qconfig(type(self), qconfig)
        sizes = (in_channels, out_channels, kernel_size, stride, padding, dilation, groups)
        layer = self.kinds[0](*sizes, bool(bias), padding_mode)
        norm = cast("type[nn.BatchNorm1d]", self.kinds[1])(out_channels, eps, momentum)
        self._begin(layer, qconfig, norm, freeze_bn)
