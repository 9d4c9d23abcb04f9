"""From a graph of integers to the program that runs it in one call.

Each integer node is a step of the program, and so is each float node that there is a kernel for; all others are calls
back into NumPy.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from quantray import _core, nn, ops
from quantray.graph import Expr, Graph, Node, Ref
from quantray.graph._graph import leaves, map_tree, wires
from quantray.graph._lengths import evaluate
from quantray.graph._run import parameter_of
from quantray.nn.quantized._grid import Grid
from quantray.quantization._integers import code_of, compute

#: Dtypes that steps know; arrays of others only go into calls.
_DTYPES = ("float32", "int64", "int32", "bool")
#: Functions of lengths that the program works out.
_FUNCTIONS = {"add": "add", "sub": "sub", "mul": "mul", "floordiv": "floordiv", "mod": "mod", "neg": "neg"}


class NotLowered(Exception):
    """A node that is no step: it is called."""


class Lowered:
    """A graph as a program, and where its results belong."""

    def __init__(self, program: Any, output: Any, called: tuple[str, ...]) -> None:
        self.program, self.output = program, output
        #: Nodes that are calls into Python.
        self.called = called
        #: Whether the model returns one array.
        self.is_single = isinstance(output, _Slot)

    def __call__(self, inputs: list[Any]) -> Any:
        """What the model returns."""
        made = self.program(*inputs)
        return map_tree(lambda leaf: made[leaf.index] if isinstance(leaf, _Slot) else leaf, self.output)


class _Slot:
    """Where a result of the program is in what the model returns."""

    __slots__ = ("index",)

    def __init__(self, index: int) -> None:
        self.index = index


def lower(graph: Graph, model: nn.Module, grids: Mapping[Ref, Grid]) -> Lowered:
    """The program of a graph; what only decides whether the graph is the right one is no part of it."""
    return _Lowering(graph.but(guards=()).pruned(), model, grids).result()


def settings_of(grid: Grid) -> tuple[Any, ...]:
    """A grid as steps take it."""
    return (*grid.output, grid.quant_min, grid.quant_max)


class _Lowering:
    def __init__(self, graph: Graph, model: nn.Module, grids: Mapping[Ref, Grid]) -> None:
        self.graph, self.model, self.grids = graph, model, grids
        self.numbers: dict[Ref, int] = {}
        self.steps: list[tuple[str, tuple[int, ...], Any, dict[str, Any]]] = []
        self.called: list[str] = []
        self.count = 0
        self.users = graph.users()
        self.merged = self._merged()
        #: What depends on no input, computed once.
        self.fixed: dict[Ref, Any] = {}
        self.inputs: list[str] = []
        for name in graph.inputs:
            self.numbers[Ref(name)] = self._new()
            dtype = str(graph.nodes[name].facts[0].dtype)
            self.inputs.append(dtype if dtype in _DTYPES else "object")
        for node in graph:
            if node.kind != "input" and node.name not in self.merged and not self._is_fixed(node):
                self._add(node)

    def result(self) -> Lowered:
        """The program, made."""
        outputs: list[int] = []

        def slot(leaf: Any) -> Any:
            if not isinstance(leaf, Ref):
                return leaf
            outputs.append(self._number(leaf))
            return _Slot(len(outputs) - 1)

        output = map_tree(slot, self.graph.output)
        names = list(self.graph.inputs)
        program = ops.Program(self.inputs, self.steps, outputs, names=names)
        return Lowered(program, output, tuple(self.called))

    def _is_fixed(self, node: Node) -> bool:
        """Whether a node depends on no input: it is computed here, once."""
        if node.kind == "constant":
            self.fixed[Ref(node.name)] = node.value
            return True
        if node.kind == "parameter":
            self.fixed[Ref(node.name)] = parameter_of(self.model, node)
            return True
        refs = wires((node.args, dict(node.kwargs)))
        if not refs or node.kind in ("tap", "hook", "python") or not all(ref in self.fixed for ref in refs):
            return False

        def leaf(value: Any) -> Any:
            if type(value) is Ref:
                return self.fixed[value]
            return evaluate(value, lambda ref: self.fixed[ref].shape) if type(value) is Expr else value

        args, kwargs = map_tree(leaf, (node.args, dict(node.kwargs)))
        made = [
            each for each in leaves(compute(self.model, node, args, kwargs, self.grids)) if each is not None
        ]
        for out, value in enumerate(made):
            self.fixed[Ref(node.name, out)] = value
        return True

    def _new(self) -> int:
        self.count += 1
        return self.count - 1

    def _number(self, ref: Ref) -> int:
        """A value's number; that of what is fixed is made when it is first wanted."""
        if ref not in self.numbers:
            if ref not in self.fixed:
                raise NotLowered(ref.node)
            value = self.fixed[ref]
            made = self.numbers[ref] = self._new()
            params = {"name": ref.node, "function": lambda: value, "codes": True, "count": 1}
            self.steps.append(("call", (), made, params))
        return self.numbers[ref]

    def _merged(self) -> set[str]:
        """Layers of floats that a sum alone takes: the sum is part of their step."""
        needed = {ref.node for ref in wires(self.graph.output)}
        for node in self.graph:
            lengths = [leaf for leaf in leaves((node.args, dict(node.kwargs))) if isinstance(leaf, Expr)]
            needed |= {ref.node for ref in wires(lengths)}
        found: set[str] = set()
        for node in self.graph:
            if node.kind != "int.add":
                continue
            for ref in node.args[:2]:
                layer = self.graph.nodes[ref.node]
                if (
                    layer.kind == "int.layer"
                    and ref not in self.grids
                    and layer.value.limits is None
                    and self.users.get(ref) == [node.name]
                    and layer.name not in needed
                    and node.args[0] != node.args[1]
                ):
                    found.add(layer.name)
                    break
        return found

    def _add(self, node: Node) -> None:
        begin = len(self.steps), self.count, dict(self.numbers)
        try:
            _STEPS.get(node.kind, _as_call)(self, node)
        except NotLowered:
            del self.steps[begin[0] :]
            self.count, self.numbers = begin[1], begin[2]
            self._call(node)

    def step(self, op: str, sources: tuple[int, ...], node: Node, **params: Any) -> int:
        """A step; the number of what it makes."""
        made = self._new()
        self.steps.append((op, sources, made, {"name": node.name, **params}))
        return made

    def put(self, node: Node, number: int) -> None:
        """Notes the number of a node's output."""
        self.numbers[Ref(node.name)] = number

    def _call(self, node: Node) -> None:
        """A node as a call into Python."""
        refs = list(dict.fromkeys(wires((node.args, dict(node.kwargs)))))
        fixed = {ref: self.fixed[ref] for ref in refs if ref in self.fixed}
        moving = [ref for ref in refs if ref not in fixed]
        sources = tuple(self._number(ref) for ref in moving)
        model, grids = self.model, self.grids

        def run(*arrays: Any) -> Any:
            values = fixed | dict(zip(moving, arrays, strict=True))

            def leaf(value: Any) -> Any:
                if type(value) is Ref:
                    return values[value]
                return evaluate(value, lambda ref: values[ref].shape) if type(value) is Expr else value

            args, kwargs = map_tree(leaf, (node.args, dict(node.kwargs)))
            made = compute(model, node, args, kwargs, grids)
            found = [each for each in leaves(made) if each is not None]
            return tuple(map(_as_array, found)) if len(found) != 1 else _as_array(found[0])

        count = max(len(node.facts), 1)
        made = tuple(self._new() for _ in range(count))
        self.called.append(node.name)
        self.steps.append(
            (
                "call",
                sources,
                made if count > 1 else made[0],
                {"name": node.name, "function": run, "codes": True, "count": count},
            )
        )
        for out, number in enumerate(made):
            self.numbers[Ref(node.name, out)] = number

    def length(self, value: Any) -> Any:
        """A length as steps take it."""
        if isinstance(value, Expr):
            if value.op == "dim":
                ref, axis = value.args
                if ref.node in self.merged:
                    raise NotLowered(ref.node)
                return ("dim", self._number(ref), int(axis))
            if value.op not in _FUNCTIONS:
                raise NotLowered(value.op)
            return (_FUNCTIONS[value.op], *(self.length(arg) for arg in value.args))
        if isinstance(value, (int, np.integer)):
            return int(value)
        raise NotLowered(repr(value))


