"""Functions of arrays as programs, beside NumPy."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from quantray import graph, nn
from quantray.quantization._lowering import lower


class Function(nn.Module):
    """A model that is a function of arrays."""

    def __init__(self, function: Callable[..., Any]) -> None:
        super().__init__()
        self._function = function

    def forward(self, *arrays: Any) -> Any:
        return self._function(*arrays)


def lowered(function: Callable[..., Any], *arrays: Any) -> Any:
    """The program of a function, of which nothing is left to Python."""
    model = Function(function).eval()
    found = graph.normalize(graph.capture(model, arrays))
    made = lower(found, model, {}, is_near=True)
    assert not made.called, f"calls {made.called} of\n{found}"
    return made


def run(function: Callable[..., Any], *arrays: Any) -> Any:
    """What the program of a function returns."""
    return lowered(function, *arrays)(list(arrays))


def check(function: Callable[..., Any], *arrays: Any, ulp: float = 0, atol: float = 0) -> None:
    """The program's result is NumPy's: its shape, its dtype, and its elements, within some units in the last
    place where so many are allowed.
    """
    with np.errstate(all="ignore"):
        expected = function(*arrays)
        found = run(function, *arrays)
    if not isinstance(expected, (tuple, list)):
        expected, found = (expected,), (found,)
    for one, other in zip(found, expected, strict=True):
        other = np.asarray(other)
        assert one.shape == other.shape, (one.shape, other.shape)
        assert one.dtype == other.dtype, (one.dtype, other.dtype)
        if ulp or atol:
            np.testing.assert_allclose(one, other, rtol=ulp * 2.0**-23, atol=atol)
        else:
            np.testing.assert_array_equal(one, other)
