"""Each node quantized alone: what it costs the model by itself."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple, overload

from quantray import nn
from quantray._tables import Column, Table
from quantray._typing import Args, Array, Kwargs, Tensor
from quantray.analysis._pairs import Pairs
from quantray.analysis._statistics import Errors
from quantray.analysis._walk import Given, NoExact, first_output
from quantray.graph import Graph, Node, Ref
from quantray.graph._graph import leaves, wires
from quantray.graph._run import run
from quantray.quantization._batches import Batch, as_arguments, as_batches, is_floats
from quantray.quantization._metric import measured
from quantray.quantization._progress import progress
from quantray.quantization._shown import has_codes
from quantray.quantization._sides import Side, as_floats, exact_values, float_side, quantized_side
from quantray.quantization.calibrate import calibrate
from quantray.quantization.convert import convert
from quantray.quantization.prepare import prepare
from quantray.quantization.qconfig import QConfig
from quantray.quantization.qconfig_mapping import QConfigMapping


class Alone(NamedTuple):
    """A node quantized alone: SQNR of the model's output in dB, and what the metric loses."""

    name: str
    sqnr: float
    loss: float


class Sensitivity(Sequence[Alone]):
    """Nodes by what each costs alone, worst first."""

    def __init__(self, rows: Iterable[Alone], has_metric: bool) -> None:
        self.has_metric = has_metric
        self.rows = sorted(rows, key=lambda row: (-row.loss, row.sqnr) if has_metric else (row.sqnr, 0.0))

    def __len__(self) -> int:
        return len(self.rows)

    @overload
    def __getitem__(self, key: int | str) -> Alone: ...
    @overload
    def __getitem__(self, key: slice) -> list[Alone]: ...
    def __getitem__(self, key: int | str | slice) -> Alone | list[Alone]:
        if isinstance(key, str):
            for row in self.rows:
                if row.name == key:
                    return row
            raise KeyError(f"no row {key!r}; there are {', '.join(row.name for row in self.rows[:8])}")
        return self.rows[key]

    def _table(self) -> Table:
        columns = [
            Column("node alone", wraps=True),
            Column("output dB", right=True),
            Column("loss", right=True, optional=True),
        ]
        return Table(
            columns,
            [
                (
                    row.name or "(model)",
                    "exact" if row.sqnr == math.inf else f"{row.sqnr:.1f}",
                    f"{row.loss:+.4g}" if self.has_metric else "",
                )
                for row in self.rows
            ],
        )

    def __repr__(self) -> str:
        return self._table().text()

    def _repr_html_(self) -> str:
        return self._table().html()


def sensitivity(
    model: nn.Module,
    batches: Iterable[Batch],
    metric: Callable[..., float] | None = None,
    *,
    int8: nn.Module | None = None,
    qconfig_mapping: QConfig | QConfigMapping | None = None,
    transform: Callable[[Batch], object] | None = None,
    show_progress: bool = False,
) -> Sensitivity:
    """What each node costs by itself: the float model with that node alone in integers.

    Parameters
    ----------
    model : Module
        Of floats.
    batches : iterable
        Arrays, or tuples of the model's arguments; gone through several times.
    metric : callable, optional
        `metric(model, batches)`, or `metric(model)`: a number, larger is better. Without it nodes are
        ordered by the SQNR of what the model returns.
    int8 : Module, optional
        The quantized model whose nodes are tried; by default `model`, calibrated with `batches`.
    qconfig_mapping : QConfigMapping or QConfig, optional
        How that is quantized.
    transform : callable, optional
        What makes the model's arguments of a batch; `metric` is given the batches as they are.
    show_progress : bool
        Whether to show a bar.

    Raises
    ------
    ValueError
        For no batches; for a metric that is not finite, with the node's name.

    >>> import numpy as np
    >>> from quantray import analysis, nn
    >>> model = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 2))
    >>> x = np.random.default_rng(0).standard_normal((64, 4), np.float32)
    >>> found = analysis.sensitivity(model, x)
    >>> sorted(row.name for row in found)
    ['0', '2', 'input.quantize']

    Source: mixed precision by sensitivity, as in HAWQ (Dong et al., arXiv:1905.03696) with measured losses
    in the place of eigenvalues.
    """
    given = as_batches(batches)
    kept = list(given) if iter(given) is given else given
    if int8 is None:
        first = next(iter(kept), None)
        if first is None:
            raise ValueError("batches must hold at least one batch, got none")
        made = prepare(model, qconfig_mapping, as_arguments(first if transform is None else transform(first)))
        calibrate(made, kept, transform=transform, show_progress=show_progress)
        int8 = convert(made, inplace=True)
    other = quantized_side(int8)
    return sensitivity_of(float_side(model, other), other, kept, metric, transform, show_progress)