def _as_array(value: Any) -> Any:
    if value is None:
        return np.zeros(0, np.float32)
    return value if isinstance(value, _core.QTensor) else np.asarray(value)


# Steps by kind

_Step = Callable[[_Lowering, Node], None]
_STEPS: dict[str, _Step] = {}


def _as_call(to: _Lowering, node: Node) -> None:
    raise NotLowered(node.kind)


def _step(*kinds: str) -> Callable[[_Step], _Step]:
    def add(function: _Step) -> _Step:
        for kind in kinds:
            _STEPS[kind] = function
        return function

    return add


@_step("tap")
def _tap(to: _Lowering, node: Node) -> None:
    raise NotLowered(node.kind)


@_step("int.quantize")
def _quantize(to: _Lowering, node: Node) -> None:
    grid = to.grids[Ref(node.name)]
    to.put(node, to.step("quantize", (to._number(node.args[0]),), node, grid=settings_of(grid)))


@_step("int.dequantize")
def _dequantize(to: _Lowering, node: Node) -> None:
    to.put(node, to.step("dequantize", (to._number(node.args[0]),), node))


def _layer_step(to: _Lowering, layer: Node, node: Node, grid: Grid | None, limits: Any, *more: int) -> int:
    module: Any = to.model.get_submodule(layer.value.path)
    op = "linear" if isinstance(module.packed, ops.PackedLinear) else "conv"
    return to.step(
        op,
        (to._number(layer.args[0]), *more),
        node,
        packed=module.packed,
        relu=limits is not None,
        relu6=limits is not None and limits[1] == 6,
        to=None if grid is None else settings_of(grid),
    )


