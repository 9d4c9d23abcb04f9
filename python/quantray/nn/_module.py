"""Module: what layers and models are: parameters, buffers, modules inside, and a `forward` over arrays."""

from __future__ import annotations

import copy
import difflib
import os
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, Self, cast

import numpy as np

from quantray._core import QTensor
from quantray.nn import _init
from quantray.nn._tracing import state

if TYPE_CHECKING:
    from typing import TypeAlias

    import numpy.typing as npt

    from quantray.graph import Graph
    from quantray.nn._summary import Summary

    #: A NumPy array, a quantized tensor, or, while gradients are traced, autograd's box of an array.
    Array: TypeAlias = Any
    State: TypeAlias = Mapping[str, Any]
    PreHook: TypeAlias = Callable[["Module", tuple[Any, ...]], Any]
    Hook: TypeAlias = Callable[["Module", tuple[Any, ...], Any], Any]


class Parameter(NamedTuple):
    """Marks an array as a parameter where it is assigned to a module; the module then holds the array itself.

    >>> from quantray import nn
    >>> class Scale(nn.Module):
    ...     def __init__(self):
    ...         super().__init__()
    ...         self.factor = nn.Parameter([2.0])
    ...     def forward(self, input):
    ...         return input * self.factor
    >>> Scale().factor
    array([2.], dtype=float32)

    Source: `torch.nn.Parameter`.
    """

    data: Any


class Incompatible(NamedTuple):
    """What `load_state_dict(strict=False)` could not match."""

    missing_keys: list[str]
    unexpected_keys: list[str]


class RemovableHandle:
    """Takes a hook away again: `handle.remove()`."""

    def __init__(self, module: Module, hooks: dict[int, Any]) -> None:
        self._module, self._hooks, self._id = module, hooks, max(hooks, default=-1) + 1

    @property
    def id(self) -> int:
        """The hook's key."""
        return self._id

    def remove(self) -> None:
        """Takes the hook away; nothing happens the second time."""
        self._hooks.pop(self._id, None)
        self._module._changed()


