"""Arrays that threads share and that leave the caches, against the contract's formulas in NumPy: per tensor,
along every axis, in place, from and to memory of any layout."""

import numpy as np
import pytest
import quantray as qt
from contract import CODES, RANGES, along, dequantize, inverse, quantize

LARGE = 2**20 + 7
QPARAMS = [("qint8", 0.031, -7), ("quint8", 0.017, 128), ("qint32", 1e-6, 12345)]
# About a million elements: few long channels, many short ones, one, none; inside, outside and between.
SHAPES = [
    (127, 65, 131),
    (1_048_583, 3),
    (3, 349_529),
    (1, 1_048_577),
    (2, 3, 174_767),
    (1_048_577, 1),
    (5, 0, 3),
]


def values(shape, seed=0):
    """Normal floats with infinities, large ones and halves sown in."""
    rng = np.random.default_rng(seed)
    x = rng.standard_normal(shape, np.float32)
    flat = x.reshape(-1)
    if flat.size:
        flat[rng.integers(0, flat.size, 50)] = np.inf
        flat[rng.integers(0, flat.size, 50)] = -np.inf
        flat[rng.integers(0, flat.size, 50)] = 3e38
        flat[-1], flat[0] = -np.inf, np.inf
    return x


def check_per_tensor(each_kernel, x, dtype, scale, zero_point):
    expected = quantize(x, scale, zero_point, dtype)
    back = dequantize(expected, scale, zero_point)
    for kernel in each_kernel():
        out = np.empty(x.shape, CODES[dtype])
        q = qt.quantize_per_tensor(x, scale, zero_point, dtype)
        into = qt.quantize_per_tensor(x, scale, zero_point, dtype, out=out)
        np.testing.assert_array_equal(q.int_repr(), expected, kernel)
        np.testing.assert_array_equal(out, expected, kernel)
        assert np.shares_memory(into.int_repr(), out)

        floats = np.empty(x.shape, np.float32)
        np.testing.assert_array_equal(q.dequantize(), back, kernel)
        assert q.dequantize(out=floats) is floats
        np.testing.assert_array_equal(floats, back, kernel)


@pytest.mark.parametrize(("dtype", "scale", "zero_point"), QPARAMS)
def test_per_tensor(each_kernel, dtype, scale, zero_point):
    check_per_tensor(each_kernel, values(LARGE), dtype, scale, zero_point)


def test_beyond_the_caches(each_kernel):
    check_per_tensor(each_kernel, values(2**24 + 5), "quint8", 0.02, 100)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("dtype", ["qint8", "quint8", "qint32"])
def test_per_channel(each_kernel, shape, dtype):
    x = values(shape)
    for axis, channels in enumerate(shape):
        rng = np.random.default_rng(axis)
        scales = rng.uniform(1e-3, 0.1, channels)
        zero_points = rng.integers(max(RANGES[dtype][0], -500), min(RANGES[dtype][1], 500) + 1, channels)
        params = along(scales, axis, x.ndim), along(zero_points, axis, x.ndim)
        expected = quantize(x, *params, dtype)
        back = dequantize(expected, *params)
        for kernel in each_kernel():
            out = np.empty(shape, CODES[dtype])
            q = qt.quantize_per_channel(x, scales, zero_points, axis, dtype)
            qt.quantize_per_channel(x, scales, zero_points, axis, dtype, out=out)
            np.testing.assert_array_equal(q.int_repr(), expected, kernel)
            np.testing.assert_array_equal(out, expected, kernel)
            np.testing.assert_array_equal(q.dequantize(), back, kernel)


