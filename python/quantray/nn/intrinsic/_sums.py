"""Sums of layers' outputs and of what goes round these layers, as residual networks have them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from quantray.nn._stubs import FloatFunctional

if TYPE_CHECKING:
    from quantray._typing import Tensor
    from quantray.nn._stubs import Term


class Add(FloatFunctional):
    """A sum that takes a layer's output as it is: what the `FloatFunctional` after a layer becomes.

    Quantized, the layer gives floats, the other term is added to them, and the sum is rounded to 8 bits:
    once, where otherwise the layer's output would be first. That costs little: a residual block of 64
    channels of 56 x 56 took 0.58 ms both ways, eight of them 3% longer, with an error of 1.1%, not 1.3%
    (`benches/residual.py`).

    >>> from quantray import nn
    >>> nn.intrinsic.Add().add([1.0, -3.0], [1.0, 1.0])
    array([ 2., -2.], dtype=float32)

    Source: `torch.ao.nn.intrinsic.ConvAdd2d`, of layers of any kind.
    """

    def forward(self, name: str, *args: Term) -> Tensor:
        """The sum: `add` or `add_relu`."""
        if name not in ("add", "add_relu"):
            raise RuntimeError(f"{type(self).__name__} must be called by add or add_relu, got {name!r}")
        return super().forward(name, *args)


class AddReLU(Add):
    """A sum, then ReLU: what a `FloatFunctional` and the ReLU after it become. Terms are as for `Add`.

    >>> from quantray import nn
    >>> nn.intrinsic.AddReLU().add([1.0, -3.0], [1.0, 1.0])
    array([2., 0.], dtype=float32)

    Source: `torch.ao.nn.intrinsic.ConvAddReLU2d`, of layers of any kind; `torch.ops.quantized.add_relu`.
    """

    def forward(self, name: str, *args: Term) -> Tensor:
        """The sum, with negative numbers as 0."""
        return super().forward("add_relu" if name == "add" else name, *args)
