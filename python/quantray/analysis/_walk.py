"""Both graphs over the batches, node by node: the values of one batch are kept, and sums of all of them.

A node's own error is that of the node alone: it is given the exact values, on the grids that its inputs
have. Its accumulated error is what it gives in the model of integers, whose inputs are off already.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable

import numpy as np

from quantray._typing import Args, Array, Kwargs, Tensor
from quantray.analysis._pairs import Pairs, Weighted, weighted_of
from quantray.analysis._statistics import Codes, Errors, Range
from quantray.graph import Expr, Graph, Node, Ref, kind_of
from quantray.graph._graph import leaves, map_tree
from quantray.graph._lengths import evaluate
from quantray.graph._run import Environment, parameter_of, run
from quantray.quantization._integers import DEQUANTIZE, MOVE, QUANTIZE, Outputs
from quantray.quantization._sides import InCalls, Side, Trained, as_floats, exact_values

#: So many samples of the first batch are kept, to try remedies on.
KEPT = 64


class Watched:
    """What is kept of one call of one node."""

    def __init__(self, node: Node, weighted: Weighted | None, codes: Codes | None, axis: int | None) -> None:
        self.node, self.weighted, self.codes = node, weighted, codes
        self.own, self.accumulated = Errors(), Errors()
        #: Energies of the parts of its own error.
        self.of_weight = self.of_input = self.of_output = 0.0
        self.input, self.output = Range(axis), Range(axis)
        self.seconds = 0.0
        self.calls = 0
        #: The largest distance in steps of its grid.
        self.steps = 0.0
        #: Its exact input, of a few samples.
        self.kept: Array | None = None
        #: Where its input comes from: the step that has made it.
        self.source: str | None = None
        self.has_own = True


class Walk:
    """Two models, step by step.

    Parameters
    ----------
    side, other : Side
        The float model and the quantized one.
    """

    def __init__(self, side: Side, other: Side) -> None:
        self.side, self.other = side, other
        self.watched: dict[str, Watched] = {}
        self.samples = self.batches = 0
        #: The first batch, which remedies are tried on.
        self.first: object = None
        self._pairs: list[Pairs] = []
        #: What the model returns, exactly and as it is: of each batch, for whoever looks at it.
        self.outputs: tuple[object, object] = (None, None)

    @property
    def is_in_calls(self) -> bool:
        """Whether ranges are found in each call: of a dynamic model."""
        return isinstance(self.other, InCalls)

    def pairs(self, graph: Graph, other: Graph) -> Pairs:
        """The pairs of two graphs."""
        for known in self._pairs:
            if known.graph is graph and known.other is other:
                return known
        made = Pairs(graph, other, self.side, self.other)
        self._pairs.append(made)
        return made

    def batch(self, batch: object) -> None:
        """Takes in one batch."""
        if self.batches == 0:
            self.first = batch
        graph, inputs = self.side.find(batch)
        other, its = self.other.find(batch)
        pairs = self.pairs(graph, other)
        first = next(iter(inputs.values()), None)
        count = len(first) if first is not None and np.ndim(first) else None
        if count == 0:
            raise ValueError("it holds no samples")
        values, exact = exact_values(self.side, graph, inputs, set(pairs.exact.values()))
        timed: dict[str, float] = {}

        def compute(node: Node, args: Args, kwargs: Kwargs) -> Outputs:
            begin = time.perf_counter()
            made = self.other.compute(other, node, args, kwargs)
            timed[node.name] = time.perf_counter() - begin
            return made

        def each(node: Node, environment: Environment) -> None:
            if node.name in pairs.steps:
                self._look(node, environment, pairs, values, count, timed.get(node.name, 0.0))

        output = run(other, its, self.other.model, compute=compute, each=each)
        self.outputs = exact, map_tree(as_floats, output)
        self.samples += count or 0
        self.batches += 1

    def _look(
        self,
        node: Node,
        environment: Environment,
        pairs: Pairs,
        values: dict[Ref, Array],
        count: int | None,
        seconds: float,
    ) -> None:
        y = values.get(pairs.steps[node.name])
        found = as_floats(environment.values.get(Ref(node.name)))
        if not isinstance(y, np.ndarray) or not isinstance(found, np.ndarray) or y.dtype.kind != "f":
            return
        if y.shape != found.shape:
            raise ValueError(
                f"model and int8 do not correspond: {node.name} gives shape {y.shape} in model and "
                f"{found.shape} in int8"
            )
        watched = self._watched(node, pairs)
        watched.seconds += seconds
        watched.calls += 1
        watched.accumulated.add(y, found, count)
        watched.output.add(y, count)
        self._alone(node, environment, pairs, values, y, count, watched)

    def _watched(self, node: Node, pairs: Pairs) -> Watched:
        known = self.watched.get(node.name)
        if known is None:
            grid = self.other.grids(pairs.other).get(Ref(node.name))
            weighted = weighted_of(node, pairs, self.side, self.other)
            codes = None if grid is None else Codes(grid)
            known = Watched(node, weighted, codes, _channel_axis(node, weighted, pairs))
            self.watched[node.name] = known
            known.source = _source(node, pairs)
        return known

    def _alone(
        self,
        node: Node,
        environment: Environment,
        pairs: Pairs,
        values: dict[Ref, Array],
        y: Array,
        count: int | None,
        watched: Watched,
    ) -> None:
        """A node's own error, and what it is made of."""
        given = Given(self.other, pairs, values, environment)
        try:
            mine = as_floats(first_output(given.computed(node)))
        except NoExact:
            watched.has_own = False
            return
        grid = self.other.grids(pairs.other).get(Ref(node.name))
        if grid is not None:
            apart = np.abs(mine - y).max(initial=0.0) / grid.scale
            watched.steps = max(watched.steps, float(apart))
        if isinstance(self.side, Trained):
            return
        if node.kind == MOVE:
            # What came on the grid before it is not this node's: it is beside the function of these values.
            y = as_floats(given.of_floats(node))
        watched.own.add(y, mine, count)
        rounded = y
        if grid is not None:
            codes = grid.quantize(np.asarray(y, np.float32))
            rounded = codes.dequantize()
            assert watched.codes is not None
            watched.codes.add(y, codes.int_repr())
        weighted = watched.weighted
        if weighted is None:
            watched.of_output += _energy(rounded - y)
            watched.of_input += _energy(mine - rounded)
            return
        x = values.get(pairs.exact.get(node.inputs[0], Ref("")))
        if x is None:
            return
        watched.input.add(x, count)
        if watched.kept is None:
            watched.kept = np.array(x[:KEPT] if np.ndim(x) and len(x) == count else x)
        with_codes = weighted(x, weighted.other, weighted.other_bias)
        on_grid = with_codes if grid is None else grid.quantize(with_codes).dequantize()
        watched.of_weight += _energy(with_codes - y)
        watched.of_output += _energy(on_grid - with_codes)
        watched.of_input += _energy(mine - on_grid)


