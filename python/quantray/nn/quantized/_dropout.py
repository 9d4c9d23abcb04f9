"""Dropout of quantized values, which passes them on."""

from __future__ import annotations

from typing import Self, TypeVar

from quantray.nn import _dropout
from quantray.nn._module import Module
from quantray.nn._tracing import whole

T = TypeVar("T")


class Dropout(_dropout.Dropout):
    """Passes its input on, in training too: what is dropped was dropped before.

    Parameters
    ----------
    p, inplace
        Kept.

    >>> import quantray as qt
    >>> q = qt.quantize_per_tensor([1.0, 2.0], 0.5, 0, qt.quint8)
    >>> qt.nn.quantized.Dropout(0.5)(q).tolist()
    [1.0, 2.0]

    Source: `torch.ao.nn.quantized.Dropout`.
    """

    @classmethod
    def from_float(cls, mod: Module, use_precomputed_fake_quant: bool = False) -> Self:
        """Of an `nn.Dropout`."""
        return cls(mod.p, mod.inplace)

    @whole
    def forward(self, input: T) -> T:
        """The input."""
        return input

    def _get_name(self) -> str:
        return "QuantizedDropout"
