"""Names of functions that a graph may hold, and the functions of names: files have names alone.

A name begins with where the function is at home: "numpy.", "functional.", "ndarray." for methods of arrays,
"scipy.special." for ufuncs of scipy, "array." for what is defined here.
"""

from __future__ import annotations

import functools
import importlib
import operator
import sys
import types
from collections.abc import Callable
from typing import Any, TypeAlias, TypeVar, cast

import numpy as np

from quantray._typing import Array, ArrayLike, Index
from quantray.nn._gradients import Differentiable

T = TypeVar("T")
#: A function of arrays; what it gives, whoever knows its name knows.
Function: TypeAlias = Callable[..., Any]

# What becomes of changes in place: functions that return the array as it is after the change.


def setitem(x: Array, index: Index, value: object) -> Array:
    """An array with some of its elements replaced."""
    made = x.copy(order="K")
    made[index] = value
    return made


def into(function: Function, x: Array, *args: object, **kwargs: object) -> Array:
    """An array after a function that changes its first argument."""
    made = x.copy(order="K")
    function(made, *args, **kwargs)
    return made


def ufunc_at(ufunc: np.ufunc, x: Array, *args: Array) -> Array:
    """An array after `ufunc.at`."""
    made = x.copy(order="K")
    ufunc.at(made, *args)
    return made


def ufunc_where(ufunc: Function, out: Array, *args: object, **kwargs: object) -> Array:
    """An array after a ufunc with `where=` wrote into it."""
    made = out.copy(order="K")
    ufunc(*args, out=made, **kwargs)
    return made


def unview(view: Function, base: Array, new: Array, *args: object, **kwargs: object) -> Array:
    """An array, a view of which has got other elements."""
    made = base.copy(order="K")
    part = view(made, *args, **kwargs)
    if part.size and not np.shares_memory(part, made):
        raise ValueError("it is a view of an array where the model was captured, and a copy here")
    part[...] = new
    return made


def identity(x: T) -> T:
    """What some functions give back: their argument."""
    return x


def ramp(length: int, start: ArrayLike, step: ArrayLike, shape: tuple[int, ...], dtype: str) -> Array:
    """`start + step * arange(length)`, of a shape in which one axis is that long."""
    values: Array = np.asarray(start) + np.asarray(step) * np.arange(int(length))
    return values.astype(dtype).reshape([int(length) if n < 0 else n for n in shape])


def triangle(
    length: int, lower: ArrayLike, upper: ArrayLike, k: int, shape: tuple[int, ...], dtype: str
) -> Array:
    """One value on and below the diagonal `k`, another one above it."""
    n = int(length)
    values = np.where(np.tri(n, k=k, dtype=np.bool_), np.asarray(lower), np.asarray(upper))
    return values.astype(dtype).reshape([n if m < 0 else m for m in shape])


def diagonal(length: int, on: ArrayLike, off: ArrayLike, shape: tuple[int, ...], dtype: str) -> Array:
    """One value on the diagonal, another one beside it."""
    n = int(length)
    values = np.where(np.eye(n, dtype=np.bool_), np.asarray(on), np.asarray(off))
    return values.astype(dtype).reshape([n if m < 0 else m for m in shape])


def full(shape: tuple[int, ...], value: ArrayLike, dtype: str) -> Array:
    """One value everywhere."""
    return np.full(tuple(int(n) for n in shape), value, dtype)


def lengths(items: tuple[float, ...], shape: tuple[int, ...]) -> Array:
    """Lengths as an array of integers, or of floats where there is one among them."""
    return np.array(items, np.float32 if any(isinstance(n, float) for n in items) else np.int64).reshape(
        shape
    )


_OWN: dict[str, Function] = {
    "array.setitem": setitem,
    "array.getitem": operator.getitem,
    "array.identity": identity,
    "array.ramp": ramp,
    "array.triangle": triangle,
    "array.diagonal": diagonal,
    "array.full": full,
    "array.lengths": lengths,
}

#: Packages beside this one whose functions graphs may hold, by what their names begin with.
_PACKAGES = {"onnx": "quantray.onnx.functions"}

#: Functions of `_OWN` that are given another function first, by the name that precedes that one's.
_WRAPPERS: dict[str, Function] = {
    "array.into:": into,
    "array.at:": ufunc_at,
    "array.where:": ufunc_where,
    "array.unview:": unview,
}


def wrapped(wrapper: str, inner: str) -> str:
    """The name of what a wrapper makes of a function."""
    return f"array.{wrapper}:{inner}"


