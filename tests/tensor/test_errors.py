"""Bad input raises early, names the argument and what is valid, and changes nothing; nothing panics."""

import contextlib
import inspect

import numpy as np
import pytest
import quantray as qt
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.testing import assert_array_equal

X = np.ones((2, 3), np.float32)
Q = qt.quantize_per_tensor(X, 0.5, 0, "qint8")
C = qt.quantize_per_channel(X, [0.5, 0.25, 1], [0, 1, 2], 1, "qint8")
READ_ONLY = np.zeros((2, 3), np.int8)
READ_ONLY.flags.writeable = False


def per_tensor(x=X, scale=0.5, zero_point=0, dtype="qint8", **more):
    return qt.quantize_per_tensor(x, scale, zero_point, dtype, **more)


def per_channel(x=X, scales=(0.5, 0.25, 1), zero_points=(0, 1, 2), axis=1, dtype="qint8", **more):
    return qt.quantize_per_channel(x, scales, zero_points, axis, dtype, **more)


ERRORS = [
    (lambda: per_tensor(scale=0), ValueError, r"scale must be positive and finite.*got 0"),
    (lambda: per_tensor(scale=-1.5), ValueError, r"scale must be positive.*got -1.5"),
    (lambda: per_tensor(scale=np.nan), ValueError, r"scale must be positive.*got NaN"),
    (lambda: per_tensor(scale=np.inf), ValueError, r"scale must be positive.*got inf"),
    (lambda: per_tensor(scale=1e-40), ValueError, r"scale must be .*at least 1\.175.*got 1e-40"),
    (lambda: per_tensor(scale="a"), TypeError, r"scale must be a number, got 'a'"),
    (lambda: per_tensor(scale=None), TypeError, r"scale"),
    (
        lambda: per_tensor(zero_point=128),
        ValueError,
        r"zero_point must be a code of qint8, -128 to 127, got 128",
    ),
    (lambda: per_tensor(zero_point=-1, dtype="quint8"), ValueError, r"zero_point .*quint8, 0 to 255, got -1"),
    (lambda: per_tensor(zero_point=2**80), ValueError, r"zero_point must be .*got 1208925"),
    (lambda: per_tensor(zero_point=1.5), TypeError, r"zero_point must be an integer, got 1.5"),
    (lambda: per_tensor(dtype="int9"), (TypeError, ValueError), r"dtype must be .*qint8.*got .*int9"),
    (lambda: per_tensor(dtype=np.float32), (TypeError, ValueError), r"dtype must be .*qint8.*float32"),
    (lambda: per_tensor(dtype=None), (TypeError, ValueError), r"dtype must be .*qint8"),
    (lambda: per_tensor(x=[1.0, np.nan]), ValueError, r"input must not hold NaN.*found 1, .*index \(?1"),
    (lambda: per_tensor(x=["a"]), TypeError, r"input must be .*real numbers.*got dtype <U1"),
    (lambda: per_tensor(x=[1j]), TypeError, r"input must be .*real numbers.*complex"),
    (lambda: per_tensor(x=[None]), TypeError, r"input must be .*real numbers.*object"),
    (lambda: per_tensor(x=[[1], [1, 2]]), ValueError, r"input must be .*numpy.asarray"),
    (lambda: per_tensor(x=np.array(["2020"], "M8")), TypeError, r"input must be .*datetime"),
    (
        lambda: per_tensor(out=np.zeros((3, 2), np.int8)),
        ValueError,
        r"out must be of shape \(2, 3\), got \(3, 2\)",
    ),
    (
        lambda: per_tensor(out=np.zeros((2, 3), np.uint8)),
        TypeError,
        r"out must be of dtype int8, got dtype uint8",
    ),
    (lambda: per_tensor(out=READ_ONLY), ValueError, r"out must be writable, got a read-only array"),
    (lambda: per_tensor(out=[1]), TypeError, r"out must be a NumPy array of int8, got list"),
    (lambda: per_channel(scales=(1, 2)), ValueError, r"scales must be .*3.*got 2|as many .*got 2"),
    (
        lambda: per_channel(scales=(1, 2), zero_points=(0, 0)),
        ValueError,
        r"scales must be .*as many.*axis 1, 3, got 2",
    ),
    (lambda: per_channel(scales=(1, 0, 1)), ValueError, r"scales\[1\] must be positive.*got 0"),
    (lambda: per_channel(scales=[[1, 1, 1]]), ValueError, r"scales must be .*dimension.*got"),
    (
        lambda: per_channel(zero_points=(0, 1, 300)),
        ValueError,
        r"zero_points\[2\] must be .*-128 to 127, got 300",
    ),
    (lambda: per_channel(axis=2), IndexError, r"axis must be in -2 to 1 for 2 dimensions, got 2"),
    (lambda: per_channel(x=1.0), IndexError, r"axis must be an axis of the input, which has no dimensions"),
    (lambda: per_channel(zero_points=(0.5, 0, 0)), (TypeError, ValueError), r"quint8.*got qint8"),
    (lambda: qt.quantize_per_tensor_dynamic([np.inf, 0], "qint8"), ValueError, r"input must be finite.*inf"),
    (lambda: qt.quantize_per_tensor_dynamic([np.nan], "qint8"), ValueError, r"input .*NaN"),
    (lambda: qt.make_per_tensor_quantized_tensor(np.zeros(3), 1, 0), TypeError, r"int8.*float64"),
    (lambda: qt.make_per_tensor_quantized_tensor(np.zeros(3, int), 1, 0), TypeError, r"astype\(np\.u?int8\)"),
    (lambda: qt.make_per_tensor_quantized_tensor([1, 2], 1, 0), TypeError, r"array.*list"),
    (
        lambda: qt.fake_quantize_per_tensor_affine(X, 1, 0, 3, -3),
        ValueError,
        r"quant_min must be at most quant_max",
    ),
    (
        lambda: qt.fake_quantize_per_tensor_affine(X, 1, 5, -3, 3),
        ValueError,
        r"zero_point must be .*-3.*3, got 5",
    ),
    (lambda: qt.fake_quantize_per_tensor_affine([np.nan], 1, 0, -3, 3), ValueError, r"NaN"),
    (
        lambda: Q.dequantize(out=np.zeros((2, 3))),
        TypeError,
        r"out must be of dtype float32, got dtype float64",
    ),
    (
        lambda: Q.q_per_channel_scales(),
        ValueError,
        r"q_per_channel_scales\(\) does not exist for per_tensor_affine",
    ),
    (
        lambda: C.q_scale(),
        ValueError,
        r"q_scale\(\) does not exist for per_channel_affine.*q_per_channel_scales",
    ),
    (lambda: Q.item(), ValueError, r"one element"),
    (lambda: bool(Q), ValueError, r"(?i)truth value|one element"),
    (lambda: Q.size(2), IndexError, r"dim must be in -2 to 1.*got 2"),
    (lambda: Q.sum(2), IndexError, r"dim must be in -2 to 1.*got 2"),
    (lambda: Q.sum(0, axis=0), TypeError, r"axis.*dim"),
    (lambda: Q.sort(5), IndexError, r"dim must be in -2 to 1.*got 5"),
    (lambda: Q.topk(4), ValueError, r"k must be from 0 to the length of the axis, 3, got 4"),
    (lambda: Q.topk(-1), ValueError, r"k must be from 0.*got -1"),
    (lambda: C.sort(1), ValueError, r"mix channels.*dequantize\(\)"),
    (lambda: Q.clamp(), ValueError, r"min.*max"),
    (lambda: Q.clamp(np.nan), ValueError, r"min.*NaN|NaN"),
    (lambda: Q.requantize(0, 0, "qint8"), ValueError, r"scale must be positive"),
    (lambda: qt.cat([]), ValueError, r"tensors must be .*at least one"),
    (lambda: qt.cat([Q, X]), TypeError, r"tensors.*QTensor"),
    (lambda: qt.cat([Q, Q[0]]), ValueError, r"tensors.*shape|dimension"),
    (lambda: qt.cat([Q, Q], 2), IndexError, r"dim must be in -2 to 1.*got 2"),
    (lambda: qt.stack([Q, Q[:1]]), ValueError, r"tensors.*shape"),
    (lambda: qt.where([True, False], Q, 0), ValueError, r"condition|broadcast"),
    (lambda: qt.set_num_threads(0), ValueError, r"num_threads must be at least 1, got 0"),
    (lambda: qt.set_num_threads("a"), TypeError, r"num_threads"),
    (
        lambda: qt.set_isa("sse9"),
        ValueError,
        r"name must be an instruction set of this CPU: scalar.*got .*sse9",
    ),
    (lambda: qt.load("/nowhere/at.all"), OSError, r"/nowhere/at.all"),
    (lambda: qt.PerTensorAffineQuantizer(-1, 0, "qint8"), ValueError, r"scale must be positive"),
    (lambda: qt.PerChannelAffineQuantizer([1, 2], [0], 0, "qint8"), ValueError, r"zero_points must be .*2"),
    (lambda: qt.set_printoptions(precision=-1), (ValueError, OverflowError), r"precision|negative"),
]


