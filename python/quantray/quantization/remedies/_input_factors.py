"""Factors that layers multiply their inputs by before they round them by rows: SmoothQuant where no layer
before could take them, or something else takes the same wire.

Source: "SmoothQuant: Accurate and Efficient Post-Training Quantization for Large Language Models" (Xiao et
al., arXiv:2211.10438), equation 4.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from quantray import nn
from quantray._core import (
    QTensor,
    make_per_channel_quantized_tensor,
    make_per_tensor_quantized_tensor,
    qint8,
)
from quantray._typing import Array, Floats
from quantray.graph import Graph, Node, Ref
from quantray.graph._run import Environment
from quantray.quantization._converted import Converted
from quantray.quantization._programmed import Programmed
from quantray.quantization._sides import Side, float_side, quantized_side
from quantray.quantization.remedies._rounding import nearest_codes, scales_of
from quantray.quantization.remedies.smooth import ALPHAS

if TYPE_CHECKING:
    from quantray.analysis._pairs import Weighted

#: Factors are used where they leave less than this part of the error: each costs a multiplication.
_WORTH = 0.9
#: Rows of a layer's input that they are tried on, and rows of one batch.
_ROWS, _EACH = 512, 64


def smooth_inputs(
    model: nn.Module, int8: nn.Module, batches: Iterable[object], known: Sequence[Graph] = ()
) -> None:
    """Gives linear layers that round by rows factors of their inputs, where that loses less.

    Parameters
    ----------
    model : Module
        The float model that `int8` was made of.
    int8 : Module
        It is changed.
    batches : iterable
        The model's arguments: a few hundred rows of each layer are looked at.
    known : sequence of Graph
        What was captured of the float model already.
    """
    from quantray.analysis._pairs import Pairs, weighted_of

    given = iter(batches)
    first = next(given, None)
    if first is None or not any(hasattr(module, "input_factor") for module in int8.modules()):
        return
    other = quantized_side(int8)
    side = float_side(model, other, known)
    graph, _ = side.find(first)
    its, _ = other.find(first)
    pairs = Pairs(graph, its, side, other)
    layers: dict[str, tuple[nn.Module, Weighted]] = {}
    for name in pairs.steps:
        node = its[name]
        path = getattr(node.value, "path", node.value)
        module = other.model.get_submodule(path) if isinstance(path, str) else None
        # Of a layer that is called twice, the first call speaks.
        if (
            module is None
            or not hasattr(module, "input_factor")
            or any(m is module for m, _ in layers.values())
        ):
            continue
        weighted = weighted_of(node, pairs, side, other)
        if weighted is not None and weighted.kind == "linear" and weighted.codes.dtype == qint8:
            layers[pairs.exact_names[name]] = module, weighted
    seen = _inputs(side, itertools.chain([first], given), set(layers))
    is_changed = False
    for name, (module, weighted) in layers.items():
        if name not in seen:
            continue
        factor = best_factor(seen[name], weighted, bool(module.per_row))
        if factor is not None:
            _write(module, weighted, factor)
            is_changed = True
    if is_changed:
        renew(other)


def _inputs(side: Side, batches: Iterable[object], wanted: set[str]) -> dict[str, Floats]:
    """Some rows of what goes into layers."""
    found: dict[str, list[Floats]] = {}
    counts = dict.fromkeys(wanted, 0)

    def each(node: Node, environment: Environment) -> None:
        if node.name in wanted and counts[node.name] < _ROWS:
            ref = node.args[0]
            assert isinstance(ref, Ref)
            x = np.asarray(environment.values[ref], np.float32)
            rows = x.reshape(-1, x.shape[-1])
            some = rows[:: -(-len(rows) // _EACH) or 1]
            counts[node.name] += len(some)
            found.setdefault(node.name, []).append(some.copy())

    for batch in batches:
        if min(counts.values(), default=_ROWS) >= _ROWS:
            break
        side.run(*side.find(batch), each)
    return {name: np.concatenate(rows)[:_ROWS] for name, rows in found.items()}


def _write(module: nn.Module, weighted: Weighted, factor: Floats) -> None:
    weight = weighted.weight / factor
    module.input_factor = factor
    scales = scales_of(weight, weighted.code_range, 0, weighted.is_per_channel)
    codes = nearest_codes(weight, scales, weighted.code_range)
    module.set_weight_bias(with_scales(codes, scales, weighted.is_per_channel), weighted.bias)


def with_scales(codes: Array, scales: Array, is_per_channel: bool) -> QTensor:
    """A weight of codes, symmetric, one scale for each output or one for all."""
    integers, flat = np.ascontiguousarray(codes, np.int8), np.ravel(scales).astype(np.float64)
    if is_per_channel:
        return make_per_channel_quantized_tensor(integers, flat, np.zeros(flat.shape, np.int64), 0)
    return make_per_tensor_quantized_tensor(integers, float(flat[0]), 0)


def renew(other: Side) -> None:
    """Programs hold the weights that were there when they were made."""
    runner = other.model._runner
    if isinstance(runner, Converted):
        runner.refresh(other.model)
    elif isinstance(runner, Programmed):
        runner.renew()


def best_factor(x: Floats, weighted: Weighted, per_row: bool) -> Floats | None:
    """What each input of a layer is best multiplied by before it is rounded; None where that gains little.

    `max|W|**(1 - alpha) / max|X|**alpha` of SmoothQuant (Xiao et al., arXiv:2211.10438), equation 4.
    """
    rows = x.reshape(-1, x.shape[-1])[:512]
    weight = weighted.weight
    exact = rows @ weight.T
    largest = np.abs(x).reshape(-1, x.shape[-1]).max(axis=0).astype(np.float64)
    of_weight = np.abs(weight).max(axis=0).astype(np.float64)
    used = (largest > 0) & (of_weight > 0)

    def loss(factor: Floats) -> float:
        scaled = weight / factor
        scale = scales_of(scaled, weighted.code_range, 0, weighted.is_per_channel)
        codes = nearest_codes(scaled, scale, weighted.code_range) * scale
        made = as_in_calls(rows * factor, "linear", per_row) @ codes.T.astype(np.float32)
        return float(np.square(made - exact, dtype=np.float64).sum())

    least, best = loss(np.ones(len(largest), np.float32)) * _WORTH, None
    for alpha in ALPHAS:
        factor = np.ones(len(largest))
        factor[used] = of_weight[used] ** (1 - alpha) / largest[used] ** alpha
        factor = (factor / np.exp(np.log(factor).mean())).astype(np.float32)
        found = loss(factor)
        if found < least:
            least, best = found, factor
    return best


def as_in_calls(x: Floats, kind: str, per_row: bool) -> Floats:
    """What a dynamic layer makes of its input: codes by the range of each row, or of all."""
    axes = ((x.ndim - 1,) if kind == "linear" else tuple(range(1, x.ndim))) if per_row else None
    low = np.minimum(x.min(axis=axes, keepdims=True), 0)
    high = np.maximum(x.max(axis=axes, keepdims=True), 0)
    step = np.maximum((high - low) / 255, np.finfo(np.float32).tiny)
    zero = np.rint(-low / step)
    return ((np.clip(np.rint(x / step) + zero, 0, 255) - zero) * step).astype(np.float32)
