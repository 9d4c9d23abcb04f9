"""Normalization over the last axes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from quantray.nn import _init
from quantray.nn._module import Module
from quantray.nn.functional._layer_norm import layer_norm, rms_norm, trailing_shape

if TYPE_CHECKING:
    from quantray._typing import Config, Input, Tensor


class LayerNorm(Module):
    """Values less their mean, by their standard deviation, over the last axes; then a weight and a bias.

    Parameters
    ----------
    normalized_shape : int or sequence of int
        The last length of the input's shape, or several.
    eps : float
        What is added to the variance.
    elementwise_affine : bool
        Whether there is a weight.
    bias : bool
        Whether there is a bias beside it.

    >>> import numpy as np
    >>> from quantray import nn
    >>> nn.LayerNorm(4)(np.float32([[0, 0, 2, 2]])).round(3)
    array([[-1., -1.,  1.,  1.]], dtype=float32)

    Source: `torch.nn.LayerNorm`.
    """

    def __init__(
        self,
        normalized_shape: int | Sequence[int],
        eps: float = 1e-5,
        elementwise_affine: bool = True,
        bias: bool = True,
    ) -> None:
        super().__init__()
        self.normalized_shape = trailing_shape(normalized_shape)
        self.eps, self.elementwise_affine = eps, elementwise_affine
        self.register_parameter("weight", None)
        self.register_parameter("bias", None)
        self._has_bias = elementwise_affine and bias
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """The weight becomes 1, the bias 0."""
        if self.elementwise_affine:
            self.weight = _init.full(self.normalized_shape, 1)
        if self._has_bias:
            self.bias = _init.zeros(self.normalized_shape)

    def forward(self, input: Input) -> Tensor:
        """Of the input's shape."""
        return layer_norm(input, self.normalized_shape, self.weight, self.bias, self.eps)

    def _config(self) -> Config:
        return {
            "normalized_shape": list(self.normalized_shape),
            "eps": self.eps,
            "elementwise_affine": self.elementwise_affine,
            "bias": self._has_bias,
        }

    def extra_repr(self) -> str:
        """The constructor's arguments."""
        return f"{self.normalized_shape}, eps={self.eps}, elementwise_affine={self.elementwise_affine}"


class RMSNorm(Module):
    """Values by their root mean square, over the last axes; then a weight for each.

    Parameters
    ----------
    normalized_shape : int or sequence of int
        The last length of the input's shape, or several.
    eps : float, optional
        What is added to the mean square; by default float32's, 2^-23.
    elementwise_affine : bool
        Whether there is a weight.

    >>> import numpy as np
    >>> from quantray import nn
    >>> nn.RMSNorm(2)(np.float32([[1, 7]])).round(3)
    array([[0.2, 1.4]], dtype=float32)

    Source: `torch.nn.RMSNorm`.
    """

    def __init__(
        self,
        normalized_shape: int | Sequence[int],
        eps: float | None = None,
        elementwise_affine: bool = True,
    ) -> None:
        super().__init__()
        self.normalized_shape = trailing_shape(normalized_shape)
        self.eps, self.elementwise_affine = eps, elementwise_affine
        self.register_parameter("weight", None)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """The weight becomes 1."""
        if self.elementwise_affine:
            self.weight = _init.full(self.normalized_shape, 1)

    def forward(self, input: Input) -> Tensor:
        """Of the input's shape."""
        return rms_norm(input, self.normalized_shape, self.weight, self.eps)

    def _config(self) -> Config:
        return {
            "normalized_shape": list(self.normalized_shape),
            "eps": self.eps,
            "elementwise_affine": self.elementwise_affine,
        }

    def extra_repr(self) -> str:
        """The constructor's arguments."""
        return f"{self.normalized_shape}, eps={self.eps}, elementwise_affine={self.elementwise_affine}"