@pytest.mark.parametrize(("act", "error", "says"), ERRORS)
def test_messages_name_the_argument_and_what_is_valid(act, error, says):
    codes, channels = Q.int_repr().copy(), C.int_repr().copy()
    with pytest.raises(error, match=f"(?s){says}"):
        act()
    assert_array_equal(Q.int_repr(), codes)
    assert_array_equal(C.int_repr(), channels)
    assert not READ_ONLY.any()


@pytest.mark.parametrize("bad", [{"scale": 0}, {"zero_point": 999}, {"x": ["a"]}, {"x": np.ones((2, 4))}])
def test_out_is_left_alone(bad):
    out = np.full((2, 3), 7, np.int8)
    with pytest.raises((ValueError, TypeError)):
        per_tensor(**bad, out=out)
    assert_array_equal(out, 7)


def test_enormous_lengths_are_refused_at_once():
    huge = np.broadcast_to(np.int8(0), (2**40, 2**20))
    q = qt.make_per_tensor_quantized_tensor(huge, 1.0, 0)
    assert q.shape == (2**40, 2**20)
    assert q[-1, 2**20 - 1].item() == 0
    assert q[::2].shape == (2**39, 2**20)
    for act in (q.dequantize, q.clone, q.sum, lambda: q + 1.0, lambda: q.requantize(1, 0, "qint8"), q.tolist):
        with pytest.raises(MemoryError):
            act()
    with pytest.raises(MemoryError):
        per_tensor(np.broadcast_to(np.float32(0), (2**40, 2**20)))


