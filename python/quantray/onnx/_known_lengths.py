"""Lengths of a file's values that are the same in every call, as far as its inputs' lengths say them.

Exporters write `x.shape[-1]` as nodes, also where it is a head's width that weights decide: scales of
attention, sizes of windows, tables of positions hang on it. What is known is a constant, and what hangs on it
alone is computed once. Lengths have numbers, or names where they are free, or are None, of which nothing is
known.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple, cast

import numpy as np

from quantray._typing import Array
from quantray.onnx._file import NodeFile, ValueInfo
from quantray.onnx._shapes import SHAPES, Dim, Dims, product


class Value(NamedTuple):
    """An array of lengths, or one length without axes, as far as they are known."""

    lengths: Dims
    is_single: bool = False


#: Arrays of more integers than this are no shapes.
_MOST = 64


class KnownLengths:
    """What is known of the lengths of values, and of arrays of lengths.

    Parameters
    ----------
    constants : mapping of str to array
        As they are found while a graph is read.
    """

    def __init__(self, constants: Mapping[str, Array]) -> None:
        self._constants = constants
        self._shapes: dict[str, Dims] = {}
        self._values: dict[str, Value] = {}

    def inner(self, constants: Mapping[str, Array]) -> KnownLengths:
        """For a graph inside of a node."""
        made = KnownLengths(constants)
        made._shapes, made._values = dict(self._shapes), dict(self._values)
        return made

    def of_inputs(self, inputs: Iterable[ValueInfo]) -> None:
        """Notes the lengths of inputs, which each call is held to."""
        for value in inputs:
            if value.shape is not None and value.kind == "tensor":
                self._shapes[value.name] = tuple(
                    n if isinstance(n, int) and n > 0 else _name_of(n, f"{value.name}.{axis}")
                    for axis, n in enumerate(value.shape)
                )

    def forget(self, names: Iterable[str]) -> None:
        """Names that mean something else from now on."""
        for name in names:
            self._shapes.pop(name, None)
            self._values.pop(name, None)

    def of_node(self, node: NodeFile) -> Array | None:
        """Notes the lengths of a node's outputs; its output, where that is lengths that are all known."""
        self.forget(node.outputs)
        if node.domain not in ("", "ai.onnx"):
            return None
        try:
            value = self._value(node)
            shapes = SHAPES[node.op](self, node) if node.op in SHAPES else None
        except (ArithmeticError, LookupError, TypeError, ValueError):
            # What a node says wrongly its operator refuses.
            return None
        for name, shape in zip(node.outputs, shapes or (), strict=False):
            if name and shape is not None:
                self._shapes[name] = shape
        if value is None or len(node.outputs) != 1:
            return None
        self._values[node.outputs[0]] = value
        self._shapes[node.outputs[0]] = () if value.is_single else (len(value.lengths),)
        if not all(isinstance(n, int) for n in value.lengths):
            return None
        made = np.array(value.lengths, np.bool_ if node.op == "Equal" else np.int64)
        return made.reshape(()) if value.is_single else made

    # What is known of inputs

    def shape(self, node: NodeFile, i: int = 0) -> Dims | None:
        """The shape of an input."""
        return self.shape_of(node.inputs[i] if i < len(node.inputs) else "")

    def shape_of(self, name: str) -> Dims | None:
        """The shape of a value."""
        constant = self._constants.get(name)
        return self._shapes.get(name) if constant is None else np.shape(constant)

    def lengths(self, node: NodeFile, i: int, attribute: str = "") -> Dims | None:
        """An input that is an array of lengths, or an attribute where older operators have that."""
        given = node.attributes.get(attribute) if attribute else None
        if given is not None:
            return tuple(int(n) for n in cast("Sequence[int]", given))
        found = self._value_of(node.inputs[i]) if i < len(node.inputs) and node.inputs[i] else None
        return None if found is None else found.lengths

    def whole(self, node: NodeFile, i: int, attribute: str = "") -> list[int] | None:
        """The same, where all of it is known."""
        found = self.lengths(node, i, attribute)
        known = [n for n in found or () if isinstance(n, int)]
        return known if found is not None and len(known) == len(found) else None

    def floats(self, node: NodeFile, i: int) -> list[float] | None:
        """An input that is a few constant floats."""
        found = self._constants.get(node.inputs[i]) if i < len(node.inputs) else None
        if found is None or found.dtype.kind != "f" or not 0 < found.size <= _MOST:
            return None
        return [float(n) for n in found.reshape(-1)]

    def _value_of(self, name: str) -> Value | None:
        """Integers on a wire, as far as they are known."""
        constant = self._constants.get(name)
        if constant is None:
            return self._values.get(name)
        if constant.dtype.kind not in "iub" or constant.ndim > 1 or constant.size > _MOST:
            return None
        return Value(tuple(int(n) for n in constant.reshape(-1)), constant.ndim == 0)

    def _value(self, node: NodeFile) -> Value | None:
        """The lengths that a node gives."""
        if node.op in ("Shape", "Size"):
            shape = self.shape(node)
            if shape is None:
                return None
            ends = slice(node.attributes.get("start"), node.attributes.get("end"))
            return Value(shape[ends]) if node.op == "Shape" else Value((product(shape),), is_single=True)
        given = [self._value_of(name) for name in node.inputs]
        parts = [value for value in given if value is not None]
        if node.op == "Concat":
            is_known = len(parts) == len(given) and not any(part.is_single for part in parts)
            return Value(tuple(n for part in parts for n in part.lengths)) if is_known else None
        if node.op in ("Equal", "Where"):
            return _chosen(node.op, parts) if len(parts) == len(given) else None
        source = given[0] if given else None
        return None if source is None else self._moved(node, source)

    def _moved(self, node: NodeFile, source: Value) -> Value | None:
        """Lengths of an array of them."""
        lengths, is_single = source
        match node.op:
            case "Identity":
                return source
            case "Cast":
                return source if node.attributes.get("to") in (6, 7) else None
            case "Squeeze":
                return Value(lengths, is_single=True) if len(lengths) == 1 else None
            case "Unsqueeze":
                return Value(lengths) if is_single else None
            case "Reshape":
                target = self.whole(node, 1, "shape")
                if target in ([-1], [len(lengths)]):
                    return Value(lengths)
                return Value(lengths, is_single=True) if target == [] else None
            case "Gather":
                places = self._value_of(node.inputs[1])
                if places is None or is_single:
                    return None
                return Value(tuple(lengths[cast("int", n)] for n in places.lengths), places.is_single)
            case "Slice":
                starts, ends = self.whole(node, 1, "starts"), self.whole(node, 2, "ends")
                steps = [1] if len(node.inputs) < 5 else self.whole(node, 4)
                if starts is None or ends is None or steps is None:
                    return None
                return Value(lengths[starts[0] : ends[0] : steps[0]])
            case _:
                return None


def _name_of(length: Dim, otherwise: str) -> str:
    return length if isinstance(length, str) and length else otherwise


def _chosen(op: str, values: Sequence[Value]) -> Value | None:
    """Comparisons of lengths, and what they choose: `expand` keeps lengths where it is given -1."""
    count = max(len(value.lengths) for value in values)
    wide = [value.lengths * (count if len(value.lengths) == 1 else 1) for value in values]
    if any(len(lengths) != count for lengths in wide):
        return None
    rule = _equal if op == "Equal" else _where
    made = tuple(rule(*items) for items in zip(*wide, strict=True))
    return Value(made, all(value.is_single for value in values))


def _equal(a: Dim, b: Dim) -> Dim:
    if isinstance(a, int) and isinstance(b, int):
        return int(a == b)
    # No length is negative.
    numbers = [n for n in (a, b) if isinstance(n, int)]
    return 0 if numbers and numbers[0] < 0 and isinstance(b if a == numbers[0] else a, str) else None


def _where(condition: Dim, a: Dim, b: Dim) -> Dim:
    return None if not isinstance(condition, int) else a if condition else b
