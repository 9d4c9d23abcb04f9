"""Pictures of a comparison: errors along the depth, and the ranges of channels."""

# matplotlib says the types of its functions in part.
# pyright: reportUnknownMemberType=false

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from quantray.analysis._style import BLUE, COLOURS, GREY, ORANGE, WIDTH, pyplot, settings

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from quantray.analysis._comparison import Comparison
    from quantray.analysis._row import Row

#: Exact nodes are drawn here, in dB.
_TOP = 80.0
#: So many names are written along an axis.
_NAMES = 24


def plot_comparison(result: Comparison, before: Comparison | None = None) -> Figure:
    """See `Comparison.plot`."""
    plt = pyplot()
    strips = [(name, ranges) for name, ranges in result.channels.items() if len(ranges) > 1]
    rows = [row for row in result.depth if not np.isnan(row.own) or result.is_trained]
    first = 1.1 + 0.2 * min(len(rows), _NAMES)
    second = (0.9 + 0.2 * min(len(strips), _NAMES)) if strips else 0.0
    with plt.rc_context(settings()):
        figure, axes = plt.subplots(
            2 if strips else 1,
            1 if before is None or not strips else 2,
            figsize=(WIDTH, first + second),
            height_ratios=[first, second] if strips else None,
            squeeze=False,
        )
        top = _merged(figure, axes)
        if result.is_trained:
            _steps(top, rows)
        else:
            _along_depth(top, rows)
        if strips:
            shown = [("ranges of channels", result)] if before is None else [
                ("channels before", before),
                ("channels after", result),
            ]  # fmt: skip
            names = [name for name, _ in strips]
            for axis, (title, each) in zip(axes[1], shown, strict=True):
                _strip(figure, axis, each, names, title, is_last=each is result)
        plt.close(figure)
    return figure


def _merged(figure: Figure, axes: NDArray[np.object_]) -> Axes:
    """The upper row as one picture."""
    if axes.shape[1] == 1:
        return axes[0, 0]
    grid = axes[0, 0].get_gridspec()
    for axis in axes[0]:
        axis.remove()
    return figure.add_subplot(grid[0, :])


def _along_depth(axis: Axes, rows: list[Row]) -> None:
    at = np.arange(len(rows))
    own = np.array([min(row.own, _TOP) for row in rows])
    accumulated = np.array([min(row.accumulated, _TOP) for row in rows])
    axis.plot(accumulated, at, color=BLUE, marker="o", markersize=4, label="in the model")
    axis.scatter(own, at, color=ORANGE, marker="D", s=26, zorder=3, label="this node alone")
    low = np.floor(min(own.min(initial=0), accumulated.min(initial=0), 0) / 10) * 10
    axis.set_xlim(max(low, -40), _TOP + 2)
    axis.set_xticks(np.arange(max(low, -40), _TOP + 1, 20), [
        f"{n:.0f}" if n < _TOP else "exact" for n in np.arange(max(low, -40), _TOP + 1, 20)
    ])  # fmt: skip
    axis.set_xlabel("signal to quantization noise, dB (more is better)")
    axis.grid(axis="x")
    _names(axis, [row.name for row in rows])
    axis.legend(loc="lower left", bbox_to_anchor=(-0.02, 0.98), ncols=2)


def _steps(axis: Axes, rows: list[Row]) -> None:
    at = np.arange(len(rows))
    axis.barh(at, [row.steps for row in rows], color=BLUE, height=0.6)
    axis.axvline(1, color=GREY, linestyle=":", linewidth=1)
    axis.set_xlabel("largest distance in steps")
    axis.set_title("Trained beside converted, at each wire")
    _names(axis, [row.name for row in rows])


def _names(axis: Axes, names: list[str]) -> None:
    """Names down the side, the first on top; of many only some."""
    every = -(-len(names) // _NAMES)
    axis.set_yticks(range(0, len(names), every), [_short(name) for name in names[::every]])
    axis.set_ylim(len(names) - 0.4, -0.6)


def _short(name: str) -> str:
    return name if len(name) <= 22 else f"...{name[-20:]}"


def _strip(
    figure: Figure, axis: Axes, result: Comparison, names: list[str], title: str, is_last: bool
) -> None:
    """A row of colours for each layer: ranges of its channels, beside the largest of the layer."""
    found = result.channels
    wide = 64
    image = np.full((len(names), wide), np.nan)
    for i, name in enumerate(names):
        ranges = found.get(name)
        if ranges is None or not np.max(ranges):
            continue
        with np.errstate(divide="ignore"):
            decades = np.log10(np.asarray(ranges, np.float64) / np.max(ranges))
        image[i] = np.maximum(decades, -3)[np.arange(wide) * len(ranges) // wide]
    every = -(-len(names) // _NAMES)
    drawn = axis.imshow(image, aspect="auto", cmap=COLOURS, vmin=-3, vmax=0, interpolation="nearest")
    axis.set_xticks([])
    axis.set_xlabel("channels")
    axis.set_title(title)
    for spine in axis.spines.values():
        spine.set_visible(False)
    place = axis.get_subplotspec()
    if place is not None and place.is_first_col():
        axis.set_yticks(range(0, len(names), every), [_short(name) for name in names[::every]])
    else:
        axis.set_yticks([])
    if is_last:
        bar = figure.colorbar(drawn, ax=axis, ticks=[-3, -2, -1, 0], pad=0.02)
        bar.ax.set_yticklabels(["1/1000", "1/100", "1/10", "largest"])
        bar.outline.set_visible(False)
