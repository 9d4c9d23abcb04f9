"""One run of `forward` on stand-ins, which writes down what is computed."""

# Trees of whatever a model takes and gives: their leaves have no type that could be said.
# pyright: reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportUnknownMemberType=false, reportUnknownLambdaType=false

from __future__ import annotations

import itertools
import os
import sys
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Any, NoReturn

import numpy as np

import quantray
from quantray._core import QTensor
from quantray.graph._functions import function_of, name_of, wrapped
from quantray.graph._graph import Fact, Node, Place, Ref, Refusal, leaves, map_tree, map_wires
from quantray.graph._lengths import Length, Shape
from quantray.graph._values import Storage, Value, View, Whole, example_of, has_value
from quantray.nn._gradients import untraced
from quantray.nn._module import Module
from quantray.nn._tracing import is_whole, state

#: Code that is not the model's own: lines are looked for beyond it.
_NOT_THE_MODELS = tuple(
    os.path.dirname(os.path.abspath(module.__file__ or "")) + os.sep for module in (quantray, np)
)
_SCIPY = f"{os.sep}site-packages{os.sep}scipy{os.sep}"

#: Functions that write into their first argument.
_WRITE = frozenset({np.copyto, np.put, np.place, np.putmask, np.fill_diagonal, np.put_along_axis})

#: Functions whose result, for one stand-in, is a view of it wherever it can be.
_VIEWS = frozenset(
    {
        *(f"array.{name}" for name in ("getitem", "identity")),
        *(
            f"ndarray.{name}"
            for name in ("reshape", "transpose", "swapaxes", "squeeze", "ravel", "diagonal", "view")
        ),
        *(
            f"numpy.{name}"
            for name in [
                "reshape",
                "transpose",
                "swapaxes",
                "moveaxis",
                "rollaxis",
                "expand_dims",
                "squeeze",
                "ravel",
                "diagonal",
                "real",
                "imag",
                "atleast_1d",
                "atleast_2d",
                "atleast_3d",
                "matrix_transpose",
                "permute_dims",
            ]
        ),
        *(f"functional.{name}" for name in ("flatten", "unflatten")),
    }
)

#: Decisions on values, which Python would take in silence.
_DECISIONS = frozenset({np.allclose, np.array_equal, np.array_equiv, np.may_share_memory, np.shares_memory})


class Refused(TypeError):
    """Code that cannot become nodes, with file and line."""

    def __init__(self, reason: str, at: Place) -> None:
        super().__init__(f"{at}: {reason}")
        self.reason, self.at = reason, at


def where() -> Place:
    """The line of the model's code that is running."""
    frame = sys._getframe(1)
    while frame is not None:
        file = frame.f_code.co_filename
        if not file.startswith((*_NOT_THE_MODELS, "<__array_function__", "<frozen")) and _SCIPY not in file:
            return Place(file, frame.f_lineno)
        frame = frame.f_back  # type: ignore[assignment]
    return Place("?", 0)


class _Call:
    """A module's call that is under way."""

    __slots__ = ("first", "path")

    def __init__(self, path: str, first: int) -> None:
        self.path, self.first = path, first


