"""Assignment: every value becomes the code that the contract gives it where it lands, or nothing changes."""

import operator
import random

import numpy as np
import pytest
import quantray as qt
from contract import CODES, RANGES, along, dequantize, pack, quantize, quantize_before
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.testing import assert_array_equal

SCALES, ZERO_POINTS = np.array([0.5, 0.25, 0.125]), np.array([0, 10, 100])


def make(dtype="qint8", axis=None, shape=(2, 3, 4)):
    """A tensor of codes 0, 1, 2, ..., and the scale and zero point of each element."""
    codes = (np.arange(np.prod(shape)) % 100).astype(CODES[dtype]).reshape(shape)
    if axis is None:
        q = qt.make_per_tensor_quantized_tensor(codes, 0.5, 3, dtype=dtype)
        return q, np.full(shape, 0.5), np.full(shape, 3)
    q = qt.make_per_channel_quantized_tensor(codes, SCALES, ZERO_POINTS, axis, dtype=dtype)
    spread = [np.broadcast_to(along(p, axis, len(shape)), shape) for p in (SCALES, ZERO_POINTS)]
    return q, *spread


MASK = np.arange(24).reshape(2, 3, 4) % 5 == 0
KEYS = {
    "element": (1, 2, 3),
    "negative": (-1, -1, -1),
    "row": 1,
    "all": ...,
    "new axis": (None, 0),
    "step": (slice(None), slice(None), slice(None, None, 2)),
    "backwards": (slice(None), slice(None, None, -1)),
    "empty": slice(2, None),
    "mask": MASK,
    "mask of rows": np.array([True, False]),
    "index arrays": ([0, 1, 1], [2, 0, 1], [3, 3, 0]),
    "repeated index": ([0, 0, 1, 0],),
    "index array on the middle": (slice(None), [2, 0]),
}
VALUES = {
    "float": 1.3,
    "int": 7,
    "bool": True,
    "infinite": -np.inf,
    "huge": 1e300,
    "float64": np.float64(-0.3),
    "float16": np.float16(2.5),
    "0-d": np.array(4.4),
    "list": [2.2],
    "half to even": 0.25 * 0.5,
}


@pytest.mark.parametrize("value", VALUES.values(), ids=VALUES)
@pytest.mark.parametrize("key", KEYS.values(), ids=KEYS)
@pytest.mark.parametrize(("dtype", "axis"), [("qint8", None), ("quint8", 1), ("qint32", None), ("qint32", 1)])
def test_one_value_for_any_selection(dtype, axis, key, value):
    q, scale, zero_point = make(dtype, axis)
    wanted = q.int_repr().copy()
    wanted[key] = quantize(np.squeeze(value), scale[key], zero_point[key], dtype)
    memory = q.int_repr()
    q[key] = value
    assert_array_equal(memory, wanted)


@given(st.data())
def test_arrays_are_broadcast_and_written_as_numpy_does(data):
    dtype = data.draw(st.sampled_from(["qint8", "quint8", "qint32"]))
    axis = data.draw(st.sampled_from([None, 1]))
    q, scale, zero_point = make(dtype, axis)
    key = data.draw(st.sampled_from(list(KEYS.values())) | hnp.basic_indices(q.shape, allow_newaxis=True))
    shape = scale[key].shape
    keep = data.draw(st.integers(0, len(shape)))
    shape = tuple(n if data.draw(st.booleans()) else 1 for n in shape[len(shape) - keep :])
    kind = data.draw(st.sampled_from([np.float32, np.float64, np.float16, np.int64, np.uint8]))
    x = data.draw(hnp.arrays(kind, shape, elements=st.integers(0, 50)))
    x = x[..., ::-1] if x.ndim and data.draw(st.booleans()) else x
    wanted = q.int_repr().copy()
    wanted[key] = quantize(np.broadcast_to(x, scale[key].shape), scale[key], zero_point[key], dtype)
    q[key] = x.tolist() if x.size and data.draw(st.booleans()) else x
    assert_array_equal(q.int_repr(), wanted)


