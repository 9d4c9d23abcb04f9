"""NumPy sees the dequantized float32 array, whatever asks for it."""

import operator

import matplotlib as mpl
import numpy as np
import pytest
import quantray as qt
from numpy.testing import assert_array_equal

mpl.use("Agg")
from matplotlib import pyplot as plt

Q = qt.quantize_per_tensor(np.linspace(-2, 3, 12).reshape(3, 4), 0.25, 3, "qint8")
C = qt.quantize_per_channel(np.linspace(-2, 3, 12).reshape(3, 4), [0.5, 0.25, 0.125], [0, 1, 2], 0, "quint8")
PACKED = qt.quantize_per_tensor(np.linspace(-2, 3, 12).reshape(3, 4), 0.5, 4, "quint4x2")
ALL = {"per tensor": Q, "per channel": C, "packed": PACKED, "view": Q[::-1, ::2]}

FUNCTIONS = {
    "mean": np.mean,
    "size": np.size,
    "shape": np.shape,
    "ndim": np.ndim,
    "exp": np.exp,
    "sum axis": lambda x: np.sum(x, axis=0),
    "max keepdims": lambda x: np.max(x, axis=1, keepdims=True),
    "median": np.median,
    "percentile": lambda x: np.percentile(x, [10, 90]),
    "histogram": lambda x: np.histogram(x, bins=5)[0],
    "var": lambda x: np.var(x, ddof=1),
    "concatenate": lambda x: np.concatenate([x, x], axis=1),
    "vstack": lambda x: np.vstack([x, np.ones(np.shape(x))]),
    "where": lambda x: np.where(x > 0, x, 0),
    "clip": lambda x: np.clip(x, -1, 1),
    "dot": lambda x: np.dot(x, np.transpose(x)),
    "einsum": lambda x: np.einsum("ij,kj->ik", x, x),
    "norm": lambda x: np.linalg.norm(x, axis=1),
    "svd": lambda x: np.linalg.svd(x)[1],
    "sort": lambda x: np.sort(x, axis=0),
    "argsort": lambda x: np.argsort(x, axis=None, kind="stable"),
    "unique": np.unique,
    "pad": lambda x: np.pad(x, 1),
    "roll": lambda x: np.roll(x, 2),
    "tile": lambda x: np.tile(x, 2),
    "diff": np.diff,
    "cumsum": np.cumsum,
    "trace": np.trace,
    "outer": lambda x: np.outer(x, x),
    "isclose": lambda x: np.isclose(x, 1),
    "array_equal": lambda x: np.array_equal(x, x),
    "allclose": lambda x: np.allclose(x, np.asarray(x)),
    "nonzero": lambda x: np.nonzero(x)[0],
    "stack": lambda x: np.stack([x, x]),
    "split": lambda x: np.split(x, 3)[1],
    "broadcast_to": lambda x: np.broadcast_to(x, (2, *np.shape(x))),
    "interp": lambda x: np.interp(0.3, [0, 1], np.ravel(x)[:2]),
    "result_type": np.result_type,
    "zeros_like": np.zeros_like,
    "copyto": lambda x: np.copyto(np.zeros(np.shape(x)), x),
    "fft": lambda x: np.fft.rfft(x),
    "add": lambda x: np.add(x, 1),
    "add reduce": lambda x: np.add.reduce(x, axis=0),
    "maximum accumulate": lambda x: np.maximum.accumulate(x, axis=1),
    "multiply outer": lambda x: np.multiply.outer(x, np.float32([1, 2])),
    "reduceat": lambda x: np.add.reduceat(x, [0, 1], axis=0),
    "out": lambda x: np.exp(x, out=np.zeros(np.shape(x), np.float32)),
    "where=": lambda x: np.negative(x, out=np.zeros(np.shape(x)), where=np.asarray(x) > 0),
    "dtype=": lambda x: np.sqrt(np.abs(x), dtype=np.float64),
    "modf": lambda x: np.modf(x)[0],
    "isfinite": np.isfinite,
}


#: These only move elements: they give a QTensor.
MOVES = ["concatenate", "pad", "roll", "sort", "stack", "split", "tile", "broadcast_to", "zeros_like"]
#: Unless channels would be mixed, or compared.
NOT_PER_CHANNEL = ["pad", "roll", "sort"]


