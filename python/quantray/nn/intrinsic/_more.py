"""Fused modules beside the usual ones: sums after convolutions, other activations after layers."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from quantray.nn._containers import Sequential

if TYPE_CHECKING:
    from quantray._typing import Floats, Input
    from quantray.nn._module import Module


class ConvAdd2d(Sequential):
    """Conv2d, then a sum with something else.

    Parameters
    ----------
    conv : Conv2d
    add : callable
        What adds: `numpy.add`, or a method of a `FloatFunctional`.

    >>> import numpy as np
    >>> from quantray import nn
    >>> fused = nn.intrinsic.ConvAdd2d(nn.Conv2d(1, 1, 1), np.add)
    >>> fused(np.ones((1, 1, 2, 2)), np.ones((1, 1, 2, 2))).shape
    (1, 1, 2, 2)

    Source: `torch.ao.nn.intrinsic.ConvAdd2d`.
    """

    def __init__(self, conv: Module, add: Callable[[Floats, Input], Floats]) -> None:
        super().__init__(conv)
        self.add = add

    def forward(self, x1: Input, x2: Input) -> Floats:  # pyright: ignore[reportIncompatibleMethodOverride]
        """`add(conv(x1), x2)`."""
        return self.add(self[0](x1), x2)


class ConvAddReLU2d(Sequential):
    """Conv2d, a sum with something else, ReLU.

    Parameters
    ----------
    conv : Conv2d
    add : callable
        What adds: `numpy.add`, or a method of a `FloatFunctional`.
    relu : ReLU

    >>> import numpy as np
    >>> from quantray import nn
    >>> fused = nn.intrinsic.ConvAddReLU2d(nn.Conv2d(1, 1, 1), np.add, nn.ReLU())
    >>> fused(np.ones((1, 1, 2, 2)), np.ones((1, 1, 2, 2))).shape
    (1, 1, 2, 2)

    Source: `torch.ao.nn.intrinsic.ConvAddReLU2d`.
    """

    def __init__(self, conv: Module, add: Callable[[Floats, Input], Floats], relu: Module) -> None:
        super().__init__(conv)
        self.add = add
        self.relu = relu

    def forward(self, x1: Input, x2: Input) -> Floats:  # pyright: ignore[reportIncompatibleMethodOverride]
        """`relu(add(conv(x1), x2))`."""
        return self.relu(self.add(self[0](x1), x2))


class LinearLeakyReLU(Sequential):
    """Linear, then LeakyReLU.

    Parameters
    ----------
    linear : Linear
    leaky_relu : LeakyReLU

    >>> from quantray import nn
    >>> nn.intrinsic.LinearLeakyReLU(nn.Linear(2, 3), nn.LeakyReLU(0.1))([[1.0, 2.0]]).shape
    (1, 3)

    Source: `torch.ao.nn.intrinsic.LinearLeakyReLU`.
    """

    def __init__(self, linear: Module, leaky_relu: Module) -> None:
        super().__init__(linear, leaky_relu)


class LinearTanh(Sequential):
    """Linear, then Tanh.

    Parameters
    ----------
    linear : Linear
    tanh : Tanh

    >>> from quantray import nn
    >>> nn.intrinsic.LinearTanh(nn.Linear(2, 3), nn.Tanh())([[1.0, 2.0]]).shape
    (1, 3)

    Source: `torch.ao.nn.intrinsic.LinearTanh`.
    """

    def __init__(self, linear: Module, tanh: Module) -> None:
        super().__init__(linear, tanh)
