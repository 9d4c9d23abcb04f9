"""Models that are quantized already: a file's grids and integers as one program of integers.

Files say it node by node, between QuantizeLinear and DequantizeLinear. Here that becomes what `convert` makes
of a calibrated model: layers of integers, sums, tables, movements of codes.
"""

# Arguments of nodes are trees of whatever functions take: their leaves have no type that could be said.
# pyright: reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import cast

from quantray import nn
from quantray.graph import Graph, capture, normalize
from quantray.onnx._control import Control, If
from quantray.onnx._integers._channels import with_one_scale
from quantray.onnx._integers._conversion import FileConversion, Weights
from quantray.onnx._integers._pairs import before_moves, rounded
from quantray.onnx._integers._places import placed, with_functions
from quantray.onnx._integers._runner import Loaded
from quantray.onnx._model import Model
from quantray.onnx._step import Step
from quantray.onnx._stored import Stored
from quantray.quantization._fusing import make_layers

__all__ = ["as_integers", "has_grids"]


def has_grids(model: Model) -> bool:
    """Whether a file rounds values to grids, but for what a loop repeats: no graph has many steps of it."""
    return _has_grids(model)


def _has_grids(module: nn.Module) -> bool:
    if isinstance(module, Step):
        return module.call.op == "QuantizeLinear"
    if isinstance(module, Control) and not isinstance(module, If):
        return False
    return any(map(_has_grids, module.children()))


class _Source:
    """A model in floats, as its file has it, of which graphs are captured."""

    def __init__(self, model: Model, stored: Mapping[str, Stored]) -> None:
        self.model, self.stored = model, stored

    def conversion(self, args: tuple[object, ...], into: nn.Module | None = None) -> FileConversion | None:
        """The way to integers for some arguments; None where nothing is on a grid."""
        graph = normalize(capture(self.model, args))
        weights = Weights(self.model, self.stored)
        pairs, why = rounded(with_one_scale(graph, weights))
        functions = with_functions(make_layers(before_moves(pairs), self.model))
        found = placed(functions, weights)
        if not found.grids:
            return None
        made = FileConversion(self.model, weights, found, into)
        made.why = {name: f"in its file it has {each}" for name, each in why.items()} | found.why
        return made

    def __call__(self, module: nn.Module, args: tuple[object, ...]) -> Graph:
        """Another graph for the model that was made of this one."""
        made = self.conversion(args, module)
        if made is None:
            raise ValueError("what the model decides by its inputs changes from call to call")
        return made.join(module)[0]


def as_integers(model: Model, stored: Mapping[str, Stored]) -> bool:
    """Makes a model compute in integers; whether it does now.

    Parameters
    ----------
    model : Module
        In floats, as its file has it; it is changed.
    stored : mapping of str to Stored
        By the paths of layers, the integers that their weights are.

    Warns
    -----
    UserWarning
        Why it computes node by node, where that is for the whole file.
    """
    made, is_captured, why = None, False, ""
    for args in model.examples():
        try:
            made, is_captured = _Source(model, stored).conversion(args), True
            break
        except (ValueError, TypeError, IndexError, ArithmeticError, RuntimeError) as error:
            why = why or f"it cannot be captured: {error}"
    if not is_captured:
        why = why or "it does not say how many axes its inputs have"
        warnings.warn(f"the file's integers are computed node by node: {why}", UserWarning, stacklevel=6)
    if made is None:
        return False
    # Inputs of which other graphs are needed: the file's own floats stay for them.
    source = None if _is_for_all(made.graphs[0], model) else _Source(model.copy(), stored)
    made.put()
    runner = cast("Loaded", model._runner)
    runner.why.update(made.why)
    runner.capture_graph = source
    return True


def _is_for_all(graph: Graph, model: Model) -> bool:
    """Whether a graph is for all inputs that a file allows."""
    if graph.guards or graph.rows is not None:
        return False
    facts = [graph.nodes[name].facts[0] for name in graph.inputs]
    for value, fact in zip(model.inputs, facts, strict=True):
        lengths = value.shape or (None,) * len(fact.shape)
        if any(
            type(n) is int and type(known) is not int for n, known in zip(fact.shape, lengths, strict=True)
        ):
            return False
    return True
