"""Methods and NumPy's functions that move elements: as NumPy on the codes, on views, per channel, packed."""

import numpy as np
import pytest
import quantray as qt
from hypothesis import assume, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from test_views import PACKED, PLAIN, check, make


@st.composite
def tensors(draw, min_dims=0, max_dims=4, dtypes=(*PLAIN, *PACKED)):
    """A tensor, or a view of one, and its model."""
    shape = draw(hnp.array_shapes(min_dims=min_dims, max_dims=max_dims, min_side=1, max_side=4))
    axis = draw(st.none() | st.integers(0, len(shape) - 1)) if shape else None
    dtype = draw(st.sampled_from(dtypes))
    q, model = make(shape, dtype, axis, draw(st.integers(0, 99)))
    if dtype in PLAIN and shape and draw(st.booleans()):
        key = tuple(slice(None, None, draw(st.sampled_from([1, -1, 2]))) for _ in shape)
        q, model = q[key], model.do(lambda a: a[key])
    return q, model


def has_channel_axis(model):
    """Whether scales and zero points change along one axis at most."""
    scale, zero = model.scale, model.zero_point
    axes = range(max(scale.ndim, 1))
    for axis in axes:
        first = tuple(slice(None) if d == axis else slice(0, 1) for d in range(scale.ndim))
        if np.all(scale == scale[first]) and np.all(zero == zero[first]):
            return True
    return False


def positions(n, shape):
    return hnp.arrays(np.int64, shape, elements=st.integers(-n, n - 1))


@st.composite
def method(draw, shape):
    """A method, its arguments, and NumPy's function of an array that does the same."""
    ndim, dim = len(shape), st.integers(-len(shape), len(shape) - 1)
    a, b = draw(dim), draw(dim)
    n = shape[a]
    times = draw(st.lists(st.integers(0, 2), min_size=ndim, max_size=ndim + 1))
    shift, index = draw(st.integers(-5, 5)), draw(positions(n, draw(st.integers(0, 3))))
    window = draw(st.integers(1, n))
    step = draw(st.integers(1, 3))
    each = draw(hnp.arrays(np.int64, n, elements=st.integers(0, 2)))
    mask = draw(hnp.arrays(bool, shape))
    cuts = draw(st.lists(st.integers(0, n), max_size=2).map(sorted))
    broad = (draw(st.integers(0, 2)), *shape)
    size = int(np.prod(shape))
    flat = draw(positions(size, (2, 2)))
    along = draw(positions(n, tuple(2 if d == a % ndim else 1 for d in range(ndim))))
    found = {
        "swapaxes": ((a, b), lambda x: np.swapaxes(x, a, b)),
        "swapdims": ((a, b), lambda x: np.swapaxes(x, a, b)),
        "moveaxis": ((a, b), lambda x: np.moveaxis(x, a, b)),
        "movedim": (((a,), (b,)), lambda x: np.moveaxis(x, (a,), (b,))),
        "repeat": (times, lambda x: np.tile(x, times)),
        "tile": (times[:1], lambda x: np.tile(x, times[:1])),
        "repeat_interleave": ((each, a), lambda x: np.repeat(x, each, a)),
        "roll": ((shift, a), lambda x: np.roll(x, shift, a)),
        "index_select": ((a, index), lambda x: np.take(x, index, a)),
        "take": ((flat,), lambda x: np.take(x, flat)),
        "take_along_dim": ((along, a), lambda x: np.take_along_axis(x, along, a)),
        "masked_select": ((mask,), lambda x: x[mask]),
        "broadcast_to": ((broad,), lambda x: np.broadcast_to(x, broad)),
        "flipud": ((), np.flipud),
        "unfold": (
            (a, window, step),
            lambda x: np.moveaxis(np.lib.stride_tricks.sliding_window_view(x, window, a), a % ndim, 0)[
                ::step
            ].transpose(*np.argsort([a % ndim, *(d for d in range(ndim) if d != a % ndim)]), ndim),
        ),
        "tensor_split": ((tuple(cuts), a), lambda x: np.split(x, cuts, a)),
        "unflatten": ((a, (1, -1)), lambda x: x.reshape(*x.shape[: a % ndim], 1, *x.shape[a % ndim :])),
    }
    if ndim >= 2:
        assume(a % ndim != b % ndim)
        k = draw(st.integers(-3, 5))
        found |= {
            "fliplr": ((), np.fliplr),
            "rot90": ((k, (a, b)), lambda x: np.rot90(x, k, (a, b))),
            "diagonal": ((shift, a, b), lambda x: np.diagonal(x, shift, a, b)),
            "adjoint": ((), lambda x: np.swapaxes(x, -1, -2)),
            "vsplit": ((cuts,), lambda x: np.split(x, cuts)),
            "hsplit": ((cuts,), lambda x: np.split(x, cuts, 1)),
        }
    if ndim <= 2:
        found["t"] = ((), np.transpose)
    if ndim == 2:
        found["diag"] = ((0,), np.diag)
    name = draw(st.sampled_from(sorted(found)))
    return name, *found[name]