@pytest.mark.parametrize("q", ALL.values(), ids=ALL)
@pytest.mark.parametrize("name", FUNCTIONS)
def test_functions_give_what_they_give_for_floats(name, q):
    function = FUNCTIONS[name]
    ours, wanted = function(q), function(q.dequantize())
    stays = name in MOVES and not (q is C and name in NOT_PER_CHANNEL)
    assert isinstance(ours, qt.QTensor) == stays
    assert np.asarray(ours).dtype == np.asarray(wanted).dtype
    assert_array_equal(ours, wanted)


OPERATORS = [
    operator.add,
    operator.sub,
    operator.mul,
    operator.truediv,
    operator.floordiv,
    operator.mod,
    operator.pow,
]
OTHERS = [
    2,
    1.5,
    True,
    np.float32(2),
    np.float64(3),
    np.int8(2),
    np.full(4, 2, np.float32),
    [1, 2, 3, 4],
    np.ones(1),
]


@pytest.mark.parametrize("act", OPERATORS, ids=lambda f: f.__name__)
def test_operators_with_anything_else_give_floats(act):
    for q in (Q, C, PACKED):
        y = qt.quantize_per_tensor(q.dequantize() + np.float32(4), 0.25, 0, "qint32")
        x = y.dequantize()
        for other in OTHERS:
            for ours, wanted in [(act(y, other), act(x, other)), (act(other, y), act(other, x))]:
                assert type(ours) is np.ndarray
                assert ours.dtype == np.float32
                assert_array_equal(ours, wanted.astype(np.float32))


def test_other_operators():
    x = Q.dequantize()
    weights = np.arange(8, dtype=np.float32).reshape(4, 2)
    assert_array_equal(Q @ weights, x @ weights)
    assert_array_equal(weights.T @ Q.T, weights.T @ x.T)
    for act in (operator.neg, operator.pos, operator.abs):
        assert_array_equal(act(Q), act(x), strict=True)
    assert all(map(np.array_equal, divmod(Q, 0.5), divmod(x, np.float32(0.5))))
    assert_array_equal(Q > 1.0, x > 1.0)
    y = np.ones((3, 4))
    y += Q
    assert_array_equal(y, 1 + x)


def test_conversion_to_arrays():
    x = Q.dequantize()
    assert_array_equal(np.asarray(Q), x, strict=True)
    assert_array_equal(np.array(Q, dtype=np.float64), x.astype(float), strict=True)
    assert_array_equal(np.asarray(Q, np.int16), x.astype(np.int16), strict=True)
    with pytest.raises(ValueError, match="copy"):
        np.asarray(Q, copy=False)
    assert not np.shares_memory(np.asarray(Q), Q.int_repr())
    assert_array_equal(np.from_dlpack(Q.int_repr()), Q.int_repr(), strict=True)
    assert memoryview(Q.int_repr()).tolist() == Q.int_repr().tolist()
    assert_array_equal(qt.quantize_per_tensor(Q, 0.25, 3, "qint8").int_repr(), Q.int_repr())


def test_plots():
    figure, axes = plt.subplots(3)
    (line,) = axes[0].plot(Q[0], Q[1])
    assert_array_equal(line.get_xdata(), Q[0].dequantize())
    assert axes[1].hist(Q.ravel(), bins=4)[0].sum() == 12
    assert_array_equal(axes[2].imshow(Q).get_array(), Q.dequantize())
    plt.close(figure)


def test_one_element():
    q = qt.quantize_per_tensor([0.0, 0.444, 1.0], 0.01, 0, "qint8")
    value = np.float32(0.01) * np.float32(44)
    assert float(q[1]) == q[1].item() == q[1:2].item() == value
    assert int(q[2]) == 1
    assert f"{q[1]:.2f}" == "0.44"
    assert bool(q[1]) is True
    assert bool(q[0]) is False
    assert round(float(q[1]), 1) == 0.4
    for act in (float, int, bool, qt.QTensor.item, lambda q: f"{q:.2f}"):
        with pytest.raises((ValueError, TypeError)):
            act(q)


