"""Linear layers and convolutions of integers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar, cast

from quantray import nn, ops
from quantray._core import qint8
from quantray.nn._factory import check_factory, check_sizes
from quantray.nn.quantized._weighted import Weighted
from quantray.nn.quantized._weights import check_weight_dtype

if TYPE_CHECKING:
    from quantray._typing import Array, PerAxis, QDType
    from quantray.nn.quantized._weights import PackedConv


def _plain(values: int | str | Sequence[int]) -> int | str | list[int]:
    return values if isinstance(values, (int, str)) else list(values)


class Linear(Weighted):
    """Linear on integers: made by `convert`, by `from_float`, or empty, to be given a weight and a grid.

    Parameters
    ----------
    in_features, out_features : int
        Lengths of the input's and the output's last axis.
    bias_ : bool
        Whether there is a bias.
    dtype : dtype
        Of the weight: qint8.

    >>> import numpy as np, quantray as qt
    >>> empty = qt.nn.quantized.Linear(2, 4)
    >>> empty.set_weight_bias(qt.quantize_per_tensor(np.ones((4, 2)), 0.01, 0, qt.qint8), None)
    >>> empty.scale, empty.zero_point = 0.5, 10
    >>> empty(qt.quantize_per_tensor([[1.0, 2.0]], 0.1, 0, qt.quint8)).tolist()
    [[3.0, 3.0, 3.0, 3.0]]

    >>> import numpy as np
    >>> from quantray import nn, quantization as tq
    >>> layer = nn.Linear(2, 4)
    >>> x = np.random.default_rng(0).normal(size=(6, 2)).astype(np.float32)
    >>> small = tq.quantize(layer, x, verbose=False)
    >>> isinstance(small, nn.quantized.Linear), bool(np.abs(small(x) - layer(x)).max() < 0.1)
    (True, True)

    Source: `torch.ao.nn.quantized.Linear`.
    """

    packer = ops.PackedLinear
    float_module = nn.Linear

    def __init__(
        self, in_features: int, out_features: int, bias_: bool = True, dtype: QDType = qint8
    ) -> None:
        check_sizes(in_features=in_features, out_features=out_features)
        check_weight_dtype(dtype)
        self._empty((out_features, in_features), out_features, bias_, [])

    @property
    def in_features(self) -> int:
        """Length of the input's last axis."""
        return cast("ops.PackedLinear", self.packed).in_features

    @property
    def out_features(self) -> int:
        """Length of the output's last axis."""
        return cast("ops.PackedLinear", self.packed).out_features

    @staticmethod
    def settings_of(layer: nn.Module) -> list[object]:
        return []


class _Geometry(Weighted):
    """Lengths and channels, as the operator has them."""

    @property
    def _convolution(self) -> PackedConv:
        return cast("PackedConv", self.packed)

    #: How many axes images have.
    dims: ClassVar[int]
    transposed: ClassVar[bool] = False
    padding_mode = "zeros"

    @property
    def in_channels(self) -> int:
        """Channels of the input."""
        return self._convolution.in_channels

    @property
    def out_channels(self) -> int:
        """Channels of the output."""
        return self._convolution.out_channels

    @property
    def kernel_size(self) -> tuple[int, ...]:
        """Lengths of the window."""
        return self._convolution.kernel_size

    @property
    def stride(self) -> tuple[int, ...]:
        """Steps of the window."""
        return self._convolution.stride

    @property
    def padding(self) -> tuple[int, ...] | str:
        """Zeros on both sides."""
        return self._convolution.padding

    @property
    def dilation(self) -> tuple[int, ...]:
        """Steps inside the window."""
        return self._convolution.dilation

    @property
    def groups(self) -> int:
        """Groups of channels."""
        return self._convolution.groups

    @property
    def output_padding(self) -> tuple[int, ...]:
        """What is added to one side of the output of a transposed convolution."""
        return getattr(self.packed, "output_padding", (0,) * self.dims)

    def _make(self, float_layer: nn.Module, bias: bool, device: object, dtype: object) -> None:
        """Takes the settings of a float layer, which has checked them, without its weight."""
        check_factory(device, dtype)
        self._empty(float_layer._weight_shape, float_layer.out_channels, bias, self.settings_of(float_layer))


