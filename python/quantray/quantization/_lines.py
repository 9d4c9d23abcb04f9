"""The table that a report is: its lines, what is said above and below them, and how many become few."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from html import escape
from typing import NamedTuple

from quantray._tables import Column, Table

#: A report that is printed along the way gets no longer than this.
_MOST = 60
#: Of a reason that is longer a table has the beginning.
_LONGEST = 48


class Line(NamedTuple):
    """One node of a model's graph, or one module where there is no graph.

    `in_integers` is None for what computes with no real numbers. `reason` says why it is in floats, or gives
    floats; `cure` what would change it. `seen` has the ranges that observers of a prepared model saw.
    """

    name: str
    kind: str
    computes: str
    bytes: int
    weight_bits: int | None = None
    activation_bits: int | None = None
    in_integers: bool | None = None
    reason: str = ""
    cure: str = ""
    seen: str = ""
    #: Whether it only stands where floats and integers meet.
    is_border: bool = False
    #: Whether it is in floats since others are.
    is_consequence: bool = False
    #: Whether it is a call out of the program that runs the others.
    is_call: bool = False

    @property
    def bits(self) -> str:
        """Bits of weights and of activations: "w4 a8"."""
        found = (("w", self.weight_bits), ("a", self.activation_bits))
        return " ".join(f"{letter}{bits}" for letter, bits in found if bits is not None)

    @property
    def brief(self) -> str:
        """What is to be known of it, in a few words."""
        why = self.reason if len(self.reason) <= _LONGEST else self.reason.partition(":")[0]
        return "; ".join(filter(None, (why, self.seen)))

    @property
    def note(self) -> str:
        """What is to be known of it, and what would change it."""
        why = f"{self.reason} ({self.cure})" if self.cure else self.reason
        return "; ".join(filter(None, (why, self.seen)))


class Report:
    """A table of a model's nodes: what each computes in, its bits and bytes, and why it is in floats.

    Text where it is printed, a card in notebooks.

    Attributes
    ----------
    lines : list of Line
    total : int
        Bytes of all weights, biases and buffers; arrays that nodes share count once.
    float_total : int
        The same, were all of it float32.
    evened : list of str
        Modules whose channels were made alike before they were quantized, by powers of two.
    """

    def __init__(
        self,
        lines: Sequence[Line],
        *,
        float_total: int = 0,
        has_graph: bool = False,
        is_prepared: bool = False,
        name: str = "model",
        evened: Sequence[str] = (),
    ) -> None:
        self.lines, self.evened = list(lines), list(evened)
        self.float_total, self.has_graph, self.is_prepared = float_total, has_graph, is_prepared
        self._name = name

    @property
    def total(self) -> int:
        """Bytes of all weights, biases and buffers."""
        return sum(line.bytes for line in self.lines)

    @property
    def counted(self) -> list[Line]:
        """The lines that compute with real numbers."""
        return [line for line in self.lines if line.in_integers is not None and not line.is_border]

    def headline(self) -> str:
        """One line: how much is in integers, and what is not, and why."""
        if self.is_prepared and not self.has_graph:
            return "prepared: its nodes are known once it is called, or from example_inputs"
        counted = self.counted
        floats = [line for line in counted if not line.in_integers]
        will = " will compute" if self.is_prepared else ""
        what = "nodes" if self.has_graph else "layers"
        text = f"{len(counted) - len(floats)} of {len(counted)} {what}{will} in integers"
        return f"{text}; float: {_said(floats)}" if floats else text

    def _table(self, lines: Sequence[Line]) -> Table:
        columns = [
            Column("node" if self.has_graph else "module", wraps=True),
            Column("type", wraps=True),
            Column("computes in"),
            Column("bits", optional=True),
            Column("bytes", right=True),
            Column("note", wraps=True, optional=True),
        ]
        rows = [
            (
                line.name or "(model)",
                line.kind,
                line.computes,
                line.bits,
                f"{line.bytes:,}",
                line.brief,
            )
            for line in lines
        ]
        return Table(columns, rows, ("total", "", "", "", f"{self.total:,}", ""))

    def __str__(self) -> str:
        return self._text(self.lines)

    def __repr__(self) -> str:
        return str(self)

    def short(self) -> str:
        """The table, with one row for all nodes of a module where there are more than 60 rows."""
        return self._text(collapsed(self.lines, _MOST))

    def _text(self, lines: Sequence[Line]) -> str:
        """The table, and below it what would change that nodes are in floats."""
        return "\n".join([self._table(lines).text(), *_cures(lines), *self._notes()])

    def _notes(self) -> list[str]:
        """What was done before, and what the program that runs the model hands back to Python."""
        names = [line.name for line in self.lines if line.is_call]
        found = [f"called from the program, no steps of it: {_some(names)}"] if names else []
        if self.evened:
            found.append(f"channels made alike beforehand, by powers of two: {_some(self.evened)}")
        return found

    def _repr_html_(self) -> str:
        size = f"{self.total:,} bytes"
        if self.float_total > self.total:
            size += f", {100 * self.total / self.float_total:.0f} % of {self.float_total:,} in float32"
        head = f"<div><b>{escape(self._name)}</b>: {escape(self.headline())}; {size}</div>"
        below = "".join(f"<div>{escape(text)}</div>" for text in (*_cures(self.lines), *self._notes()))
        return f"<div style='max-width:100%'>{head}{self._table(self.lines).html()}{below}</div>"


def _cures(lines: Sequence[Line]) -> list[str]:
    """For each reason what would change it, with the nodes that it holds for."""
    names: dict[tuple[str, str], list[str]] = {}
    for line in lines:
        if line.cure:
            names.setdefault((line.reason, line.cure), []).append(line.name or "(model)")
    return [f"{_some(group)}: {why}; what would change it: {cure}" for (why, cure), group in names.items()]


def _some(names: Sequence[str], most: int = 4) -> str:
    """The first of some names, and how many more there are."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


