"""A tensor and a number: the grid moves, so that codes stay or lose as little as can be."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from quantray._core import QTensor, make_per_tensor_quantized_tensor

if TYPE_CHECKING:
    from quantray._typing import Array


def _parts(input: QTensor, other: float) -> tuple[int, int, float]:
    if not isinstance(input, QTensor) or input.axis is not None:  # pyright: ignore[reportUnnecessaryIsInstance]
        got = input.qscheme() if isinstance(input, QTensor) else type(input).__name__  # pyright: ignore
        raise TypeError(f"input must be a QTensor quantized per tensor, got {got}")
    if input.dtype.bits < 8:
        raise TypeError(
            f"input must be of qint8, quint8 or qint32, got {input.dtype}: call dequantize() first"
        )
    number = float(other)
    if not np.isfinite(number):
        raise ValueError(f"other must be finite, got {number}")
    return input.dtype.qmin, input.dtype.qmax, number


def _made(like: QTensor, codes: Array, scale: float, zero_point: int) -> QTensor:
    return make_per_tensor_quantized_tensor(codes.astype(like.numpy_dtype), scale, zero_point)


def add_scalar(input: QTensor, other: float) -> QTensor:
    """A tensor and a number: the same codes with another zero point, where the dtype has it.

    Where it has not, the steps become as much longer as the range needs, and codes are rounded once.

    Parameters
    ----------
    input : QTensor
        Of any shape; qint8, quint8 or qint32, per tensor.
    other : float
        Rounded to the tensor's steps.

    Returns
    -------
    QTensor

    >>> import quantray as qt
    >>> q = qt.quantize_per_tensor([-1.0, 2.0], 0.5, 100, qt.quint8)
    >>> y = qt.ops.add_scalar(q, 3.0)
    >>> y.tolist(), y.q_zero_point()
    ([2.0, 5.0], 94)

    Source: `torch.ops.quantized.add_scalar`.
    """
    least, most, number = _parts(input, other)
    scale, zero = input.q_scale(), input.q_zero_point()
    steps = int(np.rint(np.float32(number) / np.float32(scale)))
    moved = zero - steps
    if least <= moved <= most:
        return _made(input, input.int_repr().copy(), scale, moved)
    # The new range begins, or ends, at 0.
    if moved < least:
        wider, new_zero = (most - moved) / (most - least) * scale, least
    else:
        wider, new_zero = (moved - least) / (most - least) * scale, most
    values = input.int_repr().astype(np.int64) - zero + steps
    factor = np.float32(scale) * (np.float32(1) / np.float32(wider))
    codes = np.rint(values.astype(np.float32) * factor).astype(np.float64) + new_zero
    return _made(input, np.clip(codes, least, most), wider, new_zero)


def mul_scalar(input: QTensor, other: float) -> QTensor:
    """A tensor times a number: the same codes with longer steps, mirrored where the number is negative.

    Parameters
    ----------
    input : QTensor
        Of any shape; qint8, quint8 or qint32, per tensor.
    other : float
        Times 0 is a tensor of zeros with scale 1.

    Returns
    -------
    QTensor

    >>> import quantray as qt
    >>> q = qt.quantize_per_tensor([-1.0, 2.0], 0.5, 100, qt.quint8)
    >>> y = qt.ops.mul_scalar(q, -2.0)
    >>> y.tolist(), y.q_scale(), y.q_zero_point()
    ([2.0, -4.0], 1.0, 155)

    Source: `torch.ops.quantized.mul_scalar`.
    """
    least, most, number = _parts(input, other)
    scale, zero, codes = input.q_scale(), input.q_zero_point(), input.int_repr()
    if number == 0:
        return _made(input, np.zeros(codes.shape), 1.0, 0)
    if number > 0:
        return _made(input, codes.copy(), number * scale, zero)
    return _made(input, least + most - codes.astype(np.int64), -number * scale, least + most - zero)