class NoExact(Exception):
    """A wire whose exact value is not known."""


class Given:
    """What nodes of a quantized graph compute of exact values.

    Parameters
    ----------
    other : Side
        The quantized model.
    pairs : Pairs
    values : dict of Ref to array
        Exact values, by wires of the float graph.
    environment : Environment, optional
        Of the quantized graph as it runs: parameters, and lengths.
    """

    def __init__(
        self, other: Side, pairs: Pairs, values: dict[Ref, Array], environment: Environment | None
    ) -> None:
        self._other, self._pairs, self._values, self._environment = other, pairs, values, environment
        self._grids = other.grids(pairs.other)
        self._made: dict[Ref, Tensor] = {}

    def wire(self, ref: Ref) -> Tensor:
        """The exact value of a wire, on the grid that it has; computed where it is part of a step."""
        exact = self._pairs.exact.get(ref)
        if exact is not None:
            if exact not in self._values:
                raise NoExact(str(ref))
            value, grid = self._values[exact], self._grids.get(ref)
            return value if grid is None else grid.quantize(np.asarray(value, np.float32))
        node = self._pairs.other.nodes[ref.node]
        if node.kind == "parameter":
            return parameter_of(self._other.model, node)
        if node.kind == "constant":
            return node.value
        # What is behind a step by itself that has no pair cannot be told from it.
        if ref.out or not self._pairs.is_part(node):
            raise NoExact(str(ref))
        if ref not in self._made:
            self._made[ref] = first_output(self.computed(node))
        return self._made[ref]

    def computed(self, node: Node) -> Outputs:
        """What a node gives for exact inputs."""
        args, kwargs = self._resolved(node, self.wire)
        return self._other.compute(self._pairs.other, node, args, kwargs)

    def of_floats(self, node: Node) -> Array:
        """The float function of what passes codes on, of what these codes stand for."""
        args, kwargs = self._resolved(node, lambda ref: as_floats(self.wire(ref)))
        return kind_of(node.value).function(*args, **kwargs)

    def _resolved(self, node: Node, of: Callable[[Ref], Tensor]) -> tuple[Args, Kwargs]:
        def shape(ref: Ref) -> tuple[int, ...]:
            known = None if self._environment is None else self._environment.values.get(ref)
            return tuple(np.shape(self.wire(ref) if known is None else known))

        def leaf(value: object) -> object:
            if type(value) is Ref:
                return of(value)
            return evaluate(value, shape) if type(value) is Expr else value

        return map_tree(leaf, node.args), map_tree(leaf, dict(node.kwargs))


def through(walk: Walk, batches: Iterable[object]) -> Walk:
    """A walk over batches; what is wrong with one is said with its number."""
    for i, batch in enumerate(batches):
        try:
            walk.batch(batch)
        except ValueError as error:
            raise ValueError(f"batch {i}: {error}") from None
    if walk.batches == 0:
        raise ValueError("batches must hold at least one batch, got none")
    return walk


def first_output(made: Outputs) -> Tensor:
    """The first output of a node."""
    return leaves(made)[0] if isinstance(made, (tuple, list, dict)) else made


def _energy(error: Array) -> float:
    flat = np.asarray(error, np.float32).reshape(-1)
    return float(np.einsum("i,i->", flat, flat, dtype=np.float64))


def _channel_axis(node: Node, weighted: Weighted | None, pairs: Pairs) -> int | None:
    """The axis of channels of what a step gives, if it is on a grid: that of the layers that take it."""
    if weighted is not None:
        return weighted.channel_axis
    if node.kind != QUANTIZE:
        return None
    takers = [pairs.exact_names.get(name, "") for name in pairs.other.users().get(Ref(node.name), ())]
    found = [pairs.graph.nodes[name] for name in takers if name in pairs.graph]
    kinds = [taker.value.kind for taker in found if taker.kind == "layer"]
    return None if not kinds else -1 if "linear" in kinds else 1


def _source(node: Node, pairs: Pairs) -> str | None:
    """The step that a step's input comes from."""
    if not node.inputs:
        return None
    ref = node.inputs[0]
    while ref.node not in pairs.steps:
        inner = pairs.other.nodes[ref.node]
        if inner.kind not in (DEQUANTIZE,) or not inner.inputs:
            return None
        ref = inner.inputs[0]
    return ref.node
