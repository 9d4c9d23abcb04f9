"""From a model and an example to a graph that holds for other inputs, too.

`forward` runs twice: with the example, and with other values in another number of rows. What differs
between the two finds sizes and random numbers that would have been baked in, and tells lengths that are
free from those that are not.
"""

# Trees of whatever a model takes and gives: their leaves have no type that could be said.
# pyright: reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportUnknownMemberType=false, reportUnknownLambdaType=false

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple, cast

import numpy as np

from quantray._core import QTensor
from quantray.graph._graph import (
    Expr,
    Fact,
    Graph,
    Guard,
    Node,
    Place,
    Ref,
    Refusal,
    leaves,
    map_tree,
    wires,
)
from quantray.graph._lengths import evaluate
from quantray.graph._tracer import Tracer
from quantray.nn._foreign import check_model, is_torch
from quantray.nn._module import Module

#: Kinds that arrays become which lengths make.
_MADE = frozenset({"array.ramp", "array.triangle", "array.diagonal", "array.full"})

#: Names that free lengths get, in this order.
_SYMBOLS = "nmlkpqrstuvw"


class Example:
    """What a model is called with: its arrays apart from what else is there."""

    def __init__(self, args: tuple[Any, ...], kwargs: Mapping[str, Any], names: tuple[str, ...]) -> None:
        self.names: list[str] = []
        self.arrays: list[Any] = []

        def take(value: Any, name: str) -> Any:
            if not is_array(value):
                return value
            self.names.append(name)
            self.arrays.append(value)
            return Ref(name)

        self.args = tuple(
            _named(take, arg, names[i] if i < len(names) else f"arg{i}") for i, arg in enumerate(args)
        )
        self.kwargs = {key: _named(take, value, key) for key, value in kwargs.items()}


def is_array(value: Any) -> bool:
    """Whether an argument is one of a graph's inputs."""
    return isinstance(value, (np.ndarray, np.generic))


def _named(take: Callable[[Any, str], Any], tree: Any, name: str) -> Any:
    """A tree whose arrays are taken out, each named by the way to it."""
    if isinstance(tree, tuple):
        items = [_named(take, item, f"{name}.{i}") for i, item in enumerate(tree)]
        return type(tree)(*items) if hasattr(tree, "_fields") else tuple(items)
    if type(tree) is list:
        return [_named(take, item, f"{name}.{i}") for i, item in enumerate(tree)]
    if isinstance(tree, dict):
        return {key: _named(take, item, f"{name}.{key}") for key, item in tree.items()}
    return take(tree, name)


class CaptureError(TypeError):
    """A model that gives other results each time it is captured, and cannot be cut anywhere."""


