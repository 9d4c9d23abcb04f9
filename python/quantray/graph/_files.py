"""Graphs as JSON, and back: names of functions, wires, plain values. Arrays are tensors of a file beside it.

Nothing that is read is executed: a function is a name that `_functions` knows, a value is of a kind that is
registered here, and each wire must come from a node before it.

A value that JSON has is itself, a list is a list; all else is an object of one key, which says what it is:

| key | value |
| --- | --- |
| `tuple`, `dict`, `slice` | its items; pairs of key and value; start, stop and step |
| `named` | of a named tuple: its name, its fields and their values |
| `wire` | a node's name and the number of the output |
| `length` | the operation and its arguments |
| `float`, `number` | a float that JSON has not, as text; a number of NumPy's: its dtype and its value |
| `dtype`, `type` | a dtype of NumPy's; a type of Python's or NumPy's |
| `quantized` | a dtype of quantized tensors, by its name |
| `function` | a function, by its name |
| `tensor` | an array, by the name of the file's tensor |
| `ellipsis` | true |
"""

from __future__ import annotations

import collections
import keyword
import math
import os
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, cast

import numpy as np

from quantray import _core
from quantray._core import QTensor
from quantray.graph._functions import function_of, name_of
from quantray.graph._graph import Expr, Fact, Graph, Guard, Node, Place, Ref, Refusal, wires
from quantray.graph.kinds import kind_of

#: Kinds of nodes that the table of kinds has not, since no function of arrays computes them.
_PLAIN = frozenset({"input", "constant", "parameter", "module", "python", "tap", "hook", "layer", "formula"})

#: What lengths may be worked out by: functions of `operator`.
_OPERATIONS = frozenset(
    {"add", "sub", "mul", "floordiv", "mod", "truediv", "pow", "eq", "ne", "lt", "le", "gt", "ge", "neg"}
)

_TYPES: dict[str, type[Any]] = {kind.__name__: kind for kind in (bool, int, float, complex)}
_QUANTIZED = ("qint8", "quint8", "qint32", "quint4x2", "quint2x4")


class Codec(NamedTuple):
    """How a class of values that passes put into nodes is written and read."""

    kind: type[Any]
    encode: Callable[[Any, Writer], Any]
    decode: Callable[[Any, Reader], Any]


_CODECS: dict[str, Codec] = {}
#: Prefixes of kinds of nodes that passes have added, whose nodes no function of arrays computes.
_KINDS: list[frozenset[str]] = [_PLAIN]


def register_value(
    key: str,
    kind: type[Any],
    encode: Callable[[Any, Writer], Any],
    decode: Callable[[Any, Reader], Any],
) -> None:
    """Tells how values of a class that a pass puts into nodes are written to files, and read."""
    _CODECS[key] = Codec(kind, encode, decode)


def register_kinds(names: frozenset[str]) -> None:
    """Tells kinds of nodes of a pass's own, so that files may have them."""
    _KINDS.append(names)


class Unreadable(ValueError):
    """What stands in a file is no graph."""


