"""Models of sequences made at random: recurrent layers, attention, convolutions along time, in any order."""

import random

import numpy as np
from hypothesis import strategies as st
from quantray import nn
from quantray.nn import functional as F

WORDS, LENGTH = 11, 6


def _recurrent(r, c):
    kind, both = r.choice([nn.LSTM, nn.GRU, nn.RNN]), r.random() < 0.5
    return Recurrent(
        kind(c, r.choice([3, 4, 5]), r.randint(1, 2), batch_first=True, bidirectional=both), r.randint(0, 1)
    )


class Recurrent(nn.Module):
    """The outputs of a recurrent layer, or its last state beside each of them."""

    def __init__(self, layer, last):
        super().__init__()
        self.layer, self.last = layer, last

    def forward(self, x):
        y, state = self.layer(x)
        h = state[0] if isinstance(state, tuple) else state
        return y * F.sigmoid(h[-1].mean(axis=-1))[:, None, None] if self.last else y


def _along(r, c):
    groups = r.choice([g for g in (1, 2, c) if c % g == 0])
    k, stride = r.randint(1, 3), r.randint(1, 2)
    padding = "same" if stride == 1 and r.random() < 0.3 else k - 1
    layer = nn.Conv1d(c, groups * r.randint(1, 3), k, stride, padding, 1, groups)
    return Along(layer, r.choice([None, nn.ReLU(), nn.GELU(), nn.BatchNorm1d(layer.out_channels)]))


class Along(nn.Module):
    """A convolution along time."""

    def __init__(self, layer, then):
        super().__init__()
        self.layer, self.then = layer, then

    def forward(self, x):
        y = self.layer(x.transpose(0, 2, 1))
        return (y if self.then is None else self.then(y)).transpose(0, 2, 1)


def _attention(r, c):
    heads = r.choice([h for h in (1, 2, 4) if c % h == 0])
    return Attention(
        nn.MultiheadAttention(c, heads, batch_first=True), r.choice(["none", "causal", "padding", "float"])
    )


class Attention(nn.Module):
    """Each step looks at others."""

    def __init__(self, layer, mask):
        super().__init__()
        self.layer, self.mask = layer, mask

    def forward(self, x):
        t = x.shape[1]
        if self.mask == "causal":
            return x + self.layer(x, x, x, attn_mask=np.triu(np.ones((t, t), bool), 1), need_weights=False)[0]
        if self.mask == "float":
            return self.layer(x, x, x, attn_mask=np.triu(np.full((t, t), -1e9, np.float32), 1))[0]
        if self.mask == "padding":
            hidden = x[:, :, 0] > 1
            return self.layer(x, x, x, key_padding_mask=hidden & (np.arange(t) > 0))[0]
        y, weights = self.layer(x, x, x)
        return y + weights.mean(axis=-1, keepdims=True)


def _encoder(r, c):
    heads = r.choice([h for h in (1, 2) if c % h == 0])
    return nn.TransformerEncoderLayer(
        c, heads, 7, 0.1, r.choice(["relu", "gelu"]), batch_first=True, norm_first=r.random() < 0.5
    )


def _linear(r, c):
    made = [nn.Linear(c, r.choice([3, 4, 6, 8]), bias=r.random() < 0.7)]
    if r.random() < 0.6:
        made.append(r.choice([nn.ReLU, nn.GELU, nn.SiLU, nn.Tanh, nn.Sigmoid, nn.ReLU6, nn.LeakyReLU])())
    return nn.Sequential(*made)


def _norm(r, c):
    return r.choice(
        [nn.LayerNorm(c), nn.RMSNorm(c), nn.Softmax(-1), nn.LogSoftmax(-1), nn.Dropout(), nn.PReLU()]
    )


LAYERS = {
    "recurrent": _recurrent, "along": _along, "attention": _attention, "encoder": _encoder, "linear": _linear,
    "norm": _norm,
}  # fmt: skip


def _alike(a, b):
    t, c = min(a.shape[1], b.shape[1]), min(a.shape[2], b.shape[2])
    return a[:, :t, :c], b[:, :t, :c]


def _add(p, a, b):
    a, b = _alike(a, b)
    return a + b if p % 2 else a * F.sigmoid(b)


def _joined(p, a, b):
    if p % 2:
        t = min(a.shape[1], b.shape[1])
        return np.concatenate([a[:, :t], b[:, :t]], axis=-1)[..., :10]
    c = min(a.shape[2], b.shape[2])
    return np.concatenate([a[..., :c], b[..., :c]], axis=1)[:, :8]


def _matmul(p, a, b):
    a, b = _alike(a, b)
    s = a @ b.swapaxes(1, 2) * np.float32(0.4)
    t = s.shape[1]
    if p % 3 == 0:
        s = np.where(np.tril(np.ones((t, t), bool)), s, np.float32(-1e9))
    elif p % 3 == 1:
        s = s + np.where(b[:, :, 0] > 0, np.float32(0), np.float32(-1e4))[:, None, :]
    return F.softmax(s, -1) @ b


