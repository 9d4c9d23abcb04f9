"""Layers of integers: weights packed for this CPU, integers in and, where other integers follow, out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from quantray import nn, ops
from quantray._core import (
    QTensor,
    make_per_channel_quantized_tensor,
    make_per_tensor_quantized_tensor,
    per_tensor_affine,
    per_tensor_symmetric,
    qint8,
    quantize_per_channel,
    quint8,
)
from quantray.nn import _init
from quantray.nn._tracing import whole
from quantray.nn.quantized._grid import Grid, OnGrids
from quantray.nn.quantized._packing import packed_weight, unpacked_weight

if TYPE_CHECKING:
    from collections.abc import Sequence


class Weighted(OnGrids):
    """A layer with an integer weight, which lies packed for this CPU.

    Its input is quantized, or floats, which are quantized as calibration saw them (`input_grid`). Its
    output is quantized (`grid`), or floats where there is no grid. Codes of the weight are those of
    `weight_range`: files hold them in as few bits as these need.
    """

    _grids = ("grid", "input_grid")

    #: The operator in `quantray.ops`.
    packer: ClassVar[Any]
    #: The axis of the weight that outputs lie on.
    axis: ClassVar[int] = 0

    def __init__(
        self,
        shape: Sequence[int],
        outputs: int,
        bias: bool,
        settings: Sequence[Any],
        grid: Sequence[Any] | None = None,
        input_grid: Sequence[Any] | None = None,
        relu: bool = False,
        relu6: bool = False,
        dtype: str = "qint8",
        weight_range: Sequence[int] | None = None,
    ) -> None:
        super().__init__()
        self._settings = list(settings)
        low, high = (-128, 127) if dtype == "qint8" else (0, 255)
        #: The least and the greatest code that the weight may have.
        self.weight_range = low, high
        if weight_range is not None:
            least, greatest = map(int, weight_range)
            if not low <= least < greatest <= high:
                raise ValueError(
                    f"weight_range must be of codes from {low} to {high} of {dtype}, got {list(weight_range)}"
                )
            self.weight_range = least, greatest
        self.grid = None if grid is None else Grid.checked(grid)
        self.input_grid = None if input_grid is None else Grid.checked(input_grid, "input_grid")
        self.relu, self.relu6 = relu, relu6
        codes: Any = _init.zeros(shape, np.int8 if dtype == "qint8" else np.uint8)
        weight = make_per_tensor_quantized_tensor(codes, 1.0, 0)
        self.set_weight_bias(weight, _init.zeros((outputs,)) if bias else None)

    @classmethod
    def of(
        cls,
        layer: nn.Module,
        weight: QTensor,
        bias: Any,
        *,
        grid: Grid | None,
        input_grid: Grid | None,
        activation: nn.Module | None = None,
        weight_range: Sequence[int] | None = None,
    ) -> Any:
        """The layer of integers that takes the place of a float one."""
        relu6 = isinstance(activation, nn.ReLU6)
        made = cls(
            weight.shape,
            0 if bias is None else len(bias),
            False,
            cls.settings_of(layer),
            grid,
            input_grid,
            activation is not None,
            relu6,
            weight.dtype.name,
            weight_range,
        )
        made.set_weight_bias(weight, bias)
        return made

    @staticmethod
    def settings_of(layer: nn.Module) -> list[Any]:
        """What the operator is told beside weight and bias."""
        raise NotImplementedError

    def set_weight_bias(self, w: QTensor, b: Any) -> None:
        """Packs another weight and bias."""
        self.packed = self.packer(w, b, *self._settings)

    def weight(self) -> QTensor:
        """The weight, unpacked."""
        return self.packed.weight()

    def bias(self) -> Any:
        """The bias, or None."""
        return self.packed.bias()

    @property
    def bits(self) -> int:
        """How many bits the weight's codes need."""
        low, high = self.weight_range
        return (high - low).bit_length()

    @whole
    def forward(self, input: Any) -> Any:
        """Quantized output, or floats."""
        if not isinstance(input, QTensor):
            if self.input_grid is None:
                raise TypeError(
                    f"input must be a QTensor, as it was in calibration, got {type(input).__name__}: "
                    "quantize_per_tensor makes one"
                )
            input = self.input_grid.quantize(input)
        if self.grid is None:
            output = self.packed(input, relu=self.relu)
            return np.minimum(output, np.float32(6), out=output) if self.relu6 else output
        output = self.grid.clamp(self.packed(input, *self.grid.output, relu=self.relu))
        return ops.relu6(output) if self.relu6 else output

    def _own_state(self) -> dict[str, Any]:
        state: dict[str, Any] = {"weight": self.weight()}
        bias = self.bias()
        if bias is not None:
            state["bias"] = bias
        return state

    def _file_state(self) -> dict[str, Any]:
        state = self._own_state()
        return {**state, "weight": packed_weight(state["weight"], *self.weight_range)}

    def _accept(self, name: str, value: Any) -> Any:
        if name == "weight" and isinstance(value, QTensor):
            own = self.weight()
            value = unpacked_weight(value, own.dtype, self.weight_range[0])
            if value.dtype != own.dtype:
                raise TypeError(f"must be of {own.dtype}, got {value.dtype}")
        return super()._accept(name, value)

    def _assign_arrays(self, state: dict[str, Any]) -> None:
        if state:
            self.set_weight_bias(state.get("weight", self.weight()), state.get("bias", self.bias()))

    def _config(self) -> dict[str, Any]:
        weight, bias = self.weight(), self.bias()
        return {
            "shape": list(weight.shape),
            "outputs": 0 if bias is None else len(bias),
            "bias": bias is not None,
            "settings": self._settings,
            "grid": self.grid,
            "input_grid": self.input_grid,
            "relu": self.relu,
            "relu6": self.relu6,
            "dtype": weight.dtype.name,
            "weight_range": list(self.weight_range),
        }

    def extra_repr(self) -> str:
        shape = "x".join(map(str, self.weight().shape))
        parts = [f"weight {shape} {self.weight().dtype}"]
        if self.bias() is None:
            parts.append("bias=False")
        if self.relu:
            parts.append("relu6" if self.relu6 else "relu")
        if self.input_grid is not None:
            parts.append(f"input ({self.input_grid})")
        parts.append("output floats" if self.grid is None else str(self.grid))
        return ", ".join(parts)


