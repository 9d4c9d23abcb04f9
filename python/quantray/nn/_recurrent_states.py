"""The states that recurrent layers are given and give: one, or for an LSTM two."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from quantray.nn.functional._arguments import traced_or_floats


def states_in(hx: Any, has_cell_state: bool) -> tuple[Any, ...] | None:
    """What a caller gave as a tuple of arrays; None of nothing."""
    if hx is None:
        return None
    if not has_cell_state:
        return (traced_or_floats(hx),)
    if not isinstance(hx, (tuple, list)) or len(hx) != 2:  # pyright: ignore[reportUnknownArgumentType]
        kind = type(hx).__name__  # pyright: ignore[reportUnknownArgumentType, reportUnknownVariableType]
        raise TypeError(f"hx must be a tuple of the hidden state and the cell state, got {kind}")
    return tuple(traced_or_floats(state) for state in hx)  # pyright: ignore[reportUnknownVariableType]


def states_out(states: tuple[Any, ...]) -> Any:
    """States as callers know them: an array, or a tuple of two."""
    return states[0] if len(states) == 1 else states


def check_states(states: tuple[Any, ...] | None, shapes: Sequence[tuple[int, ...]]) -> None:
    """Raises where a state is of another shape than it must be."""
    for i, (state, shape) in enumerate(zip(states or (), shapes, strict=False)):
        if np.shape(state) != shape:
            name = "hx" if len(shapes) == 1 else f"hx[{i}]"
            raise ValueError(f"{name} must be of shape {shape}, got {np.shape(state)}")
