"""Layers whose weights are fake-quantized in every call, so that training learns to live with it."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, Self, cast

from quantray import nn
from quantray.nn._factory import check_factory
from quantray.nn._tracing import whole
from quantray.nn.intrinsic._fused import FusedWeighted, along_outputs, factor_of

if TYPE_CHECKING:
    from quantray._typing import Array, Floats, Input, PerAxis


class QConfig(Protocol):
    """What a layer is trained by: it makes the fake quantization of its weight."""

    @property
    def weight(self) -> Callable[[], nn.Module]: ...

    def along(self, axis: int) -> QConfig:
        """The same for weights whose output channels are on an axis."""
        ...


def check_qconfig(cls: type, qconfig: QConfig | None) -> QConfig:
    """A QConfig whose weight is fake-quantized, as modules for training need one.

    Raises
    ------
    ValueError
        There is none; it says how to get one.
    """
    if qconfig is None:
        raise ValueError(
            f"qconfig must be given for {cls.__name__}: quantization.get_default_qat_qconfig() is one"
        )
    return qconfig


def _of_outputs(qconfig: QConfig, layer: nn.Module) -> QConfig:
    """A QConfig for the axis of a layer's output channels."""
    return qconfig.along(1 if getattr(layer, "transposed", False) else 0)


class Trained(nn.Module):
    """What is common to modules whose weights are fake-quantized."""

    #: The float layer.
    float_module: ClassVar[type[nn.Module]]

    @classmethod
    def from_float(cls, mod: nn.Module, use_precomputed_fake_quant: bool = False) -> Self:
        """From a float layer with a `qconfig`: its parameters are shared, not copied."""
        module = mod
        if not isinstance(module, cls.float_module):
            raise TypeError(f"mod must be a {cls.float_module.__name__}, got {type(module).__name__}")
        check_qconfig(cls, getattr(module, "qconfig", None))
        made = cls.__new__(cls)
        made.__dict__.update(module.__dict__)
        # The float module keeps its own tables of what is inside it.
        for table in ("_parameters", "_buffers", "_modules", "_pre_hooks", "_hooks"):
            made.__dict__[table] = dict(module.__dict__[table])
        made.add_module("weight_fake_quant", _of_outputs(module.qconfig, module).weight())
        return made

    def _train_with(self, qconfig: QConfig | None) -> None:
        """Takes a QConfig, whose weight half makes the fake quantization."""
        self.qconfig = check_qconfig(type(self), qconfig)
        self.add_module("weight_fake_quant", _of_outputs(self.qconfig, self).weight())

    def to_float(self) -> nn.Module:
        """The float layer, with weights as they are before they are fake-quantized."""
        made = self.float_module.__new__(self.float_module)
        made.__dict__.update(self.__dict__)
        made.__dict__["_modules"] = {k: v for k, v in self._modules.items() if k != "weight_fake_quant"}
        return made


class QAT(Trained):
    """What is common to layers, linear and convolutional, whose weights are fake-quantized."""

    def weight_and_bias(self) -> tuple[Array, Array | None]:
        """What integers will stand for: before they are fake-quantized."""
        return self.weight, self.bias

    @whole
    def forward(self, input: Input, *args: Any, **kwargs: Any) -> Floats:
        """The layer with a fake-quantized weight."""
        return self.forward_with(input, self.weight_fake_quant(self.weight), self.bias, *args, **kwargs)


class Linear(QAT, nn.Linear):
    """Linear with a fake-quantized weight.

    >>> import numpy as np
    >>> from quantray import nn, quantization as tq
    >>> qat = tq.prepare_qat(nn.Linear(2, 4))
    >>> x = np.random.default_rng(0).normal(size=(6, 2)).astype(np.float32)
    >>> isinstance(qat, nn.qat.Linear), qat(x).shape, list(qat.trainable_parameters())
    (True, (6, 4), ['weight', 'bias'])
    """

    float_module = nn.Linear

    def __init__(
        self,
        in_features: int,
        out_features: int,
        bias: bool = True,
        qconfig: QConfig | None = None,
        device: object = None,
        dtype: object = None,
    ) -> None:
        check_factory(device, dtype)
        check_qconfig(type(self), qconfig)
        super().__init__(in_features, out_features, bias)
        self._train_with(qconfig)