def capture(
    model: Any,
    args: tuple[Any, ...],
    kwargs: Mapping[str, Any] | None = None,
    *,
    other: list[tuple[int, ...]] | None = None,
    changing: frozenset[Any] = frozenset(),
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
    if other is None and not whole:
        example.arrays = _few_rows(given) if tries is None else given
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


def _few_rows(arrays: list[Any]) -> list[Any]:
    """At most two rows of each: a capture runs the whole model."""
    rows = next((a.shape[0] for a in arrays if np.ndim(a)), 0)
    if rows <= 2:
        return arrays
    return [a[:2] if np.ndim(a) and a.shape[0] == rows else a for a in arrays]


def _is_for(graph: Graph, names: list[str], arrays: list[Any]) -> bool:
    """Whether a graph that was captured of a part of some arrays is for all of them."""
    shapes = {name: np.shape(array) for name, array in zip(names, arrays, strict=True)}
    for guard in graph.guards:
        if isinstance(guard.subject, Ref) or any(ref.node not in shapes for ref in wires(guard.subject)):
            return False
        if evaluate(guard.subject, lambda ref: shapes[ref.node]) != guard.outcome:
            return False
    return True


def _captured(
    model: Any,
    example: Example,
    tries: list[list[tuple[int, ...]]] | None,
    changing: frozenset[Any],
) -> _Joined:
    python: frozenset[str] = frozenset()
    training = bool(getattr(model, "training", False))
    while True:
        first = _once(model, example, example.arrays, python, changing)
        differ: _Differ | None = None
        for shapes in _tries(first, example) if tries is None else tries:
            try:
                found = _second(model, example, first, shapes, python, changing, training)
            except _Differ as error:
                differ = error
                continue
            except Exception:
                # What other sizes do not fit may hold for these.
                continue
            return (
                found if differ is None or 3 not in _rows(shapes) else _for_more_rows(found, example, differ)
            )
        # The same sizes, other values: what differs now depends on them, or on chance.
        same = [a.shape for a in example.arrays]
        try:
            second = _with_other_values(model, example, same, python, changing)
            return _for_these_rows(_join(first, second, training), example, differ)
        except _Differ as error:
            scope = error.scope
            if scope in python or not isinstance(model, Module):
                raise CaptureError(f"{error.at}: {error.reason}") from None
            # That module runs as Python; what is around it is captured.
            python |= {scope}


def _with_other_values(
    model: Any,
    example: Example,
    shapes: list[tuple[int, ...]],
    python: frozenset[str],
    changing: frozenset[Any],
) -> _Once:
    """A run of other values; of the same ones, where others are no input of the model: shapes, places."""
    try:
        return _once(model, example, others(example.arrays, shapes), python, changing)
    except Exception:
        return _once(model, example, example.arrays, python, changing)


def _rows(shapes: Iterable[tuple[int, ...]]) -> list[int]:
    return [shape[0] for shape in shapes if shape]


def _for_more_rows(found: _Joined, example: Example, differ: _Differ) -> _Joined:
    """A graph of a model that does other work for one row: for more of them."""
    guards = tuple(
        Guard(Expr("ge", (Expr("dim", (Ref(name), 0)), 2)), True, _place_of(found.graph, differ))
        for name, array in zip(example.names, example.arrays, strict=True)
        if np.ndim(array) and array.shape[0] > 1
    )
    return found._replace(graph=found.graph.but(guards=found.graph.guards + guards))


def _place_of(graph: Graph, differ: _Differ | None) -> Place:
    if differ is not None and differ.at is not None:
        return differ.at
    return next((node.at for node in graph if node.at is not None and node.at.line), Place("?", 0))


def _for_these_rows(found: _Joined, example: Example, differ: _Differ | None) -> _Joined:
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
    model: Any,
    example: Example,
    first: _Once,
    shapes: list[tuple[int, ...]],
    python: frozenset[str],
    changing: frozenset[Any],
    training: bool,
) -> _Joined:
    """The graph that also holds for other shapes; raises where there is none."""
    second = _once(model, example, others(example.arrays, shapes), python, changing)
    found = _join(first, second, training)
    if found.is_thin:
        # Two examples of an array do not show how it goes on.
        more = [
            tuple(m if m == n else _third(m, n) for m, n in zip(a.shape, shape, strict=True))
            for a, shape in zip(example.arrays, shapes, strict=True)
        ]
        third = _once(model, example, others(example.arrays, more), python, changing)
        if _join(first, third, training).made != found.made:
            raise _Differ("", "an array that differs with sizes", None)
    if found.counts_rows:
        rows = [*_rows(map(np.shape, example.arrays)), *_rows(shapes)]
        found = found._replace(graph=found.graph.but(rows=(min(rows), max(rows))))
    return found


def _third(m: int, n: int) -> int:
    """Another length than two that have been tried; a shorter one, since tables may end at the longest."""
    return min(m, n) - 1 if min(m, n) > 1 else max(m, n) + 1


def _tries(first: _Once, example: Example) -> list[list[tuple[int, ...]]]:
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


def _needed_lengths(run: _Once, arrays: list[Any]) -> set[int]:
    """Lengths of inputs, rows aside, that numbers were made of: a graph for one of them alone would be a
    pity.
    """
    nodes = run.tracer.nodes
    found: set[int] = set()
    for expr, _, _, needs_number in run.tracer.guards:
        for leaf in _lengths_in(expr) if needs_number else ():
            found.add(nodes[int(leaf.args[0].node)].facts[leaf.args[0].out].shape[leaf.args[1]])
    return found & {n for array in arrays for n in np.shape(array)[1:]}