@pytest.mark.parametrize("axis", [None, 1])
@pytest.mark.parametrize("source", ["same", "other", "dtype", "channels", "packed"])
def test_another_tensor_is_converted(source, axis):
    q, scale, zero_point = make("qint8", axis)
    other = {
        "same": lambda: q.clone(),
        "other": lambda: qt.quantize_per_tensor(np.linspace(-9, 9, 24).reshape(2, 3, 4), 0.07, 5, "qint8"),
        "dtype": lambda: qt.quantize_per_tensor(np.linspace(-9, 9, 24).reshape(2, 3, 4), 0.07, 5, "qint32"),
        "channels": lambda: make("quint8", 1)[0],
        "packed": lambda: qt.quantize_per_tensor(np.ones((2, 3, 4)), 0.3, 1, "quint4x2"),
    }[source]()
    values = other.dequantize()
    q[...] = other
    assert_array_equal(q.int_repr(), quantize(values, scale, zero_point, "qint8"))
    q[0] = other[1] if source != "packed" else other.dequantize()[1]
    assert_array_equal(q.int_repr()[0], quantize(values[1], scale[0], zero_point[0], "qint8"))


@pytest.mark.parametrize("axis", [None, 1])
def test_overlapping_memory(axis):
    for to, of in [(np.s_[1:], np.s_[:-1]), (np.s_[:-1], np.s_[1:]), (np.s_[:], np.s_[::-1])]:
        q, scale, zero_point = make("qint8", axis, (40, 3))
        values = q.dequantize()
        wanted = q.int_repr().copy()
        wanted[to] = quantize(values[of], scale[to], zero_point[to], "qint8")
        q[to] = q[of]
        assert_array_equal(q.int_repr(), wanted)


@given(st.data())
def test_elements_that_share_bytes(data):
    dtype, bits = data.draw(st.sampled_from([("quint4x2", 4), ("quint2x4", 2)]))
    n = data.draw(st.integers(1, 19))
    axis = data.draw(st.sampled_from([None, 0]))
    codes = np.array(data.draw(st.lists(st.integers(0, 2**bits - 1), min_size=n, max_size=n)), np.uint8)
    if axis is None:
        scale, zero_point = np.full(n, 0.5), np.ones(n)
        q = qt.quantize_per_tensor((codes - 1.0) * 0.5, 0.5, 1, dtype)
    else:
        scale, zero_point = np.linspace(0.5, 1, n), np.linspace(0, 1, n)
        values = (codes - zero_point) * scale
        q = qt.quantize_per_channel(values, scale, zero_point, 0, dtype)
    key = data.draw(st.one_of(st.integers(-n, n - 1), st.slices(n), hnp.arrays(bool, n)))
    value = data.draw(st.floats(-3, 12, width=16))
    codes[key] = quantize_before(value, scale[key], zero_point[key], dtype)
    q[key] = value
    assert_array_equal(q.int_repr(), pack(codes, bits))


@pytest.mark.parametrize(
    ("key", "value", "error", "says"),
    [
        (0, np.nan, ValueError, "NaN"),
        (..., [[[1.0, 2, 3, np.nan]]], ValueError, r"value .*NaN.*the first at index \(0, 0, 3\)"),
        (MASK, np.nan, ValueError, "NaN"),
        (..., np.ones(5), ValueError, r"value|broadcast"),
        (MASK, np.ones(4), ValueError, r"value|assign"),
        (0, "1", TypeError, "value must be .*real numbers"),
        (0, 1j, TypeError, "value must be .*real numbers.*complex"),
        (0, None, TypeError, "value must be .*real numbers.*None"),
        (0, [1, [2, 3]], ValueError, "value"),
        (2, 1.0, IndexError, "index 2 is out of bounds"),
        ((0, 0, 0, 0), 1.0, IndexError, "3-dimensional, but 4"),
        ("a", 1.0, IndexError, "only integers"),
        (np.ones((3, 3), bool), 1.0, IndexError, "size of axis"),
    ],
)
@pytest.mark.parametrize("axis", [None, 1])
def test_a_bad_value_changes_nothing(axis, key, value, error, says):
    q, *_ = make("qint8", axis)
    before = q.int_repr().copy()
    with pytest.raises(error, match=f"(?s){says}"):
        q[key] = value
    assert_array_equal(q.int_repr(), before)


def test_read_only_memory_is_not_written_to():
    codes = np.arange(4, dtype=np.int8)
    codes.flags.writeable = False
    q = qt.make_per_tensor_quantized_tensor(codes, 1.0, 0)
    for act in (
        lambda: q.__setitem__(0, 1.5),
        lambda: q.fill_(2),
        lambda: q.copy_(q),
        lambda: q[1:].fill_(0),
    ):
        with pytest.raises(ValueError, match="read-only"):
            act()
    assert_array_equal(codes, [0, 1, 2, 3])
    with pytest.raises(TypeError, match="cannot be deleted"):
        del q[0]


