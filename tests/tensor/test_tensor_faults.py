"""What went wrong once, each with its kind: odd strides, too little memory, interrupts, files of others."""

import os
import signal
import subprocess
import sys
import threading
import time

import numpy as np
import pytest
import quantray as qt
from numpy.testing import assert_array_equal
from quantray import ops
from wrong import WRONG

LENGTH_ONE = {
    "PackedConv2d": lambda q: ops.PackedConv2d(
        qt.make_per_tensor_quantized_tensor(np.ones((2, 4, 1, 1), np.int8), 0.1, 0)
    )(q, 1.0, 0, qt.quint8),
    "max_pool2d": lambda q: ops.max_pool2d(q, 1),
    "avg_pool2d": lambda q: ops.avg_pool2d(q, 1),
    "adaptive_avg_pool2d": lambda q: ops.adaptive_avg_pool2d(q, 1),
    "interpolate": lambda q: ops.interpolate(q, scale_factor=2.0),
    "add": lambda q: ops.add(q, q, 0.2, 0),
    "sigmoid": ops.sigmoid,
    "clamp": lambda q: q.clamp(0.5, 1.0),
    "softmax": ops.softmax,
    "matmul": lambda q: ops.matmul(q, q.transpose(2, 3)),
    "PackedLinear": lambda q: ops.PackedLinear(
        qt.make_per_tensor_quantized_tensor(np.ones((2, 6), np.int8), 0.1, 0)
    )(q, 1.0, 0),
    "quantize": lambda q: qt.quantize_per_tensor(np.asarray(q)[..., ::-1, :], 0.1, 0, "qint8"),
}


@pytest.mark.parametrize("name", LENGTH_ONE)
@pytest.mark.parametrize("key", [np.s_[:, :, ::-1], np.s_[::-1], np.s_[::-1, :, ::-1]])
def test_strides_on_axes_of_length_1_mean_nothing(name, key):
    codes = np.arange(24, dtype=np.uint8).reshape(1, 4, 1, 6)
    plain, odd = (qt.make_per_tensor_quantized_tensor(c, 0.1, 0) for c in (codes, codes[key]))
    assert_array_equal(np.asarray(LENGTH_ONE[name](odd)), np.asarray(LENGTH_ONE[name](plain)))
    huge = np.lib.stride_tricks.as_strided(codes, codes.shape, (2**40, 6, -(2**50), 1))
    odd = qt.make_per_tensor_quantized_tensor(huge, 0.1, 0)
    assert_array_equal(np.asarray(LENGTH_ONE[name](odd)), np.asarray(LENGTH_ONE[name](plain)))


TOO_MUCH = """
import numpy as np, quantray as qt, resource
from quantray import nn, ops
qt.set_num_threads(1)
I8 = lambda *s: qt.make_per_tensor_quantized_tensor(np.ones(s, np.int8), 0.01, 0)
w, x, kernel = I8(1 << 14, 1 << 12), I8(1 << 12, 1 << 14), I8(1 << 11, 1 << 11, 3, 3)
small = ops.PackedLinear(I8(8, 1024), None)
floats = np.ones((1 << 14, 1 << 10), np.float32)
odd = qt.make_per_tensor_quantized_tensor(np.ones((1024, 1 << 16), np.uint8).T, 0.1, 0)
images = I8(1, 1 << 6, 1 << 10, 1 << 10)
conv = ops.PackedConv2d(I8(8, 1 << 6, 3, 3), None, padding=1)
now = int(open("/proc/self/statm").read().split()[0]) * 4096
resource.setrlimit(resource.RLIMIT_AS, (now + (24 << 20), now + (24 << 20)))
try:
    JOB
    print("done")
except MemoryError:
    print("MemoryError")
"""
JOBS = [
    "ops.PackedLinear(w, None)",
    "ops.PackedConv2d(kernel, None)",
    "ops.matmul(w, x)",
    "ops.int_mm(w.int_repr(), x.int_repr())",
    "small(odd, 1.0, 0)",
    "conv(images, 1.0, 0)",
    "w.clone()",
    "w.dequantize()",
    "w.sort()",
    "qt.min_max(floats, axis=1)",
    "ops.PackedWeightOnlyLinear(floats)",
    "ops.adaptive_avg_pool2d(images, 1 << 15)",
    "w.tile(4)",
]


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="limits memory as Linux does")
@pytest.mark.parametrize("job", JOBS)
def test_too_little_memory_is_a_memory_error(job):
    code = TOO_MUCH.replace("JOB", job)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() in ("done", "MemoryError")


