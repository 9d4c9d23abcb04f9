"""Normalization as modules."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, cast

import numpy as np

from quantray.nn import _init
from quantray.nn import functional as F
from quantray.nn._configured import Configured
from quantray.nn._factory import check_sizes
from quantray.nn._tracing import whole

if TYPE_CHECKING:
    from quantray._typing import Config, Floats, Input


class _Norm(Configured):
    """Normalization of channels, with running moments or without."""

    _dims: ClassVar[tuple[int, ...]]
    _arguments = ("num_features", "eps", "momentum", "affine", "track_running_stats")

    num_features: int
    eps: float
    momentum: float | None
    affine: bool
    track_running_stats: bool

    def __init__(
        self,
        num_features: int,
        eps: float,
        momentum: float | None,
        affine: bool,
        track_running_stats: bool,
        bias: bool,
    ) -> None:
        super().__init__()
        check_sizes(num_features=num_features)
        self.num_features, self.eps, self.momentum = num_features, eps, momentum
        self.affine, self.track_running_stats = affine, track_running_stats
        self.register_parameter("weight", _init.full((num_features,), 1) if affine else None)
        self.register_parameter("bias", _init.zeros((num_features,)) if affine and bias else None)
        track = track_running_stats
        self.register_buffer("running_mean", _init.zeros((num_features,)) if track else None)
        self.register_buffer("running_var", _init.full((num_features,), 1) if track else None)
        self.register_buffer("num_batches_tracked", np.array(0) if track else None)

    def reset_running_stats(self) -> None:
        """Running moments as in the beginning."""
        if self.track_running_stats:
            self.running_mean = np.zeros(self.num_features, np.float32)
            self.running_var = np.ones(self.num_features, np.float32)
            self.num_batches_tracked = np.array(0)

    def _check(self, shape: tuple[int, ...]) -> None:
        name = type(self).__name__
        if len(shape) not in self._dims:
            axes = " or ".join(map(str, self._dims))
            raise ValueError(f"input must have {axes} axes for {name}, got shape {shape}")

    def _step(self) -> float:
        """How far running moments move with this batch; without a momentum they are means of all batches."""
        if not (self.training and self.track_running_stats):
            return 0.0 if self.momentum is None else self.momentum
        count = np.array(int(self.num_batches_tracked) + 1)
        self.num_batches_tracked = count
        return 1 / int(count) if self.momentum is None else self.momentum

    def extra_repr(self) -> str:
        has = self.bias is not None
        parts = [f"{self.num_features}, eps={self.eps}, momentum={self.momentum}, affine={self.affine}"]
        return ", ".join([*parts, f"bias={has}, track_running_stats={self.track_running_stats}"])

    def _config(self) -> Config:
        return {**super()._config(), "bias": self.bias is not None}


class _BatchNorm(_Norm):
    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float | None = 0.1,
        affine: bool = True,
        track_running_stats: bool = True,
        *,
        bias: bool = True,
    ) -> None:
        super().__init__(num_features, eps, momentum, affine, track_running_stats, bias)

    @whole
    def forward(self, input: Input) -> Floats:
        """Shape (N, num_features, ...)."""
        self._check(np.shape(input))
        moments = (self.running_mean, self.running_var)
        own = self.training or not self.track_running_stats
        return F.batch_norm(input, *moments, self.weight, self.bias, own, self._step(), self.eps)


class BatchNorm1d(_BatchNorm):
    """Channels normalized by the batch's moments in training, by running ones in evaluation.

    Input of shape (N, C) or (N, C, L); arguments as for `BatchNorm2d`.

    >>> from quantray import nn
    >>> norm = nn.BatchNorm1d(1, eps=0)
    >>> norm([[1.0], [3.0]])
    array([[-1.],
           [ 1.]], dtype=float32)
    >>> norm.eval()([[0.2]])
    array([[0.]], dtype=float32)

    Source: `torch.nn.BatchNorm1d`.
    """

    _dims = (2, 3)


class BatchNorm2d(_BatchNorm):
    """Channels normalized by the batch's moments in training, by running ones in evaluation.

    Parameters
    ----------
    num_features : int
        Channels: the input's second axis, of shape (N, C, H, W).
    eps : float
        Added to the variance.
    momentum : float or None
        How far running moments move with each batch; None: they are the means over all batches.
    affine : bool
        Whether there is a weight for each channel, and a bias unless `bias` is False.
    track_running_stats : bool
        Whether there are running moments; if not, the batch's own are used in evaluation too.

    >>> import numpy as np
    >>> from quantray import nn
    >>> norm = nn.BatchNorm2d(3)
    >>> norm(np.zeros((2, 3, 4, 4))).shape
    (2, 3, 4, 4)
    >>> list(norm.state_dict())
    ['weight', 'bias', 'running_mean', 'running_var', 'num_batches_tracked']

    Source: `torch.nn.BatchNorm2d`.
    """

    _dims = (4,)


class BatchNorm3d(_BatchNorm):
    """Channels normalized by the batch's moments in training, by running ones in evaluation.

    Input of shape (N, C, D, H, W); arguments as for `BatchNorm2d`.

    >>> import numpy as np
    >>> from quantray import nn
    >>> nn.BatchNorm3d(3)(np.zeros((2, 3, 4, 4, 4))).shape
    (2, 3, 4, 4, 4)

    Source: `torch.nn.BatchNorm3d`.
    """

    _dims = (5,)


class _InstanceNorm(_Norm):
    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float | None = 0.1,
        affine: bool = False,
        track_running_stats: bool = False,
        *,
        bias: bool = True,
    ) -> None:
        super().__init__(num_features, eps, momentum, affine, track_running_stats, bias)

    @whole
    def forward(self, input: Input) -> Floats:
        """Shape (N, num_features, lengths), or without N."""
        shape = np.shape(input)
        self._check(shape)
        batched = len(shape) == self._dims[0]
        if shape[int(batched)] != self.num_features:
            raise ValueError(f"input must have {self.num_features} channels, got shape {shape}")
        x = input if batched else F.unflatten(input, 0, (1, shape[0]))
        moments = (self.running_mean, self.running_var)
        own = self.training or not self.track_running_stats
        momentum = 0.0 if self.momentum is None else self.momentum
        y = F.instance_norm(x, *moments, self.weight, self.bias, own, momentum, self.eps)
        return y if batched else cast("Floats", F.flatten(y, 0, 1))


class InstanceNorm1d(_InstanceNorm):
    """Each channel of each sequence normalized by its own moments.

    Input of shape (N, C, L) or (C, L); arguments as for `InstanceNorm2d`.

    >>> from quantray import nn
    >>> nn.InstanceNorm1d(2, eps=0)([[[1.0, 3.0], [10.0, 30.0]]])
    array([[[-1.,  1.],
            [-1.,  1.]]], dtype=float32)

    Source: `torch.nn.InstanceNorm1d`.
    """

    _dims = (3, 2)


class InstanceNorm2d(_InstanceNorm):
    """Each channel of each image normalized by its own moments.

    Parameters
    ----------
    num_features : int
        Channels, of input of shape (N, C, H, W) or (C, H, W).
    eps : float
        Added to the variance.
    momentum : float
        How far running moments move with each batch.
    affine : bool
        Whether there is a weight for each channel, and a bias unless `bias` is False.
    track_running_stats : bool
        Whether there are running moments, which are then used in evaluation.

    >>> import numpy as np
    >>> from quantray import nn
    >>> nn.InstanceNorm2d(3, affine=True)(np.zeros((2, 3, 4, 4))).shape
    (2, 3, 4, 4)

    Source: `torch.nn.InstanceNorm2d`.
    """

    _dims = (4, 3)


class InstanceNorm3d(_InstanceNorm):
    """Each channel of each volume normalized by its own moments.

    Input of shape (N, C, D, H, W) or (C, D, H, W); arguments as for `InstanceNorm2d`.

    >>> import numpy as np
    >>> from quantray import nn
    >>> nn.InstanceNorm3d(3)(np.zeros((2, 3, 4, 4, 4))).shape
    (2, 3, 4, 4, 4)

    Source: `torch.nn.InstanceNorm3d`.
    """

    _dims = (5, 4)


class GroupNorm(Configured):
    """Groups of channels, in each image, normalized by their own moments.

    Parameters
    ----------
    num_groups : int
        A divisor of `num_channels`.
    num_channels : int
        The input's second axis.
    eps : float
        Added to the variance.
    affine : bool
        Whether there is a weight for each channel, and a bias unless `bias` is False.

    >>> from quantray import nn
    >>> nn.GroupNorm(2, 4, eps=0)([[1.0, 3.0, 10.0, 30.0]])
    array([[-1.,  1., -1.,  1.]], dtype=float32)

    Source: `torch.nn.GroupNorm`.
    """

    _arguments = ("num_groups", "num_channels", "eps", "affine")

    def __init__(
        self,
        num_groups: int,
        num_channels: int,
        eps: float = 1e-5,
        affine: bool = True,
        *,
        bias: bool = True,
    ) -> None:
        super().__init__()
        if num_groups < 1 or num_channels < 1 or num_channels % num_groups:
            raise ValueError(f"num_groups must divide num_channels, {num_channels}, got {num_groups}")
        self.num_groups, self.num_channels, self.eps, self.affine = num_groups, num_channels, eps, affine
        self.register_parameter("weight", _init.full((num_channels,), 1) if affine else None)
        self.register_parameter("bias", _init.zeros((num_channels,)) if affine and bias else None)

    def forward(self, input: Input) -> Floats:
        """Shape (N, num_channels, ...)."""
        shape = np.shape(input)
        if len(shape) < 2 or shape[1] != self.num_channels:
            raise ValueError(f"input must be of shape (N, {self.num_channels}, ...), got {shape}")
        return F.group_norm(input, self.num_groups, self.weight, self.bias, self.eps)

    def extra_repr(self) -> str:
        has = self.bias is not None
        return f"{self.num_groups}, {self.num_channels}, eps={self.eps}, affine={self.affine}, bias={has}"

    def _config(self) -> Config:
        return {**super()._config(), "bias": self.bias is not None}
