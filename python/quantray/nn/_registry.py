"""What modules hold: parameters, buffers and modules inside, as attributes and by dotted names."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple, Self, cast

import numpy as np

from quantray._advice import module_advice
from quantray._core import QTensor
from quantray.nn import _init
from quantray.nn._evaluating import by_forward
from quantray.nn._runner import OfRunner
from quantray.nn._state import nearest
from quantray.nn._tracing import state

if TYPE_CHECKING:
    from quantray._typing import Array, ArrayLike, Floats, Input, Tensor
    from quantray.nn._module import Module

if TYPE_CHECKING:

    class Parameter:
        """For type checkers, what is marked is the array that the module will hold."""

        data: ArrayLike

        def __new__(cls, data: ArrayLike) -> Array: ...

else:

    class Parameter(NamedTuple):
        """Marks an array as a parameter where it is assigned to a module, which then holds the array itself.

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

        data: ArrayLike


class Mark:
    """What modules tell that they are not what they were: whoever captured them holds it, and looks at it.

    Attributes
    ----------
    changed : bool
        Whether there are other modules, hooks or settings.
    touched : bool
        Whether parameters or buffers have other values.
    read : bool
        Whether somebody has asked for parameters or buffers, and may have written to them.
    """

    __slots__ = ("changed", "read", "touched")

    def __init__(self) -> None:
        self.changed = self.touched = self.read = False


def as_parameter(data: ArrayLike) -> Floats:
    """Numbers as a parameter: a float32 array of its own."""
    if _init.is_rebuilding() and getattr(data, "dtype", None) == np.float32:
        # A file's array takes its place at once.
        return cast("Floats", data)
    return np.array(data, np.float32)


