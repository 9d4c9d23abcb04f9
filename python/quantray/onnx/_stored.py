"""Constants that a file holds as integers: what they are the integers of."""

# Arrays are of any dtype and shape: what NumPy's stubs make of them says nothing here.
# pyright: reportUnknownVariableType=false, reportUnknownMemberType=false, reportUnknownArgumentType=false

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from quantray._core import QTensor, make_per_channel_quantized_tensor, make_per_tensor_quantized_tensor
from quantray.nn.quantized._grid import Grid, is_scale
from quantray.onnx._file import NodeFile
from quantray.onnx.operators import Array, Given

#: Operators that leave the elements of their first input as they are.
_KEEP = frozenset({"Identity", "Reshape", "Squeeze", "Unsqueeze", "Flatten"})


class Stored(NamedTuple):
    """Integers with a scale and a zero point for all, or for each channel."""

    codes: Array
    scales: Array
    zeros: Array
    #: The axis that channels lie on; None where there is one scale.
    axis: int | None
    #: The type that the file has: "int8", "uint4", ...
    kind: str

    @classmethod
    def of(cls, node: NodeFile, inputs: Sequence[Given], kind: str) -> Stored | None:
        """What a DequantizeLinear of constants dequantizes; None where there are blocks, or other types."""
        codes, steps, zeros = [*inputs, None][:3]
        is_known = kind in ("int8", "uint8", "int4", "uint4", "int2", "uint2")
        if not is_known or codes is None or steps is None:
            return None
        scales = np.asarray(steps, np.float32)
        zeros = np.zeros(scales.shape, np.int64) if zeros is None else np.asarray(zeros).astype(np.int64)
        if node.attributes.get("block_size") or scales.ndim > 1 or zeros.shape != scales.shape:
            return None
        if scales.size == 1:
            return cls(codes, scales.reshape(()), zeros.reshape(()), None, kind)
        axis = node.attributes.get("axis", 1)
        return cls(codes, scales, zeros, int(axis) % codes.ndim, kind) if isinstance(axis, int) else None

    def moved(self, node: NodeFile, made: Array) -> Stored | None:
        """The same behind a node that moves elements, which made an array of their values."""
        if node.op == "Transpose" and made.ndim == self.codes.ndim:
            order: Sequence[int] = node.attributes.get("perm", tuple(reversed(range(made.ndim))))
            axis = None if self.axis is None else list(order).index(self.axis)
            return self._replace(codes=np.transpose(self.codes, order), axis=axis)
        if node.op in _KEEP and (self.axis is None or node.op == "Identity"):
            return self._replace(codes=self.codes.reshape(made.shape))
        return None

    def scaled(self, by: Array, axis: int) -> Stored | None:
        """The same, each channel along an axis multiplied by a number; None where that is no grid."""
        count = self.codes.shape[axis]
        with np.errstate(all="ignore"):
            scales = np.broadcast_to(self.scales * np.abs(by), count).astype(np.float32)
        if self.axis not in (None, axis) or not all(map(is_scale, scales.tolist())):
            return None
        codes, zeros = self.codes.astype(np.int16), np.broadcast_to(self.zeros, count)
        # Steps below 0 are steps of the mirrored codes.
        low, high = self.range
        middle = 0 if low < 0 and not (codes == low).any() else low + high
        along = [1] * codes.ndim
        along[axis] = -1
        codes = np.where((by < 0).reshape(along), middle - codes, codes).astype(self.codes.dtype)
        return Stored(codes, scales, np.where(by < 0, middle - zeros, zeros), axis, self.kind)

    def values(self) -> Array:
        """What the integers stand for, as DequantizeLinear computes it."""
        along = [1] * self.codes.ndim
        if self.axis is not None:
            along[self.axis] = -1
        shifted = self.codes.astype(np.int32) - self.zeros.reshape(along).astype(np.int32)
        return shifted.astype(np.float32) * self.scales.reshape(along)

    @property
    def range(self) -> tuple[int, int]:
        """The least and the greatest integer of the file's type."""
        bits = int(self.kind.removeprefix("u").removeprefix("int"))
        return (0, 2**bits - 1) if self.kind.startswith("u") else (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1)

    def grid_for(self, array: Array) -> Grid | None:
        """The grid that an array is on; None where it is another one by now, or on more than one grid."""
        if self.axis is not None or self.kind not in ("int8", "uint8") or self.codes.shape != array.shape:
            return None
        if not is_scale(float(self.scales)) or not np.array_equal(self.values(), array):
            return None
        dtype = "quint8" if self.kind == "uint8" else "qint8"
        return Grid(float(self.scales), int(self.zeros), dtype, *self.range)

    def weight_for(self, weight: Array, axis: int) -> QTensor | None:
        """The integers of a layer's weight, whose outputs lie along an axis.

        None where it is another array by now (an exporter's scale was folded into it, say), or where there
        is a scale for each of its inputs.
        """
        for found in (self, self._turned()):
            if found is None or found.codes.shape != weight.shape or found.axis not in (None, axis):
                continue
            if not np.array_equal(found.values(), weight):
                continue
            codes = np.ascontiguousarray(found.codes)
            if found.axis is None:
                return make_per_tensor_quantized_tensor(codes, float(self.scales), int(self.zeros))
            scales = found.scales.astype(np.float64)
            return make_per_channel_quantized_tensor(codes, scales, found.zeros, axis)
        return None

    def _turned(self) -> Stored | None:
        if self.codes.ndim != 2:
            return None
        return self._replace(codes=self.codes.T, axis=None if self.axis is None else 1 - self.axis)


def followed(
    node: NodeFile, inputs: Sequence[Given], made: Array, known: Mapping[str, Stored], kind: str | None
) -> Stored | None:
    """What a constant is, that a node made of constants, if it still is integers of one grid."""
    if node.domain not in ("", "ai.onnx", "com.microsoft"):
        return None
    if node.op == "DequantizeLinear":
        return Stored.of(node, inputs, kind or "")
    before = known.get(node.inputs[0]) if node.inputs else None
    return None if before is None else before.moved(node, made)
