"""Second moments of what goes into a layer: the error of its output is a quadratic form of its weights'."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from quantray._typing import Array, Doubles, Floats

#: Of convolutions, so many windows of a batch are taken at most, evenly spread.
_WINDOWS = 16384


def rows_of(
    kind: str, settings: Mapping[str, object], shape: tuple[int, ...], x: Array
) -> list[Floats] | None:
    """What the weights of one output are multiplied by, a row for each place: an array for each group.

    None for transposed convolutions, whose outputs are sums of overlapping products.
    """
    x = np.asarray(x, np.float32)
    if kind == "linear":
        return [x.reshape(-1, x.shape[-1])]
    if "transpose" in kind or not kind.startswith("conv"):
        return None
    size = len(shape) - 2
    if x.ndim == size + 1:
        x = x[None]
    groups = _each(settings.get("groups", 1), 1)[0]
    stride, dilation = (_each(settings.get(name, 1), size) for name in ("stride", "dilation"))
    reach = [dilation[i] * (shape[2 + i] - 1) + 1 for i in range(size)]
    padding = settings.get("padding", 0)
    if padding == "same":
        pads = [((r - 1) // 2, r - 1 - (r - 1) // 2) for r in reach]
    elif padding == "valid":
        pads = [(0, 0)] * size
    else:
        pads = [(p, p) for p in _each(padding, size)]
    x = np.pad(x, [(0, 0), (0, 0), *pads])
    axes = tuple(range(2, 2 + size))
    windows = np.lib.stride_tricks.sliding_window_view(x, reach, axis=axes)
    steps = (slice(None), slice(None), *(slice(None, None, s) for s in stride))
    inner = tuple(slice(None, None, d) for d in dilation)
    windows = windows[(*steps, *inner)]
    # Samples and places, then groups, then what one output is made of.
    order = (0, *range(2, 2 + size), 1, *range(2 + size, 2 + 2 * size))
    windows = windows.transpose(order)
    places = int(np.prod(windows.shape[: 1 + size]))
    each = x.shape[1] // groups
    found: list[Floats] = []
    for group in range(groups):
        part = windows[(..., slice(group * each, (group + 1) * each), *[slice(None)] * size)]
        flat = part.reshape(places, -1)
        found.append(np.ascontiguousarray(flat[:: max(1, -(-places // _WINDOWS))]))
    return found


def _each(value: object, size: int) -> list[int]:
    found = np.asarray(value)
    return [int(found)] * size if found.ndim == 0 else [int(v) for v in found]


def moments_of(
    kind: str, settings: Mapping[str, object], shape: tuple[int, ...], inputs: Iterable[Array]
) -> list[Doubles] | None:
    """For each group of a layer the mean of `x x^T`, float64, over all its inputs."""
    total: list[Doubles] | None = None
    count = 0
    for x in inputs:
        rows = rows_of(kind, settings, shape, x)
        if rows is None:
            return None
        found = [(r.T @ r).astype(np.float64) for r in rows]
        total = found if total is None else [a + b for a, b in zip(total, found, strict=True)]
        count += len(rows[0])
    return None if total is None else [each / max(count, 1) for each in total]


def as_matrices(weight: Array, groups: int) -> list[Array]:
    """A weight as one matrix for each group: a row for each output."""
    flat = np.asarray(weight).reshape(weight.shape[0], -1)
    each = len(flat) // groups
    return [flat[i * each : (i + 1) * each] for i in range(groups)]


def as_weight(matrices: Sequence[Array], shape: tuple[int, ...]) -> Array:
    """The matrices of groups as one weight."""
    return np.concatenate(matrices).reshape(shape)