class Registry:
    """The part of a module that holds things."""

    _parameters: dict[str, Array | None]
    _buffers: dict[str, Tensor | None]
    _modules: dict[str, Module | None]
    #: What a file calls its nodes, and the paths of the modules that they are.
    _file_names: Mapping[str, str] = MappingProxyType({})
    #: Operators of the file that the module at a path stands for, where it is no `Step` of one.
    _file_ops: Mapping[str, tuple[str, ...]] = MappingProxyType({})
    #: Parameters that no gradients are made for.
    _frozen: set[str]
    #: Buffers that are no part of the state_dict.
    _unsaved: set[str]
    #: Who wants to know that something is not what it was.
    _marks: tuple[Mark, ...]

    def __init__(self) -> None:
        put = super().__setattr__
        put("_parameters", {})
        put("_buffers", {})
        put("_modules", {})
        put("_frozen", set())
        put("_unsaved", set())
        put("_marks", ())

    def __setattr__(self, name: str, value: object) -> None:
        if "_modules" not in self.__dict__:
            raise AttributeError(f"call super().__init__() in {type(self).__name__} before assigning {name}")
        if isinstance(value, Parameter):
            self.register_parameter(name, value.data)
        elif isinstance(value, Registry):
            self.add_module(name, cast("Module", value))
        elif name in self._parameters:
            self._parameters[name] = cast("Array | None", value)
            self._touched()
        elif name in self._buffers:
            self._buffers[name] = cast("Tensor | None", value)
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

    def _read(self) -> None:
        """Tells whoever captured this module that its arrays are in other hands than its own code's."""
        if not state.by_forward:
            for mark in self._marks:
                mark.read = True

    def __getattr__(self, name: str) -> Any:
        for kind in ("_parameters", "_buffers", "_modules"):
            found = self.__dict__.get(kind)
            if found is not None and name in found:
                value = found[name]
                if state.tracer is not None and value is not None and kind != "_modules":
                    return state.tracer.attribute(cast("Module", self), name, value)
                if self._marks and kind != "_modules":
                    self._read()
                return value
        known = getattr(type(self), name, None)
        if isinstance(known, OfRunner):
            raise known.missing(cast("Module", self))
        # Python adds the nearest name.
        text = f"{type(self).__name__} has no attribute {name!r}{module_advice(name)}"
        raise AttributeError(text, name=name, obj=self)

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
        if hasattr(type(self), name) and not isinstance(getattr(type(self), name), OfRunner):
            raise ValueError(f"name must not be an attribute of {type(self).__name__}, got {name!r}")

    def register_parameter(self, name: str, param: ArrayLike | None) -> None:
        """Adds a parameter, which becomes a float32 array; None where the module could have one."""
        if name not in self._parameters:
            self._forget(name)
        self._parameters[name] = None if param is None else as_parameter(param)

    def register_buffer(self, name: str, tensor: Input | None, persistent: bool = True) -> None:
        """Adds state that is not trained; `persistent` if it belongs to the state_dict."""
        if name not in self._buffers:
            self._forget(name)
        self._buffers[name] = tensor if tensor is None or isinstance(tensor, QTensor) else np.asarray(tensor)
        (self._unsaved.discard if persistent else self._unsaved.add)(name)

    def add_module(self, name: str, module: Module | None) -> None:
        """Adds a module inside this one."""
        if module is not None and not isinstance(module, Registry):  # pyright: ignore[reportUnnecessaryIsInstance]
            from quantray.nn._foreign import is_torch

            kind, hint = type(module).__name__, ""
            if is_torch(module):
                kind, hint = f"{type(module).__module__}.{kind}", ": build the same layer of quantray.nn"
            elif isinstance(module, type):
                kind, hint = f"the class {module.__name__}", f": make one, {module.__name__}(...)"
            elif isinstance(module, (list, tuple)):
                hint = ": write * before it, or nn.ModuleList around it"
            raise TypeError(f"module must be a Module or None, got {kind}{hint}")
        if name not in self._modules:
            self._forget(name)
        self._modules[name] = module
        if self.__dict__.get("_evaluation") is by_forward:
            # There may be what is worth another way now.
            del self.__dict__["_evaluation"]
        self._changed()

    register_module = add_module

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

        return walk(cast("Module", self), prefix)

    def modules(self) -> Iterator[Module]:
        """This module and all inside it, each once."""
        for _, module in self.named_modules():
            yield module

    def _named_arrays(self, kind: str, prefix: str) -> Iterator[tuple[str, Tensor]]:
        for path, module in self.named_modules(prefix):
            module._read()
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
        for name, array in cast("Iterator[tuple[str, Array]]", self._named_arrays("_parameters", prefix)):
            if not remove_duplicate or id(array) not in seen:
                seen.add(id(array))
                yield name, array

    def parameters(self) -> Iterator[Array]:
        """All parameters."""
        for _, array in self.named_parameters():
            yield array

    def named_buffers(self, prefix: str = "") -> Iterator[tuple[str, Tensor]]:
        """All buffers with their names."""
        return self._named_arrays("_buffers", prefix)

    def buffers(self) -> Iterator[Tensor]:
        """All buffers."""
        for _, array in self.named_buffers():
            yield array

    def trainable_parameters(self) -> dict[str, Array]:
        """Parameters that gradients are made for: all but those of modules after `requires_grad_(False)`.

        One that several modules share is there once, by its first name.
        """
        found: dict[int, tuple[str, Array]] = {}
        for path, module in self.named_modules():
            module._read()
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
        found = self._submodule(target)
        if found is None:
            names = [name for name, _ in self.named_modules() if name]
            raise AttributeError(
                f"{type(self).__name__} has no module named {target!r}{nearest(target, names)}"
            )
        return found

    def _submodule(self, target: str) -> Module | None:
        """The module of a dotted name, if there is one; no nearest of many names is looked for."""
        module: Module | None = cast("Module", self)
        for name in target.split(".") if target else ():
            module = None if module is None else module._modules.get(name)
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
        fn(cast("Module", self))
        return self