LONG = {
    "packing": lambda: ops.PackedLinear(
        qt.make_per_tensor_quantized_tensor(np.ones((1 << 14, 1 << 14), np.int8).T, 0.01, 0)
    ),
    "int_mm": lambda: ops.int_mm(np.ones((1 << 13, 1 << 13), np.int8), np.ones((1 << 13, 1 << 13), np.int8)),
    "sort": lambda: qt.make_per_tensor_quantized_tensor(np.ones(1 << 28, np.int8), 0.01, 0).sort(),
}


@pytest.mark.parametrize("name", LONG)
def test_ctrl_c_is_heard_soon(name):
    heard = []
    begun = threading.Event()

    def interrupt():
        begun.wait()
        time.sleep(0.2)
        heard.append(time.perf_counter())
        os.kill(os.getpid(), signal.SIGINT)

    thread = threading.Thread(target=interrupt)
    thread.start()
    try:
        begun.set()
        LONG[name]()
        done = None
    except KeyboardInterrupt:
        done = time.perf_counter()
    thread.join()
    if done is None:
        # It was done before, or as it arrived.
        with pytest.raises(KeyboardInterrupt):
            time.sleep(0.5)
        pytest.skip("too fast to be interrupted")
    assert done - heard[0] < 1.0


def test_cards_of_huge_tensors_are_made_at_once():
    huge = qt.make_per_tensor_quantized_tensor(np.broadcast_to(np.int8(1), (2**40, 2**10)), 1.0, 0)
    begin = time.perf_counter()
    assert "1099511627776" in huge._repr_html_()
    assert time.perf_counter() - begin < 1


def test_a_flip_of_nothing_is_a_copy():
    """As torch's; an empty tuple names no axis, where no argument means all of them."""
    q = qt.quantize_per_tensor(1.5, 0.5, 0, "qint8")
    flipped = q.flip()
    assert flipped.item() == 1.5
    flipped.fill_(1.0)
    assert q.item() == 1.5
    row = qt.quantize_per_tensor([0.5, 1.5], 0.5, 0, "qint8")
    assert row.flip(()).tolist() == [0.5, 1.5]
    assert row.flip().tolist() == row.flip(0).tolist() == [1.5, 0.5]


def test_tensors_without_dimensions_take_torchs_dims():
    q = qt.quantize_per_tensor(1.5, 0.5, 0, "qint8")
    for made in (
        q.transpose(0, -1),
        q.swapaxes(0, 0),
        q.movedim(0, -1),
        q.squeeze(0),
        q.squeeze((-1,)),
        q.adjoint(),
        q.max(0).values,
        q.sort(0).values,
        q.index_select(0, [0]),
    ):
        assert made.shape == ()
        assert made.item() == 1.5
    assert q.unfold(0, 1, 1).tolist() == [1.5]
    assert q.unfold(0, 0, 1).shape == (0,)
    for call in (lambda: q.transpose(0, 1), lambda: q.squeeze(1), lambda: q.index_select(-2, [0])):
        with pytest.raises(IndexError):
            call()
    with pytest.raises(ValueError, match="index must be one, of an element"):
        q.index_select(0, [0, 0])


def test_no_elements_have_torchs_strides_and_pieces():
    q = qt.quantize_per_tensor(np.zeros((2, 0, 3)), 0.5, 0, "qint8")
    assert q.stride() == (3, 3, 1)
    assert [part.shape for part in q.chunk(2, 1)] == [(2, 0, 3), (2, 0, 3)]
    assert [part.shape for part in q.split(0, 1)] == [(2, 0, 3)]


def test_what_is_joined_lies_in_rows():
    """Images alone keep channels last."""
    q = qt.quantize_per_tensor(np.arange(6).reshape(2, 3), 1.0, 0, "qint8").T
    assert qt.cat([q, q]).is_contiguous()
    assert qt.stack([q]).view(-1).shape == (6,)
    image = qt.quantize_per_tensor(np.zeros((1, 3, 4, 4)), 1.0, 0, "qint8").contiguous(
        memory_format="channels_last"
    )
    assert qt.cat([image, image]).is_contiguous(memory_format="channels_last")


def test_a_bias_of_whole_numbers_says_which():
    weight = qt.quantize_per_tensor(np.ones((2, 3)), 0.1, 0, "qint8")
    for kind in (np.int64, np.int8, np.uint32):
        with pytest.raises(TypeError, match="bias must be floats, which are real numbers, or int32"):
            qt.ops.PackedLinear(weight, np.ones(2, kind))
    x = qt.quantize_per_tensor(np.zeros((1, 3)), 0.5, 0, "quint8")
    assert qt.ops.PackedLinear(weight, [1, 2])(x).tolist() == [[1.0, 2.0]]
    assert np.allclose(qt.ops.PackedLinear(weight, np.int32([20, 40]))(x), [[1.0, 2.0]])


