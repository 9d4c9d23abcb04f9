"""Channels of very different ranges made alike in the float model, before it is quantized.

What makes a wire is divided by a factor for each channel, and what takes it multiplied, as equalization and
SmoothQuant do. Factors are powers of two, so that not a bit of what the model returns changes, and each
wire gets those that roundings lose least with: that is estimated from ranges, mean squares and weights,
without running a layer.

Source: "Data-Free Quantization Through Weight Equalization and Bias Correction" (Nagel et al.,
arXiv:1906.04721); "SmoothQuant" (Xiao et al., arXiv:2211.10438), equation 4.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from quantray import nn
from quantray._typing import Args, Array, Bools, Doubles, Ints
from quantray.graph import Graph, Node, Ref
from quantray.quantization._scalings import Scaling, apply
from quantray.quantization.qconfig_mapping import QConfigMapping
from quantray.quantization.remedies._links import (
    NORMS,
    Link,
    Taker,
    along_inputs,
    by_channels,
    links_of,
)
from quantray.quantization.remedies._rewriting import Rewriting

#: Shares of a channel's range that are moved into the weights.
_ALPHAS = (0.25, 0.5, 0.75, 1.0)
#: Factors are used where less than this part of the loss stays.
_WORTH = 0.5
#: How often wires are gone through.
_TURNS = 2
#: The largest power of two.
_MOST = 20


def even_scalings(
    model: nn.Module,
    batches: Sequence[Args],
    mapping: QConfigMapping | None,
    known: Sequence[Graph] = (),
) -> list[Scaling]:
    """What makes channels of wires alike, where roundings lose much less by that; empty where none do.

    Parameters
    ----------
    model : Module
        Of floats.
    batches : sequence of tuple
        The model's arguments, of some hundred samples: channels that few of them come by have a range, too.
    mapping : QConfigMapping, optional
        How it is to be quantized.
    known : sequence of Graph
        What was captured of the model already.
    """
    read = Rewriting(model, batches, mapping, known=known)
    links = [link for link in links_of(read) if _is_scalable(read, link.maker)]
    if not links:
        return []
    seen = _seen(read, links)
    made: list[Scaling] = []
    # A layer that makes a wire takes another one: what is best for both is come by in turns.
    for link in links * _TURNS:
        if any(taker.name not in seen for taker in link.takers):
            continue
        found = _Wire(read, link, seen).exponents()
        if found is None:
            continue
        scalings = _of_maker(read, link.maker, -found)
        scalings += [_of_taker(read, taker, found) for taker in link.takers]
        apply(read.model, scalings)
        for taker in link.takers:
            seen[taker.name].divide(np.ldexp(1.0, np.repeat(found, taker.repeat)))
        made += scalings
    return made


class _Seen:
    """What goes into a layer: of each channel the largest magnitude, and the mean square."""

    def __init__(self) -> None:
        self.most: Doubles = np.zeros(())
        self._total: Doubles = np.zeros(())
        self._count = 0

    def add(self, x: Array, axis: int) -> None:
        """Takes in the input of one batch."""
        axes = tuple(i for i in range(np.ndim(x)) if i != axis)
        self.most = np.maximum(self.most, np.abs(x).max(axis=axes).astype(np.float64))
        self._total = self._total + np.square(x, dtype=np.float64).sum(axis=axes)
        self._count += np.size(x) // np.shape(x)[axis]

    def divide(self, factor: Doubles) -> None:
        """Channels have been divided by factors."""
        self.most = self.most / factor
        self._total = self._total / factor**2

    @property
    def square(self) -> Doubles:
        """The mean square."""
        return self._total / max(1, self._count)


def _seen(model: Rewriting[nn.Module], links: list[Link]) -> dict[str, _Seen]:
    wanted = {taker.name for link in links for taker in link.takers} | {link.maker for link in links}
    found: dict[str, _Seen] = {}

    def look(node: Node, x: Array, y: Array) -> None:
        if node.name in wanted:
            axis = np.ndim(x) - 1 if node.value.kind == "linear" else 1
            found.setdefault(node.name, _Seen()).add(x, axis)

    model.values(look)
    return found


class _Taken(NamedTuple):
    """How a layer takes a wire."""

    #: Of each channel of the wire, the mean square.
    square: Doubles
    #: Magnitudes of weights, shape (channels of the wire, outputs that take each, places).
    weights: Doubles
    is_depthwise: bool
    is_per_channel: bool

    @property
    def squares(self) -> Doubles:
        """Of each channel's weights, the sum of squares."""
        return np.square(self.weights).sum(axis=(1, 2))

    def of_weights(self, factor: Doubles) -> float:
        """The energy that rounding the weights adds to the layer's output."""
        size = self.weights * factor[:, None, None]
        # Each output of a depthwise layer has one input, and a scale of its own; others have all of them.
        steps = size.max(axis=2) if self.is_depthwise else size.max(axis=(0, 2))[None]
        steps = steps / 127 if self.is_per_channel else np.full_like(steps, steps.max() / 127)
        return self.weights.shape[2] * float((steps**2 / 12).sum(axis=1) @ self._met(factor))

    def _met(self, factor: Doubles) -> Doubles:
        met = self.square / factor**2
        return met if self.is_depthwise else met.sum(keepdims=True)


