"""Dropout."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from quantray._random import generator
from quantray.nn._gradients import differentiable
from quantray.nn._tracing import traced
from quantray.nn.functional._arguments import floats

if TYPE_CHECKING:
    from quantray._typing import Floats, Input
    from quantray.nn._gradients import Vjp


T = TypeVar("T", bound="Input")


def _check(p: float) -> None:
    if not 0 <= p <= 1:
        raise ValueError(f"p must be from 0 to 1, got {p}")


@traced
def dropout(input: T, p: float = 0.5, training: bool = True) -> T | Floats:
    """Each element becomes 0 with probability p; the others are divided by `1 - p`.

    Parameters
    ----------
    input : array
        Of any shape.
    p : float
        From 0 to 1.
    training : bool
        If not, the input is returned as it is.

    >>> from quantray.nn import functional as F
    >>> F.dropout([1.0, 2.0], 1.0)
    array([0., 0.], dtype=float32)

    Source: `torch.nn.functional.dropout`.
    """
    _check(p)
    return _dropped(input, p, np.shape(input)) if training and p else input


@traced
def dropout1d(input: T, p: float = 0.5, training: bool = True) -> T | Floats:
    """Each channel becomes 0 with probability p; the others are divided by `1 - p`.

    Parameters
    ----------
    input : array
        Shape (N, C, L) or (C, L).
    p, training
        As for `dropout`.

    >>> import numpy as np
    >>> from quantray.nn import functional as F
    >>> y = F.dropout1d(np.ones((1, 9, 4)), 0.5)
    >>> bool(np.all(y == y[:, :, :1]))
    True

    Source: `torch.nn.functional.dropout1d`.
    """
    return _channels(1, input, p, training)


@traced
def dropout2d(input: T, p: float = 0.5, training: bool = True) -> T | Floats:
    """Each channel becomes 0 with probability p; the others are divided by `1 - p`.

    Parameters
    ----------
    input : array
        Shape (N, C, H, W) or (C, H, W).
    p, training
        As for `dropout`.

    >>> import numpy as np
    >>> from quantray.nn import functional as F
    >>> y = F.dropout2d(np.ones((1, 9, 4, 4)), 0.5)
    >>> bool(np.all(y == y[:, :, :1, :1]))
    True

    Source: `torch.nn.functional.dropout2d`.
    """
    return _channels(2, input, p, training)


@traced
def dropout3d(input: T, p: float = 0.5, training: bool = True) -> T | Floats:
    """Each channel becomes 0 with probability p; the others are divided by `1 - p`.

    Parameters
    ----------
    input : array
        Shape (N, C, D, H, W) or (C, D, H, W).
    p, training
        As for `dropout`.

    >>> import numpy as np
    >>> from quantray.nn import functional as F
    >>> F.dropout3d(np.ones((1, 9, 1, 4, 4)), 0.5).shape
    (1, 9, 1, 4, 4)

    Source: `torch.nn.functional.dropout3d`.
    """
    return _channels(3, input, p, training)


@traced
def alpha_dropout(input: T, p: float = 0.5, training: bool = False) -> T | Floats:
    """Elements become the least value of SELU with probability p; mean and variance of normal input stay.

    Parameters
    ----------
    input : array
        Of any shape; a QTensor where `training` is false.
    p, training
        As for `dropout`; not training is the default here, as in torch.

    >>> from quantray.nn import functional as F
    >>> F.alpha_dropout([1.0, 2.0], 0.5)
    [1.0, 2.0]

    Source: `torch.nn.functional.alpha_dropout`; arXiv:1706.02515.
    """
    _check(p)
    return _alpha_dropped(input, p, np.shape(input)) if training and p else input


@traced
def feature_alpha_dropout(input: T, p: float = 0.5, training: bool = False) -> T | Floats:
    """The same as `alpha_dropout` for whole channels, the second axis.

    >>> import numpy as np
    >>> from quantray.nn import functional as F
    >>> y = F.feature_alpha_dropout(np.ones((1, 9, 4)), 0.5, True)
    >>> bool(np.all(y == y[:, :, :1]))
    True

    Source: `torch.nn.functional.feature_alpha_dropout`.
    """
    _check(p)
    return _alpha_dropped(input, p, _of_channels(input)) if training and p else input


def _of_channels(input: Input) -> tuple[int, ...]:
    """The shape of one chance for each channel."""
    shape = np.shape(input)
    if len(shape) < 2:
        raise ValueError(f"input must have an axis of channels, its second, got shape {shape}")
    return (*shape[:2], *[1] * len(shape[2:]))


@traced
def feature_dropout(input: T, p: float = 0.5, train: bool = True) -> T | Floats:
    """Whole channels, along the second axis, become 0 by chance, and the others grow; nothing unless `train`.

    >>> import numpy as np
    >>> from quantray.nn import functional as F
    >>> y = F.feature_dropout(np.ones((1, 9, 4)), 0.5, True)
    >>> bool(np.all(y == y[:, :, :1]))
    True

    Source: `torch.feature_dropout`.
    """
    _check(p)
    return _dropped(input, p, _of_channels(input)) if train and p else input


#: The least value of SELU, -scale * alpha.
_LEAST = -1.7580993408473766


def _alpha_dropped(input: Input, p: float, shape: Sequence[int]) -> Floats:
    if p == 1:
        return _scaled(input, np.float32(0))
    kept = generator().random(math.prod(shape), np.float32).reshape(shape) >= p
    scale = 1 / math.sqrt((1 - p) * (1 + p * _LEAST**2))
    shift = np.where(kept, 0, _LEAST) * scale - scale * _LEAST * p
    return _scaled(input, kept * np.float32(scale)) + shift.astype(np.float32)


def _channels(dims: int, input: T, p: float, training: bool) -> T | Floats:
    _check(p)
    if not training or not p:
        return input
    shape = np.shape(input)
    if len(shape) not in (dims + 1, dims + 2):
        raise ValueError(f"input must have {dims + 1} or {dims + 2} axes, got shape {shape}")
    return _dropped(input, p, (*shape[:-dims], *[1] * dims))


def _dropped(input: Input, p: float, shape: Sequence[int]) -> Floats:
    kept = generator().random(math.prod(shape), np.float32).reshape(shape) >= p
    return _scaled(input, kept * np.float32(1 / (1 - p) if p < 1 else 0))


@differentiable
def _scaled(input: Input, factors: Floats | np.float32) -> Floats:
    return floats(input) * factors


@_scaled.gradient
def _scaled_gradient(
    wanted: Sequence[int], out: Floats, input: Input, factors: Floats | np.float32
) -> Vjp[Floats]:
    return lambda g: [g * factors]