def test_numpys_functions_that_codes_suffice_for():
    q = qt.quantize_per_tensor([3.0, 1.0, 2.0], 0.5, 3, "quint8")
    windows = np.lib.stride_tricks.sliding_window_view(q, 2)
    assert isinstance(windows, qt.QTensor)
    assert windows.tolist() == [[3.0, 1.0], [1.0, 2.0]]
    assert isinstance(np.partition(q, 1), qt.QTensor)
    assert np.partition(q, 1)[1].item() == 2.0
    rows = qt.quantize_per_channel(np.ones((2, 3)), [0.5, 0.25], [0, 1], 0, "quint8")
    assert np.lib.stride_tricks.sliding_window_view(rows, 2, axis=1).axis == 0
    assert not isinstance(np.partition(rows, 1), qt.QTensor)


ERRORS = [
    (lambda q: q.narrow(0, 0, -1), "length must be"),
    (lambda q: q.repeat(-1, 1), "repeats must be"),
    (lambda q: q.tile(-1), "dims must be"),
    (lambda q: q.unflatten(0, (2, 2)), "sizes must be"),
    (lambda q: q.unfold(0, 9, 1), "size must be"),
    (lambda q: q.unfold(0, 1, 0), "step must be"),
    (lambda q: q.index_select(0, [5]), "index must be positions in -2 to 1, got 5"),
    (lambda q: q.take([99]), "indices must be positions"),
    (lambda q: q.masked_fill([0, 1, 2], 1.0), "mask must be an array of bool"),
    (lambda q: q.masked_fill(np.ones((5, 5), bool), 1.0), "mask must be of a shape that broadcasts"),
    (lambda q: q.masked_fill(np.ones(3, bool), [1.0, 2.0]), "value must be a single number"),
    (lambda q: q.movedim((0, 0), (0, 1)), "source must be axes that differ"),
    (lambda q: q.movedim((0, 1), (0,)), "destination must be as many axes"),
    (lambda q: q.to("cuda"), 'args must be "cpu"'),
    (lambda q: q.type_as(qt.quantize_per_tensor([1.0], 1.0, 0, "quint8")), "requantize"),
    (lambda q: q.repeat_interleave([1, 2, 3], 0), "repeats must be one number, or one for each of 2"),
    (lambda q: q.repeat_interleave(2, 0, output_size=3), "output_size must be"),
    (lambda q: q.roll((1, 2)), "shifts must be"),
    (lambda q: q.diagonal(0, 1, 1), "dim2 must be another axis"),
    (lambda q: q.rot90(1, (0, 0)), "dims must be two axes that differ"),
    (lambda q: q.eq(None), "other must be"),
    (lambda q: q.astype(qt.quint8), "requantize"),
    (lambda q: q.index_put(([0],), 1.0, accumulate=True), "accumulate"),
    (lambda q: q.hsplit(2), "indices_or_sections must be a number that divides 3"),
    (lambda q: ops.interpolate(q.reshape(1, 1, 6), scale_factor=np.inf), "scale_factor must be finite"),
    (lambda q: ops.avg_pool1d(q, 2, divisor_override=1.5), "divisor_override must be an integer"),
    (lambda q: ops.adaptive_avg_pool1d(q, 2**40), "output_size must be"),
    (lambda q: ops.interpolate(None), "input must be"),
    (lambda q: qt.cat(None), "tensors must be"),
    (lambda q: qt.equal(np.ones(3), q), "input must be a QTensor"),
    (lambda q: q.sort(None), "dim"),
    (
        lambda q: qt.make_per_tensor_quantized_tensor(
            np.zeros(2, np.uint8), 1, 0, dtype="quint4x2", size=(-1,)
        ),
        "size",
    ),
    (lambda q: qt.nn.functional.relu(np.array([1j])), "real numbers"),
    (lambda q: ops.add_scalar(q, np.inf), "other must be finite"),
    (lambda q: ops.mul_scalar(1, 2), "input must be"),
]


@pytest.mark.parametrize(("act", "says"), ERRORS)
def test_messages_name_the_argument_and_what_is_valid(act, says):
    q = qt.quantize_per_tensor(np.ones((2, 3)), 0.5, 0, "qint8")
    with pytest.raises((ValueError, TypeError, IndexError), match=says):
        act(q)


