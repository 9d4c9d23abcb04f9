"""What became of each node of a quantized model, as a table."""

from __future__ import annotations

import math
from collections.abc import Sequence

from quantray import nn
from quantray._core import QTensor
from quantray._typing import Tensor
from quantray.graph import Node
from quantray.nn.quantized import Grid, dynamic
from quantray.quantization._batches import check_model
from quantray.quantization._converted import scalings_of
from quantray.quantization._integers import DEQUANTIZE, LAYER, QUANTIZE
from quantray.quantization._lines import Line, Report
from quantray.quantization._prepared import called_children, prepared_of
from quantray.quantization._reading import Reading, class_name, weight_bits_of
from quantray.quantization._reasons import left_in_float, reason
from quantray.quantization._shown import Shown
from quantray.quantization.fake_quantize import FakeQuantizeBase
from quantray.quantization.observer import ObserverBase

__all__ = ["Line", "Report", "report"]


def report(model: nn.Module) -> Report:
    """A table of what a model computes in: what is quantized, what was left in float, and why.

    Prepared and converted models have a row for each node of their graph; of a prepared one it says what
    `convert` will make of it, and what its observers have seen. Float models and those of `quantize_dynamic`
    have a row for each module with weights.

    Bits: "w4 a8" are weights of 4 bits, and activations of 8.

    >>> import numpy as np
    >>> from quantray import nn, quantization as tq
    >>> model = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 2))
    >>> x = np.random.default_rng(0).random((8, 4), np.float32)
    >>> found = tq.report(tq.quantize(model, x, verbose=False))
    >>> print(found)
    node            type           computes in        bits   bytes  note
    ----------------------------------------------------------------------------
    input.quantize  quantize       float32 -> quint8  a8         0
    0               Linear + ReLU  qint8 -> quint8    w8 a8     64
    2               Linear         qint8 -> float32   w8 a8     24  gives floats
    ----------------------------------------------------------------------------
    total                                                       88
    >>> print(found.headline())
    2 of 2 nodes in integers
    """
    check_model(model)
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
        evened=list(dict.fromkeys(path or "(model)" for path, _, _ in scalings_of(model))),
    )


def is_in_integers(model: nn.Module) -> bool:
    """Whether any line of a model's report computes in integers: known without unpacking a weight, mostly."""
    if any(reading.in_integers(node) for reading in _reading_of(model) for node in reading.steps()):
        return True
    return any(line.in_integers for line in report(model).lines)


class _Counts:
    """What was counted so far: arrays that nodes share count once."""

    def __init__(self) -> None:
        # Kept alive: the id of an array that is gone may be another one's.
        self._seen: dict[int, object] = {}
        self.as_floats = 0

    def of(self, arrays: Sequence[Tensor]) -> int:
        """Bytes of arrays that were not counted before."""
        size = 0
        for array in arrays:
            if id(array) not in self._seen and hasattr(array, "nbytes"):
                self._seen[id(array)] = array
                size += int(array.nbytes)
                self.as_floats += (
                    4 * math.prod(array.shape) if isinstance(array, QTensor) else int(array.nbytes)
                )
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


def _line(node: Node, name: str, reading: Reading, counts: _Counts) -> Line:
    whole = reading.module(node) if node.kind == "module" else None
    codes = [] if whole is None else _codes(whole._own_state())
    if whole is not None and codes:
        # A dynamic layer of a model that is static elsewhere: floats on its wires, integers inside.
        own, size = whole._own_state(), counts.of_module(whole)
        bits = _weight_bits(whole, own), _activation_bits(whole, True)
        text = f"{'/'.join(codes)} -> float32"
        why = f"ranges of rows: {reading.spared(node)}" if reading.spared(node) else ""
        return Line(name, class_name(whole), text, size, *bits, True, why, is_call=reading.is_call(node))
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
        reading.is_call(node),
    )


def _holder(node: Node, reading: Reading) -> nn.Module | None:
    """The module of integers that holds a node's weight, packed."""
    return reading.model.get_submodule(node.value.path) if node.kind == LAYER else None


def _of_modules(model: nn.Module, counts: _Counts, has_graph: bool) -> list[Line]:
    """Lines of modules with weights that no node has."""
    found: list[tuple[str, nn.Module, dict[str, Tensor], Grid | None]] = []
    for name, module in model.named_modules():
        if isinstance(module, (ObserverBase, FakeQuantizeBase)) or counts.knows(module):
            continue
        own = module._own_state()
        grid = getattr(module, "grid", None)
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
                class_name(module),
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


def _codes(own: dict[str, Tensor]) -> list[str]:
    return sorted({str(value.dtype) for value in own.values() if isinstance(value, QTensor)})


def _weight_bits(module: nn.Module, own: dict[str, Tensor]) -> int | None:
    weights = [value for value in own.values() if isinstance(value, QTensor)]
    if not weights:
        return 32 if module._parameters else None
    return weight_bits_of(module)


def _activation_bits(module: nn.Module, is_integer: bool) -> int | None:
    """Bits of what a module takes: dynamic layers quantize it to 8, tables of embeddings take places."""
    if not is_integer:
        return None
    is_dynamic = type(module).__module__.startswith(dynamic.__name__)
    return 8 if is_dynamic and "Embedding" not in type(module).__name__ else None
