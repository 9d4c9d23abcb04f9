"""Tensors of which blocks have a scale each, and whose codes lie packed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias, TypeVar

import numpy as np
from numpy.typing import NDArray

from quantray._typing import Array, ArrayLike, DType, Floats, Rounding
from quantray.grids._grid import Grid, checked_codes, named_grid
from quantray.grids._integers import Integers
from quantray.grids._packing import packed, packed_size, unpacked
from quantray.grids._rounding import rounding_function

S = TypeVar("S", bound=np.generic)
#: Scales, and zero points where there are some.
QParams: TypeAlias = tuple[Floats, NDArray[np.int32] | None]

_EPS = np.float32(np.finfo(np.float32).eps)


def block_shape(shape: Sequence[int], block: int | Sequence[int], axis: int = -1) -> tuple[int, ...]:
    """The shape of the blocks: of a length along one axis, or of one along each.

    Raises
    ------
    ValueError, TypeError
        For lengths below 1, or not as many of them as axes, or an axis that is not there.
    """
    lengths = tuple(shape)
    if not lengths:
        raise ValueError("input must have at least one axis, got a number")
    made: list[int]
    if isinstance(block, (int, np.integer)) and not isinstance(block, bool):
        if not -len(lengths) <= axis < len(lengths):
            raise ValueError(f"axis must be from {-len(lengths)} to {len(lengths) - 1}, got {axis!r}")
        made = [1] * len(lengths)
        made[axis] = int(block)
    elif isinstance(block, (tuple, list)):
        made = [*block]
        if len(made) != len(lengths):
            raise ValueError(f"group_size must have a length for each of {len(lengths)} axes, got {block!r}")
    else:
        raise TypeError(f"group_size must be a whole number, or one for each axis, got {block!r}")
    for n in made:
        if isinstance(n, bool) or not isinstance(n, (int, np.integer)) or n < 1:  # pyright: ignore
            raise ValueError(f"group_size must be at least 1, got {block!r}")
    return tuple(min(int(n), max(m, 1)) for n, m in zip(made, lengths, strict=True))


def spread(values: NDArray[S], block: Sequence[int], shape: Sequence[int]) -> NDArray[S]:
    """One value of each block, for each element."""
    for axis, (n, length) in enumerate(zip(block, shape, strict=True)):
        if n > 1:
            values = np.repeat(values, n, axis)
        values = values[(*[slice(None)] * axis, slice(length))]
    return values


def _reduced(function: np.ufunc, x: Array, block: Sequence[int]) -> Array:
    """A function of each block."""
    for axis, n in enumerate(block):
        length: int = x.shape[axis]
        if n > 1 and length:
            x = function.reduceat(x, np.arange(0, length, n), axis)
    return x


class BlockTensor:
    """A quantized array of which each block has a scale, and maybe a zero point.

    Made by `quantize_per_group` and `make_per_group_quantized_tensor`. NumPy's functions see its values.

    Attributes
    ----------
    shape : tuple of int
    grid : Grid
    block : tuple of int
        Lengths of the blocks; the last ones along an axis may be shorter.
    scales : array of float32
        One for each block.
    zero_points : array of int32, or None
        The same.
    data : array of uint8
        The codes, packed.

    >>> import numpy as np, quantray as qt
    >>> q = qt.quantize_per_group(np.float32([[0.5, 3.75, -30, 8]]), 2, grid="int4")
    >>> q
    BlockTensor([[  0.5,   3.5, -32. ,   8. ]], size=(1, 4), grid=int4, block=(1, 2))
    >>> q.nbytes, q.scales.tolist()
    (10, [[0.5, 4.0]])
    """

    __array_priority__ = 20

    def __init__(
        self,
        data: NDArray[np.uint8],
        shape: tuple[int, ...],
        grid: Grid,
        block: tuple[int, ...],
        scales: Floats,
        zero_points: NDArray[np.int32] | None,
    ) -> None:
        self.data, self.shape, self.grid, self.block = data, shape, grid, block
        self.scales, self.zero_points = scales, zero_points

    @property
    def ndim(self) -> int:
        """How many axes there are."""
        return len(self.shape)

    @property
    def size(self) -> int:
        """How many elements there are."""
        return int(np.prod(self.shape, dtype=np.int64))

    @property
    def dtype(self) -> Grid:
        """The grid."""
        return self.grid

    @property
    def nbytes(self) -> int:
        """Bytes of codes, scales and zero points."""
        more = 0 if self.zero_points is None else self.zero_points.nbytes
        return self.data.nbytes + self.scales.nbytes + more

    def codes(self) -> NDArray[np.uint16]:
        """The codes as the grid has them, from 0, as uint16."""
        return unpacked(self.data, self.grid.bits, self.size).reshape(self.shape)

    def int_repr(self) -> Array:
        """The integers of a grid of integers, each in bytes of its own; of another grid, its codes."""
        codes = self.codes()
        if not isinstance(self.grid, Integers):
            return codes
        return (codes.astype(np.int32) + self.grid.qmin).astype(self.grid.numpy_dtype)

    def dequantize(self) -> Floats:
        """The values, float32: scales times what codes stand for, less the zero point."""
        values = np.asarray(self.grid.decode(self.codes()), np.float32)
        if self.zero_points is not None:
            values = values - spread(self.zero_points, self.block, self.shape).astype(np.float32)
        return values * spread(self.scales, self.block, self.shape)

    def tolist(self) -> list[object]:
        """The values as lists."""
        return self.dequantize().tolist()

    def __array__(self, dtype: DType | None = None, copy: bool | None = None) -> Array:
        if copy is False:
            raise ValueError("copy must not be False: values are computed from codes")
        made = self.dequantize()
        return made if dtype is None else made.astype(dtype)

    def __len__(self) -> int:
        return self.shape[0]

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, BlockTensor):
            return NotImplemented
        mine, theirs = self.zero_points, other.zero_points
        return (
            (self.shape, self.block, self.grid) == (other.shape, other.block, other.grid)
            and np.array_equal(self.data, other.data)
            and np.array_equal(self.scales, other.scales)
            and (mine is theirs or (mine is not None and theirs is not None and np.array_equal(mine, theirs)))
        )

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        values = np.array2string(self.dequantize(), separator=", ", prefix="BlockTensor(", threshold=100)
        return f"BlockTensor({values}, size={self.shape}, grid={self.grid!r}, block={self.block})"


def _checked(input: ArrayLike) -> Floats:
    try:
        x = np.asarray(input, np.float32)
    except (TypeError, ValueError):
        raise TypeError(f"input must be an array of numbers, got {type(input).__name__}") from None
    if np.isnan(x).any():
        at = tuple(int(i) for i in np.argwhere(np.isnan(x))[0])
        raise ValueError(f"input must not hold NaN, got {int(np.isnan(x).sum())}, the first at {at}")
    return x


def _qparams(x: Floats, block: tuple[int, ...], grid: Grid, symmetric: bool) -> QParams:
    """Scales and zero points that hold each block's range."""
    finite = np.where(np.isfinite(x), x, np.float32(0))
    low = np.minimum(_reduced(np.minimum, finite, block), np.float32(0))
    high = np.maximum(_reduced(np.maximum, finite, block), np.float32(0))
    if symmetric or not isinstance(grid, Integers):
        scales = np.maximum(-low, high) / np.float32(grid.largest)
        return np.where(scales < _EPS, np.where(scales > 0, _EPS, np.float32(1)), scales), None
    from quantray import _core
    from quantray.quantization.observer import qparams

    kind = _core.qint32 if grid.bits > 8 else _core.qint8 if grid.is_signed else _core.quint8
    found = qparams(
        low.ravel(),
        high.ravel(),
        dtype=kind,
        qscheme=_core.per_channel_affine,
        quant_min=grid.qmin,
        quant_max=grid.qmax,
        customized=True,
    )
    return found[0].reshape(low.shape), found[1].reshape(low.shape).astype(np.int32)


