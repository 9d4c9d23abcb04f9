"""Creation: codes by the contract from whatever NumPy takes, in any layout; adopted memory; packed dtypes."""

import ml_dtypes
import numpy as np
import pytest
import quantray as qt
from contract import CODES, RANGES, along, dequantize, pack, quantize, quantize_before
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.testing import assert_array_equal

PLAIN, BITS = ["qint8", "quint8", "qint32"], {"quint4x2": 4, "quint2x4": 2}
X = np.linspace(-9, 9, 60).reshape(3, 4, 5)


def misaligned(x):
    memory = np.empty(x.nbytes + 1, np.uint8)[1:].view(x.dtype).reshape(x.shape)
    memory[...] = x
    return memory


LAYOUTS = {
    "C": lambda x: x,
    "Fortran": np.asfortranarray,
    "strided": lambda x: np.repeat(x, 2, 1)[:, ::2],
    "backwards": lambda x: x[::-1, :, ::-1].copy()[::-1, :, ::-1],
    "byte-swapped": lambda x: x.astype(x.dtype.newbyteorder()),
    "misaligned": misaligned,
    "read-only": lambda x: np.broadcast_to(x, x.shape),
    "list": lambda x: x.tolist(),
    "tensor": lambda x: qt.quantize_per_tensor(x, 2.0**-20, 0, "qint32"),
}
KINDS = [
    "float32",
    "float64",
    "float16",
    ml_dtypes.bfloat16,
    ml_dtypes.float8_e4m3fn,
    "int64",
    "int8",
    "bool",
]


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("kind", ["float32", "float64"])
def test_any_layout(layout, kind):
    x = LAYOUTS[layout](X.astype(kind))
    values = x.dequantize() if layout == "tensor" else np.array(x, kind)
    scales, zero_points = [0.1, 0.2, 0.3, 0.4], [0, 5, -5, 127]
    q = qt.quantize_per_tensor(x, 0.1, 3, "qint8")
    assert_array_equal(q.int_repr(), quantize(values, 0.1, 3, "qint8"))
    q = qt.quantize_per_channel(x, scales, zero_points, 1, "qint8")
    wanted = quantize(values, along(scales, 1, 3), along(zero_points, 1, 3), "qint8")
    assert_array_equal(q.int_repr(), wanted)


@pytest.mark.parametrize("kind", KINDS)
def test_any_number(kind):
    x = X.astype(kind)
    values = x.astype(np.float32)
    assert_array_equal(
        qt.quantize_per_tensor(x, 0.1, 3, "quint8").int_repr(), quantize(values, 0.1, 3, "quint8")
    )
    assert qt.quantize_per_tensor(x[0, 0, 0], 0.1, 3, "quint8").shape == ()
    assert qt.quantize_per_tensor(x[:0], 0.1, 3, "quint8").shape == (0, 4, 5)