def _tuple(values: Any) -> Any:
    return values if isinstance(values, (int, str)) else list(values)


class Linear(Weighted):
    """Linear on integers.

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

    @staticmethod
    def settings_of(layer: nn.Module) -> list[Any]:
        return []


class _Conv(Weighted):
    @staticmethod
    def settings_of(layer: nn.Module) -> list[Any]:
        if layer.padding_mode != "zeros":
            raise ValueError(f"padding_mode must be 'zeros' for integers, got {layer.padding_mode!r}")
        return [_tuple(layer.stride), _tuple(layer.padding), _tuple(layer.dilation), layer.groups]


class Conv1d(_Conv):
    """Conv1d on integers.

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


class Conv2d(_Conv):
    """Conv2d on integers.

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


class Conv3d(_Conv):
    """Conv3d on integers.

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


class _ConvTranspose(Weighted):
    axis = 1

    @staticmethod
    def settings_of(layer: nn.Module) -> list[Any]:
        values = (layer.stride, layer.padding, layer.output_padding, layer.groups, layer.dilation)
        return [_tuple(value) for value in values]


class ConvTranspose1d(_ConvTranspose):
    """ConvTranspose1d on integers.

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


class ConvTranspose2d(_ConvTranspose):
    """ConvTranspose2d on integers.

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


class ConvTranspose3d(_ConvTranspose):
    """ConvTranspose3d on integers.

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


def quantize_weight(weight: Any, observer: Any, axis: int) -> QTensor:
    """A weight in the integers that an observer, or a fake quantization, of it makes of it.

    Codes stay within the observer's `quant_min` and `quant_max`: fewer bits than eight are codes of eight.
    """
    scales, zero_points = observer.calculate_qparams()
    dtype = getattr(observer.dtype, "name", str(observer.dtype))
    if dtype not in ("qint8", "quint8"):
        raise ValueError(f"weights must be qint8 or quint8, got {dtype}")
    kind = qint8 if dtype == "qint8" else quint8
    if observer.qscheme in (per_tensor_affine, per_tensor_symmetric):
        grid = Grid.of(observer)
        return grid.quantize(np.asarray(weight, np.float32))
    channels = int(observer.ch_axis)
    if channels != axis:
        raise ValueError(f"weights must be quantized per channel along axis {axis}, got {channels}")
    scales = np.asarray(scales, np.float32).astype(np.float64)
    made = quantize_per_channel(np.asarray(weight, np.float32), scales, zero_points, channels, kind)
    codes: Any = np.clip(made.int_repr(), int(observer.quant_min), int(observer.quant_max))
    return make_per_channel_quantized_tensor(codes, scales, zero_points, channels)
