"""Convolutions."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Literal, cast

import numpy as np

from quantray.nn import _init
from quantray.nn import functional as F
from quantray.nn._factory import check_sizes
from quantray.nn._module import Module
from quantray.nn._registry import Parameter
from quantray.nn.functional._arguments import per_axis
from quantray.nn.functional._conv_transpose import transposed_lengths

if TYPE_CHECKING:
    from quantray._typing import Array, Config, Floats, Input, PerAxis

    PaddingMode = Literal["zeros", "reflect", "replicate", "circular"]


class Geometry(Module):
    """What convolutions of floats and of integers, transposed or not, have in common: all but the weight."""

    _dims: ClassVar[int]
    _modes: ClassVar[tuple[str, ...]] = ("zeros", "reflect", "replicate", "circular")
    transposed: ClassVar[bool] = False

    in_channels: int
    out_channels: int
    kernel_size: tuple[int, ...]
    stride: tuple[int, ...]
    padding: tuple[int, ...] | str
    dilation: tuple[int, ...]
    output_padding: tuple[int, ...]
    groups: int
    padding_mode: str

    def _set(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: PerAxis,
        stride: PerAxis,
        padding: PerAxis | str,
        dilation: PerAxis,
        output_padding: PerAxis,
        groups: int,
        padding_mode: str,
    ) -> None:
        """Takes the settings, checked."""
        dims = self._dims
        check_sizes(in_channels=in_channels, out_channels=out_channels, groups=groups)
        for name, size in (("in_channels", in_channels), ("out_channels", out_channels)):
            if size % groups:
                raise ValueError(f"{name} must be a multiple of groups, {groups}, got {size}")
        if padding_mode not in self._modes:
            names = ", ".join(map(repr, self._modes))
            raise ValueError(f"padding_mode must be one of {names}, got {padding_mode!r}")
        if isinstance(padding, str) and padding not in ("same", "valid"):
            raise ValueError(f'padding must be integers, "same" or "valid", got {padding!r}')
        self.in_channels, self.out_channels, self.groups = in_channels, out_channels, groups
        self.kernel_size = per_axis(kernel_size, dims, "kernel_size")
        self.stride, self.dilation = per_axis(stride, dims, "stride"), per_axis(dilation, dims, "dilation")
        self.padding = padding if isinstance(padding, str) else per_axis(padding, dims, "padding", 0)
        if padding == "same" and max(self.stride) > 1:
            raise ValueError(f'padding "same" must go with a stride of 1, got {stride}')
        self.output_padding = per_axis(output_padding, dims, "output_padding", 0)
        self.padding_mode = padding_mode

    @property
    def _weight_shape(self) -> tuple[int, ...]:
        channels = (self.out_channels, self.in_channels)
        first, second = reversed(channels) if self.transposed else channels
        return (first, second // self.groups, *self.kernel_size)

    @property
    def _has_bias(self) -> bool:
        raise NotImplementedError

    def _sides(self) -> list[int]:
        """What is added before and after each axis, the last axis first, as `pad` has it."""
        sides: list[int] = []
        for i in reversed(range(self._dims)):
            if isinstance(self.padding, str):
                reach = self.dilation[i] * (self.kernel_size[i] - 1) if self.padding == "same" else 0
                sides += [reach // 2, reach - reach // 2]
            else:
                sides += [self.padding[i]] * 2
        return sides

    def _more(self, shape: Sequence[int], output_size: Sequence[int]) -> tuple[int, ...]:
        """The output padding that makes an output of these lengths of an input of this shape."""
        dims, wanted = self._dims, tuple(output_size)[-self._dims :]
        # Transposed convolutions have numbers alone.
        pads = per_axis(cast("PerAxis", self.padding), dims, "padding", 0)
        least = transposed_lengths(
            shape[-dims:], self.kernel_size, self.stride, pads, (0,) * dims, self.dilation
        )
        most = [n + s - 1 for n, s in zip(least, self.stride, strict=True)]
        if len(wanted) != dims or any(not a <= n <= b for a, n, b in zip(least, wanted, most, strict=True)):
            raise ValueError(f"output_size must be from {least} to {tuple(most)}, got {tuple(output_size)}")
        return tuple(n - a for n, a in zip(wanted, least, strict=True))

    def extra_repr(self) -> str:
        dims = self._dims
        parts = [str(self.in_channels), str(self.out_channels)]
        parts += [f"kernel_size={self.kernel_size}", f"stride={self.stride}"]
        if self.padding != (0,) * dims:
            parts.append(f"padding={self.padding}")
        if self.dilation != (1,) * dims:
            parts.append(f"dilation={self.dilation}")
        if self.output_padding != (0,) * dims:
            parts.append(f"output_padding={self.output_padding}")
        if self.groups != 1:
            parts.append(f"groups={self.groups}")
        if not self._has_bias:
            parts.append("bias=False")
        if self.padding_mode != "zeros":
            parts.append(f"padding_mode={self.padding_mode}")
        return ", ".join(parts)

    def _config(self) -> Config:
        names = ["in_channels", "out_channels", "kernel_size", "stride", "padding", "dilation", "groups"]
        names += ["output_padding"] if self.transposed else []
        config = {name: getattr(self, name) for name in (*names, "padding_mode")}
        config = {k: list(v) if isinstance(v, tuple) else v for k, v in config.items()}
        return {**config, "bias": self._has_bias}


class _Conv(Geometry):
    """A convolution of floats."""

    weight: Array

    def __init__(self, bias: bool, *settings: Any) -> None:
        super().__init__()
        self._set(*settings)
        self.weight = Parameter(_init.kaiming_uniform(self._weight_shape))
        self.register_parameter("bias", _init.bias_for(self.weight, self.out_channels) if bias else None)

    @property
    def _has_bias(self) -> bool:
        return self.bias is not None


class _Forward(_Conv):
    """Convolution of any number of lengths."""

    _function: ClassVar[Callable[..., Floats]]

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: PerAxis,
        stride: PerAxis = 1,
        padding: PerAxis | Literal["same", "valid"] = 0,
        dilation: PerAxis = 1,
        groups: int = 1,
        bias: bool = True,
        padding_mode: PaddingMode = "zeros",
    ) -> None:
        settings = (kernel_size, stride, padding, dilation, 0, groups, padding_mode)
        super().__init__(bias, in_channels, out_channels, *settings)

    def forward(self, input: Input) -> Floats:
        """Shape (N, in_channels, lengths), or without N, to out_channels and other lengths."""
        return self.forward_with(input, self.weight, self.bias)

    def forward_with(self, input: Input, weight: Input, bias: Input | None) -> Floats:
        """The same with another weight and bias than its own."""
        padding = self.padding
        if self.padding_mode != "zeros":
            input, padding = F.pad(input, self._sides(), cast("Any", self.padding_mode)), 0
        return type(self)._function(input, weight, bias, self.stride, padding, self.dilation, self.groups)


class _Transposed(_Conv):
    """Transposed convolution of any number of lengths."""

    transposed = True
    _modes = ("zeros",)
    _function: ClassVar[Callable[..., Floats]]

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: PerAxis,
        stride: PerAxis = 1,
        padding: PerAxis = 0,
        output_padding: PerAxis = 0,
        groups: int = 1,
        bias: bool = True,
        dilation: PerAxis = 1,
        padding_mode: Literal["zeros"] = "zeros",
    ) -> None:
        if isinstance(padding, str):
            raise ValueError(f"padding must be integers, got {padding!r}")
        settings = (kernel_size, stride, padding, dilation, output_padding, groups, padding_mode)
        super().__init__(bias, in_channels, out_channels, *settings)

    def forward(self, input: Input, output_size: Sequence[int] | None = None) -> Floats:
        """Shape (N, in_channels, lengths), or without N, to out_channels and other lengths.

        `output_size`, the wanted lengths, decides between those that a stride leaves open, instead of
        `output_padding`.
        """
        return self.forward_with(input, self.weight, self.bias, output_size)

    def forward_with(
        self, input: Input, weight: Input, bias: Input | None, output_size: Sequence[int] | None = None
    ) -> Floats:
        more = self.output_padding if output_size is None else self._more(np.shape(input), output_size)
        settings = (self.stride, self.padding, more, self.groups, self.dilation)
        return type(self)._function(input, weight, bias, *settings)


class Conv1d(_Forward):
    """Convolution of sequences, of shape (N, C, L) or (C, L).

    Arguments are those of `Conv2d`.

    >>> import numpy as np
    >>> from quantray import nn
    >>> layer = nn.Conv1d(4, 8, 3, padding=1)
    >>> layer
    Conv1d(4, 8, kernel_size=(3,), stride=(1,), padding=(1,))
    >>> layer(np.zeros((1, 4, 9))).shape
    (1, 8, 9)

    Source: `torch.nn.Conv1d`.
    """

    _dims, _function = 1, F.conv1d


class Conv2d(_Forward):
    """Convolution of images.

    Parameters
    ----------
    in_channels, out_channels : int
        Of the input and of the result.
    kernel_size, stride, padding, dilation, groups
        As for `nn.functional.conv2d`.
    bias : bool
        Whether there is one.
    padding_mode : str
        What is around the image: "zeros", or as `nn.functional.pad` has it "reflect", "replicate" or
        "circular".

    Attributes
    ----------
    weight : array
        Shape (out_channels, in_channels / groups, *kernel_size).
    bias : array or None
        Shape (out_channels,).

    >>> import numpy as np
    >>> from quantray import nn
    >>> layer = nn.Conv2d(4, 8, (3, 5), padding="same")
    >>> layer
    Conv2d(4, 8, kernel_size=(3, 5), stride=(1, 1), padding=same)
    >>> layer(np.zeros((1, 4, 9, 9))).shape
    (1, 8, 9, 9)

    Source: `torch.nn.Conv2d`.
    """

    _dims, _function = 2, F.conv2d


class Conv3d(_Forward):
    """Convolution of volumes, of shape (N, C, D, H, W) or (C, D, H, W).

    Arguments are those of `Conv2d`.

    >>> import numpy as np
    >>> from quantray import nn
    >>> layer = nn.Conv3d(4, 8, 2, stride=2, bias=False)
    >>> layer
    Conv3d(4, 8, kernel_size=(2, 2, 2), stride=(2, 2, 2), bias=False)
    >>> layer(np.zeros((1, 4, 8, 8, 8))).shape
    (1, 8, 4, 4, 4)

    Source: `torch.nn.Conv3d`.
    """

    _dims, _function = 3, F.conv3d


class ConvTranspose1d(_Transposed):
    """Transposed convolution of sequences, of shape (N, C, L) or (C, L).

    Arguments are those of `ConvTranspose2d`.

    >>> import numpy as np
    >>> from quantray import nn
    >>> layer = nn.ConvTranspose1d(4, 8, 2, stride=2)
    >>> layer
    ConvTranspose1d(4, 8, kernel_size=(2,), stride=(2,))
    >>> layer(np.zeros((1, 4, 9))).shape
    (1, 8, 18)

    Source: `torch.nn.ConvTranspose1d`.
    """

    _dims, _function = 1, F.conv_transpose1d


class ConvTranspose2d(_Transposed):
    """Transposed convolution of images.

    Parameters
    ----------
    in_channels, out_channels : int
        Of the input and of the result.
    kernel_size, stride, padding, output_padding, groups, dilation
        As for `nn.functional.conv_transpose2d`.
    bias : bool
        Whether there is one.
    padding_mode : str
        "zeros".

    Attributes
    ----------
    weight : array
        Shape (in_channels, out_channels / groups, *kernel_size).
    bias : array or None
        Shape (out_channels,).

    >>> import numpy as np
    >>> from quantray import nn
    >>> layer = nn.ConvTranspose2d(4, 8, 3, stride=2, padding=1, output_padding=1)
    >>> layer
    ConvTranspose2d(4, 8, kernel_size=(3, 3), stride=(2, 2), padding=(1, 1), output_padding=(1, 1))
    >>> layer(np.zeros((1, 4, 4, 4))).shape
    (1, 8, 8, 8)

    Source: `torch.nn.ConvTranspose2d`.
    """

    _dims, _function = 2, F.conv_transpose2d


class ConvTranspose3d(_Transposed):
    """Transposed convolution of volumes, of shape (N, C, D, H, W) or (C, D, H, W).

    Arguments are those of `ConvTranspose2d`.

    >>> import numpy as np
    >>> from quantray import nn
    >>> layer = nn.ConvTranspose3d(4, 8, 2, stride=2, bias=False)
    >>> layer
    ConvTranspose3d(4, 8, kernel_size=(2, 2, 2), stride=(2, 2, 2), bias=False)
    >>> layer(np.zeros((1, 4, 2, 2, 2))).shape
    (1, 8, 4, 4, 4)

    Source: `torch.nn.ConvTranspose3d`.
    """

    _dims, _function = 3, F.conv_transpose3d
