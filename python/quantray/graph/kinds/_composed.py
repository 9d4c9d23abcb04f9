"""Functions that autograd has no gradient of, in terms of those that it has."""

# autograd has no types, and neither have lambdas' arguments.
# pyright: reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportUnknownMemberType=false, reportUnknownLambdaType=false

from __future__ import annotations

import importlib
from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np

from quantray._typing import Array, ArrayLike, DTypeLike
from quantray.graph._functions import Function
from quantray.nn._gradients import untraced

#: The axes that a reduction is along.
Axes: TypeAlias = int | tuple[int, ...] | None


# autograd has no types.
def _anp() -> Any:
    return importlib.import_module("autograd.numpy")


def _norm(x: Array, ord: float | str | None = None, axis: Axes = None, keepdims: bool = False) -> Array:
    anp = _anp()
    is_matrix = (axis is None and np.ndim(x) == 2) or (isinstance(axis, (tuple, list)) and len(axis) == 2)
    if ord is None or ord == "fro" or (ord == 2 and not is_matrix):
        return anp.sqrt(anp.sum(x * x, axis=axis, keepdims=keepdims))
    if is_matrix or not isinstance(ord, (int, float)):
        raise TypeError(f"numpy.linalg.norm has no gradient for ord={ord!r}")
    if ord == np.inf:
        return anp.max(anp.abs(x), axis=axis, keepdims=keepdims)
    if ord == -np.inf:
        return anp.min(anp.abs(x), axis=axis, keepdims=keepdims)
    if ord == 1:
        return anp.sum(anp.abs(x), axis=axis, keepdims=keepdims)
    return anp.sum(anp.abs(x) ** ord, axis=axis, keepdims=keepdims) ** (1 / ord)


def _vector_norm(
    x: Array, /, *, axis: Axes = None, keepdims: bool = False, ord: float | str | None = 2
) -> Array:
    x = _anp().ravel(x) if axis is None and not keepdims else x
    return _norm(x, 2.0 if ord == 2 and axis is None else ord, axis, keepdims)


def _clip(
    a: Array,
    a_min: ArrayLike | None = None,
    a_max: ArrayLike | None = None,
    *,
    min: ArrayLike | None = None,
    max: ArrayLike | None = None,
) -> Array:
    anp = _anp()
    low, high = a_min if a_min is not None else min, a_max if a_max is not None else max
    a = a if low is None else anp.maximum(a, low)
    return a if high is None else anp.minimum(a, high)


def _method_clip(a: Array, min: ArrayLike | None = None, max: ArrayLike | None = None) -> Array:
    return _clip(a, min, max)


def _sum(
    a: Array,
    axis: Axes = None,
    dtype: DTypeLike | None = None,
    *,
    where: ArrayLike | None = None,
    initial: ArrayLike = 0,
    **kwargs: object,
) -> Array:
    anp = _anp()
    return anp.sum(a if where is None else anp.where(where, a, 0), axis=axis, **kwargs) + initial


def _mean(
    a: Array,
    axis: Axes = None,
    dtype: DTypeLike | None = None,
    *,
    where: ArrayLike | None = None,
    keepdims: bool = False,
) -> Array:
    anp = _anp()
    if where is None:
        return anp.mean(a, axis=axis, keepdims=keepdims)
    count = anp.sum(np.broadcast_to(where, np.shape(a)), axis=axis, keepdims=keepdims)
    return _sum(a, axis, where=where, keepdims=keepdims) / count


def _extreme(name: str) -> Function:
    def of(
        a: Array,
        axis: Axes = None,
        *,
        where: ArrayLike | None = None,
        initial: ArrayLike | None = None,
        **kwargs: object,
    ) -> Array:
        anp = _anp()
        if where is not None:
            a = anp.where(where, a, -np.inf if name == "max" else np.inf)
        found = getattr(anp, name)(a, axis=axis, **kwargs)
        return found if initial is None else getattr(anp, f"{name}imum")(found, initial)

    return of


def _without_nan(name: str, instead: float) -> Function:
    def of(a: Array, axis: Axes = None, **kwargs: object) -> Array:
        anp = _anp()
        return getattr(anp, name)(anp.where(np.isnan(_value(a)), instead, a), axis=axis, **kwargs)

    return of


def _nanmean(a: Array, axis: Axes = None, keepdims: bool = False) -> Array:
    known = ~np.isnan(_value(a))
    total = _sum(_anp().where(known, a, 0), axis, keepdims=keepdims)
    return total / _anp().sum(known, axis=axis, keepdims=keepdims)


def _value(a: Array) -> Array:
    return untraced(a)


def _average(
    a: Array,
    axis: int | None = None,
    weights: ArrayLike | None = None,
    returned: bool = False,
    **kwargs: object,
) -> Array:
    anp = _anp()
    if weights is None:
        return anp.mean(a, axis=axis, **kwargs)
    if axis is not None and np.ndim(weights) != np.ndim(a):
        shape = [1] * np.ndim(a)
        shape[axis] = -1
        weights = anp.reshape(weights, shape) + 0 * a
    return anp.sum(a * weights, axis=axis, **kwargs) / anp.sum(weights, axis=axis, **kwargs)


