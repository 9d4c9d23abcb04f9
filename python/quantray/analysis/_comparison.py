"""The result of a comparison: one table, one picture, one line to run next."""

from __future__ import annotations

import importlib
import math
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from html import escape
from typing import TYPE_CHECKING, overload

import numpy as np

from quantray._tables import Column, Table
from quantray._typing import Floats
from quantray.analysis._embeddings import Agreement
from quantray.analysis._row import Row

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from pandas import DataFrame  # pyright: ignore[reportMissingTypeStubs]  # it brings none

    from quantray.analysis._walk import Walk

#: A table that is printed gets no longer than this; `rows` has all.
_MOST = 40
#: Remedies that are functions: the first ones make another float model, to be quantized again.
_OF_FLOATS = ("equalize", "smooth", "gptq", "keep_in_float")
_FUNCTIONS = (*_OF_FLOATS, "refine", "weight_only")


class Comparison(Sequence[Row]):
    """What is lost between two models, node by node, worst first.

    A sequence of rows; text where it is printed, a table in notebooks.

    Attributes
    ----------
    rows : list of Row
        By own error, worst first.
    depth : list of Row
        The same in the order of the graph.
    unreached : list of str
        Nodes that no batch has reached.
    unpaired : list of str
        Layers of the quantized model that stand for none of the float one: they have no row.
    agreement : Agreement, optional
        Of what the models return: cosines, neighbours.
    output : float
        SQNR of what the model returns, in dB.
    """

    def __init__(
        self,
        rows: Sequence[Row],
        *,
        walk: Walk,
        unreached: Sequence[str],
        unpaired: Sequence[str] = (),
        agreement: Agreement | None,
        output: float,
        is_trained: bool,
    ) -> None:
        self.depth = list(rows)

        def badness(row: Row) -> float:
            if is_trained:
                return -row.steps
            return math.inf if math.isnan(row.own) else row.own

        self.rows = sorted(self.depth, key=badness)
        self.unreached, self.unpaired = list(unreached), list(unpaired)
        self.agreement, self.output = agreement, output
        self.is_trained = is_trained
        self._walk = walk

    def __len__(self) -> int:
        return len(self.rows)

    def __iter__(self) -> Iterator[Row]:
        return iter(self.rows)

    @overload
    def __getitem__(self, key: int | str) -> Row: ...
    @overload
    def __getitem__(self, key: slice) -> list[Row]: ...
    def __getitem__(self, key: int | str | slice) -> Row | list[Row]:
        """A row by its place, or by its node's name."""
        if isinstance(key, str):
            for row in self.rows:
                if row.name == key:
                    return row
            raise KeyError(f"no row {key!r}; there are {', '.join(row.name for row in self.depth[:8])}, ...")
        return self.rows[key]

    @property
    def channels(self) -> dict[str, Floats]:
        """By layer the largest magnitude of each channel of its output: what a picture's strips show."""
        return {
            name: watched.output.channels
            for name, watched in self._walk.watched.items()
            if watched.output.channels is not None
        }

    @property
    def next(self) -> str:
        """One line to run next; empty where nothing is to be done."""
        offered = [row for row in self.rows if row.remedy]
        if not offered:
            return ""
        found = next((row for row in offered if row.remedy in _FUNCTIONS), offered[0])
        alike = [row for row in self.rows if row.remedy == found.remedy]
        # Whoever asked for other bits has a mapping that says so.
        settings = "" if found.bits in ("", "w8 a8") else ", qconfig_mapping"
        match found.remedy:
            case "refine":
                return "int8 = tq.remedies.refine(model, int8, batches)"
            case "weight_only":
                bits = found.bits.partition(" ")[0].removeprefix("w")
                return f"int8 = tq.remedies.weight_only(model, batches, bits={bits}, in_8_bits={len(alike)})"
            case "keep_in_float":
                settings += f", nodes={[row.name for row in alike]}"
            case remedy if remedy not in _OF_FLOATS:
                return f"{found.name}: {remedy}"
            case _:
                pass
        if self._walk.is_in_calls:
            settings += ", dynamic=True" if found.remedy == "smooth" else ""
            return f"int8 = tq.quantize_dynamic(tq.remedies.{found.remedy}(model, batches{settings}))"
        return f"int8 = tq.quantize(tq.remedies.{found.remedy}(model, batches{settings}), batches)"

    def headline(self) -> str:
        """What is lost in all, and the worst cause."""
        text = f"output {_db(self.output)} dB"
        if self.agreement is not None:
            found = self.agreement
            text += f", cosine {found.mean_cosine:.5f}, least {found.least_cosine:.4f}"
            text += f" (sample {found.worst[0]}), top-1 {100 * found.top1:.4g} %"
            if found.neighbours is not None:
                text += f", same nearest neighbour {100 * found.neighbours:.4g} %"
        return text

    def _table(self, most: int | None = None) -> Table:
        columns = [
            Column("node", wraps=True),
            Column("call", wraps=True),
            Column("own dB", right=True),
            Column("in model", right=True),
            Column("loss", right=True, optional=True),
            Column("weight/in/out", right=True),
            Column("clipped", right=True, optional=True),
            Column("codes", right=True, optional=True),
            Column("steps", right=True, optional=True),
            Column("cause", wraps=True, optional=True),
            Column("remedy", wraps=True, optional=True),
            Column("gain", right=True, optional=True),
        ]
        return Table(columns, [self._cells(row) for row in self.rows[:most]])

    def _cells(self, row: Row) -> tuple[str, ...]:
        shares = (row.weight_share, row.input_share, row.output_share)
        return (
            row.name or "(model)",
            row.kind,
            "" if self.is_trained else _db(row.own),
            _db(row.accumulated),
            "" if row.loss is None else f"{row.loss:+.4g}",
            "/".join(f"{100 * share:.0f}" for share in shares) if any(shares) else "",
            f"{100 * row.clipped:.2g} %" if row.clipped else "",
            "" if row.codes is None else f"{row.codes}/{row.codes_of}",
            f"{row.steps:.3g}" if self.is_trained else "",
            row.cause,
            row.remedy,
            "" if row.gain is None else "exact" if math.isinf(row.gain) else f"{row.gain:+.1f} dB",
        )

    def _below(self, most: int | None) -> list[str]:
        lines: list[str] = []
        if most is not None and len(self.rows) > most:
            lines.append(f"... {len(self.rows) - most} more: result.to_frame()")
        if self.unreached:
            lines.append(f"never ran: {', '.join(self.unreached)}")
        if self.unpaired:
            lines.append(f"not in the float model: {', '.join(self.unpaired)}")
        if self.next:
            lines.append(f"next: {self.next}")
        return lines

    def __repr__(self) -> str:
        return "\n".join([self.headline(), self._table(_MOST).text(), *self._below(_MOST)])

    def _repr_html_(self) -> str:
        head = f"<div><b>{escape(self.headline())}</b></div>"
        below = "".join(f"<div>{escape(line)}</div>" for line in self._below(None))
        return f"<div style='max-width:100%'>{head}{self._table().html()}{below}</div>"

    def to_frame(self) -> DataFrame:
        """The rows as a pandas DataFrame, worst first: a column for each attribute of `Row`.

        Raises
        ------
        ImportError
            pandas is not installed.
        """
        try:
            pd = importlib.import_module("pandas")
        except ImportError:
            raise ImportError("to_frame needs pandas: pip install pandas") from None
        return pd.DataFrame([asdict(row) for row in self.rows])

    def plot(self, *, before: Comparison | None = None) -> Figure:
        """Own and accumulated SQNR along the depth, and a strip of each layer's channel ranges.

        Parameters
        ----------
        before : Comparison, optional
            Of the model before a remedy: its strips are drawn beside.

        Returns
        -------
        matplotlib.figure.Figure
        """
        from quantray.analysis._plots import plot_comparison

        return plot_comparison(self, before)


def _db(value: float) -> str:
    if math.isnan(value):
        return "?"
    return "exact" if value == np.inf else f"{value:.1f}"