def _as_it_is(values: Array) -> Array:
    """What is rounded already."""
    return values


def quantize_per_group(
    input: ArrayLike,
    group_size: int | Sequence[int],
    axis: int = -1,
    grid: Grid | str = "int4",
    *,
    symmetric: bool = True,
    scales: ArrayLike | None = None,
    zero_points: ArrayLike | None = None,
    rounding: Rounding = "nearest",
) -> BlockTensor:
    """Quantizes blocks of an array, each with a scale of its own.

    Parameters
    ----------
    input : array
        Of at least one axis; rounded to float32 first. NaN raises, infinities saturate.
    group_size : int or sequence of int
        How many elements along `axis` share a scale, or the lengths of the blocks along each axis.
    axis : int
        Counted from the end where negative.
    grid : Grid or str
        "int1" to "int16", "uint1" to "uint16", "nf4", "pow2_2" to "pow2_8", or a grid of your own.
    symmetric : bool
        Whether there are no zero points; without effect on grids that are not of integers.
    scales, zero_points : array, optional
        Of the shape of the blocks' array; by default made for each block's range, as observers make them.
    rounding : str or callable
        See `quantray.grids.rounding_function`.

    Returns
    -------
    BlockTensor

    Raises
    ------
    ValueError, TypeError
        For what is no grid (it names what is missing), NaN, and shapes that do not fit.

    >>> import numpy as np, quantray as qt
    >>> x = np.float32([[0.0, 1.0, 2.0, 3.0], [0.0, 10.0, 20.0, 30.0]])
    >>> q = qt.quantize_per_group(x, 4, grid="uint4", symmetric=False)
    >>> q.int_repr().tolist(), q.scales.tolist()
    ([[0, 5, 10, 15], [0, 5, 10, 15]], [[0.20000000298023224], [2.0]])
    >>> qt.quantize_per_group(x, (2, 2), grid="int8").scales.shape
    (1, 2)

    Source: Frantar et al., GPTQ (2022), 4; ONNX's blocked QuantizeLinear.
    """
    chosen = named_grid(grid)
    x = _checked(input)
    block = block_shape(x.shape, group_size, axis)
    if scales is None:
        if zero_points is not None:
            raise ValueError("zero_points must be given with scales, got zero_points alone")
        made_scales, made_zeros = _qparams(x, block, chosen, symmetric)
    else:
        made_scales, made_zeros = _given(scales, zero_points, x.shape, block, chosen)
    scaled = x * spread(np.float32(1) / made_scales, block, x.shape)
    how = rounding_function(rounding)
    # Beyond all codes, and finite: functions of rounding need not know of infinities.
    scaled = np.clip(scaled, np.float32(-(2**20)), np.float32(2**20))
    if made_zeros is None:
        codes = chosen.encode(scaled, how)
    else:
        shifted = how(scaled) + spread(made_zeros, block, x.shape).astype(np.float32)
        codes = chosen.encode(shifted, _as_it_is)
    codes = checked_codes(chosen, codes, x.shape)
    return BlockTensor(packed(codes, chosen.bits), x.shape, chosen, block, made_scales, made_zeros)


