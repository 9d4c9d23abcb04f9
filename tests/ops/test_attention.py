"""Self-attention in integers: near the float formula, the same bits everywhere, masks, errors."""

import numpy as np
import pytest
import quantray as qt
from numpy.testing import assert_array_equal

SHAPES = [(1, 1, 1, 1), (1, 5, 1, 3), (2, 16, 3, 32), (3, 77, 2, 7), (1, 130, 4, 64)]


def exact(qkv, heads, mask=0.0):
    """The formula in float64."""
    n, length, wide = qkv.shape
    cut = lambda x: x.reshape(n, length, heads, -1).transpose(0, 2, 1, 3)  # noqa: E731
    q, k, v = map(cut, np.split(qkv.astype(np.float64), 3, -1))
    scores = q @ k.swapaxes(-1, -2) / np.sqrt(q.shape[-1]) + mask
    powers = np.exp(scores - scores.max(-1, keepdims=True))
    mixed = powers / powers.sum(-1, keepdims=True) @ v
    return mixed.transpose(0, 2, 1, 3).reshape(n, length, wide // 3)


def rows(shape, seed=0):
    n, length, heads, width = shape
    return np.random.default_rng(seed).standard_normal((n, length, 3 * heads * width), dtype=np.float32)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("masked", [False, True])
def test_is_near_the_formula(kernels, rng, shape, masked):
    n, length, heads, _ = shape
    qkv = rows(shape)
    mask = np.where(rng.random((n, 1, length, length)) < 0.3, -np.inf, rng.normal(size=(length, length)))
    mask[..., 0] = 0
    y = qt.ops.self_attention(qkv, heads, mask if masked else None)
    expected = exact(qkv, heads, mask if masked else 0.0)
    assert y.dtype == np.float32
    # A step is a 127th of the greatest magnitude, some 3 deviations: 1 % of them in each of three products.
    assert np.sqrt(np.mean((y - expected) ** 2)) < 0.03 * expected.std() + 0.01
    assert np.abs(y - expected).max() < 0.1


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_has_the_same_bits_on_every_instruction_set(shape):
    before = qt.cpu_info()
    found = []
    for isa in before["available"]:
        qt.set_isa(isa)
        found.append(qt.ops.self_attention(rows(shape), shape[2]))
    qt.set_isa(before["isa"])
    for y in found[1:]:
        assert_array_equal(y, found[0])


def test_a_query_that_sees_one_key_gets_its_value(kernels):
    """Weights are 255 of 255 there: what is left is the rounding of values."""
    qkv = rows((1, 9, 2, 8))
    mask = np.where(np.eye(9, dtype=bool), 0.0, -np.inf)
    values = qkv[..., 32:]
    steps = np.abs(values).max(1, keepdims=True) / 127
    assert (np.abs(qt.ops.self_attention(qkv, 2, mask) - values) <= steps * 0.501).all()


def test_a_query_that_sees_nothing_gets_zeros(kernels):
    mask = np.zeros((9, 9))
    mask[3] = -np.inf
    y = qt.ops.self_attention(rows((2, 9, 2, 8)), 2, mask)
    assert not y[:, 3].any()
    assert y[:, 4].all()


def test_out_and_empty(kernels):
    qkv = rows((2, 9, 2, 8))
    out = np.empty((2, 9, 16), np.float32)
    assert qt.ops.self_attention(qkv, 2, out=out) is out
    assert_array_equal(out, qt.ops.self_attention(qkv, 2))
    assert_array_equal(qt.ops.self_attention(np.zeros((1, 4, 12)), 2), np.zeros((1, 4, 4)))
    assert qt.ops.self_attention(np.zeros((0, 4, 12)), 2).shape == (0, 4, 4)
    assert qt.ops.self_attention(np.zeros((2, 0, 12)), 2).shape == (2, 0, 4)


def test_errors():
    qkv = rows((2, 9, 2, 8))
    with pytest.raises(ValueError, match=r"^num_heads must be at least 1, and divide a third"):
        qt.ops.self_attention(qkv, 5)
    with pytest.raises(ValueError, match=r"^qkv must be of shape \(N, L, 3 \* E\), got \(9, 48\)"):
        qt.ops.self_attention(qkv[0], 2)
    with pytest.raises(ValueError, match=r"^mask must be of a shape that broadcasts"):
        qt.ops.self_attention(qkv, 2, np.zeros(3))
    for wrong in (np.nan, np.inf):
        for at in ((0, 0, 0), (1, 8, 20), (1, 3, 47)):
            bad = qkv.copy()
            bad[at] = wrong
            with pytest.raises(ValueError, match=rf"^qkv\[{at[0]}, {at[1]}, {at[2]}\] must be finite"):
                qt.ops.self_attention(bad, 2)
