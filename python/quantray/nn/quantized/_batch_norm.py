"""Batch normalization of quantized values, by one factor and one term for each channel."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Self

import numpy as np

from quantray import nn
from quantray._core import QTensor, make_per_tensor_quantized_tensor
from quantray.nn import _init
from quantray.nn._factory import check_factory, check_sizes
from quantray.nn._tracing import whole
from quantray.nn.quantized._observed import observed_grid
from quantray.nn.quantized._output import OnOutput, quantized_input

if TYPE_CHECKING:
    from quantray._typing import Array, Config, Input


class _BatchNorm(OnOutput):
    _axes: ClassVar[int]
    #: Whether ReLU belongs to it.
    has_relu: ClassVar[bool] = False

    weight: Array
    bias: Array
    running_mean: Array
    running_var: Array

    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float | None = 0.1,
        device: object = None,
        dtype: object = None,
    ) -> None:
        check_factory(device, dtype)
        super().__init__(1.0, 0)
        if not _init.is_rebuilding():
            check_sizes(num_features=num_features)
        self.num_features, self.eps, self.momentum = num_features, eps, momentum
        channels = (self.num_features,)
        self.register_parameter("weight", _init.full(channels, 1))
        self.register_parameter("bias", _init.zeros(channels))
        self.register_buffer("running_mean", _init.zeros(channels))
        self.register_buffer("running_var", _init.full(channels, 1))

    @classmethod
    def from_float(cls, mod: nn.Module, use_precomputed_fake_quant: bool = False) -> Self:
        """Of an observed float batch normalization, or one with its ReLU."""
        grid = observed_grid(cls, mod)
        norm = mod[0] if isinstance(mod, nn.Sequential) else mod
        made = cls(norm.num_features, norm.eps, norm.momentum)
        for name in ("weight", "bias", "running_mean", "running_var"):
            value = getattr(norm, name)
            if value is not None:
                setattr(made, name, np.array(value, np.float32))
        made.scale, made.zero_point = grid.scale, grid.zero_point
        made.training = mod.training
        return made

    @whole
    def forward(self, input: Input) -> QTensor:
        """Shape (N, num_features, ...), of the input's dtype.

        `rint(alpha * (code - zero_point) + beta)`, in float32; `alpha` and `beta` hold the scales.
        """
        q = quantized_input(input, self)
        if q.ndim != self._axes or q.shape[1] != self.num_features:
            raise ValueError(
                f"input must be of shape (N, {self.num_features}, ...) with {self._axes} axes for "
                f"{type(self).__name__}, got {tuple(q.shape)}"
            )
        if q.dtype.bits != 8:
            raise TypeError(f"input must be of qint8 or quint8, got {q.dtype}")
        spread = np.float32(1) / np.sqrt(self.running_var + np.float32(self.eps), dtype=np.float32)
        factor = spread * self.weight
        alpha = factor * np.float32(q.q_scale() / self.scale)
        beta = (self.bias - self.running_mean * factor) / np.float32(self.scale)
        channels = (1, -1, *[1] * (q.ndim - 2))
        values = q.int_repr().astype(np.float32) - np.float32(q.q_zero_point())
        steps = np.rint(values * alpha.reshape(channels) + beta.reshape(channels)) + self.zero_point
        least = self.zero_point if self.has_relu else q.dtype.qmin
        codes = np.clip(steps, least, q.dtype.qmax).astype(q.numpy_dtype)
        return make_per_tensor_quantized_tensor(codes, self.scale, self.zero_point)

    def _config(self) -> Config:
        return {"num_features": self.num_features, "eps": self.eps, "momentum": self.momentum}


class BatchNorm2d(_BatchNorm):
    """Batch normalization of quantized images, (N, C, H, W), by running moments.

    Parameters
    ----------
    num_features : int
        C.
    eps, momentum : float
        As for `nn.BatchNorm2d`.
    device, dtype
        For torch's sake: "cpu" and float32, or None.

    Attributes
    ----------
    scale, zero_point : float, int
        Of the output; 1 and 0 at first.

    >>> import quantray as qt
    >>> norm = qt.nn.quantized.BatchNorm2d(1)
    >>> norm.scale, norm.zero_point = 0.5, 10
    >>> norm(qt.quantize_per_tensor([[[[1.0, -2.0]]]], 0.5, 10, qt.quint8)).tolist()
    [[[[1.0, -2.0]]]]

    Source: `torch.ao.nn.quantized.BatchNorm2d`.
    """

    _axes = 4


class BatchNorm3d(_BatchNorm):
    """Batch normalization of quantized volumes, (N, C, D, H, W); see `BatchNorm2d`.

    >>> import quantray as qt
    >>> norm = qt.nn.quantized.BatchNorm3d(1)
    >>> norm.scale, norm.zero_point = 0.5, 10
    >>> norm(qt.quantize_per_tensor([[[[[1.0, -2.0]]]]], 0.5, 10, qt.quint8)).tolist()
    [[[[[1.0, -2.0]]]]]

    Source: `torch.ao.nn.quantized.BatchNorm3d`.
    """

    _axes = 5