def _attend(p, a, b):
    n, t, c = a.shape
    h = 2 if c % 2 == 0 else 1
    q = a.reshape(n, t, h, c // h).transpose(0, 2, 1, 3)
    y = F.scaled_dot_product_attention(q, q, q, is_causal=bool(p % 2))
    return y.transpose(0, 2, 1, 3).reshape(n, t, c)


def _slice(p, a, b):
    return [
        a[:, 1:] if a.shape[1] > 2 else a,
        a[:, ::-1],
        a[:, ::2],
        a[..., ::-1],
        a[:, -1:] + a,
        a[:, :1] * a,
    ][p % 6]


def _mean(p, a, b):
    return [
        a - a.mean(axis=1, keepdims=True),
        a + b.max(axis=(1, 2), keepdims=True),
        a / (1 + np.abs(a).sum(-1, keepdims=True)),
    ][p % 3]


def _gate(p, a, b):
    c = a.shape[2] // 2
    if not c:
        return a
    return a[..., :c] * F.silu(a[..., c : 2 * c])


def _add_in_place(p, a, b):
    a += [0.5, b[:, :1, :1]][p % 2]
    return a


def _masked(p, a, b):
    return a * (b[:, :1, :1] > 0) if p % 2 else np.where(a > 0, a, np.float32(0.1) * a)


STEPS = {
    "add": _add, "joined": _joined, "matmul": _matmul, "attend": _attend, "slice": _slice, "mean": _mean,
    "gate": _gate,
    "+=": _add_in_place, "masked": _masked,
}  # fmt: skip
NAMES = (*LAYERS, *STEPS, "again")


class RandomSequences(nn.Module):
    """A program of layers and steps over a list of sequences, and what it returns of them."""

    def __init__(self, program, words=True, outputs=(0,), tail="sequence"):
        super().__init__()
        self.program, self.outputs, self.tail, self.words = tuple(program), outputs, tail, words
        self.table = nn.Embedding(WORDS, 8) if words else nn.Linear(5, 8)
        self.layers, self.calls = nn.ModuleDict(), []
        values = [np.random.default_rng(0).standard_normal((2, LENGTH, 8)).astype(np.float32)]
        for at, (name, i, j, p) in enumerate(self.program):
            a = values[-1 - i % len(values)]
            call = (name, i, j, p)
            if name in LAYERS:
                self.layers[str(at)] = LAYERS[name](random.Random(p), a.shape[2]).eval()
                call = (str(at), i, j, p)
            elif name == "again":
                fit = [k for k, layer in self.layers.items() if _fits(layer, a)]
                call = (fit[p % len(fit)] if fit else "same", i, j, p)
            self.calls.append(call)
            values.append(self.step(call, values))
        last = values[-1]
        if tail != "sequence":
            self.fc = nn.Linear(last.shape[2], 3)

    def step(self, call, values):
        name, i, j, p = call
        a, b = values[-1 - i % len(values)], values[-1 - j % len(values)]
        if name == "same":
            return a
        return STEPS[name](p, a, b) if name in STEPS else self.layers[name](a)

    def extra_repr(self):
        return f"{self.program}, words={self.words}, outputs={self.outputs}, tail={self.tail!r}"

    def forward(self, x):
        values = [self.table(x)]
        for call in self.calls:
            values.append(self.step(call, values))
        found = [values[-1 - i % len(values)] for i in self.outputs]
        if self.tail == "mean":
            found[0] = self.fc(values[-1].mean(axis=1))
        elif self.tail == "first":
            found[0] = self.fc(values[-1][:, 0])
        return found[0] if len(found) == 1 else tuple(found)


def _fits(layer, a):
    try:
        return layer(a[:1].copy()).size > 0
    except Exception:
        return False


@st.composite
def models(draw):
    """A model, and whether it takes words."""
    step = st.tuples(st.sampled_from(NAMES), st.integers(0, 3), st.integers(0, 5), st.integers(0, 999))
    program = draw(st.lists(step, min_size=1, max_size=6))
    nn.manual_seed(0)
    words, outputs = draw(st.booleans()), draw(st.sampled_from([(0,), (0, 1), (0, 2, 0)]))
    return RandomSequences(
        program, words, outputs, draw(st.sampled_from(["sequence", "mean", "first"]))
    ).eval(), words


def sequences(rows, words, seed=0):
    """Arguments of some rows."""
    rng = np.random.default_rng([seed, rows])
    if words:
        return (rng.integers(0, WORDS, (rows, LENGTH)),)
    return (rng.standard_normal((rows, LENGTH, 5)).astype(np.float32),)
