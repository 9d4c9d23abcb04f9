"""Operators that make one value of many."""

# Arrays and stand-ins of them are of any dtype and shape: what NumPy's stubs make of them says nothing here.
# pyright: reportUnknownVariableType=false, reportUnknownMemberType=false, reportUnknownArgumentType=false
# pyright: reportUnknownLambdaType=false

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias, cast

import numpy as np

from quantray import graph
from quantray._typing import DType, Tensor
from quantray.graph._lengths import Length, greatest, least
from quantray.nn import functional as F
from quantray.onnx._lengths import Dim, as_array, extreme, integer, integers, is_lengths, settled
from quantray.onnx.operators._registry import Array, ArrayFunction, Call, Given, Outputs, operator

#: Axes that are counted from the first one; None for all of them.
Axes: TypeAlias = tuple[int, ...] | None


def _axes(call: Call, axes: Given, x: Array) -> tuple[int, ...] | None:
    """Axes, an attribute or an input; None for all of them, () for none."""
    found = call.integers("axes") if axes is None else tuple(map(int, integers(axes, "axes")))
    if found is None or not found:
        return () if call.get("noop_with_empty_axes") else None
    return tuple(call.axis(axis, np.ndim(x)) for axis in found)


def _reduced(function: ArrayFunction, before: ArrayFunction | None = None) -> ArrayFunction:
    def call(call: Call, x: Array, axes: Array | None = None) -> Array:
        if before is not None:
            x = before(x)
        found = _axes(call, axes, x)
        if found == ():
            return x
        return function(x, found, bool(call.get("keepdims", 1)))

    return call


def _sum(x: Array, axes: tuple[int, ...] | None, keepdims: bool) -> Array:
    made = np.sum(x, axis=axes, keepdims=keepdims)
    return made if made.dtype == x.dtype else made.astype(x.dtype)


def _mean(x: Array, axes: tuple[int, ...] | None, keepdims: bool) -> Array:
    if x.dtype.kind != "f":
        return np.floor_divide(_sum(x, axes, keepdims), np.asarray(_count(x, axes), x.dtype))
    return np.mean(x, axis=axes, keepdims=keepdims)


def _count(x: Array, axes: Axes) -> int:
    shape = np.shape(x)
    return int(np.prod([int(shape[a]) for a in (range(len(shape)) if axes is None else axes)]))


def _product(x: Array, axes: Axes, keepdims: bool) -> Array:
    made = np.prod(x, axis=axes, keepdims=keepdims)
    return made if made.dtype == x.dtype else made.astype(x.dtype)


def _greatest(x: Array, axes: tuple[int, ...] | None, keepdims: bool) -> Array:
    """Of no elements it is the lowest number that there is."""
    if not _is_empty(x):
        return np.max(x, axis=axes, keepdims=keepdims)
    return np.max(x, axis=axes, keepdims=keepdims, initial=_limit(x.dtype, False))


def _least(x: Array, axes: Axes, keepdims: bool) -> Array:
    if not _is_empty(x):
        return np.min(x, axis=axes, keepdims=keepdims)
    return np.min(x, axis=axes, keepdims=keepdims, initial=_limit(x.dtype, True))


def _is_empty(x: Array) -> bool:
    """Whether there are no elements: what a capture takes for granted without a guard."""
    return any((n.value if type(n) is Length else n) == 0 for n in np.shape(x))


def _limit(dtype: DType, largest: bool) -> bool | float:
    if dtype.kind == "b":
        return largest
    if dtype.kind == "f":
        return np.inf if largest else -np.inf
    return np.iinfo(dtype).max if largest else np.iinfo(dtype).min


def _log_sum_exp(x: Array, axes: Axes, keepdims: bool) -> Array:
    top = _greatest(x, axes, True)
    top = np.where(np.isfinite(top), top, np.zeros_like(top))
    made = np.log(np.sum(np.exp(x - top), axis=axes, keepdims=True)) + top
    if keepdims:
        return made
    return np.squeeze(made, tuple(range(np.ndim(x))) if axes is None else axes)


for _name, _function, _before in (
    ("ReduceSum", _sum, None),
    ("ReduceMean", _mean, None),
    ("ReduceSumSquare", _sum, lambda x: np.multiply(x, x)),
    ("ReduceL1", _sum, np.absolute),
    ("ReduceLogSumExp", _log_sum_exp, None),
):
    operator(_name)(_reduced(_function, _before))


