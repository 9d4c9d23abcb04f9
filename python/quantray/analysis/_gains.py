"""What a remedy would do for one node, measured: on samples that were kept, with the node's own grids."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import numpy as np

from quantray._typing import Array, ArrayLike, Floats, Ints
from quantray.analysis._pairs import Weighted
from quantray.analysis._statistics import Errors
from quantray.analysis._walk import Watched
from quantray.nn.quantized import Grid

#: The least and the greatest value, of all or of each row.
Ends: TypeAlias = tuple[ArrayLike, ArrayLike]


def gain_of(
    watched: Watched, source: Watched | None, remedy: str, ends: tuple[bool, bool] = (True, True)
) -> float | None:
    """How many dB of own SQNR a remedy gives to a node; None where it is not tried on single nodes.

    `ends` says whether channels of its input can be scaled, and those of its output.
    """
    weighted = watched.weighted
    if weighted is None or watched.kept is None or remedy not in _REMEDIES:
        return None
    x = np.asarray(watched.kept, np.float32)
    grid = None if watched.codes is None else watched.codes.grid
    source_grid = None if source is None or source.codes is None else source.codes.grid
    y = weighted(x, weighted.weight, weighted.bias)
    before = _sqnr(y, weighted(_on(x, source_grid, None), weighted.other, weighted.other_bias), grid)
    function = _REMEDIES[remedy]
    if function is _scaled:
        after = _scaled(weighted, x, y, source_grid, grid, ends)
    else:
        after = function(weighted, x, y, source_grid, grid)
    return after - before if np.isfinite(before) and np.isfinite(after) else None


def _sqnr(y: Array, found: Array, grid: Grid | None) -> float:
    errors = Errors()
    errors.add(y, found if grid is None else grid.quantize(found).dequantize(), None)
    return errors.sqnr


def _on(x: Array, grid: Grid | None, ranges: Ends | None) -> Floats:
    """Values on a grid; on that of their range, or of each row's where there is none."""
    if grid is not None and ranges is None:
        return grid.quantize(x).dequantize()
    axes = None if grid is not None else tuple(range(1 if x.ndim > 2 else x.ndim - 1, x.ndim))
    low, high = ranges or (x.min(axis=axes, keepdims=True), x.max(axis=axes, keepdims=True))
    steps = 255 if grid is None else grid.quant_max - grid.quant_min
    low, high = np.minimum(low, 0), np.maximum(high, 0)
    scale = np.maximum((high - low) / steps, np.finfo(np.float32).tiny)
    zero = np.rint(-low / scale)
    return ((np.clip(np.rint(x / scale) + zero, 0, steps) - zero) * scale).astype(np.float32)


def _own_range(x: Array) -> Ends:
    return x.min(), x.max()


def _weights(weighted: Weighted, weight: Array, scale: Array | None = None) -> Floats:
    """Weights on grids like those that they are on, of their own ranges."""
    low, high = weighted.code_range
    axis = weighted.weight_axis
    others = tuple(i for i in range(weight.ndim) if i != axis) if weighted.is_per_channel else None
    wanted = np.abs(weight).max(axis=others, keepdims=True) / ((high - low) / 2) if scale is None else scale
    steps = np.maximum(wanted, np.finfo(np.float32).tiny)
    return (np.clip(np.rint(weight / steps), low, high) * steps).astype(np.float32)


def _per_channel(x: Array, axis: int) -> Array:
    axis %= x.ndim
    found = np.abs(x).max(axis=tuple(i for i in range(x.ndim) if i != axis))
    return np.maximum(found, 1e-12)