@pytest.mark.filterwarnings("ignore:all values")
@given(data=st.data())
def test_all_schemes(data):
    shape = data.draw(hnp.array_shapes(min_dims=1, max_dims=3, min_side=0, max_side=9))
    x = data.draw(hnp.arrays(np.float32, shape, elements=st.floats(-50, 50, width=32)))
    dtype = data.draw(st.sampled_from([*PLAIN, *BITS]))
    axis = data.draw(st.integers(-len(shape), len(shape) - 1))
    n, (low, high) = shape[axis], RANGES[dtype]
    scales = np.array(data.draw(st.lists(st.floats(0.01, 9), min_size=n, max_size=n)))
    zeros = np.array(
        data.draw(st.lists(st.integers(max(low, -99), min(high, 99)), min_size=n, max_size=n)), int
    )
    rule = quantize if dtype in PLAIN else quantize_before
    bits = BITS.get(dtype)
    spread = along(scales, axis, len(shape)), along(zeros, axis, len(shape))
    codes = rule(x, *spread, dtype)
    q = qt.quantize_per_channel(x, scales, zeros, axis, dtype)
    assert_array_equal(q.int_repr(), codes if bits is None else pack(codes, bits))
    assert q.q_per_channel_axis() == axis % len(shape)
    if dtype in PLAIN:
        assert_array_equal(q.dequantize(), dequantize(codes, *spread))
        assert_array_equal(q.q_per_channel_scales(), scales)
        assert_array_equal(q.q_per_channel_zero_points(), zeros)
    if dtype in ("quint8", *BITS):
        floats = np.float32(zeros + 0.3)
        spread = along(np.float32(scales), axis, len(shape)), along(floats, axis, len(shape))
        q = qt.quantize_per_channel(x, np.float32(scales), floats, axis, dtype)
        codes = quantize_before(x, *spread, dtype)
        assert q.qscheme() is qt.per_channel_affine_float_qparams
        assert_array_equal(q.int_repr(), codes if bits is None else pack(codes, bits))
        assert_array_equal(q.dequantize(), (codes.astype(np.float32) - spread[1]) * spread[0])
    if n:
        q = qt.quantize_per_tensor(x, scales[0], zeros[0], dtype)
        codes = rule(x, scales[0], zeros[0], dtype)
        assert_array_equal(q.int_repr(), codes if bits is None else pack(codes, bits))
        assert_array_equal(q.dequantize(), dequantize(codes, scales[0], zeros[0]))


