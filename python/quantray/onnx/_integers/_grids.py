"""Where a graph rounds floats to the grids of a file."""

# Arguments of nodes are trees of whatever functions take: their leaves have no type that could be said.
# pyright: reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportUnknownMemberType=false

from __future__ import annotations

import numpy as np

from quantray._typing import Array, ArrayLike
from quantray.graph import Graph, Node, Part, Ref
from quantray.graph.kinds import kind_of
from quantray.nn.quantized._grid import Grid, is_scale

QUANTIZE, DEQUANTIZE, FAKE = "onnx.quantize_linear", "onnx.dequantize_linear", "onnx.fake_quantize"
#: By the types of integers, those of codes, and their least and greatest one.
KINDS = {"uint8": ("quint8", 0, 255), "int8": ("qint8", -128, 127)}
#: Movements that round, or that give what no code stands for.
_BETWEEN = ("avg_pool", "adaptive_avg_pool", "mean", "clip")
#: Kinds that are no function of the table.
_NO_STEPS = frozenset(
    {
        *("input", "parameter", "constant", "module", "python", "tap", "hook"),
        *("layer", "formula", "observe", "snap", FAKE),
    }
)


def constant_of(value: Ref | ArrayLike | None, graph: Graph) -> Array | None:
    """The array that an argument always is; None where it is computed."""
    if isinstance(value, Ref):
        node = graph.nodes[value.node]
        return np.asarray(node.value) if node.kind == "constant" else None
    return None if value is None else np.asarray(value)


def grid_and_why(node: Node, graph: Graph) -> tuple[Grid | None, str]:
    """The grid of what quantizes or dequantizes; None, and why not, where integers do not compute on it."""
    given = dict(zip(("x", "scale", "zero_point"), node.args, strict=False))
    x, scale, zero = given["x"], constant_of(given["scale"], graph), given.get("zero_point")
    kind = node.get("kind") if node.kind != DEQUANTIZE else str(graph.fact(x).dtype)
    if kind not in KINDS:
        return None, f"codes of {kind}"
    wire = given["scale"]
    shape = graph.fact(wire).shape if isinstance(wire, Ref) else np.shape(wire)
    if any(length != 1 for length in shape) or node.get("block_size"):
        return None, "a scale for each channel of a value" if len(shape) == 1 else "a scale for each block"
    if scale is None:
        return None, "a scale that is computed"
    dtype, low, high = KINDS[kind]
    zeros = np.zeros(1, np.int64) if zero is None else constant_of(zero, graph)
    if zeros is None or zeros.size != 1:
        return None, "a zero point that is computed"
    step = float(np.float32(scale.reshape(())))
    if not is_scale(step):
        return None, f"a scale of {step:g}"
    return Grid(step, int(zeros.reshape(())), dtype, low, high), ""


def is_exact_move(node: Node) -> bool:
    """Whether a node gives elements that it was given, and zeros: on codes it does the same."""
    if node.kind in _NO_STEPS or node.kind in ("relu", "identity") or len(node.facts) != 1:
        return node.kind in ("relu", "identity")
    if kind_of(node.kind).part is not Part.KEEPS or node.kind.startswith(_BETWEEN):
        return False
    if node.kind == "interpolate":
        return str(node.get("mode", "nearest")).startswith("nearest")
    if node.kind == "pad":
        return node.get("mode", "constant") != "constant" or not node.get("value")
    return True


def is_move(node: Node) -> bool:
    """Whether a node passes on what it is given, maybe rounded to the grid again."""
    return node.kind not in _NO_STEPS and len(node.facts) == 1 and kind_of(node.kind).part is Part.KEEPS
