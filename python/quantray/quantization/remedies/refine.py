"""Weights of a model that is quantized already, rounded anew for what really goes into them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, TypeVar, cast

import numpy as np

from quantray import nn
from quantray._core import qint8
from quantray._typing import Floats
from quantray.quantization._batches import Batch, as_batches
from quantray.quantization._progress import progress
from quantray.quantization._sides import InCalls, Side, float_side, quantized_side, value_at
from quantray.quantization.remedies._hessian import rows_of
from quantray.quantization.remedies._input_factors import as_in_calls, best_factor, renew, with_scales
from quantray.quantization.remedies._reconstruction import Moments, fitted_codes
from quantray.quantization.remedies._rounding import gptq_codes

if TYPE_CHECKING:
    from quantray.analysis._pairs import Pairs, Weighted


M = TypeVar("M", bound=nn.Module)


def refine(
    model: nn.Module,
    int8: M,
    batches: Iterable[Batch],
    *,
    smooth: bool = True,
    transform: Callable[[Batch], object] | None = None,
    show_progress: bool = False,
) -> M:
    """A quantized model whose weights are rounded for their inputs: of any workflow, as fast as before.

    Layer by layer, first to last, as `gptq` does it: weights that make the layer's output exact for what
    goes in, which is rounded too; codes of these, and scales; what is lost in the mean goes into the bias.

    Parameters
    ----------
    model : Module
        The float model that `int8` was made of.
    int8 : Module
        From `quantize`, `convert` or `quantize_dynamic`; it is not changed.
    batches : iterable
        Arrays, or tuples of the model's arguments: some hundred samples; gone through twice for each layer.
    smooth : bool
        Whether linear layers of `quantize_dynamic` may multiply their inputs by a factor each before they
        round them, where outliers make that worth one more pass over the input.
    transform : callable, optional
        What makes the model's arguments of a batch.
    show_progress : bool
        Whether to show a bar.

    Returns
    -------
    Module
        A copy with other weights of as many bits. Transposed convolutions stay as they are, and what has
        weights of more than one layer: recurrent ones.

    Raises
    ------
    ValueError
        For no batches, and for models that do not correspond.

    >>> import numpy as np
    >>> from quantray import nn, quantization as tq
    >>> rng = np.random.default_rng(0)
    >>> model = nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 8))
    >>> x = rng.standard_normal((512, 8)).astype(np.float32) @ rng.standard_normal((8, 64), np.float32)
    >>> int8 = tq.quantize_dynamic(model)
    >>> better = tq.remedies.refine(model, int8, x)
    >>> bool(np.square(better(x) - model(x)).sum() < 0.7 * np.square(int8(x) - model(x)).sum())
    True

    Source: "GPTQ" (Frantar et al., arXiv:2210.17323); "GPTAQ" (Li et al., arXiv:2504.02692).
    """
    from quantray.analysis._pairs import Pairs, weighted_of

    given = as_batches(batches)
    kept = list(given) if iter(given) is given else given
    arguments = [batch if transform is None else transform(batch) for batch in kept]
    if not arguments:
        raise ValueError("batches must hold at least one batch, got none")
    other = quantized_side(int8.copy())
    side = float_side(model, other)
    graph, _ = side.find(arguments[0])
    its, _ = other.find(arguments[0])
    pairs = Pairs(graph, its, side, other)
    done: set[int] = set()
    for name in progress(list(pairs.steps), "refine", show_progress):
        weighted = weighted_of(its[name], pairs, side, other)
        if weighted is None or weighted.weight_axis or weighted.codes.dtype != qint8:
            continue
        module = other.model.get_submodule(getattr(its[name].value, "path", its[name].value))
        if id(module) in done:
            # Another call of it: its weights fit the first one.
            continue
        done.add(id(module))
        moments = _moments(side, other, pairs, name, weighted, module, arguments, smooth)
        if moments is None:
            continue
        weight, factor = weighted.weight, moments.factor
        if factor is not None:
            weight = weight / factor
            module.input_factor = factor.astype(np.float32)
        codes, scales, shift = fitted_codes(
            weight, moments, weighted.code_range, weighted.is_per_channel, gptq_codes
        )
        made = with_scales(codes, scales, weighted.is_per_channel)
        bias = weighted.bias
        module.set_weight_bias(made, shift if bias is None else (bias + shift).astype(np.float32))
        renew(other)
    # The copy of `int8` that was made above.
    return cast("M", other.model)


def _moments(
    side: Side,
    other: Side,
    pairs: Pairs,
    name: str,
    weighted: Weighted,
    module: nn.Module,
    batches: list[object],
    smooth: bool,
) -> Moments | None:
    mine = pairs.exact_names[name]
    found: Moments | None = None
    factor: Floats | None = None
    for batch in batches:
        graph, inputs = side.find(batch)
        its, its_inputs = other.find(batch)
        if mine not in graph or name not in its:
            continue
        x = value_at(side, graph, inputs, graph[mine].args[0])
        z = value_at(other, its, its_inputs, its[name].args[0])
        if isinstance(other, InCalls):
            if found is None and smooth and hasattr(module, "input_factor"):
                factor = best_factor(np.asarray(x, np.float32), weighted, bool(module.per_row))
            if factor is not None:
                x, z = x * factor, z * factor
            z = as_in_calls(np.asarray(z, np.float32), weighted.kind, bool(getattr(module, "per_row", True)))
        rows = [rows_of(weighted.kind, weighted.settings, weighted.weight.shape, each) for each in (x, z)]
        if rows[0] is None or rows[1] is None:
            return None
        found = found or Moments(len(rows[0]))
        found.add(rows[0], rows[1])
    if found is not None:
        found.factor = factor
    return found
