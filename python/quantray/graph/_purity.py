"""Whether a model's own code does nothing but compute, so that nobody can tell whether it runs.

Code that prints, counts, draws random numbers, keeps something, or reads what others may change has to run in
every call. What is looked at is the code itself, so that nothing of it has to be called; what is not known to
be harmless is taken for the contrary.
"""

from __future__ import annotations

import builtins
import dis
import math
import sys
import types
from typing import Any, cast

import numpy as np

from quantray.nn._module import Module


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


#: Functions and types of Python that change nothing.
_BUILTINS = _words(
    """
    abs all any bool dict divmod enumerate filter float frozenset int isinstance issubclass len list
    map max min range repr reversed round set slice sorted str sum super tuple zip Ellipsis
    NotImplemented
    """
)
#: Instructions that change what others see, or whose outcome is not the code's own.
_IMPURE = _words(
    """
    STORE_GLOBAL DELETE_GLOBAL STORE_ATTR DELETE_ATTR IMPORT_NAME IMPORT_FROM LOAD_NAME STORE_NAME
    DELETE_NAME BEFORE_WITH BEFORE_ASYNC_WITH LOAD_SPECIAL WITH_EXCEPT_START GET_AWAITABLE GET_AITER
    SEND
    """
)
#: Attributes by which NumPy, arrays and modules do more than compute.
_OUTSIDE = _words(
    """
    random rand randn default_rng save savez savez_compressed savetxt load loadtxt genfromtxt
    fromfile tofile dump dumps memmap seterr seterrcall errstate set_printoptions ctypes setflags
    getfield ctypeslib testing nested_iters nditer lib frompyfunc vectorize manual_seed
    randint randperm rand_like randn_like set_num_threads set_isa analysis onnx quantization
    """
)
#: Functions and methods that write to an array.
_WRITING = _words(
    """
    fill sort put partition resize byteswap itemset copyto place putmask fill_diagonal
    put_along_axis fill_ clamp_ clip_ relu_ masked_fill_ index_put_ detach_
    """
)
#: What of a module's methods and attributes only looks at which modules there are.
_LOOKING = _words(
    """
    forward training children named_children modules named_modules get_submodule to cpu float type
    """
)
_DUNDER = frozenset(("__class__", "__name__", "__init__", "__len__", "__getitem__", "__call__"))
_TABLES = _words(
    """
    _parameters _buffers _modules _frozen _unsaved _marks _pre_hooks _hooks _runner _evaluation
    training
    """
)
#: Methods that a call of a model does not go through.
_BESIDE = _words(
    """
    __init__ __repr__ __str__ __doc__ __module__ __qualname__ __annotations__ __annotate_func__
    __annotations_cache__ __static_attributes__ __firstlineno__ __dict__ __weakref__ __slots__
    __parameters__ __orig_bases__ __type_params__ extra_repr reset_parameters train eval state_dict
    load_state_dict
    """
)
_MISSING: Any = object()
_PLAIN = (type(None), bool, int, float, complex, str, bytes, np.generic, np.dtype, type(...), slice)


class Impure(Exception):
    """Code that has to run in every call, and why."""


class Code:
    """What the code of a model was when it was looked at.

    Attributes
    ----------
    is_own : bool
        Whether some of it is not quantray's.
    """

    def __init__(self) -> None:
        self.is_own = False
        self._globals: list[tuple[dict[str, Any], str, Any]] = []
        self._attributes: list[tuple[Any, str, Any]] = []

    def is_same(self) -> bool:
        """Whether functions, classes and globals are what they were."""
        return all(space.get(name, _MISSING) is value for space, name, value in self._globals) and all(
            getattr(owner, name, _MISSING) is value for owner, name, value in self._attributes
        )

    def note_global(self, space: dict[str, Any], name: str, value: Any) -> None:
        """Remembers a global."""
        self._globals.append((space, name, value))

    def note(self, owner: Any, name: str) -> None:
        """Remembers an attribute of a class or of a function."""
        self._attributes.append((owner, name, getattr(owner, name, _MISSING)))


def code_of(model: Module) -> Code:
    """The code that a call of a model runs, all of it looked at.

    Raises
    ------
    Impure
        Something of it is not known to compute and nothing else.
    """
    return _Look(model).code


