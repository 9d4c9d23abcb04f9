"""Reasons and warnings of `quantray.quantization` in the words of the command line, which has other ones."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from quantray.quantization import Report

#: What would change that a node is in floats; nothing where the file itself would have to be another.
_CURES = {
    "give it one": "leave out its --float",
    "name it in qconfig_spec": "--convolutions, where it is one",
    "a QuantStub before it": "",
    "a DeQuantStub after it": "",
    "quantize_dynamic has one": "--dynamic",
    "a qconfig of yours": "in Python, a qconfig of yours for its name",
    "a qconfig for its name": "in Python, a qconfig for its name",
    "graph.register_layer": "in Python, graph.register_layer",
    "a module of its own, for graph.register_layer": "in Python, graph.register_layer",
}
_PHRASES = (
    (", which qconfig_spec may name", ": --convolutions takes convolutions too"),
    (", unless qconfig_spec names them", ""),
    (" on data_held_out", " on what was held out"),
    ("; see plan", ""),
    ("max_drop=", "--max-drop "),
    (": report(...) says why of each node", ""),
)


def in_words(report: Report, names_floats: bool) -> Report:
    """The same report, with cures that can be typed; `names_floats`: whether --float named nodes."""
    cures = _CURES if names_floats else _CURES | {"give it one": ""}
    report.lines = [line._replace(cure=cures.get(line.cure, line.cure)) for line in report.lines]
    return report


def said(warning: str) -> str:
    """A warning, without arguments that only Python has."""
    for own, typed in _PHRASES:
        warning = warning.replace(own, typed)
    return warning