@pytest.mark.parametrize(
    "name", ["cuda", "grad", "put", "data", "numpy", "add_", "float", "is_cuda", "cumsum"]
)
def test_names_left_out_say_where_to_go(name):
    q = qt.quantize_per_tensor([1.0], 0.5, 0, "qint8")
    with pytest.raises(AttributeError, match=f'a QTensor has no "{name}": \\w'):
        getattr(q, name)
    with pytest.raises(AttributeError, match="'QTensor' object has no attribute 'nonsense'"):
        getattr(q, "nonsense")  # noqa: B009 - it is read, which is the point


def test_tiny_values_that_become_0_are_told():
    x = np.full(3, 1e-9, np.float32)
    with pytest.warns(RuntimeWarning, match="all values of input become 0: the largest is 1e-9"):
        qt.quantize_per_tensor_dynamic(x, "qint8")
    with pytest.warns(RuntimeWarning, match="all values of input become 0"):
        qt.quantize_per_tensor(x, 0.1, 0, "qint8")
    # Zeros are meant, and so are numbers that round to 0.
    qt.quantize_per_tensor(np.zeros(3), 0.1, 0, "qint8")
    qt.quantize_per_tensor([0.01, 0.02], 0.1, 0, "qint8")
    qt.quantize_per_tensor_dynamic(np.zeros(3), "qint8")


def test_allclose_takes_arrays_too():
    q = qt.quantize_per_tensor([1.0, 2.0], 0.5, 0, "qint8")
    assert qt.allclose(np.array([1.0, 2.0]), q)
    assert not qt.allclose(q, [1.0, 3.0])


def test_one_number_in_an_array_will_do():
    x = np.linspace(-1, 1, 12, dtype=np.float32)
    wanted = qt.quantize_per_tensor(x, 0.1, 3, "quint8")
    for scale, zero in [
        (np.array([0.1]), np.array([3])),
        (np.array(0.1), np.array(3.0)),
        (np.array([[0.1]]), 3.0),
        ([0.1][0], np.float32(3)),
    ]:
        assert qt.quantize_per_tensor(x, scale, zero, "quint8").equal(wanted)
        assert qt.quantize_per_tensor(list(x), scale, zero, "quint8").equal(wanted)
    fake = qt.fake_quantize_per_tensor_affine(x, 0.1, 3, 0, 255)
    assert_array_equal(qt.fake_quantize_per_tensor_affine(x, np.array([0.1]), np.array([3.0]), 0, 255), fake)
    with pytest.raises(TypeError, match="zero_point must be an integer"):
        qt.quantize_per_tensor(x, 0.1, np.array([1.5]), "quint8")
    rows = qt.quantize_per_channel(x.reshape(2, 6), [0.1, 0.2], np.array([1.0, 2.0]), 0, "qint8")
    assert rows.zero_point.tolist() == [1, 2]
    assert rows.qscheme() is qt.per_channel_affine


#: They draw, read or write what a wrong value may make very large, or change how the process works.
APART = {
    "save",
    "load",
    "set_isa",
    "set_num_threads",
    "set_printoptions",
    "manual_seed",
    "read_bandwidth",
    "peaks",
}
APART |= {
    "rand",
    "randn",
    "randint",
    "zeros",
    "ones",
    "full",
    "empty",
    "eye",
    "arange",
    "linspace",
    "randperm",
}


def sweep_of(function, q):
    """What each wrong value for the first, and for the second argument raises."""
    for value in WRONG:
        for args in [(value,), (q.clone(), value), (q.clone(), value, value)]:
            try:
                function(*args)
            except Exception as error:
                yield type(error).__name__
            except BaseException as error:
                pytest.fail(f"{function} of {args[1:]}: {type(error).__name__}: {error}")


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("space", ["quantray", "ops", "methods"])
def test_wrong_values_raise_what_says_so(space):
    names = {"quantray": qt.__all__, "ops": ops.__all__, "methods": dir(qt.QTensor)}[space]
    home = {"quantray": qt, "ops": ops, "methods": qt.QTensor}[space]
    q = qt.quantize_per_tensor(np.ones((2, 3)), 0.5, 0, "qint8")
    found = {}
    for name in set(names) - APART:
        function = getattr(home, name)
        if callable(function) and not name.startswith("__"):
            for raised in sweep_of(function, q):
                found[raised] = found.get(raised, 0) + 1
    assert sum(found.values()) > 1000
    allowed = {"TypeError", "ValueError", "IndexError", "AttributeError", "MemoryError", "OverflowError"}
    # NumPy's own kinds of TypeError and IndexError.
    assert set(found) <= allowed | {
        "AxisError",
        "UFuncTypeError",
        "DTypePromotionError",
        "OSError",
        "FileNotFoundError",
    }, found
