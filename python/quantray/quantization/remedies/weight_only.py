"""Weights of few bits in groups, rounded for what is multiplied with them; activations stay float."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from quantray import nn
from quantray.nn.quantized import WeightOnlyLinear, dynamic
from quantray.quantization._batches import Batch, as_batches
from quantray.quantization._progress import progress
from quantray.quantization._sides import Side, float_side, quantized_side, value_at
from quantray.quantization.dynamic import quantize_dynamic
from quantray.quantization.remedies._grouped import group_scales, spread
from quantray.quantization.remedies._hessian import rows_of
from quantray.quantization.remedies._reconstruction import Moments, least_squares
from quantray.quantization.remedies._rounding import descended, gptq_codes
from quantray.quantization.remedies.refine import renew

if TYPE_CHECKING:
    from quantray.analysis._pairs import Weighted


M = TypeVar("M", bound=nn.Module)


def weight_only(
    model: M,
    batches: Iterable[Batch] | None = None,
    *,
    bits: int = 4,
    group_size: int = 32,
    in_8_bits: int = 0,
    input_bits: int = 24,
    transform: Callable[[Batch], object] | None = None,
    show_progress: bool = False,
) -> M:
    """A model whose linear layers have weights of few bits, a scale for each group, and float inputs.

    Parameters
    ----------
    model : Module
        Of floats; it is not changed.
    batches : iterable, optional
        Arrays, or tuples of the model's arguments: weights are rounded for them, layer by layer, by GPTQ.
        Without them each group has the range with the least squared error.
    bits, group_size, input_bits : int
        As for `nn.quantized.WeightOnlyLinear`.
    in_8_bits : int
        How many layers, those that lose most, have 8 bits; it needs `batches`.
    transform : callable, optional
        What makes the model's arguments of a batch.
    show_progress : bool
        Whether to show a bar.

    Returns
    -------
    Module
        The model; layers that are no linear ones stay float.

    Raises
    ------
    ValueError
        For a model without linear layers, for `in_8_bits` without batches, for no batches.

    >>> import numpy as np
    >>> from quantray import nn, quantization as tq
    >>> rng = np.random.default_rng(0)
    >>> model = nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 8))
    >>> x = rng.standard_normal((512, 8)).astype(np.float32) @ rng.standard_normal((8, 64), np.float32)
    >>> plain, better = tq.remedies.weight_only(model), tq.remedies.weight_only(model, x)
    >>> bool(np.square(better(x) - model(x)).sum() < 0.5 * np.square(plain(x) - model(x)).sum())
    True

    Source: "GPTQ" (Frantar et al., arXiv:2210.17323); without data as "HQQ" (Badri and Shaji, 2023) fits
    ranges, with squared errors.
    """
    if in_8_bits and batches is None:
        raise ValueError("in_8_bits needs batches, which show what loses most; got none")
    kinds = {nn.Linear, nn.MultiheadAttention, nn.TransformerEncoderLayer}
    small = quantize_dynamic(model, kinds)
    found = [name for name, each in small.named_modules() if type(each) is dynamic.Linear]
    if not found:
        raise ValueError("model must have linear layers, got none")
    settings = {"group_size": group_size, "input_bits": input_bits}

    def swap(name: str, count: int) -> None:
        home, _, key = name.rpartition(".")
        before = small.get_submodule(name)
        weight = before.weight().dequantize() if type(before) is dynamic.Linear else before.dequantized()
        made = WeightOnlyLinear.of(weight, before.bias(), bits=count, relu=before.relu, **settings)
        small.get_submodule(home).add_module(key, made)

    for name in found:
        swap(name, bits)
    if batches is None:
        return small
    given = as_batches(batches)
    kept = list(given) if iter(given) is given else given
    arguments = [batch if transform is None else transform(batch) for batch in kept]
    if not arguments:
        raise ValueError("batches must hold at least one batch, got none")
    if in_8_bits:
        from quantray.analysis import compare

        rows = [row for row in compare(model, small, arguments[:1]) if row.name in found]
        for row in rows[:in_8_bits]:
            swap(row.name, 8)
    _round(model, small, arguments, show_progress)
    return small


def _round(model: nn.Module, small: nn.Module, batches: list[object], show_progress: bool) -> None:
    """All layers in order, each for what goes into it in the model as it is by then."""
    from quantray.analysis._pairs import Pairs, weighted_of

    other = quantized_side(small)
    side = float_side(model, other)
    graph, _ = side.find(batches[0])
    its, _ = other.find(batches[0])
    pairs = Pairs(graph, its, side, other)
    for name in progress(list(pairs.steps), "weights", show_progress):
        weighted = weighted_of(its[name], pairs, side, other)
        if weighted is None:
            continue
        module = small.get_submodule(its[name].value)
        if not isinstance(module, WeightOnlyLinear) or "#" in name:
            continue
        moments = _moments(side, other, pairs.exact_names[name], name, weighted, batches)
        own = [h / max(moments.count, 1) for h in moments.own]
        wanted = least_squares(weighted.weight, moments, own)
        scales = group_scales(wanted, module.code_range, module.group_size, np.diag(own[0]))
        each = spread(scales, module.group_size, module.in_features)
        codes = gptq_codes(wanted, each, module.code_range, own, 0)
        codes = descended(wanted, codes, each, module.code_range, own)
        exact, mean = (np.asarray(v[0]) / max(moments.count, 1) for v in (moments.exact_mean, moments.mean))
        shift = weighted.weight.astype(np.float64) @ exact - (codes * each) @ mean
        bias = shift if weighted.bias is None else weighted.bias + shift
        module.set_codes(codes, scales, bias.astype(np.float32))
        renew(other)


def _moments(
    side: Side, other: Side, mine: str, name: str, weighted: Weighted, batches: list[object]
) -> Moments:
    found = Moments(1)
    for batch in batches:
        graph, inputs = side.find(batch)
        its, its_inputs = other.find(batch)
        x = value_at(side, graph, inputs, graph[mine].args[0])
        z = value_at(other, its, its_inputs, its[name].args[0])
        rows = [rows_of(weighted.kind, weighted.settings, weighted.weight.shape, each) for each in (x, z)]
        assert rows[0] is not None
        assert rows[1] is not None
        found.add(rows[0], rows[1])
    return found