class _Look:
    def __init__(self, model: Module) -> None:
        self.code = Code()
        self._modules = list(model.modules())
        self._classes = {
            each: None for kind in {type(m): None for m in self._modules} for each in kind.__mro__
        }
        self._own = [each for each in self._classes if not _is_known(each.__module__) and each is not object]
        self._seen: set[object] = set()
        self._names: set[str] = set()
        for module in self._modules:
            if "forward" in module.__dict__:
                raise Impure(f"a {type(module).__name__} has a forward of its own")
        for kind in {type(m): None for m in self._modules}:
            if not _is_layer(_home_of(kind)):
                raise Impure(f"{kind.__name__} is no layer of floats")
        self._arrays = {name for m in self._modules for name in (*m._parameters, *m._buffers)}
        self._reads_arrays = self._writes = False
        for kind in self._classes:
            if kind in self._own:
                self._class(kind)
            elif "forward" in vars(kind):
                # A layer whose method somebody has replaced is looked at as the user's code.
                self._member(kind, "forward")
        self.code.is_own = bool(self._own)
        if self._reads_arrays and self._writes:
            raise Impure("it may write to a parameter or a buffer")

    def _class(self, kind: type) -> None:
        """A class of the user's: its forward, and what it puts in the place of a layer's methods."""
        for name in ("__call__", "__getattr__", "__getattribute__", "__setattr__"):
            if name in vars(kind):
                raise Impure(f"{kind.__name__} defines {name}")
        for name in vars(kind):
            is_inherited = any(name in vars(base) for base in kind.__mro__[1:] if base is not object)
            if name == "forward" or (is_inherited and name not in _BESIDE):
                self._member(kind, name)

    def _member(self, kind: type, name: str) -> None:
        self.code.note(kind, name)
        value: Any = vars(kind)[name]
        if isinstance(value, (staticmethod, classmethod)):
            value = cast("Any", value).__func__
        if isinstance(value, property):
            if value.fget is None:
                raise Impure(f"{kind.__name__}.{name} cannot be read")
            value = value.fget
        self._value(f"{kind.__name__}.{name}", value)

    def _value(self, name: str, value: Any) -> None:
        """A value that code reads: one that stays what it is, or a function that only computes."""
        if isinstance(value, _PLAIN):
            return
        if isinstance(value, (tuple, frozenset)):
            for each in value:  # pyright: ignore[reportUnknownVariableType]
                self._value(name, each)
        elif isinstance(value, types.FunctionType) and not _is_known(value.__module__):
            self._function(value)
        elif isinstance(value, types.ModuleType):
            if value.__name__ not in _SPACES:
                raise Impure(f"{name} is the module {value.__name__}")
        elif not _is_harmless(value):
            raise Impure(f"{name} is {type(value).__name__}, which may change")

    def _function(self, function: types.FunctionType) -> None:
        if function in self._seen:
            return
        self._seen.add(function)
        for name in ("__code__", "__defaults__", "__kwdefaults__"):
            self.code.note(function, name)
        for default in (*(function.__defaults__ or ()), *(function.__kwdefaults__ or {}).values()):
            self._value(f"a default of {function.__qualname__}", default)
        for name, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=True):
            if name != "__class__":
                self.code.note(cell, "cell_contents")
                self._value(name, cell.cell_contents)
        self._code(function.__code__, function.__globals__)

    def _code(self, code: types.CodeType, space: dict[str, Any]) -> None:
        if code.co_flags & (0x80 | 0x200 | 0x100):
            raise Impure(f"{code.co_qualname} is a coroutine")
        for instruction in dis.get_instructions(code):
            op, name = instruction.opname, instruction.argval
            if op in _IMPURE or (op == "STORE_DEREF" and name not in code.co_cellvars):
                raise Impure(f"{code.co_qualname} has {op}")
            if op in ("STORE_SUBSCR", "STORE_SLICE", "DELETE_SUBSCR") or (
                op == "BINARY_OP" and instruction.argrepr.endswith("=")
            ):
                self._writes = True
            if op == "LOAD_GLOBAL":
                self._global(name, space)
            elif op in ("LOAD_ATTR", "LOAD_METHOD", "LOAD_SUPER_ATTR"):
                self._attribute(name)
        for constant in code.co_consts:
            if isinstance(constant, types.CodeType):
                self._code(constant, space)
            elif isinstance(constant, tuple) and "out" in constant:
                # Names of a call's arguments.
                self._writes = True

    def _global(self, name: str, space: dict[str, Any]) -> None:
        value = space.get(name, _MISSING)
        self.code.note_global(space, name, value)
        if value is not _MISSING:
            self._value(name, value)
            return
        found = getattr(builtins, name, _MISSING)
        is_error = isinstance(found, type) and issubclass(found, BaseException)
        if name not in _BUILTINS and not is_error:
            raise Impure(f"{name} is not known to compute alone")

    def _attribute(self, name: str) -> None:
        """A name after a dot, of whatever: of all that it may be of here."""
        if name in self._names:
            return
        self._names.add(name)
        self._reads_arrays |= name in self._arrays
        self._writes |= name in _WRITING
        if name in _OUTSIDE or (name.startswith("__") and name not in _DUNDER):
            raise Impure(f".{name} does more than compute")
        if hasattr(Module, name) and name not in _LOOKING and not name.startswith("__"):
            raise Impure(f".{name} is a module's own")
        for kind in self._own:
            if name in vars(kind) and name not in _DUNDER:
                self._member(kind, name)
        for module in self._modules:
            if name in module.__dict__ and name not in _TABLES:
                self._value(f"{type(module).__name__}.{name}", module.__dict__[name])


#: Modules whose functions compute.
_SPACES = _words(
    "numpy numpy.linalg numpy.fft math autograd.numpy quantray quantray.nn quantray.nn.functional"
)


def _is_known(module: str | None) -> bool:
    return module is not None and module.partition(".")[0] in (
        "quantray",
        "numpy",
        "builtins",
        "math",
        "typing",
    )


def _home_of(kind: type) -> str:
    """Where the layer comes from that a class is one of."""
    return next(each.__module__ for each in kind.__mro__ if _is_known(each.__module__))


def _is_layer(home: str) -> bool:
    return home.startswith("quantray.nn._") or home == "quantray.quantization.stubs"


def _is_harmless(value: Any) -> bool:
    """A function, or a class, of NumPy, of mathematics, or of `nn`."""
    if isinstance(value, np.ufunc):
        return True
    home = getattr(value, "__module__", None) or ""
    name = getattr(value, "__name__", "")
    if not callable(value) or name in _OUTSIDE:
        return False
    if isinstance(value, type):
        is_layer = issubclass(value, Module) and _is_layer(value.__module__)
        return is_layer or home == "numpy" or value in (int, float, bool, str, tuple, list, dict, set)
    if getattr(math, name, None) is value:
        return True
    if home in ("quantray", "quantray._joining"):
        return not name.endswith("_") and getattr(sys.modules["quantray"], name, None) is value
    return home.startswith(("quantray.nn.functional", "quantray.nn._")) or (
        home in ("numpy", "numpy.linalg") and getattr(np, name, getattr(np.linalg, name, None)) is value
    )
