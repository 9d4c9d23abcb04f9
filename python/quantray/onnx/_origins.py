"""Which nodes of a file the nodes stand for that rewriting has made of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from quantray.onnx._file import NodeFile

#: Operators with weights: what is beside one in a layer goes into its weights and its bias.
_WEIGHTED = frozenset({"Conv", "ConvTranspose", "Gemm", "MatMul"})
#: What only moves elements, or tells lengths: whoever comes after it does not stand for it.
_MOVES = frozenset(
    {"Cast", "Concat", "Constant", "ConstantOfShape", "Dropout", "Expand", "Flatten", "Gather", "Identity",
     "Range", "Reshape", "Shape", "Slice", "Split", "Squeeze", "Transpose", "Unsqueeze",
     "QuantizeLinear", "DequantizeLinear", "DynamicQuantizeLinear"}
)  # fmt: skip


def origins(
    before: Sequence[NodeFile], after: Sequence[NodeFile]
) -> Iterator[tuple[NodeFile, list[NodeFile]]]:
    """Each node that is there now, with those of the file that it computes.

    A node's work is done by whoever makes its output now; where nobody does, by whoever does the work of the
    node that took it.
    """
    makers = {name: node for node in after for name in node.outputs if name}
    users: dict[str, list[NodeFile]] = {}
    for node in before:
        for name in node.inputs:
            users.setdefault(name, []).append(node)
    homes: dict[int, NodeFile] = {}
    found: dict[int, list[NodeFile]] = {}
    for node in reversed(before):
        outputs = [name for name in node.outputs if name]
        home = next((makers[name] for name in outputs if name in makers), None)
        if home is None:
            takers = (taker for name in outputs for taker in users.get(name, ()))
            home = next((homes[id(taker)] for taker in takers if id(taker) in homes), None)
        if home is None:
            continue
        homes[id(node)] = home
        if node.op not in _MOVES or node.outputs == home.outputs:
            found.setdefault(id(home), []).append(node)
    for node in after:
        nodes = found.get(id(node))
        if nodes:
            yield node, nodes[::-1]


def ops_of(nodes: Sequence[NodeFile]) -> tuple[str, ...]:
    """The operators that a layer is called by: that of its weights alone, where it has some."""
    ops = dict.fromkeys(node.op for node in nodes)
    return tuple(op for op in ops if op in _WEIGHTED) or tuple(ops)
