"""Nodes that make one of many elements, as steps of a program.

Sums of floats are added up in another order than NumPy's: they are steps only where no integers follow
(`is_near`), whose codes could differ.
"""

from __future__ import annotations

import numpy as np

from quantray._typing import DType, Kwargs
from quantray.graph import Node
from quantray.quantization._lowering import Lowering, step_of
from quantray.quantization._operands import BOOL, FLOAT, arguments, axes, made_dtype, near, need, typed, wire

_NAMES = {
    "sum": "sum", "mean": "mean", "max": "max", "min": "min", "amax": "max", "amin": "min", "prod": "prod",
    "any": "any", "all": "all",
}  # fmt: skip
_UFUNCS = {"add": "sum", "multiply": "prod", "maximum": "max", "minimum": "min"}


def _reduced(to: Lowering, node: Node, name: str, given: Kwargs, dtype: DType, **params: object) -> None:
    """One reduction, of elements of the dtype that comes out."""
    x = typed(to, given["a"], dtype, node)
    keep = given.get("keepdims")
    need(keep is None or np.asarray(keep).dtype == BOOL)
    made = to.step(name, (x,), node, axes=axes(given.get("axis")), keepdims=bool(keep), **params)
    to.put(node, made)


@step_of(*(f"{home}.{name}" for home in ("numpy", "ndarray") for name in _NAMES))
def _reduction(to: Lowering, node: Node) -> None:
    given = arguments(node, "a", "axis", "dtype", "out", "keepdims")
    name = _NAMES[node.kind.rpartition(".")[2]]
    if name in ("max", "min", "any", "all"):
        # Their arguments are (a, axis, out, keepdims).
        need(len(node.args) <= 2 and given["dtype"] is None)
    need(given["out"] is None)
    dtype = BOOL if name in ("any", "all") else made_dtype(node)
    if dtype == BOOL:
        name = {"max": "any", "min": "all"}.get(name, name)
    if name in ("sum", "mean", "prod") and dtype == FLOAT:
        near(to)
    _reduced(to, node, name, given, dtype)


@step_of(*(f"numpy.{name}.reduce" for name in _UFUNCS))
def _ufunc(to: Lowering, node: Node) -> None:
    given = arguments(node, "a", "axis", "dtype", "out", "keepdims")
    need(given["out"] is None)
    if "axis" not in node.kwargs and len(node.args) < 2:
        given["axis"] = 0
    name, dtype = _UFUNCS[node.kind.split(".")[1]], made_dtype(node)
    need(dtype != BOOL)
    if name in ("sum", "prod") and dtype == FLOAT:
        near(to)
    _reduced(to, node, name, given, dtype)


@step_of("mean")
def _mean(to: Lowering, node: Node) -> None:
    near(to)
    given = {"a": node.args[0], "axis": node.get("axes"), "keepdims": node.get("keepdims")}
    _reduced(to, node, "mean", given, FLOAT)


@step_of("numpy.var", "ndarray.var", "numpy.std", "ndarray.std")
def _spread(to: Lowering, node: Node) -> None:
    near(to)
    given = arguments(node, "a", "axis", "dtype", "out", "ddof", "keepdims", "correction")
    need(given["out"] is None and made_dtype(node) == FLOAT)
    off = given["ddof"] if given["ddof"] is not None else given["correction"]
    need(off is None or isinstance(off, (int, float)))
    _reduced(to, node, node.kind.rpartition(".")[2], given, FLOAT, ddof=float(off or 0))


@step_of("logsumexp")
def _logsumexp(to: Lowering, node: Node) -> None:
    near(to)
    given = {"a": node.args[0], "axis": node.get("axes"), "keepdims": node.get("keepdims")}
    _reduced(to, node, "logsumexp", given, FLOAT)


@step_of("numpy.linalg.norm", "numpy.linalg.vector_norm")
def _norm(to: Lowering, node: Node) -> None:
    near(to)
    is_vector = node.kind.endswith("vector_norm")
    names = ("a", "axis", "keepdims", "ord") if is_vector else ("a", "ord", "axis", "keepdims")
    given = arguments(node, *names)
    order, found = given["ord"], axes(given["axis"])
    of_vectors = is_vector or (found is not None and len(found) == 1)
    need(made_dtype(node) == FLOAT and to.graph.fact(node.args[0]).dtype == FLOAT)
    # Without an order it is that of all elements; with one, and two axes, it may be a matrix's.
    if order is None or (of_vectors and order == 2):
        _reduced(to, node, "l2", given, FLOAT)
    else:
        need(of_vectors and order == 1)
        _reduced(to, node, "l1", given, FLOAT)


@step_of("numpy.argmax", "ndarray.argmax", "numpy.argmin", "ndarray.argmin")
def _place(to: Lowering, node: Node) -> None:
    given = arguments(node, "a", "axis", "out", "keepdims")
    need(given["out"] is None and to.graph.fact(given["a"]).dtype != BOOL)
    x = wire(to, given["a"], None)
    name = node.kind.rpartition(".")[2]
    made = to.step(name, (x,), node, axes=axes(given["axis"]), keepdims=bool(given["keepdims"]))
    to.put(node, made)


@step_of("numpy.cumsum", "ndarray.cumsum", "numpy.cumprod", "ndarray.cumprod")
def _running(to: Lowering, node: Node) -> None:
    given = arguments(node, "a", "axis", "dtype", "out")
    need(given["out"] is None)
    dtype = made_dtype(node)
    x = typed(to, given["a"], dtype, node)
    found = axes(given["axis"])
    if found is None:
        x, found = to.step("reshape", (x,), node, shape=(-1,)), (0,)
    to.put(node, to.step(node.kind.rpartition(".")[2], (x,), node, axis=found[0]))