class _Wire:
    """A wire whose channels may be scaled, and what roundings lose of what is computed with it, by estimate.

    A rounding to steps of s has an energy of s^2 / 12. Steps are those of 8 bits: of all channels of the
    wire, of the weights of each output of what takes it, and, where it has one scale for all of its weights,
    of what makes it.
    """

    def __init__(self, model: Rewriting[nn.Module], link: Link, seen: dict[str, _Seen]) -> None:
        takers = [taker for taker in link.takers if model.scheme(taker.name) is not None]
        self._takers = [_taken(model, taker, seen[taker.name]) for taker in takers]
        self.most = np.zeros(link.channels)
        for taker in takers:
            self.most = np.maximum(self.most, seen[taker.name].most.reshape(-1, taker.repeat).max(axis=1))
        self._made = None
        maker = model.graph.nodes[link.maker]
        scheme = None if maker.kind in NORMS else model.scheme(link.maker)
        if scheme is not None and not scheme.per_channel and link.maker in seen:
            weight, _ = model.weight_and_bias(link.maker)
            axes = tuple(i for i in range(weight.ndim) if i != model.weight_axis(link.maker))
            inputs = float(seen[link.maker].square.mean()) * weight.size / link.channels
            self._made = np.abs(weight).max(axis=axes).astype(np.float64), inputs

    def exponents(self) -> Ints | None:
        """The powers of two that least is lost with; None where they lose not much less."""
        if not self._takers:
            return None
        heavy = np.max([taken.weights.max(axis=(1, 2)) for taken in self._takers], axis=0)
        used = (self.most > 0) & (heavy > 0)
        if not used.any():
            return None
        least, best = self._loss(np.zeros(len(heavy), np.int64)) * _WORTH, None
        ranges = [self.most] if self._made is None else [self.most, np.maximum(self._made[0], 1e-30)]
        for most in ranges:
            for alpha in _ALPHAS:
                powers = np.zeros(len(heavy))
                powers[used] = alpha * np.log2(most[used]) - (1 - alpha) * np.log2(heavy[used])
                powers[used] -= powers[used].mean()
                exponents = self._settled(powers, used, heavy)
                found = self._loss(exponents)
                if found < least:
                    least, best = found, exponents
        return best

    def _settled(self, powers: Doubles, used: Bools, heavy: Doubles) -> Ints:
        """Whole powers. A channel that nothing comes by, or that nothing takes, is not to set a range."""
        top_weight = float((np.log2(heavy[used]) + powers[used]).max())
        top = float((np.log2(self.most[used]) - powers[used]).max())
        silent, unheard = ~used & (heavy > 0), ~used & (self.most > 0)
        highest = np.floor(top_weight - np.log2(heavy[silent]))
        powers[silent] = np.minimum(0, highest)
        if self._made is not None:
            made = np.log2(np.maximum(self._made[0], 1e-30))
            least = np.ceil(made[silent] - float((made[used] - powers[used]).max()))
            powers[silent] = np.maximum(powers[silent], np.minimum(least, (least + highest) / 2))
        powers[unheard] = np.maximum(0, np.ceil(np.log2(self.most[unheard]) - top))
        return np.clip(np.rint(powers), -_MOST, _MOST).astype(np.int64)

    def _loss(self, exponents: Ints) -> float:
        """The share of what the takers give that is lost."""
        factor = np.ldexp(1.0, exponents)
        step = float((self.most / factor).max()) / 127
        # The energy of what is added to each channel of the wire, scaled back.
        added = step**2 / 12 * factor**2
        if self._made is not None:
            ranges, inputs = self._made
            added = added + (float((ranges / factor).max()) / 127) ** 2 / 12 * inputs * factor**2
        total = 0.0
        for taken in self._takers:
            energy = float(taken.squares @ taken.square)
            if energy:
                total += (float(taken.squares @ added) + taken.of_weights(factor)) / energy
        return total


