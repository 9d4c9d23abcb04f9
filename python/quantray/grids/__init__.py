"""Grids: what codes stand for. Integers of 1 to 16 bits, powers of two, codebooks, and grids of one's own.

A grid says which numbers there are, next to a scale; blocks of a tensor have a scale each.
`quantize_per_group` makes a `BlockTensor` of both, whose codes lie packed in memory.

A grid of one's own is a class with these four, and nothing else:

- `bits`: how many bits a code has, from 1 to 16;
- `largest`: the largest magnitude that a code stands for: what the largest value of a block becomes;
- `encode(x, rounding)`: codes from 0 to `2**bits - 1` of float32 values divided by their scale; `rounding` is
  a function from floats to whole floats;
- `decode(codes)`: what codes stand for, as float32.

>>> import numpy as np, quantray as qt
>>> class Signs:
...     bits, largest = 1, 1.0
...     def encode(self, x, rounding):
...         return x >= 0
...     def decode(self, codes):
...         return np.where(codes, 1, -1)
>>> qt.quantize_per_group([[0.5, -2.0, 1.0, 1.0]], 2, grid=Signs()).tolist()
[[2.0, -2.0, 1.0, 1.0]]
"""

from quantray.grids._codebook import Codebook, PowerOfTwo, nf4
from quantray.grids._fake import fake_quantize, quantize
from quantray.grids._grid import Grid, check_grid, named_grid
from quantray.grids._integers import (
    Integers,
    int2,
    int3,
    int4,
    int8,
    int16,
    uint2,
    uint3,
    uint4,
    uint8,
    uint16,
)
from quantray.grids._rounding import Stochastic, rounding_function
from quantray.grids._tensor import BlockTensor, make_per_group_quantized_tensor, quantize_per_group

__all__ = [
    "BlockTensor",
    "Codebook",
    "Grid",
    "Integers",
    "PowerOfTwo",
    "Stochastic",
    "check_grid",
    "fake_quantize",
    "int2",
    "int3",
    "int4",
    "int8",
    "int16",
    "make_per_group_quantized_tensor",
    "named_grid",
    "nf4",
    "quantize",
    "quantize_per_group",
    "rounding_function",
    "uint2",
    "uint3",
    "uint4",
    "uint8",
    "uint16",
]
