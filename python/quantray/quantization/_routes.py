"""The way of calls that are like earlier ones: which program is for them, and what is still looked at.

A runner looks for the graph that inputs fit: by dtypes, shapes, lengths, and by what the capture took for
granted. For arrays of the same shapes and dtypes all of that comes out as before, but for what depends on
their numbers, such as `if mask.all()`: that is a small program of its own.
"""

from __future__ import annotations

from collections.abc import Mapping

from quantray import nn, ops
from quantray._typing import Args, Tensor
from quantray.graph import Graph, Ref
from quantray.graph._run import run
from quantray.graph._trees import kinds_of
from quantray.nn.quantized._grid import Grid
from quantray.quantization._integers import compute
from quantray.quantization._lowering import Lowered, NotLowered, lower

#: Kinds of arguments whose way is kept; then all are forgotten.
MOST = 256


class Route:
    """One graph's program for arrays of some shapes and dtypes."""

    __slots__ = ("_question", "lowered")

    def __init__(self, lowered: Lowered, question: Question | None) -> None:
        self.lowered, self._question = lowered, question

    def fits(self, args: Args) -> bool:
        """Whether the numbers are such that the graph is for them."""
        return self._question is None or self._question.holds(args)


class Question:
    """What a graph took for granted of its inputs' numbers."""

    def __init__(self, graph: Graph, model: nn.Module, grids: Mapping[Ref, Grid]) -> None:
        guards = [guard for guard in graph.guards if isinstance(guard.subject, Ref)]
        self._outcomes = [bool(guard.outcome) for guard in guards]
        subjects = tuple(guard.subject for guard in guards)
        self._part, self._model = graph.but(output=subjects, guards=()).pruned(), model
        self._grids = grids
        self._inputs = list(graph.inputs)
        self._program: ops.Program | None = None
        try:
            lowered = lower(self._part, model, grids)
        except (NotLowered, TypeError, ValueError):
            return
        if not lowered.called:
            self._program = lowered.program
            self._places = [self._inputs.index(name) for name in self._part.inputs]

    def holds(self, args: Args) -> bool:
        """Whether it is so for these."""
        if self._program is not None:
            made = self._program(*[args[place] for place in self._places])
        else:
            made = run(
                self._part,
                dict(zip(self._inputs, args, strict=True)),
                self._model,
                compute=lambda node, args, kwargs: compute(self._model, node, args, kwargs, self._grids),
            )
        return [bool(value) for value in made] == self._outcomes


class Routes:
    """By the kinds of arguments the ways that such calls have gone."""

    def __init__(self) -> None:
        self._found: dict[tuple[object, ...], list[Route]] = {}
        self._questions: dict[int, tuple[Graph, Question | None]] = {}

    def find(self, args: Args) -> Route | None:
        """The one for these arguments."""
        for route in self._found.get(kinds_of(args) or (), ()):
            if route.fits(args):
                return route
        return None

    def add(
        self,
        graph: Graph,
        module: nn.Module,
        inputs: dict[str, Tensor],
        lowered: Lowered,
        grids: Mapping[Ref, Grid],
    ) -> None:
        """Notes the way of some inputs, if arguments are these and nothing else."""
        args = tuple(inputs.values())
        key = kinds_of(args)
        given = tuple(Ref(name) for name in inputs)
        if not key or dict(graph.kwargs) or tuple(graph.args) != given or list(graph.inputs) != list(inputs):
            return
        if len(self._found) >= MOST:
            self.clear()
        known = self._questions.get(id(graph))
        if known is None:
            decides = any(isinstance(guard.subject, Ref) for guard in graph.guards)
            known = self._questions[id(graph)] = graph, Question(graph, module, grids) if decides else None
        routes = self._found.setdefault(key, [])
        if all(route.lowered is not lowered for route in routes):
            routes.append(Route(lowered, known[1]))

    def clear(self) -> None:
        """Forgets all."""
        self._found, self._questions = {}, {}
