"""Steps that move elements, of arrays and of tensors, in any order of memory."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from program.steps import GRID, conv, linear, normal, once, orders, same, tensor
from quantray import ops

pytestmark = pytest.mark.usefixtures("threads")


def arrays() -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    floats = rng.normal(size=(2, 3, 4, 5)).astype(np.float32)
    return [floats, (floats * 9).astype(np.int64), (floats * 9).astype(np.int32), floats > 0]


MOVES: list[tuple[str, dict, Any]] = [
    ("reshape", {"shape": (6, 20)}, lambda x: x.reshape(6, 20)),
    ("reshape", {"shape": (2, -1, 5)}, lambda x: x.reshape(2, -1, 5)),
    (
        "reshape",
        {"shape": (("in", 0, 0), ("mul", ("in", 0, 1), ("in", 0, -1)), -1)},
        lambda x: x.reshape(2, 15, 4),
    ),
    ("flatten", {"start": 1}, lambda x: x.reshape(2, -1)),
    ("flatten", {"start": 1, "end": 2}, lambda x: x.reshape(2, 12, 5)),
    ("transpose", {}, lambda x: x.T),
    ("transpose", {"axes": (0, 2, 3, 1)}, lambda x: x.transpose(0, 2, 3, 1)),
    ("transpose", {"axes": (3, -3, 0, 2)}, lambda x: x.transpose(3, 1, 0, 2)),
    ("slice", {"index": (slice(None), 1)}, lambda x: x[:, 1]),
    ("slice", {"index": ((None, None, None), -1, (1, None, 2))}, lambda x: x[:, -1, 1::2]),
    ("slice", {"index": (slice(None, None, -1), slice(2, 0, -1))}, lambda x: x[::-1, 2:0:-1]),
    (
        "slice",
        {"index": (None, 0, None, slice(0, ("sub", ("in", 0, 1), 1)))},
        lambda x: x[None, 0, None, 0:2],
    ),
    ("slice", {"index": (slice(1, 3),), "axes": (2,)}, lambda x: x[:, :, 1:3]),
    ("slice", {"index": (slice(5, 9), None)}, lambda x: x[5:9, None]),
    ("flip", {"axes": (1, -1)}, lambda x: np.flip(x, (1, -1))),
    ("flip", {}, np.flip),
    ("unsqueeze", {"axes": (0, -1)}, lambda x: x[None, ..., None]),
    ("squeeze", {}, np.squeeze),
    ("expand", {"shape": (7, -1, 3, 4, 5)}, lambda x: np.broadcast_to(x, (7, 2, 3, 4, 5))),
    ("pad", {"pairs": ((0, 0), (1, 2), (0, 0), (-1, 1)), "value": 1}, None),
]


@pytest.mark.parametrize("case", range(len(MOVES)))
def test_movement(case: int) -> None:
    op, params, expected = MOVES[case]
    for array in arrays():
        for x in orders(array):
            made = once(op, [x], params, [1])
            if op == "pad":
                want = np.pad(x, ((0, 0), (1, 2), (0, 0), (0, 1)), constant_values=1)[..., 1:]
            else:
                want = expected(x)
            same(made, want)
            assert not np.shares_memory(made, x)
    q = tensor(arrays()[0])
    if op != "pad":
        same(once(op, [q], params, [("codes", 1)]).int_repr(), expected(q.int_repr()))
    else:
        padded = once(op, [q], params, [("codes", 1)])
        same(padded, ops.pad(q, (-1, 1, 0, 0, 1, 2), value=1.0))


def test_an_empty_batch_keeps_its_shapes() -> None:
    steps = [
        ("quantize", (0,), 1, {"grid": GRID}),
        ("conv", (1,), 2, {"packed": conv("Conv2d", 3, 8, (3, 3)), "to": GRID}),
        ("reshape", (2,), 3, {"shape": (("in", 0, 0), -1)}),
        ("linear", (3,), 4, {"packed": linear(8 * 4 * 3, 5)}),
        ("reshape", (2,), 5, {"shape": (-1, 4, 2)}),
    ]
    program = ops.Program(["float32"], steps, [4, 3, 5])
    for n in (0, 1, 7):
        a, b, c = program(normal(n, 3, 6, 5))
        assert (a.shape, b.shape, c.shape) == ((n, 5), (n, 96), (12 * n, 4, 2))