def _taken(model: Rewriting[nn.Module], taker: Taker, seen: _Seen) -> _Taken:
    weight, _ = model.weight_and_bias(taker.name)
    found = by_channels(model, taker, np.abs(np.asarray(weight, np.float64)))
    groups = int(model.layers[taker.name].get("groups", 1))
    scheme = model.scheme(taker.name)
    return _Taken(
        seen.square.reshape(-1, taker.repeat).mean(axis=1),
        found,
        groups == len(found) * taker.repeat and groups > 1,
        scheme is not None and scheme.per_channel,
    )


# Parameters


def _is_scalable(model: Rewriting[nn.Module], maker: str) -> bool:
    """Whether what makes a wire has parameters that can be scaled without a rounding."""
    node = model.graph.nodes[maker]
    if node.kind in NORMS:
        return True
    if node.value.norm is None:
        return node.args[2] is None or model.place(node.args[2]) is not None
    norm = model.model.get_submodule(node.value.norm)
    return norm._parameters.get("weight") is not None and norm._parameters.get("bias") is not None


def _of_maker(model: Rewriting[nn.Module], maker: str, exponents: Ints) -> list[Scaling]:
    node = model.graph.nodes[maker]
    if node.kind in NORMS:
        refs = [ref for ref in (node.get("weight"), node.get("bias")) if isinstance(ref, Ref)]
        places = [model.place(ref) for ref in refs]
        return [Scaling(place.path, place.key, exponents) for place in places if place is not None]
    if node.value.norm is not None:
        return [Scaling(node.value.norm, key, exponents) for key in ("weight", "bias")]
    made: list[Scaling] = []
    for ref in node.args[1:3]:
        place = model.place(ref)
        if place is None:
            continue
        size = len(model.graph.fact(ref).shape)
        axis = model.weight_axis(maker) if size > 1 else 0
        axis = size - 1 - axis if place.is_turned else axis
        made.append(Scaling(place.path, place.key, _along(exponents, axis, size)))
    return made


def _of_taker(model: Rewriting[nn.Module], taker: Taker, exponents: Ints) -> Scaling:
    ref = model.layers[taker.name].args[1]
    place = model.place(ref)
    assert place is not None
    found = along_inputs(model, taker, exponents, model.graph.fact(ref).shape)
    return Scaling(place.path, place.key, found.T if place.is_turned else found)


def _along(exponents: Ints, axis: int, size: int) -> Ints:
    shape = [1] * size
    shape[axis] = -1
    return exponents.reshape(shape)
