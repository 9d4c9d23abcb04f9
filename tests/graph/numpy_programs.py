"""Forwards made of NumPy's functions, methods and operators, by what a capture makes of them."""
# ruff: noqa: B905

import math

import numpy as np


def rows(rng, n):
    return tuple(rng.standard_normal((2, n, 6)).astype(np.float32))


def _fill(o):
    o.fill(2)
    return o


def _pa(o, y):
    np.put_along_axis(o, np.argmax(y, axis=1)[:, None], 0, axis=1)
    return o


def _si(o):
    o[:, 0] = 10
    return o


def _sm(o):
    o[o < 0] = 0
    return o


def _sm2(o):
    o[o < 0] *= np.float32(0.1)
    return o


def _sa(o, y):
    o[1:] = y[:-1]
    return o


def _sl(o, y):
    o[:, [0, 2]] = y[:, [1, 3]]
    return o


def _zs(x):
    o = np.zeros_like(x)
    o[:, 1:] = x[:, :-1]
    return o


def _ia(o, y):
    o += y
    o *= 2
    o -= 1
    o /= 3
    o **= 2
    return o


def _iv(o, y):
    v = o[:, :2]
    v += 1
    w = o.T
    w *= 2
    o.reshape(-1)[0] = 7
    return o


def _out(o, y):
    np.add(o, y, out=o)
    np.multiply(o, 2, out=o[:, :])
    return o


def _outp(o, y):
    np.add(o, y, o)
    return o


def _outs(x, o):
    np.sum(x, axis=0, out=o[0])
    return o


def _outm(x):
    o = np.empty_like(x)
    np.matmul(x, np.eye(6, dtype=np.float32), out=o)
    return o


def _w(x, o):
    np.sqrt(x, out=o, where=x > 0)
    return o


def _at(o):
    np.add.at(o, (slice(None), [0, 0, 1]), np.float32(1))
    return o


def _ct(o, y):
    np.copyto(o, y, where=y > 0)
    return o


def _pm(o, y):
    np.putmask(o, o > 0, y)
    return o


def _pl(o):
    np.place(o, o > 0, [1, 2])
    return o


def _fd(o):
    np.fill_diagonal(o, 0)
    return o


def _pu(o):
    o.put([0, 1], 5)
    return o


def _so(o):
    o.sort(axis=1)
    return o


def _pi(o):
    o.partition(2)
    return o


def _es(x):
    with np.errstate(all="ignore"):
        return np.log(x)


