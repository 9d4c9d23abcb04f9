"""What pooling computes: maxima and means of windows, one axis after the other, and their gradients.

The maximum of a window is the maximum of its columns' maxima, and so for sums. The last axis comes first, so
that of equal maxima the first one in reading order has the gradient, as in torch.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple, SupportsIndex, cast

import numpy as np

from quantray import ops
from quantray._core import QTensor
from quantray.nn._gradients import differentiable
from quantray.nn.functional._arguments import check_lengths, floats, per_axis, traced_or_floats

if TYPE_CHECKING:
    from quantray._typing import Array, Floats, Input, PerAxis, Tensor
    from quantray.nn._gradients import Vjp
    from quantray.nn.functional._arguments import OutputSize


class _Windows(NamedTuple):
    """Windows along one axis."""

    axis: int
    kernel: int
    stride: int
    padding: int
    dilation: int
    number: int

    @classmethod
    def along(
        cls, axis: int, n: int, kernel: int, stride: int, padding: int, dilation: int, ceil: bool
    ) -> _Windows:
        """Those that fit an axis of length n; with `ceil` the last may reach over its end."""
        room = n + 2 * padding - dilation * (kernel - 1) - 1
        count = (-(-room // stride) if ceil else room // stride) + 1
        # None begins past the image and the padding before it.
        if ceil and (count - 1) * stride >= n + padding:
            count -= 1
        if count < 1:
            raise ValueError(
                f"kernel_size must fit the input with its padding, {n + 2 * padding} long, "
                f"got {kernel} with dilation {dilation}"
            )
        return cls(axis, kernel, stride, padding, dilation, count)

    def on(self, x: Floats, fill: float) -> Floats:
        """The array as long as the windows reach, with `fill` where it was not."""
        reach = (self.number - 1) * self.stride + self.dilation * (self.kernel - 1) + 1
        n = x.shape[self.axis]
        if not self.padding and reach <= n:
            return x
        # As the array lies in memory.
        shape = list(x.shape)
        shape[self.axis] = max(reach, n + self.padding)
        order = np.argsort([-abs(s) for s in x.strides], kind="stable")
        padded = np.full([shape[i] for i in order], fill, np.float32).transpose(np.argsort(order))
        padded[self.at(slice(self.padding, self.padding + n))] = x
        return padded

    def at(self, where: slice) -> tuple[slice, ...]:
        """An index of one slice along the axis."""
        return (*[slice(None)] * self.axis, where)

    def element(self, i: int) -> tuple[slice, ...]:
        """An index of what is the i-th element of each window."""
        first = i * self.dilation
        return self.at(slice(first, first + (self.number - 1) * self.stride + 1, self.stride))


@differentiable
def _max(input: Input, windows: _Windows) -> Floats:
    x = windows.on(floats(input), -np.inf)
    y = x[windows.element(0)].copy(order="K")
    for i in range(1, windows.kernel):
        np.maximum(y, x[windows.element(i)], out=y)
    return y


@_max.gradient
def _max_gradient(wanted: Sequence[int], out: Floats, input: Input, windows: _Windows) -> Vjp[Floats]:
    input = floats(input)

    def vjp(g: Floats) -> list[Array]:
        x = windows.on(input, -np.inf)
        made = np.zeros_like(x)
        left = np.ones_like(out, np.bool_)
        for i in range(windows.kernel):
            first = left & (x[windows.element(i)] == out)
            made[windows.element(i)] += g * first
            left ^= first
        n = input.shape[windows.axis]
        return [made[windows.at(slice(windows.padding, windows.padding + n))]]

    return vjp


@differentiable
def _mean(input: Input, windows: _Windows, factors: Floats | np.float32) -> Floats:
    """Sums of windows, times a factor for all or for each."""
    x = windows.on(floats(input), 0.0)
    if windows.kernel == windows.stride:
        # Side by side: one sum over a new axis.
        reach = windows.at(slice(0, windows.number * windows.kernel))
        shape = (*x.shape[: windows.axis], windows.number, windows.kernel, *x.shape[windows.axis + 1 :])
        if windows.number * windows.kernel <= x.shape[windows.axis]:
            return x[reach].reshape(shape).sum(windows.axis + 1) * factors
    y = x[windows.element(0)].copy(order="K")
    for i in range(1, windows.kernel):
        y += x[windows.element(i)]
    y *= factors
    return y


@_mean.gradient
def _mean_gradient(
    wanted: Sequence[int], out: Floats, input: Input, windows: _Windows, factors: Floats | np.float32
) -> Vjp[Floats]:
    input = floats(input)

    def vjp(g: Floats) -> list[Array]:
        made = np.zeros_like(windows.on(input, 0.0))
        g = g * factors
        for i in range(windows.kernel):
            made[windows.element(i)] += g
        n = input.shape[windows.axis]
        return [made[windows.at(slice(windows.padding, windows.padding + n))]]

    return vjp


def _spans(n: int, count: int) -> list[slice]:
    """Adaptive pooling's windows: of nearly the same length, over the whole axis."""
    return [slice(i * n // count, -(-(i + 1) * n // count)) for i in range(count)]


@differentiable
def _max_of_spans(input: Input, axis: int, spans: Sequence[slice]) -> Floats:
    before = (slice(None),) * axis
    x = floats(input)
    return np.stack([x[(*before, span)].max(axis) for span in spans], axis)


@_max_of_spans.gradient
def _max_of_spans_gradient(
    wanted: Sequence[int], out: Floats, input: Input, axis: int, spans: Sequence[slice]
) -> Vjp[Floats]:
    x, before = floats(input), (slice(None),) * axis

    def vjp(g: Floats) -> list[Array]:
        made = np.zeros_like(x)
        for i, span in enumerate(spans):
            at = np.expand_dims(x[(*before, span)].argmax(axis), axis) + span.start
            own = np.expand_dims(g[(*before, i)], axis)
            np.put_along_axis(made, at, np.take_along_axis(made, at, axis) + own, axis)
        return [made]

    return vjp


@differentiable
def _mean_of_spans(input: Input, axis: int, spans: Sequence[slice]) -> Floats:
    before = (slice(None),) * axis
    x = floats(input)
    return np.stack([x[(*before, span)].mean(axis, dtype=np.float32) for span in spans], axis)


@_mean_of_spans.gradient
def _mean_of_spans_gradient(
    wanted: Sequence[int], out: Floats, input: Input, axis: int, spans: Sequence[slice]
) -> Vjp[Floats]:
    before = (slice(None),) * axis

    def vjp(g: Floats) -> list[Array]:
        made = np.zeros_like(floats(input))
        for i, span in enumerate(spans):
            made[(*before, span)] += np.expand_dims(g[(*before, i)], axis) / np.float32(
                span.stop - span.start
            )
        return [made]

    return vjp


def _settings(
    dims: int,
    shape: Sequence[int],
    kernel_size: PerAxis,
    stride: PerAxis | None,
    padding: PerAxis,
    dilation: PerAxis,
    ceil_mode: bool,
) -> list[_Windows]:
    """The windows along each axis, the last axis first."""
    check_lengths(shape, dims)
    kernel = per_axis(kernel_size, dims, "kernel_size")
    steps = kernel if stride is None else per_axis(stride, dims, "stride")
    pads, gaps = per_axis(padding, dims, "padding", 0), per_axis(dilation, dims, "dilation")
    if any(2 * p > k for p, k in zip(pads, kernel, strict=True)):
        raise ValueError(f"padding must be at most half of kernel_size, got {padding} and {kernel_size}")
    first = len(shape) - dims
    each = zip(range(first, len(shape)), shape[first:], kernel, steps, pads, gaps, strict=True)
    return [_Windows.along(a, n, k, s, p, d, ceil_mode) for a, n, k, s, p, d in each][::-1]


def max_pool(
    dims: int,
    input: Input,
    kernel_size: PerAxis,
    stride: PerAxis | None,
    padding: PerAxis,
    dilation: PerAxis,
    ceil_mode: bool,
) -> Tensor:
    if isinstance(input, QTensor):
        own = (ops.max_pool1d, ops.max_pool2d, ops.max_pool3d)[dims - 1]
        return own(input, kernel_size, stride, padding, dilation, ceil_mode)
    first, *others = _settings(dims, np.shape(input), kernel_size, stride, padding, dilation, ceil_mode)
    y = _max(input, first)
    for windows in others:
        y = _max(y, windows)
    return y


def avg_pool(
    dims: int,
    input: Input,
    kernel_size: PerAxis,
    stride: PerAxis | None,
    padding: PerAxis,
    ceil_mode: bool,
    count_include_pad: bool,
    divisor_override: SupportsIndex | None,
) -> Tensor:
    if divisor_override is not None and divisor_override.__index__() == 0:
        raise ValueError("divisor_override must not be 0, got 0")
    if isinstance(input, QTensor):
        own = (ops.avg_pool1d, ops.avg_pool2d, ops.avg_pool3d)[dims - 1]
        return own(input, kernel_size, stride, padding, ceil_mode, count_include_pad, divisor_override)
    shape, y = np.shape(input), traced_or_floats(input)
    for windows in _settings(dims, shape, kernel_size, stride, padding, 1, ceil_mode):
        axis, n = windows.axis, shape[windows.axis]
        starts = np.arange(windows.number) * windows.stride - windows.padding
        ends = np.minimum(starts + windows.kernel, n + windows.padding)
        if not count_include_pad:
            starts, ends = np.maximum(starts, 0), np.minimum(ends, n)
        if divisor_override is None:
            factors = (1 / np.asarray(ends - starts)).astype(np.float32)
        else:
            # Once, of all axes.
            last = axis == len(shape) - 1
            factors = np.full(windows.number, 1 / divisor_override.__index__() if last else 1, np.float32)
        y = _mean(y, windows, factors.reshape(-1, *[1] * (len(shape) - axis - 1)))
    return y


def adaptive(dims: int, input: Input, output_size: OutputSize, kind: str) -> Tensor:
    if isinstance(input, QTensor):
        return getattr(ops, f"adaptive_{kind}_pool{dims}d")(input, output_size)
    shape = np.shape(input)
    check_lengths(shape, dims)
    lengths = shape[-dims:]
    several = np.ndim(cast("Array", output_size)) > 0
    given = cast("Sequence[SupportsIndex | None]", output_size if several else [output_size] * dims)
    if len(given) != dims:
        raise ValueError(f"output_size must be an integer or {dims} of them, got {output_size}")
    sizes = [n if own is None else own for own, n in zip(given, lengths, strict=True)]
    sizes = per_axis(sizes, dims, "output_size")
    if 0 in lengths:
        raise ValueError(f"input must be at least 1 long along each axis, got shape {shape}")
    # Too little memory is known before windows are counted one by one.
    np.empty((*shape[:-dims], *sizes), np.float32)
    y = traced_or_floats(input)
    for axis in reversed(range(len(shape) - dims, len(shape))):
        n, count = shape[axis], sizes[axis - len(shape)]
        if n % count:
            spans = _spans(n, count)
            y = (_max_of_spans if kind == "max" else _mean_of_spans)(y, axis, spans)
        elif n != count:
            size = n // count
            windows = _Windows(axis, size, size, 0, 1, count)
            y = _max(y, windows) if kind == "max" else _mean(y, windows, np.float32(1 / size))
    return y
