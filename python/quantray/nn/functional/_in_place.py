"""Activations that are written over the tensor that they are of."""

from __future__ import annotations

from typing import TYPE_CHECKING

from quantray._core import QTensor
from quantray.nn._tracing import traced
from quantray.nn.functional._activation import elu, hardtanh, leaky_relu, relu
from quantray.nn.functional._threshold import celu
from quantray.nn.functional._threshold import threshold as _threshold

if TYPE_CHECKING:
    from quantray._typing import Tensor


def _over(input: QTensor, made: Tensor) -> QTensor:
    """A result written over the tensor that it is of, on its grid."""
    if not isinstance(input, QTensor):  # pyright: ignore[reportUnnecessaryIsInstance] # users may err
        raise TypeError(f"input must be a QTensor, got {type(input).__name__}: assign the result to arrays")
    return input.copy_(made)


@traced
def relu_(input: QTensor) -> QTensor:
    """`relu`, in place.

    >>> import quantray as qt
    >>> from quantray.nn import functional as F
    >>> F.relu_(qt.quantize_per_tensor([-1.0, 1.0], 0.5, 0, qt.qint8)).tolist()
    [0.0, 1.0]

    Source: `torch.nn.functional.relu_`.
    """
    return _over(input, relu(input))


@traced
def hardtanh_(input: QTensor, min_val: float = -1.0, max_val: float = 1.0) -> QTensor:
    """`hardtanh`, in place.

    >>> import quantray as qt
    >>> from quantray.nn import functional as F
    >>> F.hardtanh_(qt.quantize_per_tensor([-3.0, 0.5], 0.5, 0, qt.qint8)).tolist()
    [-1.0, 0.5]

    Source: `torch.nn.functional.hardtanh_`.
    """
    return _over(input, hardtanh(input, min_val, max_val))


@traced
def leaky_relu_(input: QTensor, negative_slope: float = 0.01) -> QTensor:
    """`leaky_relu`, in place.

    >>> import quantray as qt
    >>> from quantray.nn import functional as F
    >>> F.leaky_relu_(qt.quantize_per_tensor([-2.0, 2.0], 0.5, 0, qt.qint8), 0.5).tolist()
    [-1.0, 2.0]

    Source: `torch.nn.functional.leaky_relu_`.
    """
    return _over(input, leaky_relu(input, negative_slope))


@traced
def elu_(input: QTensor, alpha: float = 1.0) -> QTensor:
    """`elu`, in place.

    >>> import quantray as qt
    >>> from quantray.nn import functional as F
    >>> F.elu_(qt.quantize_per_tensor([2.0], 0.5, 0, qt.qint8)).tolist()
    [2.0]

    Source: `torch.nn.functional.elu_`.
    """
    return _over(input, elu(input, alpha))


@traced
def celu_(input: QTensor, alpha: float = 1.0) -> QTensor:
    """`celu`, in place.

    >>> import quantray as qt
    >>> from quantray.nn import functional as F
    >>> F.celu_(qt.quantize_per_tensor([2.0], 0.5, 0, qt.qint8)).tolist()
    [2.0]

    Source: `torch.celu_`.
    """
    return _over(input, celu(input, alpha))


@traced
def threshold_(input: QTensor, threshold: float, value: float) -> QTensor:
    """`threshold`, in place.

    >>> import quantray as qt
    >>> from quantray.nn import functional as F
    >>> F.threshold_(qt.quantize_per_tensor([-1.0, 2.0], 0.5, 0, qt.qint8), 0.5, 9.0).tolist()
    [9.0, 2.0]

    Source: `torch.nn.functional.threshold_`.
    """
    return _over(input, _threshold(input, threshold, value))
