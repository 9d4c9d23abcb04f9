"""What roundings do to what a model returns: a prepared graph in floats, some of whose nodes round what they
take as integers will.

A rounding belongs to the node that takes the rounded value, and that of a weight to its layer: so what one
node costs by itself is what is gained where it stays in floats. One run gives the exact values; for each
node only what depends on it is computed again. What nothing needs any more is let go of at once: the next
node then writes to memory that is in the caches, and that the system need not make anew.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import TypeAlias

import numpy as np

from quantray import nn
from quantray._typing import Array, ArrayLike, Tensor
from quantray.graph import Graph, Node, Part, Ref
from quantray.graph._run import last_uses
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
#: Numbers of exact values that are kept of all batches: more are computed anew each time, which needs no
#: memory.
_KEPT = 1 << 23

#: What is spared of rounding, and what rounds by rows.
Way: TypeAlias = tuple[Collection[str], Collection[str]]


class Probe:
    """One batch: inputs, exact outputs, and all exact values where they are kept."""

    def __init__(
        self, inputs: Mapping[str, Tensor], outputs: list[Tensor], values: dict[Ref, Tensor] | None
    ) -> None:
        self.inputs, self.values = inputs, values
        self._outputs = [np.ravel(y) for y in outputs]
        self._energies = [_Share().add(y, y).signal for y in self._outputs]

    @property
    def has_outputs(self) -> bool:
        """Whether it has floats that something can be lost of."""
        return bool(self._outputs)

    def lost(self, outputs: list[Tensor]) -> float:
        """The share of the outputs that is lost in others, in the mean over the outputs."""
        each = zip(self._outputs, outputs, self._energies, strict=True)
        shares = [_share(_noise(exact, np.ravel(other)), energy) for exact, other, energy in each]
        return float(np.mean(shares)) if shares else 0.0


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
        self._last_uses = last_uses(self.graph)
        self._room = _KEPT
        self.candidates = {node.name: node for node in self._nodes if self._is_candidate(node)}
        self._grids: dict[str, Grid] = {}
        self._layers: dict[str, Lowered] = {}
        self.probes: list[Probe] = []
        #: The batch whose exact values were computed last, and these: single nodes are looked at twice.
        self._last: tuple[Probe, dict[Ref, Tensor]] | None = None
        self.sizes: dict[Ref, int] = {}

    @property
    def is_calibrated(self) -> bool:
        """Whether all observers have seen something."""
        paths = [node.value.path for node in self._nodes if node.kind == "observe"]
        return all(self.model.get_submodule(path).has_data for path in paths)

    def add(self, inputs: Mapping[str, Tensor]) -> int:
        """Looks at one more batch; returns how many numbers it comes to. Its outputs are kept, and other
        values where they are few.
        """
        values: dict[Ref, Tensor] = {}
        sizes: dict[Ref, int] = {}
        total = 0
        for node in self._nodes:
            made = self._put(values, node, [inputs[node.name]] if node.kind == "input" else None)
            sizes |= {ref: int(np.size(values[ref])) for ref in made}
            if node.kind not in ("constant", "parameter"):
                total += sum(sizes[ref] for ref in made)
            if total > self._room:
                self._let_go(values, node)
        self.sizes = self.sizes or sizes
        is_kept = total <= self._room
        self._room -= total if is_kept else 0
        outputs = self._outputs(values.__getitem__)
        self.probes.append(Probe(inputs, outputs, values if is_kept else None))
        return total

    def alike(self, other: Roundings) -> set[Ref]:
        """The wires that have the same exact values in another model of as many batches."""
        found: set[Ref] | None = None
        for mine, its in zip(self.probes, other.probes, strict=True):
            values, others = self._exact(mine), other._exact(its)
            same = {
                ref for ref, value in values.items() if ref in others and np.array_equal(value, others[ref])
            }
            found = same if found is None else found & same
        return found or set()

    def own(self) -> dict[str, float]:
        """The share of each node's own output that its roundings lose."""
        shares = {name: _Share() for name in self.candidates}
        for probe in self.probes:
            values = self._exact(probe)
            for name, share in shares.items():
                made = self._with_rounding(self.candidates[name], values.__getitem__, STATIC)
                share.add(values[Ref(name)], made[0])
            del values
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

    def _exact(self, probe: Probe) -> dict[Ref, Tensor]:
        """All values of a batch, which are not to be changed."""
        if probe.values is not None:
            return probe.values
        if self._last is not None and self._last[0] is probe:
            return self._last[1]
        # Two batches would not be needed at once.
        self._last = None
        values: dict[Ref, Tensor] = {}
        for node in self._nodes:
            self._put(values, node, [probe.inputs[node.name]] if node.kind == "input" else None)
        self._last = probe, values
        return values

    def _put(self, values: dict[Ref, Tensor], node: Node, made: list[Tensor] | None) -> list[Ref]:
        """Takes what a node gives, which is computed where it is not given; returns its wires."""
        found = self._compute(node, values.__getitem__) if made is None else made
        if len(found) == 1 and type(found[0]) is np.ndarray:
            ref = self._results[node.name]
            values[ref] = found[0]
            return [ref]
        named = {
            Ref(node.name, out): value for out, value in enumerate(v for v in leaves(found) if v is not None)
        }
        values.update(named)
        return list(named)

    def _let_go(self, values: dict[Ref, Tensor], node: Node) -> None:
        """Drops what nothing after a node needs."""
        for ref in self._last_uses.get(node.name, ()):
            values.pop(ref, None)

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
            return self.grid(ref).rounded(np.asarray(x, np.float32))

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
        # What is rounded is floats, whatever it is made of: images of bytes, too.
        rounded = replace(self.graph.fact(node.args[0]), dtype=np.dtype(np.float32))
        nodes = {"x": Node("x", "input", facts=(rounded,))}
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
            exact = self._exact(probe)
            for (name, how), found in shares.items():
                values, node = _Changed(exact), self.candidates[name]
                self._put(values, node, self._with_rounding(node, exact.__getitem__, how))
                for after in behind[name]:
                    self._put(values, after, None)
                    self._let_go(values, after)
                found.append(probe.lost(self._outputs(values.__getitem__)))
            del exact
        return {each: _mean(found) for each, found in shares.items()}

    def _behind(self, name: str) -> list[Node]:
        """The nodes that depend on one, in their order."""
        changed, found = {name}, list[Node]()
        for node in self._nodes:
            if node.name not in changed and any(ref.node in changed for ref in self._inputs[node.name]):
                changed.add(node.name)
                found.append(node)
        return found

    def together(self, ways: Sequence[Way] = (((), ()),)) -> list[float]:
        """What is lost where all nodes round but for some, and some layers by rows: in each of some ways."""
        losses: list[list[float]] = [[] for _ in ways]
        self._last = None
        for probe in self.probes:
            values: dict[Ref, Tensor] = {}
            before: Way | None = None
            for (spared, by_rows), found in zip(ways, losses, strict=True):
                # What is rounded as before, of what is as before, is there already.
                changed = None if before is None else _differ(before[0], spared) | _differ(before[1], by_rows)
                before = spared, by_rows
                for node in self._nodes:
                    if changed is not None and node.name not in changed:
                        if not any(ref.node in changed for ref in self._inputs[node.name]):
                            continue
                        changed.add(node.name)
                    self._put(values, node, self._made(node, probe, values, spared, by_rows))
                    if len(ways) == 1:
                        self._let_go(values, node)
                found.append(probe.lost(self._outputs(values.__getitem__)))
        return [_mean(found) for found in losses]

    def _made(
        self,
        node: Node,
        probe: Probe,
        values: dict[Ref, Tensor],
        spared: Collection[str],
        by_rows: Collection[str],
    ) -> list[Tensor] | None:
        """An input, or what a node gives that rounds; None for others."""
        if node.kind == "input":
            return [probe.inputs[node.name]]
        if node.name not in self.candidates or node.name in spared:
            return None
        return self._with_rounding(node, values.__getitem__, ROWS if node.name in by_rows else STATIC)


