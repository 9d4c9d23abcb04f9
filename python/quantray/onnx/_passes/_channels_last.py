"""onnxruntime's operators of images whose channels are last, as those of the standard between transpositions.

It writes such nodes into optimized files, with a transposition where images change their layout: what stands
between two nodes undoes itself, and goes later.
"""

# Attributes are trees of whatever a file holds: their leaves have no type that could be said.
# pyright: reportUnknownArgumentType=false

from __future__ import annotations

from dataclasses import replace

from quantray.onnx._file import GraphFile, ModelFile, NodeFile, Tensor

_MICROSOFT = "com.microsoft"
#: Each operator with channels last, and the domain and name of the one with channels second.
_OPERATORS = {
    "QLinearConv": (_MICROSOFT, "QLinearConv"),
    "QLinearAveragePool": (_MICROSOFT, "QLinearAveragePool"),
    "NhwcMaxPool": ("", "MaxPool"),
    "NhwcConv": ("", "Conv"),
}


def channels_second(file: ModelFile) -> ModelFile:
    """A model all of whose images have their channels second; itself where they had before."""
    found = _graph(file.graph)
    return file if found is file.graph else replace(file, graph=found)


def _graph(found: GraphFile) -> GraphFile:
    nodes = tuple(made for node in found.nodes for made in _written(_inner(node), found))
    same = len(nodes) == len(found.nodes) and all(a is b for a, b in zip(nodes, found.nodes, strict=True))
    return found if same else replace(found, nodes=nodes)


def _inner(node: NodeFile) -> NodeFile:
    """A node whose graphs are rewritten."""
    made = {name: _graph(value) for name, value in node.attributes.items() if isinstance(value, GraphFile)}
    if all(graph is node.attributes[name] for name, graph in made.items()):
        return node
    return replace(node, attributes={**node.attributes, **made})


def _written(node: NodeFile, around: GraphFile) -> list[NodeFile]:
    """A node with transpositions around it."""
    row = _OPERATORS.get(node.op) if node.domain == _MICROSOFT else None
    if row is None or not (node.op.startswith("Nhwc") or node.attributes.get("channels_last")):
        return [node]
    ndim = _axes(node, around)
    last, second = (0, *range(2, ndim), 1), (0, ndim - 1, *range(1, ndim - 1))
    settings = {name: value for name, value in node.attributes.items() if name != "channels_last"}
    inputs, made = list(node.inputs), list[NodeFile]()
    # Weights of NhwcConv have their channels last, too; those of QLinearConv do not.
    for place in (0, 1) if node.op == "NhwcConv" else (0,):
        name = f"{node.name or node.outputs[0]}.Transpose_{place}"
        inputs[place] = f"{name}.y"
        made.append(_turned(name, node.inputs[place], inputs[place], second))
    between = f"{node.outputs[0]}.channels_second"
    made.append(
        replace(
            node,
            domain=row[0],
            op=row[1],
            inputs=tuple(inputs),
            outputs=(between,),
            attributes=settings,
        )
    )
    made.append(_turned(f"{node.name or node.outputs[0]}.Transpose", between, node.outputs[0], last))
    return made


def _turned(name: str, taken: str, given: str, order: tuple[int, ...]) -> NodeFile:
    return NodeFile(name, "Transpose", "", (taken,), (given,), {"perm": order})


def _axes(node: NodeFile, around: GraphFile) -> int:
    """How many axes the images have: by what the node says of each, else by its weight."""
    for name, each in (("kernel_shape", 1), ("strides", 1), ("dilations", 1), ("pads", 2)):
        found = node.attributes.get(name)
        if isinstance(found, (tuple, list)) and found:
            return len(found) // each + 2
    weight = around.initializers.get(node.inputs[3]) if node.op == "QLinearConv" else None
    return len(weight.shape) if isinstance(weight, Tensor) else 4
