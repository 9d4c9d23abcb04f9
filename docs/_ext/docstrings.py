"""Docstrings as this project writes them, for numpydoc.

They end with an example and with where something comes from, without headings, and their text is plain: a
star is a star.
"""

from __future__ import annotations

import re
from typing import Any

from docutils import nodes
from sphinx.addnodes import pending_xref
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment

#: Code, which is left alone, or what would begin an emphasis or a substitution.
_CODE_OR_MARK = re.compile(r"(``[^`]+``|`[^`]+`|\*\*[^\s*].*?\*\*)|(?<!\\)([*|])")

_RULE = re.compile(r"-{3,}\s*$")
#: Sections that are lists of names.
_OF_ENTRIES = {"Parameters", "Returns", "Raises", "Attributes", "Yields", "Warns", "Other Parameters"}

#: The ends of docstrings, while numpydoc reads what comes before them.
_ENDS: dict[tuple[str, str], list[str]] = {}


def parted(lines: list[str]) -> tuple[list[str], list[str]]:
    """A docstring's text, and its end: from an example, a source, or a paragraph after the last section."""
    entries = False
    for i, line in enumerate(lines):
        if _RULE.match(line) and i and lines[i - 1].strip():
            entries = lines[i - 1].strip() in _OF_ENTRIES
        heading = i + 1 < len(lines) and _RULE.match(lines[i + 1])
        # Entries of a section stand together: what follows an empty line is text again.
        text = entries and i and not lines[i - 1].strip() and line[:1].strip() and not heading
        if text or line.startswith((">>>", "Source:")):
            return lines[:i], lines[i:]
    return lines, []


def plain(text: str) -> str:
    """A text in which stars and bars outside of code mean themselves."""
    return _CODE_OR_MARK.sub(lambda found: found[1] or "\\" + found[2], text)


def shown(end: list[str]) -> list[str]:
    """The end of a docstring in reStructuredText: examples as code, word for word."""
    made: list[str] = []
    code = False
    for paragraph in "\n".join(end).strip("\n").split("\n\n"):
        lines = paragraph.split("\n")
        # An example may go on after an empty line.
        goes_on = code and lines[0].startswith((">>>", " "))
        code = goes_on or lines[0].startswith(">>>")
        if code:
            made += [
                "",
                *([] if goes_on else [".. code-block:: pycon", ""]),
                *(f"   {line}" for line in lines),
            ]
        else:
            made += ["", *plain(paragraph).split("\n")]
    return [*made, ""]


def _cut(app: Sphinx, what: str, name: str, obj: Any, options: Any, lines: list[str]) -> None:
    text, end = parted(lines)
    _ENDS[what, name] = end
    # As a whole, since code goes on in the next line.
    lines[:] = plain("\n".join(text)).split("\n")


def _append(app: Sphinx, what: str, name: str, obj: Any, options: Any, lines: list[str]) -> None:
    lines += ["", *shown(_ENDS.pop((what, name), []))]


def _resolve(
    app: Sphinx, env: BuildEnvironment, node: pending_xref, text: nodes.Element
) -> nodes.Element | None:
    """Names as users say them: `nn.Linear` is `quantray.nn.Linear`."""
    if node.get("refdomain") != "py" or node.get("reftype") != "obj":
        return None
    domain = env.domains["py"]
    target = node["reftarget"].removeprefix("qt.")
    module = node.get("py:module") or ""
    for name in (f"quantray.{target}", f"{module.rpartition('.')[0]}.{target}"):
        if name in domain.objects:
            return domain.resolve_xref(env, node["refdoc"], app.builder, "obj", name, node, text)
    return None


def setup(app: Sphinx) -> dict[str, Any]:
    """Around numpydoc, whose priority is 500."""
    app.connect("autodoc-process-docstring", _cut, priority=400)
    app.connect("autodoc-process-docstring", _append, priority=600)
    app.connect("missing-reference", _resolve)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
