"""From a graph of integers to the program that runs it in one call.

Each integer node is a step of the program, and so is each float node that there is a kernel for; all others
are calls back into NumPy.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias, TypeGuard

import numpy as np

from quantray import _core, nn, ops
from quantray._typing import Array, DType, Tensor
from quantray.graph import Expr, Graph, Node, Ref
from quantray.graph._graph import wires
from quantray.graph._lengths import evaluate
from quantray.graph._run import parameter_of
from quantray.graph._trees import is_tuple, leaves, map_tree
from quantray.nn.quantized._grid import Grid
from quantray.quantization._fusing import expanded
from quantray.quantization._integers import compute

#: Dtypes that steps know; arrays of others only go into calls.
DTYPES = ("float32", "int64", "int32", "uint8", "int8", "bool")
#: Functions of lengths that the program works out.
_FUNCTIONS = {name: name for name in ("add", "sub", "mul", "floordiv", "mod", "neg", "min", "max")}


#: A length as steps take it: a number, or how it is worked out: ("dim", value, axis), ("mul", a, b), ...
Length: TypeAlias = "int | tuple[str | Length, ...]"
#: What `ops.Program` is made of: an operation, what it takes, what it makes, its settings.
Step: TypeAlias = tuple[str, tuple[int, ...], int | tuple[int, ...], dict[str, object]]


class NotLowered(Exception):
    """A node that is no step: it is called."""


def is_whole(value: object) -> TypeGuard[int | np.integer[Any]]:
    """Whether it is a whole number, of Python's or of NumPy's."""
    return isinstance(value, (int, np.integer))


class Lowered:
    """A graph as a program, and where its results belong."""

    def __init__(self, program: ops.Program, output: object, called: tuple[str, ...]) -> None:
        self.program, self.output = program, output
        #: Nodes that are calls into Python.
        self.called = called
        #: Whether it returns a plain tuple of arrays, in their order.
        self.is_flat = (
            output.__class__ is tuple
            and is_tuple(output)
            and all(isinstance(e, _Slot) and e.index == i and e.dtype is None for i, e in enumerate(output))
        )

    def __call__(self, inputs: Sequence[Tensor]) -> object:
        """What the model returns."""
        made = self.program(*inputs)
        if isinstance(self.output, _Slot):
            return self.output.of(made)
        if self.is_flat:
            return tuple(made)
        return map_tree(lambda leaf: leaf.of(made) if isinstance(leaf, _Slot) else leaf, self.output)


class _Slot:
    """Where a result of the program is in what the model returns."""

    __slots__ = ("dtype", "index")

    def __init__(self, index: int, dtype: DType) -> None:
        self.index = index
        #: What calls give of integers that steps do not know: those come as int64.
        self.dtype = dtype if dtype.kind in "iu" and str(dtype) not in DTYPES else None

    def of(self, made: Sequence[Array]) -> Array:
        """The result."""
        found = made[self.index]
        return found if self.dtype is None else found.astype(self.dtype)


def lower(graph: Graph, model: nn.Module, grids: Mapping[Ref, Grid], *, is_near: bool = False) -> Lowered:
    """The program of a graph; what only decides whether the graph is the right one is no part of it.

    With `is_near` sums of floats may be added up in another order than the nodes' own.
    """
    # What lowers nodes of other families registers itself.
    from quantray.quantization import (
        _attention_steps,
        _box_steps,
        _created_steps,
        _element_steps,
        _float_steps,
        _image_steps,
        _index_steps,
        _integer_steps,
        _layer_steps,
        _move_steps,
        _norm_steps,
        _onnx_steps,
        _place_steps,
        _reduction_steps,
    )

    del _attention_steps, _box_steps, _created_steps, _element_steps, _float_steps, _image_steps
    del _index_steps, _integer_steps, _layer_steps, _move_steps, _norm_steps, _onnx_steps
    del _place_steps, _reduction_steps
    return Lowering(expanded(graph.but(guards=()).pruned()), model, grids, is_near).result()


def settings_of(grid: Grid) -> tuple[float | int | _core.dtype, ...]:
    """A grid as steps take it."""
    return (*grid.output, grid.quant_min, grid.quant_max)


class Lowering:
    """One graph's way to a program."""

    def __init__(
        self, graph: Graph, model: nn.Module, grids: Mapping[Ref, Grid], is_near: bool = False
    ) -> None:
        self.graph, self.model, self.grids, self.is_near = graph, model, grids, is_near
        self.numbers: dict[Ref, int] = {}
        self.steps: list[Step] = []
        self.called: list[str] = []
        self.count = 0
        self.users = graph.users()
        #: Nodes whose outputs, or the lengths of these, are asked for beside the nodes that take them.
        self.asked = self._asked()
        self.merged = self._merged()
        #: Nodes that the step of one before them computes, too.
        self.absorbed: set[str] = set()
        #: What depends on no input, computed once.
        self.fixed: dict[Ref, Tensor] = {}
        self.inputs: list[str] = []
        for name in graph.inputs:
            self.numbers[Ref(name)] = self._new()
            dtype = str(graph.nodes[name].facts[0].dtype)
            self.inputs.append(dtype if dtype in DTYPES else "object")
        for node in graph:
            done = node.kind == "input" or node.name in self.merged or node.name in self.absorbed
            if not done and not self._is_fixed(node):
                self._add(node)

    def result(self) -> Lowered:
        """The program, made."""
        outputs: list[int] = []

        def slot(leaf: object) -> object:
            if not isinstance(leaf, Ref):
                return leaf
            outputs.append(self.number(leaf))
            return _Slot(len(outputs) - 1, self.graph.fact(leaf).dtype)

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
        if node.kind in ("tap", "hook", "python") or not all(ref in self.fixed for ref in refs):
            return False

        def leaf(value: object) -> object:
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

    def known(self, value: object) -> object:
        """What an argument always is, also where its node comes later; else the argument itself."""
        if not isinstance(value, Ref):
            return value
        node = self.graph.nodes[value.node]
        if value not in self.fixed and node.kind != "input":
            self._is_fixed(node)
        return self.fixed.get(value, value)

    def _new(self) -> int:
        self.count += 1
        return self.count - 1

    def number(self, ref: Ref) -> int:
        """A value's number; that of what is fixed is made when it is first wanted."""
        if ref not in self.numbers:
            if ref not in self.fixed:
                raise NotLowered(ref.node)
            value = self.fixed[ref]
            self.numbers[ref] = self.constant(value)
        return self.numbers[ref]

    def constant(self, value: Tensor) -> int:
        """The number of an array that is always the same."""
        made = self._new()
        if isinstance(value, _core.QTensor) and str(value.qscheme()).endswith("per_tensor_affine"):
            # The values of codes are on their grid for sure.
            floats = self.constant(np.asarray(value.dequantize()))
            is_signed = value.int_repr().dtype == np.int8
            low, high = (-128, 127) if is_signed else (0, 255)
            grid = Grid(value.q_scale(), value.q_zero_point(), "qint8" if is_signed else "quint8", low, high)
            self.steps.append(("quantize", (floats,), made, {"grid": settings_of(grid)}))
        elif str(np.asarray(value).dtype) in DTYPES and not isinstance(value, _core.QTensor):
            self.steps.append(("constant", (), made, {"value": np.asarray(value)}))
        else:
            params: dict[str, object] = {"function": lambda: value, "codes": True, "count": 1}
            self.steps.append(("call", (), made, params))
        return made

    def terms_of_sum(self, ref: Ref, taker: Node) -> tuple[int, ...] | None:
        """The terms of a sum that one node alone takes, which adds them up itself: its step goes."""
        if self.steps and self.steps[-1][0] == "add" and self.numbers.get(ref) == self.steps[-1][2]:
            node = self.graph.nodes[ref.node]
            shapes = {self.graph.fact(r).shape for r in node.inputs}
            alone = self.users.get(ref) == [taker.name] and ref.node not in self.asked
            if alone and len(node.inputs) == 2 and len(shapes) == 1 and not self.steps[-1][3].get("relu"):
                return self.steps.pop()[1]
        return None

    def _asked(self) -> set[str]:
        found = {ref.node for ref in wires(self.graph.output)}
        for node in self.graph:
            lengths = [leaf for leaf in leaves((node.args, dict(node.kwargs))) if isinstance(leaf, Expr)]
            found |= {ref.node for ref in wires(lengths)}
        return found

    def only_user(self, node: Node) -> Node | None:
        """The one node that takes what another one makes, where nothing else asks for it."""
        takers = self.users.get(Ref(node.name), [])
        alone = len(takers) == 1 and len(node.facts) == 1 and node.name not in self.asked
        return self.graph.nodes[takers[0]] if alone else None

    def _merged(self) -> set[str]:
        """Layers of floats that a sum alone takes: the sum is part of their step."""
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
                    and layer.name not in self.asked
                    and node.args[0] != node.args[1]
                ):
                    found.add(layer.name)
                    break
        return found

    def _add(self, node: Node) -> None:
        begin = len(self.steps), self.count, dict(self.numbers), set(self.absorbed)
        try:
            steps_of(node.kind)(self, node)
        except NotLowered:
            del self.steps[begin[0] :]
            self.count, self.numbers, self.absorbed = begin[1:]
            self._call(node)

    def step(self, op: str, sources: tuple[int, ...], node: Node, **params: object) -> int:
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
        sources = tuple(self.number(ref) for ref in moving)
        model, grids = self.model, self.grids

        def run(*arrays: Tensor) -> Tensor | tuple[Tensor, ...]:
            values = fixed | dict(zip(moving, arrays, strict=True))

            def leaf(value: object) -> object:
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

    def length(self, value: object) -> Length:
        """A length as steps take it."""
        if isinstance(value, Expr):
            if value.op == "dim":
                ref, axis = value.args
                if ref.node in self.merged:
                    raise NotLowered(ref.node)
                return ("dim", self.number(ref), int(axis))
            if value.op == "truediv" and value.args[1] == 1:
                return self.length(value.args[0])
            if value.op not in _FUNCTIONS:
                raise NotLowered(value.op)
            return (_FUNCTIONS[value.op], *(self.length(arg) for arg in value.args))
        if not is_whole(value):
            raise NotLowered(repr(value))
        return int(value)


def _as_array(value: object) -> Tensor:
    if value is None:
        return np.zeros(0, np.float32)
    return value if isinstance(value, _core.QTensor) else np.asarray(value)


# Steps by kind

_StepOf = Callable[[Lowering, Node], None]
_STEPS: dict[str, _StepOf] = {}


def steps_of(kind: str) -> _StepOf:
    """What makes steps of nodes of a kind; it raises NotLowered where there are none."""
    return _STEPS.get(kind, _as_call)


def _as_call(to: Lowering, node: Node) -> None:
    raise NotLowered(node.kind)


def step_of(*kinds: str) -> Callable[[_StepOf], _StepOf]:
    """Decorates what lowers nodes of some kinds."""

    def add(function: _StepOf) -> _StepOf:
        for kind in kinds:
            _STEPS[kind] = function
        return function

    return add


@step_of("tap")
def _tap(to: Lowering, node: Node) -> None:
    raise NotLowered(node.kind)