class _Conv(QAT):
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
        device: object = None,
        dtype: object = None,
    ) -> None:
        check_factory(device, dtype)
        check_qconfig(type(self), qconfig)
        begin = cast("Callable[..., None]", super().__init__)
        begin(in_channels, out_channels, kernel_size, stride, padding, dilation, groups, bias, padding_mode)
        self._train_with(qconfig)


class Conv1d(_Conv, nn.Conv1d):
    """Conv1d with a fake-quantized weight.

    >>> import numpy as np
    >>> from quantray import nn, quantization as tq
    >>> qat = tq.prepare_qat(nn.Conv1d(2, 4, 3))
    >>> x = np.random.default_rng(0).normal(size=(2, 2, 6)).astype(np.float32)
    >>> isinstance(qat, nn.qat.Conv1d), qat(x).shape, list(qat.trainable_parameters())
    (True, (2, 4, 4), ['weight', 'bias'])
    """

    float_module = nn.Conv1d


class Conv2d(_Conv, nn.Conv2d):
    """Conv2d with a fake-quantized weight.

    >>> import numpy as np
    >>> from quantray import nn, quantization as tq
    >>> qat = tq.prepare_qat(nn.Conv2d(2, 4, 3))
    >>> x = np.random.default_rng(0).normal(size=(1, 2, 6, 6)).astype(np.float32)
    >>> isinstance(qat, nn.qat.Conv2d), qat(x).shape, list(qat.trainable_parameters())
    (True, (1, 4, 4, 4), ['weight', 'bias'])
    """

    float_module = nn.Conv2d


class Conv3d(_Conv, nn.Conv3d):
    """Conv3d with a fake-quantized weight.

    >>> import numpy as np
    >>> from quantray import nn, quantization as tq
    >>> qat = tq.prepare_qat(nn.Conv3d(2, 4, 3))
    >>> x = np.random.default_rng(0).normal(size=(1, 2, 4, 4, 4)).astype(np.float32)
    >>> isinstance(qat, nn.qat.Conv3d), qat(x).shape, list(qat.trainable_parameters())
    (True, (1, 4, 2, 2, 2), ['weight', 'bias'])
    """

    float_module = nn.Conv3d


class ConvTranspose1d(QAT, nn.ConvTranspose1d):
    """ConvTranspose1d with a fake-quantized weight.

    >>> import numpy as np
    >>> from quantray import nn, quantization as tq
    >>> qat = tq.prepare_qat(nn.ConvTranspose1d(2, 4, 3))
    >>> x = np.random.default_rng(0).normal(size=(2, 2, 6)).astype(np.float32)
    >>> isinstance(qat, nn.qat.ConvTranspose1d), qat(x).shape, list(qat.trainable_parameters())
    (True, (2, 4, 8), ['weight', 'bias'])
    """

    float_module = nn.ConvTranspose1d


class ConvTranspose2d(QAT, nn.ConvTranspose2d):
    """ConvTranspose2d with a fake-quantized weight.

    >>> import numpy as np
    >>> from quantray import nn, quantization as tq
    >>> qat = tq.prepare_qat(nn.ConvTranspose2d(2, 4, 3))
    >>> x = np.random.default_rng(0).normal(size=(1, 2, 6, 6)).astype(np.float32)
    >>> isinstance(qat, nn.qat.ConvTranspose2d), qat(x).shape, list(qat.trainable_parameters())
    (True, (1, 4, 8, 8), ['weight', 'bias'])
    """

    float_module = nn.ConvTranspose2d


class ConvTranspose3d(QAT, nn.ConvTranspose3d):
    """ConvTranspose3d with a fake-quantized weight.

    >>> import numpy as np
    >>> from quantray import nn, quantization as tq
    >>> qat = tq.prepare_qat(nn.ConvTranspose3d(2, 4, 3))
    >>> x = np.random.default_rng(0).normal(size=(1, 2, 4, 4, 4)).astype(np.float32)
    >>> isinstance(qat, nn.qat.ConvTranspose3d), qat(x).shape, list(qat.trainable_parameters())
    (True, (1, 4, 6, 6, 6), ['weight', 'bias'])
    """

    float_module = nn.ConvTranspose3d


