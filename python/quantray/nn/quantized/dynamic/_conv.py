"""Convolutions with 8-bit weights, of floats."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self, cast

import numpy as np

from quantray import ops
from quantray._core import QTensor, qint8, quantize_per_tensor_dynamic, quint8
from quantray.nn import _conv, _init
from quantray.nn import functional as F
from quantray.nn._factory import check_factory
from quantray.nn._module import Module
from quantray.nn._tracing import whole
from quantray.nn.quantized._weights import blank_weight, check_qconfig, quantized_weight, taken_apart

if TYPE_CHECKING:
    from collections.abc import Sequence

    from quantray._typing import Array, ArrayLike, Config, Floats, Input, PerAxis, QDType, State
    from quantray.nn._conv import PaddingMode
    from quantray.nn._state import Accepted
    from quantray.nn.quantized._weights import PackedConv


class _Dynamic(_conv.Geometry):
    """What convolutions and transposed ones have in common."""

    #: The operator in `quantray.ops`.
    _packer: ClassVar[Callable[..., PackedConv]]
    _float_module: ClassVar[type[Module]]

    per_channel: bool
    per_row: bool
    reduce_range: bool
    relu: bool
    onnx: bool
    _packed: PackedConv

    def _make(self, settings: Sequence[Any], bias: bool, *options: bool) -> None:
        """Takes the settings, and makes a weight of zeros."""
        super().__init__()
        self._set(*settings)
        self._set_options(*options)
        weight = blank_weight(self._weight_shape, self.per_channel, int(self.transposed))
        self.set_weight_bias(weight, _init.zeros((self.out_channels,)) if bias else None)

    def _set_options(
        self, per_channel: bool, per_row: bool, reduce_range: bool, relu: bool, onnx: bool = False
    ) -> None:
        for name, other in (("per_row", per_row), ("onnx", onnx)):
            if other and reduce_range:
                raise ValueError(f"reduce_range must be False with {name}=True, got True")
        self.per_channel, self.per_row = per_channel, per_row
        self.reduce_range, self.relu, self.onnx = reduce_range, relu, onnx

    def set_weight_bias(self, weight: QTensor, bias: ArrayLike | None = None) -> None:
        """Takes a weight, qint8 of the float module's shape, and a bias."""
        if tuple(weight.shape) != self._weight_shape:
            raise ValueError(f"weight must be of shape {self._weight_shape}, got {tuple(weight.shape)}")
        self._packed = self._pack(weight, bias, self.output_padding)

    def _pack(self, weight: QTensor, bias: ArrayLike | None, output_padding: tuple[int, ...]) -> PackedConv:
        padding = self.padding
        if self.transposed:
            return self._packer(
                weight, bias, self.stride, padding, output_padding, self.groups, self.dilation
            )
        # Other values than zeros are put round the floats.
        padding = padding if self.padding_mode == "zeros" else 0
        return self._packer(weight, bias, self.stride, padding, self.dilation, self.groups)

    @classmethod
    def from_float(
        cls,
        module: Module,
        use_precomputed_fake_quant: bool = False,
        *,
        dtype: QDType = qint8,
        per_channel: bool = True,
        per_row: bool = True,
        reduce_range: bool = False,
    ) -> Self:
        """The layer of a float one, or of one that is fused with a batch normalization, with ReLU, or both.

        Parameters
        ----------
        module : Module
            Of the same name in `nn`, or in `nn.intrinsic`. Its weight must be finite.
        dtype : dtype
            Of the weight: qint8.
        per_channel, per_row, reduce_range : bool
            As for the constructor.
        """
        check_qconfig(module)
        layer, weight, bias, relu = taken_apart(cls, module, cls._float_module)
        made = cls.__new__(cls)
        Module.__init__(made)
        settings = (layer.stride, layer.padding, layer.dilation, layer.output_padding)
        made._set(
            layer.in_channels,
            layer.out_channels,
            layer.kernel_size,
            *settings,
            layer.groups,
            layer.padding_mode,
        )
        made._set_options(per_channel, per_row, reduce_range, relu)
        made.set_weight_bias(quantized_weight(weight, dtype, per_channel, axis=int(cls.transposed)), bias)
        made.training = module.training
        return made

    def weight(self) -> QTensor:
        """The weight, of the float module's shape."""
        return self._packed.weight()

    def bias(self) -> Array | None:
        """The bias, shape (out_channels,), or None."""
        return self._packed.bias()

    @property
    def _has_bias(self) -> bool:
        return self.bias() is not None

    def _run(self, packed: PackedConv, x: Floats) -> Floats:
        """The operator of floats, each image by its own range or all by one."""
        if self.reduce_range:
            return packed(quantize_per_tensor_dynamic(x, quint8, True), relu=self.relu)
        if not self.per_row or np.ndim(x) != self._dims + 2 or len(x) < 2:
            return packed.dynamic(x, onnx=self.onnx, relu=self.relu)
        first = packed.dynamic(x[0], onnx=self.onnx, relu=self.relu)
        # Channels last in memory, as the operator leaves them.
        last = np.empty((len(x), *first.shape[1:], first.shape[0]), np.float32)
        outputs = np.moveaxis(last, -1, 1)
        outputs[0] = first
        for image, output in zip(x[1:], outputs[1:], strict=True):
            packed.dynamic(image, onnx=self.onnx, relu=self.relu, out=output)
        return outputs

    def _own_state(self) -> State:
        bias = self.bias()
        return {"weight": self.weight(), **({} if bias is None else {"bias": bias})}

    def _assign(self, state: Accepted) -> None:
        if state:
            weight, bias = state.get("weight", self.weight()), state.get("bias", self.bias())
            self.set_weight_bias(cast("QTensor", weight), cast("Array | None", bias))

    def _config(self) -> Config:
        names = ("per_channel", "per_row", "reduce_range", "relu", "onnx")
        return super()._config() | {name: getattr(self, name) for name in names}

    def _get_name(self) -> str:
        return f"DynamicQuantized{type(self).__name__}"

    def extra_repr(self) -> str:
        """The geometry, and how weights and inputs are quantized."""
        text = f"{super().extra_repr()}, dtype=qint8, per_channel={self.per_channel}, per_row={self.per_row}"
        return f"{text}, relu" if self.relu else text


