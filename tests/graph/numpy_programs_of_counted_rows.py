"""Forwards of NumPy that count rows, or that no nodes can stand for."""

import math

import numpy as np


def _zp(x):
    o = np.zeros(x.shape, np.float32)
    o[:, 1:] = x[:, :-1]
    return o


def _te(x):
    try:
        return x * float(x[0, 0])
    except Exception:
        return x * 0


def _ss(o):
    o.shape = (-1,)
    return o


def _rm(o):
    o.resize((2, 3))
    return o


#: Captured for a number of rows, since Python has got it: others are captured anew.
FIXED = {
    ".flat iter": lambda x, y: sum(v for v in x.flat),
    "getitem arange": lambda x, y: x[np.arange(x.shape[0]), np.argmax(y, axis=1)],
    "arange n": lambda x, y: x * np.arange(x.shape[0], dtype=np.float32)[:, None],
    "tri n": lambda x, y: np.where(np.tri(x.shape[0], dtype=bool), x @ y.T, -np.inf),
    "linspace": lambda x, y: x * np.linspace(0, 1, x.shape[0], dtype=np.float32)[:, None],
    "math sqrt n": lambda x, y: x / math.sqrt(x.shape[0]),
    "shape ne": lambda x, y: x if x.shape[0] > 2 else x * 2,
    "len loop": lambda x, y: np.stack([x[i] for i in range(len(x))]),
    "del": lambda x, y: list(x),
    "unpack rows": lambda x, y: (lambda a, *r: a)(*x),
    "cond len": lambda x, y: x * 2 if len(x) > 3 else x,
}

#: No nodes can stand for these: the model runs as Python.
REFUSED = {
    ".strides": lambda x, y: x.strides,
    ".flags": lambda x, y: x.flags.c_contiguous,
    ".base": lambda x, y: x.base,
    ".device": lambda x, y: x.device,
    "piecewise": lambda x, y: np.piecewise(x, [x < 0, x >= 0], [lambda v: -v, lambda v: v * 2]),
    "apply_along_axis lam": lambda x, y: np.apply_along_axis(lambda v: v.sum(), 1, x),
    "vectorize": lambda x, y: np.vectorize(lambda v: v * 2)(x),
    "frompyfunc": lambda x, y: np.frompyfunc(lambda v: v * 2, 1, 1)(x).astype(np.float32),
    "zeros plain set": lambda x, y: _zp(x),
    "reduce list": lambda x, y: np.maximum.reduce([x, y]),
    "np.array list": lambda x, y: np.array([x, y]),
    "np.asarray list": lambda x, y: np.asarray([x[0], y[0]]),
    "bool if": lambda x, y: x if x.sum() > 0 else y,
    "bool any": lambda x, y: x if (x > 0).any() else y,
    "in": lambda x, y: x if 0.0 in x else y,
    "float()": lambda x, y: x * float(x[0, 0]),
    "int()": lambda x, y: x * int(x[0, 0]),
    "index": lambda x, y: x[:, int(np.argmax(x[0]))],
    "range val": lambda x, y: [x for _ in range(np.argmax(x))],
    "allclose": lambda x, y: x if np.allclose(x, y) else y,
    "array_equal": lambda x, y: x if np.array_equal(x, y) else y,
    "plain dot": lambda x, y: np.ones((3, 1)).dot(x[:1]),
    "plain table": lambda x, y: np.ones((9, 2), np.float32)[(x > 0).astype(int)],
    "try except": lambda x, y: _te(x),
    "shape setter": lambda x, y: _ss(x.copy()),
    "resize method": lambda x, y: _rm(x.copy()),
    "min builtin arr": lambda x, y: min(x[0, 0], y[0, 0]),
    "sorted": lambda x, y: sorted(x[0]),
    "ma": lambda x, y: np.ma.masked_array(x),
}
