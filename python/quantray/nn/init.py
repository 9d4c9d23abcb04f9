"""How parameters begin, by torch's names: functions that write to an array and return it.

A module's parameters are arrays, so that `init.zeros_(layer.bias)` changes the layer. Random numbers come
from the generator that `manual_seed` sets; they are not torch's, the distributions are.

>>> from quantray import nn
>>> layer = nn.Linear(4, 2)
>>> nn.init.zeros_(layer.bias)
array([0., 0.], dtype=float32)
>>> layer.bias
array([0., 0.], dtype=float32)

Source: `torch.nn.init`.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Literal, cast

import numpy as np

from quantray._random import generator

if TYPE_CHECKING:
    from quantray._typing import Array

__all__ = [
    "calculate_gain",
    "constant_",
    "eye_",
    "kaiming_normal_",
    "kaiming_uniform_",
    "normal_",
    "ones_",
    "orthogonal_",
    "trunc_normal_",
    "uniform_",
    "xavier_normal_",
    "xavier_uniform_",
    "zeros_",
]

_Mode = Literal["fan_in", "fan_out"]


def _checked(tensor: object, least: int = 0) -> Array:
    made = cast("Array", tensor)
    if not isinstance(tensor, np.ndarray) or made.dtype.kind != "f":
        raise TypeError(f"tensor must be an array of floats, which is written to, got {type(made).__name__}")
    if made.ndim < least:
        raise ValueError(f"tensor must have at least {least} axes, got shape {made.shape}")
    return made


def _fans(tensor: Array) -> tuple[int, int]:
    """How many inputs an output has, and how many outputs an input."""
    window = math.prod(tensor.shape[2:])
    return tensor.shape[1] * window, tensor.shape[0] * window


def calculate_gain(nonlinearity: str, param: float | None = None) -> float:
    """By how much a weight is larger where a function follows that makes values smaller.

    >>> from quantray import nn
    >>> round(nn.init.calculate_gain("relu"), 4)
    1.4142

    Source: `torch.nn.init.calculate_gain`.
    """
    gains = {"tanh": 5 / 3, "relu": math.sqrt(2), "selu": 0.75}
    ones = ("linear", "sigmoid", *(f"conv{t}{d}d" for t in ("", "_transpose") for d in (1, 2, 3)))
    if nonlinearity == "leaky_relu":
        return math.sqrt(2 / (1 + (0.01 if param is None else param) ** 2))
    if nonlinearity not in (*gains, *ones):
        valid = ", ".join(sorted((*gains, *ones, "leaky_relu")))
        raise ValueError(f"nonlinearity must be one of {valid}, got {nonlinearity!r}")
    return gains.get(nonlinearity, 1.0)


def constant_(tensor: Array, val: float) -> Array:
    """All elements `val`.

    >>> import numpy as np
    >>> from quantray import nn
    >>> nn.init.constant_(np.empty(2), 0.5)
    array([0.5, 0.5])

    Source: `torch.nn.init.constant_`.
    """
    _checked(tensor)[...] = val
    return tensor


def zeros_(tensor: Array) -> Array:
    """All elements 0.

    >>> import numpy as np
    >>> from quantray import nn
    >>> nn.init.zeros_(np.empty(2))
    array([0., 0.])

    Source: `torch.nn.init.zeros_`.
    """
    return constant_(tensor, 0.0)


def ones_(tensor: Array) -> Array:
    """All elements 1.

    >>> import numpy as np
    >>> from quantray import nn
    >>> nn.init.ones_(np.empty(2))
    array([1., 1.])

    Source: `torch.nn.init.ones_`.
    """
    return constant_(tensor, 1.0)


def eye_(tensor: Array) -> Array:
    """1 on the diagonal of a matrix, 0 elsewhere.

    >>> import numpy as np
    >>> from quantray import nn
    >>> nn.init.eye_(np.empty((1, 2)))
    array([[1., 0.]])

    Source: `torch.nn.init.eye_`.
    """
    if _checked(tensor, 2).ndim != 2:
        raise ValueError(f"tensor must have 2 axes, got shape {tensor.shape}")
    tensor[...] = np.eye(*tensor.shape)
    return tensor


def uniform_(tensor: Array, a: float = 0.0, b: float = 1.0) -> Array:
    """Uniform from `a` to `b`.

    >>> import numpy as np
    >>> from quantray import nn
    >>> nn.init.uniform_(np.empty((2, 3))).shape
    (2, 3)

    Source: `torch.nn.init.uniform_`.
    """
    _checked(tensor)[...] = generator().uniform(a, b, tensor.shape)
    return tensor


def normal_(tensor: Array, mean: float = 0.0, std: float = 1.0) -> Array:
    """Normal, of a mean and a standard deviation.

    >>> import numpy as np
    >>> from quantray import nn
    >>> nn.init.normal_(np.empty((2, 3))).shape
    (2, 3)

    Source: `torch.nn.init.normal_`.
    """
    _checked(tensor)[...] = generator().normal(mean, std, tensor.shape)
    return tensor


def trunc_normal_(
    tensor: Array, mean: float = 0.0, std: float = 1.0, a: float = -2.0, b: float = 2.0
) -> Array:
    """Normal, with what lies outside of `a` to `b` drawn anew.

    >>> import numpy as np
    >>> from quantray import nn
    >>> nn.init.trunc_normal_(np.empty((2, 3))).shape
    (2, 3)

    Source: `torch.nn.init.trunc_normal_`.
    """
    if not a < b or b < mean - 5 * std or a > mean + 5 * std:
        raise ValueError(f"a and b must be the ends of a range that the normal reaches, got {a} and {b}")
    made = normal_(_checked(tensor), mean, std)
    while (outside := (made < a) | (made > b)).any():
        made[outside] = generator().normal(mean, std, int(outside.sum()))
    return made


def xavier_uniform_(tensor: Array, gain: float = 1.0) -> Array:
    """Uniform, such that values and gradients keep their spread (Glorot and Bengio, 2010).

    >>> import numpy as np
    >>> from quantray import nn
    >>> nn.init.xavier_uniform_(np.empty((2, 3))).shape
    (2, 3)

    Source: `torch.nn.init.xavier_uniform_`.
    """
    bound = gain * math.sqrt(6 / sum(_fans(_checked(tensor, 2))))
    return uniform_(tensor, -bound, bound)


def xavier_normal_(tensor: Array, gain: float = 1.0) -> Array:
    """Normal, such that values and gradients keep their spread (Glorot and Bengio, 2010).

    >>> import numpy as np
    >>> from quantray import nn
    >>> nn.init.xavier_normal_(np.empty((2, 3))).shape
    (2, 3)

    Source: `torch.nn.init.xavier_normal_`.
    """
    return normal_(tensor, 0.0, gain * math.sqrt(2 / sum(_fans(_checked(tensor, 2)))))


def _kaiming(tensor: Array, a: float, mode: str, nonlinearity: str) -> float:
    if mode not in ("fan_in", "fan_out"):
        raise ValueError(f"mode must be 'fan_in' or 'fan_out', got {mode!r}")
    fan = _fans(_checked(tensor, 2))[mode == "fan_out"]
    return calculate_gain(nonlinearity, a) / math.sqrt(fan)


def kaiming_uniform_(
    tensor: Array, a: float = 0.0, mode: _Mode = "fan_in", nonlinearity: str = "leaky_relu"
) -> Array:
    """Uniform, such that values keep their spread through rectifiers (He et al., 2015).

    >>> import numpy as np
    >>> from quantray import nn
    >>> nn.init.kaiming_uniform_(np.empty((2, 3))).shape
    (2, 3)

    Source: `torch.nn.init.kaiming_uniform_`.
    """
    bound = math.sqrt(3) * _kaiming(tensor, a, mode, nonlinearity)
    return uniform_(tensor, -bound, bound)


def kaiming_normal_(
    tensor: Array, a: float = 0.0, mode: _Mode = "fan_in", nonlinearity: str = "leaky_relu"
) -> Array:
    """Normal, such that values keep their spread through rectifiers (He et al., 2015).

    >>> import numpy as np
    >>> from quantray import nn
    >>> nn.init.kaiming_normal_(np.empty((2, 3))).shape
    (2, 3)

    Source: `torch.nn.init.kaiming_normal_`.
    """
    return normal_(tensor, 0.0, _kaiming(tensor, a, mode, nonlinearity))


def orthogonal_(tensor: Array, gain: float = 1.0) -> Array:
    """Rows, or columns where they are fewer, at right angles to each other (Saxe et al., 2013).

    >>> import numpy as np
    >>> from quantray import nn
    >>> nn.init.orthogonal_(np.empty((2, 3))).shape
    (2, 3)

    Source: `torch.nn.init.orthogonal_`.
    """
    rows = _checked(tensor, 2).shape[0]
    columns = tensor.size // max(rows, 1)
    drawn = generator().normal(size=(max(rows, columns), min(rows, columns)))
    q, r = np.linalg.qr(drawn)
    # Signs such that all such matrices are as likely.
    q = q * np.where(np.diagonal(r) < 0, -1.0, 1.0)
    tensor[...] = gain * (q if rows >= columns else q.T).reshape(tensor.shape)
    return tensor
