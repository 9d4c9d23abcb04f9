"""Passes that make larger nodes of small ones: layers with what follows them, formulas of one value."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from quantray import nn
from quantray._typing import Array
from quantray.graph import Fact, Graph, Node, Ref, Rewriter, kind_of, run
from quantray.graph._graph import map_lengths, map_wires, wires
from quantray.graph.kinds import LAYERS
from quantray.nn.intrinsic import FusedWeighted
from quantray.nn.intrinsic._fused import BATCH_NORMS
from quantray.nn.qat import FusedQAT
from quantray.nn.qat._weighted import QAT
from quantray.quantization._layers import Layer

_KIND_OF_CLASS = {getattr(nn, name): kind for kind, name in LAYERS.items()}


def make_layers(graph: Graph, model: nn.Module) -> Graph:
    """Layers with weights as `layer` nodes, with the normalization and the activation after them."""
    users, outputs = graph.users(), set(graph.outputs)
    made = Rewriter(graph)
    absorbed: dict[str, Ref] = {}
    for node in graph:
        if node.name in absorbed:
            made.replace(Ref(node.name), absorbed[node.name])
            continue
        if node.kind == "add":
            after = _only_user(node, graph, users, outputs)
            if after is not None and _is_limit(after):
                absorbed[after.name] = Ref(node.name)
                node = node.but(kwargs={"limits": _limits_of(after)}, facts=after.facts)
            made.add(node)
            continue
        layer = _layer_of(node, graph, model)
        if layer is None:
            made.add(node)
            continue
        found, last = layer, node
        if found.value.norm is None and found.value.limits is None:
            after = _only_user(last, graph, users, outputs)
            norm = None if after is None else _norm_of(after, last, graph, model)
            if after is not None and norm is not None:
                found, last = found.but(value=found.value._replace(norm=norm)), after
                absorbed[after.name] = Ref(node.name)
        if found.value.limits is None:
            after = _only_user(last, graph, users, outputs)
            if after is not None and _is_limit(after) and after.args[0] == Ref(last.name):
                found, last = found.but(value=found.value._replace(limits=_limits_of(after))), after
                absorbed[after.name] = Ref(node.name)
        found = found.but(facts=last.facts)
        settings = dict(found.kwargs)
        for parameter in settings.pop("_parameters", ()):
            if parameter.name not in made.nodes and parameter.name not in graph.nodes:
                made.nodes[parameter.name] = parameter
        made.add(found.but(kwargs=settings))
    return made.graph().pruned()


def _is_limit(node: Node) -> bool:
    """Whether a node is ReLU or ReLU6, which layers and sums compute in their own finish."""
    return node.kind == "relu" or (node.kind == "clip" and _limits_of(node) == (0.0, 6.0))


def _limits_of(node: Node) -> tuple[float | None, float | None]:
    """The range that a relu, or a clip, cuts values to."""
    return (0.0, None) if node.kind == "relu" else (node.get("low"), node.get("high"))


def _layer_of(node: Node, graph: Graph, model: nn.Module) -> Node | None:
    """A layer's node, as far as it goes by itself."""
    if node.kind in LAYERS:
        home = _home(node, graph, model)
        fake = None
        weight = node.args[1]
        source = graph.nodes[weight.node] if isinstance(weight, Ref) else None
        if source is not None and source.kind == "module" and "fake_quant" in source.value:
            # A module of the model fake-quantizes it already.
            fake, weight = source.value, source.args[0]
        settings = dict(node.kwargs)
        return node.but(
            kind="layer",
            args=(node.args[0], weight, node.args[2]),
            kwargs=settings,
            value=Layer(node.kind, home, fake=fake),
        )
    if node.kind != "module":
        return None
    module = model.get_submodule(node.value)
    if isinstance(module, (FusedQAT, QAT)):
        return _trained_layer(node, module, graph)
    return None


