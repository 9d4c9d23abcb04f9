"""What a search for a quantized model has tried: each step's gain and cost."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING, overload

from quantray import nn
from quantray._tables import Column, Table

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True)
class Step:
    """One step of a plan.

    Attributes
    ----------
    name : str
    metric : float
        Of the quantized model, on held-out data.
    output : float
        SQNR of its output on the calibration data, in dB.
    bytes : int
        Of its weights.
    ms : float
        Milliseconds of a call with the first batch.
    foretold, seconds : float
        What the step was thought to take, and what it took.
    is_kept : bool
        Whether the steps after it build on it.
    is_chosen : bool
        Whether its model is the one that was returned.
    """

    name: str
    metric: float
    output: float
    bytes: int
    ms: float
    foretold: float
    seconds: float
    is_kept: bool
    is_chosen: bool = False


class Plan(Sequence[Step]):
    """What was tried, cheapest first. Text where it is printed, a table in notebooks.

    Attributes
    ----------
    steps : list of Step
    float_metric : float
        Of the float model.
    max_drop : float, optional
        The budget.
    is_within : bool
        Whether it is kept on the held-out data.
    model : Module
        The float model that the result was made of: what a remedy has changed. `analysis.compare` takes it.
    foretold, seconds : float
        What all steps would have taken at most, as foretold after the first one, and what it took.
    stopped : str
        Why it ended.
    """

    def __init__(
        self,
        steps: Sequence[Step],
        *,
        float_metric: float,
        max_drop: float | None,
        is_within: bool,
        model: nn.Module,
        foretold: float,
        seconds: float,
        stopped: str,
    ) -> None:
        self.steps = list(steps)
        self.float_metric, self.max_drop, self.is_within = float_metric, max_drop, is_within
        self.model, self.foretold, self.seconds, self.stopped = model, foretold, seconds, stopped

    def __len__(self) -> int:
        return len(self.steps)

    @overload
    def __getitem__(self, key: int) -> Step: ...
    @overload
    def __getitem__(self, key: slice) -> list[Step]: ...
    def __getitem__(self, key: int | slice) -> Step | list[Step]:
        return self.steps[key]

    @property
    def chosen(self) -> Step:
        """The step whose model was returned."""
        return next(step for step in self.steps if step.is_chosen)

    def headline(self) -> str:
        """What became of the budget, in a line."""
        drop = self.float_metric - self.chosen.metric
        text = f"metric {self.chosen.metric:.5g}, float {self.float_metric:.5g}: "
        text += f"{drop:.4g} lost" if drop > 0 else "nothing lost"
        if self.max_drop is not None:
            text += f" of {self.max_drop:.4g}" if self.is_within else f", MORE THAN THE {self.max_drop:.4g}"
            text += "" if self.is_within else " allowed: this budget cannot be kept"
        return f"{text}; {self.stopped}; {self.seconds:.1f} s"

    def _table(self) -> Table:
        columns = [
            Column("step", wraps=True),
            Column("metric", right=True),
            Column("output dB", right=True),
            Column("bytes", right=True),
            Column("ms", right=True),
            Column("seconds", right=True),
            Column("", optional=True),
        ]
        rows = [
            (
                step.name,
                f"{step.metric:.5g}",
                "exact" if step.output == float("inf") else f"{step.output:.1f}",
                f"{step.bytes:,}",
                f"{step.ms:.3g}",
                f"{step.seconds:.1f}",
                "chosen" if step.is_chosen else "kept" if step.is_kept else "",
            )
            for step in self.steps
        ]
        return Table(columns, rows)

    def __repr__(self) -> str:
        return f"{self.headline()}\n{self._table().text()}"

    def _repr_html_(self) -> str:
        head = f"<div><b>{escape(self.headline())}</b></div>"
        return f"<div style='max-width:100%'>{head}{self._table().html()}</div>"

    def plot(self) -> Figure:
        """What each step loses, against bytes and against time, the chosen one marked.

        Returns
        -------
        matplotlib.figure.Figure
        """
        from quantray.analysis._plot_plan import plot_plan

        return plot_plan(self)
