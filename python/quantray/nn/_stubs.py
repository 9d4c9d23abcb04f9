"""Where a model's integers begin and end, and arithmetic that can be quantized."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, TypeVar

from quantray.nn import functional as F
from quantray.nn._module import Module
from quantray.nn._tracing import whole

if TYPE_CHECKING:
    from quantray._typing import Config, Input, Tensor


T = TypeVar("T")

if TYPE_CHECKING:
    from typing import TypeAlias

    #: What sums and products take: arrays, several of them, numbers.
    Term: TypeAlias = Input | Sequence[Input] | float


class QuantStub(Module):
    """Where integers begin: the identity, until `convert` makes a quantization of it.

    >>> from quantray import nn
    >>> nn.QuantStub()([1.0])
    [1.0]

    Source: `torch.ao.quantization.QuantStub`.
    """

    def __init__(self, qconfig: object = None) -> None:
        super().__init__()
        if qconfig is not None:
            self.qconfig = qconfig

    @whole
    def forward(self, input: T) -> T:
        """The input."""
        return input

    def _config(self) -> Config:
        return {}


class DeQuantStub(Module):
    """Where integers end: the identity, until `convert` makes a dequantization of it.

    >>> from quantray import nn
    >>> nn.DeQuantStub()([1.0])
    [1.0]

    Source: `torch.ao.quantization.DeQuantStub`.
    """

    def __init__(self, qconfig: object = None) -> None:
        super().__init__()
        if qconfig is not None:
            self.qconfig = qconfig

    @whole
    def forward(self, input: T) -> T:
        """The input."""
        return input

    def _config(self) -> Config:
        return {}


class FloatFunctional(Module):
    """Arithmetic as a module, so that its results can be observed and quantized; one for each use.

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

    def forward(self, name: str, *args: Term) -> Tensor:
        """One of the functions, by name: what the methods call, so that hooks see it."""
        function = _FUNCTIONS.get(name) if isinstance(name, str) else None  # pyright: ignore[reportUnnecessaryIsInstance]
        if function is None:
            raise RuntimeError("call a method of FloatFunctional, add(x, y) or cat([x, y]), say, not itself")
        return function(*args)

    def _config(self) -> Config:
        return {}

    def add(self, x: Input, y: Input) -> Tensor:
        """`x + y`."""
        return self("add", x, y)

    def add_scalar(self, x: Input, y: float) -> Tensor:
        """`x + y`, y a number."""
        return self("add_scalar", x, y)

    def mul(self, x: Input, y: Input) -> Tensor:
        """`x * y`."""
        return self("mul", x, y)

    def mul_scalar(self, x: Input, y: float) -> Tensor:
        """`x * y`, y a number."""
        return self("mul_scalar", x, y)

    def cat(self, x: Sequence[Input], dim: int = 0) -> Tensor:
        """Arrays one after the other along an axis."""
        return self("cat", x, dim)

    def add_relu(self, x: Input, y: Input) -> Tensor:
        """`relu(x + y)`."""
        return self("add_relu", x, y)

    def matmul(self, x: Input, y: Input) -> Tensor:
        """`x @ y`."""
        return self("matmul", x, y)


def _add_relu(x: Input, y: Input) -> Tensor:
    return F.relu(F.add(x, y))


_FUNCTIONS: dict[str, Callable[..., Tensor]] = {
    "add": F.add,
    "add_scalar": F.add,
    "mul": F.mul,
    "mul_scalar": F.mul,
    "cat": F.cat,
    "add_relu": _add_relu,
    "matmul": F.matmul,
}
