"""Weights of few bits: in memory each code has a byte of its own, in files they share one.

Codes from `low` on are stored as those from 0 on, of 2 or of 4 bits, as quint2x4 and quint4x2 have them:
flat, the first in the low bits. Scales stay, and zero points move with the codes, so that the tensor in the
file stands for the same numbers.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import numpy as np

from quantray import _core
from quantray._core import QTensor

if TYPE_CHECKING:
    from quantray._typing import Codes

#: For each packed dtype its bits.
_BITS = {"quint2x4": 2, "quint4x2": 4}


def packed_weight(weight: QTensor, low: int, high: int) -> QTensor:
    """A weight with as many codes a byte as fit, where its codes are from `low` to `high`; else as it is.

    >>> import quantray as qt
    >>> from quantray.nn.quantized._packing import packed_weight
    >>> small = packed_weight(qt.quantize_per_tensor([-1.0, 0.5, 0.0], 0.5, 0, qt.qint8), -2, 1)
    >>> small.dtype, small.nbytes, small.tolist()
    (quint2x4, 1, [-1.0, 0.5, 0.0])
    """
    codes = np.asarray(weight.int_repr())
    name = next((name for name, bits in _BITS.items() if high - low < 2**bits), None)
    if name is None or not codes.size or codes.min() < low or codes.max() > high:
        return weight
    count = 8 // _BITS[name]
    flat = (codes.astype(np.int16) - low).astype(np.uint8).ravel()
    flat = np.append(flat, np.zeros(-flat.size % count, np.uint8)).reshape(-1, count)
    shifts = np.arange(count, dtype=np.uint8) * np.uint8(_BITS[name])
    made = np.bitwise_or.reduce(flat << shifts, axis=1)
    scales, zero_points, axis = _qparams(weight)
    moved = [zero_point - low for zero_point in zero_points]
    if min(moved) < 0 or max(moved) >= 2 ** _BITS[name]:
        return weight
    scheme = str(weight.qscheme()).rpartition(".")[2]
    return _core._rebuild(made, name, scheme, scales, moved, axis, list(weight.shape))


def unpacked_weight(weight: QTensor, dtype: _core.dtype, low: int) -> QTensor:
    """A weight whose codes have a byte each: the inverse of `packed_weight`; any other tensor as it is."""
    bits = _BITS.get(weight.dtype.name)
    if bits is None or dtype.name in _BITS:
        return weight
    size = int(np.prod(weight.shape, dtype=np.int64))
    shifts = np.arange(8 // bits, dtype=np.uint8) * np.uint8(bits)
    flat = (np.asarray(weight.int_repr()).reshape(-1, 1) >> shifts & np.uint8(2**bits - 1)).ravel()[:size]
    codes = (flat.astype(np.int16) + low).reshape(tuple(weight.shape))
    made = cast("Codes", codes.astype(np.int8 if dtype.name == "qint8" else np.uint8))
    scales, zero_points, axis = _qparams(weight)
    scheme = str(weight.qscheme()).rpartition(".")[2]
    return _core._rebuild(made, dtype.name, scheme, scales, [z + low for z in zero_points], axis, None)


def _qparams(weight: QTensor) -> tuple[list[float], list[int], int | None]:
    """Scales, zero points and the axis of the channels, None for one of all."""
    if "per_tensor" in str(weight.qscheme()):
        return [weight.q_scale()], [weight.q_zero_point()], None
    scales = [float(scale) for scale in weight.q_per_channel_scales()]
    return scales, [int(z) for z in weight.q_per_channel_zero_points()], weight.q_per_channel_axis()
