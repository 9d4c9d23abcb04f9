"""Activations as modules.

`inplace` is taken as torch's models give it; arrays are never changed in place.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from quantray.nn import _init
from quantray.nn import functional as F
from quantray.nn._configured import Configured
from quantray.nn._factory import check_sizes
from quantray.nn._registry import Parameter

if TYPE_CHECKING:
    from quantray._typing import Array, Input, Tensor


class _Inplace(Configured):
    """One that torch can compute in place."""

    _arguments = ("inplace",)

    def __init__(self, inplace: bool = False) -> None:
        super().__init__()
        self.inplace = inplace

    def extra_repr(self) -> str:
        return "inplace=True" if self.inplace else ""


class ReLU(_Inplace):
    """Negative elements become 0.

    >>> from quantray import nn
    >>> nn.ReLU()([-1.0, 2.0])
    array([0., 2.], dtype=float32)

    Source: `torch.nn.ReLU`.
    """

    def forward(self, input: Input) -> Tensor:
        """Of the input's shape."""
        return F.relu(input)


class ReLU6(_Inplace):
    """`min(max(x, 0), 6)`.

    >>> from quantray import nn
    >>> nn.ReLU6()([-1.0, 7.0])
    array([0., 6.], dtype=float32)

    Source: `torch.nn.ReLU6`.
    """

    def forward(self, input: Input) -> Tensor:
        """Of the input's shape."""
        return F.relu6(input)


class Hardtanh(_Inplace):
    """Elements below `min_val` become it, those above `max_val` that.

    >>> from quantray import nn
    >>> nn.Hardtanh(-2.0, 2.0)([-3.0, 0.5])
    array([-2. ,  0.5], dtype=float32)

    Source: `torch.nn.Hardtanh`.
    """

    _arguments = ("min_val", "max_val", "inplace")

    def __init__(self, min_val: float = -1.0, max_val: float = 1.0, inplace: bool = False) -> None:
        super().__init__(inplace)
        if not min_val < max_val:
            raise ValueError(f"min_val must be less than max_val, got {min_val} and {max_val}")
        self.min_val, self.max_val = min_val, max_val

    def forward(self, input: Input) -> Tensor:
        """Of the input's shape."""
        return F.hardtanh(input, self.min_val, self.max_val)

    def extra_repr(self) -> str:
        end = ", inplace=True" if self.inplace else ""
        return f"min_val={self.min_val}, max_val={self.max_val}{end}"


class LeakyReLU(_Inplace):
    """Negative elements are multiplied by `negative_slope`.

    >>> from quantray import nn
    >>> nn.LeakyReLU(0.5)([-2.0, 2.0])
    array([-1.,  2.], dtype=float32)

    Source: `torch.nn.LeakyReLU`.
    """

    _arguments = ("negative_slope", "inplace")

    def __init__(self, negative_slope: float = 0.01, inplace: bool = False) -> None:
        super().__init__(inplace)
        self.negative_slope = negative_slope

    def forward(self, input: Input) -> Tensor:
        """Of the input's shape."""
        return F.leaky_relu(input, self.negative_slope)

    def extra_repr(self) -> str:
        return f"negative_slope={self.negative_slope}" + (", inplace=True" if self.inplace else "")


class ELU(_Inplace):
    """`alpha * (exp(x) - 1)` for negative x.

    >>> from quantray import nn
    >>> nn.ELU()([-100.0, 2.0])
    array([-1.,  2.], dtype=float32)

    Source: `torch.nn.ELU`.
    """

    _arguments = ("alpha", "inplace")

    def __init__(self, alpha: float = 1.0, inplace: bool = False) -> None:
        super().__init__(inplace)
        self.alpha = alpha

    def forward(self, input: Input) -> Tensor:
        """Of the input's shape."""
        return F.elu(input, self.alpha)

    def extra_repr(self) -> str:
        return f"alpha={self.alpha}" + (", inplace=True" if self.inplace else "")


class GELU(Configured):
    """x times the normal distribution's integral up to x; or its approximation by tanh.

    >>> from quantray import nn
    >>> nn.GELU(approximate="tanh")
    GELU(approximate='tanh')
    >>> nn.GELU()([0.0, 1.0])
    array([0.       , 0.8413447], dtype=float32)

    Source: `torch.nn.GELU`.
    """

    _arguments = ("approximate",)

    def __init__(self, approximate: Literal["none", "tanh"] = "none") -> None:
        super().__init__()
        if approximate not in ("none", "tanh"):
            raise ValueError(f'approximate must be "none" or "tanh", got {approximate!r}')
        self.approximate: Literal["none", "tanh"] = approximate

    def forward(self, input: Input) -> Tensor:
        """Of the input's shape."""
        return F.gelu(input, self.approximate)

    def extra_repr(self) -> str:
        return f"approximate={self.approximate!r}"