class Runner(Protocol):
    """What runs a model in the place of its own `forward`: a graph of it, prepared or converted."""

    #: Whether `forward` computes the same, module by module.
    keeps_forward: bool

    def __call__(self, module: Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """The module's output."""
        ...

    def own_state(self, module: Module) -> dict[str, Any]:
        """What belongs to the module's state_dict beside what its modules keep."""
        ...

    def accept(self, module: Module, name: str, value: Any) -> Any:
        """A value for an entry of that state, converted; raises where it does not fit."""
        ...

    def assign(self, module: Module, state: dict[str, Any]) -> None:
        """Takes accepted entries; called after each load of a state_dict, whatever has changed."""
        ...

    def expect(self, module: Module, keys: Iterable[str]) -> None:
        """Makes what the keys of a state_dict that is to be loaded are the state of."""
        ...

    def for_file(self, module: Module, writer: Any) -> dict[str, Any] | None:
        """What a file has of it, as JSON; None where only an instance of the class can take the file."""
        ...

    def shown(self, module: Module) -> list[Graph]:
        """The graphs, with what a user wants to see beside them."""
        ...

    def shapes(self, module: Module, args: tuple[Any, ...]) -> dict[int, str]:
        """By ids of modules their outputs' shapes, for some arguments; without any, lengths have names."""
        ...

    def line(self, module: Module) -> str:
        """What stands below the module's repr."""
        ...

    def card(self, module: Module) -> str:
        """What a notebook shows: HTML."""
        ...


class _OfRunner:
    """An attribute of models that run by graphs; a model's own attribute of this name goes first."""

    def __init__(self, read: Callable[[list[Graph]], Any], doc: str) -> None:
        self._read, self.__doc__ = read, doc

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name

    def __get__(self, module: Module | None, owner: type) -> Any:
        if module is None:
            return self
        own = module.__dict__
        for kind in ("_parameters", "_buffers", "_modules"):
            if self._name in own.get(kind, ()):
                return module.__getattr__(self._name)
        runner = own.get("_runner")
        graphs: list[Graph] = [] if runner is None else runner.shown(module)
        if not graphs:
            # Python asks `__getattr__` then, which says what is missing.
            raise self.missing(module)
        return self._read(graphs)

    def missing(self, module: Module) -> AttributeError:
        """The error of a model without graphs: how to get one."""
        kind = type(module).__name__
        if module.__dict__.get("_runner") is None:
            text = (
                f"{kind} has no graph: it is a float model, which runs by its forward; "
                "quantray.graph.capture(model, args) makes one"
            )
        else:
            text = f"{kind} has no graph yet: call it, or give prepare(model, example_inputs=x)"
        return AttributeError(text, name=self._name)


class Mark:
    """What modules tell that they are not what they were: whoever captured them holds it, and looks at it.

    Attributes
    ----------
    changed : bool
        Whether there are other modules, hooks or settings.
    touched : bool
        Whether parameters or buffers have other values.
    """

    __slots__ = ("changed", "touched")

    def __init__(self) -> None:
        self.changed = self.touched = False


def as_parameter(data: Any) -> npt.NDArray[np.float32]:
    """Numbers as a parameter: a float32 array of its own."""
    if _init.is_rebuilding() and getattr(data, "dtype", None) == np.float32:
        # A file's array takes its place at once.
        return cast("npt.NDArray[np.float32]", data)
    return np.array(data, np.float32)


class Module:
    """Base of all layers and models.

    A subclass calls `super().__init__()`, assigns its parameters (`nn.Parameter(array)`), buffers
    (`register_buffer`) and modules, and defines `forward`. Parameters and buffers are plain NumPy arrays.

    >>> import numpy as np
    >>> from quantray import nn
    >>> class Net(nn.Module):
    ...     def __init__(self):
    ...         super().__init__()
    ...         self.hidden = nn.Linear(4, 8)
    ...         self.out = nn.Linear(8, 2)
    ...     def forward(self, input):
    ...         return self.out(np.maximum(self.hidden(input), 0))
    >>> net = Net()
    >>> net(np.zeros((1, 4), np.float32)).shape
    (1, 2)
    >>> list(net.state_dict())
    ['hidden.weight', 'hidden.bias', 'out.weight', 'out.bias']

    Source: `torch.nn.Module`.
    """

    training: bool
    #: Whether `train()` leaves it as it is: statistics that are frozen.
    _stays_in_evaluation: bool = False
    #: Whether a call may leave out modules that are inside of it.
    _is_branching: bool = False
    _parameters: dict[str, Array]
    _buffers: dict[str, Array]
    _modules: dict[str, Module | None]
    _frozen: set[str]
    _unsaved: set[str]
    _pre_hooks: dict[int, PreHook]
    _hooks: dict[int, Hook]
    #: What runs in the place of `forward`, once the model is prepared or converted.
    _runner: Runner | None
    #: Who wants to know that something is not what it was.
    _marks: tuple[Mark, ...]

    def __init__(self) -> None:
        put = super().__setattr__
        put("training", True)
        put("_parameters", {})
        put("_buffers", {})
        put("_modules", {})
        put("_frozen", set())
        put("_unsaved", set())
        put("_pre_hooks", {})
        put("_hooks", {})
        put("_runner", None)
        put("_marks", ())

    # Attributes

    def __setattr__(self, name: str, value: Any) -> None:
        if "_modules" not in self.__dict__:
            raise AttributeError(f"call super().__init__() in {type(self).__name__} before assigning {name}")
        if isinstance(value, Parameter):
            self.register_parameter(name, value.data)
        elif isinstance(value, Module):
            self.add_module(name, value)
        elif name in self._parameters:
            self._parameters[name] = value
            self._touched()
        elif name in self._buffers:
            self._buffers[name] = value
            self._touched()
        elif name in self._modules:
            if value is not None:
                raise TypeError(f"{name} must stay a Module, or become None, got {type(value).__name__}")
            self._modules[name] = None
            self._changed()
        else:
            super().__setattr__(name, value)
            # Each mode has graphs of its own.
            if self._marks and name != "training":
                self._changed()

    def _touched(self) -> None:
        """Tells whoever captured this module that its values are not what they were."""
        for mark in self._marks:
            mark.touched = True

    def _changed(self) -> None:
        """Tells whoever captured this module that it is not what it was."""
        for mark in self._marks:
            mark.changed = True

    def __getattr__(self, name: str) -> Any:
        for kind in ("_parameters", "_buffers", "_modules"):
            found = self.__dict__.get(kind)
            if found is not None and name in found:
                value = found[name]
                if state.tracer is not None and value is not None and kind != "_modules":
                    return state.tracer.attribute(self, name, value)
                return value
        known = getattr(type(self), name, None)
        if isinstance(known, _OfRunner):
            raise known.missing(self)
        # Python adds the nearest name.
        raise AttributeError(f"{type(self).__name__} has no attribute {name!r}", name=name, obj=self)

    def __delattr__(self, name: str) -> None:
        for found in (self._parameters, self._buffers, self._modules):
            if name in found:
                del found[name]
                self._changed()
                return
        super().__delattr__(name)

    def __dir__(self) -> list[str]:
        return sorted({*super().__dir__(), *self._parameters, *self._buffers, *self._modules})

    def _forget(self, name: str) -> None:
        """Makes room for a new kind of attribute of this name."""
        self._check_name(name)
        self.__dict__.pop(name, None)
        for found in (self._parameters, self._buffers, self._modules):
            found.pop(name, None)

    def _check_name(self, name: str) -> None:
        if not name or "." in name:
            raise ValueError(f"name must not be empty, nor hold a dot, got {name!r}")
        if hasattr(type(self), name) and not isinstance(getattr(type(self), name), _OfRunner):
            raise ValueError(f"name must not be an attribute of {type(self).__name__}, got {name!r}")

    def register_parameter(self, name: str, param: npt.ArrayLike | None) -> None:
        """Adds a parameter, which becomes a float32 array; None where the module could have one."""
        if name not in self._parameters:
            self._forget(name)
        self._parameters[name] = None if param is None else as_parameter(param)

    def register_buffer(self, name: str, tensor: Any, persistent: bool = True) -> None:
        """Adds state that is not trained; `persistent` if it belongs to the state_dict."""
        if name not in self._buffers:
            self._forget(name)
        self._buffers[name] = tensor if tensor is None or isinstance(tensor, QTensor) else np.asarray(tensor)
        (self._unsaved.discard if persistent else self._unsaved.add)(name)

    def add_module(self, name: str, module: Module | None) -> None:
        """Adds a module inside this one."""
        if module is not None and not isinstance(module, Module):  # pyright: ignore[reportUnnecessaryIsInstance]
            from quantray.nn._foreign import is_torch

            hint = ": build the same layer of quantray.nn" if is_torch(module) else ""
            kind = f"{type(module).__module__}.{type(module).__name__}" if hint else type(module).__name__
            raise TypeError(f"module must be a Module or None, got {kind}{hint}")
        if name not in self._modules:
            self._forget(name)
        self._modules[name] = module
        self._changed()

    register_module = add_module

    # Calls

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """What the module computes; every subclass defines it."""
        raise NotImplementedError(f"{type(self).__name__} must define forward(input)")

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        tracer = state.tracer
        if tracer is not None:
            return tracer.call_module(self, args, kwargs)
        runner = self._runner
        if runner is not None:
            return runner(self, args, kwargs)
        return self._call(args, kwargs)

    def _call(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """`forward`, with its hooks around it."""
        if self._pre_hooks:
            for hook in tuple(self._pre_hooks.values()):
                changed = hook(self, args)
                if changed is not None:
                    args = cast("tuple[Any, ...]", changed if isinstance(changed, tuple) else (changed,))
        output = self.forward(*args, **kwargs)
        if self._hooks:
            for hook in tuple(self._hooks.values()):
                changed = hook(self, args, output)
                if changed is not None:
                    output = changed
        return output

    def _arranged(self, args: tuple[Any, ...]) -> tuple[Any, ...]:
        """Arguments of a batch as `forward` takes them."""
        return args

    def _argument_names(self) -> tuple[str, ...] | None:
        """What graphs call the arguments; by default what `forward` does."""
        return None

    def _output_names(self) -> tuple[str, ...] | None:
        """What files call the outputs; None where they have no names."""
        return None

    def _example_inputs(self) -> tuple[Any, ...] | None:
        """Arrays that it could be called with, where it knows their shapes itself."""
        return None

    def _other_shapes(self, shapes: list[tuple[int, ...]]) -> list[list[tuple[int, ...]]] | None:
        """Other shapes of its arguments that a capture is to try, the best ones first; None where it is not
        known which lengths are free.
        """
        return None

    def register_forward_pre_hook(self, hook: PreHook) -> RemovableHandle:
        """Calls `hook(module, args)` before `forward`; what it returns, unless None, replaces `args`."""
        handle = RemovableHandle(self, self._pre_hooks)
        self._pre_hooks[handle.id] = hook
        self._changed()
        return handle

    def register_forward_hook(self, hook: Hook) -> RemovableHandle:
        """Calls `hook(module, args, output)` after `forward`; what it returns, unless None, is the output."""
        handle = RemovableHandle(self, self._hooks)
        self._hooks[handle.id] = hook
        self._changed()
        return handle

    # What is inside

    def named_children(self) -> Iterator[tuple[str, Module]]:
        """Modules directly inside this one, with their names."""
        seen: set[int] = set()
        for name, module in self._modules.items():
            if module is not None and id(module) not in seen:
                seen.add(id(module))
                yield name, module

    def children(self) -> Iterator[Module]:
        """Modules directly inside this one."""
        for _, module in self.named_children():
            yield module

    def named_modules(self, prefix: str = "", remove_duplicate: bool = True) -> Iterator[tuple[str, Module]]:
        """This module (named `prefix`) and all inside it, outer ones first; each once, unless told not to."""
        seen: set[int] = set()

        def walk(module: Module, prefix: str) -> Iterator[tuple[str, Module]]:
            if remove_duplicate and id(module) in seen:
                return
            seen.add(id(module))
            yield prefix, module
            for name, child in module._modules.items():
                if child is not None:
                    yield from walk(child, f"{prefix}.{name}" if prefix else name)

        return walk(self, prefix)

    def modules(self) -> Iterator[Module]:
        """This module and all inside it, each once."""
        for _, module in self.named_modules():
            yield module

    def _named_arrays(self, kind: str, prefix: str) -> Iterator[tuple[str, Array]]:
        for path, module in self.named_modules(prefix):
            for name, array in getattr(module, kind).items():
                if array is not None:
                    yield (f"{path}.{name}" if path else name), array

    def named_parameters(
        self, prefix: str = "", remove_duplicate: bool = True
    ) -> Iterator[tuple[str, Array]]:
        """All parameters with their names, which are the state_dict's; one that several modules share by
        its first name, unless told not to.
        """
        seen: set[int] = set()
        for name, array in self._named_arrays("_parameters", prefix):
            if not remove_duplicate or id(array) not in seen:
                seen.add(id(array))
                yield name, array

    def parameters(self) -> Iterator[Array]:
        """All parameters."""
        for _, array in self.named_parameters():
            yield array

    def named_buffers(self, prefix: str = "") -> Iterator[tuple[str, Array]]:
        """All buffers with their names."""
        return self._named_arrays("_buffers", prefix)

    def buffers(self) -> Iterator[Array]:
        """All buffers."""
        for _, array in self.named_buffers():
            yield array

    def trainable_parameters(self) -> dict[str, Array]:
        """Parameters that gradients are made for: all but those of modules after `requires_grad_(False)`.

        One that several modules share is there once, by its first name.
        """
        found: dict[int, tuple[str, Array]] = {}
        for path, module in self.named_modules():
            for name, array in module._parameters.items():
                if array is not None and name not in module._frozen:
                    found.setdefault(id(array), (f"{path}.{name}" if path else name, array))
        return dict(found.values())

    def _places(self) -> dict[int, list[tuple[Module, str]]]:
        """For each parameter, by the id of its array, the modules and the names that it is kept under."""
        found: dict[int, list[tuple[Module, str]]] = {}
        for module in self.modules():
            for name, array in module._parameters.items():
                if array is not None:
                    found.setdefault(id(array), []).append((module, name))
        return found

    def get_submodule(self, target: str) -> Module:
        """The module of a dotted name; "" is this one.

        Raises
        ------
        AttributeError
            There is none; the message has the nearest name.
        """
        module = self
        for name in target.split(".") if target else ():
            child = module._modules.get(name)
            if child is None:
                names = [name for name, _ in self.named_modules() if name]
                raise AttributeError(
                    f"{type(self).__name__} has no module named {target!r}{_nearest(target, names)}"
                )
            module = child
        return module

    def set_submodule(self, target: str, module: Module) -> None:
        """Puts another module where the one of a dotted name is."""
        parent, _, name = target.rpartition(".")
        self.get_submodule(target)
        owner = self.get_submodule(parent)
        owner._modules[name] = module
        owner._changed()

    def apply(self, fn: Callable[[Module], object]) -> Self:
        """Calls `fn` with every module, inner ones first; returns this one."""
        for child in self.children():
            child.apply(fn)
        fn(self)
        return self

    # Modes

    def train(self, mode: bool = True) -> Self:
        """Training mode for this module and all inside: dropout drops, batch norms use their batch."""
        for module in self.modules():
            module.training = mode and not module._stays_in_evaluation
        return self

    def eval(self) -> Self:
        """Evaluation mode: `train(False)`."""
        return self.train(False)

    def requires_grad_(self, requires_grad: bool = True) -> Self:
        """Whether gradients are made for this module's parameters and those of all modules inside it."""
        for module in self.modules():
            module._frozen = set() if requires_grad else set(module._parameters)
        return self

    # State

    def state_dict(self, prefix: str = "") -> OrderedDict[str, Any]:
        """Parameters and buffers by name, in torch's order: the arrays themselves, not copies."""
        state: OrderedDict[str, Any] = OrderedDict()
        for path, module in self.named_modules(prefix, remove_duplicate=False):
            for name, value in module._full_state().items():
                state[f"{path}.{name}" if path else name] = value
        return state

    def _full_state(self) -> dict[str, Any]:
        """This module's part of the state_dict, with that of what runs it."""
        own = self._own_state() | self._more_state()
        return own if self._runner is None else own | self._runner.own_state(self)

    def _more_state(self) -> dict[str, Any]:
        """What else belongs to the state_dict, and is no array of this module: scales and zero points."""
        return {}

    def _file_state(self) -> dict[str, Any]:
        """This module's part of the state_dict as files have it: what takes it accepts both."""
        return self._own_state()

    def _own_state(self) -> dict[str, Any]:
        """This module's part of the state_dict, without those inside it."""
        own = {name: array for name, array in self._parameters.items() if array is not None}
        own.update(
            (name, array)
            for name, array in self._buffers.items()
            if array is not None and name not in self._unsaved
        )
        return own

    def _accept(self, name: str, value: Any) -> Any:
        """A value for an entry of this module's own state, converted; raises where it does not fit."""
        own = self._own_state()[name]
        if isinstance(own, QTensor):
            if not isinstance(value, QTensor):
                raise TypeError(f"must be a QTensor, got {type(value).__name__}")
            array: Any = value
        else:
            array = as_array(value)
        if tuple(array.shape) != tuple(own.shape):
            raise ValueError(f"must be of shape {tuple(own.shape)}, got {tuple(array.shape)}")
        if isinstance(own, QTensor):
            return array
        # Of the machine's own dtype: an array from a file says its byte order, and NumPy would keep that.
        made = np.empty(own.shape, np.dtype(own.dtype.type))
        made[...] = array
        return made

    def _assign(self, state: dict[str, Any]) -> None:
        """Takes accepted entries of this module's own state."""
        for name, value in state.items():
            (self._parameters if name in self._parameters else self._buffers)[name] = value
        self._touched()

    def load_state_dict(
        self, state_dict: State | str | os.PathLike[str], strict: bool = True
    ) -> Incompatible:
        """Takes parameters and buffers by name.

        From any mapping of arrays (a torch state_dict as it is), or from a safetensors file.

        Parameters
        ----------
        state_dict : mapping or path
            Arrays of the same names and shapes as those of `state_dict()`; they are copied. What is one array
            in several places stays one. A prepared model that saw no data gets its observers by their names.
        strict : bool
            Whether every name must be matched, on both sides.

        Returns
        -------
        Incompatible
            `missing_keys` and `unexpected_keys`; both empty if `strict`.

        Raises
        ------
        KeyError
            Names that do not match, if `strict`; with the nearest names.
        ValueError, TypeError
            Another shape, or no array of numbers. The module is left as it was.

        Source: `torch.nn.Module.load_state_dict`.
        """
        if isinstance(state_dict, (str, os.PathLike)):
            return self._load_file(state_dict, strict)
        given = state_dict
        for module in self.modules():
            if module._runner is not None:
                module._runner.expect(module, given.keys())
        own = self.state_dict()
        # Of torch's batch normalization; it takes no part in what is computed here.
        ignored = ".num_batches_tracked"
        missing = [key for key in own if key not in given and not f".{key}".endswith(ignored)]
        unexpected = [key for key in given if key not in own and not f".{key}".endswith(ignored)]
        if strict and (missing or unexpected):
            lines = [f"state_dict does not fit {self._get_name()}:"]
            lines += _listed("missing", missing, unexpected) + _listed("unexpected", unexpected, missing)
            raise KeyError(_Text("\n".join(lines)))
        # By module, which may have several names: what it takes, and what its runner does.
        accepted: dict[int, tuple[Module, dict[str, Any], dict[str, Any]]] = {}
        taken_from: dict[tuple[int, str], Any] = {}
        # By the array that is replaced: one that is tied to another place is replaced in both by one.
        tied: dict[int, Any] = {}
        for path, module in self.named_modules(remove_duplicate=False):
            _, taken, of_runner = accepted.setdefault(id(module), (module, {}, {}))
            runner, mine = module._runner, module._own_state() | module._more_state()
            names = mine if runner is None else mine | runner.own_state(module)
            for name in names:
                key = f"{path}.{name}" if path else name
                if key not in given or taken_from.get((id(module), name), self) is given[key]:
                    continue
                taken_from[id(module), name] = given[key]
                try:
                    if runner is not None and name not in mine:
                        of_runner[name] = runner.accept(module, name, given[key])
                        continue
                    value = module._accept(name, given[key])
                except (TypeError, ValueError) as error:
                    raise type(error)(f"{key} {error}") from None
                held = module._parameters.get(name, module._buffers.get(name))
                if held is not None:
                    known = tied.setdefault(id(held), value)
                    value = known if _is_same(known, value) else value
                taken[name] = value
        for module, taken, _ in accepted.values():
            module._assign(taken)
        for module, _, of_runner in accepted.values():
            if module._runner is not None:
                module._runner.assign(module, of_runner)
        return Incompatible(missing, unexpected)

    def _load_file(self, path: str | os.PathLike[str], strict: bool) -> Incompatible:
        """Takes a file's arrays, and its layers of integers and its graphs where there are none here."""
        from quantray.nn._files import load_into

        return load_into(self, path, strict)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Writes the model to a safetensors file: its state, and what it is built of.

        An existing file is replaced, as a whole, once the new one is complete. `quantray.load` rebuilds a
        model that is made of quantray's own modules, and a quantized model of any class, which runs by its
        graphs. `load_state_dict(path)` takes the file into an instance of any class. Modules and arrays that
        are in several places are stored once, and weights of up to 4 bits with two or four codes a byte.

        Warns
        -----
        UserWarning
            For parts of a quantized model that run as Python, which only an instance of its class can load.

        >>> import os, tempfile, quantray as qt
        >>> from quantray import nn
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = os.path.join(folder, "model.safetensors")
        ...     nn.Sequential(nn.Linear(2, 1), nn.ReLU()).save(path)
        ...     qt.load(path)
        Sequential(
          (0): Linear(in_features=2, out_features=1, bias=True)
          (1): ReLU()
        )
        """
        from quantray.nn._files import save

        save(self, path)

    def map_blocks(self, data: Any, **kwargs: Any) -> Any:
        """The model over a Dask array's blocks along its first axis: a Dask array of its outputs.

        `kwargs` go to `dask.array.map_blocks`.
        """
        from quantray.quantization._cluster import map_blocks

        return map_blocks(self, data, **kwargs)

    def copy(self) -> Self:
        """A deep copy."""
        return copy.deepcopy(self)

    graph: Any = _OfRunner(
        lambda graphs: graphs[0],
        """What a prepared or converted model runs by: nodes, wires, shapes, dtypes, scales.

        A `quantray.graph.Graph`; a table where it is printed, a drawing in notebooks. `graphs` has those
        for other kinds of input, too.

        >>> import numpy as np
        >>> from quantray import nn, quantization as tq
        >>> model = nn.Sequential(nn.Linear(4, 8), nn.ReLU())
        >>> int8 = tq.quantize(model, np.ones((2, 4), np.float32), verbose=False)
        >>> [node.name for node in int8.graph]
        ['input', 'input.quantize', '0']
        """,
    )
    graphs: Any = _OfRunner(
        tuple, """All graphs that a prepared or converted model runs by, one for each kind of input."""
    )

    # Text

    def summary(self, *args: Any) -> Summary:
        """A table of all modules inside: their types, output shapes, parameters and bytes.

        Parameters
        ----------
        *args : array
            What the model is called with, in evaluation mode, to see the shapes; without any, there are none.

        >>> import numpy as np
        >>> from quantray import nn
        >>> nn.Sequential(nn.Linear(4, 8), nn.ReLU()).summary(np.zeros((1, 4)))
        name     type        output shape  parameters  bytes
        ----------------------------------------------------
        (model)  Sequential  (1, 8)                 0      0
        0        Linear      (1, 8)                40    160
        1        ReLU        (1, 8)                 0      0
        ----------------------------------------------------
        total                                      40    160
        """
        from quantray.nn._summary import summarize

        return summarize(self, args)

    def _repr_html_(self) -> str:
        card = "" if self._runner is None else self._runner.card(self)
        return card or self.summary()._repr_html_()

    def extra_repr(self) -> str:
        """What stands between the parentheses of the repr."""
        return ""

    def _class_name(self) -> str:
        """What reports call its kind."""
        return type(self).__name__

    def _get_name(self) -> str:
        return type(self).__name__

    def __repr__(self) -> str:
        line = "" if self._runner is None else self._runner.line(self)
        return f"{self._tree()}\n{line}" if line else self._tree()

    def _tree(self) -> str:
        """The modules inside, one a line."""
        extra = self.extra_repr()
        if not self._modules:
            return f"{self._get_name()}({extra})"
        lines = extra.splitlines()
        for name, module in self._modules.items():
            is_plain = type(module).__repr__ is Module.__repr__
            text = cast("Module", module)._tree() if is_plain else repr(module)
            lines.append(f"({name}): " + text.replace("\n", "\n  "))
        return f"{self._get_name()}(\n  " + "\n  ".join(lines) + "\n)"


class _Text(str):
    """A message that KeyError shows as it is, not as a quoted string."""

    __slots__ = ()

    def __repr__(self) -> str:
        return str(self)


def as_array(value: Any) -> npt.NDArray[Any]:
    """An array of numbers from what a state_dict may hold: arrays, lists, torch tensors of any float type."""
    if isinstance(value, QTensor):
        return value.dequantize()
    try:
        array = np.asarray(value)
    except (TypeError, RuntimeError):
        # torch's bfloat16, and tensors that require gradients.
        array = np.asarray(value.detach().float())
    if array.dtype.kind not in "biuf" and array.dtype.name not in ("bfloat16", "float8_e4m3fn"):
        raise TypeError(f"must be an array of numbers, got {type(value).__name__} of dtype {array.dtype}")
    return array


def _listed(what: str, names: list[str], others: list[str]) -> list[str]:
    """Lines for names that do not match, each with the nearest one of others; no more than one reads."""
    lines = [f"  {what}: {name}{_nearest(name, others[:1000])}" for name in names[:20]]
    return [*lines, f"  {what}: {len(names) - 20} more"] if len(names) > 20 else lines


def _is_same(a: Any, b: Any) -> bool:
    """Whether two arrays hold the same numbers."""
    if a is b or isinstance(a, QTensor) or isinstance(b, QTensor):
        return a is b
    return bool(a.dtype == b.dtype and a.tobytes() == b.tobytes())


def _nearest(name: str, names: list[str]) -> str:
    """A hint at the most similar one of some names."""
    close = difflib.get_close_matches(name, names, 1, 0.6)
    return f" (did you mean {close[0]!r}?)" if close else ""