def sensitivity_of(
    side: Side,
    other: Side,
    batches: Iterable[Batch],
    metric: Callable[..., float] | None,
    transform: Callable[[Batch], object] | None,
    show_progress: bool,
) -> Sensitivity:
    """The same of two sides."""
    errors: dict[str, Errors] = {}
    for batch in batches:
        _one_batch(side, other, batch if transform is None else transform(batch), errors)
    if not errors:
        raise ValueError("batches must hold at least one batch that reaches nodes of integers, got none")
    losses: dict[str, float] = {}
    if metric is not None:
        exact = measured(metric, _OneNode(side, other, None), batches, "model")
        for name in progress(list(errors), "sensitivity", show_progress):
            found = measured(metric, _OneNode(side, other, name), batches, f"{name} alone in integers")
            losses[name] = exact - found
    return Sensitivity(
        [Alone(name, each.sqnr, losses.get(name, 0.0)) for name, each in errors.items()], metric is not None
    )


def tried(graph: Graph) -> list[str]:
    """The nodes of a quantized graph that compute otherwise than floats: what can be tried alone."""
    return [
        node.name
        for node in graph
        if node.kind not in ("int.dequantize", "int.move", "input", "parameter", "constant", "tap")
        and ".float" not in node.name
    ]


def _one_batch(side: Side, other: Side, batch: object, errors: dict[str, Errors]) -> None:
    graph, inputs = side.find(batch)
    its_graph, _ = other.find(batch)
    pairs = Pairs(graph, its_graph, side, other)
    values, exact = exact_values(side, graph, inputs, None)
    after = _after(graph)
    for name in tried(its_graph):
        ref = pairs.steps.get(name)
        if ref is None or not _is_changed(its_graph[name], other):
            continue
        try:
            found = as_floats(first_output(Given(other, pairs, values, None).computed(its_graph[name])))
        except NoExact:
            continue
        output = _resumed(side, graph, inputs, values, ref, found, after[ref.node])
        kept = errors.setdefault(name, Errors())
        for y, z in zip(leaves(exact), leaves(output), strict=False):
            if is_floats(y):
                kept.add(y, z, None)


def _is_changed(node: Node, other: Side) -> bool:
    """Whether a node is one of integers: all are in integer graphs, modules with codes in others."""
    if node.kind.startswith("int."):
        return True
    return node.kind in ("module", "python") and has_codes(other.model.get_submodule(node.value))


def _after(graph: Graph) -> dict[str, set[str]]:
    """For each node those that depend on it."""
    found: dict[str, set[str]] = {node.name: set() for node in graph}
    for node in reversed(list(graph)):
        for ref in wires((node.args, dict(node.kwargs))):
            found[ref.node] |= {node.name} | found[node.name]
    return found


def _resumed(
    side: Side,
    graph: Graph,
    inputs: dict[str, Tensor],
    values: dict[Ref, Array],
    ref: Ref,
    found: Array,
    after: set[str],
) -> object:
    """What the float model returns where one wire carries other values: what is before it is known."""

    def compute(node: Node, args: Args, kwargs: Kwargs) -> object:
        if node.name in after:
            return side.compute(graph, node, args, kwargs)
        outs = [values.get(Ref(node.name, out)) for out in range(max(len(node.facts), 1))]
        if node.name == ref.node:
            outs[ref.out] = found
        return outs[0] if len(outs) == 1 else tuple(outs)

    changed = {name: found if ref == Ref(name) else value for name, value in inputs.items()}
    return run(graph, changed, side.model, compute=compute)


class _OneNode:
    """The float model with one node in integers, to be called like a model."""

    def __init__(self, side: Side, other: Side, name: str | None) -> None:
        self._side, self._other, self._name = side, other, name
        self.training = False

    def __call__(self, *args: Array) -> object:
        graph, inputs = self._side.find(args)
        if self._name is None:
            return exact_values(self._side, graph, inputs, set())[1]
        its_graph, _ = self._other.find(args)
        pairs = Pairs(graph, its_graph, self._side, self._other)
        ref = pairs.steps.get(self._name)
        values, exact = exact_values(self._side, graph, inputs, None)
        if ref is None or self._name not in its_graph:
            return exact
        found = as_floats(
            first_output(Given(self._other, pairs, values, None).computed(its_graph[self._name]))
        )
        return _resumed(self._side, graph, inputs, values, ref, found, _after(graph)[ref.node])

    def eval(self) -> _OneNode:
        """Itself: it is evaluated always."""
        return self
