"""Where nodes of a drawing lie: in layers from top to bottom, wires between them going round boxes.

Source: Sugiyama, Tagawa and Toda, Methods for visual understanding of hierarchical system structures (1981).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

#: How often layers are put in order, and in place, downwards and upwards.
_SWEEPS = 4


@dataclass
class Spot:
    """A box, or a place where a wire passes a layer."""

    layer: int
    width: float
    above: list[Spot] = field(default_factory=list["Spot"])
    below: list[Spot] = field(default_factory=list["Spot"])
    #: The middle.
    x: float = 0.0


@dataclass
class Layout:
    """Boxes by name, and for each wire the spots that it comes through, from its source on."""

    spots: dict[str, Spot]
    ways: dict[tuple[str, str], list[Spot]]
    layers: list[list[Spot]]
    width: float


def layout(names: Sequence[str], wires: Mapping[str, Iterable[str]], width: float, gap: float) -> Layout:
    """Places boxes of one width.

    Parameters
    ----------
    names : sequence of str
        In an order in which sources come first.
    wires : mapping of str to iterable of str
        For each box those that it takes something from.
    width, gap : float
        Of a box, and between boxes.
    """
    spots: dict[str, Spot] = {}
    for name in names:
        above = [spots[source].layer for source in wires.get(name, ())]
        spots[name] = Spot(max(above, default=-1) + 1, width)
    ways: dict[tuple[str, str], list[Spot]] = {}
    layers: list[list[Spot]] = [[] for _ in range(max((s.layer for s in spots.values()), default=-1) + 1)]
    # Where a wire passes layers, other takers of it further down go the same way.
    passed: dict[tuple[str, int], Spot] = {}
    for name in names:
        layers[spots[name].layer].append(spots[name])
        for source in dict.fromkeys(wires.get(name, ())):
            way = [spots[source]]
            for layer in range(spots[source].layer + 1, spots[name].layer):
                if (source, layer) not in passed:
                    passed[source, layer] = Spot(layer, gap)
                    layers[layer].append(passed[source, layer])
                way.append(passed[source, layer])
            way.append(spots[name])
            ways[source, name] = way
            for one, two in pairwise(way):
                if two not in one.below:
                    one.below.append(two)
                    two.above.append(one)
    _order(layers)
    return Layout(spots, ways, layers, _place(layers, gap))


def _order(layers: list[list[Spot]]) -> None:
    """The order in each layer: a spot about where its neighbours' middle is, so that few wires cross."""
    for layer in layers:
        _number(layer)
    for sweep in range(_SWEEPS):
        downwards = sweep % 2 == 0
        for layer in layers if downwards else layers[::-1]:
            means = {
                id(spot): sum(other.x for other in near) / len(near) if near else spot.x
                for spot in layer
                for near in [spot.above if downwards else spot.below]
            }
            layer.sort(key=lambda spot: means[id(spot)])
            _number(layer)


def _number(layer: list[Spot]) -> None:
    for i, spot in enumerate(layer):
        spot.x = i - (len(layer) - 1) / 2


def _place(layers: list[list[Spot]], gap: float) -> float:
    """Places in pixels; returns the width of all."""
    for layer in layers:
        _spread(layer, [0.0] * len(layer), gap)
    for sweep in range(2 * _SWEEPS):
        downwards = sweep % 2 == 0
        for layer in layers if downwards else layers[::-1]:
            wanted: list[float] = []
            for spot in layer:
                near = (spot.above if downwards else spot.below) or [spot]
                wanted.append(sum(other.x for other in near) / len(near))
            _spread(layer, wanted, gap)
    every = [spot for layer in layers for spot in layer]
    if not every:
        return 0.0
    left = min(spot.x - spot.width / 2 for spot in every)
    for spot in every:
        spot.x -= left
    return max(spot.x + spot.width / 2 for spot in every)


def _spread(layer: list[Spot], wanted: list[float], gap: float) -> None:
    """Each spot as near to where it is wanted as the others let it: those that overlap make room alike."""
    # Blocks of spots that touch: each spot wishes where the block would have to begin, and the mean decides.
    blocks: list[tuple[list[Spot], list[float], float]] = []
    for spot, x in zip(layer, wanted, strict=True):
        blocks.append(([spot], [x - spot.width / 2], spot.width))
        while len(blocks) > 1 and _left(blocks[-1]) < _right(blocks[-2]) + gap:
            spots, places, size = blocks.pop()
            first, others, length = blocks.pop()
            shift = length + gap
            blocks.append((first + spots, others + [p - shift for p in places], shift + size))
    for block in blocks:
        x = _left(block)
        for spot in block[0]:
            spot.x = x + spot.width / 2
            x += spot.width + gap


def _left(block: tuple[list[Spot], list[float], float]) -> float:
    return sum(block[1]) / len(block[1])


def _right(block: tuple[list[Spot], list[float], float]) -> float:
    return _left(block) + block[2]
