"""Why a node computes in floats, and what would change that."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from quantray import nn
from quantray.graph import Graph, Node, Ref
from quantray.graph._show import place
from quantray.graph.kinds import LAYERS
from quantray.quantization._dynamic_layers import integer_classes
from quantray.quantization._integers import LAYER, QUANTIZE, SUMS
from quantray.quantization._reading import Reading
from quantray.quantization._settings import part_of


class Reason(NamedTuple):
    """Why, and what would change it; both empty where there is nothing to say."""

    why: str = ""
    cure: str = ""
    #: Whether another node is the cause.
    is_consequence: bool = False

    def __str__(self) -> str:
        return f"{self.why} ({self.cure})" if self.cure else self.why


_NOTHING = Reason()
OF_16_BITS = "in its file it has 16 bits"
_STUB = "a DeQuantStub after it"


def reason(node: Node, reading: Reading) -> Reason:
    """What is to be said of a node: of a float one why it is one, of one of integers why it gives floats."""
    state = reading.in_integers(node)
    if not state and _is_of_16_bits(node, reading):
        return Reason(OF_16_BITS)
    if state is None:
        return _NOTHING
    if state:
        return _why_floats_come_out(node, reading)
    match node.kind:
        case "python":
            return _of_python(node, reading.graph)
        case "hook":
            return Reason("a hook gives another value", "let it return None")
        case _:
            pass
    if reading.file_why is not None:
        said = reading.file_why.get(node.name)
        if said is not None or reading.is_without_qconfig(node):
            return Reason(said or "in floats in its file")
    signal = reading.front_ends.get(node.name)
    if signal is not None:
        return Reason(signal, "a qconfig for its name")
    if reading.spared(node):
        return Reason(f"8 bits are too little: {reading.spared(node)}", "a qconfig of yours")
    if reading.is_without_qconfig(node):
        return Reason("no qconfig", "give it one")
    if reading.is_between(node):
        return _of_between(node, reading)
    if part_of(node, reading.model) is None:
        return _unknown(node, reading)
    floats = [reading.source(ref) for ref in reading.floats_of(node)]
    if node.kind in SUMS and len(floats) < 2:
        return Reason("one of its terms is a constant", "a formula of one value alone, or a layer")
    for ref in floats:
        if not reading.could_be_codes(ref):
            source = reading.graph.nodes[ref.node]
            if source.kind == "input":
                return Reason(f"takes {ref}, which is floats", "a QuantStub before it")
            return Reason(f"takes floats of {source.name}", is_consequence=True)
    if reading.is_returned(node):
        return Reason("the model returns it", _STUB)
    takers = [taker for taker in reading.takers(node) if taker.kind != QUANTIZE]
    if not takers:
        return _of_between(node, reading)
    return Reason(f"floats for {_names(takers)}", is_consequence=True)


def _is_of_16_bits(node: Node, reading: Reading) -> bool:
    """Whether a layer takes what a file has rounded to 16 bits, which there are no products of."""
    if node.kind != "layer" and node.kind not in LAYERS:
        return False
    sources = [reading.graph.nodes[ref.node] for ref in node.inputs[:1]]
    return any(str(s.get("kind")).endswith("16") for s in sources if s.kind == "onnx.fake_quantize")


def _why_floats_come_out(node: Node, reading: Reading) -> Reason:
    if node.kind not in ("layer", LAYER) or reading.codes(Ref(node.name)):
        return _NOTHING
    if reading.is_returned(node):
        return Reason("gives floats")
    takers = [taker for taker in reading.takers(node) if taker.kind != QUANTIZE]
    names = _names(takers)
    if takers and all(reading.in_integers(taker) for taker in takers):
        return Reason(f"floats for {names}, which rounds once")
    return Reason(f"floats for {names}") if takers else _NOTHING


def _names(takers: Sequence[Node]) -> str:
    """The first of them, as they are shown: one that computes between codes has the name of its row."""
    return ", ".join(taker.name.removesuffix(".float") for taker in takers[:2])


def _of_python(node: Node, graph: Graph) -> Reason:
    for refusal in graph.refusals:
        if refusal.scope == node.value:
            where = place(refusal.at)
            why = f"runs as Python: {f'{where}: ' if where else ''}{refusal.reason}"
            return Reason(why, "arrays alone in forward")
    return Reason("runs as Python", "arrays alone in forward")


def _of_between(node: Node, reading: Reading) -> Reason:
    """Floats between codes: a function without an integer version, or terms that have no common one."""
    floats = [reading.source(ref) for ref in reading.floats_of(node)]
    if reading.meant(node).kind == "prelu" and reading.in_integers(reading.graph.nodes[floats[0].node]):
        return Reason("its layer does it before it rounds")
    for ref in floats:
        if len(floats) > 1 and not reading.in_integers(reading.graph.nodes[ref.node]):
            return Reason(f"takes floats of {ref.node}", is_consequence=True)
    shapes = {reading.graph.fact(ref).shape for ref in floats}
    if len(shapes) > 1:
        return Reason("terms of different shapes", "one shape for both")
    return Reason("no integer version")


def _unknown(node: Node, reading: Reading) -> Reason:
    module = reading.module(node)
    if module is None:
        return Reason("no integer version", "a module of its own, for graph.register_layer")
    if type(module) in integer_classes():
        return Reason("no static integer version", "quantize_dynamic has one")
    return Reason("no integer version", "graph.register_layer")


def left_in_float(module: nn.Module, any_integers: bool) -> Reason:
    """Of a module of a model without graphs: why it has no integers."""
    if module.__dict__.get("_takes_16_bits"):
        return Reason(OF_16_BITS)
    stored = module.__dict__.get("_stored_as")
    if stored is not None:
        return Reason(f"its weights are {stored} in its file, and its inputs are floats", "quantize")
    if not any_integers:
        return _NOTHING
    return (
        Reason("not asked for", "name it in qconfig_spec")
        if type(module) in integer_classes()
        else Reason("no integer version")
    )
