"""Fused modules: several layers that integers compute as one. `quantization.fuse_modules` makes them.

Source: `torch.ao.nn.intrinsic`.
"""

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
from quantray.nn.intrinsic._sums import Add, AddReLU

__all__ = [
    "Add",
    "AddReLU",
    "BNReLU2d",
    "BNReLU3d",
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
    "LinearReLU",
]
