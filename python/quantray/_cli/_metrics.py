"""What `quantray quantize --max-drop` measures: how well a model's outputs are those of the float model."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, TypeAlias

from quantray._cli._difference import Difference, as_tuple, difference, pair
from quantray._typing import Array

if TYPE_CHECKING:
    from quantray.nn import Module

#: Arrays for a model's inputs, or of its outputs.
Batch: TypeAlias = tuple[Array, ...]

#: By what can be typed, what is read of a row of `quantray compare`: 1 where all is the same.
METRICS: dict[str, Callable[[Difference], float]] = {
    # What float32 itself rounds is no loss.
    "cosine": lambda row: round(row["cosine"], 9),
    "agreement": lambda row: row["same_greatest_percent"] / 100,
}


def metric_of(name: str, model: Module) -> Callable[[Module, list[Batch]], float]:
    """A metric that is 1 for the float model; of several outputs it is that of the worst.

    Parameters
    ----------
    name : str
        "cosine", of each sample's output with the float model's; "agreement", the share of samples whose
        greatest output is the same.
    model : Module
        In floats.
    """
    value_of = METRICS[name]
    wanted: list[Batch] = []

    def metric(other: Module, held_out: list[Batch]) -> float:
        if not wanted:
            wanted.extend(as_tuple(model(*batch)) for batch in held_out)
        made = [as_tuple(other(*batch)) for batch in held_out]
        rows = [
            difference("", [pair(a, b) for a, b in pairs])
            for pairs in (zip(ones, twos, strict=True) for ones, twos in _by_output(wanted, made))
        ]
        return min(value_of(row) for row in rows)

    return metric


def _by_output(wanted: list[Batch], made: list[Batch]) -> Iterator[tuple[Batch, Batch]]:
    return zip(zip(*wanted, strict=True), zip(*made, strict=True), strict=True)