def _reduced_lengths(function: ArrayFunction, of_lengths: Callable[[Array], Dim | None]) -> ArrayFunction:
    """The same of rows of lengths too, where these make a length."""
    of_arrays = _reduced(function)

    def call(call: Call, x: Array, axes: Array | None = None) -> Array:
        if not is_lengths(x):
            return of_arrays(call, x, axes)
        made = of_lengths(x.ravel()) if np.ndim(x) == 1 and _axes(call, axes, x) != () else None
        if made is None:
            return of_arrays(call, as_array(x), axes)
        found = np.empty((1,) if call.get("keepdims", 1) else (), object)
        found[...] = None
        found.reshape(-1)[0] = made
        return settled(found)

    return call


operator("ReduceProd", takes_lengths=True)(_reduced_lengths(_product, np.prod))
operator("ReduceMax", takes_lengths=True)(_reduced_lengths(_greatest, lambda x: extreme(greatest, x)))
operator("ReduceMin", takes_lengths=True)(_reduced_lengths(_least, lambda x: extreme(least, x)))


@operator("ReduceL2")
def _reduce_l2(call: Call, x: Array, axes: Array | None = None) -> Array:
    return np.sqrt(_reduced(_sum, lambda x: np.multiply(x, x))(call, x, axes))


@operator("ReduceLogSum")
def _reduce_log_sum(call: Call, x: Array, axes: Array | None = None) -> Array:
    return np.log(_reduced(_sum)(call, x, axes))


def _place(function: ArrayFunction) -> ArrayFunction:
    def call(call: Call, x: Array) -> Array:
        axis, keepdims = call.get("axis", 0), bool(call.get("keepdims", 1))
        if not call.get("select_last_index"):
            return function(x, axis=axis, keepdims=keepdims).astype(np.int64)
        places = function(np.flip(x, axis), axis=axis, keepdims=keepdims)
        return (np.shape(x)[axis] - 1 - places).astype(np.int64)

    return call


operator("ArgMax")(_place(np.argmax))
operator("ArgMin")(_place(np.argmin))


@operator("CumSum")
def _cumsum(call: Call, x: Array, axis: Array) -> Array:
    at = int(integer(axis, "axis"))
    if call.get("reverse"):
        x = np.flip(x, at)
    made = np.cumsum(x, axis=at, dtype=x.dtype)
    if call.get("exclusive"):
        made = made - x
    return np.flip(made, at) if call.get("reverse") else made


@operator("CumProd")
def _cumulative_product(call: Call, x: Array, axis: Array) -> Array:
    flags = (bool(call.get("exclusive", 0)), bool(call.get("reverse", 0)))
    return graph.apply("onnx.cumulative_product", x, int(integer(axis, "axis")), *flags)


@operator("TopK", takes_lengths=True)
def _top_k(call: Call, x: Array, k: Array | None = None) -> Outputs:
    count = call.get("k") if k is None else integer(k, "k")
    return graph.apply(
        "onnx.top_k", as_array(x), count, int(call.get("axis", -1)), bool(call.get("largest", 1))
    )


def _flat_softmax(function: Callable[..., Tensor]) -> Callable[..., Tensor]:
    def call(call: Call, x: Array) -> Tensor:
        if call.version >= 13:
            return function(x, call.get("axis", -1))
        # All axes from one on are one.
        axis = call.axis(call.get("axis", 1), np.ndim(x)) if np.ndim(x) else 0
        if axis == np.ndim(x) - 1:
            return function(x, -1)
        return np.reshape(cast("Array", function(F.flatten(x, axis), -1)), np.shape(x))

    return call


operator("Softmax")(_flat_softmax(F.softmax))


@operator("BiasSoftmax", domain="com.microsoft")
def _bias_softmax(call: Call, x: Array, bias: Array) -> Tensor:
    """onnxruntime's, of scores and what is added to them."""
    return _flat_softmax(F.softmax)(call, x + bias)


operator("LogSoftmax")(_flat_softmax(F.log_softmax))


@operator("Hardmax")
def _hardmax(call: Call, x: Array) -> Array:
    axis = call.axis(call.get("axis", -1 if call.version >= 13 else 1), np.ndim(x))
    shape = np.shape(x)
    if call.version < 13 and axis != np.ndim(x) - 1:
        x = cast("Array", F.flatten(x, axis))
        axis = np.ndim(x) - 1
    top = np.argmax(x, axis=axis, keepdims=True)
    at = np.arange(int(np.shape(x)[axis])).reshape([-1 if a == axis else 1 for a in range(np.ndim(x))])
    return np.reshape((top == at).astype(x.dtype), shape)