def _lengths_in(expr: Any) -> list[Expr]:
    if not isinstance(expr, Expr):
        return []
    return [expr] if expr.op == "dim" else [leaf for arg in expr.args for leaf in _lengths_in(arg)]


def _parameter_names(model: Any) -> tuple[str, ...]:
    import inspect

    function: Any = model
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


def other_shapes(arrays: list[Any], new: int = 1) -> list[tuple[int, ...]] | None:
    """Shapes with another number of rows, as near to a wanted one as can be; None where there are no rows."""
    rows = next((a.shape[0] for a in arrays if np.ndim(a)), None)
    if rows is None:
        return None
    new = new if new != rows else rows + 1
    return [(new, *a.shape[1:]) if np.ndim(a) and a.shape[0] == rows else a.shape for a in arrays]


def others(arrays: list[Any], shapes: list[tuple[int, ...]]) -> list[Any]:
    """Arrays of other values, but of the same kind, and of some shapes."""
    made: list[Any] = []
    for array, shape in zip(arrays, shapes, strict=True):
        back = np.asarray(array).ravel()[::-1]
        if back.dtype.kind == "f" and back.size:
            back = back * back.dtype.type(0.75)
        if not back.size:
            back = np.zeros(1, array.dtype)
        made.append(np.resize(back, shape) if np.prod(shape, dtype=int) else np.zeros(shape, array.dtype))
    return made


class _Once:
    """One run: its nodes, and what came out."""

    def __init__(self, tracer: Tracer, args: Any, kwargs: Any, output: Any) -> None:
        self.tracer, self.args, self.kwargs, self.output = tracer, args, kwargs, output


def _once(
    model: Any, example: Example, arrays: list[Any], python: frozenset[str], changing: frozenset[Any]
) -> _Once:
    tracer = Tracer(model, python, changing)
    values = {name: tracer.input(name, a) for name, a in zip(example.names, arrays, strict=True)}
    refs = {name: value._ref for name, value in values.items()}

    def put(found: Mapping[str, Any]) -> Any:
        return map_tree(
            lambda leaf: found[leaf.node] if isinstance(leaf, Ref) else leaf, (example.args, example.kwargs)
        )

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
    return _Once(tracer, own_args, own_kwargs, output)


class _Differ(Exception):
    """Two runs are not the same work: where, and why."""

    def __init__(self, scope: str, reason: str, at: Place | None) -> None:
        super().__init__(reason)
        self.scope, self.reason, self.at = scope, reason, at


class _Joined(NamedTuple):
    """What two runs have shown."""

    graph: Graph
    #: What arrays were taken for that lengths seem to make.
    made: dict[str, Any]
    #: Whether one of these was so short that it may go on in another way.
    is_thin: bool
    #: Whether Python has got the number of rows: it may decide by it, unseen, for other ones.
    counts_rows: bool


def _join(a: _Once, b: _Once, training: bool) -> _Joined:
    """The graph that both runs are cases of."""
    lengths = _Lengths(a, b)
    first, second = a.tracer.nodes, b.tracer.nodes
    for one, two in zip(first, second, strict=False):
        if one.kind != two.kind:
            raise _Differ(one.scope, f"other work for other sizes or values ({one.kind}, {two.kind})", one.at)
    if len(first) != len(second):
        last = (first if len(first) > len(second) else second)[min(len(first), len(second))]
        raise _Differ(last.scope, f"other work for other sizes or values ({last.kind})", last.at)
    nodes: list[Node] = []
    for one, two in zip(first, second, strict=True):
        facts = tuple(lengths.fact(f, g) for f, g in zip(one.facts, two.facts, strict=True))
        if one.kind == "constant":
            nodes.append(lengths.constant(one, two).but(facts=facts))
            continue
        args, kwargs = _merged(one, (one.args, dict(one.kwargs)), (two.args, dict(two.kwargs)), lengths)
        nodes.append(one.but(args=args, kwargs=kwargs, facts=facts))
    made = {str(i): (n.kind, n.args) for i, n in enumerate(nodes) if n.kind in _MADE}
    output = _merged(first[-1] if first else Node("", ""), a.output, b.output, lengths)
    named, rename = a.tracer.named(nodes)
    graph = Graph(
        named,
        rename(a.args),
        rename(a.kwargs),
        rename(output),
        tuple(Guard(rename(g.subject), g.outcome, g.at) for g in lengths.guards()),
        tuple(dict.fromkeys(a.tracer.refusals)) + _from_values(a, b),
        training,
    )
    kept = graph.pruned()
    needed = {node.scope for node in kept}
    graph = kept.but(unused=frozenset(node.scope for node in graph) - needed)
    return _Joined(graph, made, lengths.is_thin, lengths.counts_rows())


