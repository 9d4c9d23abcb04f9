"""A model as a table: what is inside, what it makes of an input, and how much memory it takes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from math import prod
from typing import TYPE_CHECKING, NamedTuple, Protocol, TypeVar, cast, runtime_checkable

import numpy as np

from quantray._core import QTensor
from quantray._tables import Column, Table
from quantray.nn._gradients import untraced
from quantray.nn._tracing import state

if TYPE_CHECKING:
    from quantray._typing import Tensor
    from quantray.nn._module import Module


R = TypeVar("R")
T = TypeVar("T")


class Row(NamedTuple):
    """One module: its own parameters and bytes, without those of modules inside it."""

    name: str
    type: str
    output_shape: str
    parameters: int
    nbytes: int


class Summary:
    """A table of modules; text where it is printed, HTML in notebooks.

    Attributes
    ----------
    rows : list of Row
        Outer modules before those inside them. A shape is empty where the module was not called.
    parameters, nbytes : int
        Of all; arrays that modules share count once.
    """

    def __init__(self, rows: list[Row], parameters: int, nbytes: int) -> None:
        self.rows, self.parameters, self.nbytes = rows, parameters, nbytes

    def _table(self) -> Table:
        columns = [
            Column("name", wraps=True),
            Column("type"),
            Column("output shape", wraps=True),
            Column("parameters", right=True),
            Column("bytes", right=True),
        ]
        rows = [(*row[:3], f"{row.parameters:,}", f"{row.nbytes:,}") for row in self.rows]
        return Table(columns, rows, ("total", "", "", f"{self.parameters:,}", f"{self.nbytes:,}"))

    def __repr__(self) -> str:
        return self._table().text()

    def _repr_html_(self) -> str:
        return self._table().html()


@runtime_checkable
class _Shaped(Protocol):
    @property
    def shape(self) -> Sequence[int]: ...


def _shape(output: object) -> str:
    """An array's shape, or those of several."""
    if isinstance(output, (tuple, list)):
        return ", ".join(_shape(part) for part in cast("tuple[object, ...]", output))
    found = untraced(output)
    return str(tuple(found.shape)) if isinstance(found, _Shaped) else ""


class _Watch:
    """Looks at every call of a module on this thread, and changes nothing."""

    def __init__(self) -> None:
        self.shapes: dict[int, str] = {}

    def call_function(
        self, function: Callable[..., R], args: tuple[object, ...], kwargs: Mapping[str, object]
    ) -> R:
        return vars(function)["__wrapped__"](*args, **kwargs)

    def call_module(self, module: Module, args: tuple[object, ...], kwargs: dict[str, object]) -> object:
        runner = module._runner
        plain = runner is None or runner.keeps_forward
        output = (
            runner(module, args, kwargs) if runner is not None and not plain else module._call(args, kwargs)
        )
        self.shapes[id(module)] = _shape(output)
        return output

    def attribute(self, module: Module, name: str, value: T) -> T:
        return value

    def as_floats(self, value: object) -> None:
        return None


def summarize(model: Module, args: tuple[object, ...]) -> Summary:
    """The table of a model, called with `args` in evaluation mode if there are any."""
    watch = _Watch()
    if args:
        modes = [(module, module.training) for module in model.modules()]
        model.eval()
        try:
            state.tracer = watch
            model(*args)
        finally:
            state.tracer = None
            for module, training in modes:
                module.training = training
    shapes = {
        id(module): watch.shapes[id(module)] for module in model.modules() if id(module) in watch.shapes
    }
    runs_by_graph = model._runner is not None and not model._runner.keeps_forward
    if runs_by_graph:
        assert model._runner is not None
        shapes = model._runner.shapes(model, args) | shapes
    rows: list[Row] = []
    # What was counted, kept: the id of an array that is gone may be another one's.
    seen: dict[int, Tensor] = {}
    totals = np.zeros(2, np.int64)
    for name, module in model.named_modules():
        own = {key: value for key, value in module._own_state().items() if hasattr(value, "nbytes")}
        if runs_by_graph and not own and not module._modules and id(module) not in shapes:
            # What became part of others: an Identity in the place of what a layer does by itself.
            continue
        counts = {key: prod(value.shape) for key, value in own.items() if _is_parameter(module, key, value)}
        sizes = sum(counts.values()), sum(value.nbytes for value in own.values())
        rows.append(Row(name or "(model)", module._get_name(), shapes.get(id(module), ""), *sizes))
        for key, value in own.items():
            if id(value) not in seen:
                seen[id(value)] = value
                totals += [counts.get(key, 0), value.nbytes]
    return Summary(rows, *totals.tolist())


def _is_parameter(module: Module, key: str, value: Tensor) -> bool:
    """Whether an entry of a module's state is a weight, of integers, too."""
    return key in module._parameters or isinstance(value, QTensor) or key.startswith("bias")
