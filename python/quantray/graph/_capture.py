"""From a model and an example to a graph that holds for other inputs, too.

`forward` runs twice: with the example, and with other values in another number of rows. What differs
between the two finds sizes and random numbers that would have been baked in, and tells lengths that are
free from those that are not.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeAlias, cast

import numpy as np

from quantray._core import QTensor
from quantray._typing import Array
from quantray.graph._example import Example, few_rows, other_shapes, others, rows_of, third_length
from quantray.graph._free_lengths import Differ, Once, lengths_in
from quantray.graph._graph import (
    Expr,
    Graph,
    Guard,
    HookKey,
    Place,
    Ref,
    leaves,
    map_tree,
    wires,
)
from quantray.graph._join import Joined, join
from quantray.graph._lengths import evaluate
from quantray.graph._tracer import Tracer
from quantray.graph._trees import Call
from quantray.nn._foreign import check_model, is_torch
from quantray.nn._module import Module

#: What is captured: a module, or another function of arrays.
Model: TypeAlias = Module | Callable[..., object]


class CaptureError(TypeError):
    """A model that gives other results each time it is captured, and cannot be cut anywhere."""


def capture(
    model: Model,
    args: tuple[object, ...],
    kwargs: Mapping[str, object] | None = None,
    *,
    other: list[tuple[int, ...]] | None = None,
    changing: frozenset[HookKey] = frozenset(),
    whole: bool = False,
) -> Graph:
    """What a model computes, found by running it on stand-ins of its arguments.

    Parameters
    ----------
    model : Module or callable
        In the mode that the graph is wanted for. Neither it nor the arguments are changed.
    args, kwargs : tuple, mapping
        What it is called with: arrays, and anything else, which the graph then holds for alone.
    other : list of tuple of int, optional
        Shapes of the arrays in the second run; by default with one row, or two where there is one.
    changing : frozenset
        Hooks that are known to change what they are given.
    whole : bool
        Whether all rows are run, and not the first two: they may decide another way.

    Returns
    -------
    Graph
        Parts of it that cannot become nodes are one node `python` each, and are listed in `refusals`.

    >>> import numpy as np
    >>> from quantray import graph
    >>> found = graph.capture(lambda x: np.maximum(x, 0).sum(axis=1), (np.zeros((4, 3), np.float32),))
    >>> [node.kind for node in found]
    ['input', 'numpy.maximum', 'ndarray.sum']
    """
    if not isinstance(model, Module) and (is_torch(model) or not callable(model)):
        check_model(model)
    kwargs = dict(kwargs or {})
    names = _parameter_names(model)
    example = Example(args, kwargs, names)
    given = example.arrays
    tries = None if other is None else [other]
    if tries is None and isinstance(model, Module):
        tries = model._other_shapes([np.shape(array) for array in given])
    try:
        if other is None and not whole:
            example.arrays = few_rows(given) if tries is None else given
            if example.arrays is not given:
                try:
                    found = _captured(model, example, None, changing)
                except (ValueError, IndexError):
                    found = None
                if found is not None and not found.counts_rows and _is_for(found.graph, example.names, given):
                    return found.graph
                # It wants as many rows as there are, or does other work for them.
                example.arrays = given
        return _captured(model, example, tries, changing).graph
    finally:
        for tracer in example.tracers:
            tracer.release()


def _is_for(graph: Graph, names: list[str], arrays: list[Array]) -> bool:
    """Whether a graph that was captured of a part of some arrays is for all of them."""
    shapes = {name: np.shape(array) for name, array in zip(names, arrays, strict=True)}
    for guard in graph.guards:
        if isinstance(guard.subject, Ref) or any(ref.node not in shapes for ref in wires(guard.subject)):
            return False
        if evaluate(guard.subject, lambda ref: shapes[ref.node]) != guard.outcome:
            return False
    return True


def _captured(
    model: Model,
    example: Example,
    tries: list[list[tuple[int, ...]]] | None,
    changing: frozenset[HookKey],
) -> Joined:
    python: frozenset[str] = frozenset()
    training = bool(getattr(model, "training", False))
    while True:
        first = _once(model, example, example.arrays, python, changing)
        differ: Differ | None = None
        for shapes in _tries(first, example) if tries is None else tries:
            has_differed = tries is not None and differ is not None
            if has_differed and all(
                s[1:] == a.shape[1:] for s, a in zip(shapes, example.arrays, strict=True)
            ):
                # Other lengths are other work: what runs as Python is for all of them.
                continue
            try:
                found = _second(model, example, first, shapes, python, changing, training, has_differed)
            except Differ as error:
                differ = error
                continue
            except Exception:
                # What other sizes do not fit may hold for these.
                continue
            if differ is None or 3 not in rows_of(shapes):
                return found
            return _for_more_rows(found, example, differ)
        # The same sizes, other values: what differs now depends on them, or on chance.
        same = [a.shape for a in example.arrays]
        try:
            second = _with_other_values(model, example, same, python, changing)
            return _for_these_rows(join(first, second, training), example, differ)
        except Differ as error:
            scope = error.scope
            if scope in python or not isinstance(model, Module):
                raise CaptureError(f"{error.at}: {error.reason}") from None
            # That module runs as Python; what is around it is captured.
            python |= {scope}


def _with_other_values(
    model: Model,
    example: Example,
    shapes: list[tuple[int, ...]],
    python: frozenset[str],
    changing: frozenset[HookKey],
) -> Once:
    """A run of other values; of the same ones, where others are no input of the model: shapes, places."""
    try:
        return _once(model, example, others(example.arrays, shapes), python, changing)
    except Exception:
        return _once(model, example, example.arrays, python, changing)


def _for_more_rows(found: Joined, example: Example, differ: Differ) -> Joined:
    """A graph of a model that does other work for one row: for more of them."""
    guards = tuple(
        Guard(Expr("ge", (Expr("dim", (Ref(name), 0)), 2)), True, _place_of(found.graph, differ))
        for name, array in zip(example.names, example.arrays, strict=True)
        if np.ndim(array) and array.shape[0] > 1
    )
    return found._replace(graph=found.graph.but(guards=found.graph.guards + guards))


def _place_of(graph: Graph, differ: Differ | None) -> Place:
    if differ is not None and differ.at is not None:
        return differ.at
    return next((node.at for node in graph if node.at is not None and node.at.line), Place("?", 0))


def _for_these_rows(found: Joined, example: Example, differ: Differ | None) -> Joined:
    """A graph of runs of one size is for arrays of so many rows: with others the model does other work, or
    none.
    """
    known = {guard.subject for guard in found.graph.guards}
    subjects = [
        (Expr("dim", (Ref(name), 0)), array.shape[0])
        for name, array in zip(example.names, example.arrays, strict=True)
        if np.ndim(array)
    ]
    at = _place_of(found.graph, differ)
    guards = tuple(Guard(dim, rows, at) for dim, rows in subjects if dim not in known)
    is_python = any(node.kind == "python" and not node.value for node in found.graph)
    graph = found.graph if is_python else found.graph.but(guards=found.graph.guards + guards)
    return found._replace(graph=graph)


def _second(
    model: Model,
    example: Example,
    first: Once,
    shapes: list[tuple[int, ...]],
    python: frozenset[str],
    changing: frozenset[HookKey],
    training: bool,
    has_differed: bool,
) -> Joined:
    """The graph that also holds for other shapes; raises where there is none."""
    second = _once(model, example, others(example.arrays, shapes), python, changing)
    found = join(first, second, training, has_differed)
    if found.is_thin:
        # Two examples of an array do not show how it goes on.
        more = [
            tuple(m if m == n else third_length(m, n) for m, n in zip(a.shape, shape, strict=True))
            for a, shape in zip(example.arrays, shapes, strict=True)
        ]
        third = _once(model, example, others(example.arrays, more), python, changing)
        if join(first, third, training).made != found.made:
            raise Differ("", "an array that differs with sizes", None)
    if found.counts_rows:
        rows = [*rows_of(map(np.shape, example.arrays)), *rows_of(shapes)]
        found = found._replace(graph=found.graph.but(rows=(min(rows), max(rows))))
    return found


def _tries(first: Once, example: Example) -> list[list[tuple[int, ...]]]:
    """Shapes to run a model in a second time, the most telling ones first."""
    arrays = example.arrays
    made: list[list[tuple[int, ...]]] = []
    for rows in (1, 3):
        shapes = other_shapes(arrays, rows)
        if shapes is None:
            return made
        lengths = _needed_lengths(first, arrays) if rows == 1 else set[int]()
        if lengths:
            made.append(
                [
                    tuple(
                        n if axis == 0 or n not in lengths else (n - 1 if n > 1 else 2)
                        for axis, n in enumerate(shape)
                    )
                    for shape in shapes
                ]
            )
        made.append(shapes)
    return made


def _needed_lengths(run: Once, arrays: list[Array]) -> set[int]:
    """Lengths of inputs, rows aside, that numbers were made of: a graph for one of them alone would be a
    pity.
    """
    nodes = run.tracer.nodes
    found: set[int] = set()
    for expr, _, _, needs_number in run.tracer.guards:
        for leaf in lengths_in(expr) if needs_number else ():
            ref, axis = cast("tuple[Ref, int]", leaf.args)
            # What a run has seen are numbers: lengths have no names yet.
            found.add(cast("int", nodes[int(ref.node)].facts[ref.out].shape[axis]))
    return found & {n for array in arrays for n in np.shape(array)[1:]}


def _parameter_names(model: Model) -> tuple[str, ...]:
    import inspect

    function: Callable[..., object] = model
    if isinstance(model, Module):
        own = model._argument_names()
        if own is not None:
            return own
        function = type(model).forward
    try:
        found = [p.name for p in inspect.signature(function).parameters.values()]
    except (TypeError, ValueError):
        return ()
    return tuple(found[1:] if isinstance(model, Module) else found)


def _once(
    model: Model, example: Example, arrays: list[Array], python: frozenset[str], changing: frozenset[HookKey]
) -> Once:
    tracer = Tracer(model, python, changing)
    example.tracers.append(tracer)
    values = {name: tracer.input(name, a) for name, a in zip(example.names, arrays, strict=True)}
    refs = {name: value._ref for name, value in values.items()}

    def put(found: Mapping[str, object]) -> Call[str]:
        def placed(leaf: object) -> object:
            return found[leaf.node] if isinstance(leaf, Ref) else leaf

        return map_tree(placed, (example.args, example.kwargs))

    args, kwargs = put(values)
    # What examples make warnings of will be warned of when it is computed.
    with tracer.running(), np.errstate(all="ignore"):
        output = model(*args, **kwargs)
        if tracer.refused:
            # The model's own `except` has swallowed it.
            raise tracer.refused[0]
        for leaf in leaves(output):
            if isinstance(leaf, QTensor):
                tracer.refuse("forward returns a QTensor")
        output = map_tree(tracer.lowered, output)
    own_args, own_kwargs = put(refs)
    return Once(tracer, own_args, own_kwargs, output)