@pytest.mark.parametrize("shape", SHAPES[:3], ids=str)
def test_fake_quantize(each_kernel, shape):
    x = values(shape)
    dy = np.random.default_rng(1).standard_normal(shape, np.float32)
    for axis in (None, *range(x.ndim)):
        if axis is None:
            scale, zero_point, args = 0.05, 3, (0.05, 3)
            forward, backward = (
                qt.fake_quantize_per_tensor_affine,
                qt.fake_quantize_per_tensor_affine_backward,
            )
        else:
            rng = np.random.default_rng(axis)
            scales, zeros = rng.uniform(0.01, 0.1, shape[axis]), rng.integers(-8, 8, shape[axis])
            scale, zero_point = along(scales, axis, x.ndim), along(zeros, axis, x.ndim)
            args = scales, zeros, axis
            forward, backward = (
                qt.fake_quantize_per_channel_affine,
                qt.fake_quantize_per_channel_affine_backward,
            )
        with np.errstate(over="ignore"):
            steps = np.rint(x * inverse(scale))
        code = steps.astype(np.float64) + zero_point
        expected = dequantize(np.clip(code, -8, 7), scale, zero_point)
        passed = np.where((code >= -8) & (code <= 7), dy, np.float32(0))
        for kernel in each_kernel():
            np.testing.assert_array_equal(forward(x, *args, -8, 7), expected, kernel)
            np.testing.assert_array_equal(backward(dy, x, *args, -8, 7), passed, kernel)
            inplace = x.copy()
            assert forward(inplace, *args, -8, 7, out=inplace) is inplace
            np.testing.assert_array_equal(inplace, expected, kernel)


@pytest.mark.parametrize("shape", SHAPES[:-1], ids=str)
def test_min_max(each_kernel, shape):
    x = np.random.default_rng(0).standard_normal(shape, np.float32)
    others = [tuple(d for d in range(x.ndim) if d != axis) for axis in range(x.ndim)]
    wanted = [(x.min(axis=axes), x.max(axis=axes)) for axes in others]
    for kernel in each_kernel():
        assert qt.min_max(x) == (x.min(), x.max()), kernel
        for axis, (least, greatest) in enumerate(wanted):
            low, high = qt.min_max(x, axis=axis)
            np.testing.assert_array_equal(low, least, kernel)
            np.testing.assert_array_equal(high, greatest, kernel)


def misaligned(a, by):
    """A copy whose memory begins `by` bytes after an aligned address."""
    memory = np.empty(a.nbytes + 128, np.uint8)
    start = -memory.ctypes.data % 64 + by
    copy = memory[start : start + a.nbytes].view(a.dtype).reshape(a.shape)
    copy[...] = a
    return copy


