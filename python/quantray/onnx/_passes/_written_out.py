"""Operators on integers with scales, written out: DequantizeLinear, the operator of floats, QuantizeLinear.

QLinearConv and its like mean that. Written out, one pass finds layers of integers in files of both kinds.
Source: the ONNX operators QLinearConv and QLinearMatMul; onnxruntime's QGemm, QLinearAdd and others.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from quantray.onnx._file import GraphFile, ModelFile, NodeFile, SparseTensor, Tensor
from quantray.onnx._messages import Attributes
from quantray.onnx.operators import Array

_MICROSOFT = "com.microsoft"
#: Three inputs in a row: integers, their scale, their zero point.
_Taken = tuple[str, str, str]


class _Graph:
    """A graph whose nodes are written out one after the other."""

    def __init__(self, found: GraphFile, version: int) -> None:
        self.version = version
        self.nodes: list[NodeFile] = []
        self.more: dict[str, Tensor] = {}
        self.constants: dict[str, Tensor | SparseTensor] = dict(found.initializers)
        self._taken = {name for node in found.nodes for name in (*node.inputs, *node.outputs)}
        self._taken |= self.constants.keys() | {value.name for value in found.inputs}
        #: By the names of integers, their scale and their zero point.
        self.grids: dict[str, tuple[str, str]] = {}
        self.is_changed = False
        for node in found.nodes:
            value = node.attributes.get("value")
            if node.op == "Constant" and not node.domain and isinstance(value, Tensor):
                self.constants[node.outputs[0]] = value
        for node in found.nodes:
            self._add(node)

    def _add(self, node: NodeFile) -> None:
        if node.op == "QuantizeLinear" and len(node.inputs) > 2:
            self.grids[node.outputs[0]] = node.inputs[1], node.inputs[2]
        row = _ROWS.get((node.domain, node.op)) or _ROWS.get(("*", node.op))
        begin = len(self.nodes), dict(self.more)
        if row is not None and row(self, node):
            self.is_changed = True
            return
        del self.nodes[begin[0] :]
        self.more = begin[1]
        self.nodes.append(node)
        if node.op in _MOVES and node.inputs and node.inputs[0] in self.grids:
            self.grids[node.outputs[0]] = self.grids[node.inputs[0]]

    def name(self, wanted: str) -> str:
        """A name that no value has."""
        made, count = wanted, 1
        while made in self._taken:
            count += 1
            made = f"{wanted}_{count}"
        self._taken.add(made)
        return made

    def value_of(self, name: str) -> Array | None:
        """A constant's array."""
        found = self.constants.get(name)
        return found.array() if isinstance(found, Tensor) else None

    def _are_known(self, scale: str, zero: str) -> bool:
        """Whether a scale and a zero point are constants, as the pass to integers needs them."""
        zeros = self.constants.get(zero)
        return (
            self.value_of(scale) is not None
            and isinstance(zeros, Tensor)
            and zeros.dtype in ("int8", "uint8")
        )

    def floats(self, node: NodeFile, taken: _Taken, axis: int | None = None) -> str | None:
        """Floats that integers stand for; None where their scale is no constant."""
        codes, scale, zero = taken
        if not self._are_known(scale, zero):
            return None
        values = self.value_of(scale)
        assert values is not None
        if values.size > 1 and (values.ndim != 1 or axis is None):
            return None
        settings = {} if axis is None or values.size == 1 else {"axis": axis}
        return self.put(node, "DequantizeLinear", taken, settings, f"{codes}.floats")

    def put(
        self,
        node: NodeFile,
        op: str,
        inputs: Sequence[str],
        settings: Attributes,
        output: str,
        *,
        is_own: bool = False,
    ) -> str:
        """A node for another one; the name of its output. `is_own` takes the name that it had in floats."""
        made = self.name(output)
        name = node.name.removesuffix("_quant") if is_own else f"{node.name or made}.{op}"
        self.nodes.append(NodeFile(name, op, "", tuple(inputs), (made,), dict(settings)))
        return made

    def finish(self, node: NodeFile, made: str, scale: str, zero: str) -> bool:
        """Floats as a node's integers; whether their grid is known."""
        if not self._are_known(scale, zero):
            return False
        name = f"{node.name or made}.QuantizeLinear"
        self.nodes.append(NodeFile(name, "QuantizeLinear", "", (made, scale, zero), node.outputs))
        self.grids[node.outputs[0]] = scale, zero
        return True

    def constant(self, wanted: str, array: Array) -> str:
        """An initializer."""
        name = self.name(wanted)
        self.more[name] = self.constants[name] = Tensor.of(name, array)
        return name


