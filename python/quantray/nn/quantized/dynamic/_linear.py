"""A linear layer with 8-bit weights, of floats."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self, cast

import numpy as np

from quantray._core import PackedLinear, QTensor, qint8, quantize_per_tensor_dynamic, quint8
from quantray.nn import _init, _linear
from quantray.nn._factory import check_sizes
from quantray.nn._module import Module
from quantray.nn._tracing import whole
from quantray.nn.quantized._weights import (
    blank_weight,
    check_qconfig,
    check_weight_dtype,
    quantized_weight,
    taken_apart,
)

if TYPE_CHECKING:
    from quantray._typing import Array, ArrayLike, Config, Floats, Input, QDType, State
    from quantray.nn._state import Accepted


class Linear(Module):
    """A linear layer whose weight is qint8; its input is quantized to quint8 as it comes.

    Made from a float layer by `from_float`, or empty, to load a state_dict.

    Parameters
    ----------
    in_features, out_features : int
        Lengths of the input's and the output's last axis.
    bias_ : bool
        Whether there is a bias, in float32.
    dtype : dtype
        Of the weight: qint8.
    per_channel : bool
        Whether each output's weights have a scale of their own.
    per_row : bool
        Whether each row of the input has a scale and a zero point of its own, not one for all.
    reduce_range : bool
        Whether the input is quantized to 7 bits, as torch does, whose sums may saturate. Not with `per_row`.
    onnx : bool
        Whether the input is quantized as ONNX's DynamicQuantizeLinear does it, not as torch: its scale is
        computed in float32, and it is divided by that. Not with `reduce_range`.
    relu : bool
        Whether negative outputs become 0.
    is_smoothed : bool
        Whether inputs are multiplied by a factor each, `input_factor`, before they are quantized: what a
        remedy has made even (`quantray.quantization.remedies.refine`).

    >>> import numpy as np
    >>> from quantray import nn
    >>> layer = nn.Linear(3, 2)
    >>> small = nn.quantized.dynamic.Linear.from_float(layer)
    >>> x = np.float32([[1.0, -2.0, 0.5]])
    >>> bool(np.abs(small(x) - layer(x)).max() < 0.05)
    True

    Source: `torch.ao.nn.quantized.dynamic.Linear`.
    """

    _packed: PackedLinear
    input_factor: Floats | None

    def __init__(
        self,
        in_features: int,
        out_features: int,
        bias_: bool = True,
        dtype: QDType = qint8,
        *,
        per_channel: bool = True,
        per_row: bool = True,
        reduce_range: bool = False,
        onnx: bool = False,
        relu: bool = False,
        is_smoothed: bool = False,
    ) -> None:
        super().__init__()
        if not _init.is_rebuilding():
            check_sizes(in_features=in_features, out_features=out_features)
        check_weight_dtype(dtype)
        self.in_features, self.out_features = in_features, out_features
        self._set(per_channel, per_row, reduce_range, relu, onnx)
        if is_smoothed:
            self.input_factor = np.ones(in_features, np.float32)
        weight = blank_weight((out_features, in_features), per_channel)
        self.set_weight_bias(weight, _init.zeros((out_features,)) if bias_ else None)

    @classmethod
    def _rebuild(cls, in_features: int, out_features: int, bias: bool = True, **options: Any) -> Self:
        """A layer as files describe it."""
        return cls(in_features, out_features, bias, **options)

    def set_weight_bias(self, weight: QTensor, bias: ArrayLike | None = None) -> None:
        """Takes a weight, qint8 of shape (out_features, in_features), and a bias."""
        if tuple(weight.shape) != (self.out_features, self.in_features):
            valid = (self.out_features, self.in_features)
            raise ValueError(f"weight must be of shape {valid}, got {tuple(weight.shape)}")
        self._packed = PackedLinear(weight, bias)

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
        """The layer of a float `nn.Linear`, or of one that is fused with what follows it.

        Parameters
        ----------
        module : nn.Linear or nn.intrinsic.LinearReLU
            Its weight must be finite.
        dtype : dtype
            Of the weight: qint8.
        per_channel, per_row, reduce_range : bool
            As for the constructor.
        """
        check_qconfig(module)
        _, weight, bias, relu = taken_apart(cls, module, _linear.Linear)
        made = cls.of(
            weight,
            bias,
            dtype=dtype,
            per_channel=per_channel,
            per_row=per_row,
            reduce_range=reduce_range,
            relu=relu,
        )
        made.training = module.training
        return made

    @classmethod
    def of(
        cls,
        weight: Input,
        bias: ArrayLike | None = None,
        *,
        dtype: QDType = qint8,
        per_channel: bool = True,
        per_row: bool = True,
        reduce_range: bool = False,
        relu: bool = False,
    ) -> Self:
        """The layer of a weight, floats or codes of shape (out_features, in_features), and a bias."""
        made = cls.__new__(cls)
        Module.__init__(made)
        made.out_features, made.in_features = np.shape(weight)
        made._set(per_channel, per_row, reduce_range, relu)
        codes = weight if isinstance(weight, QTensor) else quantized_weight(weight, dtype, per_channel)
        made.set_weight_bias(codes, bias)
        return made

    def _set(
        self, per_channel: bool, per_row: bool, reduce_range: bool, relu: bool, onnx: bool = False
    ) -> None:
        for name, other in (("per_row", per_row), ("onnx", onnx)):
            if other and reduce_range:
                raise ValueError(f"reduce_range must be False with {name}=True, got True")
        self.per_channel, self.per_row = per_channel, per_row
        self.reduce_range, self.relu, self.onnx = reduce_range, relu, onnx
        #: What each input is multiplied by before it is quantized; None for nothing.
        self.input_factor = None

    def _given(self, input: Floats) -> Floats:
        """The input as it is quantized."""
        return input if self.input_factor is None else input * self.input_factor

    def weight(self) -> QTensor:
        """The weight, shape (out_features, in_features)."""
        return self._packed.weight()

    def bias(self) -> Array | None:
        """The bias, shape (out_features,), or None."""
        return self._packed.bias()

    @whole
    def forward(self, input: Floats) -> Floats:
        """Shape (..., out_features), float32."""
        input = self._given(input)
        if not self.reduce_range:
            return self._packed.dynamic(input, per_row=self.per_row, onnx=self.onnx, relu=self.relu)
        return self._packed(quantize_per_tensor_dynamic(input, quint8, True), relu=self.relu)

    def into(self, input: Floats, out: Floats, relu: bool = False) -> Floats:
        """The same, written into `out`, an array of float32; with `relu` negative numbers become 0."""
        input = self._given(input)
        if not self.reduce_range:
            return self._packed.dynamic(input, per_row=self.per_row, onnx=self.onnx, relu=relu, out=out)
        return self._packed(quantize_per_tensor_dynamic(input, quint8, True), relu=relu, out=out)

    def _own_state(self) -> State:
        bias = self.bias()
        state: State = {"weight": self.weight(), **({} if bias is None else {"bias": bias})}
        return state if self.input_factor is None else {**state, "input_factor": self.input_factor}

    def _assign(self, state: Accepted) -> None:
        if state:
            weight, bias = state.get("weight", self.weight()), state.get("bias", self.bias())
            self.set_weight_bias(cast("QTensor", weight), cast("Array | None", bias))
            self.input_factor = cast("Floats | None", state.get("input_factor", self.input_factor))

    def _config(self) -> Config:
        return {
            "in_features": self.in_features,
            "out_features": self.out_features,
            "bias": self.bias() is not None,
            "per_channel": self.per_channel,
            "per_row": self.per_row,
            "reduce_range": self.reduce_range,
            "onnx": self.onnx,
            "relu": self.relu,
            "is_smoothed": self.input_factor is not None,
        }

    def _get_name(self) -> str:
        return "DynamicQuantizedLinear"

    def extra_repr(self) -> str:
        """Lengths, and how weights and inputs are quantized."""
        return (
            f"in_features={self.in_features}, out_features={self.out_features}, dtype=qint8, "
            f"per_channel={self.per_channel}, per_row={self.per_row}{', relu' if self.relu else ''}"
        )
