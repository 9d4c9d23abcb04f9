"""Writes graphs."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, cast

import numpy as np

from quantray import _core
from quantray._core import QTensor
from quantray.graph._files._registry import CODECS, QUANTIZED, TYPES
from quantray.graph._functions import name_of
from quantray.graph._graph import Expr, Graph, Node, Place, Ref
from quantray.graph._trees import is_array, is_sequence, is_slice

if TYPE_CHECKING:
    from quantray._typing import Array, DType, Json, Tensor


class Writer:
    """Writes graphs; keeps the arrays that they hold.

    Parameters
    ----------
    prefix : str
        What names of tensors begin with.
    """

    def __init__(self, prefix: str) -> None:
        self.tensors: dict[str, Tensor] = {}
        self._prefix = prefix
        #: Names by an array's id; the array is kept by `tensors`.
        self._names: dict[int, str] = {}

    def graph(self, graph: Graph) -> dict[str, object]:
        """A graph; without what only looks, which is code."""
        nodes = [node for node in graph if node.kind != "tap"]
        return {
            "args": self.tree(graph.args),
            "kwargs": self.tree(dict(graph.kwargs)),
            "output": self.tree(graph.output),
            "training": graph.training,
            "nodes": [self.node(node) for node in nodes],
            "guards": [[self.tree(g.subject), self.tree(g.outcome), _place(g.at)] for g in graph.guards],
            "refusals": [[r.scope, r.reason, _place(r.at)] for r in graph.refusals],
        }

    def node(self, node: Node) -> dict[str, object]:
        """A node; what it has not is left out."""
        try:
            found: dict[str, object] = {
                "name": node.name,
                "kind": node.kind,
                "args": [self.tree(arg) for arg in node.args],
                "kwargs": {key: self.tree(value) for key, value in node.kwargs.items()},
                "facts": [[list(fact.shape), self.tree(fact.dtype)] for fact in node.facts],
                "scope": node.scope,
                "at": _place(node.at),
                "value": self.tree(node.value),
            }
        except TypeError as error:
            raise TypeError(f"{node.name}: {error}") from None
        return {key: value for key, value in found.items() if value not in (None, "", [], {})}

    def tree(self, value: object) -> object:
        """Arguments, a setting, or whatever else a node holds."""
        for key, codec in CODECS.items():
            if type(value) is codec.kind:
                return {key: codec.encode(value, self)}
        if value is None or isinstance(value, (bool, str)) or type(value) is int:
            return value
        if isinstance(value, (np.generic, complex)):
            return {"number": _number(np.asarray(value))}
        if isinstance(value, float):
            return value if math.isfinite(value) else {"float": str(value)}
        if isinstance(value, Ref):
            return {"wire": [value.node, value.out]}
        if isinstance(value, Expr):
            return {"length": [value.op, *map(self.tree, value.args)]}
        if is_slice(value):
            return {"slice": [self.tree(end) for end in (value.start, value.stop, value.step)]}
        if is_sequence(value):
            items = [self.tree(item) for item in value]
            fields: tuple[str, ...] | None = getattr(value, "_fields", None)
            if fields is not None:
                return {"named": [type(value).__name__, list(fields), items]}
            return items if isinstance(value, list) else {"tuple": items}
        if isinstance(value, Mapping):
            pairs = cast("Mapping[object, object]", value).items()
            return {"dict": [[self.tree(key), self.tree(item)] for key, item in pairs]}
        if is_array(value) or isinstance(value, QTensor):
            return self.tensor(value)
        return self._other(value)

    def _other(self, value: object) -> object:
        if value is Ellipsis:
            return {"ellipsis": True}
        if isinstance(value, np.dtype):
            return {"dtype": cast("DType", value).str}
        if isinstance(value, int):
            return int(value)
        if isinstance(value, type):
            kind = cast("type[object]", value)
            if kind in TYPES.values():
                return {"type": kind.__name__}
            if issubclass(kind, np.generic):
                return {"type": f"numpy.{kind.__name__}"}
        name = getattr(value, "name", None)
        if isinstance(value, _core.dtype) and name in QUANTIZED:
            return {"quantized": name}
        found = name_of(cast("object", value)) if callable(value) else None
        if found is not None:
            return {"function": found}
        raise TypeError(f"a value of {type(value).__name__} cannot be written to a file: {value!r}")

    def tensor(self, array: Tensor) -> dict[str, Json]:
        """An array, once for all that hold it."""
        if id(array) not in self._names:
            name = f"{self._prefix}{len(self.tensors)}"
            self.tensors[name] = array
            self._names[id(array)] = name
        return {"tensor": self._names[id(array)]}


def _number(value: Array) -> list[object]:
    """An array of one number as its dtype and text, or a whole number."""
    number, name = value.item(), value.dtype.name
    match value.dtype.kind:
        case "c":
            return [name, [repr(number.real), repr(number.imag)]]
        case "f" if value.dtype.itemsize <= 8:
            return [name, repr(number)]
        case "b" | "i" | "u":
            return [name, number]
        case _:
            raise TypeError(f"a number of dtype {name} cannot be written to a file")


def _place(at: Place | None) -> list[object] | None:
    # Where the code lies on the machine that wrote the file is nobody else's business.
    return None if at is None else [os.path.basename(at.file), at.line]
