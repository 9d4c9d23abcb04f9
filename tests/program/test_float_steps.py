"""Steps that compute in floats, beside NumPy and the functions they stand for."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import quantray as qt
from program.steps import GRID, I8, U8, linear, normal, once, orders, same, tensor
from quantray import ops

pytestmark = pytest.mark.usefixtures("threads")


def random_order(x: np.ndarray) -> list[np.ndarray]:
    return orders(x) if x.ndim > 1 and x.size else [x]


@pytest.mark.parametrize("name", ["gelu", "gelu_tanh", "silu", "sigmoid", "tanh"])
def test_functions_of_floats(name: str) -> None:
    function = (lambda x: ops.gelu(x, approximate="tanh")) if name == "gelu_tanh" else getattr(ops, name)
    for x in (*random_order(normal(3, 5, 70)), normal(0, 4), np.float32([np.nan, np.inf, -np.inf])):
        same(once(name, [x], {}, [1]), function(x))
    if name == "gelu":
        same(once("gelu", [x], {"approximate": "tanh"}, [1]), ops.gelu(x, approximate="tanh"))


def test_plain_functions_are_numpys() -> None:
    x = np.concatenate([normal(99), np.float32([0, -0.0, np.inf, -np.inf, np.nan])])
    with np.errstate(invalid="ignore"):
        for name, expected in (
            ("relu", np.maximum(x, np.float32(0))),
            ("negative", -x),
            ("absolute", np.abs(x)),
            ("sqrt", np.sqrt(x)),
            ("square", x * x),
        ):
            same(once(name, [x], {}, [1]), expected)


SHAPES = [
    ((3, 4, 70), (3, 4, 70)),
    ((3, 4, 70), (70,)),
    ((70,), (3, 1, 70)),
    ((3, 4, 70), ()),
    ((3, 1, 5), (4, 1)),
    ((0, 4), (1, 4)),
    ((2, 3, 1, 1), (2, 3, 4, 5)),
]


@pytest.mark.parametrize("shapes", SHAPES)
def test_two_arrays(shapes: tuple) -> None:
    x, y = (normal(*shape, seed=i) for i, shape in enumerate(shapes))
    functions: dict[str, Any] = {
        "add": np.add,
        "sub": np.subtract,
        "mul": np.multiply,
        "div": np.divide,
        "maximum": np.maximum,
        "minimum": np.minimum,
        "equal": np.equal,
        "less": np.less,
        "greater_equal": np.greater_equal,
    }
    for name, function in functions.items():
        for a, b in zip(random_order(x), reversed(random_order(y)), strict=False):
            same(once(name, [a, b], {}, [2]), function(a, b))
        if name != "div":
            ints = [(v * 5).astype(np.int64) for v in (x, y)]
            same(once(name, ints, {}, [2]), function(*ints))
            same(
                once(name, [v.astype(np.int32) for v in ints], {}, [2]),
                function(*(v.astype(np.int32) for v in ints)),
            )
    power = once("pow", [np.abs(x), y], {}, [2])
    np.testing.assert_allclose(power, np.power(np.abs(x), y), rtol=1e-6)
    relu = once("add", [x, y], {"relu": True}, [2])
    same(relu, np.maximum(x + y, np.float32(0)))
    for name, function in (("logical_and", np.logical_and), ("logical_or", np.logical_or)):
        same(once(name, [x > 0, y > 0], {}, [2]), function(x > 0, y > 0))
    same(once("where", [x > 0, x, y], {}, [3]), np.where(x > 0, x, y))
    q = tensor(y)
    same(once("where", [x > 0, q, q], {}, [3]), np.where(x > 0, np.asarray(q), np.asarray(q)))


def test_nan_goes_through_extremes() -> None:
    x, y = np.float32([np.nan, 1, np.nan]), np.float32([1, np.nan, np.nan])
    for name in ("maximum", "minimum"):
        assert np.isnan(once(name, [x, y], {}, [2])).all()
    for name in ("max", "min"):
        assert np.isnan(once(name, [np.stack([x, y])], {"axes": 1}, [1])).all()


def test_casts() -> None:
    x = normal(3, 40, scale=9)
    for dtype in ("float32", "int32", "int64", "bool"):
        for own in (x, x.astype(np.int64), x.astype(np.int32), x > 0):
            same(once("cast", [own], {"dtype": dtype}, [1]), own.astype(dtype))


@pytest.mark.parametrize("axes", [None, 0, 1, -1, (0, 1), (0, 2), (1, 2), (0, 1, 2), ()])
@pytest.mark.parametrize("keepdims", [False, True])
def test_reductions(axes: Any, keepdims: bool) -> None:
    for shape in ((3, 4, 70), (3, 40, 7), (2, 1, 33)):
        for x in orders(normal(*shape)):
            for name in ("sum", "mean", "max", "min"):
                made = once(name, [x], {"axes": axes, "keepdims": keepdims}, [1])
                exact = getattr(np, name)(x.astype(np.float64), axis=axes, keepdims=keepdims)
                assert made.shape == exact.shape
                np.testing.assert_allclose(made, exact, rtol=1e-6, atol=1e-6)
        ints = (normal(*shape) * 5).astype(np.int64)
        same(
            once("sum", [ints], {"axes": axes, "keepdims": keepdims}, [1]), ints.sum(axes, keepdims=keepdims)
        )
    empty = np.zeros((0, 3), np.float32)
    same(once("sum", [empty], {"axes": 0}, [1]), np.zeros(3, np.float32))
    with pytest.raises(ValueError, match="input"):
        once("max", [empty], {"axes": 0}, [1])


@pytest.mark.parametrize("axis", [-1, 0, 1])
def test_softmax(axis: int) -> None:
    for x in orders(normal(3, 4, 17)):
        same(once("softmax", [x], {"axis": axis}, [1]), ops.softmax(x, axis))
        for shape in ((17,), (3, 1, 17), (4, 1), (3, 4, 17)):
            mask = np.where(normal(*shape, seed=4) > 1, -np.inf, 0).astype(np.float32)
            expected = ops.softmax(x, axis, factor=0.3, mask=mask)
            same(once("softmax", [x, mask], {"axis": axis, "factor": 0.3}, [2]), expected)


def test_layer_norm() -> None:
    w, b = normal(20, seed=1), normal(20, seed=2)
    for x in orders(normal(3, 4, 20)):
        params = {"normalized_shape": 20, "weight": w, "bias": b, "eps": 1e-6}
        same(once("layer_norm", [x], params, [1]), ops.layer_norm(x, 20, w, b, 1e-6))
        y = normal(3, 4, 20, seed=3)
        same(once("layer_norm", [x, y], params, [2]), ops.layer_norm(x, 20, w, b, 1e-6, residual=y))
        same(once("layer_norm", [x], {"normalized_shape": (4, 20)}, [1]), ops.layer_norm(x, (4, 20)))
        exact = x / np.sqrt((x.astype(np.float64) ** 2).mean(-1, keepdims=True) + 1e-6) * w
        made = once("rms_norm", [x], {"normalized_shape": 20, "weight": w, "eps": 1e-6}, [1])
        np.testing.assert_allclose(made, exact, rtol=2e-6, atol=1e-6)


def test_embedding() -> None:
    table = normal(50, 24)
    ids = np.random.default_rng(0).integers(0, 50, (3, 7))
    codes = (
        qt.quantize_per_tensor(table, 0.05, 0, I8),
        qt.quantize_per_channel(table, np.full(50, 0.05), np.zeros(50, int), 0, U8),
    )
    for own in (ids, ids.astype(np.int32), ids[:0], ids.T, ids[0]):
        same(once("embedding", [own], {"table": table}, [1]), table[own])
        for q in codes:
            same(once("embedding", [own], {"table": q}, [1]), ops.embedding(q, own))
    with pytest.raises(IndexError, match="input must be from 0 to 49"):
        once("embedding", [ids + 44], {"table": table}, [1])


def test_attention() -> None:
    for n, length in ((1, 5), (3, 17), (0, 4)):
        qkv = normal(n, length, 3 * 24)
        same(once("attention", [qkv], {"heads": 3}, [1]), ops.self_attention(qkv, 3))
        for shape in ((n, 1, 1, length), (length, length), (1, 3, length, 1), (n, 3, length, length)):
            mask = np.where(normal(*shape, seed=4) > 1, -np.inf, 0).astype(np.float32)
            expected = ops.self_attention(qkv, 3, mask)
            same(once("attention", [qkv, mask], {"heads": 3}, [2]), expected)
    qkv[:] = np.inf
    with pytest.raises(ValueError, match="heads"):
        once("attention", [qkv], {"heads": 5}, [1])
    with pytest.raises(ValueError, match="finite"):
        once("attention", [np.full((1, 2, 6), np.inf, np.float32)], {"heads": 1}, [1])


def encoder(width: int = 24, heads: int = 3) -> tuple[list, Any]:
    """An encoder layer over embeddings, and its mean over the tokens that count."""
    table, places = normal(50, width, scale=0.5), normal(1, 40, width, scale=0.1)
    w, b = normal(width, seed=7), normal(width, seed=8)
    qkv, out = linear(width, 3 * width, 1), linear(width, width, 2)
    up, down = linear(width, 4 * width, 3), linear(4 * width, width, 4)
    norm = {"normalized_shape": width, "weight": w, "bias": b}
    steps = [
        ("embedding", (0,), 2, {"table": table}),
        ("constant", (), 3, {"value": places}),
        ("slice", (3,), 4, {"index": (slice(None), slice(0, ("in", 0, 1)))}),
        ("add", (2, 4), 5, {}),
        ("layer_norm", (5,), 6, norm),
        ("linear", (6,), 7, {"packed": qkv}),
        ("cast", (1,), 8, {"dtype": "float32"}),
        ("constant", (), 9, {"value": np.float32(1)}),
        ("sub", (9, 8), 10, {}),
        ("constant", (), 11, {"value": np.float32(-1e9)}),
        ("mul", (10, 11), 12, {}),
        ("unsqueeze", (12,), 13, {"axes": (1, 2)}),
        ("attention", (7, 13), 14, {"heads": heads}),
        ("linear", (14,), 15, {"packed": out}),
        ("layer_norm", (15, 6), 16, norm),
        ("linear", (16,), 17, {"packed": up}),
        ("gelu", (17,), 18, {}),
        ("linear", (18,), 19, {"packed": down}),
        ("layer_norm", (19, 16), 20, norm),
        ("unsqueeze", (8,), 21, {"axes": -1}),
        ("mul", (20, 21), 22, {}),
        ("sum", (22,), 23, {"axes": 1}),
        ("sum", (8,), 24, {"axes": 1, "keepdims": True}),
        ("div", (23, 24), 25, {}),
    ]

    def by_steps(ids: np.ndarray, mask: np.ndarray) -> np.ndarray:
        x = ops.layer_norm(table[ids] + places[:, : ids.shape[1]], width, w, b)
        keep = mask.astype(np.float32)
        added = ((np.float32(1) - keep) * np.float32(-1e9))[:, None, None]
        h = out.dynamic(ops.self_attention(qkv.dynamic(x, per_row=True), heads, added), per_row=True)
        x = ops.layer_norm(h, width, w, b, residual=x)
        h = down.dynamic(ops.gelu(up.dynamic(x, per_row=True)), per_row=True)
        x = ops.layer_norm(h, width, w, b, residual=x)
        total = (x * keep[..., None]).astype(np.float64).sum(1).astype(np.float32)
        return total / keep.sum(1, keepdims=True)

    return steps, by_steps


def test_an_encoder() -> None:
    steps, by_steps = encoder()
    program = ops.Program(["int64", "int64"], steps, [25], names=["input_ids", "attention_mask"])
    rng = np.random.default_rng(0)
    for n, length in ((1, 5), (2, 11), (7, 23), (64, 9), (0, 6)):
        ids = rng.integers(0, 50, (n, length))
        mask = (rng.random((n, length)) > 0.2).astype(np.int64)
        mask[:, 0] = 1
        same(program(ids, mask)[0], by_steps(ids, mask))


def test_products_of_floats() -> None:
    w, b = normal(33, 20, scale=0.3), normal(33, seed=1)
    for shape in ((5, 20), (2, 70, 20), (20,), (0, 20)):
        for x in random_order(normal(*shape)):
            exact = x.astype(np.float64) @ w.T.astype(np.float64) + b
            made = once("linear", [x], {"weight": w, "bias": b}, [1])
            assert made.dtype == np.float32
            np.testing.assert_allclose(made, exact, rtol=1e-5, atol=1e-5)
            made = once("linear", [x], {"weight": w, "relu": True}, [1])
            np.testing.assert_allclose(made, np.maximum(exact - b, 0), rtol=1e-5, atol=1e-5)
    for left, right in (
        ((5, 7), (7, 3)),
        ((2, 4, 5, 7), (2, 4, 7, 3)),
        ((2, 1, 5, 7), (4, 7, 3)),
        ((7,), (7,)),
    ):
        x, y = normal(*left), normal(*right, seed=1)
        for a, c in zip(random_order(x), reversed(random_order(y)), strict=False):
            made = once("matmul", [a, c], {}, [2])
            np.testing.assert_allclose(made, x @ y, rtol=1e-5, atol=1e-5)
            same(once("matmul", [a, c], {"grid": GRID}), tensor(once("matmul", [a, c], {}, [2])))
    with pytest.raises(ValueError, match="as deep as the weight"):
        once("linear", [normal(2, 3)], {"weight": w})
    with pytest.raises(ValueError, match="bias"):
        once("linear", [x], {"weight": w, "bias": b[:3]})
