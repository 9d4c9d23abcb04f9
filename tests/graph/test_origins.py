"""Lengths of what functions make: the graph that reads them is for inputs of all sizes."""

import numpy as np
import pytest
from numpy.testing import assert_allclose
from quantray import graph, nn
from quantray.nn import functional as F

WEIGHT = np.random.default_rng(0).standard_normal((6, 4)).astype(np.float32)

MAKERS = {
    "reshape": lambda x: np.reshape(x, (x.shape[1], x.shape[0], 2, 2)),
    "method reshape": lambda x: x.reshape(-1, x.shape[1], 4),
    "reshape to one": lambda x: x.reshape(1, -1, 4) * np.ones((3, 1, 1), np.float32),
    "transpose": lambda x: x.transpose(2, 0, 1),
    "T": lambda x: x.T,
    "expand_dims": lambda x: np.expand_dims(x, (0, 2)),
    "new axes": lambda x: x[:, None, ..., None],
    "one of an axis": lambda x: x[0] + x[:, -1:][1],
    "parts of axes": lambda x: x[1:, ::2],
    "broadcast": lambda x: x[:, None] * x[None],
    "broadcast of lengths": lambda x: x[:1] + x[:, :1],
    "broadcast with a number": lambda x: (x + 2.0) / np.float32(3),
    "where": lambda x: np.where(x > 0, x, 0.0),
    "softmax": lambda x: F.softmax(x, dim=-1),
    "linear": lambda x: F.linear(x, WEIGHT),
    "matmul": lambda x: x @ WEIGHT.T,
    "matmul of two": lambda x: x @ np.swapaxes(x, 1, 2),
    "embedding": lambda x: F.embedding((x > 0).astype(np.int64), WEIGHT),
    "concatenate": lambda x: np.concatenate([x, x[:, :1], x], axis=1),
    "concatenate along the last": lambda x: np.concatenate((x, x[..., :2]), -1),
    "in place": lambda x: _twice_in_place(x),
}


def _twice_in_place(x):
    y = x.transpose(1, 0, 2).copy()
    y[0] *= 2
    return y


def lengths_of(make):
    def forward(x):
        y = make(x)
        # Lengths as numbers of a product, and as a shape.
        factor = y.shape[0] + 10 * y.shape[1] + 100 * y.shape[-1]
        return y * factor, y.reshape(y.shape[-1], -1, y.shape[0])

    return forward


@pytest.mark.parametrize("name", MAKERS)
@pytest.mark.parametrize("first", [(2, 3, 4), (3, 2, 4), (5, 5, 4)])
def test_like_numpy_at_other_sizes(name, first, rng):
    forward = lengths_of(MAKERS[name])
    found = graph.capture(forward, (rng.standard_normal(first).astype(np.float32),))
    assert found.guards == ()
    for rows, columns in ((2, 3), (4, 2), (3, 7), (2, 2)):
        x = rng.standard_normal((rows, columns, 4)).astype(np.float32)
        made = graph.run(graph.normalize(found), {"x": x}, None)
        for mine, wanted in zip(made, forward(x), strict=True):
            assert_allclose(mine, wanted, rtol=1e-5, atol=1e-5)


def test_a_number_that_a_reshape_sets_is_no_length():
    class Heads(nn.Module):
        def forward(self, x):
            heads = x.reshape(x.shape[0], x.shape[1], 2, -1)
            assert type(heads.shape[2]) is int
            # A decision by it is taken for granted by nobody.
            return heads * 2 if heads.shape[2] == 2 else heads

    found = graph.capture(Heads(), (np.ones((2, 3, 4), np.float32),))
    assert found.guards == ()


@pytest.mark.parametrize("rows", [1, 3])
def test_questions_that_have_one_answer_are_no_guards(rows):
    def forward(x):
        n = x.shape[0] + x.shape[1]
        if n == -1 or n < 0 or 2 * x.shape[1] <= -2 or not n // 2 >= 0:
            return x
        return x + 1

    assert graph.capture(forward, (np.ones((rows, 4), np.float32),)).guards == ()
