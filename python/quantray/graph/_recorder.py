"""What a capture writes down: nodes of wires, and what was decided by lengths."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from typing import NoReturn, cast

import numpy as np

from quantray._core import QTensor
from quantray._typing import Array, DType, Tensor
from quantray.graph._array_functions import ABOUT, DECISIONS, VIEWS, WRITE, split
from quantray.graph._called import Called
from quantray.graph._counted import Counted
from quantray.graph._functions import function_of, name_of, wrapped
from quantray.graph._graph import Expr, Fact, Node, Place, Ref, Refusal, leaves, map_tree
from quantray.graph._lengths import Length, is_always_so
from quantray.graph._origins import Known
from quantray.graph._refused import Refused, where
from quantray.graph._trees import is_array, is_tuple
from quantray.graph._values import Storage, Value, View, Whole, examples_of
from quantray.nn._module import Module
from quantray.nn._tracing import state

#: Kinds that may give back one of their arguments in one call, and another one in the next.
_BY_VALUES = frozenset({"python", "module", "hook"})


class Call:
    """A module's call that is under way."""

    __slots__ = ("first", "path")

    def __init__(self, path: str, first: int) -> None:
        self.path, self.first = path, first


class Recorder:
    """Nodes as they are written down: with numbers while a capture runs, and with names at its end.

    Parameters
    ----------
    model : Module or callable
        What is captured.
    """

    def __init__(self, model: Module | Callable[..., object]) -> None:
        self.model = model
        self.nodes: list[Node] = []
        self.known = Known()
        self.guards: list[tuple[Expr | Ref, object, Place, bool]] = []
        self.refusals: list[Refusal] = []
        self.refused: list[Refused] = []
        #: Finished calls of modules that stand for nodes of files, and the numbers of their nodes.
        self.calls: list[tuple[Called, range]] = []
        self._calls: list[Call] = []
        self._paths: dict[int, str] = {}
        #: Names that finished calls of modules give their only nodes, by the nodes' numbers.
        self.singles: dict[int, str] = {}
        self._settled: set[str] = set()
        if isinstance(model, Module):
            for path, module in model.named_modules():
                self._paths.setdefault(id(module), path)
        #: Stand-ins of parameters and buffers, by their array's id: arrays are kept alive by `_kept`.
        self._arrays: dict[int, Value] = {}
        self._constants: dict[int, Ref] = {}
        #: The lengths that a node's result is made of, where it is made of nothing else.
        self._from_lengths: dict[str, list[Length]] = {}
        self.counted = Counted(self.nodes)
        self._kept: list[object] = []
        self._undo: list[tuple[Storage, Ref, Array, int]] = []

    def where(self) -> Place:
        """What is running: a line of the model's code, or a node of the file that it comes from."""
        file = getattr(self.model, "_file", "")
        return Place(f"{file}, {self._calls[-1].path}", 0) if file and self._calls else where()

    # The life of a capture

    def is_current(self) -> bool:
        """Whether this is the capture that is under way on this thread."""
        return cast("object", state.tracer) is self

    @contextmanager
    def paused(self) -> Generator[None]:
        """As long as this lasts, calls on this thread are what they are without a capture."""
        before, state.tracer = state.tracer, None
        try:
            yield
        finally:
            state.tracer = before

    def refuse(self, reason: str, at: Place | None = None) -> NoReturn:
        """Says that something cannot become a node."""
        error = Refused(reason, at or self.where())
        # Kept, since `except` in the model's code may swallow it.
        self.refused.append(error)
        raise error

    def guard(self, expr: Expr, outcome: object, *, needs_number: bool) -> None:
        """Notes that something was decided by lengths, which are not what an earlier node has found."""
        if self.counted.is_in(expr) and not is_always_so(expr):
            self.refuse("a decision by how many elements an array has, which its values say")
        self.guards.append((expr, outcome, self.where(), needs_number))

    # Nodes

    def add(
        self,
        kind: str,
        args: tuple[object, ...],
        kwargs: dict[str, object],
        examples: Sequence[Tensor],
        value: object = None,
        name: str | None = None,
    ) -> int:
        """A node; its number."""
        scope = self._calls[-1].path if self._calls else ""
        short = kind.rpartition(".")[2]
        wanted = name or (f"{scope}.{short}" if scope else short)
        facts = tuple(
            # Of a quantized constant it is the dtype of its codes' tensor.
            Fact(
                tuple(np.shape(e)), cast("DType", np.asarray(e).dtype if not hasattr(e, "dtype") else e.dtype)
            )
            for e in examples
        )
        self.counted.note(str(len(self.nodes)), kind, args, kwargs)
        self.known.note(str(len(self.nodes)), kind, args, kwargs, facts)
        self.nodes.append(Node(wanted, kind, args, kwargs, facts, scope, self.where(), value))
        return len(self.nodes) - 1

    def ref(self, number: int, out: int = 0) -> Ref:
        """A wire of a node that has only a number yet."""
        return Ref(str(number), out)

    def lowered(self, value: object) -> object:
        """A leaf of arguments as a node holds it."""
        if type(value) is Value:
            return value._now()
        if type(value) is Length:
            return value.expr
        if type(value) is Whole:
            return value.ref
        if isinstance(value, (np.ndarray, QTensor)):
            return self._constant(cast("Tensor", value))
        if callable(value) and not isinstance(value, type):
            known = name_of(value)
            if known is None:
                self.refuse(f"a function is an argument: {value!r}")
        return value

    def _constant(self, array: Tensor) -> Ref:
        known = self._arrays.get(id(array))
        if known is not None:
            return known._now()
        if id(array) not in self._constants:
            self._kept.append(array)
            value = array if isinstance(array, QTensor) else array.copy()
            if not isinstance(array, QTensor):
                value.flags.writeable = False
            number = self.add("constant", (), {}, [array], value, "constant")
            self._constants[id(array)] = self.ref(number)
        return self._constants[id(array)]

    def input(self, name: str, array: Array) -> Value:
        """A stand-in of what the model is called with."""
        # A forward may change its input in place; the caller's array stays as it is.
        example = np.array(array)
        return Value(self, self.ref(self.add("input", (), {}, [example], None, name)), example)

    def raw(
        self, name: str, args: tuple[object, ...], kwargs: dict[str, object], examples: tuple[object, ...]
    ) -> tuple[Ref, Array]:
        """A node of arguments that are wires already, beside the examples that flow on them."""
        own, settings = examples_of(examples, kwargs)
        with self.paused():
            example = cast("Array", function_of(name)(*own, **settings))
        number = self.add(name, map_tree(self.lowered, args), map_tree(self.lowered, kwargs), [example])
        return self.ref(number), example

    def emit(
        self,
        name: str,
        args: tuple[object, ...],
        kwargs: dict[str, object],
        function: Callable[..., object] | None = None,
        value: object = None,
    ) -> object:
        """A function's call as a node: its result as stand-ins."""
        # Wires first: an example that is written to later must not be seen.
        lowered_args, lowered_kwargs = map_tree(self.lowered, args), map_tree(self.lowered, kwargs)
        own, settings = examples_of(args, kwargs)
        with self.paused():
            result = (function or function_of(name))(*own, **settings)
        found: list[Array] = []
        for item in leaves(result):
            if isinstance(item, QTensor):
                self.refuse(f"{name} makes a QTensor")
            if is_array(item):
                found.append(item)
            elif item is not None:
                self.refuse(f"{name} makes a Python {type(item).__name__} of an array's values")
        number = self.add(name, lowered_args, lowered_kwargs, found, value)
        given = [leaf for leaf in leaves((args, kwargs)) if type(leaf) is Value]
        count = iter(range(len(found)))
        first = args[0] if args and type(args[0]) is Value else None

        def stand_in(item: Array | None) -> Value | None:
            if item is None:
                return None
            ref = self.ref(number, next(count))
            if not isinstance(cast("object", item), np.ndarray):
                return Value(self, ref, item)
            view = (View(name, args[1:], kwargs),)
            for source in given:
                example = source._example
                has_memory = isinstance(cast("object", example), np.ndarray)
                if item is example and name not in _BY_VALUES:
                    # What gives back its argument as it is: Dropout in evaluation, Identity.
                    if source is first:
                        same = View("array.identity", (), {})
                        return Value(self, ref, item, source._storage, (*source._views, same))
                    return source
                if item is not example and not (
                    item.nbytes and has_memory and np.may_share_memory(item, example)
                ):
                    continue
                if item is example or np.shares_memory(item, example):
                    if name in VIEWS and source is first and len(found) == 1:
                        return Value(self, ref, item, source._storage, (*source._views, *view))
                    made = Value(self, ref, item)
                    made._storage.shared_by = source._storage.shared_by = name
                    return made
            return Value(self, ref, item)

        return map_tree(stand_in, result)

    def emit_one(self, name: str, args: tuple[object, ...], kwargs: dict[str, object]) -> Value:
        """The same of a function whose result is one array."""
        return cast("Value", self.emit(name, args, kwargs))

    def release(self) -> None:
        """Lets go of the model's arrays, now and not when Python next looks for what nobody has."""
        for value in self._arrays.values():
            # Whoever still has the stand-in sees its shape.
            was = value._storage.example
            like = np.broadcast_to(np.zeros((), was.dtype), was.shape)
            value._example = value._storage.example = like
        for held in (self._arrays, self._constants, self._kept, self._undo):
            held.clear()

    def note_write(self, storage: Storage) -> None:
        """Remembers what an array was before it is written to, for what is cut back."""
        self._undo.append((storage, storage.ref, storage.example, storage.version))

    def write_into(self, out: object, result: Value, name: str) -> Value:
        """`out=`: a stand-in's elements become the result's."""
        if is_tuple(out):
            out = out[0] if len(out) == 1 else out
        if type(out) is not Value:
            self.refuse(f"{name} writes into an array that was made outside of the graph: leave out= away")
        out._now()
        if result.dtype != out.dtype:
            if not np.can_cast(result.dtype, out.dtype, "same_kind"):
                raise TypeError(f"cannot write {result.dtype} of {name} into an array of {out.dtype}")
            result = result.astype(out.dtype)
        if np.shape(result._example) != np.shape(out._example):
            result = self.emit_one("numpy.broadcast_to", (result, out.shape), {})
        out._write(result)
        return out

    # What stand-ins hand over

    def call_ufunc(
        self, ufunc: np.ufunc, method: str, args: tuple[object, ...], kwargs: dict[str, object]
    ) -> object:
        """A ufunc, or a method of it."""
        if not self.is_current():
            self.refuse("an array that a forward kept from an earlier call is used")
        name = name_of(ufunc)
        if name is None:
            self.refuse(f"there is no name that finds the ufunc {ufunc.__name__} again")
        # NumPy gives a tuple, of one for each output.
        out = cast("tuple[object, ...] | None", kwargs.pop("out", None))
        if method == "at":
            target = args[0]
            if type(target) is not Value:
                self.refuse(f"{name}.at writes into an array that was made outside of the graph")
            target._write(self.emit_one(wrapped("at", name), args, kwargs))
            return None
        if method != "__call__":
            name = f"{name}.{method}"
        if out is None or all(o is None for o in out):
            made = self.emit(name, args, kwargs)
            self._note_lengths(made, args, kwargs)
            return made
        target, *others = out
        if others:
            self.refuse(f"{name} writes into several arrays: leave out= away")
        if "where" in kwargs and type(target) is Value:
            result = self.emit_one(wrapped("where", name), (target, *args), kwargs)
        else:
            result = self.emit_one(name, args, kwargs)
        return self.write_into(target, result, name)

    def _note_lengths(self, made: object, args: tuple[object, ...], kwargs: dict[str, object]) -> None:
        """Remembers what is made of lengths alone."""
        if kwargs or type(made) is not Value:
            return
        found: list[Length] = []
        for arg in args:
            if type(arg) is Length:
                found.append(arg)
            elif type(arg) is Value and arg._ref.node in self._from_lengths:
                found += self._from_lengths[arg._ref.node]
            elif type(arg) is Value or not isinstance(arg, (int, float, np.number)):
                return
        self._from_lengths[made._ref.node] = found

    def take_number(self, ref: Ref) -> bool:
        """Whether a wire is a number that lengths make; it is taken for granted then."""
        known = self._from_lengths.get(ref.node)
        for length in known or ():
            self.guard(length.expr, length.value, needs_number=True)
        return known is not None

    def call_numpy(
        self, function: Callable[..., object], args: tuple[object, ...], kwargs: dict[str, object]
    ) -> object:
        """A function of NumPy's."""
        answer = ABOUT.get(function)
        if answer is not None:
            return answer(*args, **kwargs)
        if not self.is_current():
            self.refuse("an array that a forward kept from an earlier call is used")
        if function in DECISIONS:
            self.refuse(f"a decision on values (np.{function.__name__})")
        if function in (np.split, np.array_split, getattr(np, "unstack", None)) and type(args[0]) is Value:
            return cast("Callable[..., object]", split)(function, *args, **kwargs)
        name = name_of(function)
        if name is None:
            self.refuse(f"there is no name that finds the function {function!r} again")
        if function in WRITE:
            target = args[0]
            if type(target) is not Value:
                self.refuse(f"{name} writes into an array that was made outside of the graph")
            target._write(self.emit_one(wrapped("into", name), args, kwargs))
            return None
        out = kwargs.pop("out", None)
        if out is None:
            return self.emit(name, args, kwargs)
        return self.write_into(out, self.emit_one(name, args, kwargs), name)

    def truth(self, value: Value) -> bool:
        """`bool` of a stand-in: of what comes from integers alone it is a guard."""
        ref = value._now()
        if self.take_number(ref):
            return bool(value._example)
        if not self._is_from_integers(ref):
            self.refuse(
                "a decision on values (if, while, and, or, not, assert) that are not known when a model is "
                "captured"
            )
        outcome = bool(value._example)
        self.guards.append((ref, outcome, self.where(), False))
        return outcome

    def _is_from_integers(self, ref: Ref) -> bool:
        seen: set[str] = set()
        todo = [ref.node]
        while todo:
            number = todo.pop()
            if number in seen:
                continue
            seen.add(number)
            node = self.nodes[int(number)]
            if node.kind in ("input", "parameter") and node.facts[0].is_float:
                return False
            if node.kind in ("module", "python"):
                return False
            todo += self.counted.sources(number)
        return True
