"""Nodes of older versions in the form of later ones."""

# Attributes are whatever a file holds.
# pyright: reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from quantray.onnx._export._versions import CHANGED
from quantray.onnx._export._writing import NotExported, Writing
from quantray.onnx._file import GraphFile, NodeFile

#: Nodes that compute what one does, in the form of a version.
Form = Callable[[Writing, NodeFile], list[NodeFile]]
_FORMS: dict[tuple[str, int], Form] = {}


def _form(version: int, *ops: str) -> Callable[[Form], Form]:
    def add(function: Form) -> Form:
        for op in ops:
            _FORMS[op, version] = function
        return function

    return add


def adapted(to: Writing, node: NodeFile, version: int, target: int) -> list[NodeFile]:
    """Nodes that mean in one version what a node means in an earlier one."""
    node = replace(
        node,
        attributes={
            name: _graph(to, value, version, target) if isinstance(value, GraphFile) else value
            for name, value in node.attributes.items()
        },
    )
    nodes = [node]
    if node.domain not in ("", "ai.onnx"):
        return nodes
    for since in CHANGED.get(node.op, ()):
        if version < since <= target:
            form = _FORMS.get((node.op, since))
            if form is None:
                raise NotExported(
                    f"{node.op} as opset {version} has it, which means something else from opset {since} on"
                )
            *before, last = nodes
            nodes = [*before, *form(to, last)]
    return nodes


def _graph(to: Writing, found: GraphFile, version: int, target: int) -> GraphFile:
    nodes = tuple(made for node in found.nodes for made in adapted(to, node, version, target))
    return replace(found, nodes=nodes)


def _moved(
    to: Writing, node: NodeFile, places: Sequence[tuple[str, int, type[np.generic]]]
) -> list[NodeFile]:
    """Attributes that become inputs, at some places and of some dtypes."""
    attributes, inputs = dict(node.attributes), list(node.inputs)
    for name, at, dtype in places:
        value = attributes.pop(name, None)
        if value is not None:
            inputs += [""] * (at + 1 - len(inputs))
            inputs[at] = to.constant(np.asarray(value, dtype))
    return [replace(node, inputs=tuple(inputs), attributes=attributes)]


@_form(22, "AveragePool", "MaxPool")
def _same(to: Writing, node: NodeFile) -> list[NodeFile]:
    return [node]


@_form(13, "ReduceSum", "Squeeze", "Unsqueeze")
@_form(18, *(op for op in CHANGED if op.startswith("Reduce") and CHANGED[op] == (18,)))
def _axes(to: Writing, node: NodeFile) -> list[NodeFile]:
    return _moved(to, node, [("axes", 1, np.int64)])


@_form(13, "Split")
def _split(to: Writing, node: NodeFile) -> list[NodeFile]:
    return _moved(to, node, [("split", 1, np.int64)])


@_form(18, "Split")
def _split_evenly(to: Writing, node: NodeFile) -> list[NodeFile]:
    if len(node.inputs) > 1:
        return [node]
    return [replace(node, attributes={**node.attributes, "num_outputs": len(node.outputs)})]


@_form(11, "Clip")
def _clip(to: Writing, node: NodeFile) -> list[NodeFile]:
    return _moved(to, node, [("min", 1, np.float32), ("max", 2, np.float32)])


@_form(11, "Pad")
def _pad(to: Writing, node: NodeFile) -> list[NodeFile]:
    return _moved(to, node, [("pads", 1, np.int64), ("value", 2, np.float32)])


@_form(10, "Slice")
def _slice(to: Writing, node: NodeFile) -> list[NodeFile]:
    return _moved(to, node, [("starts", 1, np.int64), ("ends", 2, np.int64), ("axes", 3, np.int64)])


@_form(10, "TopK")
def _top_k(to: Writing, node: NodeFile) -> list[NodeFile]:
    k = node.attributes.get("k")
    if k is not None:
        node = replace(node, attributes={**node.attributes, "k": [int(k)]})
    return _moved(to, node, [("k", 1, np.int64)])


@_form(12, "Dropout")
def _dropout(to: Writing, node: NodeFile) -> list[NodeFile]:
    """In evaluation its ratio says nothing."""
    attributes = {name: value for name, value in node.attributes.items() if name == "seed"}
    return [replace(node, attributes=attributes)]


@_form(9, "BatchNormalization")
@_form(14, "BatchNormalization")
def _batch_norm(to: Writing, node: NodeFile) -> list[NodeFile]:
    if any(node.outputs[1:]) or not node.attributes.get("spatial", 1):
        raise NotExported("a batch normalization in training")
    attributes = {name: value for name, value in node.attributes.items() if name == "epsilon"}
    return [replace(node, attributes=attributes, outputs=node.outputs[:1])]


@_form(11, "Scatter")
def _scatter(to: Writing, node: NodeFile) -> list[NodeFile]:
    return [replace(node, op="ScatterElements")]


@_form(9, "Upsample")
def _scales(to: Writing, node: NodeFile) -> list[NodeFile]:
    return _moved(to, node, [("scales", 1, np.float32)])


@_form(10, "Upsample")
def _upsample(to: Writing, node: NodeFile) -> list[NodeFile]:
    x, scales = node.inputs
    attributes = {
        "mode": node.attributes.get("mode", "nearest"),
        "coordinate_transformation_mode": "asymmetric",
        "nearest_mode": "floor",
    }
    return [replace(node, op="Resize", inputs=(x, "", scales), attributes=attributes)]


@_form(16, "RoiAlign")
def _roi_align(to: Writing, node: NodeFile) -> list[NodeFile]:
    given = {"coordinate_transformation_mode": "output_half_pixel", **node.attributes}
    return [replace(node, attributes=given)]


@_form(20, "GridSample")
def _grid_sample(to: Writing, node: NodeFile) -> list[NodeFile]:
    names = {"bilinear": "linear", "bicubic": "cubic"}
    mode = node.attributes.get("mode", "bilinear")
    return [replace(node, attributes={**node.attributes, "mode": names.get(mode, mode)})]


@_form(20, "DFT")
def _dft(to: Writing, node: NodeFile) -> list[NodeFile]:
    attributes = dict(node.attributes)
    axis = to.constant(np.array(attributes.pop("axis", 1), np.int64))
    inputs = (*node.inputs, *[""] * (2 - len(node.inputs)), axis)
    return [replace(node, inputs=inputs, attributes=attributes)]


@_form(13, "Softmax", "LogSoftmax", "Hardmax")
def _softmax(to: Writing, node: NodeFile) -> list[NodeFile]:
    """Over all axes from one on, as a matrix of two axes."""
    flat, shape, rows = (to.name(f"{node.outputs[0]}/{part}") for part in ("flat", "shape", "rows"))
    axis = node.attributes.get("axis", 1)
    return [
        NodeFile(f"{node.name}/shape", "Shape", "", node.inputs, (shape,)),
        NodeFile(f"{node.name}/flat", "Flatten", "", node.inputs, (flat,), {"axis": axis}),
        NodeFile(f"{node.name}/rows", node.op, "", (flat,), (rows,), {"axis": -1}),
        NodeFile(node.name, "Reshape", "", (rows, shape), node.outputs),
    ]
