"""Normalizations of quantized values: computed in floats, quantized once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, ClassVar, Self, cast

import numpy as np

from quantray import nn
from quantray._core import QTensor
from quantray.nn import _init
from quantray.nn import functional as F
from quantray.nn._factory import check_factory
from quantray.nn._tracing import whole
from quantray.nn.quantized._observed import observed_grid
from quantray.nn.quantized._output import OnOutput, quantized_input

if TYPE_CHECKING:
    from quantray._typing import Array, ArrayLike, Config, Floats, Input


def _floats(value: ArrayLike | None) -> Floats | None:
    given = value.data if isinstance(value, nn.Parameter) else value
    return None if given is None else np.array(given, np.float32)


class _Normalization(OnOutput):
    weight: Array | None
    bias: Array | None

    def _take(self, weight: ArrayLike | None, bias: ArrayLike | None) -> None:
        self.register_parameter("weight", _floats(weight))
        self.register_parameter("bias", _floats(bias))

    @whole
    def forward(self, input: Input) -> QTensor:
        """Of the input's shape and dtype."""
        q = quantized_input(input, self)
        return self._quantized(self._normalized(q.dequantize()), q)

    def _normalized(self, x: Floats) -> Floats:
        raise NotImplementedError

    @classmethod
    def _rebuild(cls, *, weight: Sequence[int] | None, bias: Sequence[int] | None, **config: object) -> Self:
        """A module as files describe it: shapes of weight and bias, whose values follow."""
        make = cast("Callable[..., Self]", cls)
        zeros = {n: None if s is None else _init.zeros(s) for n, s in (("weight", weight), ("bias", bias))}
        return make(**config, **zeros)

    def _affine(self) -> Config:
        """Shapes of weight and bias, for a file."""
        own = {name: self._parameters[name] for name in ("weight", "bias")}
        return {name: None if value is None else list(value.shape) for name, value in own.items()}


class LayerNorm(_Normalization):
    """Layer normalization of quantized values.

    Parameters
    ----------
    normalized_shape : int or sequence of int
        Lengths of the last axes.
    weight, bias : array or None
        Of that shape.
    scale, zero_point : float, int
        Of the output.
    eps : float
    elementwise_affine : bool
        Accepted for torch's sake: what is given as weight and bias decides.
    device, dtype
        For torch's sake: "cpu" and float32, or None.

    >>> import numpy as np, quantray as qt
    >>> layer = qt.nn.quantized.LayerNorm(2, np.ones(2), np.zeros(2), 0.5, 10)
    >>> layer(qt.quantize_per_tensor([[1.0, 3.0]], 0.5, 10, qt.quint8)).tolist()
    [[-1.0, 1.0]]

    Source: `torch.ao.nn.quantized.LayerNorm`.
    """

    def __init__(
        self,
        normalized_shape: int | Sequence[int],
        weight: ArrayLike | None,
        bias: ArrayLike | None,
        scale: float,
        zero_point: int,
        eps: float = 1e-5,
        elementwise_affine: bool = True,
        device: object = None,
        dtype: object = None,
    ) -> None:
        check_factory(device, dtype)
        super().__init__(scale, zero_point)
        lengths = (normalized_shape,) if isinstance(normalized_shape, int) else normalized_shape
        self.normalized_shape = tuple(lengths)
        self.eps, self.elementwise_affine = eps, elementwise_affine
        self._take(weight, bias)

    @classmethod
    def from_float(cls, mod: nn.Module, use_precomputed_fake_quant: bool = False) -> Self:
        """Of an observed `nn.LayerNorm`."""
        grid = observed_grid(cls, mod)[:2]
        return cls(mod.normalized_shape, mod.weight, mod.bias, *grid, mod.eps)

    def _normalized(self, x: Floats) -> Floats:
        made = F.layer_norm(x, self.normalized_shape, self.weight, self.bias, self.eps)
        return cast("Floats", made)

    def _config(self) -> Config:
        lengths = {"normalized_shape": list(self.normalized_shape), "eps": self.eps}
        return {**super()._config(), **lengths, **self._affine()}


