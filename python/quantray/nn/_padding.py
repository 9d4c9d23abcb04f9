"""Modules that put elements around images."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

import numpy as np

from quantray.nn import functional as F
from quantray.nn._configured import Configured
from quantray.nn.functional._arguments import check_lengths

if TYPE_CHECKING:
    from collections.abc import Sequence

    from quantray._typing import Input, Tensor


class _Pad(Configured):
    _arguments = ("padding",)
    _dims: ClassVar[int]
    _mode: ClassVar[Literal["constant", "reflect", "replicate", "circular"]]
    value = 0.0

    def __init__(self, padding: int | Sequence[int]) -> None:
        super().__init__()
        several = (padding,) * (2 * self._dims) if isinstance(padding, int) else tuple(padding)
        if len(several) != 2 * self._dims or not all(
            isinstance(n, int)  # pyright: ignore[reportUnnecessaryIsInstance] # callers may give others
            for n in several
        ):
            raise ValueError(
                f"padding must be an integer or {2 * self._dims} of them, last axis first, got {padding!r}"
            )
        self.padding: tuple[int, ...] = several

    def forward(self, input: Input) -> Tensor:
        """Shape (N, C, lengths) or (C, lengths), to longer lengths."""
        check_lengths(np.shape(input), self._dims)
        return F.pad(input, self.padding, self._mode, self.value)

    def extra_repr(self) -> str:
        return str(self.padding)


class _ConstantPad(_Pad):
    _arguments = ("padding", "value")
    _mode = "constant"

    def __init__(self, padding: int | Sequence[int], value: float) -> None:
        super().__init__(padding)
        self.value = value

    def extra_repr(self) -> str:
        return f"padding={self.padding}, value={self.value}"


class ConstantPad1d(_ConstantPad):
    """`value` at both ends of each axis: for sequences, shape (N, C, L).

    >>> from quantray import nn
    >>> nn.ConstantPad1d(1, 9.0)([[1.0, 2.0, 3.0]]).ravel()
    array([9., 1., 2., 3., 9.], dtype=float32)

    Source: `torch.nn.ConstantPad1d`.
    """

    _dims = 1


class ConstantPad2d(_ConstantPad):
    """`value` at both ends of each axis: for images, shape (N, C, H, W).

    >>> from quantray import nn
    >>> nn.ConstantPad2d((1, 1, 0, 0), 9.0)([[[1.0, 2.0, 3.0]]]).ravel()
    array([9., 1., 2., 3., 9.], dtype=float32)

    Source: `torch.nn.ConstantPad2d`.
    """

    _dims = 2


class ConstantPad3d(_ConstantPad):
    """`value` at both ends of each axis: for volumes, shape (N, C, D, H, W).

    >>> from quantray import nn
    >>> nn.ConstantPad3d((1, 1, 0, 0, 0, 0), 9.0)([[[[1.0, 2.0, 3.0]]]]).ravel()
    array([9., 1., 2., 3., 9.], dtype=float32)

    Source: `torch.nn.ConstantPad3d`.
    """

    _dims = 3


class ZeroPad1d(_Pad):
    """Zeros at both ends of each axis: for sequences, shape (N, C, L).

    >>> from quantray import nn
    >>> nn.ZeroPad1d(1)([[1.0, 2.0, 3.0]]).ravel()
    array([0., 1., 2., 3., 0.], dtype=float32)

    Source: `torch.nn.ZeroPad1d`.
    """

    _dims = 1
    _mode = "constant"


class ZeroPad2d(_Pad):
    """Zeros at both ends of each axis: for images, shape (N, C, H, W).

    >>> from quantray import nn
    >>> nn.ZeroPad2d((1, 1, 0, 0))([[[1.0, 2.0, 3.0]]]).ravel()
    array([0., 1., 2., 3., 0.], dtype=float32)

    Source: `torch.nn.ZeroPad2d`.
    """

    _dims = 2
    _mode = "constant"


class ZeroPad3d(_Pad):
    """Zeros at both ends of each axis: for volumes, shape (N, C, D, H, W).

    >>> from quantray import nn
    >>> nn.ZeroPad3d((1, 1, 0, 0, 0, 0))([[[[1.0, 2.0, 3.0]]]]).ravel()
    array([0., 1., 2., 3., 0.], dtype=float32)

    Source: `torch.nn.ZeroPad3d`.
    """

    _dims = 3
    _mode = "constant"


class ReflectionPad1d(_Pad):
    """The image mirrored at its ends, which are not repeated: for sequences, shape (N, C, L).

    >>> from quantray import nn
    >>> nn.ReflectionPad1d(1)([[1.0, 2.0, 3.0]]).ravel()
    array([2., 1., 2., 3., 2.], dtype=float32)

    Source: `torch.nn.ReflectionPad1d`.
    """

    _dims = 1
    _mode = "reflect"


class ReflectionPad2d(_Pad):
    """The image mirrored at its ends, which are not repeated: for images, shape (N, C, H, W).

    >>> from quantray import nn
    >>> nn.ReflectionPad2d((1, 1, 0, 0))([[[1.0, 2.0, 3.0]]]).ravel()
    array([2., 1., 2., 3., 2.], dtype=float32)

    Source: `torch.nn.ReflectionPad2d`.
    """

    _dims = 2
    _mode = "reflect"


class ReflectionPad3d(_Pad):
    """The image mirrored at its ends, which are not repeated: for volumes, shape (N, C, D, H, W).

    >>> from quantray import nn
    >>> nn.ReflectionPad3d((1, 1, 0, 0, 0, 0))([[[[1.0, 2.0, 3.0]]]]).ravel()
    array([2., 1., 2., 3., 2.], dtype=float32)

    Source: `torch.nn.ReflectionPad3d`.
    """

    _dims = 3
    _mode = "reflect"


class ReplicationPad1d(_Pad):
    """The image's ends, repeated: for sequences, shape (N, C, L).

    >>> from quantray import nn
    >>> nn.ReplicationPad1d(1)([[1.0, 2.0, 3.0]]).ravel()
    array([1., 1., 2., 3., 3.], dtype=float32)

    Source: `torch.nn.ReplicationPad1d`.
    """

    _dims = 1
    _mode = "replicate"


class ReplicationPad2d(_Pad):
    """The image's ends, repeated: for images, shape (N, C, H, W).

    >>> from quantray import nn
    >>> nn.ReplicationPad2d((1, 1, 0, 0))([[[1.0, 2.0, 3.0]]]).ravel()
    array([1., 1., 2., 3., 3.], dtype=float32)

    Source: `torch.nn.ReplicationPad2d`.
    """

    _dims = 2
    _mode = "replicate"


class ReplicationPad3d(_Pad):
    """The image's ends, repeated: for volumes, shape (N, C, D, H, W).

    >>> from quantray import nn
    >>> nn.ReplicationPad3d((1, 1, 0, 0, 0, 0))([[[[1.0, 2.0, 3.0]]]]).ravel()
    array([1., 1., 2., 3., 3.], dtype=float32)

    Source: `torch.nn.ReplicationPad3d`.
    """

    _dims = 3
    _mode = "replicate"


class CircularPad1d(_Pad):
    """The image's other end: for sequences, shape (N, C, L).

    >>> from quantray import nn
    >>> nn.CircularPad1d(1)([[1.0, 2.0, 3.0]]).ravel()
    array([3., 1., 2., 3., 1.], dtype=float32)

    Source: `torch.nn.CircularPad1d`.
    """

    _dims = 1
    _mode = "circular"


class CircularPad2d(_Pad):
    """The image's other end: for images, shape (N, C, H, W).

    >>> from quantray import nn
    >>> nn.CircularPad2d((1, 1, 0, 0))([[[1.0, 2.0, 3.0]]]).ravel()
    array([3., 1., 2., 3., 1.], dtype=float32)

    Source: `torch.nn.CircularPad2d`.
    """

    _dims = 2
    _mode = "circular"


class CircularPad3d(_Pad):
    """The image's other end: for volumes, shape (N, C, D, H, W).

    >>> from quantray import nn
    >>> nn.CircularPad3d((1, 1, 0, 0, 0, 0))([[[[1.0, 2.0, 3.0]]]]).ravel()
    array([3., 1., 2., 3., 1.], dtype=float32)

    Source: `torch.nn.CircularPad3d`.
    """

    _dims = 3
    _mode = "circular"
