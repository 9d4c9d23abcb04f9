"""Ranges of activations by the observer that loses least of what the model returns.

Weights of few bits have 8 while observers are compared: what their rounding loses by nearest codes hides
what observers differ by, and is another remedy's to take away.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TypeVar

from quantray import nn
from quantray.quantization._batches import Batch
from quantray.quantization.observer import (
    HistogramObserver,
    MinMaxObserver,
    MSEObserver,
    UniformQuantizationObserverBase,
    default_per_channel_weight_observer,
)
from quantray.quantization.observer._types import PER_TENSOR
from quantray.quantization.qconfig import QConfig
from quantray.quantization.qconfig_mapping import QConfigMapping
from quantray.quantization.remedies._measuring import output_sqnr
from quantray.quantization.remedies._rewriting import Rewriting

M = TypeVar("M", bound=nn.Module)

#: What is tried, in this order.
OBSERVERS = (HistogramObserver, MinMaxObserver, MSEObserver)
#: Codes between the ends of 7 bits: weights of as many are fine enough.
_FINE = 127


def activation_ranges(
    model: M,
    batches: Iterable[Batch],
    qconfig_mapping: QConfig | QConfigMapping | None = None,
    *,
    observers: Iterable[type[UniformQuantizationObserverBase]] = OBSERVERS,
    transform: Callable[[Batch], object] | None = None,
) -> M:
    """The float model as it is, which brings along the kind of observer that its output loses least with.

    Parameters
    ----------
    model : Module
        Of floats; it is not changed.
    batches : iterable
        Arrays, or tuples of the model's arguments: what ranges are taken from, and the output looked at.
    qconfig_mapping : QConfigMapping or QConfig, optional
        How it is to be quantized; ranges that are fixed stay as they are.
    observers : iterable
        Classes of observers: those that are tried.
    transform : callable, optional
        What makes the model's arguments of a batch.

    Raises
    ------
    ValueError
        For no observers.

    >>> import numpy as np
    >>> from quantray import nn, quantization as tq
    >>> model = nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 8))
    >>> x = np.random.default_rng(0).standard_normal((256, 64)).astype(np.float32)
    >>> found = tq.remedies.activation_ranges(model, x, tq.qconfig_for_bits(8, 3, qat=False))
    >>> type(found.qconfig_mapping.resolve("0", "Linear").activation()).__name__
    'MSEObserver'

    Source: "A White Paper on Neural Network Quantization" (Nagel et al., arXiv:2106.08295), section 3.1.
    """
    base = Rewriting(model, batches, qconfig_mapping, transform)
    given = list(base.batches())
    best: tuple[float, M] | None = None
    for observer in observers:
        tried = base.model.copy()
        tried.__dict__["qconfig_mapping"] = with_observer(base.mapping, observer)
        alone = tried.copy()
        alone.__dict__["qconfig_mapping"] = _changed(tried.qconfig_mapping, _with_fine_weights)
        found = output_sqnr(model, alone, given, given)
        if best is None or found > best[0]:
            best = found, tried
    if best is None:
        raise ValueError("observers must be classes of observers, got none")
    return best[1]


def with_observer(mapping: QConfigMapping, observer: type[UniformQuantizationObserverBase]) -> QConfigMapping:
    """A mapping whose activations are observed by another class, in the same bits."""

    def changed(qconfig: QConfig | None) -> QConfig | None:
        if qconfig is None:
            return None
        before = qconfig.activation()
        known = isinstance(before, UniformQuantizationObserverBase) and before.qscheme in PER_TENSOR
        if not known or before.is_dynamic or isinstance(before, observer):
            return qconfig
        settings: dict[str, object] = {"dtype": before.dtype, "qscheme": before.qscheme}
        if before.has_customized_qrange:
            settings |= {"quant_min": before.quant_min, "quant_max": before.quant_max}
        elif before.reduce_range or issubclass(observer, HistogramObserver):
            settings["reduce_range"] = before.reduce_range
        return QConfig(observer.with_args(**settings), qconfig.weight)

    return _changed(mapping, changed)


def _with_fine_weights(qconfig: QConfig | None) -> QConfig | None:
    """The same activations, and weights of 8 bits in the place of fewer."""
    if qconfig is None:
        return None
    weight = qconfig.weight()
    low, high = getattr(weight, "quant_min", None), getattr(weight, "quant_max", None)
    is_fine = low is None or high is None or high - low >= _FINE
    return qconfig if is_fine else QConfig(qconfig.activation, default_per_channel_weight_observer)


def _changed(mapping: QConfigMapping, change: Callable[[QConfig | None], QConfig | None]) -> QConfigMapping:
    """A mapping with other settings of each kind, name and default."""
    made = mapping.to_dict()
    found: dict[str, object] = {"": change(made[""])}
    for kind in ("object_type", "module_name_regex", "module_name"):
        found[kind] = [(key, change(qconfig)) for key, qconfig in made[kind]]
    return QConfigMapping.from_dict(found)
