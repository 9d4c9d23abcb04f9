"""Models of images made at random: what people put between convolutions, in any order."""

import random

import numpy as np
from hypothesis import strategies as st
from quantray import nn
from quantray.nn import functional as F

SHAPE = (4, 9, 8)


def _divisors(n, most=8):
    return [d for d in range(1, min(n, most) + 1) if n % d == 0]


def _conv(r, c, h, w):
    groups = r.choice([*_divisors(c), c])
    out = groups * r.randint(1, 3)
    kernel = r.randint(1, min(3, h)), r.randint(1, min(3, w))
    dilation = tuple(r.randint(1, 2) if (k - 1) * 2 < n else 1 for k, n in zip(kernel, (h, w), strict=True))
    mode = r.choice(["zeros", "zeros", "reflect", "replicate", "circular"])
    padding, stride = tuple(r.randint(0, k - 1) for k in kernel), (r.randint(1, 2), r.randint(1, 2))
    if r.random() < 0.2:
        padding, stride = r.choice(["same", "valid"]), 1
    bias = r.random() < 0.6
    return nn.Conv2d(c, out, kernel, stride, padding, dilation, groups, bias, mode)


def _turned(r, c, h, w):
    groups = r.choice(_divisors(c))
    kernel, stride = r.randint(1, 3), r.randint(1, 2)
    padding, more = r.randint(0, kernel - 1), r.randint(0, stride - 1)
    out = groups * r.randint(1, 2)
    return nn.ConvTranspose2d(
        c, out, kernel, stride, padding, more, groups, r.random() < 0.6, r.randint(1, 2)
    )


def _batch_norm(r, c, h, w):
    norm, rng = nn.BatchNorm2d(c), np.random.default_rng(r.randint(0, 99))
    norm.running_mean[:] = rng.standard_normal(c) * 0.3
    norm.running_var[:] = rng.random(c) + 0.5
    norm.weight[:] = rng.standard_normal(c)
    norm.bias[:] = rng.standard_normal(c) * 0.3
    return norm


def _activation(r, c, h, w):
    return r.choice(
        [
            nn.ReLU,
            nn.ReLU6,
            nn.Hardswish,
            nn.SiLU,
            nn.LeakyReLU,
            nn.GELU,
            nn.Sigmoid,
            nn.Hardsigmoid,
            nn.ELU,
            nn.Tanh,
            nn.Softplus,
            nn.Hardtanh,
            lambda: nn.PReLU(c),
            nn.PReLU,
            lambda: nn.LeakyReLU(0.3),
            nn.Identity,
            lambda: nn.Hardtanh(-0.5, 2.0),
            nn.Dropout,
            lambda: nn.Softmax(1),
            nn.CELU,
            nn.SELU,
            nn.Mish,
            nn.Softsign,
            nn.LogSigmoid,
            nn.Softshrink,
            nn.AlphaDropout,
        ]
    )()