_Row = Callable[[_Graph, NodeFile], bool]


def written_out(file: ModelFile) -> ModelFile:
    """A model whose operators on integers of known scales are written out; itself where there is none."""
    made = _Graph(file.graph, file.opsets.get("", 0))
    if not made.is_changed:
        return file
    initializers = {**file.graph.initializers, **made.more}
    return replace(file, graph=replace(file.graph, nodes=tuple(made.nodes), initializers=initializers))


def _settings(node: NodeFile, *but: str) -> Attributes:
    return {name: value for name, value in node.attributes.items() if name not in but}


def _inputs(node: NodeFile, count: int) -> list[str]:
    return [*node.inputs, *[""] * (count - len(node.inputs))]


def _bias(to: _Graph, node: NodeFile, bias: str, scale: Array) -> str | None:
    """An int32 bias as floats; None where it is no constant."""
    if to.value_of(bias) is None:
        return None
    scales = np.asarray(scale, np.float32).reshape(-1)
    name = to.constant(f"{bias}.scale", scales if scales.size > 1 else scales.reshape(()))
    settings = {"axis": 0} if scales.size > 1 else {}
    return to.put(node, "DequantizeLinear", (bias, name), settings, f"{bias}.floats")


def _conv(to: _Graph, node: NodeFile) -> bool:
    x, xs, xz, w, ws, wz, ys, yz, bias = _inputs(node, 9)
    if node.attributes.get("channels_last"):
        return False
    given = [to.floats(node, (x, xs, xz)), to.floats(node, (w, ws, wz), axis=0)]
    if bias:
        scales = [to.value_of(name) for name in (xs, ws)]
        if any(scale is None for scale in scales):
            return False
        given.append(_bias(to, node, bias, np.asarray(scales[0]) * np.asarray(scales[1])))
    if None in given:
        return False
    y = to.put(
        node, "Conv", [str(g) for g in given], _settings(node), f"{node.outputs[0]}.floats", is_own=True
    )
    return to.finish(node, y, ys, yz)


def _matmul(to: _Graph, node: NodeFile) -> bool:
    a, sa, za, b, sb, zb, ys, yz = _inputs(node, 8)
    weight = to.value_of(b)
    axis = None if weight is None or weight.ndim != 2 else 1
    given = [to.floats(node, (a, sa, za)), to.floats(node, (b, sb, zb), axis)]
    if None in given:
        return False
    y = to.put(node, "MatMul", [str(g) for g in given], {}, f"{node.outputs[0]}.floats", is_own=True)
    return to.finish(node, y, ys, yz)


def _gemm(to: _Graph, node: NodeFile) -> bool:
    a, sa, za, b, sb, zb, c, ys, yz = _inputs(node, 9)
    alpha = float(node.attributes.get("alpha", 1.0))
    axis = 0 if node.attributes.get("transB") else 1
    given = [to.floats(node, (a, sa, za)), to.floats(node, (b, sb, zb), axis)]
    if c:
        scales = [to.value_of(name) for name in (sa, sb)]
        if any(scale is None for scale in scales):
            return False
        given.append(_bias(to, node, c, np.float32(alpha) * np.asarray(scales[0]) * np.asarray(scales[1])))
    if None in given or not ys:
        return False
    settings = _settings(node)
    y = to.put(node, "Gemm", [str(g) for g in given], settings, f"{node.outputs[0]}.floats", is_own=True)
    return to.finish(node, y, ys, yz)


def _terms(op: str) -> _Row:
    def row(to: _Graph, node: NodeFile) -> bool:
        a, sa, za, b, sb, zb, ys, yz = _inputs(node, 8)
        given = [to.floats(node, (a, sa, za)), to.floats(node, (b, sb, zb))]
        if None in given:
            return False
        y = to.put(node, op, [str(g) for g in given], {}, f"{node.outputs[0]}.floats", is_own=True)
        return to.finish(node, y, ys, yz)

    return row


