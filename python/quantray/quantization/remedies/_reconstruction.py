"""Layer by layer in order: codes that make up for what rounding loses, and for what was lost before.

What goes into a layer of the model of integers is not what goes in in floats any more. The weights that
give the layer's exact output for it are found first, by least squares; then codes and scales of them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import numpy as np

from quantray import nn
from quantray._typing import Array, Doubles, Floats
from quantray.quantization._batches import as_arguments
from quantray.quantization._integers import LAYER
from quantray.quantization._progress import progress
from quantray.quantization._sides import Float, Side, quantized_side, value_at
from quantray.quantization.calibrate import calibrate
from quantray.quantization.convert import convert
from quantray.quantization.prepare import prepare
from quantray.quantization.remedies._hessian import as_matrices, as_weight, rows_of
from quantray.quantization.remedies._rewriting import Rewriting
from quantray.quantization.remedies._rounding import best_scales, descended, nearest_codes, output_error

#: Codes of a weight, for its scale, its range and the moments of its inputs.
Rounding: TypeAlias = Callable[[Array, Array, tuple[int, int], list[Doubles], int], Array]
#: A part of the mean square is added to all of them, so that what was not seen is not made much of.
_DAMPING = 0.03


class Moments:
    """What is kept of a layer's input in floats and in integers."""

    def __init__(self, groups: int) -> None:
        self.count = 0
        # Zeros of no axes, which become what is added first.
        self.own: list[Doubles] = [np.zeros(())] * groups
        self.cross: list[Doubles] = [np.zeros(())] * groups
        self.mean: list[Doubles] = [np.zeros(())] * groups
        self.exact_mean: list[Doubles] = [np.zeros(())] * groups
        #: What inputs were multiplied by.
        self.factor: Floats | None = None

    def add(self, exact: list[Floats], other: list[Floats]) -> None:
        """Takes in rows of both."""
        self.count += len(exact[0])
        for i, (a, b) in enumerate(zip(exact, other, strict=True)):
            self.own[i] = self.own[i] + (b.T @ b).astype(np.float64)
            self.cross[i] = self.cross[i] + (a.T @ b).astype(np.float64)
            self.mean[i] = self.mean[i] + b.sum(axis=0, dtype=np.float64)
            self.exact_mean[i] = self.exact_mean[i] + a.sum(axis=0, dtype=np.float64)


def reconstruct(
    model: Rewriting[nn.Module], rounding: Rounding, *, with_activations: bool, show_progress: bool = False
) -> None:
    """Rounds the weights of all layers, first to last."""
    exact = Float(model.model.copy())
    for name in progress(list(model.layers), "weights", show_progress):
        scheme = model.scheme(name)
        if scheme is None or not model.is_writable(name) or model.weight_axis(name) != 0:
            continue
        moments = _moments(model, exact, name, with_activations)
        if moments is not None:
            _round(model, name, moments, rounding)


def quantized_side_of(model: Rewriting[nn.Module]) -> Side:
    """The model of integers as it is by now."""
    made = prepare(model.model, model.mapping, as_arguments(model.first))
    calibrate(made, model.batches(), show_progress=False)
    return quantized_side(convert(made, inplace=True))


def _moments(model: Rewriting[nn.Module], exact: Side, name: str, with_activations: bool) -> Moments | None:
    """Moments of what goes into a layer, by all batches."""
    other = quantized_side_of(model) if with_activations else model.side
    node = model.layers[name]
    weight, _ = model.weight_and_bias(name)
    found: Moments | None = None
    for batch in model.batches():
        graph, inputs = exact.find(batch)
        x = value_at(exact, graph, inputs, graph.nodes[name].args[0])
        z = _input_of(other, batch, name)
        if z is None:
            z = x
        rows = [rows_of(node.value.kind, node.kwargs, weight.shape, each) for each in (x, z)]
        if rows[0] is None or rows[1] is None:
            return None
        found = found or Moments(len(rows[0]))
        found.add(rows[0], rows[1])
    return found


def _input_of(other: Side, batch: object, name: str) -> Array | None:
    """What goes into a layer of a quantized model, or of a float one, as floats."""
    graph, inputs = other.find(batch)
    node = graph.nodes.get(name)
    if node is None or node.kind not in (LAYER, "layer"):
        return None
    return value_at(other, graph, inputs, node.args[0])


