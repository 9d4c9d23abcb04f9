"""Which nodes 8 bits of a fixed range are too little for: found on a few rows of the calibration data.

What each of the worst nodes loses of the model's output by itself says what is to be spared. A linear layer
takes the range of each row in the call, where that halves its loss, since that costs next to nothing. Other
nodes stay in floats, the worst first, as long as all of it adds a small share to the time. Times are
estimated from sizes: the same model and data give the same result on every machine.

Source: mixed precision by sensitivity, as in "HAWQ" (Dong et al., arXiv:1905.03696), with measured losses.
"""

# Arrays of any kind have no type that could be said.
# pyright: reportUnknownVariableType=false, reportUnknownArgumentType=false, reportUnknownMemberType=false

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import NamedTuple

import numpy as np

from quantray import nn
from quantray._typing import Args
from quantray.graph import Graph, Node, Ref
from quantray.graph._arguments import arguments
from quantray.graph._fitting import fitting
from quantray.graph._trees import leaves, map_tree
from quantray.quantization._batches import as_arguments
from quantray.quantization._layers import weights_of
from quantray.quantization._prepared import USERS, Prepared
from quantray.quantization._roundings import ROWS, STATIC, Roundings
from quantray.quantization.observer import default_dynamic_quant_observer
from quantray.quantization.qconfig import QConfig
from quantray.quantization.qconfig_mapping import QConfigMapping

#: Loss, as a share of the output's energy, that is small enough: 40 dB.
ENOUGH = 1e-4
#: Loss above which linear layers give up ranges that are known beforehand: 30 dB.
_MUCH = 1e-3
#: Loss of a linear layer by itself below which ranges of rows are not asked for: 50 dB.
_LEAST = ENOUGH / 10
#: How much of the model's time sparing may add, and how much of the weights may stay in floats.
MOST = 0.4
#: A model that loses more than this is broken: 20 dB. So many weights may stay in floats then.
BROKEN, _FEW = 1e-2, 4096
#: By the loss that there is yet, how many times its share of the time a node must have of it.
_WORTH = ((1e-2, 1.0), (1e-3, 4.0), (1e-4, 16.0))
#: Rows that are looked at, and numbers that are computed of them.
_ROWS, _NUMBERS = 64, 1 << 27
#: Batches that they are taken from, and rows of each.
_BATCHES, _EACH = 16, 16
#: How many times the model may be gone through for the losses of single nodes.
_RUNS = 24
#: Nanoseconds of a program's step, of a multiplication in integers and in floats, and of a number that is
#: read or written as a code and as a float: of one core with AVX-512.
_STEP, _INTEGER, _FLOAT, _CODE, _NUMBER = 300.0, 0.006, 0.020, 0.03, 0.12


class Spared(NamedTuple):
    """What a node computes in instead, and what it loses by itself in 8 bits of a fixed range."""

    by_rows: bool
    loss: float

    @property
    def why(self) -> str:
        """The loss in words."""
        return f"by itself it takes the output to {-10 * np.log10(max(self.loss, 1e-30)):.0f} dB"


class Examined(NamedTuple):
    """A calibrated model's roundings on some rows, and the share of its output that all together lose."""

    roundings: Roundings
    loss: float


def examined(model: nn.Module, runner: Prepared | None, given: Sequence[Args]) -> Examined | None:
    """What roundings lose on some rows; None where that cannot be told."""
    graphs = [] if runner is None else [graph for graph in runner.graphs if not graph.training]
    if runner is None or len(graphs) != 1 or any(node.kind in USERS for node in graphs[0]):
        # Code of the user's is not to be called more often than it would be.
        return None
    found = Roundings(model, runner, graphs[0])
    if not found.candidates or not found.is_calibrated:
        return None
    _look(found, model, given)
    if not found.probes or not found.probes[0].has_outputs:
        return None
    return Examined(found, found.together()[0])


def spare(model: nn.Module, runner: Prepared, known: Examined) -> bool:
    """Plans a calibrated model anew, so that what 8 bits are too little for is spared.

    Observers go on with what they have seen. Returns whether there are new ones, which have seen nothing.
    """
    found = spared(known)
    if not found:
        return False
    old = next(graph for graph in runner.graphs if not graph.training)
    asked = runner.settings.mapping
    # It is looked at for mappings alone, of which `quantize` has one.
    assert asked is not None
    mapping = QConfigMapping.from_dict(asked.to_dict())
    for name, how in found.items():
        before = next(runner.settings.of(node, model) for node in old if node.name.partition("#")[0] == name)
        assert before is not None
        by_rows = QConfig(default_dynamic_quant_observer, before.weight)
        mapping.set_module_name(name, by_rows if how.by_rows else None)
    runner.settings.mapping = mapping
    runner.settings.spared = {name: how.why for name, how in found.items()}
    runner.replan(model)
    new = next(graph for graph in runner.graphs if not graph.training)
    return not _hand_over(model, old, new)


