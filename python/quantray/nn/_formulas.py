"""Activations that are formulas of others, as modules."""

from __future__ import annotations

from typing import TYPE_CHECKING

from quantray.nn import functional as F
from quantray.nn._activation import Softmax, _Inplace
from quantray.nn._configured import Configured

if TYPE_CHECKING:
    from quantray._typing import Floats, Input, Tensor


class CELU(_Inplace):
    """`alpha * (exp(x / alpha) - 1)` for negative x.

    >>> from quantray import nn
    >>> nn.CELU()([-1.0, 2.0])
    array([-0.63212055,  2.        ], dtype=float32)

    Source: `torch.nn.CELU`; arXiv:1704.07483.
    """

    _arguments = ("alpha", "inplace")

    def __init__(self, alpha: float = 1.0, inplace: bool = False) -> None:
        super().__init__(inplace)
        self.alpha = alpha

    def forward(self, input: Input) -> Tensor:
        """Of the input's shape."""
        return F.celu(input, self.alpha)

    def extra_repr(self) -> str:
        return f"alpha={self.alpha}" + (", inplace=True" if self.inplace else "")


class SELU(_Inplace):
    """`scale * elu(x, alpha)`, with the two numbers of its paper.

    >>> from quantray import nn
    >>> nn.SELU()([-100.0, 1.0])
    array([-1.7580993,  1.050701 ], dtype=float32)

    Source: `torch.nn.SELU`; arXiv:1706.02515.
    """

    def forward(self, input: Input) -> Tensor:
        """Of the input's shape."""
        return F.selu(input)


class Mish(_Inplace):
    """`x * tanh(softplus(x))`.

    >>> from quantray import nn
    >>> nn.Mish()([0.0, 20.0])
    array([ 0., 20.], dtype=float32)

    Source: `torch.nn.Mish`; arXiv:1908.08681.
    """

    def forward(self, input: Input) -> Tensor:
        """Of the input's shape."""
        return F.mish(input)


class Softsign(Configured):
    """`x / (1 + |x|)`.

    >>> from quantray import nn
    >>> nn.Softsign()([-1.0, 3.0])
    array([-0.5 ,  0.75], dtype=float32)

    Source: `torch.nn.Softsign`.
    """

    def forward(self, input: Input) -> Tensor:
        """Of the input's shape."""
        return F.softsign(input)


class LogSigmoid(Configured):
    """The logarithm of `Sigmoid`.

    >>> from quantray import nn
    >>> nn.LogSigmoid()([-100.0, 0.0])
    array([-100.       ,   -0.6931472], dtype=float32)

    Source: `torch.nn.LogSigmoid`.
    """

    def forward(self, input: Input) -> Tensor:
        """Of the input's shape."""
        return F.logsigmoid(input)


class Tanhshrink(Configured):
    """`x - tanh(x)`.

    >>> from quantray import nn
    >>> nn.Tanhshrink()([0.0, 1.0])
    array([0.        , 0.23840582], dtype=float32)

    Source: `torch.nn.Tanhshrink`.
    """

    def forward(self, input: Input) -> Tensor:
        """Of the input's shape."""
        return F.tanhshrink(input)


class _Shrink(Configured):
    _arguments = ("lambd",)

    def __init__(self, lambd: float = 0.5) -> None:
        super().__init__()
        self.lambd = lambd

    def extra_repr(self) -> str:
        return str(self.lambd)


class Hardshrink(_Shrink):
    """Elements from `-lambd` to `lambd` become 0.

    >>> from quantray import nn
    >>> nn.Hardshrink()([-2.0, 0.25, 1.0])
    array([-2.,  0.,  1.], dtype=float32)

    Source: `torch.nn.Hardshrink`.
    """

    def forward(self, input: Input) -> Tensor:
        """Of the input's shape."""
        return F.hardshrink(input, self.lambd)


class Softshrink(_Shrink):
    """Elements come nearer to 0 by `lambd`, and no further.

    >>> from quantray import nn
    >>> nn.Softshrink()([-2.0, 0.25, 1.0])
    array([-1.5,  0. ,  0.5], dtype=float32)

    Source: `torch.nn.Softshrink`.
    """

    def forward(self, input: Input) -> Tensor:
        """Of the input's shape."""
        return F.softshrink(input, self.lambd)


class Threshold(_Inplace):
    """Elements up to `threshold` become `value`.

    >>> from quantray import nn
    >>> nn.Threshold(0.5, 9.0)([-1.0, 2.0])
    array([9., 2.], dtype=float32)

    Source: `torch.nn.Threshold`.
    """

    _arguments = ("threshold", "value", "inplace")

    def __init__(self, threshold: float, value: float, inplace: bool = False) -> None:
        super().__init__(inplace)
        self.threshold, self.value = threshold, value

    def forward(self, input: Input) -> Tensor:
        """Of the input's shape."""
        return F.threshold(input, self.threshold, self.value)

    def extra_repr(self) -> str:
        end = ", inplace=True" if self.inplace else ""
        return f"threshold={self.threshold}, value={self.value}{end}"


class GLU(Configured):
    """The first half along an axis times the sigmoid of the second half.

    >>> from quantray import nn
    >>> nn.GLU()([1.0, 2.0, 0.0, 0.0])
    array([0.5, 1. ], dtype=float32)

    Source: `torch.nn.GLU`; arXiv:1612.08083.
    """

    _arguments = ("dim",)

    def __init__(self, dim: int = -1) -> None:
        super().__init__()
        self.dim = dim

    def forward(self, input: Input) -> Floats:
        """Half as long along the axis."""
        return F.glu(input, self.dim)

    def extra_repr(self) -> str:
        return f"dim={self.dim}"


class Softmin(Softmax):
    """`Softmax` of the negated elements.

    >>> from quantray import nn
    >>> nn.Softmin(dim=0)([0.0, 0.0, 1000.0])
    array([0.5, 0.5, 0. ], dtype=float32)

    Source: `torch.nn.Softmin`.
    """

    def forward(self, input: Input) -> Tensor:
        """Of the input's shape."""
        return F.softmin(input, self.dim)


class Softmax2d(Configured):
    """`Softmax` over the channels of images.

    >>> import numpy as np
    >>> from quantray import nn
    >>> nn.Softmax2d()(np.zeros((4, 1, 1), np.float32)).ravel()
    array([0.25, 0.25, 0.25, 0.25], dtype=float32)

    Source: `torch.nn.Softmax2d`.
    """

    def forward(self, input: Input) -> Tensor:
        """Shape (N, C, H, W) or (C, H, W)."""
        return F.softmax(input, -3)
