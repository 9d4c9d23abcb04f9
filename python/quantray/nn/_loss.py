"""Losses as modules."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from quantray.nn import functional as F
from quantray.nn._configured import Configured
from quantray.nn.functional._divergence import OF_DIVERGENCE
from quantray.nn.functional._loss import Reduction, check_reduction

if TYPE_CHECKING:
    from quantray._typing import Input
    from quantray.nn.functional._loss import Loss


class _Loss(Configured):
    _arguments = ("reduction",)

    def __init__(self, reduction: Reduction = "mean") -> None:
        super().__init__()
        check_reduction(reduction)
        self.reduction: Reduction = reduction


class MSELoss(_Loss):
    """Squares of differences, on average.

    >>> from quantray import nn
    >>> float(nn.MSELoss()([1.0, 2.0], [1.0, 4.0]))
    2.0

    Source: `torch.nn.MSELoss`.
    """

    def forward(self, input: Input, target: Input) -> Loss:
        """Arrays of the same shape."""
        return F.mse_loss(input, target, self.reduction)


class L1Loss(_Loss):
    """Sizes of differences, on average.

    >>> from quantray import nn
    >>> float(nn.L1Loss()([1.0, 2.0], [1.0, 4.0]))
    1.0

    Source: `torch.nn.L1Loss`.
    """

    def forward(self, input: Input, target: Input) -> Loss:
        """Arrays of the same shape."""
        return F.l1_loss(input, target, self.reduction)


class NLLLoss(_Loss):
    """Logarithms of the right classes' probabilities, negated; arguments as for `functional.nll_loss`.

    >>> import numpy as np
    >>> from quantray import nn
    >>> float(nn.NLLLoss()([[-1.0, -2.0]], np.array([1])))
    2.0

    Source: `torch.nn.NLLLoss`.
    """

    _arguments = ("ignore_index", "reduction")

    def __init__(
        self, weight: Input | None = None, ignore_index: int = -100, reduction: Reduction = "mean"
    ) -> None:
        super().__init__(reduction)
        self.register_buffer("weight", weight)
        self.ignore_index = ignore_index

    def forward(self, input: Input, target: Input) -> Loss:
        """Logarithms of probabilities and classes."""
        return F.nll_loss(input, target, self.weight, self.ignore_index, self.reduction)


class CrossEntropyLoss(_Loss):
    """How unlikely targets are, by the softmax of logits; arguments as for `functional.cross_entropy`.

    >>> import numpy as np
    >>> from quantray import nn
    >>> round(float(nn.CrossEntropyLoss()([[0.0, 0.0]], np.array([1]))), 4)
    0.6931

    Source: `torch.nn.CrossEntropyLoss`.
    """

    _arguments = ("ignore_index", "reduction", "label_smoothing")

    def __init__(
        self,
        weight: Input | None = None,
        ignore_index: int = -100,
        reduction: Reduction = "mean",
        label_smoothing: float = 0.0,
    ) -> None:
        super().__init__(reduction)
        self.register_buffer("weight", weight)
        self.ignore_index, self.label_smoothing = ignore_index, label_smoothing

    def forward(self, input: Input, target: Input) -> Loss:
        """Logits and classes, or probabilities."""
        settings = (self.weight, self.ignore_index, self.reduction, self.label_smoothing)
        return F.cross_entropy(input, target, *settings)


class BCEWithLogitsLoss(_Loss):
    """How unlikely targets are, by the sigmoid of logits.

    >>> from quantray import nn
    >>> round(float(nn.BCEWithLogitsLoss()([0.0], [1.0])), 4)
    0.6931

    Source: `torch.nn.BCEWithLogitsLoss`.
    """

    def __init__(
        self, weight: Input | None = None, reduction: Reduction = "mean", pos_weight: Input | None = None
    ) -> None:
        super().__init__(reduction)
        self.register_buffer("weight", weight)
        self.register_buffer("pos_weight", pos_weight)

    def forward(self, input: Input, target: Input) -> Loss:
        """Logits and probabilities, of the same shape."""
        settings = (self.weight, self.reduction, self.pos_weight)
        return F.binary_cross_entropy_with_logits(input, target, *settings)


class BCELoss(_Loss):
    """How unlikely targets are, by probabilities.

    >>> from quantray import nn
    >>> round(float(nn.BCELoss()([0.5], [1.0])), 4)
    0.6931

    Source: `torch.nn.BCELoss`.
    """

    def __init__(self, weight: Input | None = None, reduction: Reduction = "mean") -> None:
        super().__init__(reduction)
        self.register_buffer("weight", weight)

    def forward(self, input: Input, target: Input) -> Loss:
        """Probabilities and those that are right, of the same shape."""
        return F.binary_cross_entropy(input, target, self.weight, self.reduction)


class SmoothL1Loss(_Loss):
    """Squares of small differences, sizes of large ones, on average.

    >>> from quantray import nn
    >>> float(nn.SmoothL1Loss()([0.0, 0.0], [1.0, 3.0]))
    1.5

    Source: `torch.nn.SmoothL1Loss`; arXiv:1504.08083.
    """

    _arguments = ("reduction", "beta")

    def __init__(self, reduction: Reduction = "mean", beta: float = 1.0) -> None:
        super().__init__(reduction)
        self.beta = beta

    def forward(self, input: Input, target: Input) -> Loss:
        """Arrays of the same shape."""
        return F.smooth_l1_loss(input, target, self.reduction, self.beta)


class HuberLoss(_Loss):
    """Squares of small differences, sizes of large ones times `delta`, on average.

    >>> from quantray import nn
    >>> float(nn.HuberLoss()([0.0, 0.0], [1.0, 3.0]))
    1.5

    Source: `torch.nn.HuberLoss`.
    """

    _arguments = ("reduction", "delta")

    def __init__(self, reduction: Reduction = "mean", delta: float = 1.0) -> None:
        super().__init__(reduction)
        self.delta = delta

    def forward(self, input: Input, target: Input) -> Loss:
        """Arrays of the same shape."""
        return F.huber_loss(input, target, self.reduction, self.delta)


class KLDivLoss(Configured):
    """How far probabilities are from others; arguments as for `functional.kl_div`.

    >>> import numpy as np
    >>> from quantray import nn
    >>> round(float(nn.KLDivLoss("batchmean")(np.log([[0.5, 0.5]]), [[1.0, 0.0]])), 4)
    0.6931

    Source: `torch.nn.KLDivLoss`.
    """

    _arguments = ("reduction", "log_target")

    def __init__(
        self, reduction: Literal["mean", "sum", "none", "batchmean"] = "mean", log_target: bool = False
    ) -> None:
        super().__init__()
        check_reduction(reduction, OF_DIVERGENCE)
        self.reduction: Literal["mean", "sum", "none", "batchmean"] = reduction
        self.log_target = log_target

    def forward(self, input: Input, target: Input) -> Loss:
        """Logarithms of probabilities, and probabilities, of the same shape."""
        return F.kl_div(input, target, self.reduction, self.log_target)