@given(tensors(min_dims=1), st.data())
def test_methods(tensor, data):
    q, model = tensor
    name, args, function = data.draw(method(q.shape))
    wanted = model.do(function)
    whole = wanted if isinstance(wanted, list) else [wanted]
    try:
        got = getattr(q, name)(*args)
    except ValueError:
        # What mixes channels, windows over their axis even where there is one alone, or moves elements
        # inside of bytes where a view is promised.
        assert q.dtype.name in PACKED or name == "unfold" or not all(map(has_channel_axis, whole))
        with pytest.raises(ValueError, match=r"dequantize\(\)"):
            getattr(q, name)(*args)
        return
    got = got if isinstance(got, tuple) else (got,)
    assert len(got) == len(whole)
    for part, part_model in zip(got, whole, strict=True):
        check_values(part, part_model)
    if q.axis is None and q.dtype.name in PLAIN:
        for part, part_model in zip(got, whole, strict=True):
            check(part, part_model)


def check_values(q, model):
    """The tensor has the model's codes and values; channels may have collapsed to one."""
    scale, zero = np.broadcast_arrays(*params(q))
    assert q.shape == model.codes.shape
    if q.numel():
        np.testing.assert_array_equal(scale, np.broadcast_to(model.scale, q.shape))
        np.testing.assert_array_equal(zero, np.broadcast_to(model.zero_point, q.shape))
    wanted = np.float32(model.scale) * (model.codes.astype(np.int64) - model.zero_point).astype(np.float32)
    np.testing.assert_array_equal(q.dequantize(), wanted)


def params(q):
    if q.axis is None:
        return np.broadcast_to(q.scale, q.shape), np.broadcast_to(q.zero_point, q.shape)
    shape = [-1 if d == q.axis else 1 for d in range(q.ndim)]
    return [np.broadcast_to(np.reshape(p, shape), q.shape) for p in (q.scale, q.zero_point)]


FUNCTIONS = {
    "append": lambda x: np.append(x, x, 0),
    "array_split": lambda x: np.array_split(x, 2)[0],
    "atleast_3d": np.atleast_3d,
    "block": lambda x: np.block([[x], [x]]),
    "broadcast_to": lambda x: np.broadcast_to(x, (2, *np.shape(x))),
    "column_stack": lambda x: np.column_stack([x, x]),
    "compress": lambda x: np.compress([True], x, 0),
    "concatenate": lambda x: np.concatenate([x, x, x]),
    "concatenate last": lambda x: np.concatenate((x, x), axis=-1),
    "delete": lambda x: np.delete(x, 0, 0),
    "dstack": lambda x: np.dstack([x, x]),
    "expand_dims": lambda x: np.expand_dims(x, (0, 1)),
    "flip": np.flip,
    "hstack": lambda x: np.hstack([x, x]),
    "insert": lambda x: np.insert(x, 0, np.take(x, [0], 0), 0),
    "moveaxis": lambda x: np.moveaxis(x, 0, -1),
    "pad": lambda x: np.pad(x, 1),
    "pad edge": lambda x: np.pad(x, ((1, 0),) + ((0, 0),) * (np.ndim(x) - 1), "edge"),
    "ravel": np.ravel,
    "repeat": lambda x: np.repeat(x, 2, 0),
    "reshape": lambda x: np.reshape(x, (1, *np.shape(x))),
    "resize": lambda x: np.resize(x, (3, 3)),
    "roll": lambda x: np.roll(x, 1, 0),
    "rot90": lambda x: np.rot90(np.atleast_2d(x)),
    "sort": lambda x: np.sort(x, 0),
    "squeeze": np.squeeze,
    "stack": lambda x: np.stack([x, x], -1),
    "swapaxes": lambda x: np.swapaxes(x, 0, -1),
    "take": lambda x: np.take(x, [0, 0], 0),
    "take one": lambda x: np.take(x, 0),
    "tile": lambda x: np.tile(x, (2, 1)),
    "transpose": np.transpose,
    "vstack": lambda x: np.vstack([x, x]),
    "where": lambda x: np.where(np.ones(np.shape(x), bool), x, x),
    "zeros_like": np.zeros_like,
}


@pytest.mark.parametrize("name", FUNCTIONS)
@given(tensor=tensors(min_dims=1, max_dims=3))
def test_numpys_functions(name, tensor):
    q, model = tensor
    function = FUNCTIONS[name]
    got, wanted = function(q), function(q.dequantize())
    np.testing.assert_array_equal(np.asarray(got), wanted, strict=True)
    if q.axis is None:
        assert isinstance(got, qt.QTensor)
        assert got.quantizer == q.quantizer
        if name not in ("pad", "zeros_like"):
            check_values(got, model.do(function))
    elif isinstance(got, qt.QTensor) and name not in ("pad", "zeros_like"):
        check_values(got, model.do(function))