class Tracer:
    """Writes down what `forward` does. Nodes have numbers while it runs, and get their names at the end.

    Parameters
    ----------
    model : Module or callable
        What is captured.
    python : frozenset of str
        Paths of modules that are known to run as Python.
    changing : frozenset of (str, int)
        Hooks, by module and key, that are known to change what they are given.
    """

    def __init__(
        self, model: Any, python: frozenset[str] = frozenset(), changing: frozenset[Any] = frozenset()
    ) -> None:
        self.model, self.python, self.changing = model, python, changing
        self.nodes: list[Node] = []
        self.guards: list[tuple[Any, Any, Place, bool]] = []
        self.refusals: list[Refusal] = []
        self.refused: list[Refused] = []
        self._calls: list[_Call] = []
        self._paths: dict[int, str] = {}
        self._singles: dict[int, str] = {}
        self._settled: set[str] = set()
        if isinstance(model, Module):
            for path, module in model.named_modules():
                self._paths.setdefault(id(module), path)
        #: Stand-ins of parameters and buffers, by their array's id: arrays are kept alive by `_kept`.
        self._arrays: dict[int, Value] = {}
        self._constants: dict[int, Ref] = {}
        #: The lengths that a node's result is made of, where it is made of nothing else.
        self._from_lengths: dict[str, list[Length]] = {}
        self._kept: list[Any] = []
        self._undo: list[tuple[Storage, Ref, Any, int]] = []

    def where(self) -> Place:
        """What is running: a line of the model's code, or a node of the file that it comes from."""
        file = getattr(self.model, "_file", "")
        return Place(f"{file}, {self._calls[-1].path}", 0) if file and self._calls else where()

    # The life of a capture

    def is_current(self) -> bool:
        """Whether this is the capture that is under way on this thread."""
        return state.tracer is self

    @contextmanager
    def running(self) -> Generator[None]:
        """As long as this lasts, calls on this thread are written down."""
        before, state.tracer = state.tracer, self
        try:
            yield
        finally:
            state.tracer = before

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

    def guard(self, expr: Any, outcome: Any, *, needs_number: bool) -> None:
        """Notes that something was decided by lengths."""
        self.guards.append((expr, outcome, self.where(), needs_number))

    # Nodes

    def add(
        self,
        kind: str,
        args: Any,
        kwargs: Any,
        examples: list[Any],
        value: Any = None,
        name: str | None = None,
    ) -> int:
        """A node; its number."""
        scope = self._calls[-1].path if self._calls else ""
        short = kind.rpartition(".")[2]
        wanted = name or (f"{scope}.{short}" if scope else short)
        facts = tuple(
            Fact(tuple(np.shape(e)), np.asarray(e).dtype if not hasattr(e, "dtype") else e.dtype)
            for e in examples
        )
        self.nodes.append(Node(wanted, kind, args, kwargs, facts, scope, self.where(), value))
        return len(self.nodes) - 1

    def ref(self, number: int, out: int = 0) -> Ref:
        """A wire of a node that has only a number yet."""
        return Ref(str(number), out)

    def lowered(self, value: Any) -> Any:
        """A leaf of arguments as a node holds it."""
        if type(value) is Value:
            return value._now()
        if type(value) is Length:
            return value.expr
        if type(value) is Whole:
            return value.ref
        if isinstance(value, (np.ndarray, QTensor)):
            return self._constant(value)
        if callable(value) and not isinstance(value, type):
            known = name_of(value)
            if known is None:
                self.refuse(f"a function is an argument: {value!r}")
        return value

    def _constant(self, array: Any) -> Ref:
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

    def input(self, name: str, array: Any) -> Value:
        """A stand-in of what the model is called with."""
        # A forward may change its input in place; the caller's array stays as it is.
        example = np.array(array)
        return Value(self, self.ref(self.add("input", (), {}, [example], None, name)), example)

    def raw(self, name: str, args: Any, kwargs: Any, examples: Any) -> tuple[Ref, Any]:
        """A node of arguments that are wires already, beside the examples that flow on them."""
        with self.paused():
            example = function_of(name)(*example_of(examples), **example_of(kwargs))
        number = self.add(name, map_tree(self.lowered, args), map_tree(self.lowered, kwargs), [example])
        return self.ref(number), example

    def emit(
        self, name: str, args: Any, kwargs: Any, function: Callable[..., Any] | None = None, value: Any = None
    ) -> Any:
        """A function's call as a node: its result as stand-ins."""
        # Wires first: an example that is written to later must not be seen.
        lowered_args, lowered_kwargs = map_tree(self.lowered, args), map_tree(self.lowered, kwargs)
        concrete = example_of(args), example_of(kwargs)
        with self.paused():
            result = (function or function_of(name))(*concrete[0], **concrete[1])
        found = leaves(result)
        for item in found:
            if isinstance(item, QTensor):
                self.refuse(f"{name} makes a QTensor")
            if not isinstance(item, (np.ndarray, np.generic)) and item is not None:
                self.refuse(f"{name} makes a Python {type(item).__name__} of an array's values")
        number = self.add(name, lowered_args, lowered_kwargs, [e for e in found if e is not None], value)
        given = [leaf for leaf in leaves((args, kwargs)) if type(leaf) is Value]
        count = iter(range(len(found)))
        first = args[0] if args and type(args[0]) is Value else None

        def stand_in(item: Any) -> Any:
            if item is None:
                return None
            ref = self.ref(number, next(count))
            if not isinstance(item, np.ndarray):
                return Value(self, ref, item)
            view = (View(name, args[1:], kwargs),)
            for source in given:
                example = source._example
                if item is example:
                    # What gives back its argument as it is: Dropout in evaluation, Identity.
                    if source is first:
                        same = View("array.identity", (), {})
                        return Value(self, ref, item, source._storage, (*source._views, same))
                    return source
                if not (
                    item.nbytes and isinstance(example, np.ndarray) and np.may_share_memory(item, example)
                ):
                    continue
                if np.shares_memory(item, example):
                    if name in _VIEWS and source is first and len(found) == 1:
                        return Value(self, ref, item, source._storage, (*source._views, *view))
                    made = Value(self, ref, item)
                    made._storage.shared_by = source._storage.shared_by = name
                    return made
            return Value(self, ref, item)

        return map_tree(stand_in, result)

    def note_write(self, storage: Storage) -> None:
        """Remembers what an array was before it is written to, for what is cut back."""
        self._undo.append((storage, storage.ref, storage.example, storage.version))

    def write_into(self, out: Any, result: Any, name: str) -> Any:
        """`out=`: a stand-in's elements become the result's."""
        if isinstance(out, tuple):
            out = out[0] if len(out) == 1 else out
        if type(out) is not Value:
            self.refuse(f"{name} writes into an array that was made outside of the graph: leave out= away")
        out._now()
        if result.dtype != out.dtype:
            if not np.can_cast(result.dtype, out.dtype, "same_kind"):
                raise TypeError(f"cannot write {result.dtype} of {name} into an array of {out.dtype}")
            result = result.astype(out.dtype)
        if np.shape(result._example) != np.shape(out._example):
            result = np.broadcast_to(result, out.shape)
        out._write(result)
        return out

    # What stand-ins and functions hand over

    def call_ufunc(self, ufunc: Any, method: str, args: Any, kwargs: dict[str, Any]) -> Any:
        """A ufunc, or a method of it."""
        if not self.is_current():
            self.refuse("an array that a forward kept from an earlier call is used")
        name = name_of(ufunc)
        if name is None:
            self.refuse(f"there is no name that finds the ufunc {ufunc.__name__} again")
        out = kwargs.pop("out", None)
        if method == "at":
            if type(args[0]) is not Value:
                self.refuse(f"{name}.at writes into an array that was made outside of the graph")
            args[0]._write(self.emit(wrapped("at", name), args, kwargs))
            return None
        if method != "__call__":
            name = f"{name}.{method}"
        if out is None or all(o is None for o in out):
            made = self.emit(name, args, kwargs)
            self._note_lengths(made, args, kwargs)
            return made
        if len(out) > 1:
            self.refuse(f"{name} writes into several arrays: leave out= away")
        if "where" in kwargs and type(out[0]) is Value:
            result = self.emit(wrapped("where", name), (out[0], *args), kwargs)
        else:
            result = self.emit(name, args, kwargs)
        return self.write_into(out[0], result, name)

    def _note_lengths(self, made: Any, args: Any, kwargs: Any) -> None:
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

    def call_numpy(self, function: Any, args: Any, kwargs: dict[str, Any]) -> Any:
        """A function of NumPy's."""
        answer = _ABOUT.get(function)
        if answer is not None:
            return answer(*args, **kwargs)
        if not self.is_current():
            self.refuse("an array that a forward kept from an earlier call is used")
        if function in _DECISIONS:
            self.refuse(f"a decision on values (np.{function.__name__})")
        if function in (np.split, np.array_split, getattr(np, "unstack", None)) and type(args[0]) is Value:
            return _split(function, *args, **kwargs)
        name = name_of(function)
        if name is None:
            self.refuse(f"there is no name that finds the function {function!r} again")
        if function in _WRITE:
            if type(args[0]) is not Value:
                self.refuse(f"{name} writes into an array that was made outside of the graph")
            args[0]._write(self.emit(wrapped("into", name), args, kwargs))
            return None
        out = kwargs.pop("out", None)
        result = self.emit(name, args, kwargs)
        return result if out is None else self.write_into(out, result, name)

    def call_function(self, function: Any, args: Any, kwargs: Any) -> Any:
        """A function of `nn.functional`; as it is, where no argument is a stand-in."""
        if not (has_value(args) or has_value(kwargs)):
            with self.paused():
                return function(*args, **kwargs)
        return self.emit(f"functional.{function.__name__}", args, kwargs, function)

    def as_floats(self, value: Any) -> Any:
        """A stand-in as one of float32."""
        if type(value) is not Value:
            return None
        return value if value.dtype == np.float32 else value.astype(np.float32)

    def attribute(self, module: Module, name: str, value: Any) -> Any:
        """The stand-in of a parameter or a buffer; other arrays, and those of strangers, as they are."""
        value = untraced(value)
        path = self._paths.get(id(module))
        if path is None or not isinstance(value, np.ndarray):
            return value
        known = self._arrays.get(id(value))
        if known is None:
            full = f"{path}.{name}" if path else name
            number = self.add("parameter", (), {}, [value], (path, name), full)
            ref = self.ref(number)
            known = Value(self, ref, value, Storage(ref, value, full))
            self._arrays[id(value)] = known
            self._kept.append(value)
        return known

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
            todo += [wire.node for wire in node.inputs]
        return True

    # Modules

    def call_module(self, module: Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """A module's call: its forward's nodes; one node, where it has state of its own or runs as Python."""
        path = self._paths.get(id(module))
        if path is None:
            # Made inside of forward, or kept elsewhere: its parameters are constants.
            return module._call(args, kwargs)
        self._calls.append(_Call(path, len(self.nodes)))
        try:
            return self._call_known(module, path, args, kwargs)
        finally:
            call = self._calls.pop()
            self._note_single(call)

    def _note_single(self, call: _Call) -> None:
        """A module whose call is one node gives it its name."""
        made = [
            i
            for i in range(call.first, len(self.nodes))
            if self.nodes[i].kind not in ("parameter", "constant", "tap")
        ]
        if len(made) == 1 and call.path:
            self._singles[made[0]] = call.path

    def _call_known(self, module: Module, path: str, args: Any, kwargs: Any) -> Any:
        for key in tuple(module._pre_hooks):
            args = self._hook(module, path, "pre", key, args, None)
        if path in self.python:
            output = self._as_python(module, path, args, kwargs)
        elif is_whole(module):
            output = self._as_whole(module, path, args, kwargs)
        else:
            output = self._forward(module, path, args, kwargs)
        for key in tuple(module._hooks):
            output = self._hook(module, path, "post", key, args, output)
        return output

    def _as_whole(self, module: Module, path: str, args: Any, kwargs: Any) -> Any:
        """A module with state of its own: its call is a node. It runs on a copy, whose state may move."""

        def run(*args: Any, **kwargs: Any) -> Any:
            return _stateless_copy(module).forward(*args, **kwargs)

        return self.emit("module", args, kwargs, run, path)

    def _as_python(self, module: Module, path: str, args: Any, kwargs: Any) -> Any:
        def run(*args: Any, **kwargs: Any) -> Any:
            return module.forward(*args, **kwargs)

        if path:
            before = map_tree(_copied, example_of((args, kwargs)))
            # What it changes of itself it changes when it runs, and not for examples.
            states = [(each, _attributes(each)) for each in module.modules()]
            try:
                made = self.emit("python", args, kwargs, run, path)
            finally:
                for each, state_before in states:
                    _restore(each, state_before)
            for array, old in zip(leaves(example_of((args, kwargs))), leaves(before), strict=True):
                if isinstance(old, np.ndarray) and not np.array_equal(
                    array, old, equal_nan=old.dtype.kind in "fc"
                ):
                    self.refuse(f"{path} runs as Python, and changes an array that it is given")
            return made
        # What the model itself gives back may be anything: numbers, lists that are never of one length.
        lowered = map_tree(self.lowered, args), map_tree(self.lowered, kwargs)
        given = map_tree(_copied, example_of((args, kwargs)))
        states = [(each, _attributes(each)) for each in module.modules()]
        try:
            with self.paused():
                example = run(*given[0], **given[1])
        finally:
            for each, state_before in states:
                _restore(each, state_before)
        ref = self.ref(self.add("python", *lowered, [np.empty((), object)], path))
        return Whole(ref, example)

    def _forward(self, module: Module, path: str, args: Any, kwargs: Any) -> Any:
        mark = len(self.nodes), len(self.guards), len(self._undo), len(self.refused)
        before = _attributes(module)
        reason: Refused | None = None
        output: Any = None
        try:
            output = module.forward(*args, **kwargs)
        except Refused as error:
            reason = error
        except Exception:
            if len(self.refused) == mark[3]:
                raise
        if reason is None and len(self.refused) > mark[3]:
            reason = self.refused[mark[3]]
        changes = _changed_attributes(before, module)
        if reason is None and changes:
            code = type(module).forward.__code__
            at = Place(code.co_filename, code.co_firstlineno)
            lazily = all(not has_value(value) for _, value in changes)
            if lazily and path not in self._settled:
                # What is set up at the first call may be there at the second one.
                self._settled.add(path)
                self._cut_back(mark)
                return self._forward(module, path, args, kwargs)
            names = ", ".join(name for name, _ in changes)
            reason = Refused(f"forward changes {names} of its module in every call", at)
        if reason is None:
            return output
        if changes:
            _restore(module, before)
        self._cut_back(mark)
        del self.refused[mark[3] :]
        self.refusals.append(Refusal(path, reason.reason, reason.at))
        return self._as_python(module, path, args, kwargs)

    def _cut_back(self, mark: tuple[int, int, int, int]) -> None:
        """Forgets what was written down since."""
        nodes, guards, writes, _ = mark
        for storage, ref, example, version in reversed(self._undo[writes:]):
            storage.ref, storage.example, storage.version = ref, example, version
        del self.nodes[nodes:], self.guards[guards:], self._undo[writes:]
        self._arrays = {key: v for key, v in self._arrays.items() if int(v._storage.ref.node) < nodes}
        self._constants = {key: ref for key, ref in self._constants.items() if int(ref.node) < nodes}
        self._from_lengths = {key: v for key, v in self._from_lengths.items() if int(key) < nodes}
        self._singles = {number: path for number, path in self._singles.items() if number < nodes}
        paths = {r.scope for r in self.refusals}
        self.refusals = [r for r in self.refusals if r.scope in paths and self._still_there(r.scope)]

    def _still_there(self, scope: str) -> bool:
        return any(node.kind == "python" and node.value == scope for node in self.nodes)

    def _hook(self, module: Module, path: str, when: str, key: int, args: Any, output: Any) -> Any:
        """A hook: it only looks, unless it is known to change what it is given."""
        given = args if when == "pre" else output
        if (path, when, key) not in self.changing:
            lowered = map_tree(self.lowered, (args, output))
            self.add("tap", lowered, {}, [], (path, when, key), f"{path}.tap" if path else "tap")
            return given

        def run(args: Any, output: Any) -> Any:
            hooks = module._pre_hooks if when == "pre" else module._hooks
            # It may change them in place, and nothing else must see that.
            args, output = map_tree(_copied, args), map_tree(_copied, output)
            hook: Any = hooks[key]
            changed = hook(module, args) if when == "pre" else hook(module, args, output)
            if changed is None:
                return args if when == "pre" else output
            return changed if when == "post" or isinstance(changed, tuple) else (changed,)

        return self.emit("hook", (args, output), {}, run, (path, when, key))

    # The end

    def named(self, nodes: list[Node]) -> tuple[dict[str, Node], Callable[[Any], Any]]:
        """Nodes with names of their own, and what puts names in the place of numbers in a tree.

        `nodes` are its own, as two runs have shown them to be.
        """
        names: list[str] = []
        taken: dict[str, int] = {}
        for number, node in enumerate(nodes):
            wanted = self._singles.get(number, node.name)
            taken[wanted] = taken.get(wanted, 0) + 1
            name = wanted if taken[wanted] == 1 else f"{wanted}#{taken[wanted]}"
            while name in taken and taken[wanted] > 1:
                taken[wanted] += 1
                name = f"{wanted}#{taken[wanted]}"
            taken.setdefault(name, 1)
            names.append(name)

        def renamed(tree: Any) -> Any:
            return map_wires(lambda ref: Ref(names[int(ref.node)], ref.out), tree)

        made = {
            name: node.but(name=name, args=renamed(node.args), kwargs=renamed(dict(node.kwargs)))
            for name, node in zip(names, nodes, strict=True)
        }
        return made, renamed


def apply(name: str, *args: Any, **kwargs: Any) -> Any:
    """Calls a function by its name: a node, where a capture is under way and an argument is a stand-in."""
    tracer = state.tracer
    if isinstance(tracer, Tracer) and (has_value(args) or has_value(kwargs)):
        return tracer.emit(name, args, kwargs)
    return function_of(name)(*args, **kwargs)


def _copied(leaf: Any) -> Any:
    return leaf.copy() if isinstance(leaf, np.ndarray) else leaf


def _stateless_copy(module: Module) -> Module:
    """A module that shares its arrays, but whose own tables may change."""
    made = module.__class__.__new__(module.__class__)
    made.__dict__.update(module.__dict__)
    for table in ("_parameters", "_buffers"):
        plain = {k: untraced(v) for k, v in module.__dict__[table].items()}
        copies = {
            k: v.copy() if isinstance(v, np.ndarray) and table == "_buffers" else v for k, v in plain.items()
        }
        made.__dict__[table] = copies
    made.__dict__["_modules"] = {
        name: None if child is None else _stateless_copy(child) for name, child in module._modules.items()
    }
    made.__dict__["_runner"], made.__dict__["_marks"] = None, ()
    return made


def _attributes(module: Module) -> dict[str, Any]:
    """What a module's attributes are: its tables' entries each by itself."""
    found: dict[str, Any] = {}
    for name, value in module.__dict__.items():
        if name in ("_parameters", "_buffers", "_modules"):
            found.update({f"{name}.{key}": item for key, item in value.items()})
        elif name not in ("_runner", "_marks"):
            found[name] = value
    return found


def _changed_attributes(before: dict[str, Any], module: Module) -> list[tuple[str, Any]]:
    now = _attributes(module)
    changed = [
        (name, value) for name, value in now.items() if name not in before or before[name] is not value
    ]
    changed += [(name, None) for name in before if name not in now]
    # What NumPy or Python may have made again as it was.
    changed = [(n, v) for n, v in changed if not (n in before and _is_equal(before[n], v))]
    return [(name.rpartition(".")[2], value) for name, value in changed]


def _is_equal(a: Any, b: Any) -> bool:
    return (
        type(a) is type(b)
        and isinstance(a, (int, float, str, bool, tuple))
        and not has_value((a, b))
        and bool(a == b)
    )


def _restore(module: Module, before: dict[str, Any]) -> None:
    tables: dict[str, dict[str, Any]] = {"_parameters": {}, "_buffers": {}, "_modules": {}}
    plain: dict[str, Any] = {}
    for name, value in before.items():
        table, dot, key = name.partition(".")
        if dot and table in tables:
            tables[table][key] = value
        else:
            plain[name] = value
    kept = {name: module.__dict__[name] for name in ("_runner", "_marks")}
    module.__dict__.clear()
    module.__dict__.update({**plain, **tables, **kept})


def _split(function: Any, x: Any, sections: Any = None, axis: Any = 0) -> Any:
    """Parts as views of their own, so that writing to one after a split is no riddle."""
    axis = int(axis) % x.ndim
    before = (slice(None),) * axis
    if function is not np.split and function is not np.array_split:
        return tuple(x[(*before, i)] for i in range(np.shape(x._example)[axis]))
    if function is np.split and np.ndim(sections) == 0:
        each = x.shape[axis] // sections
        return [x[(*before, slice(i * each, (i + 1) * each))] for i in range(int(sections))]
    plain = map_tree(lambda n: n.__index__() if type(n) is Length else n, sections)
    lengths = [part.shape[axis] for part in function(x._example, plain, axis)]
    starts = np.cumsum([0, *lengths])
    return [x[(*before, slice(int(a), int(b)))] for a, b in itertools.pairwise(starts)]


def _examples(value: Any) -> Any:
    return map_tree(lambda leaf: leaf._example if type(leaf) is Value else leaf, value)


#: Functions that tell of an array without looking at its values.
_ABOUT: dict[Any, Callable[..., Any]] = {
    np.shape: lambda a: a.shape if type(a) is Value else Shape(np.shape(a)),
    np.ndim: lambda a: a.ndim,
    np.size: lambda a, axis=None: a.size if axis is None else a.shape[axis],
    np.iscomplexobj: lambda a: a.dtype.kind == "c",
    np.isrealobj: lambda a: a.dtype.kind != "c",
    np.result_type: lambda *args: np.result_type(*_examples(args)),
    np.can_cast: lambda *args, **kwargs: np.can_cast(*_examples(args), **kwargs),
}
