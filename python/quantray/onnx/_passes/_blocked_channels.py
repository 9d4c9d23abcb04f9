"""Images that onnxruntime has laid out in blocks of channels, as images of the standard.

Its optimizer does so by default, for the CPU that it runs on: blocks are of 16 channels where that has
AVX-512 or is an ARM one, else of 8, and a file says so at most by the lengths of its weights. Channels are
filled up to whole blocks, weights lie block by block, and nodes of the domain com.microsoft.nchwc take both.
What stands between these nodes works element by element, so that no other node has to change.
"""

from __future__ import annotations

import platform
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace

import numpy as np

from quantray import cpu_info
from quantray._typing import Array
from quantray.onnx._file import GraphFile, ModelFile, NodeFile, SparseTensor, Tensor

_BLOCKED = "com.microsoft.nchwc"
_MICROSOFT = "com.microsoft"
#: Nodes that mean what those of the standard do.
_SAME = frozenset(("MaxPool", "AveragePool", "GlobalMaxPool", "GlobalAveragePool"))
_FIRST_RESIZE = 11


def without_blocks(file: ModelFile) -> ModelFile:
    """A model without blocks of channels; itself where there are none."""
    nodes = [node for node in _all_nodes(file.graph) if node.domain == _BLOCKED]
    if not nodes:
        return file
    graph = _Graph(file.graph, {}, _block_size(nodes, file.graph), file.opsets.get("", 0)).made
    return replace(file, graph=graph)


def _all_nodes(found: GraphFile) -> Iterator[NodeFile]:
    for node in found.nodes:
        yield node
        for value in node.attributes.values():
            if isinstance(value, GraphFile):
                yield from _all_nodes(value)


def _block_size(nodes: Iterable[NodeFile], found: GraphFile) -> int:
    """Channels of a block: as weights say by their lengths, else as onnxruntime has it on this CPU."""
    nodes = list(nodes)
    made: dict[str, int] = {}
    for node in nodes:
        weight = found.initializers.get(node.inputs[1]) if node.op == "Conv" else None
        if not isinstance(weight, Tensor) or len(weight.shape) < 3:
            continue
        outputs, inputs = weight.shape[:2]
        made[node.outputs[0]] = outputs
        if outputs % 16 or (inputs > 16 and inputs % 16):
            return 8
        if 8 < inputs < 16:
            # It does not come in blocks, as it would if these were smaller.
            return 16
    for node in nodes:
        filled, channels = made.get(node.inputs[0], 0), node.attributes.get("channels", 0)
        if node.op == "ReorderOutput" and isinstance(channels, int) and filled - channels >= 8:
            return 16
    is_wide = "avx512" in cpu_info()["available"] or platform.machine().lower() in ("arm64", "aarch64")
    return 16 if is_wide else 8


class _Graph:
    """A graph whose nodes are rewritten one after the other."""

    def __init__(
        self, found: GraphFile, around: dict[str, Tensor | SparseTensor], block: int, version: int
    ) -> None:
        self.block, self.version = block, version
        self.constants = {**around, **found.initializers}
        self.nodes: list[NodeFile] = []
        self.more: dict[str, Tensor] = {}
        for node in found.nodes:
            self._add(node)
        self.made = replace(found, nodes=tuple(self.nodes), initializers={**found.initializers, **self.more})

    def _add(self, node: NodeFile) -> None:
        inner = {
            name: _Graph(value, self.constants, self.block, self.version).made
            for name, value in node.attributes.items()
            if isinstance(value, GraphFile)
        }
        if inner:
            node = replace(node, attributes={**node.attributes, **inner})
        if node.domain == _BLOCKED and node.op in _SAME:
            node = replace(node, domain="")
        elif node.domain == _BLOCKED and node.op in _ROWS:
            _ROWS[node.op](self, node)
            return
        self.nodes.append(node)

    def constant(self, name: str, array: Array) -> str:
        """An initializer."""
        self.more[name] = Tensor.of(name, array)
        return name

    def put(self, op: str, inputs: tuple[str, ...], output: str, domain: str = "", **settings: object) -> str:
        self.nodes.append(NodeFile(f"{output}.{op}", op, domain, inputs, (output,), settings))
        return output