def method_of(name: str) -> Function:
    """A method of arrays as a function."""

    def call(x: Array, *args: object, **kwargs: object) -> object:
        return getattr(x, name)(*args, **kwargs)

    call.__name__ = name
    return call


def name_of(function: object) -> str | None:
    """The name that finds a function of NumPy, scipy or `nn.functional` again; None where there is none."""
    home = getattr(function, "__module__", None)
    name = getattr(function, "__name__", None)
    if name is None:
        return None
    if isinstance(home, str) and home.startswith("quantray.nn.functional"):
        return f"functional.{name}"
    if isinstance(function, np.ufunc):
        if getattr(np, name, None) is function:
            return f"numpy.{name}"
        special = sys.modules.get("scipy.special")
        return f"scipy.special.{name}" if getattr(special, name, None) is function else None
    if isinstance(home, str) and home.split(".")[0] == "numpy":
        space = sys.modules.get(home)
        return f"{home}.{name}" if getattr(space, name, None) is function else None
    return None


#: Methods of arrays that make new ones, or views: what "ndarray." may be followed by.
METHODS = (
    "all", "any", "argmax", "argmin", "argpartition", "argsort", "astype", "clip", "choose", "compress",
    "conj", "conjugate", "copy", "cumprod", "cumsum", "diagonal", "dot", "flatten", "max", "mean",
    "min", "nonzero", "prod", "ravel", "repeat", "reshape", "round", "searchsorted", "squeeze", "std",
    "sum", "swapaxes", "take", "trace", "transpose", "var", "view",
)  # fmt: skip

#: Where functions of NumPy's may be at home.
_HOMES = ("numpy", "numpy.linalg", "numpy.fft", "numpy.lib.stride_tricks", "numpy.lib.scimath")

#: Methods of ufuncs that make arrays.
_UFUNC_METHODS = ("reduce", "accumulate", "reduceat", "outer")

#: Functions of arrays that write files, or look at memory beside an array: no node's.
_DENIED = frozenset(
    {"save", "savez", "savez_compressed", "savetxt", "as_strided", "shares_memory", "may_share_memory"}
)
#: Functions that call what they are given: no file's.
_CALLERS = frozenset({"apply_along_axis", "apply_over_axes", "piecewise", "fromfunction"})


@functools.cache
def function_of(name: str) -> Function:
    """The function of a name: of arrays, and no other.

    Raises
    ------
    KeyError
        There is none; or it belongs to a library that is not installed.
    """
    if name in _OWN:
        return _OWN[name]
    for prefix, wrapper in _WRAPPERS.items():
        if name.startswith(prefix):
            inner = name.removeprefix(prefix)
            if inner.startswith(tuple(_WRAPPERS)):
                break
            return functools.partial(wrapper, function_of(inner))
    home, _, last = name.rpartition(".")
    found: Function | None = None
    if home == "ndarray":
        found = method_of(last) if last in METHODS else None
    elif home == "functional":
        found = _functional(last)
    elif home in _PACKAGES:
        found = getattr(importlib.import_module(_PACKAGES[home]), last, None)
        if getattr(found, "__module__", "").rpartition(".")[0] != _PACKAGES[home]:
            found = None
    elif home == "scipy.special":
        found = _ufunc_of_scipy(last)
    elif home.startswith("numpy.") and home not in _HOMES and last in _UFUNC_METHODS:
        found = getattr(function_of(home), last, None)
    elif home in _HOMES and not last.startswith("_") and last not in _DENIED:
        found = getattr(importlib.import_module(home), last, None)
        if not (isinstance(found, np.ufunc) or hasattr(found, "_implementation")):
            # What NumPy does not dispatch is captured by nobody.
            found = None
    if found is None:
        raise KeyError(f"there is no function {name!r} of arrays")
    return found


def may_be_in_file(name: str) -> bool:
    """Whether a file may name a function: one that does not call what it is given."""
    return name.rpartition(".")[2] not in _CALLERS


def _ufunc_of_scipy(name: str) -> Function | None:
    try:
        special = importlib.import_module("scipy.special")
    except ImportError:
        raise KeyError(f"the function scipy.special.{name} needs scipy, which is not installed") from None
    found = getattr(special, name, None)
    return found if isinstance(found, np.ufunc) else None


def _functional(name: str) -> Function | None:
    from quantray.nn import functional
    from quantray.nn.functional import _attention

    found: object = getattr(functional, name, None) or getattr(_attention, name, None)
    home = getattr(found, "__module__", "")
    is_function = isinstance(found, (types.FunctionType, Differentiable))
    is_ours = is_function and home.startswith(functional.__name__)
    return cast("Function", found) if is_ours else None
