"""One run of `forward` on stand-ins: what modules, NumPy and `nn.functional` hand over becomes nodes."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Mapping
from contextlib import contextmanager
from typing import Any, TypeVar, cast

import numpy as np

from quantray._array_advice import note
from quantray._typing import Array, Floats
from quantray.graph._attributes import attributes, changed_attributes, restore, stateless_copy
from quantray.graph._called import ArrayOfLengths, Called
from quantray.graph._functions import function_of
from quantray.graph._graph import HookKey, Place, Refusal, leaves, map_tree
from quantray.graph._lengths import Length, is_length
from quantray.graph._recorder import Call, Recorder
from quantray.graph._refused import Refused
from quantray.graph._trees import is_array, is_tuple
from quantray.graph._values import Storage, Value, Whole, examples_of, has_value
from quantray.nn._gradients import untraced
from quantray.nn._module import Module
from quantray.nn._tracing import is_whole, state

R = TypeVar("R")
T = TypeVar("T")


class Tracer(Recorder):
    """Writes down what `forward` does, module by module and function by function.

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
        self,
        model: Module | Callable[..., object],
        python: frozenset[str] = frozenset(),
        changing: frozenset[HookKey] = frozenset(),
    ) -> None:
        super().__init__(model)
        self.python, self.changing = python, changing

    @contextmanager
    def running(self) -> Generator[None]:
        """As long as this lasts, calls on this thread are written down."""
        before, state.tracer = state.tracer, self
        try:
            yield
        finally:
            state.tracer = before

    # What `nn.functional` and modules hand over

    def call_function(
        self, function: Callable[..., R], args: tuple[object, ...], kwargs: Mapping[str, object]
    ) -> R:
        """A function of `nn.functional`; as it is, where no argument is a stand-in."""
        if not (has_value(args) or has_value(kwargs)):
            with self.paused():
                return function(*args, **kwargs)
        # Stand-ins are given where the function gives arrays.
        return cast("R", self.emit(f"functional.{function.__name__}", args, dict(kwargs), function))

    def as_floats(self, value: object) -> Floats | None:
        """A stand-in as one of float32."""
        if type(value) is not Value:
            return None
        # Stand-ins answer for arrays.
        return cast("Floats", value if value.dtype == np.float32 else value.astype(np.float32))

    def attribute(self, module: Module, name: str, value: T) -> T:
        """The stand-in of a parameter or a buffer; other arrays, and those of strangers, as they are."""
        plain: object = untraced(value)
        path = self._paths.get(id(module))
        if path is None or not isinstance(plain, np.ndarray):
            return cast("T", plain)
        array = cast("Array", plain)
        known = self._arrays.get(id(array))
        if known is None:
            full = f"{path}.{name}" if path else name
            number = self.add("parameter", (), {}, [array], (path, name), full)
            ref = self.ref(number)
            known = Value(self, ref, array, Storage(ref, array, full))
            self._arrays[id(array)] = known
            self._kept.append(array)
        return cast("T", known)

    # Modules

    def call_module(self, module: Module, args: tuple[object, ...], kwargs: dict[str, object]) -> object:
        """A module's call: its forward's nodes; one node, where it has state of its own or runs as Python."""
        path = self._paths.get(id(module))
        if path is None:
            # Made inside of forward, or kept elsewhere: its parameters are constants.
            return module._call(args, kwargs)
        self._calls.append(Call(path, len(self.nodes)))
        decided = len(self.guards)
        try:
            output = self._call_known(module, path, args, kwargs)
        finally:
            call = self._calls.pop()
            self._note_single(call)
        if module._stands_for_node:
            decides = len(self.guards) > decided
            called = Called(path, map_tree(self._noted, args), map_tree(self._noted, output), decides=decides)
            self.calls.append((called, range(call.first, len(self.nodes))))
        return output

    def _noted(self, leaf: object) -> object:
        """A leaf of a call as it is remembered: wires and lengths in the place of what stands for them.

        Arrays that nodes take are wires: what lengths have made of them a graph knows by its nodes.
        """
        if type(leaf) is Value:
            return leaf._ref
        if type(leaf) is Length:
            return leaf.expr
        if type(leaf) is not np.ndarray:
            return leaf
        if leaf.dtype == object:
            items = cast("Iterable[object]", leaf.ravel())
            return ArrayOfLengths(tuple(map(self._noted, items)), leaf.shape)
        return self._constants.get(id(leaf), leaf)

    def _note_single(self, call: Call) -> None:
        """A module whose call is one node gives it its name."""
        made = [
            i
            for i in range(call.first, len(self.nodes))
            if self.nodes[i].kind not in ("parameter", "constant", "tap")
        ]
        if len(made) == 1 and call.path:
            self.singles[made[0]] = call.path

    def _call_known(
        self, module: Module, path: str, args: tuple[object, ...], kwargs: dict[str, object]
    ) -> object:
        for key in tuple(module._pre_hooks):
            args = cast("tuple[object, ...]", self._hook(module, path, "pre", key, args, None))
        if path in self.python:
            output = self._as_python(module, path, args, kwargs)
        elif is_whole(module):
            output = self._as_whole(module, path, args, kwargs)
        else:
            output = self._forward(module, path, args, kwargs)
        for key in tuple(module._hooks):
            output = self._hook(module, path, "post", key, args, output)
        return output

    def _as_whole(
        self, module: Module, path: str, args: tuple[object, ...], kwargs: dict[str, object]
    ) -> object:
        """A module with state of its own: its call is a node. It runs on a copy, whose state may move."""

        def run(*args: object, **kwargs: object) -> object:
            return stateless_copy(module).forward(*args, **kwargs)

        return self.emit("module", args, kwargs, run, path)

    def _as_python(
        self, module: Module, path: str, args: tuple[object, ...], kwargs: dict[str, object]
    ) -> object:
        def run(*args: object, **kwargs: object) -> object:
            return module.forward(*args, **kwargs)

        def moving(leaf: object) -> object:
            """An array of lengths as a node: as a constant it would be that of the example."""
            if is_array(leaf) and leaf.dtype == object and any(map(is_length, leaf.ravel())):
                return self.emit("array.lengths", (tuple(leaf.ravel()), leaf.shape), {})
            return leaf

        args, kwargs = map_tree(moving, args), map_tree(moving, kwargs)
        if path:
            before = map_tree(_copied, examples_of(args, kwargs))
            # What it changes of itself it changes when it runs, and not for examples.
            states = [(each, attributes(each)) for each in module.modules()]
            try:
                made = self.emit("python", args, kwargs, run, path)
            finally:
                for each, state_before in states:
                    restore(each, state_before)
            for array, old in zip(leaves(examples_of(args, kwargs)), leaves(before), strict=True):
                if is_array(old) and not np.array_equal(
                    cast("Array", array), old, equal_nan=old.dtype.kind in "fc"
                ):
                    self.refuse(f"{path} runs as Python, and changes an array that it is given")
            return made
        # What the model itself gives back may be anything: numbers, lists that are never of one length.
        lowered = map_tree(self.lowered, args), map_tree(self.lowered, kwargs)
        own, settings = examples_of(args, kwargs)
        own, settings = map_tree(_copied, own), map_tree(_copied, settings)
        states = [(each, attributes(each)) for each in module.modules()]
        try:
            with self.paused():
                example = run(*own, **settings)
        finally:
            for each, state_before in states:
                restore(each, state_before)
        ref = self.ref(self.add("python", *lowered, [np.empty((), object)], path))
        return Whole(ref, example)

    def _forward(
        self, module: Module, path: str, args: tuple[object, ...], kwargs: dict[str, object]
    ) -> object:
        mark = len(self.nodes), len(self.guards), len(self._undo), len(self.refused)
        before = attributes(module)
        reason: Refused | None = None
        output: object = None
        try:
            output = module.forward(*args, **kwargs)
        except Refused as error:
            reason = error
        except Exception as error:
            if len(self.refused) == mark[3]:
                note(error)
                raise
        if reason is None and len(self.refused) > mark[3]:
            reason = self.refused[mark[3]]
        changes = changed_attributes(before, module)
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
            restore(module, before)
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
        self.counted.cut_back(nodes)
        self._from_lengths = {key: v for key, v in self._from_lengths.items() if int(key) < nodes}
        self.singles = {number: path for number, path in self.singles.items() if number < nodes}
        self.calls = [(call, numbers) for call, numbers in self.calls if numbers.stop <= nodes]
        still_there = {node.value for node in self.nodes if node.kind == "python"}
        self.refusals = [r for r in self.refusals if r.scope in still_there]

    def _hook(
        self, module: Module, path: str, when: str, key: int, args: tuple[object, ...], output: object
    ) -> object:
        """A hook: it only looks, unless it is known to change what it is given."""
        given = args if when == "pre" else output
        if (path, when, key) not in self.changing:
            lowered = map_tree(self.lowered, (args, output))
            self.add("tap", lowered, {}, [], (path, when, key), f"{path}.tap" if path else "tap")
            return given

        def run(args: tuple[object, ...], output: object) -> object:
            hooks = module._pre_hooks if when == "pre" else module._hooks
            # It may change them in place, and nothing else must see that.
            args, output = map_tree(_copied, args), map_tree(_copied, output)
            hook = cast("Callable[..., object]", hooks[key])
            changed = hook(module, args) if when == "pre" else hook(module, args, output)
            if changed is None:
                return args if when == "pre" else output
            return changed if when == "post" or is_tuple(changed) else (changed,)

        return self.emit("hook", (args, output), {}, run, (path, when, key))


# What it gives is what the function of that name gives.
def apply(name: str, *args: object, **kwargs: object) -> Any:
    """Calls a function by its name: a node, where a capture is under way and an argument is a stand-in."""
    tracer = state.tracer
    if isinstance(tracer, Tracer) and (has_value(args) or has_value(kwargs)):
        return tracer.emit(name, args, kwargs)
    return function_of(name)(*args, **kwargs)


def record(name: str, *args: object) -> Any:
    """The same, and a node wherever a capture is under way: of arrays that lengths have made, among others.

    A graph makes such an array anew by what it is, a ramp say; it could not do so with what comes of that.
    """
    tracer = state.tracer
    return tracer.emit(name, args, {}) if isinstance(tracer, Tracer) else function_of(name)(*args)


def _copied(leaf: object) -> object:
    return cast("Array", leaf).copy() if isinstance(leaf, np.ndarray) else leaf