class _Forward(_Dynamic):
    """Convolution of any number of lengths."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: PerAxis,
        stride: PerAxis = 1,
        padding: PerAxis | Literal["same", "valid"] = 0,
        dilation: PerAxis = 1,
        groups: int = 1,
        bias: bool = True,
        padding_mode: PaddingMode = "zeros",
        device: object = None,
        dtype: object = None,
        reduce_range: bool = False,
        *,
        per_channel: bool = True,
        per_row: bool = True,
        relu: bool = False,
        onnx: bool = False,
    ) -> None:
        check_factory(device, dtype)
        settings = (
            in_channels,
            out_channels,
            kernel_size,
            stride,
            padding,
            dilation,
            0,
            groups,
            padding_mode,
        )
        self._make(settings, bias, per_channel, per_row, reduce_range, relu, onnx)

    @whole
    def forward(self, input: Input) -> Floats:
        """Shape (N, in_channels, lengths), or without N, to out_channels and other lengths; float32."""
        x = np.asarray(input, np.float32)
        if self.padding_mode != "zeros":
            mode = cast("Literal['reflect', 'replicate', 'circular']", self.padding_mode)
            x = cast("Floats", F.pad(x, self._sides(), mode))
        return self._run(self._packed, x)


class _Transposed(_Dynamic):
    """Transposed convolution of any number of lengths."""

    transposed = True
    _modes = ("zeros",)

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: PerAxis,
        stride: PerAxis = 1,
        padding: PerAxis = 0,
        output_padding: PerAxis = 0,
        groups: int = 1,
        bias: bool = True,
        dilation: PerAxis = 1,
        padding_mode: Literal["zeros"] = "zeros",
        device: object = None,
        dtype: object = None,
        reduce_range: bool = False,
        *,
        per_channel: bool = True,
        per_row: bool = True,
        relu: bool = False,
        onnx: bool = False,
    ) -> None:
        check_factory(device, dtype)
        if isinstance(padding, str):
            raise ValueError(f"padding must be integers, got {padding!r}")
        settings = (kernel_size, stride, padding, dilation, output_padding, groups, padding_mode)
        options = (per_channel, per_row, reduce_range, relu, onnx)
        self._make((in_channels, out_channels, *settings), bias, *options)

    @whole
    def forward(self, input: Input, output_size: Sequence[int] | None = None) -> Floats:
        """Shape (N, in_channels, lengths), or without N, to out_channels and other lengths; float32.

        `output_size` is as for the float module.
        """
        x = np.asarray(input, np.float32)
        packed = self._packed
        if output_size is not None:
            more = self._more(x.shape, output_size)
            packed = packed if more == self.output_padding else self._pack(self.weight(), self.bias(), more)
        return self._run(packed, x)


class Conv1d(_Forward):
    """Convolution of sequences with a qint8 weight. Arguments are those of `Conv2d`.

    >>> import numpy as np
    >>> from quantray import nn
    >>> layer = nn.Conv1d(4, 8, 3, padding=1)
    >>> small = nn.quantized.dynamic.Conv1d.from_float(layer)
    >>> x = np.random.default_rng(0).normal(size=(2, 4, 9)).astype(np.float32)
    >>> bool(np.abs(small(x) - layer(x)).max() < 0.05)
    True

    Source: `torch.ao.nn.quantized.dynamic.Conv1d`.
    """

    _dims, _packer, _float_module = 1, ops.PackedConv1d, _conv.Conv1d


class Conv2d(_Forward):
    """Convolution of images whose weight is qint8; its input is quantized to quint8 as it comes.

    Made from a float layer by `from_float`, or empty, to load a state_dict. Its output is float32 as the sums
    give it; torch's is rounded to the input's 8-bit grid, and cut off at the input's range.

    Parameters
    ----------
    in_channels, out_channels, kernel_size, stride, padding, dilation, groups, bias, padding_mode
        As for `nn.Conv2d`.
    per_channel : bool
        Whether each output channel's weights have a scale of their own.
    per_row : bool
        Whether each image of a batch has a scale and a zero point of its own, not one for all: what becomes
        of it does not depend on the others.
    reduce_range : bool
        Whether the input is quantized to 7 bits, as torch does, whose sums may saturate. Not with `per_row`.
    relu : bool
        Whether negative outputs become 0.
    onnx : bool
        Whether ranges become scales and codes as ONNX's DynamicQuantizeLinear has them.

    >>> import numpy as np
    >>> from quantray import nn
    >>> layer = nn.Conv2d(4, 8, 3, padding=1)
    >>> small = nn.quantized.dynamic.Conv2d.from_float(layer)
    >>> x = np.random.default_rng(0).normal(size=(2, 4, 9, 9)).astype(np.float32)
    >>> bool(np.abs(small(x) - layer(x)).max() < 0.05)
    True

    Source: `torch.ao.nn.quantized.dynamic.Conv2d`.
    """

    _dims, _packer, _float_module = 2, ops.PackedConv2d, _conv.Conv2d


class Conv3d(_Forward):
    """Convolution of volumes with a qint8 weight. Arguments are those of `Conv2d`.

    >>> import numpy as np
    >>> from quantray import nn
    >>> layer = nn.Conv3d(4, 8, 2, stride=2)
    >>> small = nn.quantized.dynamic.Conv3d.from_float(layer)
    >>> x = np.random.default_rng(0).normal(size=(1, 4, 6, 6, 6)).astype(np.float32)
    >>> bool(np.abs(small(x) - layer(x)).max() < 0.05)
    True

    Source: `torch.ao.nn.quantized.dynamic.Conv3d`.
    """

    _dims, _packer, _float_module = 3, ops.PackedConv3d, _conv.Conv3d


class ConvTranspose1d(_Transposed):
    """Transposed convolution of sequences with a qint8 weight. Arguments are those of `ConvTranspose2d`.

    >>> import numpy as np
    >>> from quantray import nn
    >>> layer = nn.ConvTranspose1d(4, 8, 2, stride=2)
    >>> small = nn.quantized.dynamic.ConvTranspose1d.from_float(layer)
    >>> x = np.random.default_rng(0).normal(size=(2, 4, 9)).astype(np.float32)
    >>> bool(np.abs(small(x) - layer(x)).max() < 0.05)
    True

    Source: `torch.ao.nn.quantized.dynamic.ConvTranspose1d`.
    """

    _dims, _packer, _float_module = 1, ops.PackedConvTranspose1d, _conv.ConvTranspose1d


class ConvTranspose2d(_Transposed):
    """Transposed convolution of images whose weight is qint8; its input is quantized to quint8 as it comes.

    Parameters
    ----------
    in_channels, out_channels, kernel_size, stride, padding, output_padding, groups, bias, dilation,
    padding_mode
        As for `nn.ConvTranspose2d`.
    per_channel, per_row, reduce_range, relu, onnx : bool
        As for `Conv2d`; groups share the scales of their weights.

    >>> import numpy as np
    >>> from quantray import nn
    >>> layer = nn.ConvTranspose2d(4, 8, 3, stride=2, padding=1, output_padding=1)
    >>> small = nn.quantized.dynamic.ConvTranspose2d.from_float(layer)
    >>> x = np.random.default_rng(0).normal(size=(2, 4, 5, 5)).astype(np.float32)
    >>> bool(np.abs(small(x) - layer(x)).max() < 0.05)
    True

    Source: `torch.ao.nn.quantized.dynamic.ConvTranspose2d`.
    """

    _dims, _packer, _float_module = 2, ops.PackedConvTranspose2d, _conv.ConvTranspose2d


class ConvTranspose3d(_Transposed):
    """Transposed convolution of volumes with a qint8 weight. Arguments are those of `ConvTranspose2d`.

    >>> import numpy as np
    >>> from quantray import nn
    >>> layer = nn.ConvTranspose3d(4, 8, 2, stride=2)
    >>> small = nn.quantized.dynamic.ConvTranspose3d.from_float(layer)
    >>> x = np.random.default_rng(0).normal(size=(1, 4, 3, 3, 3)).astype(np.float32)
    >>> bool(np.abs(small(x) - layer(x)).max() < 0.05)
    True

    Source: `torch.ao.nn.quantized.dynamic.ConvTranspose3d`.
    """

    _dims, _packer, _float_module = 3, ops.PackedConvTranspose3d, _conv.ConvTranspose3d
