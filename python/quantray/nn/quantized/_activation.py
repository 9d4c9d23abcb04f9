"""Activations of quantized values."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

from quantray import nn, ops
from quantray._core import QTensor, quantize_per_tensor, quint8
from quantray.nn import functional as F
from quantray.nn._factory import check_factory, check_sizes
from quantray.nn._tracing import whole
from quantray.nn.quantized._observed import observed_grid
from quantray.nn.quantized._output import OnOutput, quantized_input

if TYPE_CHECKING:
    from quantray._typing import Config, Input


class _Activation(OnOutput):
    @whole
    def forward(self, input: Input) -> QTensor:
        """The function of each value, of the input's shape and dtype."""
        return self._run(quantized_input(input, self))

    def _run(self, q: QTensor) -> QTensor:
        raise NotImplementedError


class ReLU6(nn.Module):
    """Values cut to 0 and 6, on the input's grid.

    Parameters
    ----------
    inplace : bool
        Whether the input itself is changed.

    >>> import quantray as qt
    >>> q = qt.quantize_per_tensor([-1.0, 4.0, 7.0], 0.5, 10, qt.quint8)
    >>> qt.nn.quantized.ReLU6()(q).tolist()
    [0.0, 4.0, 6.0]

    Source: `torch.ao.nn.quantized.ReLU6`.
    """

    def __init__(self, inplace: bool = False) -> None:
        super().__init__()
        self.inplace = inplace

    @classmethod
    def from_float(cls, mod: nn.Module, use_precomputed_fake_quant: bool = False) -> Self:
        """Of a float `nn.ReLU6`."""
        return cls(getattr(mod, "inplace", False))

    @whole
    def forward(self, input: Input) -> QTensor:
        """Of the input's shape and grid."""
        q = quantized_input(input, self)
        output = ops.relu6(q)
        return q.copy_(output) if self.inplace else output

    def _config(self) -> Config:
        return {"inplace": self.inplace}

    def _get_name(self) -> str:
        return "QuantizedReLU6"


class Hardswish(_Activation):
    """`x * relu6(x + 3) / 6` of quantized values.

    Parameters
    ----------
    scale, zero_point : float, int
        Of the output.
    device, dtype
        For torch's sake: "cpu" and float32, or None.

    >>> import quantray as qt
    >>> q = qt.quantize_per_tensor([-1.0, 4.0], 0.5, 10, qt.quint8)
    >>> qt.nn.quantized.Hardswish(0.5, 10)(q).tolist()
    [-0.5, 4.0]

    Source: `torch.ao.nn.quantized.Hardswish`.
    """

    def __init__(self, scale: float, zero_point: int, device: object = None, dtype: object = None) -> None:
        check_factory(device, dtype)
        super().__init__(scale, zero_point)

    @classmethod
    def from_float(cls, mod: nn.Module, use_precomputed_fake_quant: bool = False) -> Self:
        """Of an observed `nn.Hardswish`."""
        return cls(*observed_grid(cls, mod)[:2])

    def _run(self, q: QTensor) -> QTensor:
        return ops.hardswish(q, self.scale, self.zero_point, q.dtype)


class ELU(_Activation):
    """`x` where positive, `alpha * (exp(x) - 1)` elsewhere, of quantized values.

    Parameters
    ----------
    scale, zero_point : float, int
        Of the output.
    alpha : float

    >>> import quantray as qt
    >>> q = qt.quantize_per_tensor([-1.0, 4.0], 0.5, 10, qt.quint8)
    >>> qt.nn.quantized.ELU(0.25, 10)(q).tolist()
    [-0.75, 4.0]

    Source: `torch.ao.nn.quantized.ELU`.
    """

    def __init__(self, scale: float, zero_point: int, alpha: float = 1.0) -> None:
        super().__init__(scale, zero_point)
        self.alpha = alpha

    @classmethod
    def from_float(cls, mod: nn.Module, use_precomputed_fake_quant: bool = False) -> Self:
        """Of an observed `nn.ELU`."""
        return cls(*observed_grid(cls, mod)[:2], mod.alpha)

    def _run(self, q: QTensor) -> QTensor:
        return ops.elu(q, self.scale, self.zero_point, q.dtype, alpha=self.alpha)

    def _config(self) -> Config:
        return {**super()._config(), "alpha": self.alpha}


class LeakyReLU(_Activation):
    """`x` where positive, `negative_slope * x` elsewhere, of quantized values.

    Parameters
    ----------
    scale, zero_point : float, int
        Of the output.
    negative_slope : float
    inplace : bool
        Has no effect, as in torch: the output has a grid of its own.
    device, dtype
        For torch's sake: "cpu" and float32, or None.

    >>> import quantray as qt
    >>> q = qt.quantize_per_tensor([-1.0, 4.0], 0.5, 10, qt.quint8)
    >>> qt.nn.quantized.LeakyReLU(0.25, 10, 0.5)(q).tolist()
    [-0.5, 4.0]

    Source: `torch.ao.nn.quantized.LeakyReLU`.
    """

    def __init__(
        self,
        scale: float,
        zero_point: int,
        negative_slope: float = 0.01,
        inplace: bool = False,
        device: object = None,
        dtype: object = None,
    ) -> None:
        check_factory(device, dtype)
        super().__init__(scale, zero_point)
        self.negative_slope, self.inplace = negative_slope, inplace

    @classmethod
    def from_float(cls, mod: nn.Module, use_precomputed_fake_quant: bool = False) -> Self:
        """Of an observed `nn.LeakyReLU`."""
        return cls(*observed_grid(cls, mod)[:2], mod.negative_slope)

    def _run(self, q: QTensor) -> QTensor:
        return ops.leaky_relu(q, self.scale, self.zero_point, q.dtype, negative_slope=self.negative_slope)

    def _config(self) -> Config:
        return {**super()._config(), "negative_slope": self.negative_slope, "inplace": self.inplace}


