"""Tables of codes: rows are chosen of them, and become floats after that."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from quantray.onnx._file import NodeFile
from quantray.onnx._passes._draft import Draft, made
from quantray.onnx.operators import Array


class _Rows(NamedTuple):
    """Rows of a constant: which ones."""

    table: str
    indices: str


def table_of_codes(draft: Draft, node: NodeFile) -> NodeFile | None:
    """Rows of codes that are dequantized: a layer, which keeps the codes as they are.

    onnxruntime's `quantize_dynamic` gives a table one scale; tables that quantray has quantized have one for
    each row, looked up with it, and written out. In files with grids rows are codes for what takes them.
    """
    found = _dequantized(draft, node) if node.op == "DequantizeLinear" else _written_out(draft, node)
    if found is None or any(each.op == "QuantizeLinear" for each in draft.nodes):
        return None
    rows, scales, zeros = found
    codes = draft.constants[rows.table]
    if codes.ndim != 2 or str(codes.dtype) not in ("int8", "uint8") or len(codes) < 2:
        return None
    if not all(np.isfinite(scales)) or not all(scales >= np.finfo(np.float32).tiny):
        return None
    if codes.dtype == np.int8:
        # The same steps from the zero point.
        codes, zeros = (codes ^ np.int8(-128)).view(np.uint8), zeros + 128
    names = [
        draft.add(f"{rows.table}.{what}", value)
        for what, value in (("codes", codes), ("scales", scales), ("zeros", zeros))
    ]
    scope = node.name.rpartition("/")[0]
    name = scope or draft.makes(node.inputs[0]).name.removesuffix("_quant")
    return made(node, "Table", (rows.indices, *names), name, "quantray")


def _dequantized(draft: Draft, node: NodeFile) -> tuple[_Rows, Array, Array] | None:
    """`DequantizeLinear(Gather(codes, ids), scale, zero)`."""
    rows = _rows(draft, node.inputs[0])
    known = [draft.constant(name) for name in node.inputs[1:] if name]
    if rows is None or node.attributes.get("block_size") or any(x is None or x.size != 1 for x in known):
        return None
    scale, zero = [*known, np.zeros((), np.float32)][:2]
    assert scale is not None
    assert zero is not None
    return rows, scale.reshape(1).astype(np.float32), zero.reshape(1).astype(np.float32)


def _written_out(draft: Draft, node: NodeFile) -> tuple[_Rows, Array, Array] | None:
    """`(Cast(Gather(codes, ids)) - Gather(zeros, ids)) * Gather(scales, ids)`."""
    if node.op != "Mul":
        return None
    for steps, factor in draft.terms(node):
        from_zero = draft.producer(steps, "Sub")
        cast = None if from_zero is None else draft.producer(from_zero.inputs[0], "Cast")
        if from_zero is None or cast is None:
            continue
        rows = [_rows(draft, name) for name in (cast.inputs[0], from_zero.inputs[1], factor)]
        if any(row is None or row.indices != rows[0].indices for row in rows if rows[0] is not None):
            continue
        codes, zeros, scales = (None if row is None else draft.constants[row.table] for row in rows)
        if rows[0] is None or codes is None or zeros is None or scales is None:
            continue
        if not zeros.shape == scales.shape == (len(codes), 1) or codes.dtype != np.uint8:
            continue
        if zeros.dtype == scales.dtype == np.float32:
            return rows[0], scales.reshape(-1), zeros.reshape(-1)
    return None


def _rows(draft: Draft, name: str) -> _Rows | None:
    """What chooses rows of a constant."""
    node = draft.producer(name, "Gather")
    if node is None or node.attributes.get("axis", 0) or draft.constant(node.inputs[0]) is None:
        return None
    return _Rows(node.inputs[0], node.inputs[1])
