"""What roundings do to what a model returns: a prepared graph in floats, some of whose nodes round what they
take as integers will.

A rounding belongs to the node that takes the rounded value, and that of a weight to its layer: so what one
node costs by itself is what is gained where it stays in floats. One run gives the exact values; for each
node only what depends on it is computed again.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping

import numpy as np

from quantray import nn
from quantray._typing import Array, ArrayLike, Tensor
from quantray.graph import Graph, Node, Part, Ref
from quantray.graph._trees import leaves
from quantray.nn.quantized import Grid
from quantray.nn.quantized._weighted import quantize_weight
from quantray.quantization._batches import is_floats
from quantray.quantization._layers import Layer, weights_of
from quantray.quantization._lowering import Lowered, lower
from quantray.quantization._node_programs import NodePrograms, ValueOf
from quantray.quantization._prepared import Prepared
from quantray.quantization._settings import part_of
from quantray.quantization.observer._zeros import SMALL_SCALE

#: How a node takes its input: on the grid of the wire, or on one of each row.
STATIC, ROWS = "static", "rows"
#: A loss that is none.
_EXACT = 1e-16
#: Numbers that sums are taken of at once.
_PART = 1 << 14


class Probe:
    """One batch: inputs, and exact outputs."""

    def __init__(self, inputs: Mapping[str, Tensor], outputs: list[Tensor]) -> None:
        self.inputs, self.outputs = inputs, outputs


class Roundings:
    """The roundings of a prepared model, and what they lose on some batches.

    Parameters
    ----------
    model : Module
        Prepared, and calibrated.
    runner : Prepared
        What runs it.
    graph : Graph
        The one of its graphs that is looked at.

    Attributes
    ----------
    candidates : dict of str to Node
        What rounds something, by name.
    sizes : dict of Ref to int
        How many numbers each wire has of the first batch.
    """

    def __init__(self, model: nn.Module, runner: Prepared, graph: Graph) -> None:
        self.model, self.runner, self.graph = model, runner, graph
        self._nodes = list(self.graph)
        # Nodes look through all of their arguments for these.
        self._inputs = {node.name: node.inputs for node in self._nodes}
        self._results = {node.name: Ref(node.name) for node in self._nodes}
        self._compute = NodePrograms(self.graph, model, runner.compute)
        self._users = self.graph.users()
        self.candidates = {node.name: node for node in self._nodes if self._is_candidate(node)}
        self._grids: dict[str, Grid] = {}
        self._layers: dict[str, Lowered] = {}
        self.probes: list[Probe] = []
        self.sizes: dict[Ref, int] = {}

    @property
    def is_calibrated(self) -> bool:
        """Whether all observers have seen something."""
        paths = [node.value.path for node in self._nodes if node.kind == "observe"]
        return all(self.model.get_submodule(path).has_data for path in paths)

    def add(self, inputs: Mapping[str, Tensor]) -> int:
        """Looks at one more batch; returns how many numbers it comes to. Its outputs are kept, no more."""
        values = self._exact(inputs)
        sizes = {ref: int(np.size(value)) for ref, value in values.items()}
        self.sizes = self.sizes or sizes
        self.probes.append(Probe(inputs, self._outputs(values.__getitem__)))
        fixed = {node.name for node in self._nodes if node.kind in ("constant", "parameter")}
        return sum(size for ref, size in sizes.items() if ref.node not in fixed)

    def alike(self, other: Roundings) -> set[Ref]:
        """The wires that have the same exact values in another model of as many batches."""
        found: set[Ref] | None = None
        for mine, its in zip(self.probes, other.probes, strict=True):
            values, others = self._exact(mine.inputs), other._exact(its.inputs)
            same = {
                ref for ref, value in values.items() if ref in others and np.array_equal(value, others[ref])
            }
            found = same if found is None else found & same
        return found or set()

    def own(self) -> dict[str, float]:
        """The share of each node's own output that its roundings lose."""
        shares = {name: _Share() for name in self.candidates}
        for probe in self.probes:
            values = self._exact(probe.inputs)
            for name, share in shares.items():
                made = self._with_rounding(self.candidates[name], values.__getitem__, STATIC)
                share.add(values[Ref(name)], made[0])
        return {name: share.value for name, share in shares.items()}

    # What rounds

    def rounded(self, node: Node) -> list[Ref]:
        """The wires that a node takes from a grid."""
        taken = self._inputs[node.name]
        return [ref for ref in taken if self.graph.nodes[ref.node].kind in ("observe", "snap")]

    def _is_candidate(self, node: Node) -> bool:
        if node.kind in ("observe", "snap"):
            return False
        part = part_of(node, self.model)
        if part not in (Part.WEIGHTED, Part.FOLLOWS) or self.runner.settings.of(node, self.model) is None:
            return False
        taken = self.rounded(node)
        if node.kind == "layer":
            return node.args[0] in taken
        takers = self._users.get(Ref(node.name), [])
        return bool(taken) and any(self.graph.nodes[taker].kind == "observe" for taker in takers)

    def grid(self, ref: Ref) -> Grid:
        """The grid of a wire."""
        node = self.graph.nodes[ref.node]
        path: str = node.value.path if node.kind == "observe" else node.value
        if path not in self._grids:
            self._grids[path] = Grid.of(self.model.get_submodule(path))
        return self._grids[path]

    # Runs

    def _exact(self, inputs: Mapping[str, Tensor]) -> dict[Ref, Tensor]:
        values: dict[Ref, Tensor] = {}
        for node in self._nodes:
            self._put(values, node, [inputs[node.name]] if node.kind == "input" else None)
        return values

    def _put(self, values: dict[Ref, Tensor], node: Node, made: list[Tensor] | None) -> None:
        found = self._compute(node, values.__getitem__) if made is None else made
        if len(found) == 1 and type(found[0]) is np.ndarray:
            values[self._results[node.name]] = found[0]
            return
        for out, value in enumerate(leaf for leaf in leaves(found) if leaf is not None):
            values[Ref(node.name, out)] = value

    def _outputs(self, value_of: ValueOf) -> list[Tensor]:
        found = [value_of(leaf) if isinstance(leaf, Ref) else leaf for leaf in leaves(self.graph.output)]
        return [y for y in found if is_floats(y)]

    def _with_rounding(self, node: Node, value_of: ValueOf, how: str) -> list[Tensor]:
        """What a node gives of what it takes rounded, a layer with its rounded weight."""
        taken = set(self.rounded(node))

        def of(ref: Ref) -> Tensor:
            x = value_of(ref)
            if ref not in taken:
                return x
            if how == ROWS:
                return by_rows(np.asarray(x))
            return self.grid(ref).quantize(np.asarray(x, np.float32)).dequantize()

        if node.kind != "layer":
            return self._compute(node, of)
        if node.name not in self._layers:
            self._layers[node.name] = self._rounded_layer(node)
        return [np.asarray(self._layers[node.name]([of(node.args[0])]))]

    def _rounded_layer(self, node: Node) -> Lowered:
        layer: Layer = node.value
        weight, bias = layer.weight_and_bias(
            self.model, weights_of(node, self.graph, self.model), dict(node.kwargs)
        )
        qconfig = self.runner.settings.of(node, self.model)
        assert qconfig is not None
        observer = qconfig.weight()
        observer(weight)
        codes = quantize_weight(weight, observer, 1 if layer.is_transposed else 0)
        arrays = {"w": codes.dequantize()} | ({} if bias is None else {"b": np.asarray(bias, np.float32)})
        nodes = {"x": Node("x", "input", facts=(self.graph.fact(node.args[0]),))}
        nodes |= {name: Node(name, "constant", value=array) for name, array in arrays.items()}
        refs = Ref("x"), Ref("w"), None if bias is None else Ref("b")
        nodes["y"] = node.but(name="y", args=refs, value=layer._replace(norm=None))
        return lower(Graph(nodes, (Ref("x"),), {}, Ref("y")), self.model, {}, is_near=True)

    def alone(self, nodes: Iterable[tuple[str, str]]) -> dict[tuple[str, str], float]:
        """The share of the model's output that the roundings of one node lose, by its name and how it takes
        its input.
        """
        shares: dict[tuple[str, str], list[float]] = {each: [] for each in nodes}
        if not shares:
            return {}
        behind = {name: self._behind(name) for name, _ in shares}
        for probe in self.probes:
            exact = self._exact(probe.inputs)
            for (name, how), found in shares.items():
                values, node = dict(exact), self.candidates[name]
                self._put(values, node, self._with_rounding(node, exact.__getitem__, how))
                for after in behind[name]:
                    self._put(values, after, None)
                found.append(_lost(probe, self._outputs(values.__getitem__)))
        return {each: _mean(found) for each, found in shares.items()}

    def _behind(self, name: str) -> list[Node]:
        """The nodes that depend on one, in their order."""
        changed, found = {name}, list[Node]()
        for node in self._nodes:
            if node.name not in changed and any(ref.node in changed for ref in self._inputs[node.name]):
                changed.add(node.name)
                found.append(node)
        return found

    def together(self, spared: Collection[str] = (), by_rows: Collection[str] = ()) -> float:
        """What is lost where all nodes round but for some, and some layers by rows."""
        found: list[float] = []
        for probe in self.probes:
            values: dict[Ref, Tensor] = {}
            for node in self._nodes:
                if node.kind == "input":
                    self._put(values, node, [probe.inputs[node.name]])
                elif node.name in self.candidates and node.name not in spared:
                    how = ROWS if node.name in by_rows else STATIC
                    self._put(values, node, self._with_rounding(node, values.__getitem__, how))
                else:
                    self._put(values, node, None)
            found.append(_lost(probe, self._outputs(values.__getitem__)))
        return _mean(found)