class Sigmoid(_Activation):
    """The logistic function of quantized values.

    Parameters
    ----------
    output_scale, output_zero_point : float, int

    >>> import quantray as qt
    >>> q = qt.quantize_per_tensor([0.0, 4.0], 0.5, 10, qt.quint8)
    >>> qt.nn.quantized.Sigmoid(1 / 256, 0)(q).tolist()
    [0.5, 0.98046875]

    Source: `torch.ao.nn.quantized.Sigmoid`.
    """

    def __init__(self, output_scale: float, output_zero_point: int) -> None:
        super().__init__(output_scale, output_zero_point)

    @classmethod
    def from_float(cls, mod: nn.Module, use_precomputed_fake_quant: bool = False) -> Self:
        """Of an observed `nn.Sigmoid`."""
        return cls(*observed_grid(cls, mod)[:2])

    def _run(self, q: QTensor) -> QTensor:
        return ops.sigmoid(q, self.scale, self.zero_point, q.dtype)

    def _config(self) -> Config:
        return {"output_scale": self.scale, "output_zero_point": self.zero_point}


class Softmax(_Activation):
    """Softmax of quantized values: computed in floats, quantized once.

    Parameters
    ----------
    dim : int, optional
        The axis; the last one by default.
    scale, zero_point : float, int
        Of the output.

    >>> import quantray as qt
    >>> q = qt.quantize_per_tensor([0.0, 0.0], 0.5, 10, qt.quint8)
    >>> qt.nn.quantized.Softmax(0, 1 / 256, 0)(q).tolist()
    [0.5, 0.5]

    Source: `torch.ao.nn.quantized.Softmax`.
    """

    def __init__(self, dim: int | None = None, scale: float = 1.0, zero_point: int = 0) -> None:
        super().__init__(scale, zero_point)
        self.dim = dim

    @classmethod
    def from_float(cls, mod: nn.Module, use_precomputed_fake_quant: bool = False) -> Self:
        """Of an observed `nn.Softmax`."""
        return cls(mod.dim, *observed_grid(cls, mod)[:2])

    def _run(self, q: QTensor) -> QTensor:
        return self._quantized(F.softmax(q.dequantize(), -1 if self.dim is None else self.dim), q)

    def _config(self) -> Config:
        return {"dim": self.dim, **super()._config()}


class PReLU(_Activation):
    """`x` where positive, `weight * x` elsewhere; values and the weight are quantized.

    Parameters
    ----------
    output_scale, output_zero_point : float, int
    num_parameters : int
        1, or one for each channel, along the second axis.

    >>> import quantray as qt
    >>> layer = qt.nn.quantized.PReLU(0.25, 10)
    >>> layer.set_weight(qt.quantize_per_tensor([0.5], 0.01, 0, qt.quint8))
    >>> layer(qt.quantize_per_tensor([-1.0, 4.0], 0.5, 10, qt.quint8)).tolist()
    [-0.5, 4.0]

    Source: `torch.ao.nn.quantized.PReLU`.
    """

    weight: QTensor

    def __init__(self, output_scale: float, output_zero_point: int, num_parameters: int = 1) -> None:
        super().__init__(output_scale, output_zero_point)
        if not nn._init.is_rebuilding():
            check_sizes(num_parameters=num_parameters)
        self.num_parameters = num_parameters
        zeros = nn._init.zeros((self.num_parameters,))
        self.register_buffer("weight", quantize_per_tensor(zeros, 1.0, 0, quint8))

    def set_weight(self, w: QTensor) -> None:
        """Takes a weight, quantized per tensor, of shape (num_parameters,)."""
        quantized_input(w, self)
        if tuple(w.shape) != (self.num_parameters,):
            raise ValueError(f"w must be of shape {(self.num_parameters,)}, got {tuple(w.shape)}")
        self.weight = w

    @classmethod
    def from_float(cls, mod: nn.Module, use_precomputed_fake_quant: bool = False) -> Self:
        """Of an observed `nn.PReLU` with a `qconfig`."""
        made = cls(*observed_grid(cls, mod)[:2], len(mod.weight))
        observer = mod.qconfig.weight()
        observer(mod.weight)
        scale, zero_point = observer.calculate_qparams()
        made.set_weight(quantize_per_tensor(mod.weight, float(scale[0]), int(zero_point[0]), observer.dtype))
        return made

    def _run(self, q: QTensor) -> QTensor:
        return self._quantized(F.prelu(q.dequantize(), self.weight.dequantize()), q)

    def _config(self) -> Config:
        names = {"output_scale": self.scale, "output_zero_point": self.zero_point}
        return {**names, "num_parameters": self.num_parameters}
