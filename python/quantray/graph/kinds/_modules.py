"""Modules that a graph keeps whole: what part each has in quantization, and what takes its place.

A class is meant exactly: a subclass with a `forward` of its own is captured by its own code.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, cast

from quantray import nn
from quantray.graph.kinds._table import Part
from quantray.nn._tracing import WHOLE


class Converts(Protocol):
    """A class of integer layers, each of which is made from the layer whose place it takes."""

    def from_float(self, module: nn.Module, /) -> nn.Module:
        """A layer of integers."""
        ...


@dataclass(frozen=True)
class ModuleKind:
    """What is known of a class of modules.

    Attributes
    ----------
    part : Part, optional
        In quantization; None for what takes floats and gives floats.
    integer : type, optional
        The class that takes its place in quantized models: `integer.from_float(module)` makes one, which
        takes floats and gives floats.
    """

    part: Part | None = None
    integer: Converts | None = None


_MODULES: dict[type[nn.Module], ModuleKind] = {}


def register_layer(kind: type[nn.Module], integer: Converts | None = None, part: Part | None = None) -> None:
    """Tells what a class of layers becomes where a model is quantized.

    Parameters
    ----------
    kind : type
        A subclass of Module. Its calls are kept whole: nothing looks inside.
    integer : type, optional
        A Module with a class method `from_float(module)`; `quantize` and `quantize_dynamic` put it in the
        layer's place. It takes floats and gives floats.
    part : Part, optional
        For layers between integers: `Part.KEEPS` for one that passes values on, `Part.FOLLOWS` for one that
        is computed in floats between quantized values.

    Raises
    ------
    TypeError
        For a class that is no Module, or an integer version without `from_float`.

    >>> import numpy as np
    >>> from quantray import graph, nn, quantization as tq
    >>> class Scale(nn.Module):
    ...     def __init__(self):
    ...         super().__init__()
    ...         self.weight = nn.Parameter(np.linspace(0, 1, 4))
    ...     def forward(self, input):
    ...         return input * self.weight
    >>> class IntegerScale(nn.Module):
    ...     @classmethod
    ...     def from_float(cls, module):
    ...         made = cls()
    ...         made.codes = np.rint(module.weight * 127).astype(np.int8)
    ...         return made
    ...     def forward(self, input):
    ...         return input * (self.codes / np.float32(127))
    >>> graph.register_layer(Scale, IntegerScale)
    >>> model = tq.quantize_dynamic(nn.Sequential(Scale()), {Scale})
    >>> type(model[0]).__name__
    'IntegerScale'
    """
    if not (isinstance(kind, type) and issubclass(kind, nn.Module)):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise TypeError(f"kind must be a subclass of Module, got {kind!r}")
    if integer is not None and not hasattr(integer, "from_float"):
        raise TypeError(f"integer must have a class method from_float(module), got {integer!r}")
    _MODULES[kind] = ModuleKind(part, integer)
    WHOLE.add(kind)


def module_kind(module: nn.Module) -> ModuleKind:
    """What is known of a module's own class."""
    return _MODULES.get(type(module), ModuleKind())


def registered_layers() -> dict[type[nn.Module], type[nn.Module]]:
    """Classes and their integer versions."""
    known = {kind: found.integer for kind, found in _MODULES.items() if found.integer is not None}
    return cast("dict[type[nn.Module], type[nn.Module]]", known)


for _kind in (
    nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.InstanceNorm1d, nn.InstanceNorm2d, nn.InstanceNorm3d,
):  # fmt: skip
    _MODULES[_kind] = ModuleKind(Part.FOLLOWS)
for _kind in (nn.Dropout, nn.Dropout1d, nn.Dropout2d):
    _MODULES[_kind] = ModuleKind(Part.KEEPS)
_MODULES[nn.QuantStub], _MODULES[nn.DeQuantStub] = ModuleKind(Part.BEGINS), ModuleKind(Part.ENDS)