def _given(
    scales: ArrayLike,
    zero_points: ArrayLike | None,
    shape: tuple[int, ...],
    block: tuple[int, ...],
    grid: Grid,
) -> QParams:
    """Scales and zero points of the right shape and range."""
    wanted = tuple(-(-m // n) for m, n in zip(shape, block, strict=True))
    found = np.asarray(scales, np.float32)
    if found.shape != wanted:
        raise ValueError(f"scales must be of shape {wanted} for blocks of {block}, got {found.shape}")
    with np.errstate(all="ignore"):
        if not (np.isfinite(found) & (found > 0) & np.isfinite(np.float32(1) / found)).all():
            raise ValueError("scales must be positive finite float32 numbers")
    if zero_points is None:
        return found, None
    if not isinstance(grid, Integers):
        raise ValueError(f"zero_points must be None for {grid!r}, which is not of integers")
    zeros = np.asarray(zero_points)
    if zeros.shape != wanted:
        raise ValueError(f"zero_points must be of shape {wanted} for blocks of {block}, got {zeros.shape}")
    if zeros.size and (np.any(zeros != np.rint(zeros)) or zeros.min() < grid.qmin or zeros.max() > grid.qmax):
        raise ValueError(f"zero_points must be whole numbers from {grid.qmin} to {grid.qmax} for {grid!r}")
    return found, zeros.astype(np.int32)


def make_per_group_quantized_tensor(
    codes: ArrayLike,
    scales: ArrayLike,
    zero_points: ArrayLike | None = None,
    group_size: int | Sequence[int] = 32,
    axis: int = -1,
    grid: Grid | str = "int4",
) -> BlockTensor:
    """A tensor of integers that exist: a checkpoint's, an ONNX file's.

    Parameters
    ----------
    codes : array of int
        What `int_repr` gives: of integer grids from `qmin` to `qmax`, of others from 0.
    scales, zero_points : array
        One for each block.
    group_size, axis, grid
        As for `quantize_per_group`.

    >>> import quantray as qt
    >>> qt.make_per_group_quantized_tensor([[1, -2, 3, 4]], [[0.5, 2.0]], None, 2).tolist()
    [[0.5, -1.0, 6.0, 8.0]]
    """
    chosen, found = named_grid(grid), np.asarray(codes)
    if found.dtype.kind not in "iu":
        raise TypeError(f"codes must be integers, got dtype {found.dtype}")
    block = block_shape(found.shape, group_size, axis)
    made_scales, made_zeros = _given(scales, zero_points, found.shape, block, chosen)
    least = chosen.qmin if isinstance(chosen, Integers) else 0
    most = least + 2**chosen.bits - 1
    if found.size and not least <= found.min() <= found.max() <= most:
        raise ValueError(
            f"codes must be from {least} to {most} for {chosen!r}, got {found.min()} to {found.max()}"
        )
    raw = (found.astype(np.int32) - least).astype(np.uint16)
    return BlockTensor(packed(raw, chosen.bits), found.shape, chosen, block, made_scales, made_zeros)


def of_packed(
    data: ArrayLike,
    shape: Sequence[int],
    grid: Grid | str,
    block: Sequence[int],
    scales: ArrayLike,
    zero_points: ArrayLike | None,
) -> BlockTensor:
    """A tensor of bytes, as files have them; sizes are checked."""
    chosen, lengths = named_grid(grid), tuple(shape)
    size = packed_size(int(np.prod(lengths, dtype=np.int64)), chosen.bits)
    bytes_ = np.asarray(data)
    if bytes_.dtype != np.uint8 or bytes_.shape != (size,):
        raise ValueError(f"data must be {size} bytes, got shape {bytes_.shape} of dtype {bytes_.dtype}")
    found = block_shape(lengths, tuple(block))
    return BlockTensor(bytes_, lengths, chosen, found, *_given(scales, zero_points, lengths, found, chosen))
