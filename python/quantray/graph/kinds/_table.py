"""The table of kinds: for each kind of node what it means in floats, and what part it has in quantization.

A capture writes down functions as they were called, by their own names ("numpy.maximum"). Many of these are
spellings of one kind ("relu"), of one signature; what the table does not have stays as it was called, and
means what its function computes.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import cast

import numpy as np

from quantray._core import QTensor
from quantray._typing import Args, Kwargs
from quantray.graph._functions import Function, function_of
from quantray.graph._graph import Expr, Graph, Node, Ref
from quantray.graph._trees import is_sequence


class Part(Enum):
    """What part a kind of node has when a model is quantized."""

    #: Multiplies by weights: always in integers, whatever its input is.
    WEIGHTED = "weighted"
    #: Computes in integers where all its inputs are quantized; its output has a grid of its own.
    FOLLOWS = "follows"
    #: Passes on what it is given, quantized or not, on the grid it came on.
    KEEPS = "keeps"
    #: Floats go in, quantized values come out.
    BEGINS = "begins"
    #: Quantized values go in, floats come out.
    ENDS = "ends"


@dataclass(frozen=True)
class Kind:
    """One row of the table.

    Attributes
    ----------
    name : str
    function : callable
        What it computes of arrays.
    gradient : callable, optional
        The same of what autograd traces, where `function` itself cannot.
    part : Part, optional
        In quantization; None for what stays in float.
    elementwise : bool
        Whether each element of the output depends on that element of the inputs alone.
    integer : callable, optional
        An operator of `quantray.ops` that computes it of a QTensor: `integer(q, scale, zero_point, dtype,
        **settings)`.
    class_name : str
        The name of the class in `nn`, or of the function, that settings for this kind are given by.
    """

    name: str
    function: Function
    gradient: Function | None = None
    part: Part | None = None
    elementwise: bool = False
    integer: Callable[..., QTensor] | None = None
    class_name: str = ""

    @property
    def differentiable(self) -> Function:
        """What computes it of arrays that autograd traces."""
        return self.gradient or self.function


#: A spelling: the node in the table's form, or None where the call is another thing.
Spelling = Callable[[Node, Graph], "Node | None"]

_KINDS: dict[str, Kind] = {}
_SPELLINGS: dict[str, list[Spelling]] = {}
_OTHERS: dict[str, Kind] = {}


def register(kind: Kind) -> Kind:
    """Adds a kind, or replaces the one of its name."""
    _KINDS[kind.name] = kind
    return kind


def spelling(*names: str) -> Callable[[Spelling], Spelling]:
    """Decorates what recognizes a kind in calls of some functions."""

    def add(found: Spelling) -> Spelling:
        for name in names:
            _SPELLINGS.setdefault(name, []).append(found)
        return found

    return add


def kind_of(name: str) -> Kind:
    """A row of the table; for a function that is not in it one that says only what it computes."""
    found = _KINDS.get(name) or _OTHERS.get(name)
    if found is None:
        from quantray.graph.kinds._gradients import differentiable_of

        found = Kind(name, function_of(name), differentiable_of(name), elementwise=_is_elementwise(name))
        _OTHERS[name] = found
    return found


_MORE_ELEMENTWISE = frozenset(
    {
        "numpy.where", "numpy.clip", "ndarray.clip", "ndarray.astype", "numpy.nan_to_num", "numpy.round",
        "ndarray.round", "numpy.around", "numpy.real", "numpy.sinc", "numpy.i0", "numpy.heaviside",
        "ndarray.copy", "numpy.copy", "array.identity", "numpy.real_if_close", "numpy.fix", "numpy.isclose",
        "onnx.fake_quantize", "onnx.erf", "functional.celu", "functional.threshold",
    }
)  # fmt: skip


def _is_elementwise(name: str) -> bool:
    if name in _MORE_ELEMENTWISE:
        return True
    home, _, _last = name.rpartition(".")
    if home not in ("numpy", "scipy.special"):
        return False
    found = function_of(name)
    return isinstance(found, np.ufunc) and found.signature is None


def normalized(node: Node, graph: Graph) -> Node:
    """A node in the table's form where it is a spelling of a kind."""
    for found in _SPELLINGS.get(node.kind, ()):
        made = found(node, graph)
        if made is not None:
            return made
    return node


# Helpers of spellings


def bound(function: Function, node: Node, arrays: tuple[str, ...]) -> tuple[Args, Kwargs]:
    """The arguments of a call: those of some names, then the others by name, with defaults."""
    signature = inspect.signature(function)
    given = signature.bind(*node.args, **node.kwargs)
    given.apply_defaults()
    found = dict(given.arguments)
    return tuple(found.pop(name) for name in arrays), found


def is_wire(value: object) -> bool:
    """Whether an argument is an array."""
    return isinstance(value, Ref)


def number(value: object, graph: Graph) -> float | None:
    """The number that an argument is, or that a constant of one element holds; else None."""
    if isinstance(value, (bool, int, float, np.integer, np.floating)):
        return float(cast("float", value))
    if isinstance(value, Ref):
        node = graph.nodes.get(value.node)
        if (
            node is not None
            and node.kind == "constant"
            and np.size(node.value) == 1
            and np.ndim(node.value) == 0
        ):
            return float(np.asarray(node.value))
    return None


def is_static(value: object) -> bool:
    """Whether there is no length in it that is known only when the graph runs."""
    if is_sequence(value):
        return all(map(is_static, value))
    return not isinstance(value, (Expr, Ref))


def axes_of(value: object, ndim: int) -> tuple[int, ...] | None:
    """Axes counted from the first; all of them for None; None where that is not known."""
    if value is None:
        return tuple(range(ndim))
    given = value if is_sequence(value) else (value,)
    found = tuple(int(cast("int", a)) % ndim for a in given if isinstance(a, (int, np.integer)))
    return found if len(found) == len(given) else None


def rows(kinds: Mapping[str, Kind]) -> None:
    """Registers several."""
    for kind in kinds.values():
        register(kind)