def _ptp(a: Array, axis: Axes = None, **kwargs: object) -> Array:
    anp = _anp()
    return anp.max(a, axis=axis, **kwargs) - anp.min(a, axis=axis, **kwargs)


def _multi_dot(arrays: Sequence[Array], **_: object) -> Array:
    found = arrays[0]
    for array in arrays[1:]:
        found = _anp().dot(found, array)
    return found


def _matrix_power(a: Array, n: int) -> Array:
    anp = _anp()
    base = anp.linalg.inv(a) if n < 0 else a
    found = anp.eye(np.shape(a)[-1], dtype=_value(a).dtype) + 0 * a
    for _ in range(abs(n)):
        found = anp.matmul(found, base)
    return found


def _cumprod(a: Array, axis: int | None = None, **_: object) -> Array:
    anp = _anp()
    if axis is None:
        a, axis = anp.ravel(a), 0
    axis %= np.ndim(a)
    parts = []
    for i in range(np.shape(a)[axis]):
        part = a[(slice(None),) * axis + (i,)]
        parts.append(part if not parts else parts[-1] * part)
    return anp.stack(parts, axis=axis)


def _cbrt(x: Array) -> Array:
    anp = _anp()
    return anp.sign(x) * anp.abs(x) ** (1 / 3)


def _copysign(x: Array, y: Array) -> Array:
    return _anp().abs(x) * np.where(np.signbit(_value(y)), -1, 1)


def _fmod(x: Array, y: Array) -> Array:
    return x - np.trunc(_value(x) / _value(y)) * y


def _outer_of(name: str) -> Function:
    def of(a: Array, b: Array) -> Array:
        anp = _anp()
        wide = anp.reshape(a, np.shape(a) + (1,) * np.ndim(b))
        return getattr(anp, name)(wide, b)

    return of


#: By name what computes the same of autograd's boxes.
_COMPOSED: dict[str, Function] = {
    "numpy.linalg.norm": _norm,
    "numpy.linalg.vector_norm": _vector_norm,
    "numpy.linalg.multi_dot": _multi_dot,
    "numpy.linalg.matrix_power": _matrix_power,
    "numpy.linalg.trace": lambda x, /, *, offset=0: _anp().trace(x, offset),
    "numpy.linalg.outer": lambda a, b, /: a[:, None] * b,
    "numpy.linalg.matmul": lambda a, b, /: _anp().matmul(a, b),
    "numpy.clip": _clip,
    "ndarray.clip": _method_clip,
    "numpy.average": _average,
    "numpy.ptp": _ptp,
    "numpy.nansum": _without_nan("sum", 0),
    "numpy.nanprod": _without_nan("prod", 1),
    "numpy.nancumsum": _without_nan("cumsum", 0),
    "numpy.nanmax": _without_nan("max", -np.inf),
    "numpy.nanmin": _without_nan("min", np.inf),
    "numpy.nanmean": _nanmean,
    "numpy.cbrt": _cbrt,
    "numpy.copysign": _copysign,
    "numpy.fmod": _fmod,
    "numpy.float_power": lambda x, y: _anp().power(x, y),
    "numpy.vdot": lambda a, b: _anp().sum(a * b),
    "numpy.vecdot": lambda a, b, axis=-1: _anp().sum(a * b, axis=axis),
    "numpy.matvec": lambda a, b: _anp().einsum("...ij,...j->...i", a, b),
    "numpy.vecmat": lambda a, b: _anp().einsum("...i,...ij->...j", a, b),
    "numpy.ediff1d": lambda a: _anp().diff(_anp().ravel(a)),
    "numpy.multiply.reduce": lambda a, axis=0, **k: _anp().prod(a, axis=axis, **k),
    "numpy.add.accumulate": lambda a, axis=0: _anp().cumsum(a, axis=axis),
}
for _home in ("numpy", "ndarray"):
    _COMPOSED[f"{_home}.sum"], _COMPOSED[f"{_home}.mean"] = _sum, _mean
    _COMPOSED[f"{_home}.cumprod"] = _cumprod
    for _name in ("max", "min"):
        _COMPOSED[f"{_home}.{_name}"] = _extreme(_name)
_COMPOSED["numpy.amax"], _COMPOSED["numpy.amin"] = _extreme("max"), _extreme("min")
_COMPOSED["numpy.add.reduce"] = lambda a, axis=0, **k: _sum(a, axis, **k)
_COMPOSED["numpy.maximum.reduce"] = lambda a, axis=0, **k: _extreme("max")(a, axis, **k)
_COMPOSED["numpy.minimum.reduce"] = lambda a, axis=0, **k: _extreme("min")(a, axis, **k)


def composed(name: str) -> Function | None:
    """A function of boxes for a function of a name; None where autograd's own has to do."""
    if name.startswith("array.where:"):
        function = getattr(_anp(), name.rpartition(".")[2])
        return lambda out, *args, where, **kwargs: _anp().where(where, function(*args, **kwargs), out)
    known = _COMPOSED.get(name)
    if known is None and name.startswith("numpy.") and name.endswith(".outer"):
        return _outer_of(name.split(".")[1])
    return known
