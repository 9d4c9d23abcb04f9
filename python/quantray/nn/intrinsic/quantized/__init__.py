"""Fused modules of integers: one rounding for all that is fused.

`quantization.convert` makes layers of `nn.quantized` with `relu`; these have torch's names.

Source: `torch.ao.nn.intrinsic.quantized`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self, TypeVar, cast

import numpy as np

from quantray import nn, ops
from quantray._core import QTensor, qint8
from quantray.nn import intrinsic, quantized
from quantray.nn._tracing import whole
from quantray.nn.intrinsic.quantized import dynamic
from quantray.nn.quantized._grid import Grid
from quantray.nn.quantized._observed import Observed
from quantray.nn.quantized._weighted import quantize_weight

if TYPE_CHECKING:
    from collections.abc import Callable

    from quantray._typing import Config, Floats, Input, QDType, Tensor

__all__ = [
    "BNReLU2d",
    "BNReLU3d",
    "ConvAdd2d",
    "ConvAddReLU2d",
    "ConvReLU1d",
    "ConvReLU2d",
    "ConvReLU3d",
    "LinearLeakyReLU",
    "LinearReLU",
    "LinearTanh",
    "dynamic",
]

L = TypeVar("L", bound=quantized.Linear | quantized.Conv2d)


class LinearReLU(quantized.Linear):
    """Linear on integers, then ReLU.

    Parameters
    ----------
    in_features, out_features, bias, dtype
        As for `nn.quantized.Linear`.

    >>> import quantray as qt
    >>> layer = qt.nn.intrinsic.quantized.LinearReLU(2, 3)
    >>> layer(qt.quantize_per_tensor([[1.0, 2.0]], 0.5, 0, qt.quint8)).tolist()
    [[0.0, 0.0, 0.0]]

    Source: `torch.ao.nn.intrinsic.quantized.LinearReLU`.
    """

    has_relu = True

    def __init__(self, in_features: int, out_features: int, bias: bool = True, dtype: QDType = qint8) -> None:
        super().__init__(in_features, out_features, bias, dtype)


class ConvReLU1d(quantized.Conv1d):
    """Conv1d on integers, then ReLU.

    Parameters
    ----------
    in_channels, out_channels, kernel_size, stride, padding, dilation, groups, bias, padding_mode
        And `device`, `dtype`: as for `nn.quantized.Conv1d`.

    >>> import numpy as np, quantray as qt
    >>> layer = qt.nn.intrinsic.quantized.ConvReLU1d(1, 1, 1)
    >>> layer(qt.quantize_per_tensor(np.ones((1, 1, 1)), 0.5, 0, qt.quint8)).item()
    0.0

    Source: `torch.ao.nn.intrinsic.quantized.ConvReLU1d`.
    """

    has_relu = True


class ConvReLU2d(quantized.Conv2d):
    """Conv2d on integers, then ReLU.

    Parameters
    ----------
    in_channels, out_channels, kernel_size, stride, padding, dilation, groups, bias, padding_mode
        And `device`, `dtype`: as for `nn.quantized.Conv2d`.

    >>> import numpy as np, quantray as qt
    >>> layer = qt.nn.intrinsic.quantized.ConvReLU2d(1, 1, 1)
    >>> layer(qt.quantize_per_tensor(np.ones((1, 1, 1, 1)), 0.5, 0, qt.quint8)).item()
    0.0

    Source: `torch.ao.nn.intrinsic.quantized.ConvReLU2d`.
    """

    has_relu = True


class ConvReLU3d(quantized.Conv3d):
    """Conv3d on integers, then ReLU.

    Parameters
    ----------
    in_channels, out_channels, kernel_size, stride, padding, dilation, groups, bias, padding_mode
        And `device`, `dtype`: as for `nn.quantized.Conv3d`.

    >>> import numpy as np, quantray as qt
    >>> layer = qt.nn.intrinsic.quantized.ConvReLU3d(1, 1, 1)
    >>> layer(qt.quantize_per_tensor(np.ones((1, 1, 1, 1, 1)), 0.5, 0, qt.quint8)).item()
    0.0

    Source: `torch.ao.nn.intrinsic.quantized.ConvReLU3d`.
    """

    has_relu = True


class BNReLU2d(quantized.BatchNorm2d):
    """BatchNorm2d of quantized values, then ReLU.

    Parameters
    ----------
    num_features, eps, momentum, device, dtype
        As for `nn.quantized.BatchNorm2d`.

    >>> import numpy as np, quantray as qt
    >>> norm = qt.nn.intrinsic.quantized.BNReLU2d(1)
    >>> norm(qt.quantize_per_tensor(-np.ones((1, 1, 1, 1)), 1.0, 10, qt.quint8)).item()
    0.0

    Source: `torch.ao.nn.intrinsic.quantized.BNReLU2d`.
    """

    has_relu = True


class BNReLU3d(quantized.BatchNorm3d):
    """BatchNorm3d of quantized values, then ReLU.

    Parameters
    ----------
    num_features, eps, momentum, device, dtype
        As for `nn.quantized.BatchNorm3d`.

    >>> import numpy as np, quantray as qt
    >>> norm = qt.nn.intrinsic.quantized.BNReLU3d(1)
    >>> norm(qt.quantize_per_tensor(-np.ones((1, 1, 1, 1, 1)), 1.0, 10, qt.quint8)).item()
    0.0

    Source: `torch.ao.nn.intrinsic.quantized.BNReLU3d`.
    """

    has_relu = True


class ConvAdd2d(quantized.Conv2d):
    """Conv2d on integers, then a sum with other integers, rounded once.

    Parameters
    ----------
    in_channels, out_channels, kernel_size, stride, padding, dilation, groups, bias, padding_mode
        And `device`, `dtype`: as for `nn.quantized.Conv2d`.

    >>> import numpy as np, quantray as qt
    >>> layer = qt.nn.intrinsic.quantized.ConvAdd2d(1, 1, 1)
    >>> q = qt.quantize_per_tensor(np.ones((1, 1, 1, 1)), 0.5, 0, qt.quint8)
    >>> layer(q, q).item()
    1.0

    Source: `torch.ao.nn.intrinsic.quantized.ConvAdd2d`.
    """

    #: Whether negative sums are 0.
    adds_relu = False

    @whole
    def forward(  # pyright: ignore[reportIncompatibleMethodOverride] # two terms
        self, input: Input, extra_input: Input
    ) -> QTensor:
        """Quantized sum of the convolution and `extra_input`, quantized too."""
        for name, value in (("input", input), ("extra_input", extra_input)):
            if not isinstance(value, QTensor):
                raise TypeError(f"{name} must be a QTensor, got {type(value).__name__}")
        x, term = cast("QTensor", input), cast("QTensor", extra_input)
        scale, zero_point, dtype = cast("Grid", self.grid).output
        return ops.add(self.packed(x), term, scale, zero_point, dtype, relu=self.adds_relu)

    @classmethod
    def from_float(cls, mod: nn.Module, use_precomputed_fake_quant: bool = False) -> Self:
        """Of an observed `nn.intrinsic.ConvAdd2d` or `ConvAddReLU2d`."""
        wanted = intrinsic.ConvAddReLU2d if cls.adds_relu else intrinsic.ConvAdd2d
        if not isinstance(mod, wanted):
            raise TypeError(f"mod must be a {wanted.__name__} for {cls.__name__}, got {type(mod).__name__}")
        return _of_first(cls, mod, {})


class ConvAddReLU2d(ConvAdd2d):
    """Conv2d on integers, a sum with other integers, ReLU, rounded once; see `ConvAdd2d`.

    >>> import numpy as np, quantray as qt
    >>> layer = qt.nn.intrinsic.quantized.ConvAddReLU2d(1, 1, 1)
    >>> q = qt.quantize_per_tensor(-np.ones((1, 1, 1, 1)), 0.5, 10, qt.quint8)
    >>> layer(q, q).item()
    0.0

    Source: `torch.ao.nn.intrinsic.quantized.ConvAddReLU2d`.
    """

    adds_relu = True


class _LinearThen(quantized.Linear):
    """Linear on integers and a function of its sums, rounded once."""

    def _after(self) -> Callable[[Floats], Tensor]:
        raise NotImplementedError

    @whole
    def forward(self, input: Input) -> QTensor:
        """Quantized output."""
        if not isinstance(input, QTensor):
            raise TypeError(f"input must be a QTensor, got {type(input).__name__}")
        return cast("Grid", self.grid).quantize(self._after()(self.packed(input)))


class LinearLeakyReLU(_LinearThen):
    """Linear on integers, then LeakyReLU, rounded once.

    Parameters
    ----------
    in_features, out_features : int
    negative_slope : float
    bias, dtype
        As for `nn.quantized.Linear`.

    >>> import quantray as qt
    >>> layer = qt.nn.intrinsic.quantized.LinearLeakyReLU(2, 3, 0.1)
    >>> layer(qt.quantize_per_tensor([[1.0, 2.0]], 0.5, 0, qt.quint8)).tolist()
    [[0.0, 0.0, 0.0]]

    Source: `torch.ao.nn.intrinsic.quantized.LinearLeakyReLU`.
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        negative_slope: float,
        bias: bool = True,
        dtype: QDType = qint8,
    ) -> None:
        super().__init__(in_features, out_features, bias, dtype)
        self.negative_slope = float(negative_slope)

    @classmethod
    def _rebuild(cls, *args: Any, negative_slope: float = 0.01, **config: Any) -> Self:
        made = super()._rebuild(*args, **config)
        made.negative_slope = negative_slope
        return made

    @classmethod
    def from_float(cls, mod: nn.Module, use_precomputed_fake_quant: bool = False) -> Self:
        """Of an observed `nn.intrinsic.LinearLeakyReLU`."""
        if not isinstance(mod, intrinsic.LinearLeakyReLU):
            raise TypeError(f"mod must be a LinearLeakyReLU for {cls.__name__}, got {type(mod).__name__}")
        return _of_first(cls, mod, {"negative_slope": mod[1].negative_slope})

    def _after(self) -> Callable[[Floats], Tensor]:
        return lambda x: nn.functional.leaky_relu(x, self.negative_slope)

    def _config(self) -> Config:
        return {**super()._config(), "negative_slope": self.negative_slope}