def _pool(r, c, h, w):
    kernel = r.randint(1, min(3, h)), r.randint(1, min(3, w))
    stride = r.choice([None, 1, 2, (1, 2)])
    padding = tuple(r.randint(0, k // 2) for k in kernel)
    if r.random() < 0.5:
        return nn.MaxPool2d(kernel, stride, padding, 1, r.random() < 0.5)
    return nn.AvgPool2d(kernel, stride, padding, r.random() < 0.5, r.random() < 0.5)


def _adaptive(r, c, h, w):
    size = r.choice([1, 2, (None, 3), (5, 1), 7])
    return nn.AdaptiveMaxPool2d(size) if r.random() < 0.2 else nn.AdaptiveAvgPool2d(size)


def _norm(r, c, h, w):
    return r.choice(
        [
            lambda: nn.GroupNorm(r.choice(_divisors(c)), c),
            lambda: nn.InstanceNorm2d(c, affine=True),
            lambda: nn.LayerNorm((c, h, w)),
        ]
    )()


def _upsample(r, c, h, w):
    if h * w > 300:
        return nn.Identity()
    mode = r.choice(["nearest", "nearest", "bilinear"])
    corners = r.choice([True, False]) if mode == "bilinear" else None
    if r.random() < 0.4:
        return nn.Upsample(size=(h + r.randint(0, 3), w + r.randint(0, 5)), mode=mode, align_corners=corners)
    return nn.Upsample(scale_factor=r.choice([2, 2, (1, 2), 1.5]), mode=mode, align_corners=corners)


def _gate(r, c, h, w):
    inner = r.randint(1, 4)
    last = r.choice([nn.Sigmoid, nn.Hardsigmoid])()
    return Gate(
        nn.Conv2d(c, inner, 1), r.choice([nn.ReLU, nn.SiLU])(), nn.Conv2d(inner, c, 1), last, r.random() < 0.5
    )


class Gate(nn.Module):
    """Squeeze and excite."""

    def __init__(self, fc1, act, fc2, last, pooled):
        super().__init__()
        self.fc1, self.act, self.fc2, self.last, self.pooled = fc1, act, fc2, last, pooled

    def forward(self, x):
        y = F.adaptive_avg_pool2d(x, 1) if self.pooled else x.mean(axis=(2, 3), keepdims=True)
        return x * self.last(self.fc2(self.act(self.fc1(y))))


def _block(r, c, h, w):
    made = [_conv(r, c, h, w)]
    out = made[0].out_channels
    if r.random() < 0.7:
        made.append(_batch_norm(r, out, h, w))
    if r.random() < 0.8:
        made.append(_activation(r, out, h, w))
    return nn.Sequential(*made)


#: What makes a module for images of some shape.
LAYERS = {
    "block": _block, "conv": _conv, "turned": _turned, "batch norm": _batch_norm, "activation": _activation,
    "pool": _pool, "adaptive": _adaptive, "norm": _norm, "upsample": _upsample, "gate": _gate,
}  # fmt: skip


def _alike(a, b):
    """Both of the smaller one's shape, or of one that spreads."""
    c, h, w = (min(x, y) for x, y in zip(a.shape[1:], b.shape[1:], strict=True))
    return a[:, :c, :h, :w], b[:, :c, :h, :w]


def _add(p, a, b):
    a, b = _alike(a, b)
    return a + b


def _iadd(p, a, b):
    if a.shape == b.shape:
        a += b
    else:
        a += 0.25
    return a


def _mul(p, a, b):
    a, b = _alike(a, b)
    return a * F.sigmoid(b)


def _cat(p, a, b):
    h, w = min(a.shape[2], b.shape[2]), min(a.shape[3], b.shape[3])
    parts = [a[:, :, :h, :w], b[:, :, :h, :w]]
    if p % 3 == 0:
        parts.append(parts[0])
    return np.concatenate(parts, axis=1)[:, :12]


def _chunks(p, a, b):
    if a.shape[1] % 2:
        return a[:, ::-1]
    one, two = np.split(a, 2, axis=1)
    if p % 3 == 0:
        return np.concatenate([two, F.relu(one)], axis=1)
    return one + two if p % 3 == 1 else one * F.sigmoid(two)


def _slice(p, a, b):
    return [
        a[:, 1:] if a.shape[1] > 1 else a,
        a[:, :, ::2, ::2],
        a[..., 1:] if a.shape[3] > 1 else a,
        a[:, :, ::-1],
    ][p % 4]


def _pad(p, a, b):
    if p % 2 == 0 or min(a.shape[2:]) < 2:
        return F.pad(a, [p % 2, 1, 1, p % 3], value=[0.0, 0.5][p % 2])
    return F.pad(a, [1, 0, 1, 1], mode=["reflect", "replicate", "circular"][p % 3])


def _shuffle(p, a, b):
    n, c, h, w = a.shape
    if c % 4 == 0 and p % 2:
        return F.pixel_shuffle(a, 2)
    g = _divisors(c)[p % len(_divisors(c))]
    return a.reshape(n, g, c // g, h, w).transpose(0, 2, 1, 3, 4).reshape(n, c, h, w)


def _centered(p, a, b):
    return a - a.mean(axis=(2, 3), keepdims=True)


def _fill(p, a, b):
    a[:, 0] *= 0.5
    return a


def _turn(p, a, b):
    return a.transpose(0, 1, 3, 2)


def _by_channels(p, a, b):
    """A gate for each channel, from another image's means."""
    g = F.sigmoid(b.mean(axis=(1, 2, 3)))
    return a * g.reshape(-1, 1, 1, 1)


def _clip(p, a, b):
    return [
        np.clip(a, 0, 6),
        np.maximum(a, 0),
        np.minimum(a, 1),
        np.where(a > 0, a, a * 0.1),
        F.hardswish(a),
        F.silu(a),
    ][p % 6]


def _space_to_depth(p, a, b):
    _, c, h, w = a.shape
    if h < 2 or w < 2 or c > 3:
        return a
    x = a[:, :, : h // 2 * 2, : w // 2 * 2]
    return np.concatenate([x[:, :, ::2, ::2], x[:, :, 1::2, ::2], x[:, :, ::2, 1::2], x[:, :, 1::2, 1::2]], 1)


#: Functions of a number that chooses, and two images, the first of which they may change.
STEPS = {
    "add": _add, "+=": _iadd, "mul": _mul, "cat": _cat, "chunks": _chunks, "slice": _slice, "pad": _pad,
    "shuffle": _shuffle,
    "centered": _centered, "fill": _fill, "turn": _turn, "by channels": _by_channels,
    "clip": _clip, "space to depth": _space_to_depth,
}  # fmt: skip


class RandomImages(nn.Module):
    """A program of layers and steps over a list of images, and what it returns of them."""

    def __init__(self, program, inputs=1, outputs=(0,), tail="image"):
        super().__init__()
        self.program, self.outputs, self.tail = tuple(program), outputs, tail
        self.layers = nn.ModuleDict()
        self.calls = []
        rng = np.random.default_rng(0)
        values = [rng.standard_normal((2, *SHAPE)).astype(np.float32) for _ in range(inputs)]
        for at, (name, i, j, p) in enumerate(self.program):
            a = values[-1 - i % len(values)]
            call = (name, i, j, p)
            if name in LAYERS:
                layer = LAYERS[name](random.Random(p), *a.shape[1:])
                layer.eval()
                self.layers[str(at)] = layer
                call = (str(at), i, j, p)
            elif name == "again":
                # A layer that was called before, where its shape fits; else nothing.
                fit = [k for k, layer in self.layers.items() if _fits(layer, a)]
                call = (fit[p % len(fit)] if fit else "same", i, j, p)
            self.calls.append(call)
            values.append(self.step(call, values))
        last = values[-1]
        if tail == "linear":
            self.fc = nn.Linear(int(np.prod(last.shape[1:])), 3)
        elif tail == "mean":
            self.fc = nn.Linear(last.shape[1], 3)

    def step(self, call, values):
        name, i, j, p = call
        a, b = values[-1 - i % len(values)], values[-1 - j % len(values)]
        if name == "same":
            return a
        return STEPS[name](p, a, b) if name in STEPS else self.layers[name](a)

    def extra_repr(self):
        return f"{self.program}, outputs={self.outputs}, tail={self.tail!r}"

    def forward(self, x, y=None):
        values = [x] if y is None else [x, y]
        for call in self.calls:
            values.append(self.step(call, values))
        found = [values[-1 - i % len(values)] for i in self.outputs]
        if self.tail == "linear":
            found[0] = self.fc(F.flatten(values[-1], 1))
        elif self.tail == "mean":
            found[0] = self.fc(values[-1].mean(axis=(2, 3)))
        return found[0] if len(found) == 1 else tuple(found)


def _fits(layer, a):
    try:
        return layer(a[:1].copy()).size > 0
    except Exception:
        return False


NAMES = (*LAYERS, *STEPS, "again")


@st.composite
def models(draw):
    """A model, and how many images it takes."""
    step = st.tuples(st.sampled_from(NAMES), st.integers(0, 3), st.integers(0, 5), st.integers(0, 999))
    program = [("block", 0, 0, draw(st.integers(0, 999))), *draw(st.lists(step, min_size=1, max_size=8))]
    nn.manual_seed(0)
    inputs = draw(st.integers(1, 2))
    outputs = draw(st.sampled_from([(0,), (0, 1), (0, 2, 0)]))
    return RandomImages(
        program, inputs, outputs, draw(st.sampled_from(["image", "linear", "mean"]))
    ).eval(), inputs


def images(rows, inputs, seed=0):
    """Arguments of some rows."""
    rng = np.random.default_rng([seed, rows])
    return tuple(rng.standard_normal((rows, *SHAPE)).astype(np.float32) for _ in range(inputs))
