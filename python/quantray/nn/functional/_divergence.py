"""Losses of probabilities: how far they are from those that are right."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

import numpy as np

from quantray.nn._gradients import differentiable, untraced
from quantray.nn._tracing import traced
from quantray.nn.functional._arguments import floats
from quantray.nn.functional._loss import Reduction, check_elements, check_reduction, reduced, same_shape

if TYPE_CHECKING:
    from quantray._typing import Array, Floats, Input
    from quantray.nn._gradients import Vjp
    from quantray.nn.functional._loss import Loss

#: Logarithms below this one are it, as torch has it, so that a loss is finite.
_LEAST = np.float32(-100)
#: The ways to make one number of a divergence.
OF_DIVERGENCE = ("mean", "batchmean", "sum", "none")


def _log(x: Floats) -> Array:
    with np.errstate(divide="ignore"):
        return np.maximum(np.log(x), _LEAST)


@differentiable
def _unlikely(input: Input, target: Input, weight: Floats | np.float32) -> Floats:
    p, t = floats(input), floats(target)
    return -(t * _log(p) + (1 - t) * _log(1 - p)) * weight


@_unlikely.gradient
def _unlikely_gradient(
    wanted: Sequence[int], out: Floats, input: Input, target: Input, weight: Floats | np.float32
) -> Vjp[Floats]:
    p, t = floats(input), floats(target)
    # torch's bound, which keeps the slope finite at 0 and 1.
    slope = (p - t) / np.maximum((1 - p) * p, np.float32(1e-12)) * weight

    def vjp(g: Floats) -> list[Array]:
        each = {0: lambda: g * slope, 1: lambda: g * (_log(1 - p) - _log(p)) * weight}
        return [each[i]() for i in wanted]

    return vjp


@traced
def binary_cross_entropy(
    input: Input, target: Input, weight: Input | None = None, reduction: Reduction = "mean"
) -> Loss:
    """How unlikely the targets are, by probabilities.

    Parameters
    ----------
    input : array
        Probabilities, from 0 to 1, of any shape; `binary_cross_entropy_with_logits` takes what comes before
        a sigmoid, which is more exact.
    target : array
        Probabilities, of the same shape.
    weight : array, optional
        How much each element counts; it broadcasts.
    reduction : str
        "mean", "sum" or "none".

    >>> from quantray.nn import functional as F
    >>> float(F.binary_cross_entropy([0.5], [1.0])) # doctest: +ELLIPSIS
    0.693147...

    Source: `torch.nn.functional.binary_cross_entropy`.
    """
    total = check_elements(input, target, reduction)
    given = floats(untraced(input))
    if given.size and not (given.min() >= 0 and given.max() <= 1):
        raise ValueError(
            f"input must be probabilities, from 0 to 1, got {given.min():g} to {given.max():g}; of logits: "
            "binary_cross_entropy_with_logits"
        )
    weights = np.float32(1) if weight is None else floats(weight)
    return reduced(_unlikely(input, target, weights), reduction, total)


@differentiable
def _divergence(input: Input, target: Input, log_target: bool) -> Floats:
    x, t = floats(input), floats(target)
    if log_target:
        return np.exp(t) * (t - x)
    # 0 * log(0) is 0.
    return t * (np.log(np.where(t > 0, t, np.float32(1))) - x)


@_divergence.gradient
def _divergence_gradient(
    wanted: Sequence[int], out: Floats, input: Input, target: Input, log_target: bool
) -> Vjp[Floats]:
    x, t = floats(input), floats(target)

    def of_target() -> Floats:
        if log_target:
            return np.exp(t) * (t - x + 1)
        return np.log(np.where(t > 0, t, np.float32(1))) - x + (t > 0)

    def vjp(g: Floats) -> list[Floats]:
        each = {0: lambda: -g * (np.exp(t) if log_target else t), 1: lambda: g * of_target()}
        return [each[i]() for i in wanted]

    return vjp


@traced
def kl_div(
    input: Input,
    target: Input,
    reduction: Literal["mean", "sum", "none", "batchmean"] = "mean",
    log_target: bool = False,
) -> Loss:
    """How far probabilities are from others: `target * (log(target) - input)`, on average over all elements.

    Parameters
    ----------
    input : array
        Logarithms of probabilities, of any shape.
    target : array
        Probabilities, or their logarithms with `log_target`, of the same shape.
    reduction : str
        "batchmean": the sum divided by the first length, which is the divergence; "mean": divided by the
        number of elements; "sum" or "none".
    log_target : bool
        Whether the target is given as logarithms.

    >>> import numpy as np
    >>> from quantray.nn import functional as F
    >>> float(F.kl_div(np.log([[0.5, 0.5]]), [[1.0, 0.0]], "batchmean")) # doctest: +ELLIPSIS
    0.693147...

    Source: `torch.nn.functional.kl_div`.
    """
    check_reduction(reduction, OF_DIVERGENCE)
    same_shape(input, target)
    by_batch = reduction == "batchmean"
    shape = np.shape(untraced(input))
    total = (shape[0] if shape else 1) if by_batch else np.size(untraced(input))
    return reduced(_divergence(input, target, log_target), "mean" if by_batch else reduction, total)
