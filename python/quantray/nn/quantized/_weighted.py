"""Layers of integers: weights packed for this CPU, integers in and, where other integers follow, out."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ClassVar, Self, cast

import numpy as np

from quantray import nn, ops
from quantray._core import (
    QTensor,
    make_per_channel_quantized_tensor,
    make_per_tensor_quantized_tensor,
    per_channel_affine_float_qparams,
    per_tensor_affine,
    per_tensor_symmetric,
    qint8,
    quantize_per_channel,
    quint8,
)
from quantray.nn import _init
from quantray.nn._tracing import whole
from quantray.nn.quantized._grid import Grid, OnGrids
from quantray.nn.quantized._observed import Observed
from quantray.nn.quantized._packing import packed_weight, unpacked_weight

if TYPE_CHECKING:
    from collections.abc import Sequence

    from quantray._typing import Array, ArrayLike, Codes, Config, Input, Scalar, State, Tensor
    from quantray.nn._state import Accepted
    from quantray.nn.quantized._grid import Observer
    from quantray.nn.quantized._weights import Packed


class Weighted(OnGrids):
    """A layer with an integer weight, which lies packed for this CPU.

    Its input is quantized, or floats, which are quantized as calibration saw them (`input_grid`). Its
    output is quantized (`grid`), or floats where there is no grid. Codes of the weight are those of
    `weight_range`: files hold them in as few bits as these need.
    """

    _grids = ("grid", "input_grid")

    #: The operator in `quantray.ops`.
    packer: ClassVar[Callable[..., Packed]]
    packed: Packed
    grid: Grid | None
    input_grid: Grid | None
    #: The axis of the weight that outputs lie on.
    axis: ClassVar[int] = 0

    #: The float layer that it takes the place of.
    float_module: ClassVar[type[nn.Module]]
    #: Whether ReLU belongs to it.
    has_relu: ClassVar[bool] = False

    def _empty(self, shape: Sequence[int], outputs: int, bias: bool, settings: Sequence[object]) -> None:
        """A layer of zeros on torch's first grid, that is to be given its weight."""
        super().__init__()
        self._fill(shape, outputs, bias, settings, Grid(1.0, 0), relu=self.has_relu)

    @classmethod
    def _rebuild(cls, *args: Any, **config: Any) -> Self:
        """A layer as files describe it, of zeros."""
        made = cls.__new__(cls)
        OnGrids.__init__(made)
        made._fill(*args, **config)
        return made

    def _fill(
        self,
        shape: Sequence[int],
        outputs: int,
        bias: bool,
        settings: Sequence[object],
        grid: Sequence[object] | None = None,
        input_grid: Sequence[object] | None = None,
        relu: bool = False,
        relu6: bool = False,
        dtype: str = "qint8",
        weight_range: Sequence[int] | None = None,
    ) -> None:
        self._settle(settings, grid, input_grid, relu, relu6, dtype, weight_range)
        codes = _init.zeros(shape, np.int8 if dtype == "qint8" else np.uint8)
        weight = make_per_tensor_quantized_tensor(codes, 1.0, 0)
        self.set_weight_bias(weight, _init.zeros((outputs,)) if bias else None)

    def _settle(
        self,
        settings: Sequence[object],
        grid: Sequence[object] | None,
        input_grid: Sequence[object] | None,
        relu: bool,
        relu6: bool,
        dtype: str,
        weight_range: Sequence[int] | None,
    ) -> None:
        """All but the weight."""
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

    @classmethod
    def of(
        cls,
        layer: nn.Module,
        weight: QTensor,
        bias: ArrayLike | None,
        *,
        grid: Grid | None,
        input_grid: Grid | None,
        activation: nn.Module | None = None,
        weight_range: Sequence[int] | None = None,
    ) -> Self:
        """The layer of integers that takes the place of a float one."""
        relu6 = isinstance(activation, nn.ReLU6)
        made = cls.__new__(cls)
        OnGrids.__init__(made)
        made._settle(
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

    @classmethod
    def from_float(cls, mod: nn.Module, use_precomputed_fake_quant: bool = False) -> Self:
        """The layer of an observed one.

        Parameters
        ----------
        mod : Module
            A float layer, one of `nn.intrinsic` or of `nn.qat`. It has a `qconfig`, for its weight, and an
            `activation_post_process` that has seen its outputs.
        use_precomputed_fake_quant : bool
            Accepted for torch's sake: a trained weight is quantized as it was trained in any case.

        Raises
        ------
        TypeError
            For another kind of layer.
        ValueError
            Without a `qconfig` or an observer, or where that has seen no data.

        Source: `torch.ao.nn.quantized.Linear.from_float`.
        """
        seen = Observed.of(cls, mod, cls.float_module)
        observer = seen.weight_observer()
        made = cls.of(
            seen.layer,
            quantize_weight(seen.weight, observer, cls.axis),
            None if seen.bias is None else np.asarray(seen.bias, np.float32),
            grid=seen.grid(),
            input_grid=None,
            activation=seen.activation,
            weight_range=(int(observer.quant_min), int(observer.quant_max)),
        )
        made.training = mod.training
        return made

    @staticmethod
    def settings_of(layer: nn.Module) -> list[object]:
        """What the operator is told beside weight and bias."""
        raise NotImplementedError

    def set_weight_bias(self, w: QTensor, b: ArrayLike | None) -> None:
        """Packs another weight and bias; codes of 2 and 4 bits get bytes of their own.

        Raises
        ------
        TypeError
            For float zero points, which sums of integers have no place for.
        """
        if isinstance(w, QTensor) and w.dtype.bits < 8:  # pyright: ignore[reportUnnecessaryIsInstance]
            if w.qscheme() is per_channel_affine_float_qparams:
                raise TypeError("w must have integer zero points, got per_channel_affine_float_qparams")
            w = unpacked_weight(w, quint8, 0)
        self.packed = self.packer(w, b, *self._settings)

    def weight(self) -> QTensor:
        """The weight, unpacked."""
        return self.packed.weight()

    def bias(self) -> Array | None:
        """The bias, or None."""
        return self.packed.bias()

    @property
    def bits(self) -> int:
        """How many bits the weight's codes need."""
        low, high = self.weight_range
        return (high - low).bit_length()

    @whole
    def forward(self, input: Input) -> Tensor:
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

    def _own_state(self) -> State:
        state: State = {"weight": self.weight()}
        bias = self.bias()
        if bias is not None:
            state["bias"] = bias
        return state

    def _file_state(self) -> State:
        state = self._own_state()
        return {**state, "weight": packed_weight(self.weight(), *self.weight_range)}

    def _accept(self, name: str, value: object) -> Tensor | Scalar:
        if name == "weight" and isinstance(value, QTensor):
            own = self.weight()
            value = unpacked_weight(value, own.dtype, self.weight_range[0])
            if value.dtype != own.dtype:
                raise TypeError(f"must be of {own.dtype}, got {value.dtype}")
        return super()._accept(name, value)

    def _assign_arrays(self, state: Accepted) -> None:
        if state:
            weight, bias = state.get("weight", self.weight()), state.get("bias", self.bias())
            self.set_weight_bias(cast("QTensor", weight), cast("Array | None", bias))

    def _config(self) -> Config:
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


def quantize_weight(weight: ArrayLike, observer: Observer | nn.Module, axis: int) -> QTensor:
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
    codes = np.clip(made.int_repr(), int(observer.quant_min), int(observer.quant_max))
    return make_per_channel_quantized_tensor(cast("Codes", codes), scales, zero_points, channels)