class SiLU(_Inplace):
    """`x * sigmoid(x)`.

    >>> from quantray import nn
    >>> nn.SiLU()([0.0, 1.0])
    array([0.        , 0.73105854], dtype=float32)

    Source: `torch.nn.SiLU`.
    """

    def forward(self, input: Input) -> Tensor:
        """Of the input's shape."""
        return F.silu(input)


class Sigmoid(Configured):
    """`1 / (1 + exp(-x))`.

    >>> from quantray import nn
    >>> nn.Sigmoid()([0.0])
    array([0.5], dtype=float32)

    Source: `torch.nn.Sigmoid`.
    """

    def forward(self, input: Input) -> Tensor:
        """Of the input's shape."""
        return F.sigmoid(input)


class Tanh(Configured):
    """The hyperbolic tangent.

    >>> from quantray import nn
    >>> nn.Tanh()([0.0, 1.0])
    array([0.       , 0.7615942], dtype=float32)

    Source: `torch.nn.Tanh`.
    """

    def forward(self, input: Input) -> Tensor:
        """Of the input's shape."""
        return F.tanh(input)


class Hardsigmoid(_Inplace):
    """`relu6(x + 3) / 6`.

    >>> from quantray import nn
    >>> nn.Hardsigmoid()([-3.0, 0.0])
    array([0. , 0.5], dtype=float32)

    Source: `torch.nn.Hardsigmoid`.
    """

    def forward(self, input: Input) -> Tensor:
        """Of the input's shape."""
        return F.hardsigmoid(input)


class Hardswish(_Inplace):
    """`x * relu6(x + 3) / 6`.

    >>> from quantray import nn
    >>> nn.Hardswish()([0.0, 1.5])
    array([0.   , 1.125], dtype=float32)

    Source: `torch.nn.Hardswish`.
    """

    def forward(self, input: Input) -> Tensor:
        """Of the input's shape."""
        return F.hardswish(input)


class Softplus(Configured):
    """`log(1 + exp(beta * x)) / beta`; x itself where `beta * x` is above the threshold.

    >>> from quantray import nn
    >>> nn.Softplus()([0.0, 30.0])
    array([ 0.6931472, 30.       ], dtype=float32)

    Source: `torch.nn.Softplus`.
    """

    _arguments = ("beta", "threshold")

    def __init__(self, beta: float = 1.0, threshold: float = 20.0) -> None:
        super().__init__()
        self.beta, self.threshold = beta, threshold

    def forward(self, input: Input) -> Tensor:
        """Of the input's shape."""
        return F.softplus(input, self.beta, self.threshold)

    def extra_repr(self) -> str:
        return f"beta={self.beta}, threshold={self.threshold}"


class PReLU(Configured):
    """Negative elements are multiplied by a weight, which is learned.

    Parameters
    ----------
    num_parameters : int
        1, or the number of channels, which are the input's second axis.
    init : float
        The weight's first value.

    >>> from quantray import nn
    >>> nn.PReLU()([[-2.0, 2.0]])
    array([[-0.5,  2. ]], dtype=float32)

    Source: `torch.nn.PReLU`.
    """

    _arguments = ("num_parameters", "init")

    weight: Array

    def __init__(self, num_parameters: int = 1, init: float = 0.25) -> None:
        super().__init__()
        check_sizes(num_parameters=num_parameters)
        self.num_parameters, self.init = num_parameters, init
        self.weight = Parameter(_init.full((num_parameters,), init))

    def forward(self, input: Input) -> Tensor:
        """Of the input's shape."""
        return F.prelu(input, self.weight)

    def extra_repr(self) -> str:
        return f"num_parameters={self.num_parameters}"


class Softmax(Configured):
    """Powers of e, divided by their sum along an axis.

    >>> from quantray import nn
    >>> nn.Softmax(dim=-1)([[0.0, 0.0]])
    array([[0.5, 0.5]], dtype=float32)

    Source: `torch.nn.Softmax`.
    """

    _arguments = ("dim",)

    def __init__(self, dim: int | None = None) -> None:
        super().__init__()
        self.dim = dim

    def forward(self, input: Input) -> Tensor:
        """Of the input's shape."""
        return F.softmax(input, self.dim)

    def extra_repr(self) -> str:
        return f"dim={self.dim}"


class LogSoftmax(Configured):
    """The logarithm of `Softmax`.

    >>> from quantray import nn
    >>> nn.LogSoftmax(dim=0)([0.0, 200.0])
    array([-200.,    0.], dtype=float32)

    Source: `torch.nn.LogSoftmax`.
    """

    _arguments = ("dim",)

    def __init__(self, dim: int | None = None) -> None:
        super().__init__()
        self.dim = dim

    def forward(self, input: Input) -> Tensor:
        """Of the input's shape."""
        return F.log_softmax(input, self.dim)

    def extra_repr(self) -> str:
        return f"dim={self.dim}"