def _concat(to: _Graph, node: NodeFile) -> bool:
    ys, yz, *rest = node.inputs
    if not rest or len(rest) % 3:
        return False
    given = [to.floats(node, (rest[i], rest[i + 1], rest[i + 2])) for i in range(0, len(rest), 3)]
    if None in given:
        return False
    settings = {"axis": node.attributes.get("axis", 0)}
    y = to.put(node, "Concat", [str(g) for g in given], settings, f"{node.outputs[0]}.floats", is_own=True)
    return to.finish(node, y, ys, yz)


def _where(to: _Graph, node: NodeFile) -> bool:
    condition, x, xs, xz, y, ys, yz, zs, zz = _inputs(node, 9)
    given = [to.floats(node, (x, xs, xz)), to.floats(node, (y, ys, yz))]
    if None in given:
        return False
    inputs = [condition, *map(str, given)]
    made = to.put(node, "Where", inputs, {}, f"{node.outputs[0]}.floats", is_own=True)
    return to.finish(node, made, zs, zz)


def _of_one(op: str, *ignored: str) -> _Row:
    def row(to: _Graph, node: NodeFile) -> bool:
        x, xs, xz, ys, yz = _inputs(node, 5)
        if node.attributes.get("channels_last"):
            return False
        if (
            op == "AveragePool"
            and node.attributes.get("ceil_mode")
            and node.attributes.get("count_include_pad")
        ):
            # It counts what lies beyond the padding, which means of floats never do.
            return False
        said = node.attributes.get("opset")
        if op == "Softmax" and (int(said if isinstance(said, int) else 13) >= 13) != (to.version >= 13):
            # Axes before opset 13 mean something else.
            return False
        source = to.floats(node, (x, xs, xz))
        if source is None:
            return False
        settings = _settings(node, *ignored)
        y = to.put(node, op, [source], settings, f"{node.outputs[0]}.floats", is_own=True)
        return to.finish(node, y, ys, yz)

    return row


def _chosen(to: _Graph, node: NodeFile) -> bool:
    """Elements that are picked among integers of a known grid: of their floats the same ones."""
    mode = node.attributes.get("mode", "nearest")
    is_picked = node.op == "MaxPool" or mode in ("nearest", b"nearest")
    grid = to.grids.get(node.inputs[0])
    if grid is None or not is_picked or any(node.outputs[1:]):
        return False
    source = to.floats(node, (node.inputs[0], *grid))
    if source is None:
        return False
    inputs = [source, *node.inputs[1:]]
    y = to.put(node, node.op, inputs, _settings(node), f"{node.outputs[0]}.floats", is_own=True)
    return to.finish(node, y, *grid)


#: Operators that leave integers on their grid.
_MOVES = frozenset(
    {
        *("Reshape", "Transpose", "Squeeze", "Unsqueeze", "Flatten", "Slice", "Gather", "Expand", "Identity"),
        *("Tile", "DepthToSpace", "SpaceToDepth"),
    }
)
_ROWS: dict[tuple[str, str], _Row] = {
    ("*", "QLinearConv"): _conv,
    ("*", "QLinearMatMul"): _matmul,
    ("", "MaxPool"): _chosen,
    ("", "Resize"): _chosen,
    (_MICROSOFT, "QGemm"): _gemm,
    (_MICROSOFT, "QLinearAdd"): _terms("Add"),
    (_MICROSOFT, "QLinearMul"): _terms("Mul"),
    (_MICROSOFT, "QLinearConcat"): _concat,
    (_MICROSOFT, "QLinearWhere"): _where,
    (_MICROSOFT, "QLinearSigmoid"): _of_one("Sigmoid"),
    (_MICROSOFT, "QLinearLeakyRelu"): _of_one("LeakyRelu"),
    (_MICROSOFT, "QLinearSoftmax"): _of_one("Softmax", "opset"),
    (_MICROSOFT, "QLinearGlobalAveragePool"): _of_one("GlobalAveragePool", "channels_last"),
    (_MICROSOFT, "QLinearAveragePool"): _of_one("AveragePool", "channels_last"),
}
