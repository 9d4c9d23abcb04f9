"""A graph as a drawing for notebooks: inline SVG without script, in the colours of the page.

What computes in integers has a full outline and a tint, what computes in floats a dashed one: it can be told
apart without colours. Many nodes are drawn as one box for each module, with a drawing of its inside below.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from itertools import pairwise

from quantray.graph._graph import Graph, Node, Ref
from quantray.graph._layout import Layout, Spot, layout
from quantray.graph._show import FOLDED, dtype_of, in_integers, shape_of, words

#: More boxes than these are drawn as modules.
_MOST = 24
_WIDTH, _HEIGHT, _GAP, _RISE, _EDGE = 164.0, 40.0, 16.0, 26.0, 4.0
#: Characters that fit in a box, by the size of the text.
_NAME, _KIND = 24, 28
_INTEGER = "var(--jp-brand-color1,#1976d2)"
_STYLES = {
    True: f"fill:{_INTEGER};fill-opacity:.16;stroke:{_INTEGER};stroke-width:1.5",
    False: "fill:none;stroke:currentColor;stroke-width:1.5;stroke-dasharray:5 3",
    None: "fill:none;stroke:currentColor;stroke-opacity:.45;stroke-width:1",
}


@dataclass
class Box:
    """What is drawn as one: a node, or the nodes of a module that follow each other."""

    name: str
    nodes: list[Node]
    #: How many parts of the modules' paths have been told apart already.
    depth: int

    @property
    def is_group(self) -> bool:
        """Whether it stands for several nodes."""
        return len(self.nodes) > 1


def drawing(graph: Graph) -> str:
    """The whole graph."""
    nodes = [node for node in graph if node.kind not in FOLDED]
    if not nodes:
        return ""
    legend = (
        "<div style='font-size:85%;opacity:.8;margin:.3em 0'>full outline: in integers; dashed: in floats; "
        "beside wires: their shapes</div>"
    )
    return legend + _level(graph, nodes, 0)


def _level(graph: Graph, nodes: Sequence[Node], depth: int) -> str:
    boxes = grouped(nodes, depth)
    inside = "".join(
        "<details style='margin-left:1em'>"
        f"<summary>{escape(box.name)}: {len(box.nodes)} nodes</summary>{_level(graph, box.nodes, box.depth)}"
        "</details>"
        for box in boxes
        if box.is_group
    )
    return _svg(graph, boxes) + inside


def grouped(nodes: Sequence[Node], depth: int) -> list[Box]:
    """Boxes for nodes: one each, or, of many, one for the nodes of each module that follow each other.

    Nodes that follow each other have no way out and in again, so boxes of them make no circle.
    """
    if len(nodes) <= _MOST:
        return [Box(node.name, [node], depth) for node in nodes]
    deepest = max(len(_path(node)) for node in nodes)
    while depth < deepest:
        boxes: list[Box] = []
        last: tuple[str, ...] | None = None
        for node in nodes:
            path = _path(node)[: depth + 1]
            is_inside = len(path) > depth
            if is_inside and path == last:
                boxes[-1].nodes.append(node)
            else:
                boxes.append(Box(".".join(path) if is_inside else node.name, [node], depth + 1))
            last = path if is_inside else None
        if 1 < len(boxes) <= 2 * _MOST:
            return [box if box.is_group else Box(box.nodes[0].name, box.nodes, depth) for box in boxes]
        if len(boxes) > 2 * _MOST:
            break
        depth += 1
    # Many nodes of one module: as many at a time as can be drawn.
    size = max(_MOST, -(-len(nodes) // _MOST))
    parts = [list(nodes[i : i + size]) for i in range(0, len(nodes), size)]
    return [Box(f"{part[0].name} to {part[-1].name}", part, depth) for part in parts]


def _path(node: Node) -> tuple[str, ...]:
    return tuple(node.scope.split(".")) if node.scope else ()


def _svg(graph: Graph, boxes: Sequence[Box]) -> str:
    home = {node.name: box.name for box in boxes for node in box.nodes}
    wires: dict[str, dict[str, Ref]] = {box.name: {} for box in boxes}
    for box in boxes:
        for node in box.nodes:
            for ref in node.inputs:
                source = home.get(ref.node)
                if source is not None and source != box.name:
                    wires[box.name].setdefault(source, ref)
    made = layout([box.name for box in boxes], wires, _WIDTH, _GAP)
    tops = _tops(made)
    height = tops[-1] + _HEIGHT + _EDGE
    width = made.width + 2 * _EDGE
    parts = _ways(graph, made, wires, tops)
    parts += [_box(graph, box, made.spots[box.name], tops) for box in boxes]
    label = f"drawing of {len(boxes)} nodes"
    return (
        "<div style='max-width:100%;max-height:44em;overflow:auto'>"
        f"<svg role='img' aria-label='{label}' width='{width:.0f}' height='{height:.0f}' "
        f"viewBox='0 0 {width:.0f} {height:.0f}' style='display:block;max-width:none' "
        f"font-size='11' fill='currentColor'>{''.join(parts)}</svg></div>"
    )


def _tops(made: Layout) -> list[float]:
    """The upper ends of layers."""
    return [_EDGE + i * (_HEIGHT + _RISE) for i in range(len(made.layers))]


def _ways(graph: Graph, made: Layout, wires: dict[str, dict[str, Ref]], tops: Sequence[float]) -> list[str]:
    """The wires, each with an arrow at its end, and its shape where it begins."""
    parts: list[str] = []
    labelled: set[Ref] = set()
    drawn: set[tuple[int, int]] = set()
    for (source, target), way in made.ways.items():
        ref = wires[target][source]
        for one, two in pairwise(way):
            if (id(one), id(two)) not in drawn:
                drawn.add((id(one), id(two)))
                parts.append(_piece(one, two, tops, is_last=two is way[-1]))
        if ref not in labelled:
            labelled.add(ref)
            fact = graph.fact(ref)
            x, y = way[0].x + _EDGE + 5, tops[way[0].layer] + _HEIGHT + 10
            parts.append(
                f"<text x='{x:.0f}' y='{y:.0f}' font-size='9' opacity='.75'>{escape(shape_of(fact))}</text>"
            )
    return parts


def _piece(one: Spot, two: Spot, tops: Sequence[float], *, is_last: bool) -> str:
    """A wire from one layer to the next, and through the layer where it only passes."""
    x, y = one.x + _EDGE, tops[one.layer] + _HEIGHT
    u, v = two.x + _EDGE, tops[two.layer]
    middle = (y + v) / 2
    way = f"M{x:.1f} {y:.1f}C{x:.1f} {middle:.1f} {u:.1f} {middle:.1f} {u:.1f} {v:.1f}"
    if not is_last:
        way += f"V{v + _HEIGHT:.1f}"
    line = f"<path d='{way}' fill='none' stroke='currentColor' stroke-opacity='.55'/>"
    if is_last:
        line += (
            f"<path d='M{u - 3.5:.1f} {v - 6:.1f}h7L{u:.1f} {v:.1f}z' fill='currentColor' fill-opacity='.7'/>"
        )
    return line


def _box(graph: Graph, box: Box, spot: Spot, tops: Sequence[float]) -> str:
    x, y = spot.x - spot.width / 2 + _EDGE, tops[spot.layer]
    states = [in_integers(node, graph.about.get(node.name)) for node in box.nodes]
    computing = [state for state in states if state is not None]
    first = box.nodes[0]
    if box.is_group:
        state = all(computing) if computing else None
        count = sum(computing)
        line = f"{len(box.nodes)} nodes, " + (
            "in integers" if state else "in floats" if not count else f"{count} in integers"
        )
        hint = f"{box.name}: {line}"
    else:
        state, about = states[0], graph.about.get(first.name)
        dtype = dtype_of(first, about)
        line = " · ".join(filter(None, (_cut(words(first, about), _KIND - len(dtype)), dtype)))
        hint = f"{first.name}: {words(first, about)}, {dtype}"
        if about is not None and about.scale is not None:
            hint += f", scale {about.scale:.6g}, zero point {about.zero_point}"
    stack = ""
    if box.is_group:
        stack = (
            f"<path d='M{x + _WIDTH + 3:.1f} {y + 4:.1f}v{_HEIGHT - 1:.1f}H{x + 4:.1f}' fill='none' "
            "stroke='currentColor' stroke-opacity='.6'/>"
        )
    middle = x + _WIDTH / 2
    return (
        f"<g><title>{escape(hint)}</title>{stack}"
        f"<rect x='{x:.1f}' y='{y:.1f}' width='{_WIDTH:.0f}' height='{_HEIGHT:.0f}' rx='4' "
        f"style='{_STYLES[state]}'/>"
        f"<text x='{middle:.1f}' y='{y + 16:.1f}' text-anchor='middle' font-weight='600'>"
        f"{escape(_short(box.name, _NAME))}</text>"
        f"<text x='{middle:.1f}' y='{y + 31:.1f}' text-anchor='middle' font-size='10'>"
        f"{escape(_cut(line, _KIND + 4))}</text></g>"
    )


def _short(name: str, length: int) -> str:
    """A name whose end is kept: that is what tells it from its neighbours."""
    return name if len(name) <= length else f"…{name[1 - length :]}"


def _cut(text: str, length: int) -> str:
    return text if len(text) <= length else f"{text[: length - 1]}…"
