"""Nodes that cost most by themselves in more bits, or in floats."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TypeVar

from quantray import nn
from quantray.quantization._batches import Batch
from quantray.quantization._placing import Placement
from quantray.quantization._settings import Settings
from quantray.quantization.qconfig import QConfig, qconfig_for_bits
from quantray.quantization.qconfig_mapping import QConfigMapping, get_default_qconfig_mapping
from quantray.quantization.remedies._rewriting import Rewriting

M = TypeVar("M", bound=nn.Module)


def keep_in_float(
    model: M,
    batches: Iterable[Batch],
    qconfig_mapping: QConfig | QConfigMapping | None = None,
    *,
    nodes: int | Iterable[str] = 1,
    bits: int | None = None,
    metric: Callable[..., float] | None = None,
    transform: Callable[[Batch], object] | None = None,
) -> M:
    """The float model as it is, which brings along that some of its nodes are not quantized, or less so.

    Parameters
    ----------
    model : Module
        Of floats; it is not changed.
    batches : iterable
        Arrays, or tuples of the model's arguments; what `metric` is given.
    qconfig_mapping : QConfigMapping or QConfig, optional
        How the others are quantized.
    nodes : int, or iterable of str
        Names of nodes; or how many of those that cost most by themselves, as `analysis.sensitivity` finds.
    bits : int, optional
        Bits of weights and activations of these nodes, up to 8; floats by default.
    metric : callable, optional
        See `analysis.sensitivity`.
    transform : callable, optional
        What makes the model's arguments of a batch.

    Raises
    ------
    ValueError
        For a name that the model has no node of.

    >>> import numpy as np
    >>> from quantray import nn, quantization as tq
    >>> model = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 2))
    >>> x = np.random.default_rng(0).standard_normal((64, 4), np.float32)
    >>> mixed = tq.quantize(tq.remedies.keep_in_float(model, x, nodes=["2"]), x, verbose=False)
    >>> [line.computes for line in tq.report(mixed).lines if line.name == "2"]
    ['float32']

    Source: mixed precision by sensitivity, as in "HAWQ" (Dong et al., arXiv:1905.03696) with measured losses
    in the place of eigenvalues.
    """
    changed = Rewriting(model, batches, qconfig_mapping, transform)
    if isinstance(nodes, int):
        from quantray.analysis import sensitivity

        found = sensitivity(model, changed.batches(), metric, qconfig_mapping=changed.mapping)
        known = quantizable(changed)
        names = [row.name for row in found if row.name.partition("#")[0] in known][:nodes]
    else:
        names = list(nodes)
    known = quantizable(changed)
    for name in names:
        base = name.partition("#")[0].removesuffix(".quantize")
        if base not in known:
            raise ValueError(
                f"nodes must be names of nodes that are quantized, got {name!r}; there are "
                f"{', '.join(sorted(known)[:8])}"
            )
        changed.set_qconfig(base, None if bits is None else qconfig_for_bits(bits, bits, qat=False))
    return changed.result()


def quantizable(model: Rewriting[nn.Module]) -> set[str]:
    """Names of the nodes that settings may take out."""
    settings = Settings(model.model, model.mapping, get_default_qconfig_mapping())
    placement = Placement(model.graph, model.model, settings)
    return {name.partition("#")[0] for name in placement.qconfigs}