def _round(model: Rewriting[nn.Module], name: str, moments: Moments, rounding: Rounding) -> None:
    scheme = model.scheme(name)
    assert scheme is not None
    weight, bias = model.weight_and_bias(name)
    codes, scales, shift = fitted_codes(weight, moments, scheme.code_range, scheme.per_channel, rounding)
    rounded = (codes * scales).astype(np.float32)
    has_place = bias is not None or model.layers[name].value.norm is not None
    if model.write(name, rounded, (shift if bias is None else bias + shift) if has_place else None):
        model.set_scales(name, scales, scheme)


def fitted_codes(
    weight: Array, moments: Moments, code_range: tuple[int, int], per_channel: bool, rounding: Rounding
) -> tuple[Array, Floats, Floats]:
    """Codes and scales of a weight for what goes into its layer, and what its bias is to be moved by."""
    count = max(moments.count, 1)
    own = [h / count for h in moments.own]
    wanted = least_squares(weight, moments, own)
    importance = as_weight(
        [
            np.broadcast_to(np.diag(h), w.shape)
            for h, w in zip(own, as_matrices(weight, len(own)), strict=True)
        ],
        weight.shape,
    )
    best: tuple[float, tuple[Array, Floats]] | None = None
    # With many codes hardly anything is clipped, and scales matter little.
    are_few = code_range[1] - code_range[0] < 64
    for weighing in (None, importance) if are_few else (importance,):
        scales = best_scales(wanted, code_range, 0, per_channel, weighing)
        found = _codes(wanted, scales, code_range, per_channel, own, rounding)
        error = output_error(wanted, found[0] * found[1], own)
        if best is None or error < best[0]:
            best = error, found
    assert best is not None
    codes, scales = best[1]
    # What is lost in the mean goes into the bias.
    parts = zip(
        as_matrices(np.asarray(weight, np.float64), len(own)),
        as_matrices((codes * scales).astype(np.float64), len(own)),
        moments.exact_mean,
        moments.mean,
        strict=True,
    )
    shift = np.concatenate([w @ (a / count) - q @ (b / count) for w, q, a, b in parts])
    return codes, scales, shift.astype(np.float32)


def least_squares(weight: Array, moments: Moments, own: list[Doubles]) -> Array:
    """The weights whose outputs for what goes in are nearest to the exact ones."""
    count = max(moments.count, 1)
    made: list[Array] = []
    parts = zip(as_matrices(np.asarray(weight, np.float64), len(own)), own, moments.cross, strict=True)
    for w, h, cross in parts:
        ridge = _DAMPING * max(float(np.diag(h).mean()), 1e-30) * np.eye(len(h))
        made.append(np.linalg.solve(h + ridge, (w @ (cross / count) + w @ ridge).T).T)
    return as_weight(made, weight.shape)


def _codes(
    wanted: Array,
    scales: Floats,
    code_range: tuple[int, int],
    per_channel: bool,
    own: list[Doubles],
    rounding: Rounding,
) -> tuple[Array, Floats]:
    """Codes and scales in turns, as long as the error of the output falls."""
    codes = rounding(wanted, scales, code_range, own, 0)
    nearest = nearest_codes(wanted, scales, code_range)
    if output_error(wanted, nearest * scales, own) < output_error(wanted, codes * scales, own):
        codes = nearest
    codes = descended(wanted, codes, scales, code_range, own)
    for _ in range(4 if code_range[1] - code_range[0] < 64 else 1):
        before = output_error(wanted, codes * scales, own)
        fitted = _fitted(wanted, codes, scales, own, per_channel)
        moved = descended(wanted, codes, fitted, code_range, own)
        if output_error(wanted, moved * fitted, own) >= before * (1 - 1e-4):
            break
        codes, scales = moved, fitted
    return codes, scales


def _fitted(wanted: Array, codes: Array, scales: Floats, own: list[Doubles], per_channel: bool) -> Floats:
    """The scales with the smallest error for codes that are given."""
    above: list[Doubles] = []
    below: list[Doubles] = []
    parts = zip(as_matrices(wanted, len(own)), as_matrices(codes, len(own)), own, strict=True)
    for w, c, h in parts:
        above.append(((w @ h) * c).sum(axis=1))
        below.append(((c @ h) * c).sum(axis=1))
    top, bottom = np.concatenate(above), np.concatenate(below)
    if not per_channel:
        top, bottom = top.sum(keepdims=True), bottom.sum(keepdims=True)
    old = np.ravel(scales)
    with np.errstate(divide="ignore", invalid="ignore"):
        found = np.where((bottom > 0) & (top > 0), top / bottom, old)
    return found.astype(np.float32).reshape(np.shape(scales))