def _said(floats: Sequence[Line]) -> str:
    """Names of nodes by their reasons, those that others are consequences of first."""
    names: dict[str, list[str]] = {}
    for line in sorted(floats, key=lambda line: line.is_consequence):
        names.setdefault(line.reason, []).append(line.name or "(model)")
    said: list[str] = []
    for why, group in list(names.items())[:3]:
        text = _some(group, 3)
        said.append(f"{text} ({textwrap.shorten(why, 48, placeholder=' ...')})" if why else text)
    return ", ".join([*said, *(["..."] if len(names) > 3 else [])])


def collapsed(lines: Sequence[Line], most: int) -> list[Line]:
    """At most so many lines, if that can be: lines of one module that follow each other become one."""
    if len(lines) <= most:
        return list(lines)
    deepest = max(line.name.count(".") for line in lines)
    found = list(lines)
    for depth in range(deepest, 0, -1):
        found = _grouped(lines, depth)
        if len(found) <= most:
            break
    return found


def _grouped(lines: Sequence[Line], depth: int) -> list[Line]:
    groups: list[list[Line]] = []
    last: list[str] | None = None
    for line in lines:
        path = line.name.split(".")
        home = path[:depth] if len(path) > depth else None
        if home is not None and home == last:
            groups[-1].append(line)
        else:
            groups.append([line])
        last = home
    return [
        group[0] if len(group) == 1 else _as_one(".".join(group[0].name.split(".")[:depth]), group)
        for group in groups
    ]


def _as_one(name: str, lines: Sequence[Line]) -> Line:
    counted = [line for line in lines if line.in_integers is not None and not line.is_border]
    floats = [line for line in counted if not line.in_integers]
    weights = {line.weight_bits for line in counted if line.weight_bits is not None}
    taken = {line.activation_bits for line in counted if line.activation_bits is not None}
    if not floats:
        computes = "integers" if counted else ""
    else:
        computes = "float32" if len(floats) == len(counted) else "integers, float32"
    return Line(
        f"{name} ... ({len(lines)} nodes)",
        "",
        computes,
        sum(line.bytes for line in lines),
        weights.pop() if len(weights) == 1 else None,
        taken.pop() if len(taken) == 1 else None,
        not floats,
        f"{len(floats)} in float: {', '.join(line.name.removeprefix(f'{name}.') for line in floats[:3])}"
        + (", ..." if len(floats) > 3 else "")
        if floats
        else "",
    )