class FusedQAT(FusedWeighted):
    """A fused module whose weight, with the batch normalization folded into it, is fake-quantized.

    While it trains, the weight is scaled as running statistics would have it, fake-quantized, and the
    output scaled back, so that the normalization sees its batch: Krishnamoorthi, Quantizing deep
    convolutional networks for efficient inference (2018), section 3.2.2. In evaluation mode it computes
    what integers will.

    >>> from quantray import nn, quantization as tq
    >>> model = nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU())
    >>> qat = tq.prepare_qat(tq.fuse_modules(model, ["0", "1", "2"]))
    >>> isinstance(qat[0], nn.qat.FusedQAT), type(qat[0].to_float()).__name__
    (True, 'ConvBnReLU2d')
    """

    def __init__(self, fused: FusedWeighted) -> None:
        super().__init__(*fused)
        self._kind = type(fused)
        self.training = fused.training
        self.qconfig = fused.qconfig
        self.weight_fake_quant = _of_outputs(fused.qconfig, fused.layer).weight()

    @classmethod
    def from_float(cls, mod: FusedWeighted, use_precomputed_fake_quant: bool = False) -> FusedQAT:
        """From a fused module with a `qconfig`: what is inside is shared, not copied.

        It is of the class of the same name in `nn.intrinsic.qat`, where there is one.
        """
        from quantray.nn.intrinsic.qat import TRAINED

        kind: type[FusedQAT] = TRAINED.get(type(mod), FusedQAT) if cls is FusedQAT else cls
        if cls is not FusedQAT and TRAINED.get(type(mod)) is not cls:
            raise TypeError(f"mod must be of nn.intrinsic.{cls.__name__}, got {type(mod).__name__}")
        check_qconfig(kind, getattr(mod, "qconfig", None))
        made: FusedQAT = object.__new__(kind)
        FusedQAT.__init__(made, mod)
        return made

    def to_float(self) -> FusedWeighted:
        """The fused module, with weights as they are before they are fake-quantized."""
        return self._kind(*(self.get_submodule(str(i)) for i in range(self._count)))

    @property
    def _count(self) -> int:
        return 1 + self._kind.has_norm + self._kind.has_relu

    @property
    def layer(self) -> nn.Module:
        """The layer with weights."""
        return self.get_submodule("0")

    @property
    def norm(self) -> nn.Module | None:
        """The batch normalization, if there is one."""
        return self.get_submodule("1") if self._kind.has_norm else None

    @property
    def activation(self) -> nn.Module | None:
        """The ReLU or the ReLU6, if there is one."""
        return self.get_submodule(str(self._count - 1)) if self._kind.has_relu else None

    @whole
    def forward(self, input: Input) -> Floats:
        """The layer with a fake-quantized weight, then what is fused with it."""
        layer, norm, activation = self.layer, self.norm, self.activation
        if norm is None or not self.training:
            weight, bias = self.weight_and_bias()
            output = layer.forward_with(input, self.weight_fake_quant(weight), bias)
        else:
            factor = factor_of(norm)
            weight = self.weight_fake_quant(layer.weight * along_outputs(layer, factor))
            output = layer.forward_with(input, weight, None)
            channels = (1, -1, *[1] * (output.ndim - 2))
            output = output / factor.reshape(channels)
            if layer.bias is not None:
                output = output + layer.bias.reshape(channels)
            output = norm(output)
        return output if activation is None else activation(output)

    def _get_name(self) -> str:
        return self._kind.__name__ + "QAT"


#: Which layers have a twin for training.
QAT_MODULES: dict[type[nn.Module], type[QAT]] = {
    made.float_module: made
    for made in (Linear, Conv1d, Conv2d, Conv3d, ConvTranspose1d, ConvTranspose2d, ConvTranspose3d)
}
