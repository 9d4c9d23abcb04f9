"""Pooling as modules."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, ClassVar, SupportsIndex, TypeVar, cast

from quantray.nn import functional as F
from quantray.nn._configured import Configured

if TYPE_CHECKING:
    from quantray._typing import Input, PerAxis, Tensor
    from quantray.nn.functional._arguments import OutputSize


T = TypeVar("T")


class _Pool(Configured):
    """Pooling, whose settings are the function's arguments after the input."""

    _function: ClassVar[Callable[..., Tensor]]

    def forward(self, input: Input) -> Tensor:
        """Shape (N, C, lengths), or without N, to other lengths."""
        return type(self)._function(input, **{name: getattr(self, name) for name in self._arguments})


def _fixed(value: T) -> T | tuple[SupportsIndex, ...]:
    """One setting for all axes, or a tuple of those for each."""
    return tuple(cast("list[SupportsIndex]", value)) if isinstance(value, list) else value


class _MaxPool(_Pool):
    _arguments = ("kernel_size", "stride", "padding", "dilation", "ceil_mode")

    def __init__(
        self,
        kernel_size: PerAxis,
        stride: PerAxis | None = None,
        padding: PerAxis = 0,
        dilation: PerAxis = 1,
        ceil_mode: bool = False,
    ) -> None:
        super().__init__()
        self.kernel_size = _fixed(kernel_size)
        self.stride = self.kernel_size if stride is None else _fixed(stride)
        self.padding, self.dilation, self.ceil_mode = _fixed(padding), _fixed(dilation), ceil_mode

    def extra_repr(self) -> str:
        return ", ".join(f"{name}={getattr(self, name)}" for name in self._arguments)


class _AvgPool(_Pool):
    _arguments = ("kernel_size", "stride", "padding", "ceil_mode", "count_include_pad", "divisor_override")

    def __init__(
        self,
        kernel_size: PerAxis,
        stride: PerAxis | None = None,
        padding: PerAxis = 0,
        ceil_mode: bool = False,
        count_include_pad: bool = True,
        divisor_override: int | None = None,
    ) -> None:
        super().__init__()
        self.kernel_size = _fixed(kernel_size)
        self.stride = self.kernel_size if stride is None else _fixed(stride)
        self.padding, self.ceil_mode = _fixed(padding), ceil_mode
        self.count_include_pad, self.divisor_override = count_include_pad, divisor_override

    def extra_repr(self) -> str:
        return ", ".join(f"{name}={getattr(self, name)}" for name in self._arguments[:3])


class _AdaptivePool(_Pool):
    _arguments = ("output_size",)

    def __init__(self, output_size: OutputSize) -> None:
        super().__init__()
        self.output_size = _fixed(output_size)

    def extra_repr(self) -> str:
        return f"output_size={self.output_size}"


class MaxPool1d(_MaxPool):
    """The maximum of each window of sequences.

    Arguments are those of `nn.functional.max_pool1d`.

    >>> import numpy as np
    >>> from quantray import nn
    >>> nn.MaxPool1d(3)(np.zeros((1, 2, 9))).shape
    (1, 2, 3)

    Source: `torch.nn.MaxPool1d`.
    """

    _function = F.max_pool1d


class MaxPool2d(_MaxPool):
    """The maximum of each window of images.

    Arguments are those of `nn.functional.max_pool2d`.

    >>> import numpy as np
    >>> from quantray import nn
    >>> nn.MaxPool2d(3)(np.zeros((1, 2, 9, 9))).shape
    (1, 2, 3, 3)

    Source: `torch.nn.MaxPool2d`.
    """

    _function = F.max_pool2d


class MaxPool3d(_MaxPool):
    """The maximum of each window of volumes.

    Arguments are those of `nn.functional.max_pool3d`.

    >>> import numpy as np
    >>> from quantray import nn
    >>> nn.MaxPool3d(3)(np.zeros((1, 2, 4, 4, 4))).shape
    (1, 2, 1, 1, 1)

    Source: `torch.nn.MaxPool3d`.
    """

    _function = F.max_pool3d


