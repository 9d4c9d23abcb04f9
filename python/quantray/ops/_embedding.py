"""Rows of quantized tables, alone and added up."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

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


def _integers(arg: str, values: npt.ArrayLike) -> npt.NDArray[np.int64]:
    found = np.asarray(values)
    # An empty list has no dtype of its own.
    if found.size and found.dtype.kind not in "iu":
        raise TypeError(f"{arg} must be integers, got dtype {found.dtype}")
    return found.astype(np.int64)


def _indices(indices: npt.ArrayLike, rows: int) -> npt.NDArray[np.int64]:
    found = _integers("indices", indices)
    wrong = (found < 0) | (found >= rows)
    if wrong.any():
        at = tuple(int(i) for i in np.argwhere(wrong)[0])
        raise IndexError(f"indices must be from 0 to {rows - 1}, got {found[at]} at {at}")
    return found


def _rows(weight: QTensor, indices: npt.NDArray[np.int64]) -> npt.NDArray[np.float32]:
    """The rows at one-dimensional `indices`, dequantized: no other row is touched."""
    rows, width = weight.shape
    codes: npt.NDArray[Any] = np.asarray(weight.int_repr())
    per_byte = 8 // weight.dtype.bits if weight.dtype.bits < 8 else 1
    size = (len(indices), width)
    if per_byte == 1:
        codes = codes[indices]
    elif width % per_byte == 0:
        codes = codes.reshape(rows, width // per_byte)[indices].ravel()
    else:
        # Rows begin inside bytes: each element is picked out of its own, and they are packed again.
        at = indices[:, None] * width + np.arange(width)
        bits, mask = weight.dtype.bits, (1 << weight.dtype.bits) - 1
        found = (codes[at // per_byte] >> (at % per_byte * bits).astype(np.uint8) & mask).ravel()
        found = np.pad(found, (0, -found.size % per_byte)).reshape(-1, per_byte)
        shifts = (np.arange(per_byte) * bits).astype(np.uint8)
        codes = np.bitwise_or.reduce(found << shifts, axis=1).astype(np.uint8)
    extra: dict[str, Any] = {"dtype": weight.dtype, "size": size} if per_byte > 1 else {}
    scheme = weight.qscheme()
    if scheme in (per_tensor_affine, per_tensor_symmetric):
        made = make_per_tensor_quantized_tensor(codes, weight.q_scale(), weight.q_zero_point(), **extra)
        return made.dequantize()
    scales, zero_points = weight.q_per_channel_scales(), weight.q_per_channel_zero_points()
    axis = weight.q_per_channel_axis()
    if axis == 0:
        scales, zero_points = scales[indices], zero_points[indices]
    if 0 in size:
        return np.empty(size, np.float32)
    made = make_per_channel_quantized_tensor(codes, scales, zero_points, axis, qscheme=scheme, **extra)
    return made.dequantize()


def _table(weight: QTensor) -> tuple[int, int]:
    if len(weight.shape) != 2:
        raise ValueError(f"weight must be of shape (rows, width), got {tuple(weight.shape)}")
    rows, width = weight.shape
    return rows, width


def embedding(weight: QTensor, indices: npt.ArrayLike) -> npt.NDArray[np.float32]:
    """Rows of a quantized table, dequantized.

    Parameters
    ----------
    weight : QTensor
        Shape (rows, width), of any dtype and scheme: the table. Only the rows that are asked for are read.
    indices : array_like of int
        Of any shape, from 0 to rows - 1.

    Returns
    -------
    numpy.ndarray
        Shape (*indices.shape, width), float32.

    >>> import numpy as np, quantray as qt
    >>> table = qt.quantize_per_channel([[1.0, 2.0], [10.0, 20.0]], [0.5, 5.0], 0, axis=0, dtype=qt.quint8)
    >>> qt.ops.embedding(table, [1, 0, 1]).tolist()
    [[10.0, 20.0], [1.0, 2.0], [10.0, 20.0]]

    Source: `torch.nn.functional.embedding`, `torch.ops.quantized.embedding_byte`.
    """
    rows, width = _table(weight)
    found = _indices(indices, rows)
    return _rows(weight, found.ravel()).reshape(*found.shape, width)


def embedding_bag(
    weight: QTensor,
    indices: npt.ArrayLike,
    offsets: npt.ArrayLike | None = None,
    *,
    mode: Literal["sum", "mean", "max"] = "sum",
    per_sample_weights: npt.ArrayLike | None = None,
    include_last_offset: bool = False,
) -> npt.NDArray[np.float32]:
    """Sums, means or maxima of some rows of a quantized table.

    Parameters
    ----------
    weight : QTensor
        Shape (rows, width), of any dtype and scheme: the table. Only the rows that are asked for are read.
    indices : array_like of int
        Shape (bags, n), or with `offsets` one-dimensional; from 0 to rows - 1.
    offsets : array_like of int, optional
        Where each bag begins; the first one at 0.
    mode : str
        "sum", "mean" or "max". A bag without rows gives zeros.
    per_sample_weights : array_like, optional
        What each row is multiplied by, of the shape of `indices`; with mode "sum".
    include_last_offset : bool
        Whether the last one of the offsets is where the last bag ends.

    Returns
    -------
    numpy.ndarray
        Shape (bags, width), float32.

    >>> import numpy as np, quantray as qt
    >>> table = qt.quantize_per_channel([[1.0, 2.0], [10.0, 20.0]], [0.5, 5.0], 0, axis=0, dtype=qt.quint8)
    >>> qt.ops.embedding_bag(table, [1, 0, 1], offsets=[0, 2, 2]).tolist()
    [[11.0, 22.0], [0.0, 0.0], [10.0, 20.0]]

    Source: `torch.nn.functional.embedding_bag`, `torch.ops.quantized.embedding_bag_byte`.
    """
    rows, width = _table(weight)
    found = _indices(indices, rows)
    if mode not in ("sum", "mean", "max"):
        raise ValueError(f'mode must be "sum", "mean" or "max", got {mode!r}')
    if found.ndim == 2 and offsets is None:
        starts = np.arange(found.shape[0] + 1, dtype=np.int64) * found.shape[1]
    elif found.ndim == 1 and offsets is not None:
        starts = _integers("offsets", offsets)
        if starts.ndim != 1:
            raise ValueError(f"offsets must be one-dimensional, got {starts.ndim} axes")
        if len(starts) and starts[0] != 0:
            raise ValueError(f"offsets must begin with 0, got {starts[0]}")
        ends = np.append(starts, len(found))
        if (np.diff(ends) < 0).any():
            at = int(np.argmax(np.diff(ends) < 0))
            last = f", nor exceed {len(found)}, the number of indices" if at == len(starts) - 1 else ""
            raise ValueError(f"offsets must not decrease{last}, got {starts[at]} at {at}")
        if include_last_offset and not len(starts):
            raise ValueError(
                "offsets must hold at least the end of the last bag with include_last_offset, got none"
            )
        starts = starts if include_last_offset else ends
    else:
        raise ValueError(
            f"indices must be two-dimensional, or one-dimensional with offsets, got {found.ndim} axes"
            f"{'' if offsets is None else ' with offsets'}"
        )
    flat = found.ravel()
    values = _rows(weight, flat)
    if per_sample_weights is not None:
        factors = np.asarray(per_sample_weights, np.float32)
        if mode != "sum" or factors.shape != found.shape:
            raise ValueError(
                f"per_sample_weights must be of shape {found.shape}, that of indices, with mode "
                f'"sum", got {factors.shape} with "{mode}"'
            )
        values = values * factors.ravel()[:, None]
    counts = np.diff(starts)
    out = np.zeros((len(counts), width), np.float32)
    full = counts > 0
    if full.any():
        reduce = np.maximum if mode == "max" else np.add
        out[full] = reduce.reduceat(values[: starts[-1]], starts[:-1][full], axis=0)
        if mode == "mean":
            out[full] /= counts[full, None].astype(np.float32)
    return out