@pytest.mark.parametrize(("dtype", "bits"), BITS.items())
def test_packed_codes_of_all_lengths(kernels, dtype, bits):
    for n in range(70):
        x = np.arange(n) * 0.37 - 2
        codes = quantize_before(x, 0.5, 1, dtype)
        q = qt.quantize_per_tensor(x, 0.5, 1, dtype)
        assert_array_equal(q.int_repr(), pack(codes, bits))
        assert_array_equal(q.dequantize(), dequantize(codes, 0.5, 1))
        assert q.tolist() == dequantize(codes, 0.5, 1).tolist()
        assert q.numel() == n
        assert q.nbytes == -(-n * bits // 8)


@pytest.mark.parametrize("dtype", PLAIN)
def test_names_of_dtypes(dtype):
    kind = CODES[dtype]
    for name in (dtype, getattr(qt, dtype), kind, np.dtype(kind), np.dtype(kind).name):
        assert qt.quantize_per_tensor(X, 0.1, 3, name).dtype is getattr(qt, dtype)


def test_several_arrays_at_once():
    made = qt.quantize_per_tensor([X, X[0]], np.array([0.1, 0.2]), np.array([1, 2]), "quint8")
    for q, x, scale, zero_point in zip(made, [X, X[0]], [0.1, 0.2], [1, 2], strict=True):
        assert_array_equal(q.int_repr(), quantize(x, scale, zero_point, "quint8"))
        assert (q.q_scale(), q.q_zero_point()) == (scale, zero_point)


def test_a_scalar_for_all_channels():
    q = qt.quantize_per_channel(X, 0.1, 3, 1, "qint8")
    assert_array_equal(q.q_per_channel_scales(), [0.1] * 4)
    assert_array_equal(q.int_repr(), quantize(X, 0.1, 3, "qint8"))


@pytest.mark.parametrize("layout", ["C", "Fortran", "strided", "backwards"])
def test_out(layout):
    out = LAYOUTS[layout](np.zeros(X.shape, np.int8))
    q = qt.quantize_per_tensor(X, 0.1, 3, "qint8", out=out)
    assert_array_equal(out, quantize(X, 0.1, 3, "qint8"))
    assert np.shares_memory(q.int_repr(), out)
    floats = LAYOUTS[layout](np.zeros(X.shape, np.float32))
    assert q.dequantize(out=floats) is floats
    assert_array_equal(floats, dequantize(out, 0.1, 3))
    assert qt.fake_quantize_per_tensor_affine(floats, 0.5, 0, -9, 9, out=floats) is floats
    assert_array_equal(
        floats, np.float32(0.5) * np.clip(np.rint(dequantize(out, 0.1, 3) * np.float32(2)), -9, 9)
    )


@pytest.mark.parametrize("make", [qt.make_per_tensor_quantized_tensor, qt._make_per_tensor_quantized_tensor])
@pytest.mark.parametrize("kind", [np.int8, np.uint8, np.int32])
def test_memory_is_adopted(make, kind):
    for layout in ("C", "Fortran", "strided", "backwards", "read-only"):
        codes = LAYOUTS[layout](np.arange(60, dtype=kind).reshape(X.shape))
        q = make(codes, 0.5, 7)
        assert np.shares_memory(q.int_repr(), codes)
        assert q.int_repr().flags.writeable == codes.flags.writeable
        assert_array_equal(q.dequantize(), dequantize(codes, 0.5, 7))
        q = qt.make_per_channel_quantized_tensor(codes, [0.5, 1, 2, 4], [0, 1, 2, 3], 1)
        assert np.shares_memory(q.int_repr(), codes)
        assert_array_equal(
            q.dequantize(), dequantize(codes, along([0.5, 1, 2, 4], 1, 3), along(range(4), 1, 3))
        )


def test_a_tensor_is_not_reshaped_with_the_array_that_it_adopted():
    codes = np.arange(6, dtype=np.int8)
    q = qt.make_per_tensor_quantized_tensor(codes, 0.5, 0)
    codes.shape = (2, 3)
    view = q.int_repr()
    view.shape = (3, 2)
    assert q.shape == q.dequantize().shape == (6,)


@pytest.mark.parametrize("axis", [None, 1])
def test_tensors_like_another(axis):
    q = qt.quantize_per_tensor(X, 0.5, 3, "qint8")
    if axis is not None:
        q = qt.quantize_per_channel(X, [0.5, 1, 2, 4], [0, 1, 2, 3], axis, "qint8")
    assert_array_equal(qt.QTensor.zeros_like(q).dequantize(), np.zeros(X.shape))
    assert_array_equal(qt.QTensor.full_like(q, 4.0).dequantize(), np.full(X.shape, 4.0))
    for made in (qt.QTensor.empty_like(q), qt.QTensor.zeros_like(q), qt.QTensor.full_like(q, 1)):
        assert made.quantizer == q.quantizer
        assert made.shape == q.shape
        assert not np.shares_memory(made.int_repr(), q.int_repr())


def test_quantizers_are_values():
    a = qt.PerTensorAffineQuantizer(0.5, 3, "qint8")
    b = qt.PerChannelAffineQuantizer([0.5, 1, 2, 4], [0, 1, 2, 3], 1, "qint8")
    for quantizer, q in [
        (a, qt.quantize_per_tensor(X, 0.5, 3, "qint8")),
        (b, qt.quantize_per_channel(X, [0.5, 1, 2, 4], [0, 1, 2, 3], 1, "qint8")),
    ]:
        made = quantizer.quantize(X)
        assert made.equal(q)
        assert made.quantizer == q.quantizer == quantizer
        assert hash(made.quantizer) == hash(quantizer)
        assert_array_equal(quantizer.dequantize(q.int_repr()), q.dequantize())
        assert eval(repr(quantizer), {**vars(qt), "array": np.array}) == quantizer
    assert a != b
    assert a != qt.PerTensorAffineQuantizer(0.5, 3, "quint8")


@pytest.mark.filterwarnings("ignore:all values of input become 0")
@pytest.mark.parametrize("dtype", ["qint8", "quint8"])
@given(data=st.data())
def test_dynamic_parameters_hold_the_range(dtype, data):
    x = data.draw(hnp.arrays(np.float32, (7,), elements=st.floats(-1000, 1000, width=32)))
    q = qt.quantize_per_tensor_dynamic(x, dtype)
    low, high = (np.float64(min(x.min(), 0)), np.float64(max(x.max(), 0)))
    if high - low > 6.1e-5 * 255:
        assert q.q_scale() == (high - low) / 255
    assert_array_equal(q.int_repr(), quantize(x, q.q_scale(), q.q_zero_point(), dtype))
    assert np.all(np.abs(q.dequantize() - x) <= 0.5001 * q.q_scale())
