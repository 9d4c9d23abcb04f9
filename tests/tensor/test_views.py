"""Views: the same as NumPy's, of the same memory, and their scales and zero points follow the channels."""

from itertools import pairwise
from math import prod
from typing import NamedTuple

import numpy as np
import pytest
import quantray as qt
from contract import CODES, RANGES, along, dequantize, pack
from hypothesis import assume, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.testing import assert_array_equal

PLAIN, PACKED = ["qint8", "quint8", "qint32"], ["quint4x2", "quint2x4"]
BITS = {"quint4x2": 4, "quint2x4": 2}


class Model(NamedTuple):
    """What a tensor is in NumPy: its codes, and the scale and the zero point that belong to each of them."""

    codes: np.ndarray
    scale: np.ndarray
    zero_point: np.ndarray

    def do(self, op):
        """The models of what an operation on arrays makes, which may be a list of arrays."""
        made = [op(a) for a in self]
        return (
            [Model(*parts) for parts in zip(*made, strict=True)]
            if isinstance(made[0], list)
            else Model(*made)
        )


def make(shape, dtype="qint8", axis=None, seed=0):
    """A tensor of random codes, with one random scale or one for each channel, and its model."""
    rng = np.random.default_rng(seed)
    qmin, qmax = RANGES[dtype]
    n = () if axis is None else shape[axis]
    codes = rng.integers(qmin, qmax, shape, CODES[dtype], endpoint=True)
    scale = rng.uniform(0.01, 1, n)
    zero_point = rng.integers(qmin, qmax, n, endpoint=True)
    memory = codes.copy() if dtype in PLAIN else pack(codes, BITS[dtype])
    size = None if dtype in PLAIN else shape
    if axis is None:
        q = qt.make_per_tensor_quantized_tensor(memory, scale, zero_point, dtype=dtype, size=size)
        return q, Model(codes, np.full(shape, scale), np.full(shape, zero_point))
    q = qt.make_per_channel_quantized_tensor(memory, scale, zero_point, axis, dtype=dtype, size=size)
    spread = [np.broadcast_to(along(a, axis, len(shape)), shape).copy() for a in (scale, zero_point)]
    return q, Model(codes, *spread)


@st.composite
def tensors(draw, dtypes=PLAIN):
    """A tensor and its model."""
    shape = draw(hnp.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=4))
    axis = draw(st.none() | st.integers(0, len(shape) - 1)) if shape else None
    return make(shape, draw(st.sampled_from(dtypes)), axis, draw(st.integers(0, 99)))


def check(q, model):
    """The tensor has the model's codes and values, and each element its scale and zero point."""
    dtype = q.dtype.name
    assert q.shape == model.codes.shape
    assert q.int_repr().dtype == model.codes.dtype
    assert_array_equal(q.int_repr(), model.codes if dtype in PLAIN else pack(model.codes, BITS[dtype]))
    assert_array_equal(q.dequantize(), dequantize(*model), strict=True)
    if q.qscheme() is qt.per_tensor_affine:
        params = q.q_scale(), q.q_zero_point()
    else:
        assert q.qscheme() is qt.per_channel_affine
        params = q.q_per_channel_scales(), q.q_per_channel_zero_points()
        assert params[0].shape == params[1].shape == (q.shape[q.q_per_channel_axis()],)
        params = [along(p, q.q_per_channel_axis(), q.ndim) for p in params]
    for got, wanted in zip(params, model[1:], strict=True):
        assert_array_equal(np.broadcast_to(got, q.shape), wanted)


def is_element(key, ndim):
    """Whether an index has a number for each axis, and no ellipsis: an element of its own."""
    key = key if isinstance(key, tuple) else (key,)
    return len(key) == ndim and all(isinstance(k, int) for k in key)


def as_views(a, key):
    """The key with an ellipsis, so that NumPy makes an array of a single element too: a copy without one."""
    key = key if isinstance(key, tuple) else (key,)
    made = a[key if any(k is ... for k in key) else (*key, ...)]
    return made.copy() if is_element(key, a.ndim) else made


def rows(a, dim):
    """The array with an axis in front."""
    return np.moveaxis(a, dim, 0)


def cut(a, lengths, dim=0):
    """NumPy's own pieces of one length, or of the lengths given."""
    n = a.shape[dim]
    return np.split(
        a, np.cumsum(lengths)[:-1] if isinstance(lengths, list) else range(lengths, n, lengths), dim
    )


def flattened(a, start=0, end=-1):
    shape = a.shape or (1,)
    start, end = start % len(shape), end % len(shape)
    return a.reshape(*shape[:start], prod(shape[start : end + 1]), *shape[end + 1 :])


def squeezed(a, dim=None):
    return a if dim is not None and a.shape[dim] != 1 else np.squeeze(a, dim)


