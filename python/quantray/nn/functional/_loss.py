"""Losses: one number from predictions and targets."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Concatenate, Literal, ParamSpec

import numpy as np

from quantray import ops
from quantray.nn._gradients import Differentiable, differentiable, untraced
from quantray.nn._tracing import traced
from quantray.nn.functional._arguments import floats
from quantray.nn.functional._softmax import log_softmax

if TYPE_CHECKING:
    from typing import TypeAlias

    from quantray._typing import Array, Floats, Input
    from quantray.nn._gradients import Vjp

    #: One number; with "none" as reduction one for each element.
    Loss: TypeAlias = Floats | np.float32

Reduction = Literal["mean", "sum", "none"]
#: Settings of a function.
Settings = ParamSpec("Settings")


def check_reduction(reduction: str, valid: Sequence[str] = ("mean", "sum", "none")) -> None:
    if reduction not in valid:
        *names, last = (f'"{name}"' for name in valid)
        raise ValueError(f"reduction must be {', '.join(names)} or {last}, got {reduction!r}")


@differentiable
def reduced(values: Input, reduction: Reduction, total: float) -> Loss:
    """Values, their sum, or that divided by `total`."""
    x = floats(values)
    if reduction == "none":
        return x
    # Sums of many small numbers: in float64.
    with np.errstate(invalid="ignore", divide="ignore"):
        summed = x.sum(dtype=np.float64) / (np.float64(total) if reduction == "mean" else 1)
    return np.float32(summed)


@reduced.gradient
def _reduce_gradient(
    wanted: Sequence[int], out: Loss, values: Input, reduction: Reduction, total: float
) -> Vjp[Loss]:
    shape = np.shape(values)
    if reduction == "none":
        return lambda g: [g]
    return lambda g: [np.broadcast_to(g / np.float32(total if reduction == "mean" else 1), shape)]


def same_shape(input: Input, target: Input) -> None:
    if np.shape(input) != np.shape(target):
        raise ValueError(f"target must be of the input's shape, {np.shape(input)}, got {np.shape(target)}")


def check_elements(input: Input, target: Input, reduction: Reduction) -> int:
    """How many elements a loss of each of them has; raises for what it cannot take."""
    check_reduction(reduction)
    same_shape(input, target)
    return int(np.size(untraced(input)))


def of_differences(
    forward: Callable[Concatenate[Floats, Settings], Floats],
    slope: Callable[Concatenate[Floats, Settings], Floats],
) -> Differentiable[Concatenate[Input, Input, Settings], Floats]:
    """A function of differences, and of settings; `slope(d, ...)` is its derivative."""

    @differentiable
    def made(input: Input, target: Input, /, *settings: Settings.args, **named: Settings.kwargs) -> Floats:
        return forward(floats(input) - floats(target), *settings, **named)

    @made.gradient
    def _gradient(
        wanted: Sequence[int],
        out: Floats,
        input: Input,
        target: Input,
        /,
        *settings: Settings.args,
        **named: Settings.kwargs,
    ) -> Vjp[Floats]:
        slopes = slope(floats(input) - floats(target), *settings, **named)
        return lambda g: [g * slopes * np.float32(1 - 2 * i) for i in wanted]

    return made


_squares: Differentiable[[Input, Input], Floats] = of_differences(lambda d: np.square(d), lambda d: 2 * d)
_distances: Differentiable[[Input, Input], Floats] = of_differences(lambda d: np.abs(d), lambda d: np.sign(d))


@traced
def mse_loss(input: Input, target: Input, reduction: Reduction = "mean") -> Loss:
    """Squares of differences, on average.

    Parameters
    ----------
    input, target : array
        Of the same shape.
    reduction : str
        "mean", "sum", or "none": a loss for each element.

    >>> from quantray.nn import functional as F
    >>> float(F.mse_loss([1.0, 2.0], [1.0, 4.0]))
    2.0

    Source: `torch.nn.functional.mse_loss`.
    """
    total = check_elements(input, target, reduction)
    return reduced(_squares(input, target), reduction, total)


@traced
def l1_loss(input: Input, target: Input, reduction: Reduction = "mean") -> Loss:
    """Sizes of differences, on average.

    Parameters
    ----------
    input, target : array
        Of the same shape.
    reduction : str
        As for `mse_loss`.

    >>> from quantray.nn import functional as F
    >>> float(F.l1_loss([1.0, 2.0], [1.0, 4.0]))
    1.0

    Source: `torch.nn.functional.l1_loss`.
    """
    total = check_elements(input, target, reduction)
    return reduced(_distances(input, target), reduction, total)


@differentiable
def _weighted_sum(input: Input, weights: Floats) -> Floats:
    """Over the second axis, or the only one."""
    x = floats(input)
    return (x * weights).sum(min(x.ndim - 1, 1))


@_weighted_sum.gradient
def _weighted_sum_gradient(wanted: Sequence[int], out: Floats, input: Input, weights: Floats) -> Vjp[Floats]:
    axis = min(np.ndim(input) - 1, 1)
    return lambda g: [np.expand_dims(g, axis) * weights]


def _class_weights(weight: Input | None, classes: int) -> Floats:
    if weight is None:
        return np.ones(classes, np.float32)
    if np.shape(weight) != (classes,):
        raise ValueError(f"weight must be of shape ({classes},), got {np.shape(weight)}")
    return floats(weight)


def _of_classes(
    log: Input,
    target: Input,
    weight: Input | None,
    ignore_index: int,
    reduction: Reduction,
    smoothing: float,
) -> Loss:
    """The loss of logarithms of probabilities, for targets that are classes."""
    check_reduction(reduction)
    shape, target = np.shape(log), np.asarray(untraced(target))
    if not shape:
        raise ValueError("input must be of shape (C,) or (N, C, ...), got ()")
    axis = min(len(shape) - 1, 1)
    classes = shape[axis]
    if target.shape != (*shape[:axis], *shape[axis + 1 :]):
        wanted = (*shape[:axis], *shape[axis + 1 :])
        raise ValueError(
            f"target must be of shape {wanted} for an input of shape {shape}, got {target.shape}"
        )
    kept = target != ignore_index
    if np.any(kept & ((target < 0) | (target >= classes))):
        bad = target[kept & ((target < 0) | (target >= classes))].flat[0]
        raise ValueError(
            f"target must be from 0 to {classes - 1}, or ignore_index, {ignore_index}, got {bad}"
        )
    own = _class_weights(weight, classes)
    at = np.where(kept, target, 0)
    weights = own[at] * kept
    hot = np.zeros(shape, np.float32)
    np.put_along_axis(
        hot, np.expand_dims(at, axis), np.expand_dims(weights, axis) * np.float32(1 - smoothing), axis
    )
    if smoothing:
        each = own.reshape(-1, *[1] * (len(shape) - axis - 1)) * np.float32(smoothing / classes)
        hot += each * np.expand_dims(kept, axis)
    return reduced(_weighted_sum(log, -hot), reduction, weights.sum(dtype=np.float64))


@traced
def nll_loss(
    input: Input,
    target: Input,
    weight: Input | None = None,
    ignore_index: int = -100,
    reduction: Reduction = "mean",
) -> Loss:
    """Logarithms of the right classes' probabilities, negated.

    Parameters
    ----------
    input : array
        Logarithms of probabilities, of shape (N, C), (N, C, ...) or (C,).
    target : array of int
        Classes from 0 to C - 1, of shape (N,), (N, ...) or ().
    weight : array, optional
        Shape (C,): how much each class counts.
    ignore_index : int
        A target that does not count.
    reduction : str
        "mean" (weighted), "sum" or "none".

    >>> import numpy as np
    >>> from quantray.nn import functional as F
    >>> float(F.nll_loss(np.log([[0.5, 0.5]]), np.array([1]))) # doctest: +ELLIPSIS
    0.693147...

    Source: `torch.nn.functional.nll_loss`.
    """
    return _of_classes(input, target, weight, ignore_index, reduction, 0.0)


@traced
def cross_entropy(
    input: Input,
    target: Input,
    weight: Input | None = None,
    ignore_index: int = -100,
    reduction: Reduction = "mean",
    label_smoothing: float = 0.0,
) -> Loss:
    """How unlikely the targets are, by the softmax of logits.

    Parameters
    ----------
    input : array
        Logits, of shape (N, C), (N, C, ...) or (C,).
    target : array
        Classes, integers of shape (N,), (N, ...) or (); or probabilities, floats of the input's shape.
    weight : array, optional
        Shape (C,): how much each class counts.
    ignore_index : int
        A class that does not count.
    reduction : str
        "mean" (weighted, for classes), "sum" or "none".
    label_smoothing : float
        From 0 to 1: how much of the target is spread over all classes.

    >>> import numpy as np
    >>> from quantray.nn import functional as F
    >>> float(F.cross_entropy([[0.0, 0.0]], np.array([1]))) # doctest: +ELLIPSIS
    0.693147...

    Source: `torch.nn.functional.cross_entropy`.
    """
    if not 0 <= label_smoothing <= 1:
        raise ValueError(f"label_smoothing must be from 0 to 1, got {label_smoothing}")
    shape = np.shape(input)
    axis = min(max(len(shape) - 1, 0), 1)
    log = log_softmax(input, axis)
    given = np.asarray(untraced(target))
    if given.dtype.kind in "iub" and given.shape != shape:
        return _of_classes(log, given, weight, ignore_index, reduction, label_smoothing)
    check_reduction(reduction)
    same_shape(input, given)
    classes = shape[axis]
    own = _class_weights(weight, classes).reshape(-1, *[1] * (len(shape) - axis - 1))
    smooth = floats(given) * np.float32(1 - label_smoothing) + np.float32(label_smoothing / classes)
    return reduced(_weighted_sum(log, -smooth * own), reduction, given.size // max(classes, 1))


@differentiable
def _logistic(
    input: Input, target: Input, weight: Floats | np.float32, pos_weight: Floats | np.float32
) -> Array:
    x, t = floats(input), floats(target)
    # log(1 + exp(-x)), without powers of large numbers.
    low = np.log1p(np.exp(-np.abs(x))) + np.maximum(-x, np.float32(0))
    return ((1 - t) * x + (1 + (pos_weight - 1) * t) * low) * weight


@_logistic.gradient
def _logistic_gradient(
    wanted: Sequence[int],
    out: Array,
    input: Input,
    target: Input,
    weight: Floats | np.float32,
    pos_weight: Floats | np.float32,
) -> Vjp[Array]:
    x, t = floats(input), floats(target)

    def vjp(g: Array) -> list[Array]:
        low = np.log1p(np.exp(-np.abs(x))) + np.maximum(-x, np.float32(0))
        each = {
            0: lambda: g * weight * ((1 - t) - (1 + (pos_weight - 1) * t) * ops.sigmoid(-x)),
            1: lambda: g * weight * ((pos_weight - 1) * low - x),
        }
        return [each[i]() for i in wanted]

    return vjp


@traced
def binary_cross_entropy_with_logits(
    input: Input,
    target: Input,
    weight: Input | None = None,
    reduction: Reduction = "mean",
    pos_weight: Input | None = None,
) -> Loss:
    """How unlikely the targets are, by the sigmoid of logits.

    Parameters
    ----------
    input : array
        Logits, of any shape.
    target : array
        Probabilities, of the same shape.
    weight : array, optional
        How much each element counts; it broadcasts.
    reduction : str
        "mean", "sum" or "none".
    pos_weight : array, optional
        How much positive targets count more; it broadcasts.

    >>> from quantray.nn import functional as F
    >>> float(F.binary_cross_entropy_with_logits([0.0], [1.0])) # doctest: +ELLIPSIS
    0.693147...

    Source: `torch.nn.functional.binary_cross_entropy_with_logits`.
    """
    total = check_elements(input, target, reduction)
    one = np.float32(1)
    weights = one if weight is None else floats(weight)
    positive = one if pos_weight is None else floats(pos_weight)
    return reduced(_logistic(input, target, weights, positive), reduction, total)
