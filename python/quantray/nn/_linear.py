"""Linear."""

from __future__ import annotations

from typing import TYPE_CHECKING

from quantray.nn import _init
from quantray.nn import functional as F
from quantray.nn._factory import check_sizes
from quantray.nn._module import Module
from quantray.nn._registry import Parameter

if TYPE_CHECKING:
    from quantray._typing import Array, Config, Floats, Input


class Linear(Module):
    """Products with a matrix, and a bias: `input @ weight.T + bias`.

    Parameters
    ----------
    in_features, out_features : int
        Of the input's last axis, and of the result's.
    bias : bool
        Whether there is one.

    Attributes
    ----------
    weight : array
        Shape (out_features, in_features).
    bias : array or None
        Shape (out_features,).

    >>> import numpy as np
    >>> from quantray import nn
    >>> layer = nn.Linear(3, 2)
    >>> layer
    Linear(in_features=3, out_features=2, bias=True)
    >>> layer(np.zeros((5, 3))).shape
    (5, 2)

    Source: `torch.nn.Linear`.
    """

    in_features: int
    out_features: int
    weight: Array

    def __init__(self, in_features: int, out_features: int, bias: bool = True) -> None:
        super().__init__()
        check_sizes(in_features=in_features, out_features=out_features)
        self.in_features, self.out_features = in_features, out_features
        self.weight = Parameter(_init.kaiming_uniform((out_features, in_features)))
        self.register_parameter("bias", _init.bias_for(self.weight, out_features) if bias else None)

    def forward(self, input: Input) -> Floats:
        """Shape (..., in_features) to (..., out_features)."""
        return self.forward_with(input, self.weight, self.bias)

    def forward_with(self, input: Input, weight: Input, bias: Input | None) -> Floats:
        """The same with another weight and bias than its own."""
        return F.linear(input, weight, bias)

    def extra_repr(self) -> str:
        has = self.bias is not None
        return f"in_features={self.in_features}, out_features={self.out_features}, bias={has}"

    def _config(self) -> Config:
        has = self.bias is not None
        return {"in_features": self.in_features, "out_features": self.out_features, "bias": has}