class LinearTanh(_LinearThen):
    """Linear on integers, then tanh, rounded once.

    Parameters
    ----------
    in_features, out_features, bias, dtype
        As for `nn.quantized.Linear`.

    >>> import quantray as qt
    >>> layer = qt.nn.intrinsic.quantized.LinearTanh(2, 3)
    >>> layer(qt.quantize_per_tensor([[1.0, 2.0]], 0.5, 0, qt.quint8)).tolist()
    [[0.0, 0.0, 0.0]]

    Source: `torch.ao.nn.intrinsic.quantized.LinearTanh`.
    """

    def __init__(self, in_features: int, out_features: int, bias: bool = True, dtype: QDType = qint8) -> None:
        super().__init__(in_features, out_features, bias, dtype)

    @classmethod
    def from_float(cls, mod: nn.Module, use_precomputed_fake_quant: bool = False) -> Self:
        """Of an observed `nn.intrinsic.LinearTanh`."""
        if not isinstance(mod, intrinsic.LinearTanh):
            raise TypeError(f"mod must be a LinearTanh for {cls.__name__}, got {type(mod).__name__}")
        return _of_first(cls, mod, {})

    def _after(self) -> Callable[[Floats], Tensor]:
        return nn.functional.tanh


def _of_first(cls: type[L], mod: nn.Sequential, settings: Config) -> L:
    """The layer of integers of a fused module's first one; what follows is the class's own."""
    first = mod[0]
    seen = Observed(cls, mod, first, first.weight, first.bias, None)
    observer = seen.weight_observer()
    made = cls.of(
        first,
        quantize_weight(first.weight, observer, cls.axis),
        None if first.bias is None else np.asarray(first.bias, np.float32),
        grid=seen.grid(),
        input_grid=None,
        weight_range=(int(observer.quant_min), int(observer.quant_max)),
    )
    for name, value in settings.items():
        setattr(made, name, value)
    made.training = mod.training
    return made