def test_views_and_adopted_arrays_are_the_same_memory():
    codes = np.zeros((3, 4), np.uint8)
    q = qt.make_per_tensor_quantized_tensor(codes, 0.5, 10)
    q[1] = [1, 2, 3, 4]
    q.T[0] = -1.0
    q[::-1, 3].fill_(7)
    q[2:, 1:3].copy_(qt.quantize_per_tensor([0.9, 1.1], 0.1, 0, "qint8"))
    assert_array_equal(codes, [[8, 0, 0, 24], [8, 14, 16, 24], [8, 12, 12, 24]])
    codes[0, 0] = 12
    assert q[0, 0].item() == 1.0


def test_methods_in_place_return_the_tensor():
    q, *_ = make()
    assert q.copy_(np.zeros(4)) is q
    assert q.fill_(1) is q
    assert_array_equal(q.int_repr(), 5)
    with pytest.raises(ValueError, match=r"value must be a single number, got \(2,\)"):
        q.fill_([1, 2])


@pytest.mark.parametrize("dtype", ["qint8", "quint8", "qint32", "quint4x2"])
@pytest.mark.parametrize(
    "act", [operator.iadd, operator.isub, operator.imul, operator.itruediv, operator.ifloordiv, operator.imod]
)
@pytest.mark.parametrize("other", [2, np.float32(1.5), [1.0, 2.0, 0.5, 4.0], "tensor"])
def test_operators_in_place_keep_the_grid(dtype, act, other):
    q = kept = qt.quantize_per_tensor([1.0, 2.0, 0.0, 3.5], 0.5, 1, dtype)
    memory = q.int_repr()
    other = q.clone() + 1.0 if other == "tensor" else other
    plain = {"iadd": np.add, "isub": np.subtract, "imul": np.multiply, "itruediv": np.true_divide}
    plain |= {"ifloordiv": np.floor_divide, "imod": np.remainder}
    wanted = plain[act.__name__](q.dequantize(), np.float32(other))
    q = act(q, other)
    assert q is kept
    assert (q.scale, q.zero_point) == (0.5, 1)
    assert np.shares_memory(q.int_repr(), memory)
    assert q.equal(qt.quantize_per_tensor(wanted, 0.5, 1, dtype))


def test_operators_in_place_saturate_and_check_shapes():
    q = qt.quantize_per_tensor([1.0, 2.0], 0.5, 0, "qint8")
    q += 1000
    assert q.tolist() == [63.5, 63.5]
    with pytest.raises(ValueError, match=r"operand must be one that broadcasts to .*, \(2,\)"):
        q += np.ones((2, 2))
    with pytest.raises(ValueError, match="NaN"):
        q *= np.nan
    assert q.tolist() == [63.5, 63.5]
    rows = qt.quantize_per_channel(np.ones((2, 2)), [0.5, 0.25], [0, 0], 0, "qint8")
    rows[1] += 1
    assert rows.tolist() == [[1.0, 1.0], [2.0, 2.0]]


def test_elements_are_their_own():
    q = qt.quantize_per_tensor(np.arange(12.0), 1.0, 0, "qint8")
    q[0], q[1] = q[1], q[0]
    assert q.tolist()[:3] == [1.0, 0.0, 2.0]
    random.Random(0).shuffle(q)
    assert sorted(q.tolist()) == list(range(12))
    element = q[3]
    element.fill_(50.0)
    assert 50.0 not in q.tolist()
    q[3, ...].fill_(50.0)
    assert q.tolist()[3] == 50.0
    assert [float(e) for e in q] == q.tolist()
    matrix = q.reshape(3, 4)
    assert np.shares_memory(matrix[1].int_repr(), q.int_repr())
    assert np.shares_memory(q.select(0, 1).int_repr(), q.int_repr())


@pytest.mark.parametrize("dtype", ["qint8", "quint8", "qint32"])
def test_what_is_too_large_saturates(dtype):
    q = qt.QTensor.zeros_like(qt.quantize_per_tensor(np.zeros(4), 0.1, 1, dtype))
    q[...] = [np.inf, -np.inf, 3e38, -3e38]
    low, high = RANGES[dtype]
    assert_array_equal(q.int_repr(), [high, low, high, low])
    assert_array_equal(q.dequantize(), dequantize(q.int_repr(), 0.1, 1))
