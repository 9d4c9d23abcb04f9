"""What elements are, by the file: arrays of int8 may hold "int4", those of float32 "float8e4m3fn"."""

from __future__ import annotations

from collections.abc import Mapping

from quantray.onnx._file import GraphFile, NodeFile, Tensor
from quantray.onnx._types import NAMES

#: Operators whose output has the elements of their first input.
_KEEP = frozenset(
    {
        *("Identity", "Reshape", "Transpose", "Squeeze", "Unsqueeze", "Flatten", "Slice", "Gather", "Concat"),
        *("Split", "Expand", "Tile", "Pad", "GatherElements", "GatherND", "Dropout", "Max", "Min", "Clip"),
    }
)


class ElementTypes:
    """Names of element types by the values' names, as far as they are known.

    Parameters
    ----------
    around : mapping of str to str
        Those of the graphs around one.
    """

    def __init__(self, around: Mapping[str, str] | None = None) -> None:
        self._known: dict[str, str] = dict(around or {})

    def of(self, name: str) -> str | None:
        """The type of a value, if it is known."""
        return self._known.get(name)

    def note(self, name: str, kind: str) -> None:
        """Notes the type of a value, where it is not known."""
        self._known.setdefault(name, kind)

    def inner(self) -> ElementTypes:
        """For a graph inside of a node."""
        return ElementTypes(self._known)

    def of_graph(self, found: GraphFile) -> None:
        """Notes what a graph says of its values."""
        for value in (*found.values, *found.outputs, *found.inputs):
            if value.dtype is not None:
                self._known[value.name] = str(value.dtype)
        for name, tensor in found.initializers.items():
            self._known[name] = str(tensor.dtype)

    def of_inputs(self, node: NodeFile) -> tuple[str | None, ...]:
        """The types of a node's inputs."""
        return tuple(self._known.get(name) if name else None for name in node.inputs)

    def of_node(self, node: NodeFile) -> None:
        """Notes what a node's outputs are, where that is plain."""
        made = self._made(node)
        if made is not None:
            for name in node.outputs:
                self._known.setdefault(name, made)

    def _made(self, node: NodeFile) -> str | None:
        inputs = [*self.of_inputs(node), None, None, None]
        if node.op == "Cast":
            return NAMES.get(_number(node, "to"))
        if node.op == "Constant":
            value = node.attributes.get("value")
            return str(value.dtype) if isinstance(value, Tensor) else None
        if node.op == "CastLike":
            return inputs[1]
        if node.op == "QuantizeLinear":
            said = _number(node, "output_dtype")
            return NAMES.get(said) if said else (inputs[2] or "uint8")
        return inputs[0] if node.op in _KEEP else None


def _number(node: NodeFile, name: str) -> int:
    found = node.attributes.get(name, 0)
    return found if isinstance(found, int) else 0