def _trained_layer(node: Node, module: nn.Module, graph: Graph) -> Node:
    """The layer that a module of quantization aware training is."""
    path = node.value
    inner = f"{path}.0" if isinstance(module, FusedQAT) else path
    layer = module.layer if isinstance(module, FusedQAT) else module
    kind = _KIND_OF_CLASS[next(c for c in type(layer).__mro__ if c in _KIND_OF_CLASS)]
    norm, limits = None, None
    if isinstance(module, FusedQAT):
        norm = f"{path}.1" if module.norm is not None else None
        activation = module.activation
        if activation is not None:
            limits = (0.0, 6.0) if isinstance(activation, nn.ReLU6) else (0.0, None)
    fake = f"{path}.weight_fake_quant" if path else "weight_fake_quant"
    settings = layer_settings(layer, kind)
    x = node.args[0] if node.args else node.kwargs["input"]
    if "transpose" in kind and len(node.args) + len(node.kwargs) > 1:
        raise ValueError(f"{path}: output_size cannot be given where the layer is quantized")
    weight = Ref(f"{inner}.weight" if inner else "weight")
    bias = None if layer._parameters.get("bias") is None else Ref(f"{inner}.bias" if inner else "bias")
    parameters: list[Node] = []
    for ref, key in ((weight, "weight"), (bias, "bias")):
        array = layer._parameters[key]
        if ref is not None and array is not None:
            parameters.append(
                Node(
                    ref.node,
                    "parameter",
                    facts=(Fact(np.shape(array), np.dtype(np.float32)),),
                    value=(inner, key),
                )
            )
    return node.but(
        kind="layer",
        args=(x, weight, bias),
        kwargs={**settings, "_parameters": tuple(parameters)},
        value=Layer(kind, path, norm, limits, fake),
    )


def layer_settings(layer: nn.Module, kind: str) -> dict[str, object]:
    """What the function of a layer's kind is told beside input, weight and bias."""
    if kind == "linear":
        return {}
    names = ("stride", "padding", "dilation", "groups")
    settings = {name: getattr(layer, name) for name in names}
    if "transpose" in kind:
        settings["output_padding"] = layer.output_padding
    return settings


def _home(node: Node, graph: Graph, model: nn.Module) -> str:
    """The module that a layer is: its own, or the fused one that it is the first part of."""
    scope = node.scope
    parent, _, key = scope.rpartition(".")
    if key == "0":
        found = model.get_submodule(parent)
        if isinstance(found, FusedWeighted):
            return parent
    return scope


def _only_user(node: Node, graph: Graph, users: dict[Ref, list[str]], outputs: set[Ref]) -> Node | None:
    """The one node that takes what another one makes, if there is only one."""
    ref = Ref(node.name)
    takers = users.get(ref, [])
    return graph.nodes[takers[0]] if len(takers) == 1 and ref not in outputs else None


def _norm_of(node: Node, layer: Node, graph: Graph, model: nn.Module) -> str | None:
    """The path of a batch normalization that can be folded into the layer before it."""
    if node.kind != "module" or node.inputs != (Ref(layer.name),):
        return None
    norm = model.get_submodule(node.value)
    if not isinstance(norm, BATCH_NORMS) or norm._buffers["running_mean"] is None:
        return None
    channels = layer.facts[0].shape
    # Of rows, a linear layer's outputs are the channels; of sequences they are not.
    if layer.kind == "linear" and len(channels) != 2:
        return None
    return node.value


@dataclass(frozen=True)
class Formula:
    """What some nodes compute of each element of one value: a graph of its own, whose input is "x"."""

    graph: Graph

    def __call__(self, x: Array) -> Array:
        """The formula of an array."""
        return run(self.graph, {"x": x})


def collapse(graph: Graph) -> Graph:
    """Nodes that compute one value's elements, by whatever formula, as one node each: `formula`."""
    users, outputs = graph.users(), set(graph.outputs)
    # What decides whether the graph is the right one is asked for, too.
    outputs |= {ref for guard in graph.guards for ref in wires(guard.subject)}
    #: For each node of a region the wire that it depends on, and the region's nodes.
    sources: dict[str, Ref] = {}
    regions: dict[str, frozenset[str]] = {}
    # Weights that are computed from others are no values: layers want them as they are.
    weights: set[str] = set()
    for node in graph:
        if node.kind in ("parameter", "constant"):
            weights.add(node.name)
            continue
        if node.inputs and all(ref.node in weights for ref in node.inputs):
            weights.add(node.name)
            continue
        found = varying(node, graph, sources)
        if found is None:
            continue
        sources[node.name] = found
        inner: frozenset[str] = frozenset({node.name})
        for ref in node.inputs:
            if sources.get(ref.node) == found and ref != found:
                inner |= regions[ref.node]
        regions[node.name] = inner
    # From the last nodes on: a region whose inner values nothing else takes, and that one wire goes into.
    taken: set[str] = set()
    formulas: dict[str, tuple[frozenset[str], Ref]] = {}
    for node in reversed(list(graph)):
        if node.name not in regions or node.name in taken or not node.facts[0].is_float:
            continue
        region = _closed(node.name, regions[node.name], users, outputs)
        begins = _begins(region, graph)
        if len(begins) == 1 and (len(region) > 1 or not _is_known(node)):
            formulas[node.name] = region, next(iter(begins))
            taken |= region
    # Others may take the lengths of what is inside: a formula's nodes have those of the wire that goes in.
    alike = {Ref(n): begin for end, (region, begin) in formulas.items() for n in region - {end}}
    made = Rewriter(graph)
    for node in graph:
        if node.name in formulas:
            made.add(formula_of(node, *formulas[node.name], graph))
        elif node.name not in taken:
            given = map_lengths(lambda ref: alike.get(ref, ref), (node.args, dict(node.kwargs)))
            made.add(node.but(args=given[0], kwargs=given[1]))
    return made.graph().pruned()