@_step("int.layer")
def _layer(to: _Lowering, node: Node) -> None:
    to.put(node, _layer_step(to, node, node, to.grids.get(Ref(node.name)), node.value.limits))


@_step("int.table")
def _table(to: _Lowering, node: Node) -> None:
    source, grid = to.grids[node.inputs[0]], to.grids[Ref(node.name)]
    table = node.value.codes(source, grid).tobytes()
    # The table has codes of the grid's range alone.
    full = (
        grid._replace(quant_min=-128, quant_max=127)
        if grid.dtype == "qint8"
        else grid._replace(quant_min=0, quant_max=255)
    )
    to.put(node, to.step("table", (to._number(node.args[0]),), node, table=table, grid=settings_of(full)))


@_step("int.add")
def _sum(to: _Lowering, node: Node) -> None:
    a, b = node.args[:2]
    grid, limits = to.grids[Ref(node.name)], node.get("limits")
    for term, other in ((a, b), (b, a)):
        if term.node in to.merged:
            layer = to.graph.nodes[term.node]
            to.put(node, _layer_step(to, layer, node, grid, limits, to._number(other)))
            return
    if a not in to.grids and b in to.grids:
        a, b = b, a
    sources = to._number(a), to._number(b)
    if b not in to.grids:
        # Floats and codes.
        sources = sources[::-1]
    made = to.step("add", sources, node, grid=settings_of(grid), relu=limits is not None)
    if limits is not None and limits[1] is not None:
        low = -128 if grid.dtype == "qint8" else 0
        made = to.step("clamp", (made,), node, lo=low, hi=int(code_of(limits[1], grid)))
    to.put(node, made)


@_step("int.sub", "int.mul")
def _difference(to: _Lowering, node: Node) -> None:
    sources = tuple(to._number(ref) for ref in node.args[:2])
    grid = settings_of(to.grids[Ref(node.name)])
    to.put(node, to.step(node.kind.removeprefix("int."), sources, node, grid=grid))


@_step("int.matmul")
def _matmul(to: _Lowering, node: Node) -> None:
    sources = tuple(to._number(ref) for ref in node.args[:2])
    to.put(node, to.step("matmul", sources, node, grid=settings_of(to.grids[Ref(node.name)])))


@_step("int.concat")
def _concat(to: _Lowering, node: Node) -> None:
    sources = tuple(to._number(ref) for ref in node.args[0])
    grid = settings_of(to.grids[Ref(node.name)])
    to.put(node, to.step("cat", sources, node, axis=int(node.get("axis")), grid=grid))


@_step("int.move")
def _move(to: _Lowering, node: Node) -> None:
    move = _MOVES.get(node.value)
    if move is None and node.value.rstrip("123d").rstrip("_") in _POOLS:
        move = _pool
    if move is None or len(node.inputs) != 1:
        raise NotLowered(node.value)
    move(to, node, node.inputs[0])


# Movements, of codes and of floats

_Move = Callable[[_Lowering, Node, Ref], None]
_POOLS = ("max_pool", "avg_pool", "adaptive_max_pool", "adaptive_avg_pool")


def _relu(to: _Lowering, node: Node, x: Ref) -> None:
    grid = to.grids[x]
    top = 127 if grid.dtype == "qint8" else 255
    to.put(node, to.step("clamp", (to._number(x),), node, lo=grid.zero_point, hi=top))


def _clip(to: _Lowering, node: Node, x: Ref) -> None:
    grid, low, high = to.grids[x], node.get("low"), node.get("high")
    ends = (-128, 127) if grid.dtype == "qint8" else (0, 255)
    codes = [
        end if value is None else int(code_of(value, grid))
        for value, end in zip((low, high), ends, strict=True)
    ]
    to.put(node, to.step("clamp", (to._number(x),), node, lo=codes[0], hi=codes[1]))


def _reshape(to: _Lowering, node: Node, x: Ref) -> None:
    shape = tuple(to.length(n) for n in node.get("shape"))
    to.put(node, to.step("reshape", (to._number(x),), node, shape=shape))


