"""Reads graphs, of which nothing is trusted."""

from __future__ import annotations

import collections
import keyword
from collections.abc import Callable, Mapping
from types import EllipsisType
from typing import cast

import numpy as np

from quantray import _core
from quantray._core import QTensor
from quantray._typing import DType, Tensor
from quantray.graph._files._registry import CODECS, KINDS, QUANTIZED, TYPES, Unreadable
from quantray.graph._functions import Function, function_of, may_be_in_file
from quantray.graph._graph import Expr, Fact, Graph, Guard, Node, Place, Ref, Refusal, wires
from quantray.graph._trees import is_tuple
from quantray.graph.kinds import kind_of

#: What lengths may be worked out by.
_OPERATIONS = frozenset(
    {"add", "sub", "mul", "floordiv", "mod", "truediv", "pow", "neg", "min", "max"}
    | {"eq", "ne", "lt", "le", "gt", "ge"}
)


class Reader:
    """Reads graphs.

    Parameters
    ----------
    tensors : mapping
        The file's.
    """

    def __init__(self, tensors: Mapping[str, Tensor]) -> None:
        self._tensors = tensors

    def graph(self, found: object) -> Graph:
        """A graph whose wires all come from nodes before them."""
        about = _object(found, "graph")
        nodes: dict[str, Node] = {}
        for item in _list(about.get("nodes"), "nodes"):
            node = self.node(item)
            if node.name in nodes:
                raise Unreadable(f"two nodes are named {node.name!r}")
            self._check(node.name, (node.args, dict(node.kwargs)), nodes)
            nodes[node.name] = node
        read, named = self.tree(about.get("args")), self.tree(about.get("kwargs"))
        if type(read) is not tuple or type(named) is not dict:
            raise Unreadable("a graph's arguments must be a tuple and a dict")
        args, kwargs = cast("tuple[object, ...]", read), cast("dict[str, object]", named)
        output = self.tree(about.get("output"))
        guards = tuple(map(self._guard, _list(about.get("guards"), "guards")))
        refusals = tuple(map(self._refusal, _list(about.get("refusals"), "refusals")))
        whole = (args, kwargs, output, [guard.subject for guard in guards])
        self._check("the graph", whole, nodes)
        graph = Graph(nodes, args, kwargs, output, guards, refusals)
        for name in graph.inputs:
            if nodes[name].kind != "input" or len(nodes[name].facts) != 1:
                raise Unreadable(f"{name!r} is no input")
        if {node.name for node in graph if node.kind == "input"} - set(graph.inputs):
            raise Unreadable("there are inputs that are no arguments")
        return graph.but(training=about.get("training") is True)

    def _check(self, name: str, tree: object, nodes: Mapping[str, Node]) -> None:
        for ref in wires(tree):
            source = nodes.get(ref.node)
            if source is None or not 0 <= ref.out < max(len(source.facts), 1):
                raise Unreadable(f"{name} takes {str(ref)!r}, which no node before it makes")

    def node(self, found: object) -> Node:
        """A node of a kind that is known."""
        about = _object(found, "node")
        name, kind = _text(about.get("name"), "name"), _text(about.get("kind"), "kind")
        if not any(kind in known for known in KINDS):
            try:
                if not may_be_in_file(kind):
                    raise KeyError(f"{kind} has no place in a file")
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
        value: object = node.value
        items = value if is_tuple(value) else ()
        match node.kind:
            case "constant":
                good = isinstance(value, (np.ndarray, QTensor))
            case "parameter":
                good = len(items) == 2 and all(type(part) is str for part in items)
            case "module" | "python":
                good = type(value) is str
            case "hook":
                good = len(items) == 3 and len(node.args) == 2
            case _:
                good = True
        if not good:
            raise Unreadable(f"{node.name} ({node.kind}) has no value of its kind")

    def _fact(self, found: object) -> Fact:
        shape, dtype = _list(found, "fact", 2)
        lengths = _list(shape, "shape")
        if not all(type(n) is str or (type(n) is int and n >= 0) for n in lengths):
            raise Unreadable(f"{lengths!r} is no shape")
        return Fact(tuple(cast("list[int | str]", lengths)), cast("DType", self.tree(dtype)))

    def _guard(self, found: object) -> Guard:
        subject, outcome, at = _list(found, "guard", 3)
        where = self._place(at)
        read = self.tree(subject)
        if not isinstance(read, (Ref, Expr)) or where is None:
            raise Unreadable("a guard must be about a wire or a length")
        return Guard(read, self.tree(outcome), where)

    def _refusal(self, found: object) -> Refusal:
        scope, reason, at = _list(found, "refusal", 3)
        return Refusal(_text(scope, "scope"), _text(reason, "reason"), self._place(at))

    def _place(self, found: object) -> Place | None:
        if found is None:
            return None
        file, line = _list(found, "place", 2)
        return Place(_text(file, "file"), _whole(line, "line"))

    def tree(self, value: object) -> object:
        """Arguments, a setting, or whatever else a node holds."""
        if value is None or isinstance(value, (bool, int, float, str)):
            return value
        if isinstance(value, list):
            return [self.tree(item) for item in cast("list[object]", value)]
        about = _object(value, "value")
        if len(about) != 1:
            raise Unreadable(f"a value must have one key, got {sorted(about)[:5]}")
        ((key, inner),) = about.items()
        codec = CODECS.get(key)
        if codec is not None:
            return codec.decode(inner, self)
        read = getattr(self, f"_read_{key}", None)
        if read is None:
            raise Unreadable(f"there is no kind of value {key!r}")
        return read(inner)

    def _read_tuple(self, value: object) -> tuple[object, ...]:
        return tuple(self.tree(item) for item in _list(value, "tuple"))

    def _read_dict(self, value: object) -> dict[object, object]:
        pairs = [_list(pair, "pair", 2) for pair in _list(value, "dict")]
        return {self.tree(key): self.tree(item) for key, item in pairs}

    def _read_slice(self, value: object) -> slice[object, object, object]:
        return slice(*(self.tree(end) for end in _list(value, "slice", 3)))

    def _read_named(self, value: object) -> tuple[object, ...]:
        own, fields, values = _list(value, "named", 3)
        name, names = _text(own, "name"), [_text(field, "field") for field in _list(fields, "fields")]
        items = _list(values, "values", len(names))
        if not all(_is_name(each) for each in (name, *names)) or len(set(names)) != len(names):
            raise Unreadable(f"{name!r} with {names!r} is no named tuple")
        made: Callable[..., tuple[object, ...]] = collections.namedtuple(name, names)  # pyright: ignore[reportUntypedNamedTuple]
        return made(*(self.tree(item) for item in items))

    def _read_wire(self, value: object) -> Ref:
        node, out = _list(value, "wire", 2)
        return Ref(_text(node, "node"), _whole(out, "out"))

    def _read_length(self, value: object) -> Expr:
        op, *args = _list(value, "length")
        read = tuple(self.tree(arg) for arg in args)
        if op == "dim":
            if len(read) != 2 or not isinstance(read[0], Ref) or type(read[1]) is not int:
                raise Unreadable("a length must be an axis of a wire")
        elif op not in _OPERATIONS or not all(isinstance(arg, (int, float, Expr)) for arg in read):
            raise Unreadable(f"lengths are not worked out by {op!r}")
        return Expr(cast("str", op), read)

    def _read_float(self, value: object) -> float:
        return float(_text(value, "float"))

    def _read_number(self, value: object) -> np.generic:
        dtype, number = _list(value, "number", 2)
        kind = np.dtype(_text(dtype, "dtype"))
        if kind.kind == "c":
            real, imaginary = _list(number, "complex number", 2)
            return kind.type(complex(_number(real), _number(imaginary)))
        if kind.kind not in "biuf":
            raise Unreadable(f"numbers are not of {dtype!r}")
        return kind.type(_number(number) if kind.kind == "f" else number)

    def _read_dtype(self, value: object) -> DType:
        found = np.dtype(_text(value, "dtype"))
        if found.kind not in "biufc":
            raise Unreadable(f"arrays are not of {value!r}")
        return found

    def _read_type(self, value: object) -> type[object]:
        name = _text(value, "type")
        if name in TYPES:
            return TYPES[name]
        found: object = getattr(np, name.removeprefix("numpy."), None)
        if not (isinstance(found, type) and issubclass(found, np.generic)):
            raise Unreadable(f"there is no type {name!r}")
        return cast("type[np.generic]", found)

    def _read_quantized(self, value: object) -> _core.dtype:
        name = _text(value, "dtype")
        if name not in QUANTIZED:
            raise Unreadable(f"there is no dtype {value!r}")
        return getattr(_core, name)

    def _read_function(self, value: object) -> Function:
        name = _text(value, "function")
        if not may_be_in_file(name):
            raise Unreadable(f"{name} has no place in a file")
        return function_of(name)

    def _read_tensor(self, value: object) -> Tensor:
        name = _text(value, "tensor")
        if name not in self._tensors:
            raise Unreadable(f"the file has no tensor {name!r}")
        found = self._tensors[name]
        if isinstance(found, np.ndarray):
            found = found.view()
            found.flags.writeable = False
        return found

    def _read_ellipsis(self, value: object) -> EllipsisType:
        return Ellipsis


def _is_name(text: str) -> bool:
    return text.isidentifier() and not keyword.iskeyword(text) and not text.startswith("_")


def _object(value: object, what: str) -> dict[str, object]:
    if not isinstance(value, dict):
        raise Unreadable(f"a {what} must be an object, got {type(value).__name__}")
    return cast("dict[str, object]", value)


def _list(value: object, what: str, length: int | None = None) -> list[object]:
    if not isinstance(value, list):
        raise Unreadable(f"a {what} must be a list, got {type(value).__name__}")
    found = cast("list[object]", value)
    if length is not None and len(found) != length:
        raise Unreadable(f"a {what} must be of length {length}, got {len(found)}")
    return found


def _number(value: object) -> float:
    if not isinstance(value, (int, float, str)):
        raise Unreadable(f"a number must be one, or its text, got {type(value).__name__}")
    return float(value)


def _text(value: object, what: str) -> str:
    if not isinstance(value, str):
        raise Unreadable(f"a {what} must be text, got {type(value).__name__}")
    return value


def _whole(value: object, what: str) -> int:
    if type(value) is not int:
        raise Unreadable(f"a {what} must be a whole number, got {type(value).__name__}")
    return value