class GroupNorm(_Normalization):
    """Group normalization of quantized values.

    Parameters
    ----------
    num_groups, num_channels : int
    weight, bias : array or None
        Of shape (num_channels,).
    scale, zero_point : float, int
        Of the output.
    eps : float
    affine : bool
        Accepted for torch's sake: what is given as weight and bias decides.
    device, dtype
        For torch's sake: "cpu" and float32, or None.

    >>> import numpy as np, quantray as qt
    >>> layer = qt.nn.quantized.GroupNorm(1, 2, np.ones(2), np.zeros(2), 0.5, 10)
    >>> layer(qt.quantize_per_tensor([[[1.0], [3.0]]], 0.5, 10, qt.quint8)).tolist()
    [[[-1.0], [1.0]]]

    Source: `torch.ao.nn.quantized.GroupNorm`.
    """

    def __init__(
        self,
        num_groups: int,
        num_channels: int,
        weight: ArrayLike | None,
        bias: ArrayLike | None,
        scale: float,
        zero_point: int,
        eps: float = 1e-5,
        affine: bool = True,
        device: object = None,
        dtype: object = None,
    ) -> None:
        check_factory(device, dtype)
        super().__init__(scale, zero_point)
        self.num_groups, self.num_channels = num_groups, num_channels
        self.eps, self.affine = eps, affine
        self._take(weight, bias)

    @classmethod
    def from_float(cls, mod: nn.Module, use_precomputed_fake_quant: bool = False) -> Self:
        """Of an observed `nn.GroupNorm`."""
        grid = observed_grid(cls, mod)[:2]
        return cls(mod.num_groups, mod.num_channels, mod.weight, mod.bias, *grid, mod.eps, mod.affine)

    def _normalized(self, x: Floats) -> Floats:
        return F.group_norm(x, self.num_groups, self.weight, self.bias, self.eps)

    def _config(self) -> Config:
        names = {name: getattr(self, name) for name in ("num_groups", "num_channels", "eps", "affine")}
        return {**super()._config(), **names, **self._affine()}


class _InstanceNorm(_Normalization):
    _axes: ClassVar[tuple[int, int]]

    def __init__(
        self,
        num_features: int,
        weight: ArrayLike | None,
        bias: ArrayLike | None,
        scale: float,
        zero_point: int,
        eps: float = 1e-5,
        momentum: float = 0.1,
        affine: bool = False,
        track_running_stats: bool = False,
        device: object = None,
        dtype: object = None,
    ) -> None:
        check_factory(device, dtype)
        super().__init__(scale, zero_point)
        self.num_features, self.eps, self.momentum = num_features, eps, momentum
        self.affine, self.track_running_stats = affine, track_running_stats
        self._take(weight, bias)

    @classmethod
    def from_float(cls, mod: nn.Module, use_precomputed_fake_quant: bool = False) -> Self:
        """Of an observed float module of the same name."""
        grid = observed_grid(cls, mod)[:2]
        return cls(mod.num_features, mod.weight, mod.bias, *grid, mod.eps, affine=mod.affine)

    def _normalized(self, x: Floats) -> Floats:
        if x.ndim not in self._axes:
            axes = " or ".join(map(str, self._axes))
            raise ValueError(f"input must have {axes} axes for {type(self).__name__}, got shape {x.shape}")
        return F.instance_norm(x, weight=self.weight, bias=self.bias, eps=self.eps)

    def _config(self) -> Config:
        names = ("num_features", "eps", "momentum", "affine", "track_running_stats")
        return {**super()._config(), **{name: getattr(self, name) for name in names}, **self._affine()}


class InstanceNorm1d(_InstanceNorm):
    """Instance normalization of quantized rows, (N, C, L) or (C, L).

    Parameters
    ----------
    num_features : int
        C.
    weight, bias : array or None
        Of shape (C,).
    scale, zero_point : float, int
        Of the output.
    eps : float
    momentum, affine, track_running_stats
        Kept: each input's own moments are used.
    device, dtype
        For torch's sake: "cpu" and float32, or None.

    >>> import numpy as np, quantray as qt
    >>> layer = qt.nn.quantized.InstanceNorm1d(1, np.ones(1), np.zeros(1), 0.5, 10)
    >>> layer(qt.quantize_per_tensor([[[1.0, 3.0]]], 0.5, 10, qt.quint8)).tolist()
    [[[-1.0, 1.0]]]

    Source: `torch.ao.nn.quantized.InstanceNorm1d`.
    """

    _axes = (2, 3)


class InstanceNorm2d(_InstanceNorm):
    """Instance normalization of quantized images, (N, C, H, W) or (C, H, W); see `InstanceNorm1d`.

    >>> import numpy as np, quantray as qt
    >>> layer = qt.nn.quantized.InstanceNorm2d(1, np.ones(1), np.zeros(1), 0.5, 10)
    >>> layer(qt.quantize_per_tensor([[[[1.0, 3.0]]]], 0.5, 10, qt.quint8)).tolist()
    [[[[-1.0, 1.0]]]]

    Source: `torch.ao.nn.quantized.InstanceNorm2d`.
    """

    _axes = (3, 4)


class InstanceNorm3d(_InstanceNorm):
    """Instance normalization of quantized volumes, (N, C, D, H, W) or (C, D, H, W); see `InstanceNorm1d`.

    >>> import numpy as np, quantray as qt
    >>> layer = qt.nn.quantized.InstanceNorm3d(1, np.ones(1), np.zeros(1), 0.5, 10)
    >>> layer(qt.quantize_per_tensor([[[[[1.0, 3.0]]]]], 0.5, 10, qt.quint8)).tolist()
    [[[[[-1.0, 1.0]]]]]

    Source: `torch.ao.nn.quantized.InstanceNorm3d`.
    """

    _axes = (4, 5)
