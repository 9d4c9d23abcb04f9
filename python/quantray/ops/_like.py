"""A tensor with the quantization of another one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from quantray._core import (
    QTensor,
    make_per_channel_quantized_tensor,
    make_per_tensor_quantized_tensor,
    per_tensor_affine,
    per_tensor_symmetric,
)

if TYPE_CHECKING:
    import numpy.typing as npt


def like(q: QTensor, codes: npt.NDArray[Any]) -> QTensor:
    """These codes with the scales, zero points and dtype of `q`, whose channels they keep."""
    if q.qscheme() in (per_tensor_affine, per_tensor_symmetric):
        return make_per_tensor_quantized_tensor(codes, q.q_scale(), q.q_zero_point(), qscheme=q.qscheme())
    scales, zero_points = q.q_per_channel_scales(), q.q_per_channel_zero_points()
    axis = q.q_per_channel_axis()
    return make_per_channel_quantized_tensor(codes, scales, zero_points, axis, qscheme=q.qscheme())


def codes_of(q: QTensor, arg: str) -> npt.NDArray[Any]:
    """The codes of a tensor that has one for each element."""
    codes = q.int_repr()
    if codes.shape != tuple(q.shape):
        raise TypeError(
            f"{arg} must have codes of their own for its elements (qint8, quint8, qint32), got {q.dtype}"
        )
    return np.asarray(codes)
