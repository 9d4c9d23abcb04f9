"""Pooling of 8-bit images: torch's values, and NumPy's over every kind of window."""

import itertools

import numpy as np
import pytest
import quantray as qt
from golden import cases
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_array_equal

KINDS = {"qint8": np.int8, "quint8": np.uint8}


@cases("ops", lambda case: "pool" in case["op"])
def test_pooling_of_torch(kernels, case):
    q = qt.make_per_tensor_quantized_tensor(case["x0"].copy(), case["x0_scale"], case["x0_zero_point"])
    settings = {k: case[k] for k in ("kernel_size", "stride", "padding", "output_size") if k in case}
    made = getattr(qt.ops, case["op"])(q, **settings)
    assert (made.q_scale(), made.q_zero_point()) == (q.q_scale(), q.q_zero_point())
    if case["exact"]:
        assert_array_equal(made.int_repr(), case["y"], strict=True)
    else:
        assert np.abs(made.int_repr().astype(int) - case["y"]).max() <= 1


def moving(length, kernel, stride, padding, dilation, ceil):
    """For each window the elements it meets, and how many it has with the padding."""
    starts = list(range(-padding, length + padding, stride))
    reach = dilation * (kernel - 1)
    if ceil:
        # torch's rule: as many as begin before the end of the image, and one that reaches over it at most.
        n = -(-(length + 2 * padding - reach - 1) // stride) + 1
        starts = [s for s in starts[:n] if s < length]
    else:
        starts = [s for s in starts if s + reach < length + padding]
    meets = [[s + dilation * i for i in range(kernel) if 0 <= s + dilation * i < length] for s in starts]
    return meets, [min(s + kernel, length + padding) - s for s in starts]


def pooled(x, axes, of):
    """`of(values, sizes)` of each window: values have the channels first."""
    shape = [len(meets) for meets, _ in axes]
    out = np.empty((*x.shape[:2], *shape), np.int64)
    for at in itertools.product(*map(range, shape)):
        picked = x
        for axis, i in enumerate(at):
            picked = np.take(picked, axes[axis][0][i], axis=2 + axis)
        size = np.prod([axes[axis][1][i] for axis, i in enumerate(at)])
        out[(..., *at)] = of(picked.reshape(*x.shape[:2], int(np.prod(picked.shape[2:]))), size)
    return out


@st.composite
def problems(draw):
    dims = draw(st.integers(1, 3))
    rng = np.random.default_rng(draw(st.integers(0, 999)))
    dtype = draw(st.sampled_from(list(KINDS)))
    low = -128 if dtype == "qint8" else 0
    lengths = rng.integers(3, [0, 20, 9, 6][dims], dims)
    x = rng.integers(low, low + 256, (draw(st.integers(0, 2)), draw(st.integers(1, 40)), *lengths))
    x = x.astype(KINDS[dtype])
    if draw(st.booleans()):
        x = np.moveaxis(np.ascontiguousarray(np.moveaxis(x, 1, -1)), -1, 1)
    kernel, stride = [int(v) for v in rng.integers(1, 4, dims)], [int(v) for v in rng.integers(1, 4, dims)]
    padding = [int(rng.integers(0, k // 2 + 1)) for k in kernel]
    return dims, rng, x, low + int(rng.integers(0, 256)), kernel, stride, padding, draw(st.booleans())


@given(problems())
def test_maxima_are_numpys(problem):
    dims, rng, x, zero, kernel, stride, padding, ceil = problem
    room = [n + 2 * p for n, p in zip(x.shape[2:], padding, strict=True)]
    dilation = [
        int(rng.integers(1, 1 + max(1, (n - 1) // max(1, k - 1)))) for n, k in zip(room, kernel, strict=True)
    ]
    q = qt.make_per_tensor_quantized_tensor(x, 0.1, zero)
    made = getattr(qt.ops, f"max_pool{dims}d")(q, kernel, stride, padding, dilation, ceil)
    axes = [moving(*a, ceil) for a in zip(x.shape[2:], kernel, stride, padding, dilation, strict=True)]
    least = np.iinfo(x.dtype).min
    want = pooled(x, axes, lambda v, _: v.max(-1, initial=least))
    assert_array_equal(made.int_repr(), want)


@pytest.mark.parametrize("images", [1, 2, 5])
@pytest.mark.parametrize("channels", [1, 20])
def test_a_window_may_lie_on_both_sides_of_the_only_plane(images, channels, rng):
    x = rng.integers(-128, 128, (images, channels, 1, 2, 3)).astype(np.int8)
    q = qt.make_per_tensor_quantized_tensor(x, 0.1, 5)
    made = qt.ops.max_pool3d(q, (2, 1, 1), 1, (1, 0, 0), (2, 1, 1))
    assert_array_equal(made.int_repr(), np.full_like(x, -128))


@given(problems(), st.booleans(), st.sampled_from([None, 3, -2]))
def test_averages_are_numpys(problem, count, divisor):
    dims, _, x, zero, kernel, stride, padding, ceil = problem
    q = qt.make_per_tensor_quantized_tensor(x, 0.1, zero)
    made = getattr(qt.ops, f"avg_pool{dims}d")(q, kernel, stride, padding, ceil, count, divisor)
    ones = [1] * dims
    axes = [moving(*a, ceil) for a in zip(x.shape[2:], kernel, stride, padding, ones, strict=True)]
    info = np.iinfo(x.dtype)

    def of(values, size):
        sums = (values.astype(np.int64) - zero).sum(-1)
        size = divisor or (size if count else values.shape[-1])
        return np.clip(np.rint(sums.astype(np.float32) / np.float32(size)) + zero, info.min, info.max)

    assert_array_equal(made.int_repr(), pooled(x, axes, of))


@given(problems(), st.booleans(), st.sampled_from([None, 3]), st.floats(0.01, 2.0), st.integers(0, 255))
def test_averages_on_a_grid_of_their_own_are_rounded_once(problem, count, divisor, scale, y_zero):
    dims, _, x, zero, kernel, stride, padding, ceil = problem
    q = qt.make_per_tensor_quantized_tensor(x, 0.1, zero)
    info = np.iinfo(x.dtype)
    to = {"scale": scale, "zero_point": y_zero + info.min}
    ratio = np.float64(np.float32(0.1)) / np.float64(np.float32(scale))

    def of(values, size):
        sums = (values.astype(np.int64) - zero).sum(-1).astype(np.float32)
        steps = sums * np.float32(ratio / size) if size else sums * 0
        return np.clip(np.rint(steps) + to["zero_point"], info.min, info.max)

    made = getattr(qt.ops, f"avg_pool{dims}d")(q, kernel, stride, padding, ceil, count, divisor, **to)
    ones = [1] * dims
    axes = [moving(*a, ceil) for a in zip(x.shape[2:], kernel, stride, padding, ones, strict=True)]
    sized = lambda v, size: of(v, divisor or (size if count else v.shape[-1]))  # noqa: E731
    assert_array_equal(made.int_repr(), pooled(x, axes, sized))
    assert (made.q_scale(), made.q_zero_point()) == (scale, to["zero_point"])
    if x.size:
        made = getattr(qt.ops, f"adaptive_avg_pool{dims}d")(q, 1, **to)
        flat = x.reshape(*x.shape[:2], -1)
        assert_array_equal(made.int_repr().reshape(x.shape[:2]), of(flat, flat.shape[-1]))


def test_grids_of_averages_are_checked():
    q = qt.quantize_per_tensor(np.ones((1, 2, 4, 4)), 0.1, 0, qt.quint8)
    with pytest.raises(ValueError, match=r"zero_point .* given with scale"):
        qt.ops.avg_pool2d(q, 2, zero_point=3)
    with pytest.raises(ValueError, match="scale"):
        qt.ops.adaptive_avg_pool2d(q, 1, scale=0.0)
    with pytest.raises(ValueError, match="zero_point"):
        qt.ops.adaptive_avg_pool2d(q, 1, scale=0.1, zero_point=300)
    steps = [("adaptive_avg_pool", (0,), 1, {"output_size": [1, 1], "grid": (0.1, 0, qt.qint8)})]
    with pytest.raises(ValueError, match="quint8, as the input is"):
        qt.ops.Program(["quint8"], steps, [1])(q)


@given(problems(), st.data())
def test_adaptive_windows_cover_an_axis_evenly(problem, data):
    dims, _, x, zero, *_ = problem
    size = [data.draw(st.sampled_from([None, 1, 2, 3, 7])) for _ in range(dims)]
    axes = []
    for length, n in zip(x.shape[2:], size, strict=True):
        n = n or length
        meets = [list(range(i * length // n, -(-(i + 1) * length // n))) for i in range(n)]
        axes.append((meets, [len(m) for m in meets]))
    q = qt.make_per_tensor_quantized_tensor(x, 0.1, zero)
    made = getattr(qt.ops, f"adaptive_max_pool{dims}d")(q, size)
    assert_array_equal(made.int_repr(), pooled(x, axes, lambda v, _: v.max(-1)))
    made = getattr(qt.ops, f"adaptive_avg_pool{dims}d")(q, size)
    mean = lambda v, n: np.rint((v.astype(np.int64) - zero).sum(-1).astype(np.float32) / np.float32(n)) + zero  # noqa: E731
    assert_array_equal(made.int_repr(), pooled(x, axes, mean))


@pytest.mark.parametrize("channels", [1, 2, 7, 15, 16, 17, 31, 32, 33, 48, 63, 64, 65, 100, 129])
@pytest.mark.parametrize("last", [True, False])
def test_every_number_of_channels(kernels, rng, channels, last):
    for images, lengths in ((70, (8, 8)), (3, (7, 9)), (1, (30, 31))):
        x = rng.integers(0, 256, (images, channels, *lengths), np.uint8)
        if last:
            x = np.moveaxis(np.ascontiguousarray(np.moveaxis(x, 1, -1)), -1, 1)
        q = qt.make_per_tensor_quantized_tensor(x, 0.1, 100)
        for kernel, stride, padding in ((2, 2, 0), (3, 2, 1), (3, 1, 1), (2, 3, 0), (4, 4, 2)):
            room = [(n + 2 * padding - kernel) // stride + 1 for n in lengths]
            pads = [(0, 0), (0, 0), (padding, padding), (padding, padding)]
            slid = np.lib.stride_tricks.sliding_window_view
            step = (slice(None), slice(None), slice(None, None, stride), slice(None, None, stride))
            views = slid(np.pad(x, pads), (kernel, kernel), (2, 3))[step]
            made = qt.ops.max_pool2d(q, kernel, stride, padding).int_repr()
            assert made.shape == (images, channels, *room)
            assert_array_equal(made, views.max((-1, -2)))
            sums = slid(np.pad(x.astype(int) - 100, pads), (kernel, kernel), (2, 3))[step].sum((-1, -2))
            made = qt.ops.avg_pool2d(q, kernel, stride, padding).int_repr()
            assert_array_equal(made, np.rint(sums / kernel**2) + 100)


@pytest.mark.parametrize("last", [True, False])
def test_results_lie_as_their_input_does(rng, last):
    x = rng.integers(0, 256, (2, 20, 8, 8), np.uint8)
    if last:
        x = np.moveaxis(np.ascontiguousarray(np.moveaxis(x, 1, -1)), -1, 1)
    made = qt.ops.max_pool2d(qt.make_per_tensor_quantized_tensor(x, 0.1, 0), 2).int_repr()
    assert np.moveaxis(made, 1, -1).flags.c_contiguous == last
    assert made.flags.c_contiguous != last


@pytest.mark.parametrize("lengths", [(16, 8), (43, 3), (11, 12), (127, 1), (300, 300)])
@pytest.mark.parametrize("channels", [1, 17])
def test_sums_are_as_wide_as_windows_need(kernels, lengths, channels):
    for code in (-128, 127):
        x = np.full((1, channels, *lengths), code, np.int8)
        made = qt.ops.adaptive_avg_pool2d(qt.make_per_tensor_quantized_tensor(x, 0.1, -code - 1), 1)
        assert_array_equal(made.int_repr().ravel(), np.full(channels, code))


def test_large_windows_do_not_overflow():
    x = np.full((1, 1, 3000, 3000), 255, np.uint8)
    q = qt.make_per_tensor_quantized_tensor(x, 0.1, 0)
    assert qt.ops.adaptive_avg_pool2d(q, 1).int_repr().item() == 255
    assert qt.ops.adaptive_avg_pool2d(q, 1).shape == (1, 1, 1, 1)


def test_without_images_and_into_out(rng):
    x = rng.integers(0, 256, (3, 8, 8)).astype(np.uint8)
    q = qt.make_per_tensor_quantized_tensor(x, 0.1, 0)
    out = np.empty((3, 4, 4), np.uint8)
    made = qt.ops.max_pool2d(q, 2, out=out)
    assert_array_equal(out, x.reshape(3, 4, 2, 4, 2).max((2, 4)))
    assert np.shares_memory(made.int_repr(), out)
    assert_array_equal(qt.ops.max_pool2d(q[None], 2).int_repr()[0], out)


X = qt.quantize_per_tensor(np.ones((1, 2, 5, 5)), 0.1, 0, qt.qint8)


@pytest.mark.parametrize(
    ("make", "error", "words"),
    [
        (lambda: qt.ops.max_pool2d(X, 0), ValueError, "kernel_size 0 from 1"),
        (lambda: qt.ops.max_pool2d(X, (2, 2, 2)), ValueError, "kernel_size (2, 2, 2) 2 of them"),
        (lambda: qt.ops.max_pool2d(X, 2, 0), ValueError, "stride 0 from 1"),
        (lambda: qt.ops.max_pool2d(X, 2, 1, 2), ValueError, "padding 2 at most 1"),
        (lambda: qt.ops.max_pool2d(X, 7), ValueError, "input 5 long window reaches there: 7"),
        (lambda: qt.ops.max_pool2d(X[:, :, :0], 1), ValueError, "input 0 long"),
        (lambda: qt.ops.max_pool1d(X, 2), ValueError, "input (1, 2, 5, 5) (N, C, and 1 more)"),
        (lambda: qt.ops.avg_pool2d(X, 2, divisor_override=0), ValueError, "divisor_override 0 another"),
        (lambda: qt.ops.adaptive_avg_pool2d(X, 0), ValueError, "output_size 0 from 1"),
        (lambda: qt.ops.adaptive_avg_pool2d(X, (1, 2, 3)), ValueError, "output_size (1, 2, 3) 2 of them"),
        (lambda: qt.ops.adaptive_max_pool2d(X[:, :, :0], 1), ValueError, "input (1, 2, 0, 5) at least 1"),
        (lambda: qt.ops.max_pool2d(X, 2, out=np.empty((1, 2, 2, 2), np.uint8)), TypeError, "out uint8 int8"),
        (lambda: qt.ops.max_pool2d(np.ones((1, 1, 2, 2)), 2), TypeError, "QTensor"),
    ],
)
def test_bad_input_is_named(make, error, words):
    with pytest.raises(error) as caught:
        make()
    for word in words.split(" "):
        assert word in str(caught.value), (word, str(caught.value))