def expanded(graph: Graph) -> Graph:
    """Formulas as the nodes that they are made of: what stays in floats has kernels node by node."""
    if not any(node.kind == "formula" for node in graph):
        return graph
    made = Rewriter(graph)
    for node in graph:
        if node.kind != "formula":
            made.add(node)
            continue
        inner: Graph = node.value[0].graph
        given = Ref(inner.inputs[0])

        def outside(ref: Ref, given: Ref = given, x: Ref = node.args[0]) -> Ref:
            return x if ref == given else ref

        # Names inside are those that the nodes had; formulas may share constants.
        for each in inner:
            if each.kind != "input" and each.name not in made.nodes:
                args, kwargs = map_wires(outside, (each.args, dict(each.kwargs)))
                made.add(each.but(args=args, kwargs=kwargs))
    return made.graph()


#: Kinds that stand for no function of elements.
NO_FUNCTIONS = frozenset(
    {
        *("input", "parameter", "constant", "module", "python", "tap", "hook", "layer", "formula"),
        *("observe", "snap"),
    }
)


def _begins(region: frozenset[str], graph: Graph) -> set[Ref]:
    """The wires that go into a region."""
    return {
        ref
        for name in region
        for ref in graph.nodes[name].inputs
        if ref.node not in region and graph.nodes[ref.node].kind != "constant"
    }


def _is_known(node: Node) -> bool:
    """Whether a single node has a part of its own already; arithmetic has one of two wires."""
    part = kind_of(node.kind).part
    return part is not None and not (node.kind in ("add", "sub", "mul") and len(node.inputs) < 2)


def varying(node: Node, graph: Graph, sources: dict[str, Ref]) -> Ref | None:
    """The one wire of floats that an elementwise node depends on; None for other nodes."""
    if node.kind in NO_FUNCTIONS:
        return None
    if not kind_of(node.kind).elementwise or len(node.facts) != 1:
        return None
    shape = node.facts[0].shape
    found: Ref | None = None
    for ref in node.inputs:
        fact = graph.fact(ref)
        if graph.nodes[ref.node].kind == "constant" and np.size(graph.nodes[ref.node].value) == 1:
            if fact.shape == ():
                continue
            return None
        if fact.shape != shape:
            return None
        source = sources.get(ref.node, ref)
        if found is not None and source != found:
            return None
        found = source
    if found is None or graph.fact(found).dtype != np.float32:
        return None
    # Lengths among the arguments differ from call to call.
    from quantray.graph._graph import Expr, leaves

    if any(isinstance(leaf, Expr) for leaf in leaves((node.args, dict(node.kwargs)))):
        return None
    return found


def _closed(
    name: str, region: frozenset[str], users: dict[Ref, list[str]], outputs: set[Ref]
) -> frozenset[str]:
    """The part of a region whose values nothing outside takes, but for the last one's."""
    kept = set(region)
    while True:
        out = {
            n
            for n in kept - {name}
            if Ref(n) in outputs or any(user not in kept for user in users.get(Ref(n), ()))
        }
        if not out:
            break
        kept -= out
    return frozenset(kept)


def formula_of(node: Node, region: frozenset[str], begin: Ref, graph: Graph) -> Node:
    """One node for the nodes of a region."""
    inside: dict[str, Node] = {"x": Node("x", "input", facts=(graph.fact(begin),))}
    rewriter = Rewriter(Graph({}, (), {}, None))
    rewriter.nodes = inside
    rewriter.replace(begin, Ref("x"))
    for each in graph:
        if each.name in region or (
            each.kind == "constant" and any(Ref(each.name) in graph.nodes[n].inputs for n in region)
        ):
            rewriter.add(each)
    inner = Graph(inside, (Ref("x"),), {}, Ref(node.name))
    scopes = {graph.nodes[name].scope for name in region}
    scope = node.scope
    is_module = (
        len(scopes) == 1
        and scope
        and all(
            other.name in region or other.kind in ("parameter", "constant")
            for other in graph
            if other.scope == scope
        )
    )
    return Node(
        node.name,
        "formula",
        (begin,),
        {},
        node.facts,
        scope,
        node.at,
        (Formula(inner), scope if is_module else node.name),
    )
