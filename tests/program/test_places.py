"""Elements taken from other places, and put there: of every dtype and layout as NumPy's."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from program.lowered import check, lowered
from program.test_elements import layouts, values
from quantray import ops
from quantray.nn import functional as F

DTYPES = ("float32", "int64", "int32", "uint8", "int8", "bool")


@st.composite
def arrays(draw: Any, min_dims: int = 1, min_side: int = 0) -> np.ndarray:
    shape = tuple(draw(st.lists(st.integers(min_side, 5), min_size=min_dims, max_size=4)))
    x = values(draw(st.sampled_from(DTYPES)), shape, draw(st.integers(0, 2**20)))
    return draw(layouts(np.nan_to_num(x) if x.dtype == np.float32 else x))


@given(arrays(), st.data())
@settings(deadline=None)
def test_joined(x: np.ndarray, data: st.DataObject) -> None:
    axis = data.draw(st.integers(-x.ndim, x.ndim - 1))
    check(lambda x: (np.concatenate([x, x[::-1], x], axis), np.stack([x, x], axis)), x)
    check(lambda x: np.concatenate([x, x], axis=None), x)


@given(arrays(min_side=1), st.data())
@settings(deadline=None)
def test_taken(x: np.ndarray, data: st.DataObject) -> None:
    axis = data.draw(st.integers(-x.ndim, x.ndim - 1))
    n = x.shape[axis]
    shape = tuple(data.draw(st.lists(st.integers(0, 4), max_size=2)))
    dtype = data.draw(st.sampled_from(["int64", "int32"]))
    ids = np.random.default_rng(data.draw(st.integers(0, 99))).integers(-n, n, shape).astype(dtype)
    check(lambda x, i: np.take(x, i, axis), x, ids)
    check(lambda x: x.take([0, -1], axis), x)
    check(lambda x: x.take(0), x)
    along = np.random.default_rng(1).integers(-n, n, x.shape)
    check(lambda x, i: np.take_along_axis(x, i, axis), x, along)


@given(arrays(2, 2))
@settings(deadline=None)
def test_indices(x: np.ndarray) -> None:
    a, b = np.array([0, -1, 1]), np.array([1, 0, -2])
    check(lambda x, a: x[a], x, a)
    check(lambda x, a: x[:, a, ...], x, a)
    check(lambda x, a, b: x[a, b], x, a, b)
    check(lambda x: x[[0, 1], np.array([[1], [0]])], x)
    check(lambda x: x[1:, None, ::-1], x)
    check(lambda x: x[..., -1], x)
    check(lambda x: (x[: x.shape[0] // 2], x[x.shape[0] - 1], x[:, 1 : x.shape[1]]), x)


@given(arrays(2, 2))
@settings(deadline=None)
def test_written(x: np.ndarray) -> None:
    def changed(x: Any) -> Any:
        y = x.copy()
        y[0] = 1
        y[:, ::-1] = y[:, :1]
        y[..., 1:] = 0
        y[-1:, 0] = x[0, 1]
        return y

    check(changed, x)

    def masked(x: Any) -> Any:
        y = x.copy()
        y[y > 0] = 1
        y[x[(slice(None), *[0] * (x.ndim - 1))] > 0] = 0
        return y

    check(masked, x)

    def along(x: Any, i: Any) -> Any:
        y = x.copy()
        np.put_along_axis(y, i, 1, 0)
        return y

    ids = np.random.default_rng(0).integers(0, x.shape[0], (1, *x.shape[1:]))
    check(along, x, ids)


@given(arrays(1, 1), st.data())
@settings(deadline=None)
def test_again(x: np.ndarray, data: st.DataObject) -> None:
    axis, count = data.draw(st.integers(-x.ndim, x.ndim - 1)), data.draw(st.integers(0, 3))
    check(lambda x: np.repeat(x, count, axis), x)
    check(lambda x: x.repeat(2), x)
    check(lambda x: np.repeat(x, list(range(x.shape[axis].__index__())), axis), x)
    check(lambda x: np.roll(x, count - 7, axis), x)
    check(lambda x: np.roll(x, 3), x)
    check(lambda x: (np.flip(x, axis), np.flip(x), x[::-1]), x)
    reps = tuple(data.draw(st.lists(st.integers(0, 3), min_size=1, max_size=5)))
    check(lambda x: np.tile(x, reps), x)
    check(lambda x: np.broadcast_to(x, (2, *x.shape)), x)


@given(arrays(1, 1), st.data())
@settings(deadline=None)
def test_padded(x: np.ndarray, data: st.DataObject) -> None:
    pairs = [(data.draw(st.integers(0, 7)), data.draw(st.integers(0, 7))) for _ in range(x.ndim)]
    for mode in ("edge", "reflect", "symmetric", "wrap"):
        check(lambda x: np.pad(x, pairs, mode=mode), x)  # noqa: B023
    check(lambda x: np.pad(x, pairs, constant_values=1), x)
    check(lambda x: np.pad(x, 1), x)
    check(lambda x: np.pad(x, (0, 2), "edge"), x)


@pytest.mark.parametrize("mode", ["constant", "reflect", "replicate", "circular"])
def test_torch_pads(mode: Any) -> None:
    x = values("float32", (2, 3, 4, 5), 0)
    check(lambda x: F.pad(x, (1, 2, 3, 0), mode), x)
    check(lambda x: F.pad(x, (-1, 2)), x)


@given(arrays(2, 0), st.data())
@settings(deadline=None)
def test_diagonals_and_triangles(x: np.ndarray, data: st.DataObject) -> None:
    k = data.draw(st.integers(-6, 6))
    check(lambda x: (np.tril(x, k), np.triu(x, k)), x)
    check(lambda x: (np.diagonal(x, k), x.diagonal(k, -1, 0)), x)


def test_arrays_of_lengths() -> None:
    x = np.ones((3, 5), np.float32)
    check(lambda x: np.zeros_like(x) + np.ones_like(x) * np.full_like(x, 3), x)
    check(lambda x: x + np.arange(x.shape[1]).astype(np.float32), x)
    check(lambda x: np.zeros((x.shape[1], 2), np.int64), x)
    check(lambda x: x.sum(0) + np.tri(x.shape[1], dtype=np.float32), x)
    check(lambda x: np.reshape(x, (x.shape[1], x.shape[0])), x)
    made = lowered(lambda x: np.broadcast_to(x[:1], (x.shape[0] * 2, x.shape[1])), x)
    for n in (1, 4):
        assert made([np.ones((n, 5), np.float32)]).shape[1] == 5


@given(arrays(1, 0), st.data())
@settings(deadline=None)
def test_order(x: np.ndarray, data: st.DataObject) -> None:
    if x.dtype == bool:
        return
    axis = data.draw(st.integers(-x.ndim, x.ndim - 1))
    check(lambda x: (np.sort(x, axis), np.argsort(x, axis, kind="stable")), x)


def test_nan_has_its_place_in_order() -> None:
    x = np.float32([2, np.nan, -np.inf, 0, np.nan, -0.0])
    check(lambda x: (np.sort(x), np.argsort(x, stable=True), np.argmax(x), np.argmin(x)), x)


def one(op: str, args: list[Any], **params: Any) -> Any:
    kinds = [str(np.asarray(a).dtype) for a in args]
    return ops.Program(kinds, [(op, tuple(range(len(args))), len(args), params)], [len(args)])(*args)[0]


def test_the_greatest() -> None:
    x = np.float32([[1, 5, 5, -2], [0, -1, -1, 9]])
    assert one("topk", [x], k=2).tolist() == [[5, 5], [9, 0]]
    assert one("topk", [x], k=2, places=True).tolist() == [[1, 2], [3, 0]]
    assert one("topk", [x], k=3, descending=False, places=True).tolist() == [[3, 0, 1], [1, 2, 0]]
    assert one("topk", [x], k=1, axis=0).tolist() == [[1, 5, 5, 9]]
    with pytest.raises(ValueError, match="k must be from 0 to 4"):
        one("topk", [x], k=5)


def test_tuples_of_places() -> None:
    x = np.arange(24).reshape(2, 3, 4)
    ids = np.array([[[0, 1], [1, -1]], [[-1, 0], [0, 0]]])
    np.testing.assert_array_equal(one("gather_nd", [x, ids]), x[ids[..., 0], ids[..., 1]])
    np.testing.assert_array_equal(
        one("gather_nd", [x, ids], batch_dims=1), np.stack([x[i][ids[i][:, 0], ids[i][:, 1]] for i in (0, 1)])
    )
    new = np.arange(100, 116).reshape(2, 2, 4)
    expected = x.copy()
    expected[ids[..., 0], ids[..., 1]] = new
    np.testing.assert_array_equal(one("scatter_nd", [x, ids, new]), expected)
    expected = x.copy()
    np.add.at(expected, (ids[..., 0], ids[..., 1]), new)
    np.testing.assert_array_equal(one("scatter_nd", [x, ids, new], reduction="add"), expected)
    expected = x.copy()
    np.maximum.at(expected, (ids[..., 0], ids[..., 1]), new)
    np.testing.assert_array_equal(one("scatter_nd", [x, ids, new], reduction="max"), expected)


def test_places_that_there_are_not() -> None:
    x, ids = np.ones((3, 2), np.float32), np.array([0, 3])
    for op, args in {
        "take": [x, ids],
        "take_along_axis": [x, ids[None]],
        "gather_nd": [x, ids[:, None]],
        "scatter_nd": [x, ids[:, None], np.ones((2, 2), np.float32)],
    }.items():
        with pytest.raises(IndexError, match=r"rows: index must be from -\d to \d, got 3 at 1"):
            one(op, args, name="rows")


def test_lists_of_repeats() -> None:
    with pytest.raises(ValueError, match=r"repeats must be one for each of 3 elements"):
        one("repeat", [np.ones(3, np.float32)], repeats=[1, 2])