class _Changed(dict[Ref, Tensor]):
    """Values of which some are others."""

    def __init__(self, exact: Mapping[Ref, Tensor]) -> None:
        super().__init__()
        self._exact = exact

    def __missing__(self, ref: Ref) -> Tensor:
        return self._exact[ref]


def _differ(one: Collection[str], other: Collection[str]) -> set[str]:
    return {*one} ^ {*other}


class _Share:
    """Noise beside energy, summed up."""

    def __init__(self) -> None:
        self.signal = self._noise = 0.0

    def add(self, exact: ArrayLike, other: ArrayLike) -> _Share:
        exact, other = np.ravel(exact), np.ravel(other)
        # Doubles of all numbers at once would not stay in the cache.
        for i in range(0, len(exact), _PART):
            signal = exact[i : i + _PART].astype(np.float64)
            with np.errstate(invalid="ignore"):
                noise = other[i : i + _PART] - signal
            self.signal += _energy(signal)
            self._noise += _energy(noise)
        return self

    @property
    def value(self) -> float:
        return _share(self._noise, self.signal)


def _share(noise: float, signal: float) -> float:
    return noise / signal if signal > 0 else float(noise > 0)


def _energy(x: Array) -> float:
    """The sum of squares; of what infinite inputs make of it, that of the others."""
    total = float(x @ x)
    if np.isfinite(total):
        return total
    finite = x[np.isfinite(x)]
    return float(finite @ finite)


def _noise(exact: Array, other: Array) -> float:
    """The energy of a difference."""
    total = 0.0
    for i in range(0, len(exact), _PART):
        with np.errstate(invalid="ignore"):
            noise = np.subtract(other[i : i + _PART], exact[i : i + _PART], dtype=np.float64)
        total += _energy(noise)
    return total


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
