"""Ranges of weights with the smallest error: of the weights, or of what they are multiplied with."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TypeVar

import numpy as np

from quantray import nn
from quantray._typing import Array, Doubles
from quantray.graph import Node
from quantray.quantization._batches import Batch
from quantray.quantization.qconfig import QConfig
from quantray.quantization.qconfig_mapping import QConfigMapping
from quantray.quantization.remedies._hessian import as_matrices, rows_of
from quantray.quantization.remedies._rewriting import Rewriting
from quantray.quantization.remedies._rounding import best_scales

M = TypeVar("M", bound=nn.Module)


def weight_ranges(
    model: M,
    batches: Iterable[Batch],
    qconfig_mapping: QConfig | QConfigMapping | None = None,
    *,
    weighted: bool = True,
    transform: Callable[[Batch], object] | None = None,
) -> M:
    """The float model as it is, which brings along ranges for its weights that lose least.

    Parameters
    ----------
    model : Module
        Of floats; it is not changed.
    batches : iterable
        Arrays, or tuples of the model's arguments.
    qconfig_mapping : QConfigMapping or QConfig, optional
        How it is to be quantized: its bits, per tensor or per channel.
    weighted : bool
        Whether a weight's error counts by the mean square of its input, and not alike.
    transform : callable, optional
        What makes the model's arguments of a batch.

    Returns
    -------
    Module
        A copy; `model.qconfig_mapping` is what `prepare` and `quantize` take by default.

    >>> import numpy as np
    >>> from quantray import nn, quantization as tq
    >>> model = nn.Sequential(nn.Linear(64, 8))
    >>> x = np.random.default_rng(0).standard_normal((32, 64)).astype(np.float32)
    >>> found = tq.remedies.weight_ranges(model, x, tq.qconfig_for_bits(4, 8, qat=False))
    >>> found.qconfig_mapping.resolve("0", "Linear").weight()
    FixedScalesObserver(8 scales, codes -8 to 7)

    Source: "A White Paper on Neural Network Quantization" (Nagel et al., arXiv:2106.08295), section 3.1; the
    weights of errors as in "AWQ" (Lin et al., arXiv:2306.00978), section 3.
    """
    changed = Rewriting(model, batches, qconfig_mapping, transform)
    squares = _squares(changed) if weighted else {}
    for name in changed.layers:
        scheme = changed.scheme(name)
        if scheme is None or not changed.is_writable(name):
            continue
        weight, _ = changed.weight_and_bias(name)
        importance = squares.get(name)
        scales = best_scales(
            weight, scheme.code_range, changed.weight_axis(name), scheme.per_channel, importance
        )
        changed.set_scales(name, scales, scheme)
    return changed.result()


def _squares(model: Rewriting[nn.Module]) -> dict[str, Doubles]:
    """By layer the mean square of what each weight is multiplied by, of the weight's shape."""
    sums: dict[str, Doubles] = {}
    counts: dict[str, int] = {}

    def look(node: Node, x: Array, y: Array) -> None:
        weight, _ = model.weight_and_bias(node.name)
        rows = rows_of(node.value.kind, node.kwargs, weight.shape, x)
        if rows is None:
            return
        parts = as_matrices(np.zeros(weight.shape, np.float32), len(rows))
        found = [
            np.broadcast_to(np.einsum("ij,ij->j", r, r, dtype=np.float64), p.shape)
            for r, p in zip(rows, parts, strict=True)
        ]
        total = np.concatenate(found).reshape(weight.shape)
        sums[node.name] = sums[node.name] + total if node.name in sums else total
        counts[node.name] = counts.get(node.name, 0) + len(rows[0])

    model.values(look)
    return {name: total / counts[name] for name, total in sums.items()}
