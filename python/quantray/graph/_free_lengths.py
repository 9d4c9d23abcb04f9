"""Which lengths differ between two runs of a capture: what they are called, and what is made of them."""

from __future__ import annotations

import re
from typing import cast

import numpy as np

from quantray._core import QTensor
from quantray._typing import Array
from quantray.graph._functions import function_of
from quantray.graph._graph import Expr, Fact, Guard, Node, Place, Ref
from quantray.graph._lengths import evaluate, is_always_so
from quantray.graph._tracer import Tracer

#: Names that free lengths get, in this order.
_SYMBOLS = "nmlkpqrstuvw"


class Once:
    """One run: its nodes, and what came out."""

    def __init__(
        self, tracer: Tracer, args: tuple[object, ...], kwargs: dict[str, object], output: object
    ) -> None:
        self.tracer, self.args, self.kwargs, self.output = tracer, args, kwargs, output


class Differ(Exception):
    """Two runs are not the same work: where, and why."""

    def __init__(self, scope: str, reason: str, at: Place | None) -> None:
        super().__init__(reason)
        self.scope, self.reason, self.at = scope, reason, at


class Lengths:
    """Which lengths differ between two runs, and what they are called."""

    def __init__(self, a: Once, b: Once, has_differed: bool = False) -> None:
        self._a, self._b, self._has_differed = a, b, has_differed
        #: Whether an array was recognized by less than three of its elements.
        self.is_thin = False
        self._shapes = [
            {(str(i), o): _shape(f) for i, n in enumerate(run.tracer.nodes) for o, f in enumerate(n.facts)}
            for run in (a, b)
        ]
        #: The name of each pair of lengths, and the wire and the axis of an input that has it.
        self.symbols: dict[tuple[int, int], tuple[str, Ref, int]] = {}
        names = iter(_SYMBOLS)
        for run_a, run_b in zip(a.tracer.nodes, b.tracer.nodes, strict=False):
            if run_a.kind != "input":
                continue
            number = a.tracer.nodes.index(run_a)
            for axis, pair in enumerate(zip(_shape(run_a.facts[0]), _shape(run_b.facts[0]), strict=False)):
                if pair[0] != pair[1] and pair not in self.symbols:
                    self.symbols[pair] = next(names, f"n{len(self.symbols)}"), Ref(str(number)), axis

    def fact(self, a: Fact, b: Fact, is_counted: bool = False) -> Fact:
        """What is known of a wire in both runs, whose lengths values may say: these have no names."""
        if len(a.shape) != len(b.shape):
            return a
        if is_counted:
            return Fact(tuple(m if m == n else "?" for m, n in zip(a.shape, b.shape, strict=True)), a.dtype)
        return Fact(tuple(self._called(m, n) for m, n in zip(_shape(a), _shape(b), strict=True)), a.dtype)

    def _called(self, m: int, n: int) -> int | str:
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

    def _value(self, expr: object, run: int) -> object:
        return evaluate(expr, lambda ref: self._shapes[run][ref.node, ref.out])

    def _varies(self, expr: object) -> bool:
        """Whether one of the lengths in it differs between the runs."""
        return any(first != second for first, second in map(self._pair, lengths_in(expr)))

    def _pair(self, dim: Expr) -> tuple[int, int]:
        """An axis of a wire, in both runs."""
        ref, axis = cast("tuple[Ref, int]", dim.args)
        first, second = (shapes[ref.node, ref.out][axis] for shapes in self._shapes)
        return first, second

    def guards(self) -> list[Guard]:
        """What was decided by lengths and by values. Numbers that were made of lengths, and that differ
        between the runs, have been compared; others hold for these lengths alone.
        """
        found: dict[tuple[Expr | Ref, object], Guard] = {}
        for subject, outcome, at, needs_number in self._a.tracer.guards:
            if isinstance(subject, Ref):
                found.setdefault((subject, outcome), Guard(subject, outcome, at))
            elif (
                is_always_so(subject)
                or (needs_number and self._value(subject, 0) != self._value(subject, 1))
                or self._is_fixed(subject)
            ):
                continue
            else:
                subject = self.of_inputs(subject)
                found.setdefault((subject, outcome), Guard(subject, outcome, at))
        return list(found.values())

    def of_inputs(self, expr: Expr) -> Expr:
        """The same, of lengths of inputs where inner wires have these: known before the graph runs."""
        if expr.op != "dim":
            args = (self.of_inputs(arg) if isinstance(arg, Expr) else arg for arg in expr.args)
            return Expr(expr.op, tuple(args))
        ref: Ref = expr.args[0]
        pair = self._pair(expr)
        if self._a.tracer.nodes[int(ref.node)].kind == "input" or pair not in self.symbols:
            return expr
        if self._a.tracer.counted.is_in(ref):
            # That as much was found as there is says nothing of other values.
            return expr
        _, source, own = self.symbols[pair]
        return Expr("dim", (source, own))

    def _is_fixed(self, subject: object) -> bool:
        """Whether all lengths in it are those of weights, or of inner wires and no input's: weights decide
        them, where every length of every input has differed between the runs.
        """
        nodes = self._a.tracer.nodes
        leaves = lengths_in(subject)
        if leaves and all(nodes[int(leaf.args[0].node)].kind in ("parameter", "constant") for leaf in leaves):
            return True
        inputs = [f for n in nodes if n.kind == "input" for f in n.facts]
        others = [f for n in self._b.tracer.nodes if n.kind == "input" for f in n.facts]
        free = all(
            m != n
            for f, g in zip(inputs, others, strict=True)
            for m, n in zip(f.shape, g.shape, strict=False)
        )
        # A run that did other work has shown lengths that are not fixed, whatever this one shows.
        return free and not self._has_differed and not self._varies(subject)

    def counts_rows(self) -> bool:
        """Whether a number was made of a length that goes with the number of rows."""
        rows = {name for name, _, axis in self.symbols.values() if axis == 0}
        for expr, _, _, needs_number in self._a.tracer.guards:
            for leaf in lengths_in(expr) if needs_number else ():
                known = self._called(*self._pair(leaf))
                if isinstance(known, str) and (known == "?" or rows & set(re.findall(r"[a-z]\w*", known))):
                    return True
        return False

    def _numbers(self) -> dict[tuple[object, object], Expr]:
        """Lengths that were made numbers of, by what they were in both runs."""
        found: dict[tuple[object, object], Expr] = {}
        one = [g for g in self._a.tracer.guards if g[3]]
        two = [g for g in self._b.tracer.guards if g[3]]
        for (expr, m, *_), (_, n, *_) in zip(one, two, strict=False):
            if m != n and isinstance(expr, Expr):
                found.setdefault((m, n), expr)
        for pair, (_, ref, axis) in self.symbols.items():
            found.setdefault(pair, Expr("dim", (ref, axis)))
        return found

    def number(self, m: object, n: object) -> Expr | None:
        """The length that is one number in the first run, and another one in the second."""
        if type(m) is not int or type(n) is not int:
            return None
        return self._numbers().get((m, n))

    def constant(self, a: Node, b: Node) -> Node:
        """A constant that is the same in both runs, or that a length alone makes."""
        x, y = a.value, b.value
        if isinstance(x, QTensor) or isinstance(y, QTensor):
            if x is not y:
                raise Differ(a.scope, "a quantized tensor that is another one in every call", a.at)
            return a
        if x.shape == y.shape and x.dtype == y.dtype and np.array_equal(x, y, equal_nan=x.dtype.kind in "fc"):
            return a
        made = self._made(x, y) if x.dtype == y.dtype and x.ndim == y.ndim else None
        if made is None:
            raise Differ(a.scope, f"an array that differs with sizes or values, of shape {x.shape}", a.at)
        kind, args = made
        return a.but(kind=kind, args=args, value=None)

    def _made(self, x: Array, y: Array) -> tuple[str, tuple[object, ...]] | None:
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

        tries: list[tuple[str, tuple[object, ...]]] = []
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


def _shape(fact: Fact) -> tuple[int, ...]:
    """The shape of what one run has seen: numbers alone, which get names when two runs are joined."""
    return cast("tuple[int, ...]", fact.shape)


def lengths_in(expr: object) -> list[Expr]:
    if not isinstance(expr, Expr):
        return []
    return [expr] if expr.op == "dim" else [leaf for arg in expr.args for leaf in lengths_in(arg)]
