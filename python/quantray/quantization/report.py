"""What became of each node of a quantized model, as a table."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Sequence
from html import escape
from typing import Any, NamedTuple

from quantray import nn
from quantray._core import QTensor
from quantray._tables import Column, Table
from quantray.nn.quantized import dynamic
from quantray.quantization._integers import DEQUANTIZE, QUANTIZE
from quantray.quantization._prepared import called_children, prepared_of
from quantray.quantization._reading import Reading, class_name
from quantray.quantization._reasons import left_in_float, reason
from quantray.quantization._shown import Shown
from quantray.quantization.fake_quantize import FakeQuantizeBase
from quantray.quantization.observer import ObserverBase

#: A report that is printed along the way gets no longer than this.
_MOST = 60
#: Of a reason that is longer a table has the beginning.
_LONGEST = 48


class Line(NamedTuple):
    """One node of a model's graph, or, where there is no graph, one module.

    `in_integers` is None for what computes with no real numbers, and for modules that have no weights of their
    own. `reason` says why it is in floats, or gives floats; `cure` what would change it. `seen` has the ranges
    that observers of a prepared model saw.
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
    """

    def __init__(
        self,
        lines: Sequence[Line],
        *,
        float_total: int = 0,
        has_graph: bool = False,
        is_prepared: bool = False,
        name: str = "model",
    ) -> None:
        self.lines = list(lines)
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

    def _table(self, lines: Sequence[Line], *, brief: bool = False) -> Table:
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
                line.brief if brief else line.note,
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
        return "\n".join([self._table(lines, brief=True).text(), *_cures(lines)])

    def _repr_html_(self) -> str:
        size = f"{self.total:,} bytes"
        if self.float_total > self.total:
            size += f", {100 * self.total / self.float_total:.0f} % of {self.float_total:,} in float32"
        head = f"<div><b>{escape(self._name)}</b>: {escape(self.headline())}; {size}</div>"
        return f"<div style='max-width:100%'>{head}{self._table(self.lines).html()}</div>"


def _cures(lines: Sequence[Line]) -> list[str]:
    """For each reason what would change it, with the nodes that it holds for."""
    names: dict[tuple[str, str], list[str]] = {}
    for line in lines:
        if line.cure:
            names.setdefault((line.reason, line.cure), []).append(line.name or "(model)")
    return [
        f"{', '.join(group[:4])}{f' and {len(group) - 4} more' if len(group) > 4 else ''}: {why}; "
        f"what would change it: {cure}"
        for (why, cure), group in names.items()
    ]


def _said(floats: Sequence[Line]) -> str:
    """Names of nodes by their reasons, those that others are consequences of first."""
    names: dict[str, list[str]] = {}
    for line in sorted(floats, key=lambda line: line.is_consequence):
        names.setdefault(line.reason, []).append(line.name or "(model)")
    said: list[str] = []
    for why, group in list(names.items())[:3]:
        text = ", ".join(group[:3]) + (f" and {len(group) - 3} more" if len(group) > 3 else "")
        said.append(f"{text} ({textwrap.shorten(why, 48, placeholder=' ...')})" if why else text)
    return ", ".join([*said, *(["..."] if len(names) > 3 else [])])


def collapsed(lines: Sequence[Line], most: int) -> list[Line]:
    """At most so many lines, where modules have several: lines of one module that follow each other become one."""
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


def report(model: nn.Module) -> Report:
    """A table of what a model computes in: what is quantized, what was left in float, and why.

    Prepared and converted models have a row for each node of their graph; of a prepared one it says what
    `convert` will make of it, and what its observers have seen. Float models, and those of `quantize_dynamic`,
    have a row for each module with weights.

    Bits: "w4 a8" are weights of 4 bits, and activations of 8.

    >>> import numpy as np
    >>> from quantray import nn, quantization as tq
    >>> model = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 2), nn.Softmax(dim=-1))
    >>> x = np.random.default_rng(0).random((8, 4), np.float32)
    >>> print(tq.report(tq.quantize(model, x, verbose=False)))
    """
    counts = _Counts()
    lines = _lines_of(model, "", counts)
    has_graph = bool(lines)
    lines += _of_modules(model, counts, has_graph)
    return Report(
        lines,
        float_total=counts.as_floats,
        has_graph=has_graph,
        is_prepared=prepared_of(model) is not None,
        name=model._get_name(),
    )


class _Counts:
    """What was counted so far: arrays that nodes share count once."""

    def __init__(self) -> None:
        # Kept alive: the id of an array that is gone may be another one's.
        self._seen: dict[int, Any] = {}
        self.as_floats = 0

    def of(self, arrays: Sequence[Any]) -> int:
        """Bytes of arrays that were not counted before."""
        size = 0
        for array in arrays:
            if id(array) not in self._seen and hasattr(array, "nbytes"):
                self._seen[id(array)] = array
                size += int(array.nbytes)
                self.as_floats += 4 * math.prod(array.shape) if isinstance(array, QTensor) else int(array.nbytes)
        return size

    def of_module(self, module: nn.Module) -> int:
        """Bytes of a module itself."""
        if id(module) in self._seen:
            return 0
        self._seen[id(module)] = module
        return self.of(list(module._own_state().values()))

    def knows(self, module: nn.Module) -> bool:
        """Whether a module was counted."""
        return id(module) in self._seen


def _reading_of(model: nn.Module) -> list[Reading]:
    runner = model._runner
    if not isinstance(runner, Shown):
        return []
    found = [runner.reading(model, graph) for graph in runner.graphs]
    return [reading for reading in found if reading is not None]


def _lines_of(model: nn.Module, prefix: str, counts: _Counts) -> list[Line]:
    """Lines of all graphs of a model, those of graphs inside included."""
    lines: dict[str, Line] = {}
    for reading in _reading_of(model):
        for node in reading.steps():
            # A module that is one layer has a graph whose only node is the module itself.
            name = (prefix.removesuffix(".") if reading.is_model(node) else "") or f"{prefix}{node.name}"
            if name in lines:
                continue
            lines[name] = _line(node, name, reading, counts)
            if node.kind != "python":
                continue
            for child, inner in called_children(model.get_submodule(node.value)):
                path = ".".join(filter(None, (node.value, child)))
                for line in _lines_of(inner, f"{prefix}{path}.", counts):
                    lines.setdefault(line.name, line)
    return list(lines.values())


def _line(node: Any, name: str, reading: Reading, counts: _Counts) -> Line:
    module = _holder(node, reading)
    size = counts.of_module(module) if module is not None else counts.of(reading.arrays(node))
    found = reason(node, reading)
    is_border = node.kind in (QUANTIZE, DEQUANTIZE) and not reading.is_between(node)
    return Line(
        name,
        reading.words(node),
        reading.computes(node),
        size,
        reading.weight_bits(node),
        None if node.kind == "python" else reading.activation_bits(node),
        reading.in_integers(node),
        found.why,
        found.cure,
        reading.seen(node),
        is_border,
        found.is_consequence,
    )


def _holder(node: Any, reading: Reading) -> nn.Module | None:
    """The module of integers that holds a node's weight, packed."""
    return reading.model.get_submodule(node.value.path) if node.kind == "int.layer" else None


