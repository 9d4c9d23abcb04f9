"""A program gives, in one call, what its steps give one after the other."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from program.steps import (
    GRID,
    NARROW,
    SIGNED,
    conv,
    linear,
    normal,
    once,
    orders,
    residual_steps,
    same,
    tensor,
)
from quantray import ops

pytestmark = pytest.mark.usefixtures("threads")


def test_an_input_may_come_out() -> None:
    x = normal(3, 4)
    program = ops.Program(["float32"], [("transpose", (0,), 1, {})], [0, 1, 0])
    a, b, c = program(x)
    for got, expected in ((a, x), (b, x.T), (c, x)):
        same(got, expected)
        assert not np.shares_memory(got, x)
        got += 1
    q = tensor(x)
    out = ops.Program(["quint8"], [], [("codes", 0), 0])(q)
    same(out[0], q)
    same(out[1], np.asarray(q))


def test_calls() -> None:
    seen = []

    def split(a: Any, b: Any) -> tuple:
        seen.append((type(a), type(b)))
        return np.concatenate([a, b]), np.float64(3), a.astype(np.int16)

    steps = [
        ("quantize", (0,), 1, {"grid": GRID}),
        ("call", (1, 0), (2, 3, 4), {"function": split, "name": "split"}),
        ("reshape", (2,), 5, {"shape": (2, ("dim", 1, 0), 6)}),
        ("quantize", (5,), 6, {"grid": SIGNED}),
        ("call", (6,), 7, {"function": lambda q: q.int_repr() > 0, "codes": True, "count": 1}),
    ]
    program = ops.Program(["float32"], steps, [5, 3, 4, 7, ("codes", 6)])
    for n in (4, 2, 0):
        x = normal(n, 6)
        a, b, c, d, e = program(x)
        q = np.asarray(tensor(x))
        same(a, np.concatenate([q, x]).reshape(2, n, 6))
        same(b, np.float32(3))
        same(c, q.astype(np.int16).astype(np.int64))
        same(e, tensor(a, SIGNED))
        same(d, e.int_repr() > 0)
    assert seen[0] == (np.ndarray, np.ndarray)
    rows = program.steps((4, 6))
    assert rows[0] == ("", "quantize", (4, 6), "quint8", 24)
    assert rows[1][0] == "split"
    assert rows[2][2] is None
    twice = ops.Program(
        ["object"], [("call", (0,), 1, {"function": lambda text: np.int64([len(text)])})], [1]
    )
    same(twice("four")[0], np.int64([4]))


def test_a_call_that_raises_or_returns_too_much() -> None:
    def fails(x: Any) -> Any:
        raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        once("call", [normal(2)], {"function": fails})
    program = ops.Program(
        ["float32"], [("call", (0,), (1, 2), {"function": lambda x: (x,), "name": "f"})], [1]
    )
    with pytest.raises(ValueError, match="f: results must be 2 of them, got 1"):
        program(normal(2))


def test_residual_networks() -> None:
    steps, by_steps = residual_steps()
    program = ops.Program(["float32"], steps, [10, ("codes", 5)])
    for n in (1, 2, 3, 40, 131):
        for x in orders(normal(n, 3, 12, 11, seed=n)):
            for got, expected in zip(program(x), by_steps(x), strict=True):
                same(got, expected)
    assert 0 < program.memory((1, 3, 12, 11)) < 20 * 8 * 12 * 11
    assert [row[1] for row in program.steps((1, 3, 12, 11))] == [step[0] for step in steps]


def test_results_do_not_share_memory_with_later_ones() -> None:
    steps, _ = residual_steps()
    program = ops.Program(["float32"], steps, [10, 4])
    x = normal(5, 3, 12, 11)
    first = program(x)
    kept = [y.copy() for y in first]
    program(-x)
    for one, other in zip(first, kept, strict=True):
        same(one, other)


@st.composite
def graphs(draw: st.DrawFn) -> tuple[list, list]:
    """Steps over images of codes with 4 channels, branches and sums and all, and which values come out."""
    steps: list = [("quantize", (0,), 1, {"grid": GRID})]
    images, rows = [1], []
    grids = [GRID, SIGNED, NARROW]
    for made in range(2, draw(st.integers(3, 14))):
        grid = draw(st.sampled_from(grids))
        kinds = ["conv", "residual", "depthwise", "add", "mul", "cat", "pool", "shuffle", "table", "flat"]
        kind = draw(st.sampled_from(kinds + (["linear", "join"] if rows else [])))
        pick = lambda of=images: draw(st.sampled_from(of))  # noqa: E731
        seed = draw(st.integers(0, 5))
        match kind:
            case "conv" | "residual":
                layer = conv("Conv2d", 4, 4, (3, 3), 1, 1, seed=seed)
                sources = (pick(), pick()) if kind == "residual" else (pick(),)
                params = {"packed": layer, "to": grid, "relu": draw(st.booleans())}
                step = ("conv", sources, made, params)
            case "depthwise":
                layer = conv("Conv2d", 4, 4, (3, 3), 1, 1, seed=seed, groups=4)
                step = ("conv", (pick(),), made, {"packed": layer, "to": grid, "relu6": draw(st.booleans())})
            case "add" | "mul":
                step = (kind, (pick(), pick()), made, {"grid": grid, "relu": draw(st.booleans())})
            case "cat":
                layer = conv("Conv2d", 8, 4, (1, 1), seed=seed)
                joined = 1000 + made
                steps.append(("cat", (pick(), pick()), joined, {"axis": 1, "grid": grid}))
                step = ("conv", (joined,), made, {"packed": layer, "to": grid})
            case "pool":
                size = {"kernel_size": (3, 3), "stride": (1, 1), "padding": (1, 1)}
                step = (draw(st.sampled_from(["max_pool", "avg_pool"])), (pick(),), made, size)
            case "shuffle":
                one, two = 1000 + made, 2000 + made
                shape = (("in", 0, 0), 2, 2, ("dim", 1, 2), -1)
                steps.append(("reshape", (pick(),), one, {"shape": shape}))
                steps.append(("transpose", (one,), two, {"axes": (0, 2, 1, 3, 4)}))
                step = ("reshape", (two,), made, {"shape": (-1, 4, ("in", 0, 2), ("in", 0, 3))})
            case "table":
                table = bytes(np.random.default_rng(seed).integers(0, 256, 256, dtype=np.uint8))
                step = ("table", (pick(),), made, {"table": table, "grid": grid})
            case "flat":
                pooled = 1000 + made
                steps.append(("adaptive_avg_pool", (pick(),), pooled, {"output_size": (1, 2)}))
                step = ("flatten", (pooled,), made, {"start": 1})
            case "linear":
                step = ("linear", (pick(rows),), made, {"packed": linear(8, 8, seed), "to": grid})
            case _:
                step = ("add", (pick(rows), pick(rows)), made, {"grid": grid})
        (rows if kind in ("flat", "linear", "join") else images).append(made)
        steps.append(step)
    values = [v for step in steps for v in [step[2]]]
    outputs = draw(st.lists(st.sampled_from(values), min_size=1, max_size=3))
    return steps, outputs


def one_by_one(steps: list, x: np.ndarray) -> dict[int, Any]:
    """Every value, each made by a program of one step, from arrays and tensors."""
    values: dict[int, Any] = {0: x}
    shape = x.shape
    for op, sources, made, params in steps:
        own = dict(params)
        if "shape" in own:
            lengths = {("in", 0, a): n for a, n in enumerate(shape)} | {("dim", 1, 2): shape[2]}
            own["shape"] = tuple(lengths.get(n, n) for n in own["shape"])
            # By itself, a step does not know what -1 is of nothing.
            ends = {0: shape[0], 4: shape[3]}
            own["shape"] = tuple(ends[i] if n == -1 else n for i, n in enumerate(own["shape"]))
        values[made] = once(op, [values[v] for v in sources], own)
    return values


@settings(max_examples=60, deadline=None)
@given(graphs(), st.integers(0, 3), st.integers(0, 4), st.integers(0, 100))
def test_random_programs(graph: tuple[list, list], size: int, order: int, seed: int) -> None:
    steps, outputs = graph
    n = (0, 1, 3, 37)[size]
    x = normal(n, 4, 6, 7, seed=seed)
    expected = one_by_one(steps, x)
    program = ops.Program(["float32"], steps, [("codes", v) for v in outputs])
    for _ in range(2):
        for got, v in zip(program(orders(x)[order]), outputs, strict=True):
            same(got, expected[v])
