"""Helpers of the tests of graphs: a forward beside the graph that was captured of it."""

from typing import Any

import numpy as np
from quantray import graph, nn
from quantray.graph._fitting import fitting
from quantray.graph._graph import Guard, leaves, wires
from quantray.graph._run import holds, run


class Program(nn.Module):
    """A model that is one function of arrays."""

    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        return self.function(*args, **kwargs)


def copies(args):
    """Arguments of their own: a forward may write into them."""
    return tuple(a.copy() if isinstance(a, np.ndarray) else a for a in args)


def same(got: Any, want: Any) -> bool:
    """Whether two results have the same structure, dtypes, shapes and bits (NaN is NaN, 0 is -0)."""
    a, b = leaves(got), leaves(want)
    if len(a) != len(b) or (type(got) is not type(want) and not _are_arrays(got, want)):
        return False
    for x, y in zip(a, b, strict=True):
        if _are_arrays(x, y):
            x, y = np.asarray(x), np.asarray(y)
            if x.dtype != y.dtype or x.shape != y.shape:
                return False
            if not np.array_equal(x, y, equal_nan=x.dtype.kind in "fc"):
                return False
        elif type(x) is not type(y) or x != y:
            return False
    return True


def _are_arrays(x, y):
    return isinstance(x, (np.ndarray, np.generic)) and isinstance(y, (np.ndarray, np.generic))


#: What a graph gives for arguments that it is not for.
NOT_FOR_THESE = object()


def runs_as(found: graph.Graph, model: Any, args: tuple[Any, ...], kwargs: Any = None) -> Any:
    """What a graph gives for some arguments; `NOT_FOR_THESE` where it says so."""
    inputs = fitting(
        found, args, kwargs or {}, found.training, model if isinstance(model, nn.Module) else None
    )
    if inputs is None:
        return NOT_FOR_THESE

    def check(node, environment):
        for guard in found.guards:
            if wires(guard.subject)[-1].node == node.name and not holds(guard, environment):
                raise LookupError(guard)

    try:
        return run(found, inputs, model if isinstance(model, nn.Module) else None, each=check)
    except LookupError as error:
        if isinstance(error.args[0], Guard):
            return NOT_FOR_THESE
        raise


def captured(function, *args, sizes=(), free=True):
    """The graph of a function, after it was held beside the function: for the arguments that it was captured
    with, and for others, which it must be for as well if it is to be `free`.
    """
    model = function if isinstance(function, nn.Module) else Program(function)
    found = graph.capture(model, copies(args))
    for given in (args, *sizes):
        with np.errstate(all="ignore"):
            want = model(*copies(given))
            for each in (found, graph.normalize(found)):
                mine = copies(given)
                got = runs_as(each, model, mine)
                assert same(mine, given), "the arguments have changed"
                if got is NOT_FOR_THESE:
                    assert given is not args, "the graph is not for what it was captured with"
                    assert not free, f"the graph is not for shapes {[np.shape(a) for a in given]}"
                else:
                    assert same(got, want), (got, want)
    return found