def _of_modules(model: nn.Module, counts: _Counts, has_graph: bool) -> list[Line]:
    """Lines of modules with weights that no node has."""
    found: list[tuple[str, nn.Module, dict[str, Any], Any]] = []
    for name, module in model.named_modules():
        own = module._own_state()
        if isinstance(module, (ObserverBase, FakeQuantizeBase)) or counts.knows(module):
            continue
        grid: Any = getattr(module, "grid", None)
        if any(part.startswith("activation_post_process") for part in name.split(".")):
            continue
        if (own or grid is not None) and not (has_graph and not own):
            found.append((name, module, own, grid))
    codes = [bool(_codes(own)) or grid is not None for _, _, own, grid in found]
    lines: list[Line] = []
    for (name, module, own, grid), is_integer in zip(found, codes, strict=True):
        size = counts.of(list(own.values()))
        if has_graph and not size:
            continue
        kinds = _codes(own)
        text = "float32"
        if is_integer:
            text = "/".join(kinds) or "integers"
            text += " -> float32" if grid is None else f" -> {grid.dtype}"
        why = left_in_float(module, any(codes))
        lines.append(
            Line(
                name,
                _kind(module),
                text,
                size,
                _weight_bits(module, own),
                _activation_bits(module, is_integer),
                is_integer,
                "no graph comes through it" if has_graph else "" if is_integer else why.why,
                "" if has_graph or is_integer else why.cure,
            )
        )
    return lines


def _codes(own: dict[str, Any]) -> list[str]:
    return sorted({str(value.dtype) for value in own.values() if isinstance(value, QTensor)})


def _kind(module: nn.Module) -> str:
    return class_name(module)


def _weight_bits(module: nn.Module, own: dict[str, Any]) -> int | None:
    weights = [value for value in own.values() if isinstance(value, QTensor)]
    if not weights:
        return 32 if module._parameters else None
    return int(getattr(module, "weight_bits", max(int(weight.dtype.bits) for weight in weights)))


def _activation_bits(module: nn.Module, is_integer: bool) -> int | None:
    """Bits of what a module takes: those of dynamic layers quantize it to 8, tables of embeddings take places."""
    if not is_integer:
        return None
    is_dynamic = type(module).__module__.startswith(dynamic.__name__)
    return 8 if is_dynamic and "Embedding" not in type(module).__name__ else None