def _transpose(to: _Lowering, node: Node, x: Ref) -> None:
    to.put(node, to.step("transpose", (to._number(x),), node, axes=tuple(int(a) for a in node.get("axes"))))


def _getitem(to: _Lowering, node: Node, x: Ref) -> None:
    items: list[Any] = []
    index = node.get("index")
    ndim = len(to.graph.fact(x).shape)
    for item in index:
        if item is Ellipsis:
            items += [slice(None)] * (ndim - sum(i is not None and i is not Ellipsis for i in index))
        elif isinstance(item, slice):
            ends = [None if end is None else to.length(end) for end in (item.start, item.stop, item.step)]
            if any(isinstance(end, tuple) for end in ends):
                raise NotLowered("a slice of lengths")
            items.append(slice(*ends))
        elif item is None:
            items.append(None)
        else:
            number = to.length(item)
            if isinstance(number, tuple):
                raise NotLowered("an index of lengths")
            items.append(number)
    to.put(node, to.step("slice", (to._number(x),), node, index=tuple(items)))


def _pad(to: _Lowering, node: Node, x: Ref) -> None:
    sides = list(node.get("pad"))
    if node.get("mode") != "constant" or not all(isinstance(n, (int, np.integer)) for n in sides):
        raise NotLowered("pad")
    ndim = len(to.graph.fact(x).shape)
    pairs = [(0, 0)] * (ndim - len(sides) // 2)
    pairs += [(int(sides[i]), int(sides[i + 1])) for i in range(len(sides) - 2, -1, -2)]
    to.put(node, to.step("pad", (to._number(x),), node, pairs=pairs, value=float(node.get("value"))))


def _mean(to: _Lowering, node: Node, x: Ref) -> None:
    dims = len(to.graph.fact(x).shape) - 2
    made = to.step("adaptive_avg_pool", (to._number(x),), node, output_size=[1] * dims)
    if not node.get("keepdims"):
        made = to.step("squeeze", (made,), node, axes=tuple(range(2, 2 + dims)))
    to.put(node, made)


def _interpolate(to: _Lowering, node: Node, x: Ref) -> None:
    dims = len(to.graph.fact(x).shape) - 2
    size, factor = node.get("size"), node.get("scale_factor")
    params: dict[str, Any] = {"mode": node.get("mode"), "align_corners": bool(node.get("align_corners"))}
    given = size if factor is None else factor
    each = list(given) if isinstance(given, (tuple, list)) else [given] * dims
    if factor is None:
        params["size"] = tuple(to.length(n) for n in each)
    else:
        params["scale"] = tuple(float(f) for f in each)
    to.put(node, to.step("interpolate", (to._number(x),), node, **params))


def _pool(to: _Lowering, node: Node, x: Ref) -> None:
    kind, dims = node.value[:-2], int(node.value[-2])
    if len(to.graph.fact(x).shape) != dims + 2:
        raise NotLowered("one image without its batch")

    def each(name: str) -> list[int | None]:
        given = node.get(name)
        numbers = list(given) if isinstance(given, (tuple, list)) else [given] * dims
        if not all(n is None or isinstance(n, (int, np.integer)) for n in numbers):
            raise NotLowered(name)
        return [None if n is None else int(n) for n in numbers]

    if kind.startswith("adaptive"):
        sizes = each("output_size")
        if any(n == 0 for n in sizes):
            raise NotLowered("nothing comes out")
        to.put(node, to.step(kind, (to._number(x),), node, output_size=sizes))
        return
    params: dict[str, Any] = {
        "kernel_size": each("kernel_size"),
        "padding": each("padding"),
        "ceil_mode": bool(node.get("ceil_mode")),
    }
    params["stride"] = params["kernel_size"] if node.get("stride") is None else each("stride")
    if kind == "max_pool":
        params["dilation"] = each("dilation")
    else:
        params["count_include_pad"] = bool(node.get("count_include_pad"))
        if node.get("divisor_override") is not None:
            params["divisor_override"] = int(node.get("divisor_override"))
    to.put(node, to.step(kind, (to._number(x),), node, **params))


_MOVES: dict[str, _Move] = {
    "relu": _relu,
    "clip": _clip,
    "reshape": _reshape,
    "transpose": _transpose,
    "getitem": _getitem,
    "pad": _pad,
    "mean": _mean,
    "interpolate": _interpolate,
}


@_step("reshape", "transpose", "getitem")
def _moved_floats(to: _Lowering, node: Node) -> None:
    """The same steps move floats."""
    (x,) = node.inputs
    if str(to.graph.fact(x).dtype) not in _DTYPES:
        raise NotLowered("dtype")
    _MOVES[node.kind](to, node, x)