def _from_values(a: _Once, b: _Once) -> tuple[Refusal, ...]:
    known = {r.scope for r in a.tracer.refusals}
    chosen = sorted(a.tracer.python - known)
    reason = "what it computes depends on values, or on chance"
    return tuple(Refusal(scope, reason) for scope in chosen)


def _merged(node: Node, a: Any, b: Any, lengths: _Lengths) -> Any:
    """Arguments that hold for both runs: a number that is one length in the first and in the second is that
    length.

    Raises where a plain value is not the same in both.
    """
    if isinstance(a, (tuple, list)) and type(a) is type(b) and len(a) == len(b):
        items = [_merged(node, x, y, lengths) for x, y in zip(a, b, strict=True)]
        return type(a)(*items) if hasattr(a, "_fields") else type(a)(items)
    if isinstance(a, dict) and type(a) is type(b) and a.keys() == b.keys():
        return {key: _merged(node, x, b[key], lengths) for key, x in a.items()}
    if type(a) is slice and type(b) is slice:
        pairs = ((a.start, b.start), (a.stop, b.stop), (a.step, b.step))
        return slice(*(_merged(node, x, y, lengths) for x, y in pairs))
    if isinstance(a, (Ref, Expr)) or isinstance(b, (Ref, Expr)):
        if a != b:
            raise _Differ(node.scope, "other wires for other sizes or values", node.at)
        return a
    if a is b or (type(a) is type(b) and (a == b or (a != a and b != b))):
        return a
    length = lengths.number(a, b)
    if length is None:
        raise _Differ(node.scope, f"a value that differs with sizes or values: {a!r}, {b!r}", node.at)
    return length


