"""Cross-layer equalization, and absorption of high biases."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import NamedTuple, TypeVar

import numpy as np

from quantray import nn
from quantray._typing import Array, Doubles
from quantray.graph import Node
from quantray.quantization._batches import Batch
from quantray.quantization.qconfig import QConfig
from quantray.quantization.qconfig_mapping import QConfigMapping
from quantray.quantization.remedies._links import (
    Link,
    input_ranges,
    links_of,
    output_ranges,
    scale,
    scaled_inputs,
)
from quantray.quantization.remedies._rewriting import Rewriting

M = TypeVar("M", bound=nn.Module)

#: Rounds over all pairs at most; ranges stand still long before.
_ROUNDS = 40


def equalize(
    model: M,
    batches: Iterable[Batch],
    qconfig_mapping: QConfig | QConfigMapping | None = None,
    *,
    absorb: bool = True,
    transform: Callable[[Batch], object] | None = None,
) -> M:
    """A float model that computes the same, whose channels have ranges alike on both sides of each wire.

    A channel's weights may be divided by any positive number if those that take the channel are multiplied
    by it, where nothing but ReLU, pooling or reshaping lies between. Batch normalizations are folded first.

    Parameters
    ----------
    model : Module
        Of floats; it is not changed.
    batches : iterable
        Arrays, or tuples of the model's arguments: the first shows the graph, all of them how far biases
        can be absorbed.
    qconfig_mapping : QConfigMapping or QConfig, optional
        What the model brings along for `prepare`.
    absorb : bool
        Whether what nearly all values of a channel exceed, its mean less three deviations, goes from its
        bias into the biases behind it.
    transform : callable, optional
        What makes the model's arguments of a batch.

    Returns
    -------
    Module
        The float model, changed; where no wire can be scaled it is the same.

    >>> import numpy as np
    >>> from quantray import nn, quantization as tq
    >>> model = nn.Sequential(nn.Linear(2, 2), nn.ReLU(), nn.Linear(2, 2))
    >>> model[0].weight = np.float32([[100, 0], [0, 1]])
    >>> model[2].weight = np.float32([[0.01, 1], [0.01, 1]])
    >>> equal = tq.remedies.equalize(model, np.eye(2, dtype=np.float32), absorb=False)
    >>> np.abs(equal[0].weight).max(axis=1).round(3)
    array([1., 1.], dtype=float32)

    Source: "Data-Free Quantization Through Weight Equalization and Bias Correction" (Nagel et al.,
    arXiv:1906.04721), equations 9 to 15.
    """
    changed = Rewriting(model, batches, qconfig_mapping, transform)
    links = links_of(changed)
    for _ in range(_ROUNDS):
        moved = max((_equalized(changed, link) for link in links), default=0.0)
        if moved < 1e-3:
            break
    if absorb and links:
        _absorb(changed, links)
    return changed.result()


def _equalized(model: Rewriting[nn.Module], link: Link) -> float:
    """Scales one link; how far the ranges were apart, as a logarithm."""
    made = output_ranges(model, link.maker)
    taken = np.max([input_ranges(model, taker) for taker in link.takers], axis=0)
    used = (made > 0) & (taken > 0)
    factors = np.ones(len(made))
    factors[used] = np.sqrt(made[used].astype(np.float64) / taken[used])
    # What is dead, or taken by nothing, has no range that should count.
    lone = (made > 0) & ~used
    if used.any() and lone.any():
        level = float(np.sqrt(made[used].astype(np.float64) * taken[used]).max())
        factors[lone] = np.maximum(made[lone] / level, 1)
    scale(model, link, factors)
    return float(np.abs(np.log(factors)).max(initial=0))


class _Sums(NamedTuple):
    """What batches say of each channel of a layer's output."""

    total: Doubles
    squares: Doubles
    places: float
    low: Doubles

    def joined(self, other: _Sums) -> _Sums:
        """Those of both."""
        return _Sums(
            self.total + other.total,
            self.squares + other.squares,
            self.places + other.places,
            np.minimum(self.low, other.low),
        )


def _absorb(model: Rewriting[nn.Module], links: list[Link]) -> None:
    """Moves what a channel's values nearly always exceed from its bias into those behind it."""
    by_maker = {link.maker: link for link in links if _can_absorb(model, link)}
    sums: dict[str, _Sums] = {}

    def look(node: Node, x: Array, y: Array) -> None:
        if node.name in by_maker:
            axis = (np.ndim(y) - 1) if node.value.kind == "linear" else 1
            axes = tuple(i for i in range(np.ndim(y)) if i != axis)
            values = np.asarray(y, np.float64)
            now = _Sums(
                values.sum(axis=axes),
                (values**2).sum(axis=axes),
                values.size / values.shape[axis],
                values.min(axis=axes),
            )
            kept = sums.get(node.name)
            sums[node.name] = now if kept is None else kept.joined(now)

    if not by_maker:
        return
    model.values(look)
    for name, (total, squares, count, low) in sums.items():
        mean = total / count
        deviation = np.sqrt(np.maximum(squares / count - mean**2, 0))
        # Nothing that a batch has shown is cut, whatever three deviations say.
        amount = np.maximum(0.0, np.minimum(mean - 3 * deviation, low)).astype(np.float32)
        weight, bias = model.weight_and_bias(name)
        if bias is None or not amount.any():
            continue
        model.write(name, weight, bias - amount)
        for taker in by_maker[name].takers:
            weight, bias = model.weight_and_bias(taker.name)
            only = scaled_inputs(model, taker, weight, amount)
            added = _summed(model, taker.name, only)
            model.write(taker.name, weight, added if bias is None else bias + added)


def _summed(model: Rewriting[nn.Module], name: str, weight: Array) -> Array:
    """The sum of each output's weights."""
    axis = model.weight_axis(name)
    return weight.sum(axis=tuple(i for i in range(weight.ndim) if i != axis))


def _can_absorb(model: Rewriting[nn.Module], link: Link) -> bool:
    """Whether a constant passes the link as it is: behind a ReLU, and no zeros are added around images."""
    node = model.graph.nodes[link.maker]
    if node.kind != "layer" or node.value.limits != (0.0, None):
        return False
    name = link.maker
    for taker in link.takers:
        layer = model.layers[taker.name]
        padding = layer.get("padding", 0)
        if "transpose" in layer.value.kind or (padding != "valid" and np.any(np.asarray(padding) != 0)):
            return False
        ref = layer.args[0]
        while ref.node != name:
            between = model.graph.nodes[ref.node]
            if between.kind.startswith("avg_pool") and np.any(np.asarray(between.get("padding", 0)) != 0):
                return False
            ref = between.inputs[0]
        _, bias = model.weight_and_bias(taker.name)
        if bias is None and layer.value.norm is None:
            return False
    return True
