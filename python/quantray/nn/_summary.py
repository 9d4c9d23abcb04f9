"""A model as a table: what is inside, what it makes of an input, and how much memory it takes."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING, Any, NamedTuple, cast

import numpy as np

from quantray.nn._gradients import untraced
from quantray.nn._tracing import state

if TYPE_CHECKING:
    from quantray.nn._module import Module


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

    def _cells(self) -> list[tuple[str, ...]]:
        """Texts, with a head and a last line of totals."""
        head = ("name", "type", "output shape", "parameters", "bytes")
        body = [(*row[:3], f"{row.parameters:,}", f"{row.nbytes:,}") for row in self.rows]
        return [head, *body, ("total", "", "", f"{self.parameters:,}", f"{self.nbytes:,}")]

    def __repr__(self) -> str:
        cells = self._cells()
        widths = [max(len(row[i]) for row in cells) for i in range(5)]
        lines = [
            "  ".join(
                cell.ljust(width) if i < 3 else cell.rjust(width)
                for i, (cell, width) in enumerate(zip(row, widths, strict=True))
            )
            for row in cells
        ]
        rule = "-" * len(lines[0])
        return "\n".join([lines[0], rule, *lines[1:-1], rule, lines[-1]])

    def _repr_html_(self) -> str:
        def line(row: tuple[str, ...], tag: str) -> str:
            sides = ["left"] * 3 + ["right"] * 2
            pairs = zip(row, sides, strict=True)
            return "".join(f'<{tag} style="text-align:{side}">{escape(cell)}</{tag}>' for cell, side in pairs)

        head, *body, total = self._cells()
        rows = "".join(f"<tr>{line(row, 'td')}</tr>" for row in body)
        head, foot = (
            f"<thead><tr>{line(head, 'th')}</tr></thead>",
            f"<tfoot><tr>{line(total, 'th')}</tr></tfoot>",
        )
        return f"<table>{head}<tbody>{rows}</tbody>{foot}</table>"


def _shape(output: Any) -> str:
    """An array's shape, or those of several."""
    if isinstance(output, (tuple, list)):
        return ", ".join(_shape(part) for part in cast("tuple[Any, ...]", output))
    output = untraced(output)
    return str(tuple(output.shape)) if hasattr(output, "shape") else ""


class _Watch:
    """Looks at every call of a module on this thread, and changes nothing."""

    def __init__(self) -> None:
        self.shapes: dict[int, str] = {}

    def call_function(self, function: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        return function.__wrapped__(*args, **kwargs)

    def call_module(self, module: Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        runner = module._runner
        plain = runner is None or runner.keeps_forward
        output = module._call(args, kwargs) if plain else runner(module, args, kwargs)
        self.shapes[id(module)] = _shape(output)
        return output

    def attribute(self, module: Module, name: str, value: Any) -> Any:
        return value

    def as_floats(self, value: Any) -> Any:
        return None


def summarize(model: Module, args: tuple[Any, ...]) -> Summary:
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
    rows: list[Row] = []
    # What was counted, kept: the id of an array that is gone may be another one's.
    seen: dict[int, Any] = {}
    totals = np.zeros(2, np.int64)
    for name, module in model.named_modules():
        own = {key: value for key, value in module._own_state().items() if hasattr(value, "nbytes")}
        parameters = [value.size for value in module._parameters.values() if value is not None]
        sizes = np.array([sum(parameters), sum(value.nbytes for value in own.values())])
        rows.append(
            Row(name or "(model)", module._get_name(), watch.shapes.get(id(module), ""), *sizes.tolist())
        )
        for key, value in own.items():
            if id(value) not in seen:
                seen[id(value)] = value
                totals += [value.size if key in module._parameters else 0, value.nbytes]
    return Summary(rows, *totals.tolist())
