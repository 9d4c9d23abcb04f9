"""Recurrent layers of floats, which a graph keeps whole, as one step: all layers, directions and steps."""

from __future__ import annotations

from quantray import nn
from quantray.graph import Node, Ref
from quantray.graph._trees import leaves
from quantray.nn._recurrent_layer import RecurrentLayer
from quantray.quantization._lowering import Length, Lowering
from quantray.quantization._operands import near, need, product, rank, shape_of, wire

_OPS: dict[type[RecurrentLayer], str] = {nn.LSTM: "lstm", nn.GRU: "gru", nn.RNN: "rnn"}


def recurrent_step(to: Lowering, node: Node, module: RecurrentLayer) -> None:
    """The output and the last states of a layer, as parts of what one step makes."""
    near(to)
    op = _OPS.get(type(module))
    need(op is not None and not node.kwargs and len(node.args) in (1, 2))
    x = node.args[0]
    states = [] if len(node.args) == 1 else [leaf for leaf in leaves(node.args[1]) if leaf is not None]
    sources = tuple(wire(to, value) for value in (x, *states))
    own, ends = module._parameters, module._ends()
    names = ("weight_ih", "weight_hh", "weight_hr") if module.proj_size else ("weight_ih", "weight_hh")
    params: dict[str, object] = {
        "weights": [tuple(own[name + end] for name in names) for end in ends],
        "bidirectional": module.bidirectional,
        "batch_first": module.batch_first,
    }
    if module.bias:
        params["biases"] = [(own[f"bias_ih{end}"], own[f"bias_hh{end}"]) for end in ends]
    if isinstance(module, nn.RNN):
        params["nonlinearity"] = module.nonlinearity
    row = to.step(str(op), sources, node, **params)
    shapes = _shapes(to, x, module)
    start: Length = 0
    for out, shape in enumerate(shapes):
        end = product(shape) if out == 0 else ("add", start, product(shape))
        part = to.step("slice", (row,), node, index=((start, end, 1),))
        to.numbers[Ref(node.name, out)] = to.step("reshape", (part,), node, shape=shape)
        start = end


def _shapes(to: Lowering, x: Ref, module: RecurrentLayer) -> list[tuple[Length, ...]]:
    """Those of the output and of each last state."""
    *lead, _ = shape_of(to, x)
    ways, count = 1 + module.bidirectional, len(module._ends())
    batch: tuple[Length, ...] = ()
    if rank(to, x) == 3:
        batch = (lead[0] if module.batch_first else lead[1],)
    sizes = (module._outputs, module.hidden_size)[: 1 + module._has_cell_state]
    return [(*lead, ways * module._outputs), *((count, *batch, size) for size in sizes)]