class _Lengths:
    """Which lengths differ between two runs, and what they are called."""

    def __init__(self, a: _Once, b: _Once) -> None:
        self._a, self._b = a, b
        #: Whether an array was recognized by less than three of its elements.
        self.is_thin = False
        self._shapes = [
            {(str(i), o): f.shape for i, n in enumerate(run.tracer.nodes) for o, f in enumerate(n.facts)}
            for run in (a, b)
        ]
        #: The name of each pair of lengths, and the wire and the axis of an input that has it.
        self.symbols: dict[tuple[int, int], tuple[str, Ref, int]] = {}
        names = iter(_SYMBOLS)
        for run_a, run_b in zip(a.tracer.nodes, b.tracer.nodes, strict=False):
            if run_a.kind != "input":
                continue
            number = a.tracer.nodes.index(run_a)
            for axis, pair in enumerate(zip(run_a.facts[0].shape, run_b.facts[0].shape, strict=False)):
                if pair[0] != pair[1] and pair not in self.symbols:
                    self.symbols[pair] = next(names, f"n{len(self.symbols)}"), Ref(str(number)), axis  # type: ignore[index]

    def fact(self, a: Fact, b: Fact) -> Fact:
        """What is known of a wire in both runs."""
        if len(a.shape) != len(b.shape):
            return a
        return Fact(tuple(self._called(m, n) for m, n in zip(a.shape, b.shape, strict=True)), a.dtype)

    def _called(self, m: Any, n: Any) -> int | str:
        """A length as a number, or as what it is of named ones."""
        if m == n:
            return m
        if (m, n) in self.symbols:
            return self.symbols[m, n][0]
        for (p, q), (name, *_) in self.symbols.items():
            if m * q == n * p and m % p == 0:
                return f"{m // p}*{name}"
        for (p, q), (name, *_) in self.symbols.items():
            for (r, s), (last, *_) in self.symbols.items():
                if m * q * s == n * p * r and m % (p * r) == 0:
                    factor = m // (p * r)
                    return f"{factor}*{name}*{last}" if factor != 1 else f"{name}*{last}"
        for (p, q), (name, *_) in self.symbols.items():
            if m - p == n - q:
                return f"{name}{m - p:+d}"
        for (p, q), (name, *_) in self.symbols.items():
            for divisor in (2, 4, 8, 16, 32, 64):
                if -(-p // divisor) == m and -(-q // divisor) == n:
                    return f"{name}/{divisor}"
        return "?"

    def _value(self, expr: Any, run: int) -> Any:
        return evaluate(expr, lambda ref: cast("Any", self._shapes[run][ref.node, ref.out]))

    def _varies(self, expr: Any) -> bool:
        """Whether one of the lengths in it differs between the runs."""
        first, second = self._shapes
        return any(
            first[leaf.args[0].node, leaf.args[0].out][leaf.args[1]]
            != second[leaf.args[0].node, leaf.args[0].out][leaf.args[1]]
            for leaf in _lengths_in(expr)
        )

    def guards(self) -> list[Guard]:
        """What was decided by lengths and by values. Numbers that were made of lengths that differ between
        the runs have been compared; others hold for these lengths alone.
        """
        found: dict[tuple[Any, Any], Guard] = {}
        for subject, outcome, at, needs_number in self._a.tracer.guards:
            if isinstance(subject, Ref):
                found.setdefault((subject, outcome), Guard(subject, outcome, at))
            elif (
                _is_always_so(subject) or (needs_number and self._varies(subject)) or self._is_fixed(subject)
            ):
                continue
            elif isinstance(subject, Expr):
                subject = self._of_inputs(subject)
                found.setdefault((subject, outcome), Guard(subject, outcome, at))
        return list(found.values())

    def _of_inputs(self, expr: Any) -> Any:
        """The same, of lengths of inputs where inner wires have these: known before the graph runs."""
        if not isinstance(expr, Expr):
            return expr
        if expr.op != "dim":
            return Expr(expr.op, tuple(map(self._of_inputs, expr.args)))
        ref, axis = expr.args
        pair = tuple(shapes[ref.node, ref.out][axis] for shapes in self._shapes)
        if self._a.tracer.nodes[int(ref.node)].kind == "input" or pair not in self.symbols:
            return expr
        _, source, own = self.symbols[pair]
        return Expr("dim", (source, own))

    def _is_fixed(self, subject: Any) -> bool:
        """Whether all lengths in it are those of weights, or of inner wires and no input's: weights decide
        them, where every length of every input has differed between the runs.
        """
        nodes = self._a.tracer.nodes
        leaves = _lengths_in(subject)
        if leaves and all(nodes[int(leaf.args[0].node)].kind in ("parameter", "constant") for leaf in leaves):
            return True
        inputs = [f for n in nodes if n.kind == "input" for f in n.facts]
        others = [f for n in self._b.tracer.nodes if n.kind == "input" for f in n.facts]
        free = all(
            m != n
            for f, g in zip(inputs, others, strict=True)
            for m, n in zip(f.shape, g.shape, strict=False)
        )
        return free and not self._varies(subject)

    def counts_rows(self) -> bool:
        """Whether a number was made of a length that goes with the number of rows."""
        rows = {name for name, _, axis in self.symbols.values() if axis == 0}
        for expr, _, _, needs_number in self._a.tracer.guards:
            for leaf in _lengths_in(expr) if needs_number else ():
                key, axis = (leaf.args[0].node, leaf.args[0].out), leaf.args[1]
                known = self._called(self._shapes[0][key][axis], self._shapes[1][key][axis])
                if isinstance(known, str) and (known == "?" or rows & set(re.findall(r"[a-z]\w*", known))):
                    return True
        return False

    def _numbers(self) -> dict[tuple[Any, Any], Expr]:
        """Lengths that were made numbers of, by what they were in both runs."""
        found: dict[tuple[Any, Any], Expr] = {}
        one = [g for g in self._a.tracer.guards if g[3]]
        two = [g for g in self._b.tracer.guards if g[3]]
        for (expr, m, *_), (_, n, *_) in zip(one, two, strict=False):
            if m != n and isinstance(expr, Expr):
                found.setdefault((m, n), expr)
        for pair, (_, ref, axis) in self.symbols.items():
            found.setdefault(pair, Expr("dim", (ref, axis)))
        return found

    def number(self, m: Any, n: Any) -> Expr | None:
        """The length that is one number in the first run, and another one in the second."""
        if type(m) is not int or type(n) is not int:
            return None
        return self._numbers().get((m, n))

    def constant(self, a: Node, b: Node) -> Node:
        """A constant that is the same in both runs, or that a length alone makes."""
        x, y = a.value, b.value
        if isinstance(x, QTensor) or isinstance(y, QTensor):
            if x is not y:
                raise _Differ(a.scope, "a quantized tensor that is another one in every call", a.at)
            return a
        if x.shape == y.shape and x.dtype == y.dtype and np.array_equal(x, y, equal_nan=x.dtype.kind in "fc"):
            return a
        made = self._made(x, y) if x.dtype == y.dtype and x.ndim == y.ndim else None
        if made is None:
            raise _Differ(a.scope, f"an array that differs with sizes or values, of shape {x.shape}", a.at)
        kind, args = made
        return a.but(kind=kind, args=args, value=None)

    def _made(self, x: Any, y: Any) -> tuple[str, tuple[Any, ...]] | None:
        numbers, dtype = self._numbers(), str(x.dtype)
        if x.size and y.size and x.dtype.kind in "biuf" and (x == x.flat[0]).all() and (y == x.flat[0]).all():
            lengths = [m if m == n else numbers.get((m, n)) for m, n in zip(x.shape, y.shape, strict=True)]
            if None not in lengths:
                return "array.full", (tuple(lengths), x.flat[0].item(), dtype)
        long = [i for i, (m, n) in enumerate(zip(x.shape, y.shape, strict=True)) if m != n]
        if not long:
            return None
        pair = x.shape[long[0]], y.shape[long[0]]
        expr = numbers.get(pair)
        if expr is None or any((x.shape[i], y.shape[i]) != pair for i in long):
            return None
        shape = tuple(-1 if i in long else n for i, n in enumerate(x.shape))
        if any(n not in (-1, 1) for n in shape) or x.dtype.kind not in "biuf":
            return None
        self.is_thin |= min(pair) < 3
        from quantray.graph._functions import function_of

        tries: list[tuple[str, tuple[Any, ...]]] = []
        flat = x.ravel() if pair[0] > 1 else y.ravel()
        if len(long) == 1:
            start = flat[0].item()
            step = flat[1].item() - start if x.dtype.kind != "b" else 0
            tries.append(("array.ramp", (start, step, shape, dtype)))
        if len(long) == 2:
            square = flat.reshape(max(pair), -1)[:2, :2] if pair[0] != pair[1] else x.reshape(pair)
            corner, right, below = square[0, 0].item(), square[0, 1].item(), square[1, 0].item()
            for k, lower, upper in ((0, corner, right), (-1, below, corner)):
                tries.append(("array.triangle", (lower, upper, k, shape, dtype)))
            tries.append(("array.diagonal", (corner, right, shape, dtype)))
        for kind, rest in tries:
            function = function_of(kind)
            if all(np.array_equal(function(n, *rest), array) for n, array in ((pair[0], x), (pair[1], y))):
                return kind, (expr, *rest)
        return None


def _is_always_so(subject: Any) -> bool:
    """Whether a comparison is one of a length with itself, or asks whether it is negative."""
    if not isinstance(subject, Expr) or len(subject.args) != 2 or subject.op == "dim":
        return False
    first, second = subject.args
    is_sign = subject.op in ("lt", "ge") and isinstance(first, Expr) and first.op == "dim" and second == 0
    return first == second or (is_sign and not isinstance(second, Expr))