class AvgPool1d(_AvgPool):
    """The mean of each window of sequences.

    Arguments are those of `nn.functional.avg_pool1d`.

    >>> import numpy as np
    >>> from quantray import nn
    >>> nn.AvgPool1d(3)(np.zeros((1, 2, 9))).shape
    (1, 2, 3)

    Source: `torch.nn.AvgPool1d`.
    """

    _function = F.avg_pool1d


class AvgPool2d(_AvgPool):
    """The mean of each window of images.

    Arguments are those of `nn.functional.avg_pool2d`.

    >>> import numpy as np
    >>> from quantray import nn
    >>> nn.AvgPool2d(3)(np.zeros((1, 2, 9, 9))).shape
    (1, 2, 3, 3)

    Source: `torch.nn.AvgPool2d`.
    """

    _function = F.avg_pool2d


class AvgPool3d(_AvgPool):
    """The mean of each window of volumes.

    Arguments are those of `nn.functional.avg_pool3d`.

    >>> import numpy as np
    >>> from quantray import nn
    >>> nn.AvgPool3d(3)(np.zeros((1, 2, 4, 4, 4))).shape
    (1, 2, 1, 1, 1)

    Source: `torch.nn.AvgPool3d`.
    """

    _function = F.avg_pool3d


class AdaptiveMaxPool1d(_AdaptivePool):
    """As many maxima of windows as are wanted, of sequences.

    Arguments are those of `nn.functional.adaptive_max_pool1d`.

    >>> import numpy as np
    >>> from quantray import nn
    >>> nn.AdaptiveMaxPool1d(2)(np.zeros((1, 2, 9))).shape
    (1, 2, 2)

    Source: `torch.nn.AdaptiveMaxPool1d`.
    """

    _function = F.adaptive_max_pool1d


class AdaptiveMaxPool2d(_AdaptivePool):
    """As many maxima of windows as are wanted, of images.

    Arguments are those of `nn.functional.adaptive_max_pool2d`.

    >>> import numpy as np
    >>> from quantray import nn
    >>> nn.AdaptiveMaxPool2d(2)(np.zeros((1, 2, 9, 9))).shape
    (1, 2, 2, 2)

    Source: `torch.nn.AdaptiveMaxPool2d`.
    """

    _function = F.adaptive_max_pool2d


class AdaptiveMaxPool3d(_AdaptivePool):
    """As many maxima of windows as are wanted, of volumes.

    Arguments are those of `nn.functional.adaptive_max_pool3d`.

    >>> import numpy as np
    >>> from quantray import nn
    >>> nn.AdaptiveMaxPool3d(2)(np.zeros((1, 2, 4, 4, 4))).shape
    (1, 2, 2, 2, 2)

    Source: `torch.nn.AdaptiveMaxPool3d`.
    """

    _function = F.adaptive_max_pool3d


class AdaptiveAvgPool1d(_AdaptivePool):
    """As many means of windows as are wanted, of sequences.

    Arguments are those of `nn.functional.adaptive_avg_pool1d`.

    >>> import numpy as np
    >>> from quantray import nn
    >>> nn.AdaptiveAvgPool1d(2)(np.zeros((1, 2, 9))).shape
    (1, 2, 2)

    Source: `torch.nn.AdaptiveAvgPool1d`.
    """

    _function = F.adaptive_avg_pool1d


class AdaptiveAvgPool2d(_AdaptivePool):
    """As many means of windows as are wanted, of images.

    Arguments are those of `nn.functional.adaptive_avg_pool2d`.

    >>> import numpy as np
    >>> from quantray import nn
    >>> nn.AdaptiveAvgPool2d(2)(np.zeros((1, 2, 9, 9))).shape
    (1, 2, 2, 2)

    Source: `torch.nn.AdaptiveAvgPool2d`.
    """

    _function = F.adaptive_avg_pool2d


class AdaptiveAvgPool3d(_AdaptivePool):
    """As many means of windows as are wanted, of volumes.

    Arguments are those of `nn.functional.adaptive_avg_pool3d`.

    >>> import numpy as np
    >>> from quantray import nn
    >>> nn.AdaptiveAvgPool3d(2)(np.zeros((1, 2, 4, 4, 4))).shape
    (1, 2, 2, 2, 2)

    Source: `torch.nn.AdaptiveAvgPool3d`.
    """

    _function = F.adaptive_avg_pool3d