def _settings(dims: int, transposed: bool, *settings: Any) -> nn.Module:
    """The settings of a convolution, checked, without a weight."""
    kind = (
        (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)
        if transposed
        else (nn.Conv1d, nn.Conv2d, nn.Conv3d)
    )
    made = kind[dims - 1].__new__(kind[dims - 1])
    nn.Module.__init__(made)
    made._set(*settings)
    return made


class _Conv(_Geometry):
    @property
    def input_zero_points(self) -> Array | None:
        """The zero points of the input's channels, where a file has some for a depthwise layer; or None."""
        return cast("ops.PackedConv2d", self.packed).input_zero_points

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
        device: object = None,
        dtype: object = None,
    ) -> None:
        sizes = (in_channels, out_channels, kernel_size, stride, padding, dilation, 0, groups, padding_mode)
        self._make(_settings(self.dims, False, *sizes), bias, device, dtype)

    @staticmethod
    def settings_of(layer: nn.Module) -> list[object]:
        if layer.padding_mode != "zeros":
            raise ValueError(f"padding_mode must be 'zeros' for integers, got {layer.padding_mode!r}")
        made: list[object] = [_plain(each) for each in (layer.stride, layer.padding, layer.dilation)]
        made.append(layer.groups)
        zeros = getattr(layer, "input_zero_points", None)
        return made if zeros is None else [*made, zeros]


class Conv1d(_Conv):
    """Conv1d on integers.

    Parameters
    ----------
    in_channels, out_channels, kernel_size, stride, padding, dilation, groups, bias, padding_mode
        As for `nn.Conv1d`; padding is of zeros.
    device, dtype
        For torch's sake: "cpu" and float32, or None.

    >>> import numpy as np
    >>> from quantray import nn, quantization as tq
    >>> layer = nn.Conv1d(2, 4, 3)
    >>> x = np.random.default_rng(0).normal(size=(2, 2, 6)).astype(np.float32)
    >>> small = tq.quantize(layer, x, verbose=False)
    >>> isinstance(small, nn.quantized.Conv1d), bool(np.abs(small(x) - layer(x)).max() < 0.1)
    (True, True)

    Source: `torch.ao.nn.quantized.Conv1d`.
    """

    packer = ops.PackedConv1d
    float_module = nn.Conv1d
    dims = 1


class Conv2d(_Conv):
    """Conv2d on integers.

    Parameters
    ----------
    in_channels, out_channels, kernel_size, stride, padding, dilation, groups, bias, padding_mode
        As for `nn.Conv2d`; padding is of zeros.
    device, dtype
        For torch's sake: "cpu" and float32, or None.

    >>> import numpy as np
    >>> from quantray import nn, quantization as tq
    >>> layer = nn.Conv2d(2, 4, 3)
    >>> x = np.random.default_rng(0).normal(size=(1, 2, 6, 6)).astype(np.float32)
    >>> small = tq.quantize(layer, x, verbose=False)
    >>> isinstance(small, nn.quantized.Conv2d), bool(np.abs(small(x) - layer(x)).max() < 0.1)
    (True, True)

    Source: `torch.ao.nn.quantized.Conv2d`.
    """

    packer = ops.PackedConv2d
    float_module = nn.Conv2d
    dims = 2


class Conv3d(_Conv):
    """Conv3d on integers.

    Parameters
    ----------
    in_channels, out_channels, kernel_size, stride, padding, dilation, groups, bias, padding_mode
        As for `nn.Conv3d`; padding is of zeros.
    device, dtype
        For torch's sake: "cpu" and float32, or None.

    >>> import numpy as np
    >>> from quantray import nn, quantization as tq
    >>> layer = nn.Conv3d(2, 4, 3)
    >>> x = np.random.default_rng(0).normal(size=(1, 2, 4, 4, 4)).astype(np.float32)
    >>> small = tq.quantize(layer, x, verbose=False)
    >>> isinstance(small, nn.quantized.Conv3d), bool(np.abs(small(x) - layer(x)).max() < 0.1)
    (True, True)

    Source: `torch.ao.nn.quantized.Conv3d`.
    """

    packer = ops.PackedConv3d
    float_module = nn.Conv3d
    dims = 3