class _Share:
    """Noise beside energy, summed up."""

    def __init__(self) -> None:
        self._signal = self._noise = 0.0

    def add(self, exact: ArrayLike, other: ArrayLike) -> _Share:
        exact, other = np.ravel(exact), np.ravel(other)
        # Doubles of all numbers at once would not stay in the cache.
        for i in range(0, len(exact), _PART):
            signal = exact[i : i + _PART].astype(np.float64)
            noise = other[i : i + _PART] - signal
            self._signal += float(signal @ signal)
            self._noise += float(noise @ noise)
        return self

    @property
    def value(self) -> float:
        return self._noise / self._signal if self._signal > 0 else float(self._noise > 0)


def _lost(probe: Probe, outputs: list[Tensor]) -> float:
    """The share of a batch's outputs that is lost, in the mean over the outputs."""
    shares = [_Share().add(exact, other).value for exact, other in zip(probe.outputs, outputs, strict=True)]
    return float(np.mean(shares)) if shares else 0.0


def _mean(losses: list[float]) -> float:
    """Of several batches, in decibels: one that tips over by chance must not decide for all."""
    return float(np.exp(np.mean(np.log(np.maximum(losses, _EXACT)))))


def by_rows(x: Array) -> Array:
    """Floats on 256 codes of each row's range, as layers have them that quantize what comes."""
    low = np.minimum(x.min(axis=-1, keepdims=True), 0)
    high = np.maximum(x.max(axis=-1, keepdims=True), 0)
    step = np.maximum((high - low) / np.float32(255), SMALL_SCALE)
    zero = np.rint(-low / step)
    return ((np.clip(np.rint(x / step) + zero, 0, 255) - zero) * step).astype(np.float32)
