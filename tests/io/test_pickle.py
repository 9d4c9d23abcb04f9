"""Tensors travel: pickle, copies, joblib. What is not a tensor's state does not become one."""

import copy
import pickle

import joblib
import numpy as np
import pytest
import quantray as qt

X = np.linspace(-1, 1, 24, dtype=np.float32).reshape(2, 3, 4)
C = {"axis": 1, "scales": [0.1, 0.01, 0.05], "zero_points": [1, 0, 2]}
TENSORS = {
    "per tensor": qt.quantize_per_tensor(X, 0.01, 3, qt.qint8),
    "symmetric": qt.quantize_per_tensor(X, 0.01, 128, qt.quint8, qscheme=qt.per_tensor_symmetric),
    "qint32": qt.quantize_per_tensor(X, 1e-7, 5, qt.qint32),
    "per channel": qt.quantize_per_channel(X, dtype=qt.qint8, **C),
    "float qparams": qt.quantize_per_channel(X, [0.1, 0.01, 0.05], [0.5, 1.5, 2.0], 1, qt.quint8),
    "packed": qt.quantize_per_tensor(X.ravel()[:9], 0.1, 3, qt.quint4x2),
    "packed per channel": qt.quantize_per_channel(X, [0.1, 0.01, 0.05], [0.5, 1.5, 2.0], 1, qt.quint2x4),
    "strided": qt.quantize_per_channel(X, dtype=qt.qint8, **C).T[::-1],
    "0-d": qt.quantize_per_tensor(0.5, 0.01, 3, qt.qint8),
    "empty": qt.quantize_per_tensor(np.zeros((0, 3)), 0.01, 3, qt.qint8),
}
tensors = pytest.mark.parametrize("q", TENSORS.values(), ids=TENSORS.keys())


@tensors
@pytest.mark.parametrize("protocol", range(2, pickle.HIGHEST_PROTOCOL + 1))
def test_pickle(q, protocol):
    back = pickle.loads(pickle.dumps(q, protocol))
    assert back.equal(q)
    assert back.quantizer == q.quantizer
    assert back.dtype is q.dtype
    assert back.qscheme() is q.qscheme()


def test_pickle_lends_its_memory():
    q = TENSORS["per tensor"]
    buffers = []
    data = pickle.dumps(q, protocol=5, buffer_callback=buffers.append)
    assert sum(b.raw().nbytes for b in buffers) == q.nbytes
    back = pickle.loads(data, buffers=buffers)
    assert np.shares_memory(back.int_repr(), q.int_repr())


@tensors
@pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy])
def test_copies_have_memory_of_their_own(q, copied):
    other = copied(q)
    assert other.equal(q)
    assert not np.shares_memory(other.int_repr(), q.int_repr())


@pytest.mark.parametrize(
    "thing",
    [
        qt.qint8,
        qt.quint2x4,
        qt.per_channel_symmetric,
        TENSORS["per tensor"].quantizer,
        TENSORS["strided"].quantizer,
    ],
    ids=repr,
)
def test_parts_pickle(thing):
    back = pickle.loads(pickle.dumps(thing))
    assert back == thing
    assert hash(back) == hash(thing)


def test_values_and_indices_pickle():
    found = TENSORS["per tensor"].max(dim=1)
    back = pickle.loads(pickle.dumps(found))
    assert back.values.equal(found.values)
    np.testing.assert_array_equal(back.indices, found.indices)


@tensors
def test_joblib_file(q, tmp_path):
    joblib.dump(q, tmp_path / "q")
    assert joblib.load(tmp_path / "q").equal(q)


def _shifted(q):
    return q.requantize(0.02, 0)


# joblib's workers warn of their own start-up.
@pytest.mark.filterwarnings("ignore")
def test_joblib_processes():
    q = TENSORS["per tensor"]
    got = joblib.Parallel(n_jobs=2)(joblib.delayed(_shifted)(q) for _ in range(3))
    assert all(g.equal(_shifted(q)) for g in got)


CODES = np.zeros((2, 3), np.int8)
ONE, MANY = [0.1], [0.1, 0.2, 0.3]
ZERO, ZEROS = [0], [0, 0, 0]


@pytest.mark.parametrize(
    "state",
    [
        (CODES, "qint8", "no such scheme", ONE, ZERO, None, None),
        (CODES, "qint7", "per_tensor_affine", ONE, ZERO, None, None),
        (CODES, "quint8", "per_tensor_affine", ONE, ZERO, None, None),
        (CODES.astype(np.float32), "qint8", "per_tensor_affine", ONE, ZERO, None, None),
        (CODES, "qint8", "per_tensor_affine", MANY, ZEROS, None, None),
        (CODES, "qint8", "per_tensor_affine", [-0.1], ZERO, None, None),
        (CODES, "qint8", "per_tensor_affine", ONE, [999], None, None),
        (CODES, "qint8", "per_channel_affine", MANY, ZEROS, None, None),
        (CODES, "qint8", "per_channel_affine", MANY, ZEROS, 0, None),
        (CODES, "qint8", "per_channel_affine", MANY, ZEROS, 7, None),
        (CODES, "qint8", "per_channel_affine", MANY, ZERO, 1, None),
        (CODES.view(np.uint8).ravel(), "quint4x2", "per_tensor_affine", ONE, ZERO, None, [99]),
        (CODES.view(np.uint8).ravel(), "quint4x2", "per_tensor_affine", ONE, ZERO, None, [2**62, 4]),
        (CODES, "qint8", "per_tensor_affine", "scales", ZERO, None, None),
        (None, "qint8", "per_tensor_affine", ONE, ZERO, None, None),
    ],
)
def test_hostile_state_is_refused(state):
    with pytest.raises((ValueError, TypeError, IndexError)):
        qt._core._rebuild(*state)