#: Captured, for any number of rows that the forward itself is for.
FREE = {
    "modf": lambda x, y: np.modf(x),
    "frexp": lambda x, y: np.frexp(x),
    "divmod": lambda x, y: np.divmod(x, y),
    "divmod op": lambda x, y: divmod(x, y),
    "ldexp": lambda x, y: np.ldexp(x, 2),
    "matmul": lambda x, y: x @ y.T,
    "vecdot": lambda x, y: np.vecdot(x, y),
    "matvec": lambda x, y: np.matvec(x, y[0]),
    "vecmat": lambda x, y: np.vecmat(y, x.reshape(-1, 6, 1)),
    "std ddof": lambda x, y: x.std(axis=1, ddof=1),
    "sum dtype": lambda x, y: x.sum(axis=1, dtype=np.float64),
    "sum where": lambda x, y: np.sum(x, axis=1, where=x > 0),
    "sum initial": lambda x, y: np.sum(x, axis=1, initial=2.0),
    "max initial where": lambda x, y: np.max(x, axis=1, initial=-1, where=y > 0),
    "quantile": lambda x, y: np.quantile(x, 0.3, axis=1),
    "percentile": lambda x, y: np.percentile(x, [10, 50], axis=1),
    ".T": lambda x, y: x.T,
    ".mT": lambda x, y: x.mT,
    ".real": lambda x, y: x.real,
    ".imag": lambda x, y: x.imag,
    ".flat": lambda x, y: x.flat[3:5],
    ".size": lambda x, y: x / x.size,
    ".nbytes": lambda x, y: x / x.nbytes,
    ".itemsize": lambda x, y: x / x.itemsize,
    "isclose": lambda x, y: np.isclose(x, y),
    "zeros_like w": lambda x, y: np.zeros_like(x) + x,
    "full_like": lambda x, y: np.full_like(x, 3),
    "empty_like w": lambda x, y: _fill(np.empty_like(x)),
    "clip": lambda x, y: np.clip(x, -1, 1),
    "clip arr": lambda x, y: np.clip(x, y - 1, y + 1),
    "clip kw": lambda x, y: np.clip(x, a_min=-1, a_max=None),
    "clip min": lambda x, y: np.clip(x, min=-1, max=1),
    ".clip": lambda x, y: x.clip(-1, 1),
    ".clip max": lambda x, y: x.clip(max=1),
    "where": lambda x, y: np.where(x > 0, x, y),
    "where1": lambda x, y: np.where(x > 0),
    "select": lambda x, y: np.select([x > 1, x > 0], [x, y], 0),
    "choose": lambda x, y: np.choose((x > 0).astype(int), [x, y]),
    "concatenate": lambda x, y: np.concatenate([x, y], axis=1),
    "concat": lambda x, y: np.concat([x, y], axis=0),
    "concatenate None": lambda x, y: np.concatenate([x, y], axis=None),
    "stack": lambda x, y: np.stack([x, y]),
    "stack ax": lambda x, y: np.stack([x, y], axis=-1),
    "vstack": lambda x, y: np.vstack([x, y]),
    "hstack": lambda x, y: np.hstack([x, y]),
    "dstack": lambda x, y: np.dstack([x, y]),
    "column_stack": lambda x, y: np.column_stack([x, y]),
    "block": lambda x, y: np.block([[x, y], [y, x]]),
    "append": lambda x, y: np.append(x, y, axis=1),
    "insert": lambda x, y: np.insert(x, 1, 0, axis=1),
    "delete": lambda x, y: np.delete(x, 1, axis=1),
    "split": lambda x, y: np.split(x, 3, axis=1),
    "split idx": lambda x, y: np.split(x, [2, 4], axis=1),
    "array_split": lambda x, y: np.array_split(x, 4, axis=1),
    "hsplit": lambda x, y: np.hsplit(x, 2),
    "vsplit": lambda x, y: np.vsplit(x, [1]),
    "unstack": lambda x, y: np.unstack(x, axis=1),
    "tile": lambda x, y: np.tile(x, (1, 2)),
    "repeat": lambda x, y: np.repeat(x, 2, axis=1),
    ".repeat": lambda x, y: x.repeat(2, axis=0),
    "roll": lambda x, y: np.roll(x, 1, axis=1),
    "rot90": lambda x, y: np.rot90(x),
    "resize": lambda x, y: np.resize(x, (3, 4)),
    "reshape": lambda x, y: np.reshape(x, (-1, 3)),
    "reshape kw": lambda x, y: np.reshape(x, shape=(-1, 3)),
    "reshape F": lambda x, y: x.reshape((-1, 3), order="F"),
    ".reshape": lambda x, y: x.reshape(x.shape[0], -1),
    ".reshape len": lambda x, y: x.reshape(len(x), 2, 3),
    ".reshape size": lambda x, y: x.reshape(x.shape[0] * 2, 3),
    "shape unpack": lambda x, y: (lambda n, d: x.reshape(n, d // 2, 2).transpose(0, 2, 1).reshape(n, d))(
        *x.shape
    ),
    "expand_dims": lambda x, y: np.expand_dims(x, 1),
    "newaxis": lambda x, y: x[:, None] * y[:, :, None],
    "swapaxes": lambda x, y: np.swapaxes(x, 0, 1),
    "moveaxis": lambda x, y: np.moveaxis(x, 0, 1),
    "rollaxis": lambda x, y: np.rollaxis(x, 1),
    "permute_dims": lambda x, y: np.permute_dims(x, (1, 0)),
    "broadcast_to": lambda x, y: np.broadcast_to(x, (2, *x.shape)),
    "broadcast_arrays": lambda x, y: np.broadcast_arrays(x, y[:1]),
    "broadcast_shapes": lambda x, y: x.reshape(np.broadcast_shapes(x.shape, y.shape)),
    "meshgrid": lambda x, y: np.meshgrid(x[:, 0], y[0]),
    "einsum": lambda x, y: np.einsum("ij,kj->ik", x, y),
    "einsum opt": lambda x, y: np.einsum("ij,kj->ik", x, y, optimize=True),
    "einsum_list": lambda x, y: np.einsum(x, [0, 1], y, [2, 1], [0, 2]),
    "dot": lambda x, y: np.dot(x, y.T),
    ".dot": lambda x, y: x.dot(y.T),
    "inner": lambda x, y: np.inner(x, y),
    "outer": lambda x, y: np.outer(x[:, 0], y[0]),
    "vdot": lambda x, y: np.vdot(x, y),
    "tensordot": lambda x, y: np.tensordot(x, y, axes=([1], [1])),
    "kron": lambda x, y: np.kron(x, y),
    "cross": lambda x, y: np.cross(x[:, :3], y[:, :3]),
    "norm": lambda x, y: np.linalg.norm(x),
    "norm axis": lambda x, y: x / np.linalg.norm(x, axis=-1, keepdims=True),
    "norm 1": lambda x, y: np.linalg.norm(x, ord=1, axis=1),
    "vector_norm": lambda x, y: np.linalg.vector_norm(x, axis=1),
    "inv": lambda x, y: np.linalg.inv(x.T @ x + np.eye(6, dtype=np.float32)),
    "solve": lambda x, y: np.linalg.solve(x.T @ x + np.eye(6, dtype=np.float32), y.T),
    "svd": lambda x, y: np.linalg.svd(x, full_matrices=False).S,
    "svdvals": lambda x, y: np.linalg.svdvals(x),
    "eigh": lambda x, y: np.linalg.eigh(x.T @ x)[0],
    "eigh named": lambda x, y: np.linalg.eigh(x.T @ x).eigenvalues,
    "qr": lambda x, y: np.linalg.qr(x)[1],
    "det": lambda x, y: np.linalg.det(x.T @ x),
    "slogdet": lambda x, y: np.linalg.slogdet(x.T @ x)[1],
    "cholesky": lambda x, y: np.linalg.cholesky(x.T @ x + np.eye(6, dtype=np.float32)),
    "pinv": lambda x, y: np.linalg.pinv(x),
    "matrix_power": lambda x, y: np.linalg.matrix_power(x.T @ x, 2),
    "multi_dot": lambda x, y: np.linalg.multi_dot([x, y.T, x]),
    "la trace": lambda x, y: np.linalg.trace(x.T @ x),
    "la outer": lambda x, y: np.linalg.outer(x[0], y[0]),
    "la matmul": lambda x, y: np.linalg.matmul(x, y.T),
    "fft": lambda x, y: np.abs(np.fft.rfft(x, axis=1)),
    "fft2": lambda x, y: np.fft.fft(x, axis=-1).real,
    "fftshift": lambda x, y: np.fft.fftshift(x, axes=1),
    "pad": lambda x, y: np.pad(x, ((0, 0), (1, 2))),
    "pad reflect": lambda x, y: np.pad(x, ((0, 0), (1, 2)), mode="reflect"),
    "pad val": lambda x, y: np.pad(x, ((0, 0), (1, 2)), constant_values=3),
    "take": lambda x, y: np.take(x, [0, 2], axis=1),
    ".take": lambda x, y: x.take(np.array([0, 2]), axis=1),
    "take flat": lambda x, y: np.take(x, [0, 2]),
    "take_along": lambda x, y: np.take_along_axis(x, np.argsort(y, axis=1), axis=1),
    "put_along": lambda x, y: _pa(x.copy(), y),
    "compress": lambda x, y: np.compress([True, False, True], x, axis=1),
    "extract": lambda x, y: np.extract(x > 0, x),
    "searchsorted": lambda x, y: np.searchsorted(np.linspace(-2, 2, 9, dtype=np.float32), x),
    "searchsorted2": lambda x, y: np.sort(x[0]).searchsorted(y),
    "digitize": lambda x, y: np.digitize(x, np.array([-1, 0, 1], np.float32)),
    "bincount": lambda x, y: np.bincount((x[:, 0] > 0).astype(int), minlength=3),
    "histogram": lambda x, y: np.histogram(x, bins=4, range=(-2, 2))[0],
    "interp": lambda x, y: np.interp(x, [-1, 0, 1], [0, 1, 4]),
    "polyval": lambda x, y: np.polyval([1, 2, 3], x),
    "convolve": lambda x, y: np.convolve(x[0], y[0, :3]),
    "correlate": lambda x, y: np.correlate(x[0], y[0, :3]),
    "apply_along_axis": lambda x, y: np.apply_along_axis(np.sum, 1, x),
    "partition": lambda x, y: np.partition(x, 2, axis=1),
    "argpartition": lambda x, y: np.argpartition(x, 2, axis=1),
    ".argpartition": lambda x, y: x.argpartition(2, axis=1),
    "lexsort": lambda x, y: np.lexsort((x[:, 0], y[:, 0])),
    "isin": lambda x, y: np.isin(x, [0.0, 1.0]),
    "astype": lambda x, y: x.astype(np.float64),
    "astype str": lambda x, y: x.astype("float16").astype("float32"),
    "np.astype": lambda x, y: np.astype(x, np.float64),
    "int astype": lambda x, y: (x * 10).astype(np.int32),
    "view": lambda x, y: x.view(np.int32),
    "float64 scalar": lambda x, y: x * np.float64(2),
    "np pi": lambda x, y: x * np.sqrt(2 / np.pi),
    "pyint": lambda x, y: x * 2 + 1 - x / 3,
    "ops r": lambda x, y: (2 - x) / (1 + abs(y)),
    "pow": lambda x, y: x**2 + 2**x + x**0.5,
    "rpow": lambda x, y: pow(x, 3),
    "floordiv": lambda x, y: x // 0.5 + 7 % abs(x),
    "neg": lambda x, y: -x + +y,
    "cmp chain": lambda x, y: ((x > 0) & (y < 0)) | ~(x < y) ^ (x == y),
    "invert": lambda x, y: ~(x > 0),
    "shift": lambda x, y: (x * 10).astype(np.int32) << 2 >> 1,
    "matmul r": lambda x, y: np.ones((2, 4), np.float32) @ (x.T @ y)[:4],
    "const left": lambda x, y: np.ones((1, 6), np.float32) * x,
    "const minus": lambda x, y: np.arange(6) - x,
    "getitem int": lambda x, y: x[0],
    "getitem neg": lambda x, y: x[-1],
    "getitem slice": lambda x, y: x[:, 1:4:2],
    "getitem rev": lambda x, y: x[::-1, ::-1],
    "getitem half": lambda x, y: x[:, : x.shape[1] // 2],
    "getitem rows half": lambda x, y: x[: (x.shape[0] + 1) // 2],
    "getitem ell": lambda x, y: x[..., 0],
    "getitem list": lambda x, y: x[:, [0, 2, 1]],
    "getitem arr": lambda x, y: x[:, np.array([0, 2])],
    "getitem mask": lambda x, y: x[x > 0],
    "getitem mask2": lambda x, y: x[(x > 0) & (y > 0)],
    "getitem rowmask": lambda x, y: x[x[:, 0] > 0],
    "getitem computed": lambda x, y: x[np.argsort(x[:, 0])],
    "getitem arange len": lambda x, y: x[np.arange(len(x)), np.argmax(y, axis=1)],
    "ix_": lambda x, y: x[np.ix_([0], [1, 2])],
    "setitem": lambda x, y: _si(x.copy()),
    "setitem mask": lambda x, y: _sm(x.copy()),
    "setitem mask2": lambda x, y: _sm2(x.copy()),
    "setitem arr": lambda x, y: _sa(x.copy(), y),
    "setitem list": lambda x, y: _sl(x.copy(), y),
    "zeros set": lambda x, y: _zs(x),
    "iadd": lambda x, y: _ia(x.copy(), y),
    "iadd view": lambda x, y: _iv(x.copy(), y),
    "out=": lambda x, y: _out(x.copy(), y),
    "out= pos": lambda x, y: _outp(x.copy(), y),
    "out sum": lambda x, y: _outs(x, y.copy()),
    "out mm": lambda x, y: _outm(x),
    "where=": lambda x, y: _w(x, np.zeros_like(x)),
    "where= noout": lambda x, y: np.add(x, y, where=np.ones((1, 6), bool)),
    "reduce": lambda x, y: np.add.reduce(x, axis=1),
    "reduce max": lambda x, y: np.maximum.reduce(x, axis=1, keepdims=True),
    "accumulate": lambda x, y: np.add.accumulate(x, axis=1),
    "outer m": lambda x, y: np.multiply.outer(x[0], y[0]),
    "reduceat": lambda x, y: np.add.reduceat(x, [0, 3], axis=1),
    "at": lambda x, y: _at(x.copy()),
    "copyto": lambda x, y: _ct(x.copy(), y),
    "putmask": lambda x, y: _pm(x.copy(), y),
    "place": lambda x, y: _pl(x.copy()),
    "fill_diagonal": lambda x, y: _fd(x.copy()),
    "put": lambda x, y: _pu(x.copy()),
    "sort inplace": lambda x, y: _so(x.copy()),
    "partition inplace": lambda x, y: _pi(x.copy()),
    "fill": lambda x, y: _fill(x.copy()),
    "for rows": lambda x, y: np.stack([r * 2 for r in x.T]),
    "sum builtin": lambda x, y: sum([x, y, x]),
    "builtin max": lambda x, y: max(x.shape[1], 3) * x,
    "zip": lambda x, y: [a + b for a, b in zip(x.T, y.T)],
    "enumerate": lambda x, y: sum(i * c for i, c in enumerate(x.T)),
    "triu ones": lambda x, y: np.triu(np.full((len(x), len(x)), -np.inf, np.float32), 1) + x @ y.T,
    "eye n": lambda x, y: np.eye(len(x), dtype=np.float32) @ x,
    "zeros n": lambda x, y: np.zeros((len(x), 2), np.float32) + x[:, :2],
    "ones cat": lambda x, y: np.concatenate([np.ones((x.shape[0], 1), np.float32), x], axis=1),
    "full n": lambda x, y: np.full((x.shape[0], 1), 0.5, np.float32) * x,
    "mean by n": lambda x, y: x.sum(0) / x.shape[0],
    "mean by len": lambda x, y: x.sum(0) / len(x),
    "sqrt d": lambda x, y: x / np.sqrt(x.shape[1]),
    "sqrt n": lambda x, y: x / np.sqrt(x.shape[0]),
    "math sqrt d": lambda x, y: x / math.sqrt(x.shape[1]),
    "prod shape": lambda x, y: x.reshape(np.prod(x.shape)),
    "shape eq": lambda x, y: x if x.shape == y.shape else y,
    "ndim": lambda x, y: x if x.ndim == 2 else x * 2,
    "dtype chk": lambda x, y: x if x.dtype == np.float32 else x * 2,
    "isinstance": lambda x, y: x if isinstance(x, np.ndarray) else x * 2,
    "col loop": lambda x, y: np.stack([x[:, i] for i in range(x.shape[1])], axis=1),
    "dict out": lambda x, y: {"a": x, "b": (y, [x + 1])},
    "none out": lambda x, y: (x, None, 3),
    "softmax": lambda x, y: (lambda e: e / e.sum(axis=-1, keepdims=True))(
        np.exp(x - x.max(axis=-1, keepdims=True))
    ),
    "len of": lambda x, y: x * len(x[0]),
    "float32()": lambda x, y: np.float32(2) * x + np.float32(1),
    "f-string": lambda x, y: (f"{x}", x)[1],
    "print": lambda x, y: (repr(x), x)[1],
    "lib.stride": lambda x, y: np.lib.stride_tricks.sliding_window_view(x, 3, axis=1).mean(-1),
    "errstate": lambda x, y: _es(x),
}