class _ConvTranspose(_Geometry):
    axis = 1
    transposed = True

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
        padding_mode: str = "zeros",
        device: object = None,
        dtype: object = None,
    ) -> None:
        sizes = (in_channels, out_channels, kernel_size, stride, padding, dilation, output_padding, groups)
        self._make(_settings(self.dims, True, *sizes, padding_mode), bias, device, dtype)

    @staticmethod
    def settings_of(layer: nn.Module) -> list[object]:
        values = (layer.stride, layer.padding, layer.output_padding, layer.groups, layer.dilation)
        return [_plain(value) for value in values]


class ConvTranspose1d(_ConvTranspose):
    """ConvTranspose1d on integers.

    Parameters
    ----------
    in_channels, out_channels, kernel_size, stride, padding, dilation, groups, bias, padding_mode
        As for `nn.ConvTranspose1d`; padding is of zeros.
    device, dtype
        For torch's sake: "cpu" and float32, or None.

    >>> import numpy as np
    >>> from quantray import nn, quantization as tq
    >>> layer = nn.ConvTranspose1d(2, 4, 3)
    >>> x = np.random.default_rng(0).normal(size=(2, 2, 6)).astype(np.float32)
    >>> small = tq.quantize(layer, x, verbose=False)
    >>> isinstance(small, nn.quantized.ConvTranspose1d), bool(np.abs(small(x) - layer(x)).max() < 0.1)
    (True, True)

    Source: `torch.ao.nn.quantized.ConvTranspose1d`.
    """

    packer = ops.PackedConvTranspose1d
    float_module = nn.ConvTranspose1d
    dims = 1


class ConvTranspose2d(_ConvTranspose):
    """ConvTranspose2d on integers.

    Parameters
    ----------
    in_channels, out_channels, kernel_size, stride, padding, dilation, groups, bias, padding_mode
        As for `nn.ConvTranspose2d`; padding is of zeros.
    device, dtype
        For torch's sake: "cpu" and float32, or None.

    >>> import numpy as np
    >>> from quantray import nn, quantization as tq
    >>> layer = nn.ConvTranspose2d(2, 4, 3)
    >>> x = np.random.default_rng(0).normal(size=(1, 2, 6, 6)).astype(np.float32)
    >>> small = tq.quantize(layer, x, verbose=False)
    >>> isinstance(small, nn.quantized.ConvTranspose2d), bool(np.abs(small(x) - layer(x)).max() < 0.1)
    (True, True)

    Source: `torch.ao.nn.quantized.ConvTranspose2d`.
    """

    packer = ops.PackedConvTranspose2d
    float_module = nn.ConvTranspose2d
    dims = 2


class ConvTranspose3d(_ConvTranspose):
    """ConvTranspose3d on integers.

    Parameters
    ----------
    in_channels, out_channels, kernel_size, stride, padding, dilation, groups, bias, padding_mode
        As for `nn.ConvTranspose3d`; padding is of zeros.
    device, dtype
        For torch's sake: "cpu" and float32, or None.

    >>> import numpy as np
    >>> from quantray import nn, quantization as tq
    >>> layer = nn.ConvTranspose3d(2, 4, 3)
    >>> x = np.random.default_rng(0).normal(size=(1, 2, 4, 4, 4)).astype(np.float32)
    >>> small = tq.quantize(layer, x, verbose=False)
    >>> isinstance(small, nn.quantized.ConvTranspose3d), bool(np.abs(small(x) - layer(x)).max() < 0.1)
    (True, True)

    Source: `torch.ao.nn.quantized.ConvTranspose3d`.
    """

    packer = ops.PackedConvTranspose3d
    float_module = nn.ConvTranspose3d
    dims = 3


#: The layer of integers that takes each float layer's place.
QUANTIZED_MODULES: dict[type[nn.Module], type[Weighted]] = {
    nn.Linear: Linear,
    nn.Conv1d: Conv1d,
    nn.Conv2d: Conv2d,
    nn.Conv3d: Conv3d,
    nn.ConvTranspose1d: ConvTranspose1d,
    nn.ConvTranspose2d: ConvTranspose2d,
    nn.ConvTranspose3d: ConvTranspose3d,
}
