"""A picture of a plan: what is lost, against bytes and against time."""

from __future__ import annotations

from typing import TYPE_CHECKING

from quantray.analysis._style import BLUE, GREY, ORANGE, WIDTH, pyplot, settings

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from quantray.quantization._plan import Plan


def plot_plan(plan: Plan) -> Figure:
    """See `Plan.plot`."""
    plt = pyplot()
    lost = [plan.float_metric - step.metric for step in plan.steps]
    with plt.rc_context(settings()):
        figure, axes = plt.subplots(1, 2, figsize=(WIDTH, 3.2), sharey=True)
        for axis, what, label in (
            (axes[0], [step.bytes / 1024 for step in plan.steps], "KiB of weights"),
            (axes[1], [step.ms for step in plan.steps], "milliseconds a call"),
        ):
            axis.scatter(what, lost, color=BLUE, s=26)
            for x, y, step in zip(what, lost, plan.steps, strict=True):
                if step.is_chosen:
                    axis.scatter([x], [y], color=ORANGE, marker="*", s=190, zorder=3)
                    axis.annotate(
                        step.name, (x, y), textcoords="offset points", xytext=(0, 10), ha="center",
                        color=ORANGE, fontsize=9,
                    )  # fmt: skip
            if plan.max_drop is not None:
                axis.axhline(plan.max_drop, color=GREY, linestyle="--", linewidth=1)
            axis.set_xlabel(label)
            axis.margins(y=0.25)
            axis.set_xlim(0, 1.3 * max(what))
            axis.locator_params(axis="x", nbins=4)
        axes[0].set_ylabel("lost of the metric")
        axes[0].set_title("The star is what was chosen")
        plt.close(figure)
    return figure
