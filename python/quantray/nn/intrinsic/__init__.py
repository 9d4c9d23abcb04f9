"""Fused modules: several layers that integers compute as one. `quantization.fuse_modules` makes them.

Source: `torch.ao.nn.intrinsic`.
"""

import sys
from importlib import import_module
from types import ModuleType

from quantray._advice import advice
from quantray.nn.intrinsic._fused import (
    BNReLU2d,
    BNReLU3d,
    ConvBn1d,
    ConvBn2d,
    ConvBn3d,
    ConvBnReLU1d,
    ConvBnReLU2d,
    ConvBnReLU3d,
    ConvReLU1d,
    ConvReLU2d,
    ConvReLU3d,
    ConvTransposeBn1d,
    ConvTransposeBn2d,
    ConvTransposeBn3d,
    FusedWeighted,
    LinearBn1d,
    LinearBnReLU1d,
    LinearReLU,
)
from quantray.nn.intrinsic._more import ConvAdd2d, ConvAddReLU2d, LinearLeakyReLU, LinearTanh
from quantray.nn.intrinsic._sums import Add, AddReLU

__all__ = [
    "Add",
    "AddReLU",
    "BNReLU2d",
    "BNReLU3d",
    "ConvAdd2d",
    "ConvAddReLU2d",
    "ConvBn1d",
    "ConvBn2d",
    "ConvBn3d",
    "ConvBnReLU1d",
    "ConvBnReLU2d",
    "ConvBnReLU3d",
    "ConvReLU1d",
    "ConvReLU2d",
    "ConvReLU3d",
    "ConvTransposeBn1d",
    "ConvTransposeBn2d",
    "ConvTransposeBn3d",
    "FusedWeighted",
    "LinearBn1d",
    "LinearBnReLU1d",
    "LinearLeakyReLU",
    "LinearReLU",
    "LinearTanh",
]

#: Imported when they are first asked for.
_LAZY = ("qat", "quantized")


def __getattr__(name: str) -> ModuleType:
    if name in _LAZY:
        return import_module(f"quantray.nn.intrinsic.{name}")
    text = f"module 'quantray.nn.intrinsic' has no attribute {name!r}{advice(name)}"
    raise AttributeError(text, name=name, obj=sys.modules[__name__])


def __dir__() -> list[str]:
    return sorted([*__all__, *_LAZY])
