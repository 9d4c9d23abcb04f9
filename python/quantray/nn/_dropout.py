"""Dropout as modules."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from quantray.nn import functional as F
from quantray.nn._configured import Configured
from quantray.nn._tracing import whole_in_training

if TYPE_CHECKING:
    from quantray._typing import Floats, Input


T = TypeVar("T", bound="Input")


class _Dropout(Configured):
    _arguments = ("p", "inplace")

    def __init__(self, p: float = 0.5, inplace: bool = False) -> None:
        super().__init__()
        if not 0 <= p <= 1:
            raise ValueError(f"p must be from 0 to 1, got {p}")
        self.p, self.inplace = p, inplace

    def extra_repr(self) -> str:
        return f"p={self.p}, inplace={self.inplace}"


class Dropout(_Dropout):
    """In training, each element becomes 0 with probability p; the others are divided by `1 - p`.

    >>> from quantray import nn
    >>> nn.Dropout(0.9).eval()([1.0, 2.0])
    [1.0, 2.0]

    Source: `torch.nn.Dropout`.
    """

    @whole_in_training
    def forward(self, input: T) -> T | Floats:
        """Of the input's shape."""
        return F.dropout(input, self.p, self.training)


class Dropout1d(_Dropout):
    """In training, each channel becomes 0 with probability p; the others are divided by `1 - p`.

    >>> import numpy as np
    >>> from quantray import nn
    >>> y = nn.Dropout1d()(np.ones((2, 9, 4)))
    >>> bool(np.all(y == y[:, :, :1]))
    True

    Source: `torch.nn.Dropout1d`.
    """

    @whole_in_training
    def forward(self, input: T) -> T | Floats:
        """Shape (N, C, L) or (C, L)."""
        return F.dropout1d(input, self.p, self.training)


class Dropout2d(_Dropout):
    """In training, each channel becomes 0 with probability p; the others are divided by `1 - p`.

    >>> import numpy as np
    >>> from quantray import nn
    >>> y = nn.Dropout2d()(np.ones((2, 9, 4, 4)))
    >>> bool(np.all(y == y[:, :, :1, :1]))
    True

    Source: `torch.nn.Dropout2d`.
    """

    @whole_in_training
    def forward(self, input: T) -> T | Floats:
        """Shape (N, C, H, W) or (C, H, W)."""
        return F.dropout2d(input, self.p, self.training)


class Dropout3d(_Dropout):
    """In training, each channel becomes 0 with probability p; the others are divided by `1 - p`.

    >>> import numpy as np
    >>> from quantray import nn
    >>> y = nn.Dropout3d()(np.ones((2, 9, 4, 4, 4)))
    >>> bool(np.all(y == y[:, :, :1, :1, :1]))
    True

    Source: `torch.nn.Dropout3d`.
    """

    @whole_in_training
    def forward(self, input: T) -> T | Floats:
        """Shape (N, C, D, H, W) or (C, D, H, W)."""
        return F.dropout3d(input, self.p, self.training)


class AlphaDropout(_Dropout):
    """Dropout for networks of SELU: it keeps the mean and the variance of normalized inputs.

    >>> from quantray import nn
    >>> nn.AlphaDropout(0.9).eval()([1.0, 2.0])
    [1.0, 2.0]

    Source: `torch.nn.AlphaDropout`; arXiv:1706.02515.
    """

    @whole_in_training
    def forward(self, input: T) -> T | Floats:
        """Of the input's shape."""
        return F.alpha_dropout(input, self.p, self.training)


class FeatureAlphaDropout(_Dropout):
    """`AlphaDropout` of whole channels, the second axis.

    >>> import numpy as np
    >>> from quantray import nn
    >>> y = nn.FeatureAlphaDropout()(np.ones((1, 9, 4)))
    >>> bool(np.all(y == y[:, :, :1]))
    True

    Source: `torch.nn.FeatureAlphaDropout`.
    """

    @whole_in_training
    def forward(self, input: T) -> T | Floats:
        """Shape (N, C, lengths)."""
        return F.feature_alpha_dropout(input, self.p, self.training)
