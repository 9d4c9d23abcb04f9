"""A tensor and its grid in one picture: where the values lie, where the codes, what is lost."""

# matplotlib says the types of its functions in part.
# pyright: reportUnknownMemberType=false

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from quantray._core import QTensor, per_tensor_affine, per_tensor_symmetric
from quantray._typing import ArrayLike, Bools, Floats
from quantray.analysis._statistics import decibels
from quantray.analysis._style import BLUE, GREY, ORANGE, WIDTH, pyplot, settings

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


#: Bins of the histogram at most: one a step where there are fewer steps.
_BINS = 128
#: More values than these are drawn by every k-th.
_MOST = 4_000_000


def plot_tensor(q: QTensor, x: ArrayLike) -> Figure:
    """A histogram of values, the grid that they were quantized on, the tails that it clips, and the error.

    Parameters
    ----------
    q : QTensor
        Per tensor. Of one per channel give a channel: `q[0]`, `x[0]`.
    x : array
        The floats that it stands for, of its shape.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    TypeError, ValueError
        `q` is no QTensor, is per channel, or `x` is not of its shape or not finite.
    ImportError
        matplotlib is not installed.

    >>> import numpy as np, quantray as qt
    >>> x = np.random.default_rng(0).standard_normal(1000, np.float32)
    >>> figure = qt.analysis.plot_tensor(qt.quantize_per_tensor(x, 0.02, 0, qt.qint8), x)
    >>> [axis.get_title("left") for axis in figure.axes]
    ['1,000 values on 256 codes: 26.7 dB', 'The error: 1 % of the values are clipped']
    """
    if not isinstance(q, QTensor):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise TypeError(f"q must be a QTensor, got {type(q).__name__}")
    if q.qscheme() not in (per_tensor_affine, per_tensor_symmetric):
        raise ValueError(f"q must be per tensor, got {q.qscheme()}: give one channel, q[0] and x[0]")
    values = np.asarray(x, np.float32)
    if values.shape != tuple(q.shape):
        raise ValueError(f"x must have q's shape {tuple(q.shape)}, got {values.shape}")
    if not values.size or not np.isfinite(values).all():
        raise ValueError("x must have values, all finite")
    scale, zero_point = float(q.q_scale()), int(q.q_zero_point())
    least, most = int(q.dtype.qmin), int(q.dtype.qmax)
    low, high = scale * (least - zero_point), scale * (most - zero_point)
    found = np.asarray(q.dequantize())
    error = (found - values).ravel()
    flat = values.ravel()
    out = (flat < low - scale / 2) | (flat > high + scale / 2)
    sqnr = decibels(float((flat.astype(np.float64) ** 2).sum()), float((error.astype(np.float64) ** 2).sum()))
    plt = pyplot()
    with plt.rc_context(settings()):
        figure, (top, bottom) = plt.subplots(2, 1, figsize=(WIDTH, 4.6), sharex=True, height_ratios=[3, 2])
        _histogram(top, flat, out, low, high)
        steps = most - least + 1
        text = "exact" if sqnr == np.inf else f"{sqnr:.1f} dB"
        top.set_title(f"{flat.size:,} values on {steps:,} codes: {text}")
        if steps <= 64:
            top.plot(scale * (np.arange(least, most + 1) - zero_point), np.zeros(steps), "|", color=GREY)
        every = -(-flat.size // 20_000)
        bottom.scatter(flat[::every], error[::every], s=3, color=BLUE, linewidths=0, label="rounding")
        if out.any():
            bottom.scatter(flat[out], error[out], s=9, color=ORANGE, marker="^", label="clipped")
        bottom.axhline(0, color=GREY, linewidth=0.8)
        bottom.set_xlabel("value")
        bottom.set_ylabel("error")
        share = 100 * float(out.mean())
        bottom.set_title(f"The error: {share:.2g} % of the values are clipped")
        plt.close(figure)
    return figure


def _histogram(axis: Axes, flat: Floats, out: Bools, low: float, high: float) -> None:
    some = flat[:: -(-flat.size // _MOST)]
    begin, end = min(float(some.min()), low), max(float(some.max()), high)
    edges = np.linspace(begin, end if end > begin else begin + 1, _BINS + 1)
    counts, _ = np.histogram(some, edges)
    middles = (edges[1:] + edges[:-1]) / 2
    beyond = (middles < low) | (middles > high)
    width = edges[1] - edges[0]
    axis.bar(middles[~beyond], counts[~beyond], width, color=BLUE, label="on the grid")
    if out.any():
        axis.bar(middles[beyond], counts[beyond], width, color=ORANGE, hatch="///", label="beyond it")
    for place in (low, high):
        axis.axvline(place, color=GREY, linestyle="--", linewidth=1)
    axis.set_yscale("symlog", linthresh=1)
    axis.set_ylim(0)
    axis.set_ylabel("values")
    axis.legend(loc="upper right")