def test_sequences():
    assert len(Q) == 3
    assert (
        [row.tolist() for row in Q]
        == Q.dequantize().tolist()
        == Q.tolist()
        == list(map(list, Q.dequantize()))
    )
    assert float(Q[0, 0]) in Q
    assert 99.0 not in Q
    with pytest.raises(TypeError, match="without dimensions"):
        len(Q[0, 0])
    with pytest.raises(TypeError, match="without dimensions"):
        iter(Q[0, 0])
    assert Q[0, 0].tolist() == Q.dequantize()[0, 0]


def test_hash_is_identity():
    same = Q.clone()
    assert {Q: 1, same: 2}[Q] == 1
    assert len({Q, same, Q}) == 2
    assert hash(Q) == hash(Q)
    assert np.all(same == Q)


@pytest.mark.parametrize("save", [np.save, np.savez, np.savez_compressed])
def test_files_of_numpys_would_lose_the_grid(save, tmp_path):
    with pytest.raises(TypeError, match=r"quantray\.save"):
        save(tmp_path / "a.npz", Q)
    np.savez(tmp_path / "a.npz", q=np.asarray(Q))
    assert_array_equal(np.load(tmp_path / "a.npz")["q"], Q.dequantize())


def test_masked_arrays_are_not_read_through():
    masked = np.ma.array(np.ones(3, np.float32), mask=[0, 1, 0])
    with pytest.raises(TypeError, match=r"without masked elements: use its \.filled"):
        qt.quantize_per_tensor(masked, 0.5, 0, "qint8")
    with pytest.raises(TypeError, match="masked"):
        qt.quantize_per_tensor([0.0, 0.0, 0.0], 0.5, 0, "qint8").copy_(masked)
    assert qt.quantize_per_tensor(np.ma.array([1.0]), 0.5, 0, "qint8").tolist() == [1.0]


def test_code_that_asks_for_a_dtype():
    assert np.dtype(Q.dtype) == np.dtype(qt.qint8) == np.float32
    assert np.zeros(3, Q.dtype).dtype == np.float32
    assert np.can_cast(Q.dtype, np.float64)
    assert np.iinfo(Q.numpy_dtype).max == qt.iinfo(qt.qint8).max == qt.qint8.qmax
    a = np.ma.array(np.ones((3, 4)), mask=np.eye(3, 4))
    assert_array_equal((a + Q).filled(-1), (a + np.asarray(Q)).filled(-1))
    assert np.ma.median(Q) == np.median(np.asarray(Q))


def test_dlpack_is_the_integers():
    assert_array_equal(np.from_dlpack(Q), Q.int_repr())
    assert np.shares_memory(np.from_dlpack(Q), Q.int_repr())


def test_other_libraries_see_the_values():
    da = pytest.importorskip("dask.array")
    lazy = da.from_array(Q, chunks=(2, 2))
    assert_array_equal(lazy.compute(), Q.dequantize())
    assert_array_equal((lazy + 1).compute(), Q.dequantize() + 1)
    assert float(lazy.mean().compute()) == pytest.approx(float(np.mean(Q)))


def test_data_frames_and_estimators_see_the_values():
    pandas = pytest.importorskip("pandas")
    assert_array_equal(pandas.DataFrame(Q).to_numpy(), Q.dequantize())
    assert_array_equal(pandas.Series(Q[0]).to_numpy(), Q[0].dequantize())
    linear = pytest.importorskip("sklearn.linear_model")
    model = linear.LinearRegression().fit(Q, [0.0, 1.0, 2.0])
    plain = linear.LinearRegression().fit(np.asarray(Q), [0.0, 1.0, 2.0])
    assert_array_equal(model.predict(Q), plain.predict(np.asarray(Q)))


@pytest.mark.parametrize("name", ALL)
def test_elements_come_one_after_the_other_from_either_end(name):
    q = ALL[name]
    for made, expected in ((list(q), np.asarray(q)), (list(reversed(q)), np.asarray(q)[::-1])):
        assert_array_equal(np.stack([np.asarray(row) for row in made]), expected)
        assert all(isinstance(row, qt.QTensor) for row in made)
    with pytest.raises(TypeError, match="without dimensions"):
        reversed(qt.quantize_per_tensor(1.0, 0.25, 3, "qint8"))


def test_changes_in_place_by_a_ufunc_say_what_to_write():
    q = Q.clone()
    with pytest.raises(TypeError, match=r"ufunc\.at must be an array of floats.*dequantize"):
        np.add.at(q, (0, 0), 1)
    assert q.equal(Q)
