"""A tensor with the quantization of another one."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from quantray._core import (
    QTensor,
    make_per_channel_quantized_tensor,
    make_per_tensor_quantized_tensor,
    per_tensor_affine,
    per_tensor_symmetric,
    qint8,
    quint8,
)

if TYPE_CHECKING:
    from quantray._typing import Array, Floats


def like(q: QTensor, codes: Array) -> QTensor:
    """These codes with the scales, zero points and dtype of `q`, whose channels they keep."""
    if q.qscheme() in (per_tensor_affine, per_tensor_symmetric):
        return make_per_tensor_quantized_tensor(codes, q.q_scale(), q.q_zero_point(), qscheme=q.qscheme())
    scales, zero_points = q.q_per_channel_scales(), q.q_per_channel_zero_points()
    axis = q.q_per_channel_axis()
    return make_per_channel_quantized_tensor(codes, scales, zero_points, axis, qscheme=q.qscheme())


def codes_of(q: QTensor, arg: str) -> Array:
    """The codes of a tensor that has one for each element."""
    if not isinstance(q, QTensor):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise TypeError(f"{arg} must be a QTensor, got {type(q).__name__}: quantize it first")
    codes = q.int_repr()
    if codes.shape != tuple(q.shape):
        raise TypeError(
            f"{arg} must have codes of their own for its elements (qint8, quint8, qint32), got {q.dtype}"
        )
    return np.asarray(codes)


def mapped(q: QTensor, function: Callable[[Floats], Array]) -> QTensor:
    """A function of each value, on the tensor's own grid: by a table of its codes where they are few.

    The same number for the same code, whatever is around it.
    """
    if q.axis is None and q.dtype in (qint8, quint8):
        table = like(q, np.arange(q.dtype.qmin, q.dtype.qmax + 1, dtype=q.numpy_dtype))
        made = q.quantizer.quantize(function(table.dequantize())).int_repr()
        # Of no dimensions, the look-up gives a number.
        return like(q, np.asarray(made[q.int_repr().astype(np.int64) - q.dtype.qmin]))
    return q.quantizer.quantize(function(q.dequantize()))