def _into_blocks(to: _Graph, node: NodeFile) -> None:
    """Channels go to their place, and are filled up."""
    (name,), settings = node.inputs, {"block": to.block}
    if node.attributes.get("channels_last"):
        name = to.put("ChannelsSecond", (name,), f"{node.outputs[0]}.second", "quantray")
    to.nodes.append(replace(node, domain="quantray", op="WholeBlocks", inputs=(name,), attributes=settings))


def _out_of_blocks(to: _Graph, node: NodeFile) -> None:
    settings = {"channels": node.attributes.get("channels", 0)}
    is_last = bool(node.attributes.get("channels_last"))
    made = f"{node.outputs[0]}.second" if is_last else node.outputs[0]
    kept = replace(node, domain="quantray", op="FirstChannels", outputs=(made,), attributes=settings)
    to.nodes.append(kept)
    if is_last:
        to.put("ChannelsLast", (made,), node.outputs[0], "quantray")


def _conv(to: _Graph, node: NodeFile) -> None:
    """A convolution with a weight in the standard's order, what it adds and its activation."""
    weight = to.constants.get(node.inputs[1])
    if not isinstance(weight, Tensor):
        raise ValueError(f"{node.name or node.outputs[0]} ({_BLOCKED}.Conv): its weight must be a constant")
    own = to.constant(f"{node.outputs[0]}.weight", unblocked(weight.array(), to.block))
    is_for_each = weight.shape[1] == 1 and node.attributes.get("group", 1) != 1
    settings = {**node.attributes, "group": weight.shape[0]} if is_for_each else node.attributes
    inputs = (node.inputs[0], own, *node.inputs[2:])
    to.nodes.append(replace(node, domain=_MICROSOFT, op="FusedConv", inputs=inputs, attributes=settings))


def unblocked(weight: Array, block: int) -> Array:
    """A weight of blocks of outputs, and of inputs where these fill blocks, in the standard's order."""
    outputs, inputs, *kernel = weight.shape
    if outputs % block:
        raise ValueError(f"outputs of a weight must fill blocks of {block}, got {outputs}")
    k = len(kernel)
    if inputs % block:
        parts = weight.reshape(outputs // block, inputs, *kernel, block)
        order = (0, k + 2, *range(1, k + 2))
    else:
        parts = weight.reshape(outputs // block, inputs // block, *kernel, block, block)
        order = (0, k + 3, 1, k + 2, *range(2, k + 2))
    return np.ascontiguousarray(parts.transpose(order).reshape(weight.shape))


def _upsample(to: _Graph, node: NodeFile) -> None:
    """By whole numbers: nearest elements, or linear between them."""
    by = np.asarray(node.attributes.get("scales", ()), np.float32)
    scales = to.constant(f"{node.outputs[0]}.scales", by)
    mode = node.attributes.get("mode", "nearest")
    if to.version < _FIRST_RESIZE:
        attributes: dict[str, object] = {"mode": mode}
        inputs = (node.inputs[0], scales)
    else:
        how = "asymmetric" if mode == "nearest" else "half_pixel"
        how = node.attributes.get("coordinate_transformation_mode", how)
        attributes = {"mode": mode, "coordinate_transformation_mode": how, "nearest_mode": "floor"}
        inputs = (node.inputs[0], "", scales)
    to.nodes.append(replace(node, domain="", op="Resize", inputs=inputs, attributes=attributes))


_ROWS: dict[str, Callable[[_Graph, NodeFile], None]] = {
    "ReorderInput": _into_blocks,
    "ReorderOutput": _out_of_blocks,
    "Conv": _conv,
    "Upsample": _upsample,
}
