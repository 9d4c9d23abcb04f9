"""Sums, extremes, norms and running sums, over any axes of any layout."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from program.lowered import Function, check, run
from program.test_elements import layouts, values
from quantray import graph, ops
from quantray.quantization._lowering import lower


@st.composite
def arrays(draw: Any, dtypes: tuple[str, ...]) -> tuple[np.ndarray, Any, bool]:
    """An array, axes of it, and whether they stay."""
    shape = tuple(draw(st.lists(st.integers(0, 6), min_size=1, max_size=4)))
    x = draw(layouts(values(draw(st.sampled_from(dtypes)), shape, draw(st.integers(0, 2**20)))))
    some = st.lists(st.integers(0, len(shape) - 1), min_size=0, max_size=len(shape), unique=True).map(tuple)
    return x, draw(st.none() | some | st.integers(-len(shape), len(shape) - 1)), draw(st.booleans())


def is_empty(x: np.ndarray, axes: Any) -> bool:
    every = range(x.ndim) if axes is None else axes if isinstance(axes, tuple) else (axes,)
    return any(x.shape[a] == 0 for a in every)


@given(arrays(("float32", "int64", "int32", "uint8", "int8")))
@settings(deadline=None, max_examples=200)
def test_extremes(given: tuple[np.ndarray, Any, bool]) -> None:
    x, axes, keep = given
    if x.size == 0 and is_empty(x, axes):
        return
    check(lambda x: (np.max(x, axes, keepdims=keep), x.min(axes, keepdims=keep)), x)
    if not isinstance(axes, tuple):
        check(lambda x: (np.argmax(x, axes, keepdims=keep), x.argmin(axes, keepdims=keep)), x)


@given(arrays(("int64", "int32", "int8", "bool")))
@settings(deadline=None)
def test_sums_of_integers(given: tuple[np.ndarray, Any, bool]) -> None:
    x, axes, keep = given
    check(lambda x: (np.sum(x, axes, keepdims=keep), x.prod(axes, keepdims=keep)), x)
    check(lambda x: (np.any(x, axes, keepdims=keep), x.all(axes, keepdims=keep)), x)


@given(arrays(("float32",)))
@settings(deadline=None, max_examples=200)
def test_sums_of_floats(given: tuple[np.ndarray, Any, bool]) -> None:
    x, axes, keep = given
    x = np.nan_to_num(x, posinf=2, neginf=2, nan=1).clip(-5, 5)
    exact = x.astype(np.float64)
    for name in ("sum", "mean", "prod", "var", "std"):
        with np.errstate(all="ignore"):
            import warnings

            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                expected = np.asarray(getattr(np, name)(exact, axes, keepdims=keep))
        with np.errstate(all="ignore"), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found = run(lambda x: getattr(np, name)(x, axis=axes, keepdims=keep), x)  # noqa: B023
        assert found.shape == expected.shape
        assert found.dtype == np.float32
        np.testing.assert_allclose(found, expected.astype(np.float32), rtol=1e-6, atol=1e-5)


@pytest.mark.parametrize("axes", [None, (1,), (0, 2), (-1,)])
def test_norms(axes: Any) -> None:
    x = values("float32", (3, 40, 5), 0)
    x = np.nan_to_num(x, posinf=2, neginf=2).clip(-50, 50)
    exact = x.astype(np.float64)
    expected = {
        "sum_square": np.square(exact).sum(axes),
        "l1": np.abs(exact).sum(axes),
        "l2": np.sqrt(np.square(exact).sum(axes)),
        "logsumexp": np.log(np.exp(exact - 50).sum(axes)) + 50,
    }
    for name, true in expected.items():
        program = ops.Program(["float32"], [(name, (0,), 1, {"axes": axes})], [1])
        np.testing.assert_allclose(program(x)[0], true, rtol=1e-6)
    infinite = np.float32([[-np.inf, -np.inf], [np.inf, 1]])
    program = ops.Program(["float32"], [("logsumexp", (0,), 1, {"axes": 1})], [1])
    assert program(infinite)[0].tolist() == [-np.inf, np.inf]


@pytest.mark.parametrize(
    "norm",
    [
        lambda x: np.linalg.norm(x),
        lambda x: np.linalg.norm(x, keepdims=True),
        lambda x: np.linalg.norm(x, axis=1, keepdims=True),
        lambda x: np.linalg.norm(x, None, (0, 2)),
        lambda x: np.linalg.norm(x, 2, -1, True),
        lambda x: np.linalg.norm(x, ord=1, axis=0),
        lambda x: np.linalg.vector_norm(x, axis=(0, 1)),
        lambda x: np.linalg.vector_norm(x, axis=2, ord=1),
        lambda x: np.linalg.vector_norm(x, keepdims=True),
    ],
)
def test_norms_of_linalg(norm: Any) -> None:
    x = np.random.default_rng(0).normal(size=(3, 40, 5)).astype(np.float32)
    found = run(norm, x)
    expected = norm(x.astype(np.float64))
    assert found.shape == expected.shape
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, rtol=1e-6)


@pytest.mark.parametrize("order", [3, np.inf, 0, "fro"])
def test_other_norms_are_calls(order: Any) -> None:
    x = np.random.default_rng(0).normal(size=(4, 5)).astype(np.float32)
    axis = (0, 1) if order == "fro" else 1
    model = Function(lambda x: np.linalg.norm(x, order, axis)).eval()
    made = lower(graph.normalize(graph.capture(model, (x,))), model, {}, is_near=True)
    assert made.called
    np.testing.assert_array_equal(made([x]), np.linalg.norm(x, order, axis))
    # Of a matrix and with an order, it is one of singular values.
    model = Function(lambda x: np.linalg.norm(x, 2)).eval()
    made = lower(graph.normalize(graph.capture(model, (x,))), model, {}, is_near=True)
    assert made.called


@given(arrays(("float32", "int64", "int32")))
@settings(deadline=None)
def test_running_sums(given: tuple[np.ndarray, Any, bool]) -> None:
    x, axes, _ = given
    axes = axes[0] if isinstance(axes, tuple) and axes else None if isinstance(axes, tuple) else axes
    check(lambda x: (np.cumsum(x, axes), x.cumprod(axes)), x)


def test_exclusive_and_reverse_sums() -> None:
    x = np.arange(1, 5, dtype=np.int64)

    def of(**params: bool) -> list[int]:
        return ops.Program(["int64"], [("cumsum", (0,), 1, params)], [1])(x)[0].tolist()

    assert of(exclusive=True) == [0, 1, 3, 6]
    assert of(reverse=True) == [10, 9, 7, 4]
    assert of(exclusive=True, reverse=True) == [9, 7, 4, 0]


def test_long_rows_and_columns() -> None:
    x = np.random.default_rng(0).normal(size=(3, 1000, 700)).astype(np.float32)
    for axes in (0, 1, 2, (0, 1), (1, 2), None):
        check(lambda x: (x.max(axes), x.sum(axes), x.var(axes)), x, ulp=600, atol=1e-4)  # noqa: B023
        if not isinstance(axes, tuple):
            check(lambda x: (x.argmax(axes), x.argmin(axes)), x)  # noqa: B023


@pytest.mark.parametrize("n", [1, 7, 15, 16, 17, 31, 32, 33, 63, 64, 65, 127, 128, 129, 160, 1001])
@pytest.mark.usefixtures("kernels")
def test_rows_and_columns_of_every_length(n: int) -> None:
    """Around the widths in which they are taken, with what is no number at each place of interest."""
    x = np.random.default_rng(n).normal(size=(6, n)).astype(np.float32)
    x[1, -1], x[2, 0], x[3, n // 2], x[4] = np.inf, -np.inf, np.nan, -np.inf
    exact = x.astype(np.float64)
    with np.errstate(all="ignore"):
        for array, axis in ((x, 1), (np.ascontiguousarray(x.T), 0)):
            check(lambda x: (x.max(axis), x.min(axis), x.argmax(axis), x.argmin(axis)), array)  # noqa: B023
            found = run(lambda x: (x.sum(axis), x.mean(axis), np.square(x).sum(axis)), array)  # noqa: B023
            for one, true in zip(found, (exact.sum(1), exact.mean(1), np.square(exact).sum(1)), strict=True):
                np.testing.assert_allclose(one, true, rtol=1e-6, atol=1e-6)
    integers = np.random.default_rng(n).integers(-9, 9, (3, n))
    check(lambda x: (x.max(1), x.sum(0), x.argmin(1), x.min(0), x.prod(1)), integers)


def test_nothing_has_no_extreme() -> None:
    with pytest.raises(ValueError, match=r"top: input.*at least one element"):
        ops.Program(["float32"], [("max", (0,), 1, {"name": "top", "axes": 0})], [1])(np.ones((0, 2)))