def test_tensors_of_other_grids_give_floats():
    a = qt.quantize_per_tensor([1.0, 2.0], 0.5, 0, "qint8")
    b = qt.quantize_per_tensor([1.0, 2.0], 0.25, 0, "qint8")
    for made in (np.concatenate([a, b]), np.where([True, False], a, b), np.stack([a, np.ones(2)])):
        assert isinstance(made, np.ndarray)
    assert isinstance(np.where([True, False], a, 0.0), np.ndarray)
    assert isinstance(np.concatenate([a, a], dtype=np.float64), np.ndarray)
    assert isinstance(np.concatenate([a, a.clone()]), qt.QTensor)


def test_channels_joined_along_their_axis_keep_their_scales():
    q = qt.quantize_per_channel(np.ones((2, 3)), [0.5, 0.25], [0, 1], 0, "qint8")
    made = np.concatenate([q, q])
    assert made.scale.tolist() == [0.5, 0.25, 0.5, 0.25]
    assert np.vstack([q, q]).equal(made)
    assert isinstance(np.roll(q, 1), np.ndarray)


@given(tensors(min_dims=1, max_dims=3, dtypes=PLAIN), st.data())
def test_fills(tensor, data):
    q, model = tensor
    mask = data.draw(hnp.arrays(bool, q.shape))
    value = data.draw(st.floats(-3, 3, width=32))
    filled = q.clone().fill_(value)
    kept = q.clone()
    wanted = np.where(mask, filled.int_repr(), q.int_repr())
    np.testing.assert_array_equal(q.masked_fill(mask, value).int_repr(), wanted)
    assert q.equal(kept)
    assert q.index_put((mask,), np.float32(value)).int_repr().tolist() == wanted.tolist()
    assert q.clone().masked_fill_(mask, value).int_repr().tolist() == wanted.tolist()
    del model


def test_strides_by_hand():
    memory = np.arange(12, dtype=np.uint8)
    q = qt.make_per_tensor_quantized_tensor(memory, 0.5, 0)
    view = q.as_strided((2, 3), (4, 1), 1)
    wanted = np.lib.stride_tricks.as_strided(memory[1:], (2, 3), (4, 1))
    np.testing.assert_array_equal(view.int_repr(), wanted)
    assert np.shares_memory(view.int_repr(), memory)
    assert q[4:].as_strided((2,), (1,)).int_repr().tolist() == [4, 5]
    assert q[4:].as_strided((2,), (1,), 0).int_repr().tolist() == [0, 1]
    for size, stride, offset in [
        ((13,), (1,), None),
        ((2, 2), (11, 1), None),
        ((1,), (1,), 12),
        ((2**62, 4), (2**62, 1), None),
        ((2,), (2**63 - 1,), 0),
    ]:
        with pytest.raises(ValueError, match=r"inside of the tensor's memory, which has 12 elements"):
            q.as_strided(size, stride, offset)
    for args in [((-1,), (1,)), ((1,), (-1,)), ((1,), (1,), -1)]:
        with pytest.raises(ValueError, match=r"(size|stride|storage_offset) must be"):
            q.as_strided(*args)


def test_shapes_change_in_place():
    q = qt.quantize_per_tensor(np.arange(6.0).reshape(1, 2, 3), 1.0, 0, "qint8")
    same, view = q, q[0, 1]
    assert q.squeeze_(0) is same
    assert q.shape == (2, 3)
    assert q.t_().tolist() == [[0, 3], [1, 4], [2, 5]]
    assert q.transpose_(0, 1).unsqueeze_(0).shape == (1, 2, 3)
    assert q.resize_(4).tolist() == [0, 1, 2, 3]
    assert q.resize_as_(np.zeros((2, 3))).tolist() == [[0, 1, 2], [3, 4, 5]]
    assert view.tolist() == [3, 4, 5]
    with pytest.raises(ValueError, match="inside of the tensor's memory"):
        q.resize_(7)
    channels = qt.quantize_per_channel(np.ones((2, 3)), [0.5, 0.25], [0, 1], 0, "qint8")
    assert channels.t_().axis == 1


def test_memory_formats():
    q = qt.quantize_per_tensor(np.arange(24.0).reshape(1, 4, 2, 3), 1.0, 0, "qint8")
    last = q.contiguous(memory_format=qt.channels_last)
    assert last.equal(q)
    assert last.stride() == (24, 1, 12, 4)
    assert last.is_contiguous(memory_format="channels_last")
    assert not last.is_contiguous()
    assert last.dim_order() == (0, 2, 3, 1)
    assert last.contiguous(memory_format="channels_last") is last
    assert last.contiguous().stride() == q.stride()
    with pytest.raises(ValueError, match="memory_format must be another for a tensor of shape"):
        q[0].contiguous(memory_format="channels_last")
    with pytest.raises(ValueError, match="memory_format must be"):
        q.contiguous(memory_format="blocked")
