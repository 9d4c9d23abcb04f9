"""Modules that move values."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, TypeVar

from quantray.nn import functional as F
from quantray.nn._configured import Configured

if TYPE_CHECKING:
    from quantray._typing import Input, PerAxis, Tensor
    from quantray.nn.functional._arguments import Factors


T = TypeVar("T")


class Identity(Configured):
    """The input as it is, whatever the arguments.

    >>> from quantray import nn
    >>> nn.Identity(54, unused=True)([1.0])
    [1.0]

    Source: `torch.nn.Identity`.
    """

    def __init__(self, *args: object, **kwargs: object) -> None:
        super().__init__()

    def forward(self, input: T) -> T:
        """The input."""
        return input


class Flatten(Configured):
    """Some axes as one: by default all but the first.

    >>> import numpy as np
    >>> from quantray import nn
    >>> nn.Flatten()(np.zeros((2, 3, 4))).shape
    (2, 12)

    Source: `torch.nn.Flatten`.
    """

    _arguments = ("start_dim", "end_dim")

    def __init__(self, start_dim: int = 1, end_dim: int = -1) -> None:
        super().__init__()
        self.start_dim, self.end_dim = start_dim, end_dim

    def forward(self, input: Input) -> Tensor:
        """Of any shape."""
        return F.flatten(input, self.start_dim, self.end_dim)

    def extra_repr(self) -> str:
        return f"start_dim={self.start_dim}, end_dim={self.end_dim}"


class Unflatten(Configured):
    """One axis as several.

    >>> import numpy as np
    >>> from quantray import nn
    >>> nn.Unflatten(1, (3, 4))(np.zeros((2, 12))).shape
    (2, 3, 4)

    Source: `torch.nn.Unflatten`.
    """

    _arguments = ("dim", "unflattened_size")

    def __init__(self, dim: int, unflattened_size: Sequence[int]) -> None:
        super().__init__()
        self.dim, self.unflattened_size = dim, tuple(unflattened_size)

    def forward(self, input: Input) -> Tensor:
        """Of any shape whose axis has as many elements."""
        return F.unflatten(input, self.dim, self.unflattened_size)

    def extra_repr(self) -> str:
        return f"dim={self.dim}, unflattened_size={self.unflattened_size}"


class Upsample(Configured):
    """Images of another size; arguments as for `nn.functional.interpolate`.

    >>> from quantray import nn
    >>> nn.Upsample(scale_factor=2)([[[1.0, 2.0]]])
    array([[[1., 1., 2., 2.]]], dtype=float32)

    Source: `torch.nn.Upsample`.
    """

    _arguments = ("size", "scale_factor", "mode", "align_corners")

    def __init__(
        self,
        size: PerAxis | None = None,
        scale_factor: Factors | None = None,
        mode: str = "nearest",
        align_corners: bool | None = None,
    ) -> None:
        super().__init__()
        self.size, self.scale_factor = size, scale_factor
        self.mode, self.align_corners = mode, align_corners

    def forward(self, input: Input) -> Tensor:
        """Shape (N, C, lengths) to other lengths."""
        return F.interpolate(input, self.size, self.scale_factor, self.mode, self.align_corners)

    def extra_repr(self) -> str:
        name = "size" if self.scale_factor is None else "scale_factor"
        return f"{name}={getattr(self, name)}, mode={self.mode!r}"


class UpsamplingNearest2d(Upsample):
    """Larger images, each pixel the nearest one.

    >>> from quantray import nn
    >>> nn.UpsamplingNearest2d(scale_factor=2)([[[[1.0, 2.0]]]]).ravel()
    array([1., 1., 2., 2., 1., 1., 2., 2.], dtype=float32)

    Source: `torch.nn.UpsamplingNearest2d`.
    """

    _arguments = ("size", "scale_factor")

    def __init__(self, size: PerAxis | None = None, scale_factor: Factors | None = None) -> None:
        super().__init__(size, scale_factor, "nearest")


class UpsamplingBilinear2d(Upsample):
    """Larger images, each pixel between its four neighbours, corners on corners.

    >>> from quantray import nn
    >>> nn.UpsamplingBilinear2d(size=(1, 3))([[[[1.0, 2.0]]]]).ravel()
    array([1. , 1.5, 2. ], dtype=float32)

    Source: `torch.nn.UpsamplingBilinear2d`.
    """

    _arguments = ("size", "scale_factor")

    def __init__(self, size: PerAxis | None = None, scale_factor: Factors | None = None) -> None:
        super().__init__(size, scale_factor, "bilinear", True)


class PixelShuffle(Configured):
    """Channels become pixels: shape (..., C * r**2, H, W) becomes (..., C, H * r, W * r).

    >>> import numpy as np
    >>> from quantray import nn
    >>> nn.PixelShuffle(2)(np.zeros((1, 8, 3, 3))).shape
    (1, 2, 6, 6)

    Source: `torch.nn.PixelShuffle`; arXiv:1609.05158.
    """

    _arguments = ("upscale_factor",)

    def __init__(self, upscale_factor: int) -> None:
        super().__init__()
        self.upscale_factor = upscale_factor

    def forward(self, input: Input) -> Tensor:
        """Of at least three axes."""
        return F.pixel_shuffle(input, self.upscale_factor)

    def extra_repr(self) -> str:
        return f"upscale_factor={self.upscale_factor}"


class PixelUnshuffle(Configured):
    """Pixels become channels: shape (..., C, H * r, W * r) becomes (..., C * r**2, H, W).

    >>> import numpy as np
    >>> from quantray import nn
    >>> nn.PixelUnshuffle(2)(np.zeros((1, 2, 6, 6))).shape
    (1, 8, 3, 3)

    Source: `torch.nn.PixelUnshuffle`.
    """

    _arguments = ("downscale_factor",)

    def __init__(self, downscale_factor: int) -> None:
        super().__init__()
        self.downscale_factor = downscale_factor

    def forward(self, input: Input) -> Tensor:
        """Of at least three axes."""
        return F.pixel_unshuffle(input, self.downscale_factor)

    def extra_repr(self) -> str:
        return f"downscale_factor={self.downscale_factor}"


class ChannelShuffle(Configured):
    """Channels in another order: the first of each group, then the second of each, and so on.

    >>> import numpy as np
    >>> from quantray import nn
    >>> nn.ChannelShuffle(2)(np.arange(4).reshape(1, 4, 1)).ravel()
    array([0., 2., 1., 3.], dtype=float32)

    Source: `torch.nn.ChannelShuffle`.
    """

    _arguments = ("groups",)

    def __init__(self, groups: int) -> None:
        super().__init__()
        self.groups = groups

    def forward(self, input: Input) -> Tensor:
        """Shape (N, C, lengths)."""
        return F.channel_shuffle(input, self.groups)

    def extra_repr(self) -> str:
        return f"groups={self.groups}"
