"""Tables of texts, for terminals and for notebooks: what reports, summaries and graphs are shown by."""

from __future__ import annotations

import re
import shutil
from collections.abc import Sequence
from html import escape
from typing import NamedTuple

#: Between columns.
_GAP = "  "
#: A column that wraps gets no narrower than the first number, nor than its longest word up to the second one.
_LEAST, _WORD = 12, 24
#: Where a text may go on in the next line: after spaces, and in names after dots, slashes and colons.
_PIECES = re.compile(r"(?<=\s)(?=\S)|(?<=[./:])(?=[^\s\d./:])")


class Column(NamedTuple):
    """One column: its head, and how its cells are set.

    Where the table is too wide, cells of a column that `wraps` go on in the next line. An `optional`
    column is left out where all its cells are empty.
    """

    head: str
    right: bool = False
    wraps: bool = False
    optional: bool = False


class Table:
    """Cells of text in columns.

    Parameters
    ----------
    columns : sequence of Column
    rows : sequence of sequence of str
        A cell for each column.
    total : sequence of str, optional
        The last row, set apart.

    >>> from quantray._tables import Column, Table
    >>> print(Table([Column("name"), Column("bytes", right=True)], [("a", "40"), ("b", "1,160")]))
    name  bytes
    -----------
    a        40
    b     1,160
    """

    def __init__(
        self, columns: Sequence[Column], rows: Sequence[Sequence[str]], total: Sequence[str] | None = None
    ) -> None:
        filled = [*rows, *([] if total is None else [total])]
        kept = [i for i, c in enumerate(columns) if not c.optional or any(row[i] for row in filled)]
        self.columns = [columns[i] for i in kept]
        self.rows = [tuple(row[i] for i in kept) for row in rows]
        self.total = None if total is None else tuple(total[i] for i in kept)

    def __str__(self) -> str:
        return self.text()

    def text(self, width: int | None = None) -> str:
        """Aligned lines, as wide as the terminal, or as `width`, where cells can be wrapped."""
        width = width or shutil.get_terminal_size().columns
        cells = [tuple(c.head for c in self.columns), *self.rows]
        cells += [] if self.total is None else [self.total]
        widths = self._widths(cells, width)
        blocks = [self._lines(row, widths) for row in cells]
        rule = "-" * max(len(line) for block in blocks for line in block)
        last = [] if self.total is None else [rule, *blocks.pop()]
        return "\n".join([*blocks[0], rule, *(line for block in blocks[1:] for line in block), *last])

    def _widths(self, cells: Sequence[Sequence[str]], width: int) -> list[int]:
        """The widths of columns: those that wrap give way, the widest first."""
        found = [max(len(row[i]) for row in cells) for i in range(len(self.columns))]
        words = [max(len(word) for row in cells for word in _PIECES.split(row[i])) for i in range(len(found))]
        least = [
            min(found[i], max(_LEAST, len(c.head), min(words[i], _WORD))) for i, c in enumerate(self.columns)
        ]
        while sum(found) + len(_GAP) * (len(found) - 1) > width:
            can = [i for i, c in enumerate(self.columns) if c.wraps and found[i] > least[i]]
            if not can:
                break
            found[max(can, key=found.__getitem__)] -= 1
        return found

    def _lines(self, row: Sequence[str], widths: Sequence[int]) -> list[str]:
        parts = [wrapped(cell, width) for cell, width in zip(row, widths, strict=True)]
        lines: list[str] = []
        for k in range(max(map(len, parts))):
            texts = [part[k] if k < len(part) else "" for part in parts]
            set_ = [
                text.rjust(width) if column.right else text.ljust(width)
                for text, width, column in zip(texts, widths, self.columns, strict=True)
            ]
            lines.append(_GAP.join(set_).rstrip())
        return lines

    def html(self) -> str:
        """A table for notebooks: no script, colours of the page alone; wider than the page it scrolls."""
        head = self._row(tuple(c.head for c in self.columns), "th")
        body = "".join(self._row(row, "td") for row in self.rows)
        foot = "" if self.total is None else f"<tfoot>{self._row(self.total, 'th')}</tfoot>"
        return (
            "<div style='max-width:100%;max-height:40em;overflow:auto'>"
            "<table style='border-collapse:collapse;margin:0'>"
            f"<thead>{head}</thead><tbody>{body}</tbody>{foot}</table></div>"
        )

    def _row(self, row: Sequence[str], tag: str) -> str:
        cells = "".join(
            f"<{tag} style='{_style(column)}'>{escape(cell)}</{tag}>"
            for cell, column in zip(row, self.columns, strict=True)
        )
        return f"<tr>{cells}</tr>"


def _style(column: Column) -> str:
    side = "right" if column.right else "left"
    space = "white-space:normal;min-width:9em;max-width:30em" if column.wraps else "white-space:nowrap"
    return f"text-align:{side};vertical-align:top;padding:.15em .6em;{space}"


def wrapped(text: str, width: int) -> list[str]:
    """A text in lines of at most `width` characters."""
    if len(text) <= width:
        return [text]
    lines: list[str] = []
    line = ""
    for piece in _PIECES.split(text):
        if line and len((line + piece).rstrip()) > width:
            lines.append(line.rstrip())
            line = ""
        line += piece
        while len(line.rstrip()) > width:
            lines.append(line[:width])
            line = line[width:]
    return [*lines, line.rstrip()] if line.strip() else lines