def expanded(a, *sizes):
    old = (None,) * (len(sizes) - a.ndim) + a.shape
    return np.broadcast_to(a, [o if n == -1 else n for n, o in zip(sizes, old, strict=True)])


# What each method does, in NumPy.
NUMPY = {
    "__getitem__": as_views,
    "reshape": lambda a, *shape: a.reshape(*shape),
    "view": lambda a, *shape: a.reshape(*shape),
    "flatten": flattened,
    "ravel": lambda a: a.ravel(),
    "transpose": lambda a, *dims: np.swapaxes(a, *dims) if len(dims) == 2 else np.transpose(a, dims or None),
    "permute": lambda a, *dims: np.transpose(a, *(dims if isinstance(dims[0], list) else [dims])),
    "T": lambda a: a.T,
    "squeeze": squeezed,
    "unsqueeze": np.expand_dims,
    "movedim": np.moveaxis,
    "flip": lambda a, *dims: np.flip(a, dims or None).copy(),
    "expand": expanded,
    "select": lambda a, dim, i: rows(a, dim)[i, ...],
    "narrow": lambda a, dim, start, n: np.moveaxis(rows(a, dim)[start:][:n], 0, dim),
    "unbind": lambda a, dim=0: [rows(a, dim)[i, ...] for i in range(a.shape[dim])],
    "split": cut,
    "chunk": lambda a, n, dim=0: cut(a, max(-(-a.shape[dim] // n), 1), dim),
}
RESHAPES = ["reshape", "view", "flatten", "ravel"]
MOVES = ["transpose", "permute", "T", "movedim", "flip", "expand"]


def call(q, name, args):
    return getattr(q, name) if name == "T" else getattr(q, name)(*args)


@st.composite
def shapes_of(draw, n):
    """A shape of n elements, n > 0, maybe with -1 for one of its lengths."""
    shape = []
    for _ in range(draw(st.integers(0, 3))):
        shape.append(draw(st.sampled_from([d for d in range(1, n + 1) if n % d == 0])))
        n //= shape[-1]
    shape.append(n)
    if draw(st.booleans()):
        shape[draw(st.integers(0, len(shape) - 1))] = -1
    return shape


@st.composite
def operations(draw, shape, channels):
    """A method that makes views, and arguments for it."""
    ndim, size = len(shape), prod(shape)
    names = ["__getitem__", "T", "unsqueeze", "squeeze", "expand"]
    # Without elements there is more than one axis where the channels could be.
    names += RESHAPES if size else ["flatten", "ravel"] if channels is None else []
    names += [n for n in NUMPY if n not in (*names, *RESHAPES)] if ndim else []
    name = draw(st.sampled_from(names))
    dims = st.integers(-ndim, ndim - 1)
    if name == "__getitem__":
        return name, [draw(hnp.basic_indices(shape, max_dims=6, allow_newaxis=True))]
    if name in ("ravel", "T"):
        return name, []
    if name in ("reshape", "view"):
        return name, draw(shapes_of(size))
    if name == "unsqueeze":
        return name, [draw(st.integers(-ndim - 1, ndim))]
    if name == "expand":
        new = draw(st.lists(st.integers(0, 3), max_size=2))
        own = [
            draw(st.sampled_from([-1, n, 3 if n == 1 and d != channels else n])) for d, n in enumerate(shape)
        ]
        return name, new + own
    if ndim == 0:
        return name, []
    if name in ("flatten", "transpose", "movedim"):
        a, b = draw(dims), draw(dims)
        if name == "flatten" and a % ndim > b % ndim:
            a, b = b, a
        return name, [a, b]
    if name == "permute":
        order = draw(st.permutations([d - draw(st.sampled_from([0, ndim])) for d in range(ndim)]))
        return name, [order] if draw(st.booleans()) else order
    if name in ("squeeze", "flip"):
        chosen = draw(st.lists(dims, unique_by=lambda d: d % ndim, max_size=1 if name == "squeeze" else ndim))
        return name, chosen
    dim = draw(dims)
    n = shape[dim]
    if name == "unbind":
        return name, [dim]
    if name == "select":
        assume(n)
        return name, [dim, draw(st.integers(-n, n - 1))]
    if name == "narrow":
        start = draw(st.integers(0, n))
        length = draw(st.integers(0, n - start))
        return name, [dim, start - n if start < n and draw(st.booleans()) else start, length]
    if name == "split" and draw(st.booleans()):
        cuts = [0, *sorted(draw(st.lists(st.integers(0, n), max_size=2))), n]
        return name, [[b - a for a, b in pairwise(cuts)], dim]
    return name, [draw(st.integers(1, n + 1)), dim]


def channel_axis(q):
    return q.q_per_channel_axis() if q.qscheme() is qt.per_channel_affine else None


def keeps_axis(old, axis, new):
    """Whether a reshape leaves this axis whole: as long as before, between as many elements as before."""
    borders = [(old[axis], prod(old[:axis]), prod(old[axis + 1 :]))]
    return old[axis] == 1 or any((n, prod(new[:k]), prod(new[k + 1 :])) in borders for k, n in enumerate(new))


def refused(q, before, after, name):
    """Whether there is no such view, by a method that NumPy always has a result for."""
    axis = channel_axis(q)
    if name in RESHAPES and axis is not None and not keeps_axis(q.shape, axis, after.codes.shape):
        return True
    return name == "view" and not np.shares_memory(before.codes, after.codes)


@given(st.data())
def test_chains_of_views(data):
    base, base_model = q, model = data.draw(tensors())
    for _ in range(data.draw(st.integers(1, 4))):
        name, args = data.draw(operations(q.shape, channel_axis(q)))
        wanted = model.do(lambda a, name=name, args=args: NUMPY[name](a, *args))
        if isinstance(wanted, Model) and refused(q, model, wanted, name):
            with pytest.raises(ValueError, match=r"dequantize\(\)|reshape\(\)"):
                call(q, name, args)
            continue
        got = call(q, name, args)
        if isinstance(wanted, list):
            assert isinstance(got, tuple)
            assert len(got) == len(wanted)
            for part in zip(got, wanted, strict=True):
                check(*part)
            if not got:
                continue
            i = data.draw(st.integers(0, len(got) - 1))
            got, wanted = got[i], wanted[i]
        check(got, wanted)
        q, model = got, wanted
    codes, memory = q.int_repr(), model.codes
    assert np.shares_memory(codes, base.int_repr()) == np.shares_memory(memory, base_model.codes)
    assert codes.flags.writeable == memory.flags.writeable
    if memory.flags.writeable:
        q.fill_(0.0)
        memory[...] = model.zero_point
        assert_array_equal(base.int_repr(), base_model.codes)
    base.int_repr()[...] = base_model.codes[...] = ~base_model.codes
    assert_array_equal(q.int_repr(), model.codes)


@given(tensors(PACKED), st.data())
def test_views_of_packed_tensors(tensor, data):
    q, model = tensor
    name, args = data.draw(operations(q.shape, channel_axis(q)))
    if name == "__getitem__" and is_element(args[0], q.ndim):
        element = q[args[0]]
        check(element, model.do(lambda a: as_views(a, args[0])))
        assert not np.shares_memory(element.int_repr(), q.int_repr())
        return
    positions = np.arange(q.numel()).reshape(q.shape)
    chosen = NUMPY[name](positions, *args)
    wanted = model.do(lambda a: NUMPY[name](a, *args))
    per_byte = 8 // BITS[q.dtype.name]

    def whole_bytes(a):
        flat = a.ravel()
        borders = flat.size and (
            flat[0] % per_byte or ((flat[-1] + 1) % per_byte and flat[-1] + 1 < q.numel())
        )
        return not borders and np.all(np.diff(flat) == 1)

    parts, models = (made if isinstance(made, list) else [made] for made in (chosen, wanted))
    if name in MOVES or not all(map(whole_bytes, parts)) or (models and refused(q, model, models[0], name)):
        with pytest.raises(ValueError, match=r"dequantize\(\)"):
            call(q, name, args)
        return
    got = call(q, name, args)
    got = got if isinstance(wanted, list) else [got]
    for part, part_model in zip(got, models, strict=True):
        check(part, part_model)
        assert np.shares_memory(part.int_repr(), q.int_repr()) == (part.numel() > 0)
    for part, part_model in zip(got, models, strict=True):
        part.fill_(0.0)
        part_model.codes[...] = part_model.zero_point
    check(q, model)


def test_a_float_zero_point_stays_on_its_axis():
    q = qt.quantize_per_channel(np.ones((2, 3)), [0.1, 0.2, 0.3], [0.5, 1.5, 2.5], 1, qt.quint8)
    assert_array_equal(q.T[1:].q_per_channel_zero_points(), np.array([1.5, 2.5], np.float32), strict=True)
    with pytest.raises(ValueError, match=r"float zero point.*q\[i:i\+1\]"):
        q[:, 1]


def test_views_keep_the_memory_alive_and_the_layout_their_own():
    memory = np.arange(12, dtype=np.int8)
    view = qt.make_per_tensor_quantized_tensor(memory, 0.5, 0)[4:].reshape(2, 4)
    memory.shape = (3, 4)
    codes = view.int_repr()
    codes.shape = (8,)
    memory[1, 0] = 100
    assert view.tolist() == [[50.0, 2.5, 3.0, 3.5], [4.0, 4.5, 5.0, 5.5]]


def test_views_of_read_only_memory_are_read_only():
    memory = np.zeros(6, np.int8)
    memory.flags.writeable = False
    q = qt.make_per_tensor_quantized_tensor(memory, 0.5, 0)
    for view in (q[1:], q.reshape(2, 3).T, q[::-1], q.split(2)[1]):
        assert not view.int_repr().flags.writeable
