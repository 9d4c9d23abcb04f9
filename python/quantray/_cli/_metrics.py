"""What `quantray quantize --max-drop` measures: how well a model's outputs are those of the float model."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from quantray._cli._difference import as_tuple, difference

#: By what can be typed, the column of `quantray compare` that is meant, and its value where all is the same.
METRICS = {"cosine": ("cosine", 1.0), "agreement": ("same_greatest_percent", 100.0)}


def metric_of(name: str, model: Any) -> Callable[[Any, Any], float]:
    """A metric that is 1 for the float model; of several outputs it is that of the worst.

    Parameters
    ----------
    name : str
        "cosine", of each sample's output with the float model's; "agreement", the share of samples whose
        greatest output is the same.
    model : Module
        In floats.
    """
    column, whole = METRICS[name]
    wanted: list[tuple[Any, ...]] = []

    def metric(other: Any, held_out: list[tuple[Any, ...]]) -> float:
        if not wanted:
            wanted.extend(as_tuple(model(*batch)) for batch in held_out)
        made = [as_tuple(other(*batch)) for batch in held_out]
        rows = [
            difference("", [(np.asarray(a, np.float64), np.asarray(b, np.float64)) for a, b in pairs])
            for pairs in (zip(ones, twos, strict=True) for ones, twos in _by_output(wanted, made))
        ]
        return min(float(row[column]) / whole for row in rows)

    return metric


def _by_output(wanted: list[tuple[Any, ...]], made: list[tuple[Any, ...]]) -> Any:
    return zip(zip(*wanted, strict=True), zip(*made, strict=True), strict=True)