JUNK = [None, True, 0, 1, -1, 2**31, 2**63, 2**64, -(2**70), 0.5, -0.0, np.nan, np.inf, 1j, "", "qint8", b"x"]
JUNK += [[], [[]], (), (1, 2), [1, [2]], {}, np.zeros(0), np.zeros((2, 3)), np.array(None), np.array("a")]
JUNK += [np.ones((3, 2), np.int8), np.int8(3), np.float64(2), X, Q, C, Q[0], Q[:0], qt.qint8, qt.quint4x2]
JUNK += [
    qt.per_tensor_affine,
    slice(None),
    ...,
    np.array([True, False]),
    X.astype(">f4"),
    object(),
    lambda: 0,
]
JUNK += [np.array([1], "M8[s]")]
#: Functions that files, or as much memory as a number says, are made by.
MAKERS = {"save", "load", "rand", "randn", "randint", "zeros", "ones", "full", "empty", "eye", "arange"}
MAKERS |= {"linspace", "randperm", "interpolate"}
FUNCTIONS = [f for n, f in vars(qt).items() if callable(f) and not n.startswith("_") and n not in MAKERS]
FUNCTIONS += [getattr(qt.ops, n) for n in qt.ops.__all__]
LINEAR = qt.ops.PackedLinear(Q)
FUNCTIONS += [LINEAR, LINEAR.dynamic]
METHODS = [
    n for n in dir(qt.QTensor) if n not in ("save", "__class__", "__init_subclass__", "__subclasshook__")
]
SETTINGS = {"set_isa", "set_num_threads", "set_printoptions"}


def accepts(act):
    """Runs it. Any exception is an answer but SystemError, and a panic, which is not an Exception."""
    with np.errstate(all="ignore"), contextlib.suppress(Exception):
        try:
            act()
        except SystemError as e:
            pytest.fail(repr(e))


@pytest.mark.filterwarnings("ignore")
@settings(max_examples=2000, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_junk_never_panics(data):
    args = data.draw(st.lists(st.sampled_from(JUNK), max_size=6))
    if data.draw(st.booleans()):
        function = data.draw(
            st.sampled_from([f for f in FUNCTIONS if getattr(f, "__name__", "") not in SETTINGS])
        )
        if inspect.isclass(function) and issubclass(function, tuple):
            return
        accepts(lambda: function(*args))
    else:
        method = data.draw(st.sampled_from(METHODS))
        q = data.draw(st.sampled_from([Q, C, Q[:0], Q[0, 0]])).clone()
        accepts(lambda: getattr(q, method)(*args))
        assert q.int_repr().shape == q.shape
        q.dequantize()
