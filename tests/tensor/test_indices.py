"""Indices: arrays and masks pick copies, and scales and zero points follow the channels that are left."""

import numpy as np
import pytest
from contract import along
from hypothesis import assume, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.testing import assert_array_equal
from test_views import channel_axis, check, make, tensors


@st.composite
def picks(draw, shape):
    """An index that NumPy makes a copy for: arrays and masks, beside integers, slices and new axes."""
    ndim = len(shape)
    if draw(st.booleans()):
        return draw(hnp.arrays(bool, shape[: draw(st.integers(1, ndim))]))
    n = draw(st.integers(0, 3))

    def item(length):
        kinds = [st.slices(length), st.just(slice(None))]
        if length:
            positions = st.integers(-length, length - 1)
            kinds += [positions, st.lists(positions, min_size=n, max_size=n)]
            kinds += [st.lists(positions, min_size=n, max_size=n).map(lambda i: np.array(i, int)[:, None])]
        return draw(st.one_of(kinds))

    items = [item(length) for length in shape]
    assume(any(isinstance(i, list | np.ndarray) for i in items))
    items = [np.array(i, int) if isinstance(i, list) and not i else i for i in items]
    if draw(st.booleans()):
        items.insert(draw(st.integers(0, ndim)), None)
    return tuple(items)


def lie_along_one_axis(numbers):
    """Whether the numbers of channels change along one axis at most."""
    first = [
        numbers[tuple(slice(None) if k == d else slice(1) for k in range(numbers.ndim))]
        for d in range(numbers.ndim)
    ]
    return numbers.size < 2 or any(np.array_equal(numbers, np.broadcast_to(f, numbers.shape)) for f in first)


@given(tensors(), st.data())
def test_picked_elements_are_a_copy(tensor, data):
    q, model = tensor
    assume(q.ndim)
    key = data.draw(picks(q.shape))
    wanted = model.do(lambda a: a[key])
    axis = channel_axis(q)
    if axis is not None:
        numbers = np.broadcast_to(along(np.arange(q.shape[axis]), axis, q.ndim), q.shape)[key]
        if not lie_along_one_axis(numbers):
            with pytest.raises(ValueError, match=r"dequantize\(\)"):
                q[key]
            return
    got = q[key]
    check(got, wanted)
    assert not np.shares_memory(got.int_repr(), q.int_repr())


C, C_MODEL = make((2, 3, 4), axis=1)
SCALES, ZERO_POINTS = C.q_per_channel_scales(), C.q_per_channel_zero_points()
NONE = np.array([], int)


@pytest.mark.parametrize(
    ("key", "axis", "kept"),
    [
        (np.s_[0], 0, [0, 1, 2]),
        (np.s_[None], 2, [0, 1, 2]),
        (np.s_[..., None], 1, [0, 1, 2]),
        (np.s_[:, 1:], 1, [1, 2]),
        (np.s_[:, ::-2], 1, [2, 0]),
        (np.s_[:, 1:2], 1, [1]),
        (np.s_[:, 1], None, 1),
        (np.s_[0, -1, 2], None, 2),
        (np.s_[:, :0], 1, []),
        (np.s_[:0], 1, [0, 1, 2]),
        (np.s_[:0, 1:], 1, [1, 2]),
        (np.s_[:0, ::-1], 1, [2, 1, 0]),
        (np.s_[:0, 1], None, 1),
        (np.s_[..., :0, None], 1, [0, 1, 2]),
        (np.s_[:, [2, 0, 0]], 1, [2, 0, 0]),
        (np.s_[:, [False, True, True]], 1, [1, 2]),
        (np.s_[:, [1]], 1, [1]),
        (np.s_[[1, 0], 1], None, 1),
        (np.s_[[1, 0], :, [3, 3]], 1, [0, 1, 2]),
        (np.s_[:, NONE], 1, []),
        (np.s_[NONE], 1, [0, 1, 2]),
        (np.s_[NONE, 1], None, 1),
        (np.s_[NONE, 1:], 1, [1, 2]),
    ],
)
def test_the_channels_that_an_index_keeps(key, axis, kept):
    q = C[key]
    assert q.shape == C_MODEL.codes[key].shape
    if axis is None:
        assert (q.q_scale(), q.q_zero_point()) == (SCALES[kept], ZERO_POINTS[kept])
    else:
        assert q.q_per_channel_axis() == axis
        assert_array_equal(q.q_per_channel_scales(), SCALES[kept])
        assert_array_equal(q.q_per_channel_zero_points(), ZERO_POINTS[kept])


def test_a_mask_that_holds_nowhere():
    q = C[C > 1e9]
    assert q.shape == (0,)
    assert q.tolist() == []