def spared_mapping(ready: nn.Module, runner: Prepared, given: Sequence[Args]) -> QConfigMapping | None:
    """How a prepared and calibrated model would be planned anew; None where nothing is to be spared."""
    before, known = runner.settings.mapping, examined(ready, runner, given)
    if known is not None:
        spare(ready, runner, known)
    found = runner.settings.mapping
    return found if found is not before and isinstance(found, QConfigMapping) else None


def _hand_over(model: nn.Module, old: Graph, new: Graph) -> bool:
    """Gives new observers what others have seen of the same wires; whether all have seen something then."""
    fresh = [node for node in _observed(new) if not model.get_submodule(node.value.path).has_data]
    given = hand_over(model, old, new, {node.args[0] for node in fresh})
    return all(node.args[0] in given for node in fresh)


def hand_over(
    model: nn.Module, old: Graph, new: Graph, wires: Collection[Ref], of: nn.Module | None = None
) -> set[Ref]:
    """Gives observers of some wires what those of the same wires have seen, of this model or another one;
    returns the wires that it was there for.
    """
    of = model if of is None else of
    paths = {node.args[0]: _path(node) for node in old if node.kind in ("observe", "snap")}
    given: set[Ref] = set()
    for node in _observed(new):
        ref = node.args[0]
        if ref not in wires or ref not in paths:
            continue
        made, before = model.get_submodule(node.value.path), of.get_submodule(paths[ref])
        if type(before) is not type(made) or not before.has_data:
            continue
        home, _, name = node.value.path.rpartition(".")
        model.get_submodule(home)._modules[name] = before.copy()
        given.add(ref)
    return given


def _observed(graph: Graph) -> list[Node]:
    return [node for node in graph if node.kind == "observe"]


def _path(node: Node) -> str:
    """The path of the observer whose grid a wire is on."""
    return node.value.path if node.kind == "observe" else node.value


class SomeRows:
    """Some rows of the first batches, kept while they go by.

    Parameters
    ----------
    model : Module
        What they are arguments of.
    transform : callable, optional
        What makes the model's arguments of a batch.
    copies : bool
        Whether whoever makes batches may fill the same arrays again.

    Attributes
    ----------
    rows : list of tuple
        A model's arguments.
    """

    def __init__(self, model: nn.Module, transform: Callable[..., object] | None, *, copies: bool) -> None:
        self._model, self._transform, self._copies = model, transform, copies
        self.rows: list[Args] = []

    def __call__(self, batch: object) -> object:
        """The model's arguments of a batch, as `transform` makes them."""
        made = batch if self._transform is None else self._transform(batch)
        if len(self.rows) < _BATCHES:
            self.rows.append(self._some(as_arguments(made, self._model)))
        return made

    def _some(self, args: Args) -> Args:
        """Rows from all parts of a batch: neighbours may be alike."""
        count = _rows_of(args)
        places = None if count is None or count <= _EACH else np.arange(_EACH) * count // _EACH

        def some(leaf: object) -> object:
            if not isinstance(leaf, np.ndarray):
                return leaf
            if places is None or not leaf.ndim:
                return leaf.copy() if self._copies else leaf
            return leaf[places]

        return map_tree(some, args)


def _rows_of(args: Args) -> int | None:
    """How many rows all arrays have; None where their first axes are no rows of one batch.

    Nodes of a graph, say, which its edges count: another array of them has another length, or that length
    along another axis.
    """
    shapes = [leaf.shape for leaf in leaves(args) if isinstance(leaf, np.ndarray) and leaf.ndim]
    firsts, others = {shape[0] for shape in shapes}, {n for shape in shapes for n in shape[1:]}
    if len(firsts) != 1 or firsts & others or all(len(shape) == 1 for shape in shapes):
        return None
    return firsts.pop()


def spared(known: Examined) -> dict[str, Spared]:
    """What nodes of a calibrated model should not take from a fixed grid, by their names in settings."""
    found, before = known
    if before <= ENOUGH:
        return {}
    losses = _losses(found, before)
    static = {name: loss for (name, how), loss in losses.items() if how == STATIC}
    rows = _better_by_rows(losses)
    floats = _affordable(found, static | rows)
    chosen = _best(found, before, list(rows), floats)
    return {name.partition("#")[0]: Spared(is_rows, static[name]) for name, is_rows in chosen.items()}


def _look(found: Roundings, model: nn.Module, given: Sequence[Args]) -> None:
    rows = numbers = 0
    for args in given:
        inputs = fitting(found.graph, *arguments(model, args, {}), False, model)
        if inputs is None:
            continue
        numbers += found.add(inputs)
        rows += max((np.shape(x)[0] for x in inputs.values() if np.ndim(x) > 1), default=1)
        if rows >= _ROWS or numbers >= _NUMBERS:
            return


