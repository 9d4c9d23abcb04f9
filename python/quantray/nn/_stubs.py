"""Where a model's integers begin and end, and arithmetic that can be quantized."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from quantray.nn import functional as F
from quantray.nn._module import Module
from quantray.nn._shape import Identity


class QuantStub(Module):
    """Where integers begin: the identity, until `convert` makes a quantization of it.

    >>> from quantray import nn
    >>> nn.QuantStub()([1.0])
    [1.0]

    Source: `torch.ao.quantization.QuantStub`.
    """

    def __init__(self, qconfig: Any = None) -> None:
        super().__init__()
        if qconfig is not None:
            self.qconfig = qconfig

    def forward(self, input: Any) -> Any:
        """The input."""
        return input

    def _config(self) -> dict[str, Any]:
        return {}


class DeQuantStub(Module):
    """Where integers end: the identity, until `convert` makes a dequantization of it.

    >>> from quantray import nn
    >>> nn.DeQuantStub()([1.0])
    [1.0]

    Source: `torch.ao.quantization.DeQuantStub`.
    """

    def __init__(self, qconfig: Any = None) -> None:
        super().__init__()
        if qconfig is not None:
            self.qconfig = qconfig

    def forward(self, input: Any) -> Any:
        """The input."""
        return input

    def _config(self) -> dict[str, Any]:
        return {}


class FloatFunctional(Module):
    """Arithmetic as a module, so that its results can be observed and quantized; one for each use.

    Attributes
    ----------
    activation_post_process : Module
        What every result goes through; `prepare` puts an observer there.

    >>> from quantray import nn
    >>> class Residual(nn.Module):
    ...     def __init__(self, inner):
    ...         super().__init__()
    ...         self.inner, self.join = inner, nn.FloatFunctional()
    ...     def forward(self, input):
    ...         return self.join.add_relu(input, self.inner(input))
    >>> Residual(nn.Tanh())([0.0, -1.0])
    array([0., 0.], dtype=float32)

    Source: `torch.ao.nn.quantized.FloatFunctional`.
    """

    def __init__(self) -> None:
        super().__init__()
        self.activation_post_process = Identity()

    def forward(self, input: Any) -> Any:
        """Not to be called: its methods are."""
        raise RuntimeError("call a method of FloatFunctional, add(x, y) or cat([x, y]), say, not itself")

    def _config(self) -> dict[str, Any]:
        return {}

    def add(self, x: Any, y: Any) -> Any:
        """`x + y`."""
        return self.activation_post_process(F.add(x, y))

    def add_scalar(self, x: Any, y: float) -> Any:
        """`x + y`, y a number; the result is not observed, as its range follows from the input's."""
        return F.add(x, y)

    def mul(self, x: Any, y: Any) -> Any:
        """`x * y`."""
        return self.activation_post_process(F.mul(x, y))

    def mul_scalar(self, x: Any, y: float) -> Any:
        """`x * y`, y a number; the result is not observed, as its range follows from the input's."""
        return F.mul(x, y)

    def cat(self, x: Sequence[Any], dim: int = 0) -> Any:
        """Arrays one after the other along an axis."""
        return self.activation_post_process(F.cat(x, dim))

    def add_relu(self, x: Any, y: Any) -> Any:
        """`relu(x + y)`."""
        return self.activation_post_process(F.relu(F.add(x, y)))

    def matmul(self, x: Any, y: Any) -> Any:
        """`x @ y`."""
        return self.activation_post_process(F.matmul(x, y))
