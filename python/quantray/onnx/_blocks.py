"""Weights in blocks along their inputs, or for each output, which have a scale each."""

# Arrays are of any dtype and shape: what NumPy's stubs make of them says nothing here.
# pyright: reportUnknownVariableType=false, reportUnknownMemberType=false, reportUnknownArgumentType=false

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple, cast

import numpy as np

from quantray import nn
from quantray.nn._init import rebuilding
from quantray.nn.quantized._weight_only_linear import GROUPS
from quantray.onnx._file import NodeFile
from quantray.onnx.operators import Array
from quantray.onnx.operators._tables import table_of


class Blocks(NamedTuple):
    """Codes around 0, a row for each output."""

    #: Shape (outputs, inputs).
    codes: Array
    #: Shape (outputs, blocks).
    scales: Array
    #: As scales; None where it is 0 in all blocks.
    zeros: Array | None
    size: int
    bits: int

    @classmethod
    def of_node(cls, node: NodeFile, inputs: Sequence[Array | None], kind: str) -> Blocks | None:
        """What a DequantizeLinear of constants dequantizes along one of two axes: by blocks, or by places."""
        codes, scales, zeros = [*inputs, None][:3]
        size, axis = node.attributes.get("block_size", 0), node.attributes.get("axis", 1)
        bits = kind.removeprefix("u").removeprefix("int")
        if not isinstance(size, int) or not isinstance(axis, int) or bits not in ("2", "4", "8"):
            return None
        if codes is None or scales is None:
            return None
        if np.ndim(codes) == 2 and np.size(scales) == 1 and size <= 0:
            # One scale for all is that of each row.
            rows, axis = codes.shape[0], 0
            scales = np.full(rows, np.reshape(scales, ()))
            zeros = None if zeros is None else np.full(rows, np.reshape(zeros, ()))
        if np.ndim(codes) != 2 or np.ndim(scales) != (2 if size > 0 else 1):
            return None
        if size <= 0:
            # Rows are what has the scales: one block each.
            codes, axis = codes if axis % 2 == 0 else np.transpose(codes), 1
            scales, size = np.reshape(scales, (-1, 1)), max(codes.shape[1], 1)
            zeros = None if zeros is None else np.reshape(zeros, (-1, 1))
        if axis % 2 == 0:
            codes, scales = np.transpose(codes), np.transpose(scales)
            zeros = None if zeros is None else np.transpose(zeros)
        middle = 1 << (int(bits) - 1)
        if kind.startswith("u"):
            # Unsigned codes without a zero point are around half of their range from 0.
            zeros = np.zeros(np.shape(scales), np.uint8) if zeros is None else zeros
            codes, zeros = codes.astype(np.int16) - middle, zeros.astype(np.float32) - middle
        scales = np.asarray(scales, np.float32)
        zeros = None if zeros is None or not np.any(zeros) else np.asarray(zeros, np.float32)
        return cls(np.asarray(codes).astype(np.int8), scales, zeros, size, int(bits))

    def turned(self, node: NodeFile) -> Blocks | None:
        """The same behind a node that leaves elements as they are: which axis inputs lie on is seen later."""
        keeps = node.op in ("Transpose", "Identity") and node.domain in ("", "ai.onnx")
        return self if keeps else None

    def ways(self) -> Iterator[Blocks]:
        """The same; with one scale for all, which lies along no axis, also the other way round."""
        yield self
        parts = [x for x in (self.scales, self.zeros) if x is not None]
        if self.size >= self.codes.shape[1] and all(np.all(x == x.flat[0]) for x in parts if x.size):
            turned = self.codes.T
            scales, zeros = (
                None if x is None or not x.size else np.full((len(turned), 1), x.flat[0], np.float32)
                for x in (self.scales, self.zeros)
            )
            if scales is not None:
                size = max(turned.shape[1], 1)
                yield Blocks(np.ascontiguousarray(turned), scales, zeros, size, self.bits)

    def values(self) -> Array:
        """The weight that they stand for: shape (outputs, inputs)."""
        along = np.repeat(self.scales, self.size, 1)[:, : self.codes.shape[1]]
        if self.zeros is None:
            return self.codes * along
        return (self.codes - np.repeat(self.zeros, self.size, 1)[:, : self.codes.shape[1]]) * along

    def are(self, weight: Array) -> bool:
        """Whether a weight is what they stand for."""
        if weight.shape != self.codes.shape:
            return False
        values = self.values()
        with np.errstate(over="ignore"):
            # Scales of 16 bits make weights that are rounded to as many.
            rounded = values.astype(np.float16).astype(np.float32)
        return np.array_equal(values, weight) or np.array_equal(rounded, weight)

    def layer(self, bias: Array | None, input_bits: int = 24) -> nn.Module | None:
        """A linear layer that reads these codes; None for blocks of a size that there is no product for."""
        outputs, inputs = self.codes.shape
        if self.size >= inputs:
            # One block, of which all groups have the scale.
            size = min((n for n in GROUPS if n >= inputs), default=GROUPS[-1])
            each = -(-inputs // size)
        else:
            size = max((n for n in GROUPS if self.size % n == 0), default=0)
            if not size or (self.size not in GROUPS and self.size < 256):
                return None
            each = self.size // size
        if bias is not None and np.shape(bias) != self.codes.shape[:1]:
            return None
        if not all(x is None or np.isfinite(x).all() for x in (self.scales, self.zeros)):
            return None
        groups = -(-inputs // size)
        scales, zeros = (
            None if x is None else np.repeat(x, each, 1)[:, :groups] for x in (self.scales, self.zeros)
        )
        with rebuilding(4 * self.codes.size + 8 * (outputs + 1) * (groups + 1)):
            made = nn.quantized.WeightOnlyLinear(
                inputs,
                outputs,
                bias=False,
                bits=self.bits,
                group_size=size,
                input_bits=input_bits,
            )
        made.set_codes(self.codes, cast("Array", scales), bias, zeros)
        return made


def in_blocks(module: nn.Linear, found: Blocks) -> nn.Module:
    """A layer that reads codes in the place of one of floats, where its weight is what they stand for."""
    weight = np.asarray(module._parameters["weight"])
    way = next((each for each in found.ways() if each.are(weight)), None)
    return (None if way is None else way.layer(module._parameters.get("bias"))) or module


def table_in_blocks(module: nn.Embedding, found: Blocks) -> nn.Module:
    """A table of codes in the place of one of floats, where each row has one scale of its own."""
    weight = np.asarray(module._parameters["weight"])
    if found.bits != 8 or found.scales.shape[1] != 1 or not found.are(weight):
        return module
    if not (np.isfinite(found.scales).all() and (found.scales > 0).all()):
        return module
    codes = (found.codes.astype(np.int16) + 128).astype(np.uint8)
    zeros = np.float32(128) + (np.float32(0) if found.zeros is None else found.zeros[:, 0])
    return table_of(codes, found.scales[:, 0], np.broadcast_to(zeros, len(codes)))