def _losses(found: Roundings, before: float) -> dict[tuple[str, str], float]:
    """What the worst nodes lose of the output by themselves; linear layers by rows, too, if that decides."""
    own = found.own()
    names = [node.name for node in found.graph]
    left, asked, linear = float(_RUNS), list[str](), set[str]()
    for name in sorted(own, key=lambda name: -own[name]):
        node = found.candidates[name]
        is_linear = node.kind == "layer" and node.value.kind == "linear"
        # Only what comes after a node is computed.
        left -= (1 + is_linear) * (1 - names.index(name) / len(names))
        if left < 0:
            break
        asked.append(name)
        if is_linear:
            linear.add(name)
    losses = found.alone((name, STATIC) for name in asked)
    if before > _MUCH:
        much = [name for name in asked if name in linear and losses[name, STATIC] > _LEAST]
        losses |= found.alone((name, ROWS) for name in much)
    return losses


def _better_by_rows(losses: dict[tuple[str, str], float]) -> dict[str, float]:
    """Linear layers that lose half, or less, by ranges of rows, and what they lose then."""
    return {
        name: loss for (name, how), loss in losses.items() if how == ROWS and loss < losses[name, STATIC] / 2
    }


def _affordable(found: Roundings, losses: dict[str, float]) -> list[str]:
    """The nodes that lose most, where that is worth the time that floats for them add."""
    time = sum(_time(found, node) for node in found.graph)
    weights = {node.name: _weights(found, node) for node in found.graph}
    total = max(1, sum(weights.values()))
    left, added, kept, chosen = sum(losses.values()), 0.0, 0.0, list[str]()
    for name in sorted(losses, key=lambda name: -losses[name]):
        worth = next((worth for loss, worth in _WORTH if left > loss), None)
        if worth is None:
            break
        more, size = _more_time(found, found.candidates[name]) / time, weights[name] / total
        is_worth = losses[name] >= worth * more * left and losses[name] > left / 100
        # What a few weights take matters little where the model is broken without.
        room = max(MOST, _FEW / total) if left > BROKEN else MOST
        if is_worth and added + more <= MOST and kept + size <= room:
            chosen.append(name)
            added, kept, left = added + more, kept + size, left - losses[name]
    return chosen


def _best(found: Roundings, before: float, rows: list[str], floats: list[str]) -> dict[str, bool]:
    """Of all, the worse half, a quarter, ... what loses least; nothing where that is not a fifth less."""
    tried: list[dict[str, bool]] = []
    count = len(floats)
    while True:
        left = dict.fromkeys(floats[:count], False)
        chosen = {name: True for name in rows if name not in left} | left
        if chosen:
            tried.append(chosen)
        if count == 0:
            break
        count //= 2
    ways = [([name for name, is_rows in each.items() if not is_rows], rows) for each in tried]
    losses = found.together(ways) if ways else []
    least, chosen = min(zip(losses, tried, strict=True), key=lambda each: each[0], default=(before, {}))
    return chosen if least < 0.8 * before else {}


def _weights(found: Roundings, node: Node) -> int:
    """How many weights a node has."""
    if node.kind == "layer":
        return int(np.size(weights_of(node, found.graph, found.model)[1]))
    if node.kind != "module":
        return 0
    return sum(int(np.size(w)) for w in found.model.get_submodule(node.value)._own_state().values())


def _multiplications(found: Roundings, node: Node) -> float:
    """How many a node does for the first batch."""
    count = _weights(found, node)
    if node.kind == "layer":
        # All weights of a channel are multiplied at each of its places.
        is_transposed = node.value.is_transposed
        channels = np.shape(weights_of(node, found.graph, found.model)[1])[0]
        return found.sizes[node.args[0] if is_transposed else Ref(node.name)] * count / channels
    if node.kind != "module" or not node.inputs:
        return 0.0
    # Of a recurrent layer, or another one: each weight is for all rows.
    last = (found.graph.fact(node.inputs[0]).shape or (1,))[-1]
    return count * found.sizes[node.inputs[0]] / (last if isinstance(last, int) else 1)


def _sizes(found: Roundings, node: Node) -> int:
    """Numbers that a node takes and gives."""
    return sum(found.sizes.get(ref, 0) for ref in (*node.inputs, Ref(node.name)))


def _time(found: Roundings, node: Node) -> float:
    """Nanoseconds of a node where it computes as it does without sparing."""
    if node.kind in ("input", "constant", "parameter", "observe", "snap"):
        return 0.0
    is_integer = node.name in found.candidates or node.kind == "module"
    product, number = (_INTEGER, _CODE) if is_integer else (_FLOAT, _NUMBER)
    return _STEP + _multiplications(found, node) * product + _sizes(found, node) * number


def _more_time(found: Roundings, node: Node) -> float:
    """Nanoseconds that floats add to a node."""
    more = _multiplications(found, node) * (_FLOAT - _INTEGER)
    return more + _sizes(found, node) * (_NUMBER - _CODE)
