"""Whether a graph is for some arguments: their types, their lengths, and what it took for granted."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any, cast

import numpy as np

from quantray._typing import DType, Tensor
from quantray.graph._graph import Graph, Ref, wires
from quantray.graph._run import Environment, OfModule, holds, run
from quantray.graph._trees import is_dict, is_sequence
from quantray.nn._gradients import is_traced, untraced
from quantray.nn._module import Module


def fitting(
    graph: Graph,
    args: tuple[object, ...],
    kwargs: Mapping[str, object],
    training: bool,
    model: Module | None,
    compute: OfModule | None = None,
) -> dict[str, Tensor] | None:
    """A graph's inputs among arguments; None where the graph is for others.

    `compute` gives the result of a node of a module, where functions alone do not.
    """
    if graph.training != training or len(args) != len(graph.args) or kwargs.keys() != graph.kwargs.keys():
        return None
    inputs: dict[str, Tensor] = {}
    if not _match((graph.args, dict(graph.kwargs)), (args, dict(kwargs)), inputs):
        return None
    symbols: dict[str, int] = {}
    for name, array in inputs.items():
        fact, plain = graph.nodes[name].facts[0], untraced(array)
        if not _is_of(plain.dtype, fact.dtype) or len(plain.shape) != len(fact.shape):
            return None
        for length, known in zip(plain.shape, fact.shape, strict=True):
            if isinstance(known, str) and symbols.setdefault(known, length) != length:
                return None
    if graph.guards:
        environment = Environment(graph, None)
        environment.values = {Ref(name): array for name, array in inputs.items()}
        environment.values.update(_decisions(graph, inputs, model, compute))
        for guard in graph.guards:
            known = isinstance(guard.subject, Ref) or is_of_inputs(guard.subject, graph)
            if known and not holds(guard, environment):
                return None
    return inputs


def _is_of(found: Any, known: DType) -> bool:
    """Whether an array is of a type: texts are, however long."""
    return found == known or found.kind == "U" == known.kind


def _decisions(
    graph: Graph, inputs: Mapping[str, Tensor], model: Module | None, compute: OfModule | None
) -> dict[Ref, object]:
    """The wires whose truth a graph took for granted: they come from integers alone."""
    subjects = tuple(guard.subject for guard in graph.guards if isinstance(guard.subject, Ref))
    if not subjects:
        return {}
    part = graph.__dict__.get("_decisions")
    if part is None:
        part = graph.__dict__["_decisions"] = graph.but(output=subjects, guards=()).pruned()
    of_node = None if compute is None or model is None else functools.partial(compute, model)
    return dict(zip(subjects, run(part, inputs, model, compute=of_node), strict=True))


def _match(pattern: object, given: object, inputs: dict[str, Tensor]) -> bool:
    if isinstance(pattern, Ref):
        if not (isinstance(given, (np.ndarray, np.generic)) or is_traced(given)):
            return False
        inputs[pattern.node] = cast("Tensor", given)
        return True
    if is_sequence(pattern):
        return (
            is_sequence(given)
            and len(given) == len(pattern)
            and all(_match(p, g, inputs) for p, g in zip(pattern, given, strict=True))
        )
    if is_dict(pattern):
        return (
            is_dict(given)
            and pattern.keys() == given.keys()
            and all(_match(p, given[key], inputs) for key, p in pattern.items())
        )
    if isinstance(given, (np.ndarray, np.generic)) or is_traced(given):
        return False
    return pattern is given or (type(pattern) is type(given) and bool(pattern == given))


def is_of_inputs(subject: object, graph: Graph) -> bool:
    return all(graph.nodes[ref.node].kind == "input" for ref in wires(subject))