def _scaled(
    weighted: Weighted,
    x: Floats,
    y: Floats,
    source: Grid | None,
    grid: Grid | None,
    ends: tuple[bool, bool] = (True, True),
) -> float:
    """Channels of the input scaled to what weights leave for them, those of the output to one range."""
    weight = weighted.weight
    axis = 0 if "transpose" in weighted.kind else 1
    groups = weighted.settings.get("groups", 1)
    factor: Array | float = 1.0
    if ends[0] and (weighted.kind == "linear" or groups == 1):
        inputs = _per_channel(x, weighted.channel_axis)
        factor = np.sqrt(inputs / _per_channel(weight, axis))
        factor = factor / np.exp(np.log(factor).mean())
    shape = [1] * weight.ndim
    shape[axis] = -1
    of_input = np.reshape(factor, [1] * (x.ndim - 1) + [-1] if weighted.kind == "linear" else
                          [1, -1] + [1] * (x.ndim - 2)) if np.ndim(factor) else 1.0  # fmt: skip
    of_weight = np.reshape(factor, shape) if np.ndim(factor) else 1.0
    small = x / of_input
    given = _on(small.astype(np.float32), source, None if source is None else _own_range(small)) * of_input
    found = weighted(given, _weights(weighted, weight * of_weight) / of_weight, weighted.bias)
    if grid is None or not ends[1]:
        return _sqnr(y, found, grid)
    outputs = _per_channel(y, weighted.channel_axis)
    turn = outputs.reshape([1] * (y.ndim - 1) + [-1] if weighted.kind == "linear" else
                           [1, -1] + [1] * (y.ndim - 2))  # fmt: skip
    return _sqnr(y, _on((found / turn).astype(np.float32), grid, _own_range(y / turn)) * turn, None)


def _refitted(weighted: Weighted, x: Floats, y: Floats, source: Grid | None, grid: Grid | None) -> float:
    """Grids of the range of these samples."""
    given = _on(x, source, None if source is None else _own_range(x))
    found = weighted(given, weighted.other, weighted.other_bias)
    return _sqnr(y, found if grid is None else _on(found, grid, _own_range(y)), None)


def _without_one(weighted: Weighted, x: Floats, y: Floats, source: Grid | None, grid: Grid | None) -> float:
    """Grids of what nearly all values reach."""

    def ends(values: Array) -> Ends:
        return np.quantile(values, 0.0005), np.quantile(values, 0.9995)

    given = _on(x, source, None if source is None else ends(x))
    found = weighted(given, weighted.other, weighted.other_bias)
    return _sqnr(y, found if grid is None else _on(found, grid, ends(y)), None)


def _per_output(weighted: Weighted, x: Floats, y: Floats, source: Grid | None, grid: Grid | None) -> float:
    weight = weighted.weight
    others = tuple(i for i in range(weight.ndim) if i != weighted.weight_axis)
    low, high = weighted.code_range
    scale = np.abs(weight).max(axis=others, keepdims=True) / ((high - low) / 2)
    return _sqnr(y, weighted(_on(x, source, None), _weights(weighted, weight, scale), weighted.bias), grid)


def _best_rounding(weighted: Weighted, x: Floats, y: Floats, source: Grid | None, grid: Grid | None) -> float:
    """GPTQ on the samples that were kept."""
    from quantray.quantization.remedies._hessian import moments_of
    from quantray.quantization.remedies._rounding import gptq_codes, scales_of

    weight = weighted.weight
    moments = moments_of(weighted.kind, weighted.settings, weight.shape, [x])
    if moments is None:
        return float("nan")
    scale = scales_of(weight, weighted.code_range, weighted.weight_axis, weighted.is_per_channel)
    codes = gptq_codes(weight, scale, weighted.code_range, moments, weighted.weight_axis)
    return _sqnr(y, weighted(_on(x, source, None), (codes * scale).astype(np.float32), weighted.bias), grid)


def _in_8_bits(weighted: Weighted, x: Floats, y: Floats, source: Grid | None, grid: Grid | None) -> float:
    """The same groups with codes of 8 bits."""
    size, weight = weighted.group_size, weighted.weight
    groups: Ints = np.arange(0, weight.shape[1], size, dtype=np.int64)
    scale = np.maximum(np.maximum.reduceat(np.abs(weight), groups, axis=1) / 127, np.finfo(np.float32).tiny)
    each = np.repeat(scale, size, axis=1)[:, : weight.shape[1]]
    rounded = (np.rint(weight / each) * each).astype(np.float32)
    return _sqnr(y, weighted(x, rounded, weighted.bias), grid)


_REMEDIES: dict[str, Callable[[Weighted, Floats, Floats, Grid | None, Grid | None], float]] = {
    "equalize": _scaled,
    "smooth": _scaled,
    "MinMaxObserver, or data like these in calibration": _refitted,
    "calibrate with data like these": _refitted,
    "MSEObserver": _without_one,
    "per-channel weights": _per_output,
    "gptq": _best_rounding,
    "refine": _scaled,
    "weight_only": _in_8_bits,
}
