"""What the state_dict of an observer or a fake quantization may hold, whatever it saw so far."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import numpy as np

from quantray._typing import Array, State
from quantray.nn import Module
from quantray.nn._state import as_array
from quantray.quantization.observer._lock import Lock

if TYPE_CHECKING:
    from quantray.nn._state import Accepted

#: Buffers whose length depends on what was observed.
_GROWING = {"min_val", "max_val", "counts", "scale", "zero_point"}
#: What torch's older files have an array without elements for: nothing was seen.
_NOTHING = {"min_val": np.inf, "max_val": -np.inf}


def _accept(name: str, own: Array, value: object) -> Array:
    """A value for a buffer, converted; raises where it does not fit.

    Ranges per channel are as long as what was observed: they need not be as long as those here. One number is
    of shape () or (1,), as it is here: files of torch have both.
    """
    array = as_array(value)
    if array.size == 1 and array.ndim < 2:
        array = array.reshape((1,) * own.ndim if own.ndim < 2 else array.shape)
    elif array.size == 0 and own.ndim == 0 and name in _NOTHING:
        array = np.asarray(_NOTHING[name])
    fits = array.ndim == own.ndim if name in _GROWING else array.shape == own.shape
    if not fits:
        valid = f"of {own.ndim} dimensions" if name in _GROWING else f"of shape {own.shape}"
        raise ValueError(f"must be {valid}, got shape {array.shape}")
    return np.array(array, own.dtype)


class Shared(Module):
    """A module that many threads may call at once, and whose buffers depend on what was observed."""

    def __init__(self) -> None:
        super().__init__()
        self._lock = Lock()

    def _own_state(self) -> State:
        # Of one moment: another thread may be observing, which replaces more than one buffer.
        with self._lock:
            return super()._own_state()

    def _assign(self, state: Accepted) -> None:
        with self._lock:
            super()._assign(state)

    def _accept(self, name: str, value: object) -> Array:
        return _accept(name, cast("Array", self._own_state()[name]), value)
