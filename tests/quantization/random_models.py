"""Models made at random: what people do to arrays between layers, in any order."""

import numpy as np
from hypothesis import strategies as st
from quantray import nn
from quantray.nn import functional as F

WIDTH = 8


def _fill_column(a, b):
    a[:, 0] = 0.5
    return a


def _leak(a, b):
    a[a < 0] *= np.float32(0.1)
    return a


def _half(a, b):
    view = a[:, : WIDTH // 2]
    view += 1
    return a


def _transposed_view(a, b):
    turned = a.T
    turned *= 0.5
    return a


def _into(a, b):
    np.add(a, b, out=a)
    return a


def _iadd(a, b):
    a += b
    return a


def _imul(a, b):
    a *= 0.75
    return a


def _sort(a, b):
    a.sort(axis=1)
    return a


def _copy_and_shift(a, b):
    made = np.zeros_like(a)
    made[:, 1:] = a[:, :-1]
    return made


def _softmax(a, b):
    e = np.exp(a - a.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


def _heads(a, b):
    n, d = a.shape
    return a.reshape(n, 2, d // 2).transpose(0, 2, 1).reshape(n, d)


def _attend(a, b):
    scores = a @ b.T / np.sqrt(np.float32(a.shape[1]))
    e = np.exp(scores - scores.max(axis=-1, keepdims=True, initial=-1e9))
    return (e / e.sum(axis=-1, keepdims=True)) @ b


#: Functions of two arrays of (n, WIDTH), which may change the first one.
STEPS = {
    "relu": lambda a, b: F.relu(a),
    "maximum": lambda a, b: np.maximum(a, 0),
    "times a mask": lambda a, b: a * (a > 0),
    "clip": lambda a, b: a.clip(-1, 2),
    "where": lambda a, b: np.where(b > 0, a, b),
    "add": lambda a, b: a + b,
    "sub": lambda a, b: a - b,
    "mul": lambda a, b: a * F.sigmoid(b),
    "mean of two": lambda a, b: np.stack([a, b]).mean(axis=0),
    "concatenate": lambda a, b: np.concatenate([a, b], axis=1)[:, ::2],
    "hstack": lambda a, b: np.hstack([a[:, :3], b[:, 3:]]),
    "split": lambda a, b: np.concatenate(np.split(a, 2, axis=1)[::-1], axis=1),
    "heads": _heads,
    "flip": lambda a, b: a[:, ::-1],
    "take": lambda a, b: np.take(a, [1, 0, 3, 2, 5, 4, 7, 6], axis=1),
    "center": lambda a, b: a - a.mean(axis=1, keepdims=True),
    "scale": lambda a, b: a / (1 + np.abs(a).max(axis=1, keepdims=True)),
    "softmax": _softmax,
    "attend": _attend,
    "tanh": lambda a, b: np.tanh(a),
    "gelu": lambda a, b: F.gelu(a),
    "mish": lambda a, b: a * np.tanh(np.log1p(np.exp(a))),
    "hardswish": lambda a, b: a * np.clip(a + 3, 0, 6) / 6,
    "copy": lambda a, b: a.copy(),
    "cumsum": lambda a, b: a.cumsum(axis=1) / 8,
    "norm": lambda a, b: a / (1 + np.linalg.norm(a, axis=-1, keepdims=True)),
    "swap": lambda a, b: np.squeeze(np.expand_dims(a, 1).swapaxes(1, 2), axis=2),
    "fill a column": _fill_column,
    "leak": _leak,
    "half": _half,
    "transposed view": _transposed_view,
    "out=": _into,
    "+=": _iadd,
    "*=": _imul,
    "sort": _sort,
    "zeros_like": _copy_and_shift,
}
#: Steps whose result lies in memory in another order than a graph's may: products of floats depend on it.
LAYOUT = {"heads", "attend", "flip", "swap", "transposed view", "concatenate", "take", "split"}
#: Modules that any step may call: each may be called several times.
MODULES = ("fc1", "fc2", "wide", "norm", "act", "by keyword")


class Random(nn.Module):
    """A program of steps over a list of arrays, and what it returns of them."""

    def __init__(self, program, outputs, form):
        super().__init__()
        self.fc1, self.fc2 = nn.Linear(WIDTH, WIDTH), nn.Linear(WIDTH, WIDTH, bias=False)
        if any(name == "wide" for name, *_ in program):
            self.wide = nn.Sequential(nn.Linear(WIDTH, 16), nn.ReLU(), nn.Linear(16, WIDTH))
        self.norm, self.act = nn.LayerNorm(WIDTH), nn.Hardswish()
        self.program, self.outputs, self.form = program, outputs, form

    def extra_repr(self):
        return f"{self.program}, outputs={self.outputs}, form={self.form!r}"

    def forward(self, x, y=None, *, more=None):
        values = [x]
        values += [] if y is None else [y["a"], y["b"]]
        values += [] if more is None else [more]
        for name, i, j in self.program:
            a, b = values[i % len(values)], values[j % len(values)]
            if name == "by keyword":
                values.append(self.fc1(input=a))
            elif name in MODULES:
                values.append(getattr(self, name)(a))
            else:
                values.append(STEPS[name](a, b))
        found = [values[-1 - i % len(values)] for i in self.outputs]
        if self.form == "one":
            return found[0]
        return {"first": found[0], "rest": found[1:]} if self.form == "dict" else tuple(found)


@st.composite
def models(draw, steps=tuple(STEPS)):
    """A model, and what makes arguments of some rows for it."""
    step = st.tuples(st.sampled_from(steps) | st.sampled_from(MODULES), st.integers(0, 9), st.integers(0, 9))
    program = draw(st.lists(step, min_size=2, max_size=9))
    # Something to quantize, with something after it.
    program = [("fc1", draw(st.integers(0, 9)), 0), *program, ("fc2", len(program) + 3, 0)]
    outputs = draw(st.lists(st.integers(0, 6), min_size=1, max_size=3))
    form = draw(st.sampled_from(["one", "tuple", "dict"]))
    inputs = draw(st.sampled_from(["x", "dict", "keyword", "both"]))
    nn.manual_seed(draw(st.integers(0, 3)))
    model = Random(tuple(program), tuple(outputs), form).eval()

    def arguments(rows, seed=0):
        rng = np.random.default_rng([seed, rows])
        x, a, b, more = rng.standard_normal((4, rows, WIDTH)).astype(np.float32)
        args = (x, {"a": a, "b": b}) if inputs in ("dict", "both") else (x,)
        return args, ({"more": more} if inputs in ("keyword", "both") else {})

    return model, arguments
