"""Bias correction: what rounding the weights shifts an output by, in the mean, is taken off its bias."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TypeVar

import numpy as np

from quantray import nn
from quantray._typing import Array, Doubles, Floats
from quantray.graph import Node
from quantray.quantization._batches import Batch, as_batches
from quantray.quantization.qconfig import QConfig
from quantray.quantization.qconfig_mapping import QConfigMapping
from quantray.quantization.remedies._hessian import as_matrices, rows_of
from quantray.quantization.remedies._measuring import output_sqnr
from quantray.quantization.remedies._rewriting import Rewriting

M = TypeVar("M", bound=nn.Module)


def correct_bias(
    model: M,
    batches: Iterable[Batch],
    qconfig_mapping: QConfig | QConfigMapping | None = None,
    *,
    data_held_out: Iterable[Batch] | None = None,
    transform: Callable[[Batch], object] | None = None,
) -> M:
    """A float model whose biases make up for the mean of what its weights' rounding will do.

    Parameters
    ----------
    model : Module
        Of floats; it is not changed.
    batches : iterable
        Arrays, or tuples of the model's arguments.
    qconfig_mapping : QConfigMapping or QConfig, optional
        How it is to be quantized.
    data_held_out : iterable, optional
        Other batches: biases are changed only if the quantized model's output is nearer to the exact one
        on these. By default it is the second half of `batches`, where there are several.
    transform : callable, optional
        What makes the model's arguments of a batch.

    Returns
    -------
    Module
        The model, corrected; a copy as it was where held-out data do not gain.

    >>> import numpy as np
    >>> from quantray import nn, quantization as tq
    >>> model = nn.Sequential(nn.Linear(32, 4), nn.ReLU(), nn.Linear(4, 2))
    >>> x = np.random.default_rng(0).random((256, 32), np.float32)
    >>> bits = tq.qconfig_for_bits(3, 8, qat=False)
    >>> fixed = tq.remedies.correct_bias(model, [x[:128], x[128:]], bits)
    >>> np.abs(fixed[0].bias - model[0].bias).max() > 0
    np.True_

    Source: "Data-Free Quantization Through Weight Equalization and Bias Correction" (Nagel et al.,
    arXiv:1906.04721), equation 17, with the mean of real inputs.
    """
    changed = Rewriting(model, batches, qconfig_mapping, transform)
    means: dict[str, list[Doubles]] = {}
    counts: dict[str, int] = {}

    def look(node: Node, x: Array, y: Array) -> None:
        weight, _ = changed.weight_and_bias(node.name)
        rows = rows_of(node.value.kind, node.kwargs, weight.shape, x)
        if rows is None:
            return
        found = [r.sum(axis=0, dtype=np.float64) for r in rows]
        before = means.get(node.name)
        means[node.name] = found if before is None else [a + b for a, b in zip(before, found, strict=True)]
        counts[node.name] = counts.get(node.name, 0) + len(rows[0])

    changed.values(look)
    before = changed.model.copy()
    before.__dict__["qconfig_mapping"] = changed.mapping
    for name, total in means.items():
        weight, bias = changed.weight_and_bias(name)
        rounded = rounded_weight(changed, name, weight)
        if rounded is None or (bias is None and changed.layers[name].value.norm is None):
            continue
        groups = len(total)
        off = as_matrices(np.asarray(weight, np.float64) - rounded, groups)
        shift = np.concatenate([d @ (m / counts[name]) for d, m in zip(off, total, strict=True)])
        changed.write(name, weight, shift if bias is None else bias + shift)
    after = changed.result()
    if data_held_out is None:
        given = list(changed.batches())
        held = given[len(given) // 2 :]
    else:
        held = [batch if transform is None else transform(batch) for batch in as_batches(data_held_out)]
    old = output_sqnr(model, before, changed.batches(), held)
    new = output_sqnr(model, after, changed.batches(), held)
    return after if new > old else before


def rounded_weight(model: Rewriting[nn.Module], name: str, weight: Array) -> Floats | None:
    """What a layer's weight will be once it is quantized; None where it stays in float."""
    from quantray.nn.quantized._weighted import quantize_weight

    scheme = model.scheme(name)
    if scheme is None:
        return None
    observer = scheme.qconfig.weight()
    observer(weight)
    return quantize_weight(weight, observer, model.weight_axis(name)).dequantize()
