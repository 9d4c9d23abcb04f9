"""What became of each module of a quantized model, as a table."""

from __future__ import annotations

import html
from collections.abc import Sequence
from typing import Any, NamedTuple

from quantray import nn
from quantray._core import QTensor


class Line(NamedTuple):
    """One module."""

    name: str
    kind: str
    computes: str
    bytes: int


class Report:
    """A table of modules: what each computes in, and how large it is; a table in notebooks, too."""

    def __init__(self, lines: Sequence[Line]) -> None:
        self.lines = list(lines)

    @property
    def total(self) -> int:
        """Bytes of all weights, biases and buffers."""
        return sum(line.bytes for line in self.lines)

    def _cells(self) -> list[tuple[str, ...]]:
        rows = [(line.name or "(model)", line.kind, line.computes, f"{line.bytes:,}") for line in self.lines]
        return [("module", "type", "computes in", "bytes"), *rows, ("total", "", "", f"{self.total:,}")]

    def __str__(self) -> str:
        cells = self._cells()
        widths = [max(len(row[i]) for row in cells) for i in range(4)]
        lines = [
            "  ".join([*(c.ljust(w) for c, w in zip(row[:3], widths, strict=False)), row[3].rjust(widths[3])])
            for row in cells
        ]
        return "\n".join(lines)

    def __repr__(self) -> str:
        return str(self)

    def _repr_html_(self) -> str:
        head, *rows = self._cells()
        top = "".join(f"<th style='text-align:left'>{html.escape(c)}</th>" for c in head)
        body = "".join(
            "<tr>" + "".join(f"<td style='text-align:left'>{html.escape(c)}</td>" for c in row) + "</tr>"
            for row in rows
        )
        return f"<table><thead><tr>{top}</tr></thead><tbody>{body}</tbody></table>"


def report(model: nn.Module) -> Report:
    """A table of what a model's modules compute in: what is quantized, and what was left in float.

    Modules without weights that pass on what they are given, and containers, are left out.

    >>> from quantray import nn, quantization as tq
    >>> print(tq.report(nn.Sequential(nn.Linear(4, 2), nn.LayerNorm(2))))
    module  type       computes in  bytes
    0       Linear     float32         40
    1       LayerNorm  float32         16
    total                              56
    """
    lines: list[Line] = []
    for name, module in model.named_modules():
        own = module._own_state()
        size = sum(_bytes(value) for value in own.values())
        grid: Any = getattr(module, "grid", None)
        if not own and grid is None:
            continue
        kinds = {str(value.dtype) for value in own.values() if isinstance(value, QTensor)}
        if kinds or grid is not None:
            text = f"{'/'.join(sorted(kinds)) or 'integers'}"
            text += " -> float32" if grid is None else f" -> {grid.dtype}"
        else:
            text = "float32"
        kind = type(module).__name__
        if hasattr(module, "module"):
            kind = f"{kind}({type(module.module).__name__})"
        lines.append(Line(name, kind, text, size))
    return Report(lines)


def _bytes(value: Any) -> int:
    return int(value.nbytes)
