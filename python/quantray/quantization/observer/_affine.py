"""How many values share a scale: torch's granularities, and the base of observers that are told one.

Source: `torch.ao.quantization.observer`.
"""

from __future__ import annotations

import abc
import enum
from collections.abc import Sequence
from dataclasses import dataclass

from quantray._typing import Array, ArrayLike, QDType
from quantray.nn import Module
from quantray.quantization.observer._factory import Makes


class MappingType(enum.Enum):
    """How a range of values meets a range of codes.

    `SYMMETRIC`: 0 in the middle, by the larger side. `SYMMETRIC_NO_CLIPPING_ERR`: each side by its own codes,
    the larger of both scales. `ASYMMETRIC`: end to end.
    """

    SYMMETRIC = enum.auto()
    SYMMETRIC_NO_CLIPPING_ERR = enum.auto()
    ASYMMETRIC = enum.auto()


class ZeroPointDomain(enum.Enum):
    """Whether zero points are codes, floats, or not there."""

    INT = enum.auto()
    FLOAT = enum.auto()
    NONE = enum.auto()


class TorchAODType(enum.Enum):
    """Integers of 1 to 7 bits, by name."""

    INT1 = enum.auto()
    INT2 = enum.auto()
    INT3 = enum.auto()
    INT4 = enum.auto()
    INT5 = enum.auto()
    INT6 = enum.auto()
    INT7 = enum.auto()


@dataclass(frozen=True)
class Granularity:
    """How many values share a scale: the base of `PerTensor`, `PerAxis`, `PerGroup` and so on."""


@dataclass(frozen=True)
class PerTensor(Granularity):
    """One scale for all values."""


@dataclass(frozen=True)
class PerAxis(Granularity):
    """One scale for each index of an axis.

    Attributes
    ----------
    axis : int
    """

    axis: int


@dataclass(frozen=True)
class PerGroup(Granularity):
    """One scale for each group of so many values along the last of two axes.

    Attributes
    ----------
    group_size : int
    """

    group_size: int


@dataclass(frozen=True)
class PerBlock(Granularity):
    """One scale for each block of a shape.

    Attributes
    ----------
    block_size : tuple of int
        A length for each axis.
    """

    block_size: tuple[int, ...]


class PerRow(Granularity):
    """One scale for each row, along the last axis."""


class PerToken(Granularity):
    """One scale for each token: all values along the last axis."""


def get_block_size(input_shape: Sequence[int], granularity: Granularity) -> tuple[int, ...]:
    """The shape of the blocks that share a scale.

    Parameters
    ----------
    input_shape : tuple of int
    granularity : Granularity

    Raises
    ------
    TypeError, ValueError
        For no granularity, or one that the shape cannot have.

    >>> from quantray import quantization as tq
    >>> tq.get_block_size((8, 16), tq.PerGroup(4)), tq.get_block_size((8, 16), tq.PerAxis(0))
    ((1, 4), (1, 16))

    Source: `torch.ao.quantization.get_block_size`.
    """
    shape = tuple(input_shape)
    match granularity:
        case PerTensor():
            return shape
        case PerAxis():
            if not -len(shape) <= granularity.axis < len(shape):
                raise ValueError(
                    f"granularity must be of an axis from {-len(shape)} to {len(shape) - 1}, "
                    f"got {granularity.axis}"
                )
            axis = granularity.axis % len(shape)
            return tuple(1 if i == axis else n for i, n in enumerate(shape))
        case PerGroup():
            if len(shape) != 2:
                raise ValueError(f"input_shape must have 2 axes for PerGroup, got {shape}")
            return 1, granularity.group_size
        case PerBlock():
            if len(granularity.block_size) != len(shape):
                raise ValueError(
                    f"granularity must have a length for each of {len(shape)} axes, "
                    f"got {granularity.block_size}"
                )
            return tuple(granularity.block_size)
        case PerRow() | PerToken():
            return (*[1] * (len(shape) - 1), shape[-1])
        case _:
            raise TypeError(f"granularity must be a Granularity, got {granularity!r}")


class AffineQuantizedObserverBase(abc.ABC, Makes, Module):
    """Base of observers whose scales are for blocks of values: a subclass keeps what it needs to.

    It defines `forward(input)`, which looks at an array and returns it, and `calculate_qparams()`, which
    gives scales and zero points, one for each block.

    Parameters
    ----------
    mapping_type : MappingType
    target_dtype : dtype
    granularity : Granularity
    quant_min, quant_max : int, optional
        The codes.
    eps : float, optional
        The smallest scale.
    scale_dtype, zero_point_dtype : dtype, optional
    preserve_zero : bool
        Whether a code stands for 0.
    zero_point_domain : ZeroPointDomain, optional
    **kwargs
        Kept for nothing, as torch's are.

    Source: `torch.ao.quantization.observer.AffineQuantizedObserverBase`.
    """

    def __init__(
        self,
        mapping_type: MappingType,
        target_dtype: QDType,
        granularity: Granularity,
        quant_min: int | None = None,
        quant_max: int | None = None,
        eps: float | None = None,
        scale_dtype: QDType | None = None,
        zero_point_dtype: QDType | None = None,
        preserve_zero: bool = True,
        zero_point_domain: ZeroPointDomain | None = ZeroPointDomain.INT,
        **kwargs: object,
    ) -> None:
        super().__init__()
        if not isinstance(granularity, Granularity):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise TypeError(f"granularity must be a Granularity, got {granularity!r}")
        self.mapping_type, self.target_dtype, self.granularity = mapping_type, target_dtype, granularity
        self.quant_min, self.quant_max, self.eps = quant_min, quant_max, eps
        self.scale_dtype, self.zero_point_dtype = scale_dtype, zero_point_dtype
        self.preserve_zero, self.zero_point_domain = preserve_zero, zero_point_domain
        self.block_size: tuple[int, ...] | None = None
        self.original_dtype: QDType | None = None

    @abc.abstractmethod
    def forward(self, input: ArrayLike) -> ArrayLike:
        """Looks at an array, and returns it."""

    @abc.abstractmethod
    def calculate_qparams(self) -> tuple[Array, Array]:
        """Scales and zero points, one for each block."""
