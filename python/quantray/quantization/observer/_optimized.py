"""A range for few codes, found by narrowing it step by step."""

from __future__ import annotations

import numpy as np

from quantray._core import quantize_per_tensor_dynamic, quint8
from quantray._typing import ArrayLike, Floats

#: The largest float16.
HALF = float(np.finfo(np.float16).max)


def choose_qparams_per_tensor(input: ArrayLike, reduce_range: bool = False) -> tuple[float, int]:
    """The scale and the zero point that `quantize_per_tensor_dynamic` chooses for quint8.

    Parameters
    ----------
    input : array_like of real numbers
        Finite, of any shape.
    reduce_range : bool
        Whether the range has 128 codes, not 256.

    >>> from quantray import quantization as tq
    >>> tq.choose_qparams_per_tensor([0.0, 127.5])
    (0.5, 0)

    Source: `torch._choose_qparams_per_tensor`.
    """
    q = quantize_per_tensor_dynamic(input, quint8, reduce_range)
    return q.q_scale(), q.q_zero_point()


#: Torch's name.
_choose_qparams_per_tensor = choose_qparams_per_tensor


def choose_qparams_optimized(
    input: ArrayLike, numel: int, n_bins: int, ratio: float, bit_width: int
) -> tuple[Floats, Floats]:
    """The range that loses least of an array in so many bits: what embeddings of 2 and 4 bits are packed by.

    Narrows the range from the end where that loses less, a bin at a time, down to a share `1 - ratio` of it,
    and takes the best of the ranges from which either step loses more. Scale and smallest value are rounded
    to float16, as packed rows keep them.

    Parameters
    ----------
    input : array_like of real numbers
        Within float16's range.
    numel : int
        How many of its values, from the first on, are looked at.
    n_bins : int
        How many steps the whole range has, such as 200.
    ratio : float
        How much of the range may be left out, from 0 to 1, such as 0.16.
    bit_width : int
        From 1 to 16.

    Returns
    -------
    tuple of two arrays of float32, shape (1,)
        The largest and the smallest value of the range, in this order.

    >>> import numpy as np
    >>> from quantray import quantization as tq
    >>> x = np.append(np.linspace(-1, 1, 1000), 2)
    >>> high, low = tq.choose_qparams_optimized(x, x.size, 200, 0.5, 2)
    >>> np.round([low[0], high[0]], 2)
    array([-0.67,  1.34], dtype=float32)

    Source: `torch.choose_qparams_optimized`; the greedy search of "Post-Training 4-bit Quantization on
    Embedding Tables" (Guan et al., arXiv:1911.02079).
    """
    x = np.asarray(input, np.float32).ravel()
    if not 1 <= numel <= x.size:
        raise ValueError(f"numel must be from 1 to {x.size}, the input's size, got {numel}")
    if n_bins < 1:
        raise ValueError(f"n_bins must be at least 1, got {n_bins}")
    if not 0 <= ratio <= 1:
        raise ValueError(f"ratio must be from 0 to 1, got {ratio}")
    if not 1 <= bit_width <= 16:
        raise ValueError(f"bit_width must be from 1 to 16, got {bit_width}")
    x = x[:numel]
    if not (np.abs(x) <= HALF).all():
        raise ValueError(f"input must be from -{HALF:g} to {HALF:g}, as float16, without NaN")
    low, high = np.float32(x.min()), np.float32(x.max())
    step = np.float32((high - low) / np.float32(n_bins))
    narrowest = np.float32(int(n_bins * (1 - np.float32(ratio)))) * step
    best, least = (high, low), _loss(x, low, high, bit_width)
    now = least
    # As many steps at most: where one is less than the ends' last place, they stay where they are.
    for _ in range(n_bins + 1):
        if low + narrowest >= high:
            break
        left, right = low + step, high - step
        of_left, of_right = _loss(x, left, high, bit_width), _loss(x, low, right, bit_width)
        if now < min(of_left, of_right, least):
            best, least = (high, low), now
        if of_left < of_right:
            low, now = left, of_left
        else:
            high, now = right, of_right
    return np.array([best[0]], np.float32), np.array([best[1]], np.float32)


def _loss(x: Floats, low: np.float32, high: np.float32, bit_width: int) -> float:
    """The root of the sum of squared errors with a range whose codes begin at its smallest value."""
    most = np.float32(2**bit_width - 1)
    low = np.float32(np.float16(low))
    width = high - low
    scale = np.float32(1) if width == 0 else np.float32(np.float16(min(width / most, HALF)))
    inverse = np.float32(1) if scale == 0 else np.float32(1) / scale
    codes = np.clip(np.rint((x - low) * inverse), np.float32(0), most)
    return float(np.sqrt(np.square(x - (codes * scale + low), dtype=np.float64).sum()))
