"""The states that recurrent layers are given and give: one, or for an LSTM two."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, cast

import numpy as np

from quantray.nn.functional._arguments import traced_or_floats

if TYPE_CHECKING:
    from typing import TypeAlias

    from quantray._typing import Floats, Input

    #: The hidden state; of an LSTM that and the cell state.
    States: TypeAlias = Input | tuple[Input, Input]
    #: What runs all layers over whole sequences in one call.
    Sequences: TypeAlias = Callable[..., tuple[Floats, Floats | tuple[Floats, ...]]]


def states_in(hx: States | None, has_cell_state: bool) -> tuple[Floats, ...] | None:
    """What a caller gave as a tuple of arrays; None of nothing."""
    if hx is None:
        return None
    if not has_cell_state:
        return (traced_or_floats(cast("Input", hx)),)
    pair = cast("Sequence[Input]", hx)
    if not isinstance(hx, (tuple, list)) or len(pair) != 2:
        kind = type(pair).__name__
        raise TypeError(f"hx must be a tuple of the hidden state and the cell state, got {kind}")
    return tuple(traced_or_floats(state) for state in pair)


def states_out(states: tuple[Floats, ...]) -> Floats | tuple[Floats, ...]:
    """States as callers know them: an array, or a tuple of two."""
    return states[0] if len(states) == 1 else states


def check_states(states: tuple[Floats, ...] | None, shapes: Sequence[tuple[int, ...]]) -> None:
    """Raises where a state is of another shape than it must be."""
    for i, (state, shape) in enumerate(zip(states or (), shapes, strict=False)):
        if np.shape(state) != shape:
            name = "hx" if len(shapes) == 1 else f"hx[{i}]"
            raise ValueError(f"{name} must be of shape {shape}, got {np.shape(state)}")