LAYOUTS = {
    "strided": lambda a: np.repeat(a, 2, axis=-1)[..., ::2],
    "reversed": lambda a: a[::-1].copy()[::-1],
    "fortran": np.asfortranarray,
    "transposed": lambda a: np.ascontiguousarray(a.T).T,
    "a byte off": lambda a: misaligned(a, 1),
    "four bytes off": lambda a: misaligned(a, 4),
    "big endian": lambda a: a.astype(a.dtype.newbyteorder(">")),
    "float64": lambda a: a.astype(np.float64),
    "read-only": lambda a: np.broadcast_to(a, a.shape),
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_input_of_any_layout(each_kernel, layout):
    x = values((1021, 1033))
    given = LAYOUTS[layout](x)
    np.testing.assert_array_equal(given, x)
    before = given.copy()
    scales = np.linspace(0.01, 0.1, 1021)
    of_all, of_rows = quantize(x, 0.02, 3, "qint8"), quantize(x, along(scales, 0, 2), 0, "quint8")
    for kernel in each_kernel():
        q = qt.quantize_per_tensor(given, 0.02, 3, "qint8")
        np.testing.assert_array_equal(q.int_repr(), of_all, kernel)
        np.testing.assert_array_equal(given, before)
        q = qt.quantize_per_channel(given, scales, 0, 0, "quint8")
        np.testing.assert_array_equal(q.int_repr(), of_rows, kernel)


@pytest.mark.parametrize(
    "layout", ["strided", "reversed", "fortran", "transposed", "a byte off", "four bytes off"]
)
@pytest.mark.parametrize(("dtype", "scale", "zero_point"), QPARAMS)
def test_out_of_any_layout(layout, dtype, scale, zero_point):
    x = values((1021, 1033))
    expected = quantize(x, scale, zero_point, dtype)
    out = LAYOUTS[layout](np.zeros(x.shape, CODES[dtype]))
    q = qt.quantize_per_tensor(x, scale, zero_point, dtype, out=out)
    np.testing.assert_array_equal(out, expected)
    assert np.shares_memory(q.int_repr(), out)
    floats = LAYOUTS[layout](np.zeros(x.shape, np.float32))
    assert q.dequantize(out=floats) is floats
    np.testing.assert_array_equal(floats, dequantize(expected, scale, zero_point))


@pytest.mark.parametrize("shift", [0, 1, 17])
def test_out_that_overlaps_the_input(shift):
    memory = values(LARGE + shift)
    x, out = memory[:LARGE], memory[shift:]
    expected = qt.fake_quantize_per_tensor_affine(x.copy(), 0.1, 0, -8, 7)
    qt.fake_quantize_per_tensor_affine(x, 0.1, 0, -8, 7, out=out)
    np.testing.assert_array_equal(out, expected)

    memory = values(LARGE)
    out = memory.view(np.int8)[shift : shift + LARGE]
    expected = quantize(memory, 0.1, 0, "qint8")
    qt.quantize_per_tensor(memory, 0.1, 0, "qint8", out=out)
    np.testing.assert_array_equal(out, expected)

    memory = np.zeros(LARGE, np.float32)
    q = qt.make_per_tensor_quantized_tensor(memory.view(np.int8)[shift : shift + LARGE], 0.1, 0)
    q[:] = values(LARGE)
    expected = q.dequantize()
    np.testing.assert_array_equal(q.dequantize(out=memory), expected)


def test_neighbours_of_the_output_stay(kernels):
    """Nothing is written outside of the output, whatever its length and alignment."""
    x = values(300)
    for n in [*range(70), 127, 128, 129, 255, 256, 257, 300]:
        for offset in (0, 1, 31, 63):
            memory = np.full(512, 77, np.int8)
            qt.quantize_per_tensor(x[:n], 0.05, 0, "qint8", out=memory[offset : offset + n])
            np.testing.assert_array_equal(memory[offset : offset + n], quantize(x[:n], 0.05, 0, "qint8"))
            assert (memory[:offset] == 77).all()
            assert (memory[offset + n :] == 77).all()
            floats = np.full(512, 77, np.float32)
            q = qt.make_per_tensor_quantized_tensor(memory[offset : offset + n], 0.05, 0)
            q.dequantize(out=floats[offset : offset + n])
            np.testing.assert_array_equal(
                floats[offset : offset + n], dequantize(memory[offset : offset + n], 0.05, 0)
            )
            assert (floats[:offset] == 77).all()
            assert (floats[offset + n :] == 77).all()


@pytest.mark.parametrize(
    "positions", [[0], [LARGE - 1], [5, LARGE // 2, LARGE - 1], list(range(1000, 2000))], ids=len
)
@pytest.mark.parametrize("sign", [1, -1])
def test_nan_is_counted_and_found(kernels, positions, sign):
    x = np.zeros(LARGE, np.float32)
    x[positions] = sign * np.float32(np.nan)
    expected = rf"input must not hold NaN.*found {len(positions)}, the first at index {positions[0]};"
    channels = x[: 2**20].reshape(1024, 1024)
    calls = [
        lambda: qt.quantize_per_tensor(x, 0.1, 0, "qint8"),
        lambda: qt.quantize_per_tensor(x, 0.1, 0, "qint32"),
        lambda: qt.quantize_per_tensor(x, 0.1, 0, "quint4x2"),
        lambda: qt.quantize_per_tensor_dynamic(x, "quint8"),
        lambda: qt.quantize_per_tensor(x, 0.1, 0, "qint8", out=np.empty(LARGE, np.int8)),
        lambda: qt.fake_quantize_per_tensor_affine(x, 0.1, 0, 0, 255),
        lambda: qt.min_max(x),
    ]
    for call in calls:
        with pytest.raises(ValueError, match=expected):
            call()
    count = int(np.isnan(channels).sum())
    if count:
        where = tuple(int(i) for i in np.argwhere(np.isnan(channels))[0])
        for axis in (0, 1):
            with pytest.raises(
                ValueError, match=rf"found {count}, the first at index \({where[0]}, {where[1]}\);"
            ):
                qt.quantize_per_channel(channels, 0.1, 0, axis, "qint8")
