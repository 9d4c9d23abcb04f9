"""Sums of products over moving windows: convolution, and its two adjoints, as products of matrices.

With x the images, w the kernels and y the results, `correlate` makes y of x and w, `spread` x of y and w (the
gradient for x, and transposed convolution), `relate` w of x and y (the gradient for w). Images have their
channels last. The first two are compiled kernels; for the third, windows are copied out into a matrix a few
images or rows at a time, as many as stay in a cache: memory does not grow with the batch.
"""

from __future__ import annotations

import math
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

import numpy as np
from numpy.lib.stride_tricks import as_strided

from quantray import _core

if TYPE_CHECKING:
    from quantray._typing import Floats

#: Floats of windows that are copied at a time: 1 MB.
_AT_A_TIME = 1 << 18


class Geometry(NamedTuple):
    """Where windows lie: for each axis its kernel, stride, zeros before and after, and dilation."""

    kernel: tuple[int, ...]
    stride: tuple[int, ...]
    padding: tuple[tuple[int, int], ...]
    dilation: tuple[int, ...]
    groups: int

    @property
    def reach(self) -> tuple[int, ...]:
        """From a window's first element to past its last."""
        return tuple(d * (k - 1) + 1 for k, d in zip(self.kernel, self.dilation, strict=True))

    def padded(self, lengths: Sequence[int]) -> tuple[int, ...]:
        """Lengths with their padding."""
        return tuple(n + a + b for n, (a, b) in zip(lengths, self.padding, strict=True))

    def outputs(self, lengths: Sequence[int]) -> tuple[int, ...]:
        """How many windows there are along each axis."""
        rooms = zip(self.padded(lengths), self.reach, self.stride, strict=True)
        return tuple((n - r) // s + 1 for n, r, s in rooms)

    def offsets(self) -> Iterator[tuple[int, ...]]:
        """The elements of the kernel, each by its place."""
        return np.ndindex(*self.kernel)

    def met(self, offset: tuple[int, ...], rows: slice, outputs: Sequence[int]) -> tuple[slice, ...]:
        """What one element of the kernel meets in the windows of some rows, along each axis."""
        spans = [(rows.start, rows.stop), *((0, n) for n in outputs[1:])]
        each = zip(offset, spans, self.stride, self.dilation, strict=True)
        return tuple(slice(o * d + a * s, o * d + (b - 1) * s + 1, s) for o, (a, b), s, d in each)


def _pad(x: Floats, geometry: Geometry) -> Floats:
    """Images with zeros around them."""
    if not any(map(any, geometry.padding)):
        return x
    made = np.zeros((len(x), *geometry.padded(x.shape[1:-1]), x.shape[-1]), np.float32)
    made[_inner(x.shape[1:-1], geometry)] = x
    return made


def _inner(lengths: Sequence[int], geometry: Geometry) -> tuple[slice, ...]:
    """Where padded images have what was not added."""
    pairs = zip(lengths, geometry.padding, strict=True)
    return (slice(None), *(slice(before, before + n) for n, (before, _) in pairs))


def _pieces(images: int, outputs: Sequence[int], width: int) -> Iterator[tuple[slice, slice]]:
    """Images and rows of them, a few at a time, for `width` floats at each position."""
    rows = max(1, _AT_A_TIME // max(1, math.prod(outputs[1:]) * width))
    if rows >= outputs[0]:
        step = rows // outputs[0]
        for i in range(0, images, step):
            yield slice(i, min(i + step, images)), slice(0, outputs[0])
    else:
        for i in range(images):
            for r in range(0, outputs[0], rows):
                yield slice(i, i + 1), slice(r, min(r + rows, outputs[0]))


class _Columns:
    """The windows of images as matrices: a row for each window, its elements by place and channel."""

    def __init__(self, x: Floats, geometry: Geometry, outputs: tuple[int, ...]) -> None:
        x = _pad(x, geometry)
        image, *axes, channel = x.strides
        moves = [s * n for s, n in zip(axes, geometry.stride, strict=True)]
        steps = [s * n for s, n in zip(axes, geometry.dilation, strict=True)]
        shape = (len(x), *outputs, *geometry.kernel, x.shape[-1])
        self._view = as_strided(x, shape, (image, *moves, *steps, channel), writeable=False)
        self._dims = len(outputs)
        # Rows of windows are copied at once: along the kernel's last axis, or, where that is short, along
        # the image's.
        self._across = geometry.kernel[-1] * x.shape[-1] // geometry.groups < outputs[-1]
        self._buffer = np.empty(0, np.float32)

    def matrix(self, images: slice, rows: slice, channels: slice) -> Floats:
        """Some windows' elements; valid until the next call."""
        part = self._view[images, rows, ..., channels]
        d = self._dims
        positions, width = math.prod(part.shape[: d + 1]), math.prod(part.shape[d + 1 :])
        if width == part.shape[-1] and part.flags.c_contiguous:
            return part.reshape(positions, width)
        if len(self._buffer) < part.size:
            self._buffer = np.empty(part.size, np.float32)
        room = self._buffer[: part.size]
        if self._across:
            axes = (*range(d + 1, part.ndim), *range(d + 1))
            part = part.transpose(axes)
        np.copyto(room.reshape(part.shape), part)
        return room.reshape(width, positions).T if self._across else room.reshape(positions, width)


def _groups(n: int, groups: int) -> list[slice]:
    size = n // groups
    return [slice(i * size, (i + 1) * size) for i in range(groups)]


#: The programs of one layer, by all that they are made of beside its weight.
Programs: TypeAlias = dict[tuple[object, ...], _core.Program]
_kept: ContextVar[Programs | None] = ContextVar("kept", default=None)


@contextmanager
def keeping(programs: Programs) -> Generator[None]:
    """Calls of one layer, whose weight nobody changes from the first to the last: it is packed once."""
    token = _kept.set(programs)
    try:
        yield
    finally:
        _kept.reset(token)


def _kernel(x: Floats, w: Floats, geometry: Geometry, **more: object) -> Floats:
    """Images by the kernels of float programs; weights are packed for this one call, unless they are kept."""
    kept, key = _kept.get(), (geometry, *more.items())
    program = None if kept is None else kept.get(key)
    if program is None:
        settings: dict[str, object] = {
            "weight": w,
            "stride": geometry.stride,
            "padding": list(geometry.padding),
            "dilation": geometry.dilation,
            "groups": geometry.groups,
            **more,
        }
        program = _core.Program(["float32"], [("conv", (0,), 1, settings)], [1])
        if kept is not None:
            kept[key] = program
    return np.moveaxis(program(np.moveaxis(x, -1, 1))[0], 1, -1)


def correlate(x: Floats, w: Floats, geometry: Geometry) -> Floats:
    """Convolution: x (N, lengths, C), w (O, C / groups, kernel) -> y (N, outputs, O)."""
    return _kernel(x, w, geometry)


def relate(x: Floats, y: Floats, geometry: Geometry) -> Floats:
    """The gradient for kernels: x (N, lengths, C), y (N, outputs, O) -> w (O, C / groups, kernel)."""
    outputs, groups = y.shape[1:-1], geometry.groups
    c, o = x.shape[-1] // groups, y.shape[-1]
    if groups > 1 and c == 1:
        return _relate_channels(_pad(x, geometry), y, geometry)
    columns = _Columns(x, geometry, outputs)
    width = math.prod(geometry.kernel) * c
    sums = np.zeros((groups, width, o // groups), np.float32)
    for images, rows in _pieces(len(x), outputs, width):
        for g, (taken, made) in enumerate(zip(_groups(x.shape[-1], groups), _groups(o, groups), strict=True)):
            matrix = columns.matrix(images, rows, taken)
            sums[g] += matrix.T @ y[images, rows, ..., made].reshape(len(matrix), -1)
    # (groups, kernel, C, O / groups) -> (O, C, kernel)
    sums = sums.reshape(groups, *geometry.kernel, c, o // groups)
    return np.moveaxis(sums, (-1, -2), (1, 2)).reshape(o, c, *geometry.kernel)


def spread(y: Floats, w: Floats, geometry: Geometry, lengths: Sequence[int]) -> Floats:
    """The gradient for images, and transposed convolution: y (N, outputs, O) -> x (N, lengths, C)."""
    outputs = y.shape[1:-1]
    # What no window reaches at the ends.
    windows = zip(geometry.padded(lengths), geometry.reach, geometry.stride, outputs, strict=True)
    more = tuple(n - r - s * (o - 1) for n, r, s, o in windows)
    return _kernel(y, w, geometry, transposed=True, output_padding=more)


def _relate_channels(x: Floats, y: Floats, geometry: Geometry) -> Floats:
    c = x.shape[-1]
    sums = np.zeros((c, y.shape[-1] // c, *geometry.kernel), np.float32)
    for images, rows in _pieces(len(x), y.shape[1:-1], 2 * y.shape[-1]):
        part = y[images, rows]
        part = part.reshape(*part.shape[:-1], c, -1)
        ones = np.ones(math.prod(part.shape[:-2]), np.float32)
        for offset in geometry.offsets():
            met = x[(images, *geometry.met(offset, rows, y.shape[1:-1]))]
            products = (met[..., None] * part).reshape(len(ones), -1)
            sums[(slice(None), slice(None), *offset)] += (ones @ products).reshape(c, -1)
    return sums.reshape(-1, 1, *geometry.kernel)