class Writer:
    """Writes graphs; keeps the arrays that they hold.

    Parameters
    ----------
    prefix : str
        What names of tensors begin with.
    """

    def __init__(self, prefix: str) -> None:
        self.tensors: dict[str, Any] = {}
        self._prefix = prefix
        #: Names by an array's id; the array is kept by `tensors`.
        self._names: dict[int, str] = {}

    def graph(self, graph: Graph) -> dict[str, Any]:
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

    def node(self, node: Node) -> dict[str, Any]:
        """A node; what it has not is left out."""
        try:
            found: dict[str, Any] = {
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

    def tree(self, value: Any) -> Any:
        """Arguments, a setting, or whatever else a node holds."""
        for key, codec in _CODECS.items():
            if type(value) is codec.kind:
                return {key: codec.encode(value, self)}
        match value:
            case None | bool() | str():
                return value
            case np.generic():
                return {"number": [str(value.dtype), _number(value)]}
            case int():
                return value
            case float():
                return value if math.isfinite(value) else {"float": str(value)}
            case complex():
                return {"number": ["complex128", _number(np.complex128(value))]}
            case Ref():
                return {"wire": [value.node, value.out]}
            case Expr():
                return {"length": [value.op, *(self.tree(arg) for arg in value.args)]}
            case tuple() if hasattr(value, "_fields"):
                named: Any = value
                return {"named": [type(named).__name__, list(named._fields), [self.tree(v) for v in named]]}
            case tuple():
                return {"tuple": [self.tree(v) for v in cast("tuple[Any, ...]", value)]}
            case list():
                return [self.tree(v) for v in cast("list[Any]", value)]
            case Mapping():
                pairs = cast("Mapping[Any, Any]", value).items()
                return {"dict": [[self.tree(k), self.tree(v)] for k, v in pairs]}
            case slice():
                return {"slice": [self.tree(end) for end in (value.start, value.stop, value.step)]}
            case np.ndarray() | QTensor():
                return self.tensor(value)
            case np.dtype():
                return {"dtype": value.str}
            case _:
                return self._other(value)

    def _other(self, value: Any) -> Any:
        if value is Ellipsis:
            return {"ellipsis": True}
        if isinstance(value, type):
            if value in _TYPES.values():
                return {"type": value.__name__}
            if issubclass(value, np.generic):
                return {"type": f"numpy.{value.__name__}"}
        name = getattr(value, "name", None)
        if isinstance(value, _core.dtype) and name in _QUANTIZED:
            return {"quantized": name}
        found = name_of(value) if callable(value) else None
        if found is not None:
            return {"function": found}
        raise TypeError(f"a value of {type(value).__name__} cannot be written to a file: {value!r}")

    def tensor(self, array: Any) -> dict[str, Any]:
        """An array, once for all that hold it."""
        if id(array) not in self._names:
            name = f"{self._prefix}{len(self.tensors)}"
            self.tensors[name] = array
            self._names[id(array)] = name
        return {"tensor": self._names[id(array)]}


def _number(value: Any) -> Any:
    kind = value.dtype.kind
    if kind == "c":
        return [repr(float(value.real)), repr(float(value.imag))]
    if kind == "f":
        return repr(float(value))
    if kind in "biu":
        return value.item()
    raise TypeError(f"a number of dtype {value.dtype} cannot be written to a file")


def _place(at: Place | None) -> Any:
    # Where the code lies on the machine that wrote the file is nobody else's business.
    return None if at is None else [os.path.basename(at.file), at.line]


class Reader:
    """Reads graphs.

    Parameters
    ----------
    tensors : mapping
        The file's.
    """

    def __init__(self, tensors: Mapping[str, Any]) -> None:
        self._tensors = tensors

    def graph(self, found: Any) -> Graph:
        """A graph whose wires all come from nodes before them."""
        about = _object(found, "graph")
        nodes: dict[str, Node] = {}
        for item in _list(about.get("nodes"), "nodes"):
            node = self.node(item)
            if node.name in nodes:
                raise Unreadable(f"two nodes are named {node.name!r}")
            self._check(node.name, (node.args, dict(node.kwargs)), nodes)
            nodes[node.name] = node
        args, kwargs = self.tree(about.get("args")), self.tree(about.get("kwargs"))
        if type(args) is not tuple or type(kwargs) is not dict:
            raise Unreadable("a graph's arguments must be a tuple and a dict")
        output = self.tree(about.get("output"))
        guards = tuple(map(self._guard, _list(about.get("guards"), "guards")))
        refusals = tuple(map(self._refusal, _list(about.get("refusals"), "refusals")))
        for what in (args, kwargs, output, *(guard.subject for guard in guards)):
            self._check("the graph", what, nodes)
        graph = Graph(nodes, cast("tuple[Any, ...]", args), kwargs, output, guards, refusals)
        for name in graph.inputs:
            if nodes[name].kind != "input" or len(nodes[name].facts) != 1:
                raise Unreadable(f"{name!r} is no input")
        if {node.name for node in graph if node.kind == "input"} - set(graph.inputs):
            raise Unreadable("there are inputs that are no arguments")
        return graph.but(training=about.get("training") is True)

    def _check(self, name: str, tree: Any, nodes: Mapping[str, Node]) -> None:
        for ref in wires(tree):
            source = nodes.get(ref.node)
            if source is None or not 0 <= ref.out < max(len(source.facts), 1):
                raise Unreadable(f"{name} takes {str(ref)!r}, which no node before it makes")

    def node(self, found: Any) -> Node:
        """A node of a kind that is known."""
        about = _object(found, "node")
        name, kind = _text(about.get("name"), "name"), _text(about.get("kind"), "kind")
        if not any(kind in known for known in _KINDS):
            try:
                kind_of(kind)
            except (KeyError, ImportError) as error:
                raise Unreadable(f"{name} is of a kind that is not known: {error.args[0]}") from None
        kwargs = _object(about.get("kwargs", {}), "kwargs")
        node = Node(
            name,
            kind,
            tuple(self.tree(arg) for arg in _list(about.get("args", []), "args")),
            {key: self.tree(value) for key, value in kwargs.items()},
            tuple(map(self._fact, _list(about.get("facts", []), "facts"))),
            _text(about.get("scope", ""), "scope"),
            self._place(about.get("at")),
            self.tree(about.get("value")),
        )
        self._check_value(node)
        return node

    def _check_value(self, node: Node) -> None:
        value = node.value
        match node.kind:
            case "constant":
                good = isinstance(value, (np.ndarray, QTensor))
            case "parameter":
                good = type(value) is tuple and len(value) == 2 and all(type(part) is str for part in value)
            case "module" | "python":
                good = type(value) is str
            case "hook":
                good = type(value) is tuple and len(value) == 3 and len(node.args) == 2
            case _:
                good = True
        if not good:
            raise Unreadable(f"{node.name} ({node.kind}) has no value of its kind")

    def _fact(self, found: Any) -> Fact:
        shape, dtype = _list(found, "fact", 2)
        lengths = _list(shape, "shape")
        if not all(type(n) is str or (type(n) is int and n >= 0) for n in lengths):
            raise Unreadable(f"{lengths!r} is no shape")
        return Fact(tuple(lengths), self.tree(dtype))

    def _guard(self, found: Any) -> Guard:
        subject, outcome, at = _list(found, "guard", 3)
        where = self._place(at)
        read = self.tree(subject)
        if not isinstance(read, (Ref, Expr)) or where is None:
            raise Unreadable("a guard must be about a wire or a length")
        return Guard(read, self.tree(outcome), where)

    def _refusal(self, found: Any) -> Refusal:
        scope, reason, at = _list(found, "refusal", 3)
        return Refusal(_text(scope, "scope"), _text(reason, "reason"), self._place(at))

    def _place(self, found: Any) -> Place | None:
        if found is None:
            return None
        file, line = _list(found, "place", 2)
        return Place(_text(file, "file"), _whole(line, "line"))

    def tree(self, value: Any) -> Any:
        """Arguments, a setting, or whatever else a node holds."""
        if value is None or isinstance(value, (bool, int, float, str)):
            return value
        if isinstance(value, list):
            return [self.tree(item) for item in cast("list[Any]", value)]
        about = _object(value, "value")
        if len(about) != 1:
            raise Unreadable(f"a value must have one key, got {sorted(about)[:5]}")
        ((key, inner),) = about.items()
        codec = _CODECS.get(key)
        if codec is not None:
            return codec.decode(inner, self)
        read = getattr(self, f"_read_{key}", None)
        if read is None:
            raise Unreadable(f"there is no kind of value {key!r}")
        return read(inner)

    def _read_tuple(self, value: Any) -> Any:
        return tuple(self.tree(item) for item in _list(value, "tuple"))

    def _read_dict(self, value: Any) -> Any:
        pairs = [_list(pair, "pair", 2) for pair in _list(value, "dict")]
        return {self.tree(key): self.tree(item) for key, item in pairs}

    def _read_slice(self, value: Any) -> Any:
        return slice(*(self.tree(end) for end in _list(value, "slice", 3)))

    def _read_named(self, value: Any) -> Any:
        name, fields, values = _list(value, "named", 3)
        names = [_text(field, "field") for field in _list(fields, "fields")]
        items = _list(values, "values", len(names))
        if not all(_is_name(each) for each in (_text(name, "name"), *names)) or len(set(names)) != len(names):
            raise Unreadable(f"{name!r} with {names!r} is no named tuple")
        return collections.namedtuple(name, names)(*(self.tree(item) for item in items))

    def _read_wire(self, value: Any) -> Any:
        node, out = _list(value, "wire", 2)
        return Ref(_text(node, "node"), _whole(out, "out"))

    def _read_length(self, value: Any) -> Any:
        op, *args = _list(value, "length")
        read = tuple(self.tree(arg) for arg in args)
        if op == "dim":
            if len(read) != 2 or not isinstance(read[0], Ref) or type(read[1]) is not int:
                raise Unreadable("a length must be an axis of a wire")
        elif op not in _OPERATIONS or not all(isinstance(arg, (int, float, Expr)) for arg in read):
            raise Unreadable(f"lengths are not worked out by {op!r}")
        return Expr(cast("str", op), read)

    def _read_float(self, value: Any) -> Any:
        return float(_text(value, "float"))

    def _read_number(self, value: Any) -> Any:
        dtype, number = _list(value, "number", 2)
        kind = np.dtype(_text(dtype, "dtype"))
        if kind.kind == "c":
            real, imaginary = _list(number, "complex number", 2)
            return kind.type(complex(float(real), float(imaginary)))
        if kind.kind not in "biuf":
            raise Unreadable(f"numbers are not of {dtype!r}")
        return kind.type(float(number) if kind.kind == "f" else number)

    def _read_dtype(self, value: Any) -> Any:
        found = np.dtype(_text(value, "dtype"))
        if found.kind not in "biufc":
            raise Unreadable(f"arrays are not of {value!r}")
        return found

    def _read_type(self, value: Any) -> Any:
        name = _text(value, "type")
        if name in _TYPES:
            return _TYPES[name]
        found = getattr(np, name.removeprefix("numpy."), None)
        if not (isinstance(found, type) and issubclass(found, np.generic)):
            raise Unreadable(f"there is no type {name!r}")
        return found

    def _read_quantized(self, value: Any) -> Any:
        if value not in _QUANTIZED:
            raise Unreadable(f"there is no dtype {value!r}")
        return getattr(_core, value)

    def _read_function(self, value: Any) -> Any:
        return function_of(_text(value, "function"))

    def _read_tensor(self, value: Any) -> Any:
        name = _text(value, "tensor")
        if name not in self._tensors:
            raise Unreadable(f"the file has no tensor {name!r}")
        found = self._tensors[name]
        if isinstance(found, np.ndarray):
            found = cast("np.ndarray[Any, Any]", found).view()
            found.flags.writeable = False
        return found

    def _read_ellipsis(self, value: Any) -> Any:
        return Ellipsis


def _is_name(text: str) -> bool:
    return text.isidentifier() and not keyword.iskeyword(text) and not text.startswith("_")


def _object(value: Any, what: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise Unreadable(f"a {what} must be an object, got {type(value).__name__}")
    return cast("dict[str, Any]", value)


def _list(value: Any, what: str, length: int | None = None) -> list[Any]:
    if not isinstance(value, list):
        raise Unreadable(f"a {what} must be a list, got {type(value).__name__}")
    found = cast("list[Any]", value)
    if length is not None and len(found) != length:
        raise Unreadable(f"a {what} must be of length {length}, got {len(found)}")
    return found


def _text(value: Any, what: str) -> str:
    if not isinstance(value, str):
        raise Unreadable(f"a {what} must be text, got {type(value).__name__}")
    return value


def _whole(value: Any, what: str) -> int:
    if type(value) is not int:
        raise Unreadable(f"a {what} must be a whole number, got {type(value).__name__}")
    return value
